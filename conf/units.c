/*
 * units: reads "500ms" and "16kB". Called by the loader and by whoever takes such a word on a
 * command line. Owns nothing; on failure returns -1 and leaves the result alone.
 *
 * Strict on purpose: a time that is misread is an outage months later. The text is digits, perhaps
 * a point and more digits, and at once the unit; nothing before, between or after. What is finer
 * than a microsecond or a byte is dropped, except that a number which is not 0 never becomes 0,
 * because 0 often means "no limit".
 */
#include "conf/units.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"

struct unit {
	const char *name;
	int64_t factor;
};

/* Both tables go upwards; without a unit the number counts seconds or bytes. */
static const struct unit time_units[] = {
    {"us", 1},
    {"ms", 1000},
    {"s", 1000000},
    {"min", 60000000},
    {"h", 3600000000LL},
    {"d", 86400000000LL},
    {NULL, 0},
};

static const struct unit size_units[] = {
    {"B", 1},
    {"kB", 1LL << 10},
    {"MB", 1LL << 20},
    {"GB", 1LL << 30},
    {"TB", 1LL << 40},
    {NULL, 0},
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The factor of a unit's name, `bare` for no name, 0 for an unknown one. */
static int64_t
unit_factor(const struct unit *units, const char *name, int64_t bare)
{
	if (name[0] == '\0')
		return bare;
	for (; units->name != NULL; units++)
		if (strcmp(units->name, name) == 0)
			return units->factor;
	return 0;
}

/* digits * factor, or -1 on overflow. */
static int
scale_whole(const char *digits, size_t n, int64_t factor, int64_t *out)
{
	int64_t value = 0;

	for (size_t i = 0; i < n; i++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, digits[i] - '0', &value))
			return -1;
	return __builtin_mul_overflow(value, factor, out) ? -1 : 0;
}

/*
 * 0.digits * factor, rounded down. From the last digit to the first, so that it needs neither
 * floating point nor more than 64 bits: floor((floor(x) + n) / 10) is floor((x + n) / 10).
 */
static int64_t
scale_fraction(const char *digits, size_t n, int64_t factor)
{
	int64_t value = 0;

	while (n-- > 0)
		value = (value + (digits[n] - '0') * factor) / 10;
	return value;
}

static int
parse(const char *text, const struct unit *units, int64_t bare, int64_t *out)
{
	size_t whole = 0, fraction = 0;
	const char *digits = text, *point, *unit;
	int64_t factor, value;

	while (is_digit(digits[whole]))
		whole++;
	if (whole == 0)
		return -1;
	point = unit = digits + whole;
	if (*point == '.') {
		while (is_digit(point[1 + fraction]))
			fraction++;
		if (fraction == 0)
			return -1;
		unit = point + 1 + fraction;
	}
	factor = unit_factor(units, unit, bare);
	if (factor == 0 || scale_whole(digits, whole, factor, &value) == -1)
		return -1;
	if (fraction > 0 &&
	    __builtin_add_overflow(value, scale_fraction(point + 1, fraction, factor), &value))
		return -1;
	if (value == 0 && strcspn(text, "123456789") < (size_t)(unit - text))
		return -1;
	*out = value;
	return 0;
}

int
conf_parse_time(const char *text, int64_t *us)
{
	return parse(text, time_units, 1000000, us);
}

int
conf_parse_size(const char *text, int64_t *bytes)
{
	return parse(text, size_units, 1, bytes);
}

static const char *
format(char buf[UNITS_SIZE], const struct unit *units, int64_t value)
{
	const struct unit *best = units;

	for (const struct unit *u = units; u->name != NULL; u++)
		if (value % u->factor == 0)
			best = u;
	(void)snprintf(buf, UNITS_SIZE, "%lld%s", (long long)(value / best->factor),
	    value == 0 ? "" : best->name);
	return buf;
}

const char *
conf_format_time(char buf[UNITS_SIZE], int64_t us)
{
	return format(buf, time_units, us);
}

const char *
conf_format_size(char buf[UNITS_SIZE], int64_t bytes)
{
	return format(buf, size_units, bytes);
}

int
conf_time_of_seconds(double seconds, int64_t *us)
{
	double scaled = seconds * 1e6;

	/* The comparison is written so that NaN fails it. */
	if (!(scaled >= 0 && scaled < 9e18))
		return -1;
	if (seconds > 0 && llrint(scaled) == 0)
		return -1;
	*us = llrint(scaled);
	return 0;
}

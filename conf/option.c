/*
 * option: the tables of all options, made from options.def and members.def, and how the value of
 * each kind is read. Called by load.c. A value that is wrong is told by load_complain and leaves
 * the default in place.
 */
#include "conf/option.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf/pgbouncer.h"
#include "conf/suggest.h"
#include "conf/units.h"
#include "conf/vault.h"

/* What all tables have in common; each sets OWNER, the struct, before. */
#define ENTRY(n, k, member, ...)                                                                   \
	{.name = #n, .kind = k, .offset = offsetof(OWNER, member), __VA_ARGS__},
#define ENTRY_INT(n, d, lo, hi, h)  ENTRY(n, OPTION_INT, n, .min = lo, .max = hi, .number = d)
#define ENTRY_BOOL(n, d, h)	    ENTRY(n, OPTION_BOOL, n, .number = d)
#define ENTRY_STRING(n, d, h)	    ENTRY(n, OPTION_STRING, n, .def = d)
#define ENTRY_SECRET(n, h)	    ENTRY(n, OPTION_SECRET, n, .def = NULL)
#define ENTRY_ENUM(n, t, d, w, h)   ENTRY(n, OPTION_ENUM, n, .number = d, .words = w)
#define ENTRY_PORT(n, d, h)	    ENTRY(n, OPTION_PORT, n, .min = 1, .max = 65535, .number = d)
#define ENTRY_MODE(n, d, h)	    ENTRY(n, OPTION_MODE, n, .number = d)
#define ENTRY_TIME(n, d, lo, hi, h) ENTRY(n, OPTION_TIME, n##_us, .min = lo, .max = hi, .def = d)
#define ENTRY_SIZE(n, d, lo, hi, h) ENTRY(n, OPTION_SIZE, n##_bytes, .min = lo, .max = hi, .def = d)

#define OWNER	   struct conf
#define OPT_INT	   ENTRY_INT
#define OPT_BOOL   ENTRY_BOOL
#define OPT_TIME   ENTRY_TIME
#define OPT_SIZE   ENTRY_SIZE
#define OPT_STRING ENTRY_STRING
#define OPT_ENUM   ENTRY_ENUM
const struct option option_globals[] = {
#include "conf/options.def"
    {.name = NULL}};
#undef OWNER

#define MEMBERS_TABLE

#define OWNER struct conf_listen
#define MEMBERS_LISTEN
const struct option option_listen[] = {
#include "conf/members.def"
    {.name = NULL}};
#undef OWNER

#define OWNER struct conf_database
#define MEMBERS_DATABASE
const struct option option_database[] = {
#include "conf/members.def"
    {.name = NULL}};
#undef OWNER

#define OWNER struct conf_user
#define MEMBERS_USER
const struct option option_user[] = {
#include "conf/members.def"
    {.name = NULL}};
#undef OWNER

const char *
load_place(const struct load *l, const config_setting_t *s, int *line)
{
	const char *file = s == NULL ? NULL : config_setting_source_file(s);

	*line = s == NULL ? 1 : (int)config_setting_source_line(s);
	if (l->origin != NULL && *line >= 1 && (size_t)*line <= l->origin->nlines) {
		const struct pgbouncer_line *from = &l->origin->lines[*line - 1];
		*line = from->line;
		return from->file;
	}
	return file == NULL ? l->conf->path : file;
}

void
load_complain(struct load *l, const config_setting_t *s, const char *key, const char *fmt, ...)
{
	int line;
	const char *file = load_place(l, s, &line);
	va_list ap;

	l->errors++;
	fprintf(l->err, "%s:%d: %s%s: ", file, line, l->prefix, key);
	va_start(ap, fmt);
	vfprintf(l->err, fmt, ap);
	va_end(ap);
	fputc('\n', l->err);
}

char *
option_copy(const char *text)
{
	char *s = strdup(text);

	if (s == NULL)
		fatal("configuration");
	return s;
}

/* --- values ----------------------------------------------------------------------------------- */

static bool
is_number(const config_setting_t *s)
{
	int type = config_setting_type(s);

	return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

static void
load_number(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	int64_t v = is_number(s) ? config_setting_get_int64(s) : 0;

	if (!is_number(s))
		load_complain(l, s, o->name, "expected a whole number");
	else if (v < o->min || v > o->max)
		load_complain(l, s, o->name, "%lld is out of range: %lld to %lld", (long long)v,
		    (long long)o->min, (long long)o->max);
	else if (o->kind == OPTION_PORT)
		*(uint16_t *)at = (uint16_t)v;
	else
		*(int *)at = (int)v;
}

static void
load_mode(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	const char *text =
	    config_setting_type(s) == CONFIG_TYPE_STRING ? config_setting_get_string(s) : NULL;
	char *end = NULL;
	unsigned long v = text == NULL ? 0 : strtoul(text, &end, 8);

	if (text == NULL || end == text || *end != '\0' || v > 0777)
		load_complain(l, s, o->name, "expected permissions in octal, such as \"0770\"");
	else
		*(unsigned int *)at = (unsigned int)v;
}

static void
load_bool(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	if (config_setting_type(s) == CONFIG_TYPE_BOOL)
		*(bool *)at = config_setting_get_bool(s) != 0;
	else if (is_number(s) &&
		 (config_setting_get_int64(s) == 0 || config_setting_get_int64(s) == 1))
		*(bool *)at = config_setting_get_int64(s) == 1;
	else
		load_complain(l, s, o->name, "expected true or false");
}

static int
time_of(const config_setting_t *s, int64_t *us)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		return conf_parse_time(config_setting_get_string(s), us);
	case CONFIG_TYPE_FLOAT:
		return conf_time_of_seconds(config_setting_get_float(s), us);
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return conf_time_of_seconds((double)config_setting_get_int64(s), us);
	default:
		return -1;
	}
}

static void
load_time(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	char lo[UNITS_SIZE], hi[UNITS_SIZE];
	int64_t us;

	if (time_of(s, &us) == -1)
		load_complain(
		    l, s, o->name, "expected a time: seconds, or \"500ms\", \"30s\", \"5min\"");
	else if (us < o->min || us > o->max)
		load_complain(l, s, o->name, "out of range: %s to %s", conf_format_time(lo, o->min),
		    conf_format_time(hi, o->max));
	else
		*(int64_t *)at = us;
}

static void
load_size(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	char lo[UNITS_SIZE], hi[UNITS_SIZE];
	int64_t bytes = is_number(s) ? config_setting_get_int64(s) : -1;

	if (!is_number(s) && (config_setting_type(s) != CONFIG_TYPE_STRING ||
				 conf_parse_size(config_setting_get_string(s), &bytes) == -1))
		load_complain(l, s, o->name, "expected a size: bytes, or \"16kB\", \"1MB\"");
	else if (bytes < o->min || bytes > o->max)
		load_complain(l, s, o->name, "out of range: %s to %s", conf_format_size(lo, o->min),
		    conf_format_size(hi, o->max));
	else
		*(int64_t *)at = bytes;
}

static void
load_string(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	if (config_setting_type(s) != CONFIG_TYPE_STRING) {
		load_complain(l, s, o->name, "expected a string in double quotes");
		return;
	}
	if (o->kind == OPTION_SECRET) {
		*(char **)at = vault_copy(l->conf->vault, config_setting_get_string(s));
		return;
	}
	free(*(char **)at);
	*(char **)at = option_copy(config_setting_get_string(s));
}

static void
load_enum(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	const char *text =
	    config_setting_type(s) == CONFIG_TYPE_STRING ? config_setting_get_string(s) : "";
	const char *w = o->words;
	int i;

	for (i = 0; *w != '\0'; i++) {
		size_t n = strcspn(w, " ");
		if (strlen(text) == n && memcmp(text, w, n) == 0) {
			*(int *)at = i;
			return;
		}
		w += n + (w[n] == ' ');
	}
	load_complain(l, s, o->name, "expected one of \"%s\"", o->words);
}

void
load_value(struct load *l, const config_setting_t *s, const struct option *o, void *base)
{
	static void (*const loaders[])(struct load *, const config_setting_t *,
	    const struct option *, void *) = {[OPTION_INT] = load_number,
	    [OPTION_PORT] = load_number,
	    [OPTION_MODE] = load_mode,
	    [OPTION_BOOL] = load_bool,
	    [OPTION_TIME] = load_time,
	    [OPTION_SIZE] = load_size,
	    [OPTION_STRING] = load_string,
	    [OPTION_SECRET] = load_string,
	    [OPTION_ENUM] = load_enum};

	loaders[o->kind](l, s, o, (char *)base + o->offset);
}

void
option_unknown(
    char *text, size_t size, const char *key, const struct option *table, const char *const *more)
{
	const char *words[256], *near;
	size_t k = 0;

	while (table->name != NULL && k < 200)
		words[k++] = table++->name;
	while (more != NULL && *more != NULL && k < 255)
		words[k++] = *more++;
	words[k] = NULL;
	near = conf_suggest(key, words);
	if (near != NULL)
		snprintf(text, size, "unknown option, did you mean \"%s\"?", near);
	else
		snprintf(text, size, "unknown option");
}

void
load_unknown(
    struct load *l, const config_setting_t *s, const struct option *table, const char *const *more)
{
	const char *key = config_setting_name(s);
	char text[OPTION_UNKNOWN_SIZE];

	option_unknown(text, sizeof(text), key, table, more);
	load_complain(l, s, key, "%s", text);
}

/* --- tables ----------------------------------------------------------------------------------- */

const struct option *
option_find(const struct option *table, const char *name)
{
	while (table->name != NULL && strcmp(table->name, name) != 0)
		table++;
	return table->name == NULL ? NULL : table;
}

static void
set_default(const struct option *o, void *at)
{
	switch (o->kind) {
	case OPTION_TIME:
		if (o->def == NULL)
			*(int64_t *)at = -1; /* inherit */
		else
			ENSURE(conf_parse_time(o->def, at) == 0);
		break;
	case OPTION_SIZE:
		ENSURE(conf_parse_size(o->def, at) == 0);
		break;
	case OPTION_STRING:
	case OPTION_SECRET:
		*(char **)at = o->def == NULL ? NULL : option_copy(o->def);
		break;
	case OPTION_BOOL:
		*(bool *)at = o->number != 0;
		break;
	case OPTION_PORT:
		*(uint16_t *)at = (uint16_t)o->number;
		break;
	case OPTION_MODE:
		*(unsigned int *)at = (unsigned int)o->number;
		break;
	case OPTION_INT:
	case OPTION_ENUM:
		*(int *)at = (int)o->number;
		break;
	}
}

void
option_defaults(const struct option *table, void *base)
{
	for (; table->name != NULL; table++)
		set_default(table, (char *)base + table->offset);
}

void
option_free(const struct option *table, void *base)
{
	for (; table->name != NULL; table++)
		if (table->kind == OPTION_STRING)
			free(*(char **)(void *)((char *)base + table->offset));
}

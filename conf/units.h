/*
 * units: times and sizes as a person writes them. The parsers are in conf/conf.h; this is the way
 * back, for messages.
 */
#ifndef CONF_UNITS_H
#define CONF_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* Enough for any result. */
#define UNITS_SIZE 32

/* Microseconds or bytes in the largest unit that needs no fraction: "500ms", "1h", "64kB". */
const char *conf_format_time(char buf[UNITS_SIZE], int64_t us);
const char *conf_format_size(char buf[UNITS_SIZE], int64_t bytes);

/* A number of seconds. 0, or -1 (negative, too large, not a number, or lost in rounding to 0). */
int conf_time_of_seconds(double seconds, int64_t *us);

#endif

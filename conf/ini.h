/*
 * ini: the syntax of a PgBouncer configuration file: [sections], key = value, `;` or `#` before a
 * comment line, %include, "quoted" names; and the key=value pairs within a value.
 */
#ifndef CONF_INI_H
#define CONF_INI_H

#include <stdbool.h>
#include <stdio.h>

struct ini_item {
	const char *section;
	const char *key;
	const char *value;
	const char *file; /* where it stands */
	int line;
};

typedef void ini_fn(void *arg, const struct ini_item *);

/* True if the file is in this format: its first line that says something is a [section] or an
 * %include. Libconfig's format knows neither. */
bool ini_is(const char *path);

/* Calls fn for every item, in order. Errors go to `err` as "FILE:LINE: what is wrong"; their number
 * is returned. */
int ini_load(const char *path, FILE *err, ini_fn *fn, void *arg);

/* Calls fn for every pair of an item's value (host=x dbname='a b'), with the item's place and
 * section. The same errors. */
int ini_pairs(const struct ini_item *, FILE *err, ini_fn *fn, void *arg);

#endif

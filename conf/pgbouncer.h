/*
 * pgbouncer: a PgBouncer configuration (pgbouncer.ini) as text in our own format, so that there is
 * one loader with one set of checks. What each of PgBouncer's options becomes is a table in
 * pgbouncer.c; README.md tells it to users, and a test compares the two.
 */
#ifndef CONF_PGBOUNCER_H
#define CONF_PGBOUNCER_H

#include <stddef.h>
#include <stdio.h>

/* Where a line of the text comes from. */
struct pgbouncer_line {
	char *file;
	int line;
};

struct pgbouncer_text {
	char *text; /* NULL = there were errors */
	size_t len;
	struct pgbouncer_line *lines; /* of line i + 1 */
	size_t nlines;
	char *notes; /* what has no meaning here and so on: "FILE:LINE: ..." lines, perhaps empty */
};

/* Every error goes to `err` as "FILE:LINE: KEY: what is wrong"; returns their number. */
int pgbouncer_translate(struct pgbouncer_text *, const char *path, FILE *err);
void pgbouncer_text_free(struct pgbouncer_text *);

/* For the test: the i-th option that is not taken under its own name, and what becomes of it (NULL:
 * `*note` says why it has no meaning). NULL at the end. */
const char *pgbouncer_fate(size_t i, const char **becomes, const char **note);

#endif

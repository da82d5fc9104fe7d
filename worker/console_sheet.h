/*
 * console_sheet: a result of the console: rows of texts under named columns, which can be chosen
 * from, ordered and cut, and go out as PostgreSQL's messages.
 */
#ifndef WORKER_CONSOLE_SHEET_H
#define WORKER_CONSOLE_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct sheet;

/* `columns`: "name name:i name:n ...": text, int8 (i), numeric (n). */
struct sheet *sheet_new(const char *columns);
void sheet_free(struct sheet *);
/* The next cell, row by row. NULL text is NULL. */
void sheet_text(struct sheet *, const char *);
void sheet_number(struct sheet *, uint64_t);

/* " WHERE col = 'x' AND ... ORDER BY col [DESC] LIMIT n": NULL, or what is wrong with it. */
const char *sheet_filter(struct sheet *, const char *clause);

/* A column's format in the answer: text or binary. */
typedef bool sheet_binary(void *arg, size_t column);
void sheet_describe(const struct sheet *, struct conn *, sheet_binary *, void *arg);
/* The rows; returns how many. */
size_t sheet_send(const struct sheet *, struct conn *, sheet_binary *, void *arg);

#endif

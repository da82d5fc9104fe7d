/*
 * tokens: the syntax that pg_hba.conf and pg_ident.conf share: lines of fields, fields of tokens
 * separated by commas, "quotes", # comments, a backslash that continues a line, @file.
 */
#ifndef CONF_TOKENS_H
#define CONF_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TOKENS_MAX 16384 /* in one line, its @files included */

struct token {
	char *text;
	bool quoted; /* its beginning was: no keyword, no @file, no regular expression */
};

struct field {
	struct token *v;
	size_t n; /* at least 1 */
};

struct line {
	int number; /* of its first line in the file */
	struct field *v;
	size_t n; /* at least 1 */
};

/* Called for each line that is not empty; NULL, or what is wrong with it. */
typedef const char *tokens_fn(void *arg, const struct line *);

/* All lines of a text; `path` is for messages ("PATH:LINE: what") and for finding @files, which are
 * read through `files`; either may be NULL: there are none. Returns the number of errors. */
struct files;
int tokens_parse(const char *text, size_t len, const char *path, struct files *, FILE *err,
    tokens_fn *fn, void *arg);
/* All lines of a file. */
int tokens_load(const char *path, struct files *, FILE *err, tokens_fn *fn, void *arg);

#endif

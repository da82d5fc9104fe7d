/*
 * option: tables of options (options.def, members.def) and the value of one of them, from the file
 * into a struct. Private to conf/; the lists and the file as a whole are load.c's.
 */
#ifndef CONF_OPTION_H
#define CONF_OPTION_H

#include <libconfig.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

enum option_kind {
	OPTION_INT,
	OPTION_BOOL,
	OPTION_TIME,
	OPTION_SIZE,
	OPTION_STRING,
	OPTION_SECRET, /* a string in the configuration's vault */
	OPTION_ENUM,
	OPTION_PORT,
	OPTION_MODE
};

struct option {
	const char *name; /* NULL ends a table */
	enum option_kind kind;
	size_t offset;
	int64_t min, max;
	const char *def;   /* TIME, SIZE, STRING; NULL = NULL */
	int64_t number;	   /* the default of all others */
	const char *words; /* ENUM, blank-separated, in the enum's order */
};

extern const struct option option_globals[], option_listen[], option_database[], option_user[];

struct files;

/* A file being loaded, and where its errors go. */
struct load {
	struct conf *conf;
	const config_setting_t *root;
	struct files *files; /* what it names is read through this */
	FILE *err;
	int errors;
	char prefix[64]; /* "databases[1]." */
	/* where the lines come from, if the file is PgBouncer's; else NULL */
	const struct pgbouncer_text *origin;
};

/* The file and the line where something stands; `s` may be NULL. */
const char *load_place(const struct load *, const config_setting_t *s, int *line);

/* One error, "FILE:LINE: PREFIX KEY: ..."; `s` may be NULL. */
void load_complain(struct load *, const config_setting_t *s, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* What is wrong with a key that is none of these; `more` (NULL: none) names what else stands beside
 * them. */
#define OPTION_UNKNOWN_SIZE 128
void option_unknown(
    char *text, size_t size, const char *key, const struct option *table, const char *const *more);
/* The same of the key `s`, as an error. */
void load_unknown(
    struct load *, const config_setting_t *s, const struct option *table, const char *const *more);
/* The value of one option into the struct at `base`. */
void load_value(struct load *, const config_setting_t *s, const struct option *option, void *base);

/* NULL if the table has none of this name. */
const struct option *option_find(const struct option *table, const char *name);
/* Every option of the table: its default into the struct at `base`; what it owns, freed. */
void option_defaults(const struct option *table, void *base);
void option_free(const struct option *table, void *base);

/* Is the value of one option, or of every option of the table, the same in both structs? */
bool option_same(const struct option *, const void *a, const void *b);
bool option_table_same(const struct option *table, const void *a, const void *b);

/* The value in force and the default, as the file would say them. */
void option_show(const struct option *, const struct conf *, char *now, size_t now_size, char *def,
    size_t def_size);

/* conf_write with another value, as text, for one option. */
void conf_write_with(const struct conf *, const struct option *, const char *value, FILE *out);

/* A text as libconfig reads it back, in double quotes. */
void option_put_text(FILE *out, const char *text);
/* strdup that does not fail. */
char *option_copy(const char *text);

#endif

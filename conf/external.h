/*
 * external: PAM and LDAP: the options of a rule (or of the global setting), under PostgreSQL's
 * names, checked here and carried as they are to the helper process that uses them.
 */
#ifndef CONF_EXTERNAL_H
#define CONF_EXTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"

/* "name=value" strings, each ended by its NUL. */
struct external {
	char *text; /* NULL = none */
	size_t len;
};

/* Is this a method of the kind, and was pgdrove built with it? */
bool external_method(enum auth_type);
bool external_built(enum auth_type);

/* Adds one "name=value". NULL, or what is wrong with it. */
const char *external_add(struct external *, enum auth_type, const char *option);
/* ... several, as they would stand in a line of pg_hba.conf. */
const char *external_add_all(struct external *, enum auth_type, const char *line);
/* All options are there: do they make sense together? NULL, or what is wrong. */
const char *external_check(const struct external *, enum auth_type);
/* NULL: it is not set. */
const char *external_get(const struct external *, const char *name);
void external_free(struct external *);

#endif

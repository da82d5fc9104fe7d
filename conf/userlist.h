/*
 * userlist: an auth_file: names and stored secrets, in the format of PgBouncer's userlist.txt:
 *
 *   "name" "secret"     one user a line; "" in a text stands for "; what follows is not read
 *   ; comment
 *
 * A secret is a password, "md5" and 32 hex digits, or "SCRAM-SHA-256$...". Empty = none is known.
 */
#ifndef CONF_USERLIST_H
#define CONF_USERLIST_H

#include "conf/kinds.h"

#include <stddef.h>
#include <stdio.h>

struct userlist;

/* Every error is written to `err` as "FILE:LINE: what is wrong"; NULL if there was any. */
struct files;
struct userlist *userlist_load(const char *path, struct files *, FILE *err);
/* The same from memory; `path` is for the messages. */
struct userlist *userlist_parse(const char *text, size_t len, const char *path, FILE *err);
void userlist_free(struct userlist *);

/* The secret of a user, NULL = there is no such user. Owned by the list. */
const char *userlist_secret(const struct userlist *, const char *user);
size_t userlist_count(const struct userlist *);
/* Adds the secrets' kinds. */
void userlist_kinds(const struct userlist *, struct kinds *);

#endif

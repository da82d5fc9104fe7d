/*
 * ident: a map from accounts and certificate names to users, in the format of pg_ident.conf:
 *
 *   mapname  system-name|/regex  user|all|/regex     \1 in the user stands for the first (...)
 */
#ifndef CONF_IDENT_H
#define CONF_IDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct ident;

/* Errors go to `err` as "FILE:LINE: what"; NULL if there was any. */
struct files;
struct ident *ident_load(const char *path, struct files *, FILE *err);
struct ident *ident_parse(const char *text, size_t len, const char *path, FILE *err);
void ident_free(struct ident *);

/* Is there a map of this name? */
bool ident_has(const struct ident *, const char *map);
/* May who is `system` to the operating system (or in his certificate) come in as `user`? */
bool ident_allows(const struct ident *, const char *map, const char *system, const char *user);

#endif

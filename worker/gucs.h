/*
 * gucs: sets of settings that differ from a backend's own, interned: equal sets are one pointer.
 * The empty set is NULL. A set never changes; whoever holds one has counted a reference.
 *
 * Names are in lower case; values are as set_config() takes them. Any number, any length.
 */
#ifndef WORKER_GUCS_H
#define WORKER_GUCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gucs;

const struct gucs *gucs_hold(const struct gucs *);
void gucs_drop(const struct gucs *);

/* The set with this value, or without it (value NULL). Takes the reference of `old` and returns
 * one. */
const struct gucs *gucs_put(const struct gucs *old, const char *name, const char *value);
/* NULL = it is not in the set. */
const char *gucs_get(const struct gucs *, const char *name);

/* The pairs in order of name: *at begins with 0. False = no more. */
bool gucs_next(const struct gucs *, size_t *at, const char **name, const char **value);

/* All names and values are ASCII. */
bool gucs_is_ascii(const struct gucs *);

/* gucs_anybody.c: a setting that every role may change and RESET. False for most that need a right,
 * and for those that are not known. */
bool gucs_anybody(const char *name);

/* name\0value\0...: what gucs_of takes back. */
const char *gucs_bytes(const struct gucs *, size_t *len);
/* False = not well-formed. */
bool gucs_of(const char *bytes, size_t len, const struct gucs **);

#endif

/*
 * params: the settings that follow a client from backend to backend. Values are interned strings,
 * so that two sets are compared by pointers. A NULL value means "not known".
 */
#ifndef WORKER_PARAMS_H
#define WORKER_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARAMS_N 6

struct params {
	const char *v[PARAMS_N];
};

/* Index of a tracked name (case does not matter), or -1. */
int params_index(const char *name);
const char *params_name(int i);

/* True if this setting changes what parsing a statement means. */
bool params_parses(int i);
/* The same string as `text`, which is another set's value (or NULL). */
void params_share(struct params *, int i, const char *text);

/* Sets a value (copied and interned), replacing the old one. False = no memory. */
bool params_set(struct params *, int i, const char *value);
/* Fills what `dst` does not know from `src`. */
void params_default(struct params *dst, const struct params *src);
void params_copy(struct params *dst, const struct params *src);
void params_fini(struct params *);

/* True if a backend with `have` serves a client that wants `want` as it is. */
bool params_match(const struct params *want, const struct params *have);
/* "SET a TO 'x';SET b TO 'y'" for what differs; malloc'd, NULL = no memory. */
char *params_sql(const struct params *want, const struct params *have);

/* name\0value\0... of all known values. */
struct wire_out;
void params_pack(const struct params *, struct wire_out *);
bool params_unpack(struct params *, const uint8_t *p, size_t len);

#endif

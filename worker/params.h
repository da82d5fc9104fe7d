/*
 * params: the settings that follow a client from backend to backend. Those the server reports by
 * itself are interned strings, a NULL value means "not known"; all others, as far as they are not
 * the backend's own, are one interned set. So two of these are compared by pointers.
 */
#ifndef WORKER_PARAMS_H
#define WORKER_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "worker/gucs.h"

#define PARAMS_N 6

struct params {
	const char *v[PARAMS_N];
	const struct gucs *set;
	bool tainted;	 /* a backend's: others may be set too, we do not know which */
	uint8_t lasting; /* ... bit i: v[i] has never been another since its login */
	uint8_t apart;	 /* bit i, a client's: v[i] is not what it logged in with; a backend's: it
			  * was SET for such a one, so that the server can tell whether a RESET has
			  * taken place even if that gives the same value */
	uint32_t caller; /* ... by functions that this client has called, for whom they stay; 0 =
			  * nobody. A client's: itself */
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
/* A backend has logged in with these: what RESET ALL gives back, as far as they last. */
void params_begin(struct params *);
/* Fills what `dst` does not know from `src`. */
void params_default(struct params *dst, const struct params *src);
/* DateStyle as the server spells it, if that can be told: it adds what was not said from these. */
void params_spell(struct params *, const struct params *defaults);
void params_copy(struct params *dst, const struct params *src);
void params_fini(struct params *);

/* `want` is a client's, `have` a backend's: true if it serves the client as it is. */
bool params_match(const struct params *want, const struct params *have);
/* The same, as far as it is known what `have` is. */
bool params_agree(const struct params *want, const struct params *have);
/* A setting that is not reported: its value, NULL = none of its own. */
void params_put(struct params *, const char *name, const char *value);
/* role, session_authorization: RESET ALL leaves them. */
bool params_is_identity(const char *name);
bool params_has_identity(const struct gucs *);
/* Gives it those of `was`. */
void params_keep_identity(struct params *, const struct gucs *was);
/*
 * One query that makes a backend that has `have` one that has `want`; malloc'd, never NULL. It is
 * atomic: one that fails changes nothing. Who one is comes last and is taken back first. What to
 * take back may need a right that `want` lacks, and then goes by RESET ALL, which needs none.
 */
char *params_sql(const struct params *want, const struct params *have);
/* A text as a literal of SQL, whatever the server's settings. */
void params_put_literal(FILE *, const char *text);
/* The query has succeeded: what the server does not report. */
void params_became(struct params *have, const struct params *want);

/* All of it; elsewhere, what a backend's caller has set is nobody's. */
struct wire_out;
void params_pack(const struct params *, struct wire_out *);
bool params_unpack(struct params *, const uint8_t *p, size_t len);

#endif

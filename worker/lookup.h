/*
 * lookup: auth_query: what a database knows of a user: nothing, no password, or a secret.
 *
 * Answers are kept for auth_query_ttl and shared by all workers; that there is no such user is kept
 * for a shorter time. Those who want the same user wait for one query.
 */
#ifndef WORKER_LOOKUP_H
#define WORKER_LOOKUP_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "shm/secrets.h"

/* Where to ask: the configuration's texts. */
struct lookup_source {
	const char *db, *user, *query;
};

enum lookup_result {
	LOOKUP_FOUND,  /* the secret is the text */
	LOOKUP_NULL,   /* the user has no password, or it has expired */
	LOOKUP_ABSENT, /* there is no such user */
	LOOKUP_FAILED  /* the text says why; `sqlstate` is the server's */
};

struct lookup_answer {
	enum lookup_result result;
	const char *text;
	char sqlstate[6];
};

/* Somebody who waits; embedded, zero = does not wait. */
struct lookup;
struct lookup_wait {
	struct lookup *lookup;
	void (*fn)(struct lookup_wait *, const struct lookup_answer *);
	TAILQ_ENTRY(lookup_wait) entry;
};

/* False: auth_query is not in use for this database. */
bool lookup_source(const char *db, struct lookup_source *);
/* fn is called once, perhaps before this returns. */
void lookup_ask(struct lookup_wait *, const struct lookup_source *, const char *user,
    void (*fn)(struct lookup_wait *, const struct lookup_answer *));
/* fn will not be called. */
void lookup_cancel(struct lookup_wait *);
/* A client has failed with what was found: it may have changed, so the next one asks again. */
void lookup_doubt(const struct lookup_source *, const char *user);

/* --- between lookup.c and lookup_session.c --- */

struct lookup {
	uint8_t id[SECRETS_ID];
	char user[CONF_NAME_SIZE];
	char *query;
	TAILQ_HEAD(, lookup_wait) waits;
	TAILQ_ENTRY(lookup) queue; /* the session's */
	LIST_ENTRY(lookup) all;
};

/* Runs its query in its turn; ends in lookup_done(). */
void lookup_session_ask(const char *db, const char *user, struct lookup *);
void lookup_done(struct lookup *, const struct lookup_answer *);

#endif

/*
 * startup: a client's first packet, taken apart without trust. Pure; strings point into the
 * caller's packet.
 */
#ifndef PROTO_STARTUP_H
#define PROTO_STARTUP_H

#include "proto/wire.h"

enum startup_kind {
	STARTUP_MORE, /* not complete yet: `len` says how many bytes it will have (at least 8) */
	STARTUP_BAD,  /* `error` says why */
	STARTUP_SSL,  /* answer one byte, then read the next first packet */
	STARTUP_GSSENC,
	STARTUP_CANCEL,
	STARTUP_SESSION
};

#define STARTUP_MAX_PARAMS 64

/* The streaming replication protocol: of the whole server, or of one database, whose SQL works too.
 */
enum startup_replication { REPLICATION_NONE, REPLICATION_PHYSICAL, REPLICATION_LOGICAL };

struct startup_param {
	const char *name;
	const char *value;
};

struct startup {
	uint32_t len;	   /* bytes of the whole packet, once known */
	uint32_t protocol; /* as asked, e.g. 0x00030002 */
	bool
	    negotiate; /* NegotiateProtocolVersion is owed: minor too new or unknown _pq_ options */
	int32_t cancel_pid; /* STARTUP_CANCEL */
	const uint8_t *cancel_key;
	size_t cancel_key_len;
	const char *user;     /* NULL if absent or empty */
	const char *database; /* never NULL for a session with a user: defaults to the user */
	const char *replication_asked; /* as it was spelled, or NULL */
	enum startup_replication replication;
	const char *options;
	struct startup_param params[STARTUP_MAX_PARAMS]; /* all others, _pq_.* excluded */
	size_t nparams;
	const char *pq_options[STARTUP_MAX_PARAMS]; /* names of the _pq_.* options asked for */
	size_t npq;
	const char *sqlstate; /* STARTUP_BAD: what PostgreSQL would say */
	char error[128];
};

/* `avail` bytes of the connection's beginning. A length word over WIRE_STARTUP_MAX is STARTUP_BAD
 * at once. Strings point into p. */
enum startup_kind startup_parse(const uint8_t *p, size_t avail, struct startup *);

/*
 * The NegotiateProtocolVersion answer: the version that will be spoken (the asked one, at most 3.2)
 * and the _pq_ options we do not know (all).
 */
void startup_negotiate(struct wire_out *, const struct startup *);

/*
 * Walks `-c name=value` and `--name=value` in an options string (backslash escapes and dashes in
 * names as PostgreSQL's). Calls fn for each, with strings that live during the call; returns 0, or
 * -1 at the first thing that is neither, when fn returns non-zero, or when it is longer than any
 * startup packet.
 */
int startup_options(
    const char *options, int (*fn)(void *arg, const char *name, const char *value), void *arg);

#endif

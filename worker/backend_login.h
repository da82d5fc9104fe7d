/*
 * backend_login: from a reserved slot to the first ReadyForQuery. Called by backend.c; the two
 * files, backend_connect.c and backend_login.c, share what is below.
 */
#ifndef WORKER_BACKEND_LOGIN_H
#define WORKER_BACKEND_LOGIN_H

#include "worker/keys.h"
#include "worker/objects.h"
#include "worker/resolve.h"
#include "worker/secure.h"
#include "worker/target.h"

/* What is needed until the first ReadyForQuery only, or until that of connect_query. */
struct login {
	struct backend *backend;
	/* backend_connect.c */
	struct targets *targets;		/* NULL: to one address only */
	const struct target *order[CONF_HOSTS]; /* in which the hosts are tried */
	size_t nhosts, next_host;
	const struct target *target; /* the present one: its name is what a certificate must say */
	bool counted;		     /* by target_try */
	struct target_turn turn;
	bool lacking;	  /* a password or key that the server asks for is not known here */
	bool undecided;	  /* a host had no place, but others were trying for one as well */
	uint8_t *refusal; /* the server's ErrorResponse; its end is waited for */
	size_t refusal_len;
	struct resolve *resolve;
	struct address addrs[RESOLVE_MAX];
	size_t naddrs, next;
	struct secure secure;
	bool other_way;	   /* allow: with TLS after all; prefer: without */
	char reasons[512]; /* of several hosts, those that failed */
	/* backend_login.c */
	struct scram_client scram;
	bool scram_begun;
	struct keys_wait keys; /* server_first waits for them */
	char server_first[SCRAM_MESSAGE_MAX];
	size_t server_first_len;
	uint8_t *welcome; /* ParameterStatus messages */
	size_t welcome_len;
	bool setup; /* logged in; connect_query runs */
};

/* An empty backend of the pool, counted in its statistics. NULL = no memory. */
struct backend *backend_new(struct pool *, uint32_t slot);
void backend_event(
    struct loop_source *, uint32_t events); /* backend.c: registered for every backend */
void backend_login_event(struct backend *, uint32_t events);
void backend_login_fini(struct backend *);
/* A ParameterStatus while connect_query runs: it goes to the clients' welcome, too. */
void login_told(struct backend *, const uint8_t *body, size_t len);

/* --- backend_login.c, for backend_connect.c --- */

/* It is connected. */
void login_begin(struct backend *);
/* All that a server has said so far is forgotten: the next one is asked. */
void login_reset(struct backend *);
/* No host is left, or it is of no use to ask others. `error` is an ErrorResponse's body. */
void login_failed_body(struct backend *, const uint8_t *error, size_t len);
void login_failed(struct backend *, const char *sqlstate, const char *what, const char *why);

/* --- backend_connect.c, for backend_login.c --- */

/* An event while it connects. */
void connect_event(struct backend *, uint32_t events);
/* This host's fault: the next host, or the end. `reason` is a target's (worker/target.h). */
void connect_failed(
    struct backend *, const char *sqlstate, const char *what, int reason, const char *why);
/* The server's ErrorResponse: a fault of this host, of the login, or one that may pass. It counts
 * when the server has closed its side, since its process has given its place back by then. */
void connect_refused(struct backend *, const uint8_t *error, size_t len);
/* The connection is at its end. False: it was not for a refusal. */
bool connect_refused_end(struct backend *);
void connect_worked(struct backend *);
void connect_fini(struct backend *);

#endif

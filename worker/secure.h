/*
 * secure: makes a fresh connection to a server as safe as its database's setting wants it: asks for
 * TLS, hears the answer, shakes hands. For backends that log in and for cancel requests.
 */
#ifndef WORKER_SECURE_H
#define WORKER_SECURE_H

#include "conf/tls.h"
#include "worker/conn.h"

enum secure_step {
	SECURE_NOT, /* not begun */
	SECURE_ASKED,
	SECURE_SHAKES,
	SECURE_DONE
};

/* Embedded; zero = not begun. */
struct secure {
	enum secure_step step;
	struct tls_ctx *ctx; /* a reference; NULL = in clear */
	char host[256];
	uint16_t port;
};

enum secure_result {
	SECURE_MORE,   /* waits for the server */
	SECURE_READY,  /* go on */
	SECURE_FAILED, /* *why says it; the connection is of no use */
	SECURE_NO_TLS  /* the same, but the server was reached and TLS is what failed */
};

/* The connection is there. `ctx` NULL: goes in clear. */
enum secure_result secure_start(struct secure *, struct conn *, struct tls_ctx *ctx,
    const char *host, uint16_t port, const char **why);
/* After an event. */
enum secure_result secure_go_on(struct secure *, struct conn *, const char **why);

/* Before it is used for another connection, and at the end. */
void secure_fini(struct secure *);

#endif

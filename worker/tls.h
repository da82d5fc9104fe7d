/*
 * tls: TLS on a conn. conn_recv and conn_send go on as before; what they move is encrypted.
 *
 *   tls.c          handshake, receiving, sending, the end
 *   tls_peer.c     who is at the other end; channel binding
 *   tls_ticket.c   keys of session tickets, the same in all workers
 *   tls_session.c  sessions to take up again with servers
 *   tls_sni.c      which certificate a client is shown
 */
#ifndef WORKER_TLS_H
#define WORKER_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "conf/tls.h"
#include "proto/scram.h"
#include "worker/conn.h"

/* --- tls.c --- */

/*
 * We are the server; what comes from now on is TLS. What stands in `out` goes out in clear before;
 * what stands in `in` was received already and is the beginning of TLS (direct: without
 * SSLRequest; then ALPN must name the protocol). The handshake goes on by itself in conn_recv. 0,
 * or -1: no memory.
 */
int tls_accept(struct conn *, struct tls_ctx *, bool direct);
/* We are the client. `host` is the server's name or address as configured: it is asked for (SNI),
 * and checked under verify-full. Begins at the next conn_send or conn_recv. */
int tls_connect(struct conn *, struct tls_ctx *, const char *host, uint16_t port);
/* The handshake is done. */
bool tls_up(const struct conn *);
/* As conn_recv, conn_send; a handshake under way counts as "nothing now". */
int tls_recv(struct conn *);
enum conn_sent tls_send(struct conn *dst, struct conn *src, uint64_t *sent);
/* Says close_notify. */
void tls_bye(struct conn *);
/* ... if the other side still listens, and frees all. */
void tls_close(struct conn *);
/* The handshake has failed: gives TLS up. What it had to say goes out, and nothing that waits. */
void tls_drop(struct conn *);
/* Of the last failure with errno EPROTO. A static buffer. */
const char *tls_error(void);
/* Drives the handshake: 1 = up, 0 = waits for the other side, -1 = failed (errno). */
int tls_shake(struct conn *);

/* --- tls_peer.c --- */

/* The client's certificate: its common name; its whole name in the form of RFC 2253. It was
 * verified. NULL = there is none, or no such name. A static buffer each. */
const char *tls_peer_cn(const struct conn *);
const char *tls_peer_dn(const struct conn *);
/* The client has shown a certificate that we have verified. */
bool tls_peer_verified(const struct conn *);

#define TLS_BINDING_MAX SCRAM_BINDING_MAX

/* The data of channel binding tls-server-end-point (RFC 5929) for this connection, on either side.
 * Its length; 0 = there is none. */
size_t tls_channel_binding(const struct conn *, uint8_t out[TLS_BINDING_MAX]);

/* The name or address of the server that we were told to connect to; NULL without TLS. */
const char *tls_host(const struct conn *);

/* --- tls_ticket.c --- */

/* Tickets of this context, a server's, are made with the keys of all workers. */
void tls_ticket_hook(SSL_CTX *);

/* --- tls_sni.c --- */

/* This context, a server's, may have several certificates. */
void tls_sni_hook(struct tls_ctx *);

/* --- tls_session.c --- */

/* What a server's tickets are kept under. */
struct tls_place {
	uint64_t serial; /* of the context */
	char host[256];
	uint16_t port;
};

/* To be tried; NULL = none is known. The caller's. */
struct ssl_session_st *tls_session_find(const struct tls_place *);
/* Takes the session. */
void tls_session_keep(const struct tls_place *, struct ssl_session_st *);

#endif

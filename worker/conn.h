/*
 * conn: a connected socket with the bytes in flight on it; clients and backends embed one.
 *
 * Buffers come from a pool and are attached only while they hold bytes. `in` holds what was
 * received: [head, fwd) is parsed and may be sent on, [fwd, tail) is not looked at yet. `out` is a
 * chain of bytes of our own making (or a detached rest of a reply) that must reach this socket
 * before anything relayed does.
 *
 * With TLS, what is encrypted and could not be sent waits in `raw`.
 *
 * Edge-triggered rules: a short read means drained, so no read is made to see EAGAIN; a short write
 * means full, so `blocked` stays set until EPOLLOUT. TCP sockets are registered once for both; a
 * Unix socket asks for EPOLLOUT only after its first short write, because the kernel would report
 * it for every byte the peer reads.
 */
#ifndef WORKER_CONN_H
#define WORKER_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "worker/buf.h"
#include "worker/loop.h"

struct iovec;
struct tls;

struct conn {
	struct loop_source src;
	struct buf *in;
	struct buf *out;
	struct buf *raw;   /* TLS: encrypted already, goes out before anything else */
	struct tls *tls;   /* NULL = plain text; worker/tls.h */
	uint32_t left;	   /* bytes of the current incoming message still to come */
	bool discard : 1;  /* ... and they are to be dropped */
	bool readable : 1; /* the kernel may hold bytes that we have not read */
	bool dry : 1;	   /* TLS: the kernel holds nothing, but the session may */
	bool hup : 1;	   /* the peer closed its side: read to the end */
	bool blocked : 1;  /* the kernel's send buffer is full */
	bool is_unix : 1;
	bool armed_out : 1;
};

/* Takes the fd: non-blocking already; sets what few ask for of TCP's options, the others it has
 * from its listener or from conn_connect; registers. 0 or -1 with errno (fd then still the
 * caller's). */
int conn_open(struct conn *, int fd, bool is_unix, void (*fn)(struct loop_source *, uint32_t));
/* The same of a socket that has its options: another worker has set them. */
int conn_adopt(struct conn *, int fd, bool is_unix, void (*fn)(struct loop_source *, uint32_t));
/* What a socket accepted there inherits, so that it costs no system call for each client. */
void conn_tune_listener(int fd);
/* Begins to connect to a server, without waiting; EPOLLOUT says when it is there. 0, or -1 with
 * errno: it failed at once, and nothing is open. */
int conn_connect(struct conn *, const struct sockaddr_storage *, socklen_t len,
    void (*fn)(struct loop_source *, uint32_t));
/* Closes the fd and drops the buffers. Safe to call twice. */
void conn_close(struct conn *);
/* Nothing more will be sent: says so (TLS: close_notify first) once all is on its way. Twice is
 * fine.
 */
void conn_shutdown(struct conn *);
/* Deregisters and returns the fd without closing it; there must be no buffer and no TLS. */
int conn_detach(struct conn *);

/* Notes what an event says: readable, hup, blocked. True if it was blocked, and sending makes sense
 * again: there is room, or the peer is gone (a Unix socket's end may be told before its room is),
 * which whoever sends must find. */
bool conn_note(struct conn *, uint32_t events);

/* One recv into `in`. > 0 bytes; 0 = nothing now or no room; -1 = closed by the peer (errno 0) or
 * broken (errno). */
int conn_recv(struct conn *);
/* What conn_recv or conn_send failed by: errno, or what TLS says. */
const char *conn_why(const struct conn *);
/* Throws away all that was received and not passed on. */
void conn_forget_input(struct conn *);
/* Gives the buffer back if it is empty, moves a rest to its front if there is no room behind it. */
void conn_trim(struct conn *);
/* True if a recv would make sense: something may be there and there is room. */
bool conn_can_recv(const struct conn *);

/* Something waits to be sent. */
static inline bool
conn_unsent(const struct conn *c)
{
	return c->out != NULL || c->raw != NULL;
}

/* Appends to `out`. */
void conn_put(struct conn *, const void *bytes, size_t n);
/* The same without a copy: release(owner) is called when they are sent, or never will be. */
void conn_put_from(
    struct conn *, const void *bytes, size_t n, void (*release)(void *owner), void *owner);
/* A message of any length from pieces: its header, then conn_put of `body_len` bytes by the caller.
 */
void conn_put_header(struct conn *, uint8_t type, size_t body_len);
/* A whole ParameterStatus; name and value of any length. */
void conn_put_parameter(struct conn *, const char *name, const char *value);
/* Moves [head, fwd) of src's buffer to dst's `out`: what is put next comes behind it. */
void conn_put_approved(struct conn *dst, struct conn *src);
/* The same, and the buffer goes back if that was all: the rest no longer needs src. */
void conn_put_rest(struct conn *dst, struct conn *src);

enum conn_sent {
	CONN_SENT,    /* nothing is left to send */
	CONN_BLOCKED, /* wait for EPOLLOUT */
	CONN_BROKEN   /* errno */
};
/* Sends dst's `out`, then src's [head, fwd) (src may be NULL), in one call where possible. */
enum conn_sent conn_send(struct conn *dst, struct conn *src, uint64_t *sent);

/* --- between conn.c and tls.c --- */

#define CONN_IOV 8

/* What is to be sent next: the bytes, as pieces, and their sum. */
size_t conn_gather(struct conn *dst, struct conn *src, struct iovec *iov, int *count);
/* `n` of these bytes are on their way. */
void conn_gathered_sent(struct conn *dst, struct conn *src, size_t n);
/* The kernel takes no more: waits for EPOLLOUT. */
void conn_block(struct conn *);

#endif

/*
 * relay: see relay.h. Bytes are moved by message borders, straight from the buffer they were
 * received into. Only headers are looked at, plus ReadyForQuery and ParameterStatus; a message of
 * any size streams through one buffer.
 *
 * A side that cannot be written to stops the reading of the other. A fast stream yields after
 * TURN_READS buffers, so that nobody else waits for it.
 */
#include "worker/relay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/log.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/deadline.h"
#include "worker/pool.h"

#define TURN_READS 8

/* --- client to backend ------------------------------------------------------------------------ */

static void
protocol_error(struct client *c, const char *text)
{
	stats_add(&wk->row->protocol_errors, 1);
	client_fail(
	    c, &(struct wire_error){.severity = "FATAL", .sqlstate = "08P01", .message = text});
}

static void
unknown_type(struct client *c, uint8_t type)
{
	char text[64];

	snprintf(text, sizeof(text), "invalid frontend message type %u", type);
	protocol_error(c, text);
}

/* One more than the length word may be: what the server would hang up on never reaches it. */
static uint32_t
longest(uint8_t type)
{
	uint32_t server = wire_frontend_max(type) + 1;

	return wk->conf->max_packet_size_bytes < server ? (uint32_t)wk->conf->max_packet_size_bytes
							: server;
}

/* Moves over up to `left` bytes of a message that was looked at before. */
static void
pass_rest(struct conn *c, struct buf *in)
{
	uint32_t n = in->tail - in->fwd;

	if (n > c->left)
		n = c->left;
	c->left -= n;
	in->fwd += n;
	if (c->discard)
		in->head = in->fwd;
	if (c->left == 0)
		c->discard = false;
}

/* COPY data after the server has given up on it, and Flush with nothing to flush: no backend is
 * needed for them. */
static bool
needs_no_backend(uint8_t type, uint32_t len)
{
	return type == 'd' || type == 'c' || type == 'f' || (type == 'H' && len == WIRE_HEADER);
}

enum parsed {
	PARSED,	 /* all that is there was looked at */
	STOPPED, /* waits for a backend */
	ENDED	 /* the client is gone or going */
};

static void
count_query(struct client *c, uint8_t type)
{
	if (type == 'Q' || type == 'E' || type == 'F')
		stats_add(&c->pool->row->query_count, 1);
}

/* A message goes to the backend: what it will owe for it, and since when. */
static void
sent_to(struct backend *b, uint8_t type)
{
	if (expect_empty(&b->expect)) {
		b->query_us = loop_now();
		if (b->xact_us == 0)
			b->xact_us = loop_now();
		deadline_touch(b);
	}
	if (!expect_sent(&b->expect, type))
		fatal("expected responses");
}

static enum parsed
parse_client(struct client *c)
{
	struct conn *conn = &c->conn;
	struct buf *in;

	while ((in = conn->in) != NULL && in->fwd < in->tail) {
		enum wire_result r;
		uint8_t type;
		uint32_t len;
		if (conn->left > 0) {
			pass_rest(conn, in);
			continue;
		}
		type = in->data[in->fwd];
		if (!wire_frontend_type(type)) {
			unknown_type(c, type);
			return ENDED;
		}
		r = wire_header(in->data + in->fwd, in->tail - in->fwd, longest(type), &type, &len);
		if (r == WIRE_MORE)
			break;
		if (r == WIRE_BAD) {
			protocol_error(c, "invalid message length");
			return ENDED;
		}
		if (type == 'X') {
			if (in->fwd > in->head && c->backend != NULL)
				(void)conn_send(&c->backend->conn, conn, NULL);
			client_close(c, "client said goodbye");
			return ENDED;
		}
		if (c->reject != NULL) {
			client_rejected(c, type);
			conn->left = len;
			conn->discard = true;
			if (conn_send(conn, NULL, NULL) == CONN_BROKEN) {
				client_close(c, strerror(errno));
				return ENDED;
			}
			continue;
		}
		if (c->backend == NULL && !needs_no_backend(type, len)) {
			if (conn_unsent(conn))
				return STOPPED; /* it has not read its last answer yet */
			pool_want(c->pool, c);
		}
		if (c->backend == NULL && !needs_no_backend(type, len))
			return STOPPED;
		if (c->backend != NULL && c->backend->state != BACKEND_ACTIVE)
			return STOPPED; /* its settings are on their way */
		if (c->backend == NULL)
			conn->discard = true;
		else
			sent_to(c->backend, type);
		count_query(c, type);
		conn->left = len;
	}
	return PARSED;
}

/* False: stop here. */
static bool
send_to_backend(struct client *c)
{
	struct backend *b = c->backend;

	if (b == NULL || b->state != BACKEND_ACTIVE)
		return true;
	switch (conn_send(&b->conn, &c->conn, NULL)) {
	case CONN_SENT:
		return true;
	case CONN_BLOCKED:
		return false;
	case CONN_BROKEN:
		/* What the server said last may still be there to read: its own event ends this. */
		b->conn.readable = b->conn.hup = true;
		loop_again(&b->conn.src);
		return false;
	}
	return false;
}

void
relay_client_event(struct client *c, bool writable)
{
	int reads = 0;
	struct backend *b = c->backend;

	if (conn_unsent(&c->conn) && conn_send(&c->conn, NULL, NULL) == CONN_BROKEN) {
		client_close(c, strerror(errno));
		return;
	}
	if (writable && b != NULL && b->state == BACKEND_ACTIVE) {
		relay_backend_event(b, false);
		if (c->conn.src.fd == -1 || c->state == CLIENT_CLOSING)
			return;
	}
	for (;;) {
		int n;
		enum parsed p = parse_client(c);
		if (p == ENDED)
			return;
		conn_trim(&c->conn);
		if (!send_to_backend(c) || p == STOPPED)
			return;
		if (!conn_can_recv(&c->conn))
			return;
		/* Nobody free: leave the bytes in the kernel and queue, unless this may be a
		 * goodbye, or TLS's own. */
		if (c->backend == NULL && c->conn.in == NULL && !c->conn.hup && c->reject == NULL &&
		    !pool_has_idle(c->pool) && !conn_unsent(&c->conn) && reads == 0 &&
		    c->conn.tls == NULL) {
			pool_want(c->pool, c);
			if (c->backend == NULL || c->backend->state != BACKEND_ACTIVE)
				return;
		}
		if (reads++ == TURN_READS) {
			loop_again(&c->conn.src);
			return;
		}
		n = conn_recv(&c->conn);
		if (n == -1) {
			client_close(
			    c, errno == 0 ? "client closed the connection" : strerror(errno));
			return;
		}
		if (n == 0)
			return;
		stats_add(&c->pool->row->bytes_received, (uint64_t)n);
	}
}

/* --- backend to client ------------------------------------------------------------------------ */

static void
client_parameter(struct backend *b, const uint8_t *body, size_t len)
{
	int i = backend_parameter(b, body, len);

	if (i != -1 && b->client != NULL)
		(void)params_set(&b->client->params, i, b->params.v[i]);
}

enum answer {
	ANSWER_MORE, /* the transaction goes on */
	ANSWER_DONE, /* ReadyForQuery 'I', nothing owed */
	ANSWER_BAD
};

static enum answer
ready_for_query(struct backend *b, char status)
{
	if (status == 'I')
		stats_add(&b->pool->row->xact_count, 1);
	b->status = status;
	if (expect_empty(&b->expect)) {
		b->query_us = 0;
		b->quiet_us = loop_now();
		if (status == 'I')
			b->xact_us = 0;
		else
			deadline_touch(b);
	}
	return expect_empty(&b->expect) && status == 'I' && b->client->conn.left == 0 ? ANSWER_DONE
										      : ANSWER_MORE;
}

/* Looks at whole messages and approves them for sending. Stops behind the last answer owed. */
static enum answer
parse_backend(struct backend *b)
{
	struct conn *conn = &b->conn;
	struct buf *in = conn->in;

	while (in->fwd < in->tail) {
		const uint8_t *p = in->data + in->fwd;
		uint32_t avail = in->tail - in->fwd, len;
		uint8_t type;
		enum wire_result r;
		if (conn->left > 0) {
			pass_rest(conn, in);
			continue;
		}
		r = wire_header(p, avail, (uint32_t)wk->conf->max_packet_size_bytes, &type, &len);
		if (r == WIRE_MORE)
			return ANSWER_MORE;
		if (r == WIRE_BAD || !wire_backend_type(type) || (type == 'Z' && len != 6))
			return ANSWER_BAD;
		if (type == 'Z' && avail < len)
			return ANSWER_MORE;
		if (type == 'S' && avail < len && len <= buf_cap())
			return ANSWER_MORE;
		if (type == 'S' && avail >= len)
			client_parameter(b, p + WIRE_HEADER, len - WIRE_HEADER);
		if (type == 'E' && avail >= len)
			b->said_last = wire_error_fatal(p + WIRE_HEADER, len - WIRE_HEADER);
		if (!expect_got(&b->expect, type))
			return ANSWER_BAD;
		conn->left = len;
		pass_rest(conn, in);
		if (type == 'Z' && ready_for_query(b, (char)p[WIRE_HEADER]) == ANSWER_DONE)
			return ANSWER_DONE;
	}
	return ANSWER_MORE;
}

/* Statement mode: a transaction block is refused, as PgBouncer does. */
static bool
forbidden_block(struct backend *b)
{
	struct client *c = b->client;

	if (b->pool->mode != POOL_STATEMENT || b->status == 'I')
		return false;
	client_fail(c, &(struct wire_error){.severity = "FATAL",
			   .sqlstate = "0A000",
			   .message = "transaction blocks not allowed in statement pooling mode"});
	return true;
}

/* The transaction is over and its answer is on its way: the backend is for the next. */
static void
transaction_done(struct backend *b)
{
	struct client *c = b->client;

	if (b->pool->mode == POOL_SESSION) {
		(void)client_dismissed(c);
		return;
	}
	if (b->conn.in != NULL) {
		/* Notices and the like behind the last answer; they belong to nobody. */
		b->conn.in->head = b->conn.in->fwd;
		b->conn.readable = true;
	}
	(void)client_unlink(c);
	b->dirty |= wk->conf->server_reset_query_always;
	if (b->conn.in != NULL && b->conn.in->tail > b->conn.in->fwd) {
		log_debug("backend pid %d: data behind the last answer", (int)b->facts.pid);
		backend_close(b, "data behind the last answer");
	} else {
		conn_trim(&b->conn);
		backend_clean(b);
	}
	if (client_dismissed(c))
		return;
	if (c->conn.in != NULL || c->conn.readable)
		loop_again(&c->conn.src);
}

/* Sends what is approved. False: the client cannot take more now, or is gone. */
static bool
send_to_client(struct backend *b, bool done)
{
	struct client *c = b->client;
	uint64_t sent = 0;
	enum conn_sent r = conn_send(&c->conn, &b->conn, &sent);

	stats_add(&b->pool->row->bytes_sent, sent);
	if (r == CONN_BROKEN) {
		client_close(c, strerror(errno));
		return false;
	}
	if (r == CONN_BLOCKED && done)
		conn_put_rest(&c->conn,
		    &b->conn); /* the client's slowness is no reason to keep the backend */
	return r == CONN_SENT || done;
}

void
relay_backend_event(struct backend *b, bool writable)
{
	struct client *c = b->client;
	int reads = 0;

	if (writable && c != NULL) {
		relay_client_event(c, false);
		if (b->conn.src.fd == -1 || b->state != BACKEND_ACTIVE || b->client != c)
			return;
	}
	for (;;) {
		enum answer a = ANSWER_MORE;
		int n;
		if (b->conn.in != NULL)
			a = parse_backend(b);
		if (a == ANSWER_BAD) {
			backend_lost(b, "protocol out of step");
			return;
		}
		if (b->client != NULL && b->conn.in != NULL && forbidden_block(b))
			return;
		if (b->client == NULL || !send_to_client(b, a == ANSWER_DONE))
			return;
		if (a == ANSWER_DONE)
			transaction_done(b);
		if (b->state != BACKEND_ACTIVE || b->client != c || !conn_can_recv(&b->conn))
			return;
		if (reads++ == TURN_READS) {
			loop_again(&b->conn.src);
			return;
		}
		n = conn_recv(&b->conn);
		if (n == -1) {
			backend_lost(b, errno == 0 ? "closed by the server" : strerror(errno));
			return;
		}
		if (n == 0)
			return;
	}
}

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

#include "conf/hint.h"
#include "conf/log.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/deadline.h"
#include "worker/gate.h"
#include "worker/handover.h"
#include "worker/pool.h"
#include "worker/replay.h"
#include "worker/slow.h"

#define TURN_READS 8

static void transaction_done(struct backend *);

/* --- client to backend ------------------------------------------------------------------------ */

COLD static void
protocol_error(struct client *c, const char *text)
{
	stats_add(&wk->row->protocol_errors, 1);
	client_fail(
	    c, &(struct wire_error){.severity = "FATAL", .sqlstate = "08P01", .message = text});
}

COLD static void
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
static uint32_t
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
	return n;
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
	SHORT,	 /* the same, and the last message is not complete */
	STOPPED, /* waits for a backend, or for an answer */
	FULL,	 /* waits until the backend has taken what there is */
	ENDED	 /* the client is gone or going */
};

/* A message was taken: it is on its way. */
static void
taken(struct client *c, uint8_t type)
{
	if ((type == 'Q' || type == 'F') && c->backend != NULL &&
	    unlikely(c->backend->replay == REPLAY_REFUSED))
		replay_skips(c->backend);
	if (type == 'Q' || type == 'E' || type == 'F')
		stats_add(&c->pool->row->query_count, 1);
	else if (type == 'P')
		stats_add(&c->pool->row->cl_parse_count, 1);
	else if (type == 'B')
		stats_add(&c->pool->row->cl_bind_count, 1);
}

void
relay_sent(struct backend *b, const struct expect_entry *e)
{
	if (e->type == 'P')
		stats_add(&b->pool->row->sv_parse_count, 1);
	relay_owed(b, e);
}

void
relay_owed(struct backend *b, const struct expect_entry *e)
{
	bool idle = expect_empty(&b->expect), ok;

	ok = e->op != 0 || e->flags != 0 ? expect_push(&b->expect, e)
					 : expect_sent(&b->expect, e->type);
	if (!ok)
		fatal("expected responses");
	b->lingers = b->lingers && expect_empty(&b->expect);
	if (idle && !expect_empty(&b->expect)) { /* Flush, say, is owed nothing */
		b->query_us = loop_now();
		if (b->xact_us == 0)
			b->xact_us = loop_now();
		deadline_touch(b);
	}
}

/* Links a backend if the message at hand needs one. False: it waits for one, or for its settings.
 */
static bool
have_backend(struct client *c, bool needed, const uint8_t *p, uint32_t avail, uint32_t len)
{
	if (c->backend == NULL && needed) {
		if (conn_unsent(&c->conn))
			return false; /* it has not read its last answer yet */
		pool_want(c->pool, c);
	}
	if (c->backend == NULL)
		return !needed;
	if (c->backend->state != BACKEND_ACTIVE)
		return false;
	if (unlikely(c->session.resets) && session_waits(c, p[0])) {
		c->stalled = true;
		return false;
	}
	return likely(c->backend->replay == REPLAY_NONE) || replay_lets(c, p, avail, len);
}

/* What follows from the gate's word on a message. */
static enum parsed
gate_said(struct client *c, enum gate g, uint8_t type)
{
	switch (g) {
	case GATE_TAKEN:
		taken(c, type);
		return PARSED;
	case GATE_MORE:
		return SHORT;
	case GATE_WAIT:
		return STOPPED;
	case GATE_FULL:
		return FULL;
	}
	return STOPPED;
}

/* A message that is longer than a buffer and must be seen whole. */
COLD static enum parsed
parse_big(struct client *c)
{
	struct gate_big *g = c->big;
	uint8_t type;

	if (!gate_gather(c))
		return SHORT;
	if (!have_backend(c, true, g->p, g->len, g->len))
		return STOPPED;
	type = g->p[0];
	return gate_said(c, gate_message(c, type, g->p, g->len, g->len), type);
}

COLD static enum parsed
parse_goodbye(struct client *c)
{
	struct buf *in = c->conn.in;

	if (in->fwd > in->head && c->backend != NULL)
		(void)conn_send(&c->backend->conn, &c->conn, NULL);
	client_close(c, "client said goodbye");
	return ENDED;
}

COLD static enum parsed
parse_rejected(struct client *c, uint8_t type, uint32_t len)
{
	client_rejected(c, type);
	c->conn.left = len;
	c->conn.discard = true;
	if (conn_send(&c->conn, NULL, NULL) != CONN_BROKEN)
		return PARSED;
	client_close(c, strerror(errno));
	return ENDED;
}

/* The message at hand has a text: its header, and what is there of it, are passed on. */
static void
look_at_text(struct client *c, uint8_t type, uint32_t len)
{
	struct buf *in = c->conn.in;
	const uint8_t *body = in->data + in->fwd + WIRE_HEADER;
	uint32_t avail = in->tail - in->fwd;

	(void)pass_rest(&c->conn, in);
	session_text(c, type, body, (avail < len ? avail : len) - WIRE_HEADER, len - WIRE_HEADER);
}

/* The answers are complete, and the transaction is over. */
static bool
is_over(const struct backend *b, char status)
{
	return expect_empty(&b->expect) && (status == 'I' || b->replay == REPLAY_REFUSED);
}

/* The message at hand goes to the backend as it came. */
static void
send_on(struct backend *b, uint8_t type, uint32_t len)
{
	bool call = type == 'F' && !expect_ignored(&b->expect);

	b->lingers = needs_no_backend(type, len) && is_over(b, b->status);
	relay_sent(
	    b, &(struct expect_entry){.type = type, .op = call ? GATE_CALLED : GATE_NOTHING});
}

/* A message whose header is there. */
static enum parsed
parse_message(struct client *c, uint8_t type, uint32_t len)
{
	struct conn *conn = &c->conn;
	struct buf *in = conn->in;
	uint32_t avail = in->tail - in->fwd;

	if (type == 'X')
		return parse_goodbye(c);
	if (unlikely(c->reject != NULL))
		return parse_rejected(c, type, len);
	if (avail > len)
		avail = len;
	if (!have_backend(c, !needs_no_backend(type, len), in->data + in->fwd, avail, len))
		return STOPPED;
	if (c->backend != NULL && gate_looks(c, type)) {
		enum gate g = gate_message(c, type, in->data + in->fwd, avail, len);
		if (type == 'Q' && g == GATE_TAKEN && conn->left > 0 && session_watches(c))
			look_at_text(c, type, len);
		return gate_said(c, g, type);
	}
	if (c->backend == NULL)
		conn->discard = true;
	else
		send_on(c->backend, type, len);
	if (type == 'F')
		session_called(c);
	taken(c, type);
	conn->left = len;
	if ((type == 'Q' || type == 'P') && c->backend != NULL && session_watches(c))
		look_at_text(c, type, len);
	return PARSED;
}

static enum parsed
parse_step(struct client *c)
{
	struct conn *conn = &c->conn;
	struct buf *in = conn->in;
	uint8_t type;
	uint32_t len;

	if (conn->left > 0) {
		const uint8_t *p = in->data + in->fwd;
		uint32_t n = pass_rest(conn, in);
		if (c->session.scan != NULL)
			session_text_more(c, p, n, conn->left == 0);
		return PARSED;
	}
	type = in->data[in->fwd];
	if (unlikely(!wire_frontend_type(type))) {
		unknown_type(c, type);
		return ENDED;
	}
	switch (wire_header(in->data + in->fwd, in->tail - in->fwd, longest(type), &type, &len)) {
	case WIRE_MORE:
		return SHORT;
	case WIRE_BAD:
		protocol_error(c, "invalid message length");
		return ENDED;
	case WIRE_OK:
		break;
	}
	return parse_message(c, type, len);
}

static enum parsed
parse_client(struct client *c)
{
	enum parsed p = PARSED;

	while (p == PARSED) {
		if (unlikely(c->big != NULL))
			p = parse_big(c);
		else if (c->conn.in != NULL && c->conn.in->fwd < c->conn.in->tail)
			p = parse_step(c);
		else
			break;
	}
	return p;
}

/* COPY has failed, say, and of the data that its client had sent by then some, or the rest of a
 * message, are still to go to this backend. */
static bool
has_rest(const struct client *c)
{
	return c->conn.left > 0 || (c->conn.in != NULL && c->conn.in->fwd > c->conn.in->head);
}

/* It has a backend, and nothing is owed: does that go now? */
static bool
lingered(struct client *c, enum parsed p)
{
	struct backend *b = c->backend;

	if (b == NULL || likely(!b->lingers) || (p != PARSED && p != SHORT) || has_rest(c))
		return false;
	b->lingers = false;
	transaction_done(b);
	if (c->backend == b)
		loop_again(&c->conn.src); /* it is kept; more may be there, its end for one */
	return true;
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

	if (unlikely(conn_unsent(&c->conn)) && conn_send(&c->conn, NULL, NULL) == CONN_BROKEN) {
		client_close(c, strerror(errno));
		return;
	}
	if (unlikely(writable) && b != NULL && b->state == BACKEND_ACTIVE) {
		relay_backend_event(b, false);
		if (c->conn.src.fd == -1 || c->state == CLIENT_CLOSING || c->state == CLIENT_MOVING)
			return;
	}
	for (;;) {
		int n;
		enum parsed p = parse_client(c);
		if (p == ENDED)
			return;
		if (c->backend != NULL && unlikely(c->backend->replay == REPLAY_UNENDED) &&
		    c->conn.left == 0)
			replay_passed(c->backend);
		conn_trim(&c->conn);
		if (!send_to_backend(c) || lingered(c, p) || p == STOPPED)
			return;
		if (p == FULL)
			continue;
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
		if (unlikely(reads++ == TURN_READS)) {
			loop_again(&c->conn.src);
			return;
		}
		n = conn_recv(&c->conn);
		if (unlikely(n == -1)) {
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

/* False: the client is not to be told. */
COLD static bool
client_parameter(struct backend *b, const uint8_t *body, size_t len)
{
	int i = backend_parameter(b, body, len);

	if (i == -1)
		return b->client == NULL || !session_withholds_report(b, body, len);
	if (params_parses(i))
		gate_settings_changed(b);
	if (b->client == NULL)
		return true;
	if (session_withholds(b, i))
		return false;
	session_has(b->client, i, b->params.v[i]);
	return true;
}

enum answer {
	ANSWER_MORE, /* the transaction goes on */
	ANSWER_DONE, /* ReadyForQuery 'I', nothing owed */
	ANSWER_BAD
};

static enum answer
ready_for_query(struct backend *b, char status, bool ours)
{
	if (status == 'I' && !ours)
		stats_add(&b->pool->row->xact_count, 1);
	b->status = status;
	gate_ready(b, status);
	if (expect_empty(&b->expect)) {
		stats_add(&b->pool->row->query_time_us, (uint64_t)(loop_now() - b->query_us));
		stats_took(&b->pool->times->query, loop_now() - b->query_us);
		slow_ready(b, status);
		if (status == 'I')
			stats_took(&b->pool->times->xact, loop_now() - b->xact_us);
		backend_lasts(b);
		b->query_us = 0;
		b->quiet_us = loop_now();
		if (status == 'I')
			b->xact_us = 0;
		else
			deadline_touch(b);
	}
	if (!is_over(b, status))
		return ANSWER_MORE;
	b->lingers = has_rest(b->client);
	return b->lingers ? ANSWER_MORE : ANSWER_DONE;
}

void
relay_put_approved(struct backend *b)
{
	struct buf *in = b->conn.in;

	if (in->fwd > in->head)
		conn_put(&b->client->conn, in->data + in->head, in->fwd - in->head);
	in->head = in->fwd;
}

/* The message at hand is not for the client: what came before it is sent without it. */
COLD static void
drop_message(struct backend *b)
{
	relay_put_approved(b);
	b->conn.discard = true;
}

/* ReadyForQuery is at hand: what its settings are by then comes first. */
static bool
hold_ready(struct backend *b, char status)
{
	return b->client != NULL && unlikely(session_may_hold(&b->client->session)) &&
	       session_holds_ready(b, is_over(b, status) && !has_rest(b->client));
}

/* These must be there whole to be looked at, if a buffer holds them. */
static bool
is_looked_at(uint8_t type)
{
	return type == 'Z' || type == 'S' || type == 'E' || type == 'C' || type == 't';
}

/* So much of a message must be there before anything is done with it. */
static uint32_t
least(const struct backend *b, uint8_t type, uint32_t len)
{
	if (!is_looked_at(type))
		return WIRE_HEADER;
	if (unlikely(len > buf_cap()))
		return type == 'E' && b->replay != REPLAY_NONE ? buf_cap() : WIRE_HEADER;
	return len;
}

/* True: something else was told instead. */
COLD static bool
look_at_error(struct backend *b, const uint8_t *body, size_t len)
{
	b->said_last = wire_error_fatal(body, len);
	if (b->said_last && !b->lasted)
		backend_keep_error(b, body, len);
	stats_error(b->pool->row, wire_error_field(body, len, 'C'));
	return gate_error(b, body, len);
}

/* Looks at a message and says whether the client is to have it. */
static enum expect_verdict
look(struct backend *b, uint8_t type, const uint8_t *body, size_t len)
{
	bool replaced = false;
	enum expect_verdict v;

	if (unlikely(b->replay != REPLAY_NONE))
		return replay_answer(b, type, body, len);
	if (type == 'S')
		replaced = !client_parameter(b, body, len);
	if (type == 'E')
		replaced = look_at_error(b, body, len);
	if (type == 'C')
		gate_complete(b, body, len);
	if (type == 't' || type == 'n')
		gate_described(b, type, body, len);
	v = expect_got(&b->expect, type);
	if (type == 'G')
		gate_look_again(b); /* it reads data now */
	return replaced && v == EXPECT_PASS ? EXPECT_DROP : v;
}

/* The next message. ANSWER_MORE with *on false: more bytes are needed. */
static enum answer
parse_answer(struct backend *b, bool *on)
{
	struct conn *conn = &b->conn;
	struct buf *in = conn->in;
	uint8_t *p = in->data + in->fwd, type;
	uint32_t avail = in->tail - in->fwd, len;
	char status;
	enum wire_result r =
	    wire_header(p, avail, (uint32_t)wk->conf->max_packet_size_bytes, &type, &len);
	bool replay = b->replay != REPLAY_NONE, ours;
	enum expect_verdict v;

	*on = r == WIRE_OK && avail >= least(b, type, len);
	if (r == WIRE_MORE)
		return ANSWER_MORE;
	if (unlikely(r == WIRE_BAD || !wire_backend_type(type) || (type == 'Z' && len != 6)))
		return ANSWER_BAD;
	if (unlikely(!*on))
		return ANSWER_MORE;
	if (avail >= len)
		v = look(b, type, p + WIRE_HEADER, len - WIRE_HEADER);
	else if (unlikely(replay) && type == 'E')
		v = replay_long_error(b, p + WIRE_HEADER, avail - WIRE_HEADER);
	else
		v = expect_got(&b->expect, type);
	if (unlikely(v == EXPECT_BAD))
		return ANSWER_BAD;
	if (b->client != NULL && !replay && type == 'C')
		session_complete(&b->client->session);
	if (unlikely(type == 'E') && b->client != NULL && !replay)
		session_error(&b->client->session);
	ours = v != EXPECT_PASS;
	if (type == 'Z' && !ours && !replay && hold_ready(b, (char)p[WIRE_HEADER]))
		v = EXPECT_DROP;
	if (unlikely(v == EXPECT_SHOW_1))
		p[0] = '1';
	if (unlikely(v == EXPECT_DROP))
		drop_message(b);
	conn->left = len;
	(void)pass_rest(conn, in);
	if (type != 'Z')
		return ANSWER_MORE;
	status = (char)p[WIRE_HEADER];
	if (unlikely(b->replay == REPLAY_REFUSED))
		p[WIRE_HEADER] = 'I'; /* the aborted block is ours */
	return ready_for_query(b, status, ours);
}

/* RowDescription is the answer to a Describe, too. */
static bool
is_row(const struct backend *b, uint8_t type)
{
	return type == 'D' || type == 'd' || (type == 'T' && expect_in_query(&b->expect));
}

/* Passes rows and what they are called, if they are there whole: most of what a server says, and
 * nothing is done for them. */
static bool
rows_passed(struct backend *b)
{
	const uint32_t most = (uint32_t)wk->conf->max_packet_size_bytes;
	struct buf *in = b->conn.in;
	uint32_t len, from = in->fwd;
	uint8_t type;

	if (unlikely(b->replay != REPLAY_NONE || !expect_passes_rows(&b->expect)))
		return false;
	while (in->fwd < in->tail && is_row(b, in->data[in->fwd]) &&
	       wire_header(in->data + in->fwd, in->tail - in->fwd, most, &type, &len) == WIRE_OK &&
	       len <= in->tail - in->fwd)
		in->fwd += len;
	return in->fwd > from;
}

/* Looks at whole messages and approves them for sending. Stops behind the last answer owed. */
static enum answer
parse_backend(struct backend *b)
{
	struct conn *conn = &b->conn;
	enum answer a = ANSWER_MORE;
	bool on = true;

	while (on && a == ANSWER_MORE && conn->in->fwd < conn->in->tail) {
		if (conn->left > 0)
			(void)pass_rest(conn, conn->in);
		else if (is_row(b, conn->in->data[conn->in->fwd]) && rows_passed(b))
			continue;
		else
			a = parse_answer(b, &on);
	}
	return a;
}

/* Statement mode: a transaction block is refused, as PgBouncer does. */
static bool
forbidden_block(struct backend *b)
{
	struct client *c = b->client;

	if (likely(client_mode(c) != POOL_STATEMENT) || b->status == 'I' ||
	    b->replay != REPLAY_NONE)
		return false;
	client_fail(c, &(struct wire_error){.severity = "FATAL",
			   .sqlstate = "0A000",
			   .message = "transaction blocks not allowed in statement pooling mode"});
	return true;
}

/* The backend is for the next. */
static void
release(struct backend *b)
{
	struct client *c = b->client;

	if (b->conn.in != NULL) {
		/* Notices and the like behind the last answer; they belong to nobody. */
		b->conn.in->head = b->conn.in->fwd;
		b->conn.readable = true;
	}
	(void)client_unlink(c);
	gate_left(c);
	prepared_left(&b->prepared);
	b->dirty |= wk->conf->server_reset_query_always;
	if (unlikely(b->conn.in != NULL && b->conn.in->tail > b->conn.in->fwd)) {
		log_debug("backend pid %d: data behind the last answer", (int)b->facts.pid);
		backend_close(b, "data behind the last answer");
	} else {
		conn_trim(&b->conn);
		backend_clean(b);
	}
	if (client_dismissed(c) || handover_client(c))
		return;
	if (c->conn.in != NULL || c->big != NULL || c->conn.readable)
		loop_again(&c->conn.src);
}

/* The transaction is over and its answer is on its way. */
static void
transaction_done(struct backend *b)
{
	enum session_end end;

	if (unlikely(b->replay == REPLAY_REFUSED)) {
		session_undone(b->client);
		if (!replay_undo(b))
			release(b);
		return;
	}
	if (client_mode(b->client) == POOL_SESSION) {
		if (!client_dismissed(b->client))
			(void)handover_client(b->client);
		return;
	}
	end = session_settle(b);
	if (end != SESSION_ASKING)
		session_say_ready(b);
	switch (end) {
	case SESSION_RELEASE:
		release(b);
		break;
	case SESSION_KEEP:
		replay_kept(b->client, b);
		if (!client_dismissed(b->client) && !handover_client(b->client))
			deadline_touch(b);
		break;
	case SESSION_ASKING:
		break;
	}
}

void
relay_settled(struct backend *b)
{
	struct client *c = b->client;

	session_say_ready(b);
	if (c->session.pins == 0) {
		release(b);
		return;
	}
	replay_kept(c, b);
	if (client_dismissed(c) || handover_client(c))
		return;
	deadline_touch(b);
	b->conn.readable = true;
	loop_again(&b->conn.src);
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
	if (unlikely(r == CONN_BROKEN)) {
		client_close(c, strerror(errno));
		return false;
	}
	if (unlikely(r == CONN_BLOCKED) && done)
		conn_put_rest(&c->conn,
		    &b->conn); /* the client's slowness is no reason to keep the backend */
	return r == CONN_SENT || done;
}

/* The client that the answer is for, and who gets the backend next. */
static void
clients_soon(const struct backend *b)
{
	if (b->client == NULL)
		return;
	loop_soon(b->client);
	if (!TAILQ_EMPTY(&b->pool->waiting))
		loop_soon(TAILQ_FIRST(&b->pool->waiting));
}

void
relay_backend_event(struct backend *b, bool writable)
{
	struct client *c = b->client;
	int reads = 0;

	if (unlikely(writable) && c != NULL) {
		relay_client_event(c, false);
		if (b->conn.src.fd == -1 || b->state != BACKEND_ACTIVE || b->client != c)
			return;
	}
	clients_soon(b);
	for (;;) {
		enum answer a = ANSWER_MORE;
		int n;
		if (b->conn.in != NULL)
			a = parse_backend(b);
		if (unlikely(a == ANSWER_BAD)) {
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
		if (unlikely(reads++ == TURN_READS)) {
			loop_again(&b->conn.src);
			return;
		}
		n = conn_recv(&b->conn);
		if (unlikely(n == -1)) {
			backend_lost(b, errno == 0 ? "closed by the server" : strerror(errno));
			return;
		}
		if (n == 0)
			return;
	}
}

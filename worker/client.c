/*
 * client: see client.h.
 *
 * Owns the socket, the row in the client table and the place in the pool. Whatever goes wrong on
 * one client ends that client only. An error text is followed by a shutdown and a short wait for
 * the peer's end: closing with unread input would send RST and the text could be lost.
 */
#include "worker/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "conf/net.h"
#include "worker/backend.h"
#include "worker/cancel.h"
#include "worker/client_auth.h"
#include "worker/client_login.h"
#include "worker/console.h"
#include "worker/gate.h"
#include "worker/pool.h"
#include "worker/relay.h"
#include "worker/replay.h"
#include "worker/tls.h"

#define LINGER_US    2000000
#define LINGER_READS 16 /* in a turn of the loop */

static struct client_queue clients = TAILQ_HEAD_INITIALIZER(clients);
static uint32_t nclients;
static struct client **by_row;

static void client_event(struct loop_source *, uint32_t);

static void
note_address(struct client *c, const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)ss;
		c->addr.s6_addr[10] = c->addr.s6_addr[11] = 0xff;
		memcpy(c->addr.s6_addr + 12, &in->sin_addr, 4);
		c->port = ntohs(in->sin_port);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)ss;
		c->addr = in6->sin6_addr;
		c->port = ntohs(in6->sin6_port);
	}
}

/* --- birth and end ---------------------------------------------------------------------------- */

static void
login_timeout(struct timer *t)
{
	stats_add(&wk->row->login_timeouts, 1);
	client_fail(LOOP_CONTAINER(t, struct client, timer),
	    &(struct wire_error){.severity = "FATAL",
		.sqlstate = "57014",
		.message = "client_login_timeout",
		.detail = "The login was not finished in time.",
		.hint = "Raise client_login_timeout, or look what keeps the login."});
}

struct client *
client_new(int fd, bool is_unix)
{
	static uint32_t last;
	struct client *c = object_new(sizeof(*c));

	if (c == NULL || conn_open(&c->conn, fd, is_unix, client_event) == -1) {
		log_warn("cannot serve a new client");
		close(fd);
		free(c);
		return NULL;
	}
	c->row = TABLE_NONE;
	last += last == UINT32_MAX ? 2 : 1;
	c->params.caller = last;
	c->born_us = loop_now();
	TAILQ_INSERT_TAIL(&clients, c, all);
	nclients++;
	stats_add(&wk->row->clients, 1);
	return c;
}

void
client_internal(int fd)
{
	struct client *c = client_new(fd, true);

	if (c != NULL)
		c->internal = true;
}

void
client_accepted(int fd, const struct sockaddr_storage *addr, const struct conf_listen *listener)
{
	struct client *c = client_new(fd, addr->ss_family == AF_UNIX);

	if (c == NULL)
		return;
	c->offer = tls_ctx_ref(listener->tls);
	note_address(c, addr);
	c->proxied =
	    listener->proxy_protocol != NULL && net_list_has(listener->proxy_protocol, &c->addr);
	if (wk->conf->client_login_timeout_us > 0)
		timer_set(&c->timer, loop_now() + wk->conf->client_login_timeout_us, login_timeout);
}

void
client_free(struct client *c)
{
	timer_stop(&c->timer);
	conn_close(&c->conn);
	tls_ctx_unref(c->offer);
	params_fini(&c->params);
	session_fini(c);
	free(c->refusal);
	free(c->user);
	names_free(c);
	gate_big_free(c);
	TAILQ_REMOVE(&clients, c, all);
	nclients--;
	stats_sub(&wk->row->clients, 1);
	loop_free_later(c);
	worker_check_done();
}

struct backend *
client_unlink(struct client *c)
{
	struct backend *b = c->backend;

	stats_sub(&c->pool->row->cl_active, 1);
	stats_sub(&c->pool->row->sv_active, 1);
	stats_add(&c->pool->row->cl_idle, 1);
	stats_sub(&wk->row->clients_active, 1);
	stats_add(&c->pool->row->xact_time_us, (uint64_t)(loop_now() - b->since_us));
	pool_unlinked(c->pool, b);
	replay_left(b);
	b->lingers = false;
	b->client = NULL;
	c->backend = NULL;
	c->state = CLIENT_IDLE;
	c->active_us = loop_now();
	return b;
}

/* What its backend must know when the client leaves it. */
static void
leave_backend(struct client *c, struct pool *p)
{
	bool cut =
	    c->conn.left > 0 && !c->conn.discard && c->big == NULL; /* in the middle of a message */
	struct backend *b;

	session_leave(c, c->backend);
	b = client_unlink(c);
	b->dirty |= p->mode == POOL_SESSION;
	if (b->conn.in != NULL) { /* what was to go to this client */
		b->conn.in->head = b->conn.in->fwd;
		conn_trim(&b->conn);
	}
	if (b->state != BACKEND_ACTIVE)
		return; /* its task ends first, and finds that the client is gone */
	if (cut) {
		backend_cut(b, "client left in the middle of a message");
		return;
	}
	conn_put_rest(&b->conn, &c->conn); /* counted as sent, so it must be */
	backend_clean(b);
}

void
client_row_taken(struct client *c)
{
	by_row[c->row] = c;
	stats_add(&c->pool->row->cl_idle, 1);
}

void
client_row_give(struct client *c, struct pool *p)
{
	stats_sub(&p->row->cl_idle, 1);
	by_row[c->row] = NULL;
	table_client_give(wk->table, wk->self, c->row);
	c->row = TABLE_NONE;
}

/* Leaves pool, row and backend: what follows on this socket concerns nobody else. */
static void
client_leave(struct client *c, const char *why)
{
	struct pool *p = c->pool;

	if (c->row == TABLE_NONE && !c->internal && c->state != CLIENT_CANCEL &&
	    c->state != CLIENT_CLOSING && c->state != CLIENT_CONSOLE)
		stats_add(&wk->row->login_failures, 1);
	if (c->state == CLIENT_CANCEL)
		cancel_client_gone(c);
	client_auth_fini(c);
	console_fini(c);
	if (p == NULL)
		return;
	if (wk->conf->log_disconnections && !c->internal)
		client_log(c, "closed", why);
	if (c->backend != NULL)
		leave_backend(c, p);
	else
		pool_unqueue(p, c);
	if (c->row != TABLE_NONE)
		client_row_give(c, p);
	c->pool = NULL;
	pool_dismiss(c);
	p->nstreams -= c->replication != REPLICATION_NONE;
	pool_client_gone(p);
}

void
client_close(struct client *c, const char *why)
{
	if (wk->retired && c->row != TABLE_NONE)
		stats_add(&wk->row->clients_left, 1);
	client_leave(c, why);
	client_free(c);
}

static void
linger_end(struct timer *t)
{
	client_free(LOOP_CONTAINER(t, struct client, timer));
}

/* State CLIENT_CLOSING: the last words go out, then what it still sends is read and dropped up to
 * its end. */
static void
client_linger(struct client *c)
{
	enum conn_sent r = conn_send(&c->conn, NULL, NULL);
	int i;

	if (r == CONN_BROKEN) {
		client_free(c);
		return;
	}
	if (r == CONN_SENT)
		conn_shutdown(&c->conn);
	for (i = 0; c->conn.readable || c->conn.hup; i++) {
		int n;
		if (i == LINGER_READS) { /* others have their turn */
			loop_again(&c->conn.src);
			break;
		}
		n = conn_recv(&c->conn);
		if (n == -1) {
			client_free(c);
			return;
		}
		conn_forget_input(&c->conn);
		if (n == 0)
			break;
	}
}

/* `whole`: no message to the client is half-way, so that ours can be understood. */
static void
client_end(struct client *c, bool whole, const uint8_t *msg, size_t len, const char *why)
{
	if (c->state == CLIENT_CLOSING || c->state == CLIENT_MOVING)
		return;
	client_leave(c, why);
	c->state = CLIENT_CLOSING;
	conn_forget_input(&c->conn);
	if (whole && len > 0)
		conn_put(&c->conn, msg, len);
	timer_set(&c->timer, loop_now() + LINGER_US, linger_end);
	loop_again(&c->conn.src);
}

static bool
at_border(struct client *c)
{
	struct backend *b = c->backend;

	if (b == NULL)
		return true;
	conn_put_rest(&c->conn, &b->conn);
	return b->conn.left == 0;
}

static void
fail(struct client *c, const struct wire_error *e)
{
	uint8_t msg[1024];
	struct wire_out w;
	bool whole = at_border(c);

	if (c->pool != NULL)
		stats_error(c->pool->row, e->sqlstate);
	wire_init(&w, msg, sizeof(msg));
	wire_error(&w, e);
	client_end(c, whole, msg, w.len, e->message);
}

void
client_fail(struct client *c, const struct wire_error *e)
{
	if (c->state == CLIENT_MOVING)
		return; /* perhaps another's by now */
	client_log_fault(c, "refused or cut off", e->sqlstate, e->message, NULL);
	fail(c, e);
}

void
client_refuse(struct client *c, const struct wire_error *e, const char *why)
{
	client_log_fault(c, "refused", e->sqlstate, e->message, why);
	fail(c, e);
}

void
client_fail_raw(struct client *c, const uint8_t *body, size_t len)
{
	bool whole = at_border(c);

	if (body == NULL) {
		client_fail(c, &(struct wire_error){.severity = "FATAL",
				   .sqlstate = "08006",
				   .message = "the server cannot be used"});
		return;
	}
	client_log_fault(c, "refused by the server", wire_error_field(body, len, 'C'),
	    wire_error_field(body, len, 'M'), NULL);
	if (whole)
		conn_put_header(&c->conn, 'E', len);
	client_end(c, whole, body, len, "the server refused the login");
}

void
client_server_lost(struct client *c, bool whole, bool told, const char *why)
{
	uint8_t msg[512];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	if (!told)
		wire_error(&w, &(struct wire_error){.severity = "FATAL",
				   .sqlstate = "08006",
				   .message = "server conn crashed?",
				   .detail = why,
				   .hint = "Whether the statement was executed is not known: "
					   "look before you repeat it."});
	client_end(c, whole, msg, w.len, "server connection lost");
}

void
client_hang_up(struct client *c, const char *why)
{
	log_info("%s: %s", client_name(c), why);
	tls_drop(&c->conn);
	client_end(c, false, NULL, 0, why);
}

/* --- client_idle_timeout ---------------------------------------------------------------------- */

/* Since when it has done nothing; 0 = it is at work or waits for us. */
static int64_t
idle_since(const struct client *c)
{
	const struct backend *b = c->backend;

	if (c->state == CLIENT_IDLE)
		return c->active_us;
	if (b != NULL && b->state == BACKEND_ACTIVE && b->query_us == 0 && b->xact_us == 0)
		return b->quiet_us > b->since_us ? b->quiet_us : b->since_us;
	return 0;
}

/* Lazy as in deadline.h: it rings when the limit could be reached, and looks again. */
static void
idle_ring(struct timer *t)
{
	struct client *c = LOOP_CONTAINER(t, struct client, timer);
	int64_t limit = CONF_USER(wk->conf, c->who, client_idle_timeout_us), since = idle_since(c);

	if (limit == 0)
		return;
	if (since == 0 || loop_now() - since < limit) {
		timer_set(t, (since == 0 ? loop_now() : since) + limit, idle_ring);
		return;
	}
	stats_add(&c->pool->row->cl_idle_timeouts, 1);
	client_fail(c, &(struct wire_error){.severity = "FATAL",
			   .sqlstate = "57P05",
			   .message = "client_idle_timeout",
			   .hint = "Raise client_idle_timeout, or keep fewer idle connections."});
}

void
client_watch_from(struct client *c)
{
	int64_t limit = CONF_USER(wk->conf, c->who, client_idle_timeout_us);

	if (limit > 0)
		timer_set(&c->timer, c->active_us + limit, idle_ring);
	else
		timer_stop(&c->timer);
}

void
client_watch_idle(struct client *c)
{
	c->active_us = loop_now();
	client_watch_from(c);
}

/* --- rejecting a request ---------------------------------------------------------------------- */

bool
client_cancel_wait(struct client *c)
{
	static const struct wire_error canceled = {.severity = "ERROR",
	    .sqlstate = "57014",
	    .message = "canceling statement due to user request",
	    .detail = "It was waiting for a server connection and has not run."};

	if (c->state != CLIENT_WAITING)
		return false;
	pool_unqueue(c->pool, c);
	c->reject = &canceled;
	c->reject_said = false;
	loop_again(&c->conn.src);
	return true;
}

void
client_rejected(struct client *c, uint8_t type)
{
	uint8_t msg[512];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	if (!c->reject_said && c->refusal == NULL)
		wire_error(&w, c->reject);
	if (!c->reject_said && c->refusal != NULL) {
		conn_put_header(&c->conn, 'E', c->refusal_len);
		conn_put(&c->conn, c->refusal, c->refusal_len);
	}
	c->reject_said = true;
	if (type == 'Q' || type == 'F' || type == 'S') {
		wire_ready(&w, 'I');
		c->reject = NULL;
		free(c->refusal);
		c->refusal = NULL;
	}
	ENSURE(!w.failed);
	conn_put(&c->conn, msg, w.len);
}

/* --- events ----------------------------------------------------------------------------------- */

static void
client_event(struct loop_source *s, uint32_t events)
{
	struct client *c = LOOP_CONTAINER(s, struct client, conn.src);
	bool writable = conn_note(&c->conn, events);

	switch (c->state) {
	case CLIENT_STARTUP:
		client_login_event(c);
		break;
	case CLIENT_AUTH:
		client_auth_event(c);
		break;
	case CLIENT_LOGIN:
	case CLIENT_WAITING:
	case CLIENT_CANCEL:
		if (c->conn.hup || conn_send(&c->conn, NULL, NULL) == CONN_BROKEN)
			client_close(c, "client closed the connection");
		break;
	case CLIENT_IDLE:
	case CLIENT_ACTIVE:
		relay_client_event(c, writable);
		break;
	case CLIENT_CONSOLE:
		console_event(c);
		break;
	case CLIENT_MOVING:
		break;
	case CLIENT_CLOSING:
		client_linger(c);
		break;
	}
}

/* --- all of them ------------------------------------------------------------------------------ */

struct client *
client_by_row(uint32_t row)
{
	return row < table_shape(wk->table)->clients ? by_row[row] : NULL;
}

void
client_tables_init(void)
{
	by_row = calloc(table_shape(wk->table)->clients, sizeof(struct client *));
	if (by_row == NULL)
		fatal("client rows");
}

uint32_t
client_count(void)
{
	return nclients;
}

static bool
between_transactions(const struct client *c)
{
	const struct backend *b = c->backend;

	if (b == NULL)
		return true;
	/* a stream of replication has no end to wait for */
	return b->state == BACKEND_ACTIVE &&
	       (b->expect.copy_both || (expect_empty(&b->expect) && b->status == 'I'));
}

static void
send_away(struct client *c)
{
	if (c->state == CLIENT_MOVING)
		return;
	stats_add(&wk->row->clients_sent_away, 1);
	client_fail(c, &(struct wire_error){.severity = "FATAL",
			   .sqlstate = "57P01",
			   .message = c->dismissed != NULL
					  ? c->dismissed
					  : "terminating connection due to administrator command"});
}

bool
client_dismissed(struct client *c)
{
	if ((!wk->draining && c->dismissed == NULL) || c->state == CLIENT_CLOSING ||
	    !between_transactions(c))
		return false;
	send_away(c);
	return true;
}

void
client_drain(bool all)
{
	struct client *c, *next;

	TAILQ_FOREACH_SAFE (c, &clients, all, next)
		if (c->state != CLIENT_CLOSING && (all || between_transactions(c)))
			send_away(c);
}

void
clients_dismiss(struct pool *p, const char *why)
{
	struct client *c, *next;

	TAILQ_FOREACH_SAFE (c, &clients, all, next) {
		if (c->pool != p)
			continue;
		c->dismissed = why;
		(void)client_dismissed(c);
	}
}

static void
kill_client(struct client *c)
{
	client_fail(
	    c, &(struct wire_error){
		   .severity = "FATAL", .sqlstate = "57P01", .message = "admin forced disconnect"});
}

void
clients_kill(struct pool *p)
{
	struct client *c, *next;

	TAILQ_FOREACH_SAFE (c, &clients, all, next)
		if (c->pool == p)
			kill_client(c);
}

bool
client_kill(int32_t pid)
{
	struct client *c;

	TAILQ_FOREACH (c, &clients, all)
		if (c->row != TABLE_NONE && c->pid == pid)
			break;
	if (c != NULL)
		kill_client(c);
	return c != NULL;
}

void
clients_each(void (*fn)(struct client *, void *arg), void *arg)
{
	struct client *c, *next;

	TAILQ_FOREACH_SAFE (c, &clients, all, next)
		fn(c, arg);
}

void
clients_conf_changed(const struct conf *old)
{
	struct client *c;

	(void)old;
	TAILQ_FOREACH (c, &clients, all) {
		if (c->pool == NULL)
			continue;
		if (c->user != NULL)
			pool_readmit(c);
		if (c->state == CLIENT_IDLE || c->state == CLIENT_WAITING ||
		    c->state == CLIENT_ACTIVE)
			client_watch_from(c);
	}
}

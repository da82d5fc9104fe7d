/*
 * cancel: see cancel.h.
 *
 * Exactness: only the worker that serves a client acts on its cancel, between two events of its
 * loop, so it knows whether that client holds a backend at this moment. The client that asked is
 * closed when the server has confirmed, as PostgreSQL does it.
 */
#include "worker/cancel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bsd/string.h>

#include "conf/hosts.h"
#include "conf/log.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/elder.h"
#include "worker/inbox.h"
#include "worker/secure.h"
#include "worker/target.h"
#include "worker/tls.h"

struct cancel {
	struct conn conn;
	struct secure secure;
	struct timer timer;
	struct backend *backend;   /* NULL = none or gone */
	struct tls_ctx *tls;	   /* as the backend has it; NULL = in clear */
	char host[CONF_HOST_SIZE]; /* by which the server is known */
	uint16_t port;
	struct cancel_ack ack;
	void (*done)(void *);
	void *arg;
	uint8_t packet[12 + TABLE_KEY_BYTES];
	size_t len;
	bool said;
	LIST_ENTRY(cancel) entry;
};

/* Clients of ours that wait for an acknowledgement, each with a ticket that is never used again. */
static TAILQ_HEAD(, client) waiting = TAILQ_HEAD_INITIALIZER(waiting);

static void
acknowledge(const struct cancel_ack *ack)
{
	if (ack->worker == TABLE_NONE)
		return;
	if (ack->worker == wk->self.worker)
		cancel_acked(ack->ticket);
	else
		inbox_send(ack->worker, CTL_CANCELED, 0, ack->ticket);
}

/* It begins (by = 1) or ceases (-1) to be on its way to its backend. */
static void
count(const struct cancel *c, int by)
{
	struct stats_pool *row = c->backend->pool->row;
	uint64_t n = (uint64_t)(int64_t)by;

	stats_add(&row->sv_canceling, n);
	if (c->ack.worker != TABLE_NONE)
		stats_add(&row->cl_canceling, n);
	if (LIST_EMPTY(&c->backend->cancels))
		stats_add(&row->sv_canceled, n);
}

static void
cancel_end(struct cancel *c)
{
	struct backend *b = c->backend;

	timer_stop(&c->timer);
	conn_close(&c->conn);
	tls_ctx_unref(c->tls);
	secure_fini(&c->secure);
	if (b != NULL) {
		LIST_REMOVE(c, entry);
		count(c, -1);
	}
	explicit_bzero(c->packet, sizeof(c->packet));
	acknowledge(&c->ack);
	if (c->done != NULL)
		c->done(c->arg);
	loop_free_later(c);
	if (b != NULL)
		backend_cancel_done(b);
}

static void
cancel_timeout(struct timer *t)
{
	struct cancel *c = LOOP_CONTAINER(t, struct cancel, timer);

	log_warnx("a cancel request was not taken by the server in time");
	stats_add(&wk->row->cancel_timeouts, 1);
	if (c->said && c->backend != NULL)
		c->backend->doomed = true; /* the server may find it later */
	cancel_end(c);
}

/* It may be spoken to: the request, and then the end of the server is the answer. */
static void
cancel_say(struct cancel *c)
{
	c->said = true;
	conn_put(&c->conn, c->packet, c->len);
	if (conn_send(&c->conn, NULL, NULL) == CONN_BROKEN) {
		cancel_end(c);
		return;
	}
	stats_add(&wk->row->cancels_sent, 1);
}

static void
cancel_secure(struct cancel *c)
{
	const char *why = NULL;
	enum secure_result r =
	    c->secure.step == SECURE_NOT
		? secure_start(&c->secure, &c->conn, c->tls, c->host, c->port, &why)
		: secure_go_on(&c->secure, &c->conn, &why);

	if (r == SECURE_READY) {
		cancel_say(c);
	} else if (r != SECURE_MORE) {
		log_warnx("a cancel request cannot reach the server: %s", why);
		cancel_end(c);
	}
}

static void
cancel_event(struct loop_source *s, uint32_t events)
{
	struct cancel *c = LOOP_CONTAINER(s, struct cancel, conn.src);

	(void)conn_note(&c->conn, events);
	if (c->secure.step == SECURE_NOT && (events & (EPOLLERR | EPOLLHUP)) != 0) {
		cancel_end(c);
		return;
	}
	if (c->secure.step != SECURE_DONE) {
		if (!c->conn.blocked)
			cancel_secure(c);
		return;
	}
	if (conn_send(&c->conn, NULL, NULL) == CONN_BROKEN ||
	    (conn_can_recv(&c->conn) && conn_recv(&c->conn) == -1))
		cancel_end(c);
	else
		conn_forget_input(&c->conn);
}

static void
cancel_connect(struct cancel *c, const struct ledger_backend *f)
{
	struct wire_out w;

	wire_init(&w, c->packet, sizeof(c->packet));
	wire_cancel(&w, f->pid, f->key, f->key_len);
	c->len = w.len;
	timer_set(&c->timer, loop_now() + wk->conf->cancel_wait_timeout_us, cancel_timeout);
	if (conn_connect(&c->conn, &f->addr, (socklen_t)f->addr_len, cancel_event) == -1) {
		log_warn("cannot send a cancel request to the server");
		timer_set(&c->timer, loop_now(), cancel_timeout);
	}
}

static struct cancel *
cancel_new(void)
{
	struct cancel *c = calloc(1, sizeof(*c));

	if (c == NULL)
		fatal("cancel request");
	c->conn.src.fd = -1;
	c->ack.worker = TABLE_NONE;
	return c;
}

void
cancel_backend(struct backend *b, const struct cancel_ack *ack)
{
	struct cancel *c = cancel_new();

	if (ack != NULL)
		c->ack = *ack;
	c->backend = b;
	count(c, 1);
	LIST_INSERT_HEAD(&b->cancels, c, entry);
	if (b->conn.tls != NULL) {
		c->tls = tls_ctx_ref(b->pool->conf->tls);
		strlcpy(c->host, tls_host(&b->conn), sizeof(c->host));
	}
	cancel_connect(c, &b->facts);
}

void
cancel_facts(const struct ledger_backend *f, void (*done)(void *), void *arg)
{
	struct cancel *c = cancel_new();
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	const struct conf_database *d;

	c->done = done;
	c->arg = arg;
	if (ledger_pool_name(wk->table, f->pool, db, user) &&
	    (d = conf_database(wk->conf, db)) != NULL) {
		c->tls = tls_ctx_ref(d->tls);
		target_name(d, f->host, c->host, &c->port);
	}
	cancel_connect(c, f);
}

void
cancel_forget(struct backend *b)
{
	struct cancel *c;

	while ((c = LIST_FIRST(&b->cancels)) != NULL) {
		LIST_REMOVE(c, entry);
		count(c, -1);
		c->backend = NULL;
	}
}

/* --- the client's side
 * ------------------------------------------------------------------------------------ */

static void
ack_timeout(struct timer *t)
{
	client_close(
	    LOOP_CONTAINER(t, struct client, timer), "cancel request not acknowledged in time");
}

static uint64_t last_ticket;

void
cancel_request(struct client *c, int32_t pid, const uint8_t *key, size_t len)
{
	struct cancel_ack ack = {wk->self.worker, wk->self.incarnation, ++last_ticket};
	struct table_self owner;
	uint32_t row;

	stats_add(&wk->row->cancel_requests, 1);
	if (!table_client_find(wk->table, pid, key, len, &owner, &row)) {
		log_info("cancel request with a key that nobody here has");
		elder_pass(pid, key, len);
		client_close(c, "cancel request");
		return;
	}
	c->state = CLIENT_CANCEL;
	c->ticket = ack.ticket;
	TAILQ_INSERT_TAIL(&waiting, c, queue);
	timer_set(&c->timer, loop_now() + 2 * wk->conf->cancel_wait_timeout_us, ack_timeout);
	if (owner.worker == wk->self.worker)
		cancel_asked(pid, key, len, &ack);
	else if (!inbox_cancel(owner, pid, key, len, ack.ticket))
		client_close(c, "cancel request: the other worker does not answer");
}

void
cancel_asked(int32_t pid, const uint8_t *key, size_t len, const struct cancel_ack *ack)
{
	struct table_self owner;
	struct client *c = NULL;
	uint32_t row;

	if (table_client_find(wk->table, pid, key, len, &owner, &row) &&
	    owner.worker == wk->self.worker)
		c = client_by_row(row);
	if (c != NULL && client_cancel_wait(c))
		acknowledge(ack);
	else if (c == NULL || c->backend == NULL || c->backend->state != BACKEND_ACTIVE ||
		 !backend_running(c->backend))
		acknowledge(ack);
	else
		cancel_backend(c->backend, ack);
}

void
cancel_acked(uint64_t ticket)
{
	struct client *c;

	TAILQ_FOREACH (c, &waiting, queue)
		if (c->ticket == ticket) {
			client_close(c, "cancel request");
			return;
		}
}

void
cancel_client_gone(struct client *c)
{
	TAILQ_REMOVE(&waiting, c, queue);
}

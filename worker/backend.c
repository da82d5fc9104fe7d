/*
 * backend: see backend.h. Logging in is in backend_login.c, the relay's part of reading in relay.c.
 *
 * Owns the fd, the slot and the timer. A slot goes back to the ledger only when the server has
 * closed its side (or broke off), so that PostgreSQL never sees more connections than we count. If
 * the ledger's mutex cannot be had, the slot stays listed in `unfreed` and a timer tries again.
 */
#include "worker/backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/hint.h"
#include "conf/log.h"
#include "proto/wire.h"
#include "worker/backend_login.h"
#include "worker/cancel.h"
#include "worker/client.h"
#include "worker/facts.h"
#include "worker/gate.h"
#include "worker/inbox.h"
#include "worker/pool.h"
#include "worker/relay.h"
#include "worker/resolve.h"

#define CLOSE_WAIT_US 5000000
#define CLEAN_WAIT_US 10000000
#define DOUBT_US      500000 /* between two answers of a backend that is being drained */
#define BRIEF_US      1000000

static uint32_t *unfreed;
static size_t nunfreed;
static struct timer unfreed_timer;

/* --- slots
 * ------------------------------------------------------------------------------------------ */

/* Whoever looked for the place while it still counted is told that it is free. */
static void
retry_unfreed(struct timer *t)
{
	size_t n = nunfreed;
	uint32_t *slots = unfreed;
	struct ledger_backend b;

	(void)t;
	unfreed = NULL;
	nunfreed = 0;
	while (n > 0) {
		(void)ledger_read(wk->table, slots[--n], &b);
		backend_free_slot(slots[n]);
		if (b.pool != TABLE_NONE)
			inbox_wake_all(b.pool);
	}
	free(slots);
}

void
backend_free_slot(uint32_t slot)
{
	uint32_t *more;

	if (ledger_free(wk->table, wk->self, slot) == LEDGER_OK)
		return;
	more = reallocarray(unfreed, nunfreed + 1, sizeof(*more));
	if (more == NULL)
		fatal("slots to free");
	unfreed = more;
	unfreed[nunfreed++] = slot;
	if (!timer_armed(&unfreed_timer))
		timer_set(&unfreed_timer, loop_now() + 50000, retry_unfreed);
}

/* --- states ----------------------------------------------------------------------------------- */

#define TO(state) (1U << BACKEND_##state)

static const unsigned int edges[] = {
    [BACKEND_CONNECTING] = TO(LOGIN),
    [BACKEND_LOGIN] = TO(ACTIVE) | TO(CLOSING) | TO(CONNECTING), /* the next host, or TLS */
    [BACKEND_IDLE] = TO(ACTIVE),
    [BACKEND_ACTIVE] = TO(TASK) | TO(IDLE) | TO(DRAINING) | TO(HELD) | TO(MOVING) | TO(CLOSING),
    [BACKEND_TASK] = TO(ACTIVE) | TO(CLOSING),
    [BACKEND_DRAINING] = TO(ACTIVE) | TO(CLOSING),
    [BACKEND_HELD] = TO(ACTIVE) | TO(CLOSING),
    [BACKEND_MOVING] = TO(ACTIVE),
    [BACKEND_CLOSING] = 0,
};

/* It is busy with our own affairs, or not any more. */
static void
set_cleaning(struct backend *b, bool cleaning)
{
	if (b->cleaning == cleaning || b->slot == TABLE_NONE)
		return;
	b->cleaning = cleaning;
	if (cleaning)
		stats_add(&b->pool->row->sv_cleaning, 1);
	else
		stats_sub(&b->pool->row->sv_cleaning, 1);
}

void
backend_set_state(struct backend *b, enum backend_state state)
{
	ENSURE((edges[b->state] >> state & 1) != 0);
	b->state = state;
	set_cleaning(b, (TO(DRAINING) | TO(HELD) | TO(CLOSING)) >> state & 1 ||
			    (state == BACKEND_TASK && b->client == NULL));
}

bool
backend_running(const struct backend *b)
{
	return !expect_empty(&b->expect) && b->facts.pid != 0;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Everything but what its pool is to make of it. */
static struct pool *
backend_fini(struct backend *b)
{
	set_cleaning(b, false);
	b->pool->nown -= b->own;
	cancel_forget(b);
	timer_stop(&b->timer);
	timer_stop(&b->deadline);
	conn_close(&b->conn);
	params_fini(&b->params);
	expect_fini(&b->expect);
	prepared_fini(&b->prepared);
	backend_login_fini(b);
	free(b->sql);
	free(b->task_error);
	stats_sub(&wk->row->backends, 1);
	explicit_bzero(b->facts.key, sizeof(b->facts.key));
	if (b->gone != NULL)
		b->gone(b);
	loop_free_later(b);
	return b->pool;
}

static void
backend_free(struct backend *b)
{
	pool_backend_gone(backend_fini(b));
	worker_check_done();
}

static void
opening_ends(struct backend *b)
{
	if (b->state != BACKEND_CONNECTING && b->state != BACKEND_LOGIN)
		return;
	b->pool->nopening--;
	stats_sub(&b->pool->row->sv_login, 1);
}

void
backend_drop(struct backend *b, const char *why)
{
	struct pool *p = b->pool;

	ENSURE(b->client == NULL);
	opening_ends(b);
	pool_check_over(b, false);
	if (b->state == BACKEND_IDLE)
		pool_take(p, b);
	log_debug("backend %s/%s pid %d: closed: %s", p->db, p->user, (int)b->facts.pid, why);
	conn_close(&b->conn);
	stats_add(&p->row->sv_closed, 1);
	if (b->slot != TABLE_NONE)
		backend_free_slot(b->slot);
	backend_free(b);
}

void
backend_lasts(struct backend *b)
{
	if (likely(b->lasted))
		return;
	b->lasted = true;
	if (b->pool->brief)
		pool_open_lasted(b->pool);
}

/* The error that is kept is what the server has ended it with. */
static bool
last_words(const struct backend *b)
{
	return b->task_error != NULL && wire_error_fatal(b->task_error, b->task_error_len);
}

/* The server ends it, soon after its login: if it has answered nothing, that was a failure. The
 * reason is what the server has said, if it has. */
static void
note_brief(struct backend *b, const char *why)
{
	const unsigned int served = TO(IDLE) | TO(TASK) | TO(ACTIVE);
	const char *said;
	uint8_t msg[600];
	char text[400];
	struct wire_out w;

	if (b->lasted || b->own || b->slot == TABLE_NONE || (served >> b->state & 1) == 0 ||
	    loop_now() - b->facts.opened_us > BRIEF_US || pool_stale(b))
		return;
	said = last_words(b) ? wire_error_field(b->task_error, b->task_error_len, 'M') : NULL;
	snprintf(text, sizeof(text), "the server at %s ended the session right after its login: %s",
	    address_text(&b->facts.addr, b->facts.addr_len), said != NULL ? said : why);
	log_warnx("pool %s/%s: %s", b->pool->db, b->pool->user, text);
	if (said != NULL) {
		pool_open_brief(b->pool, b->task_error, b->task_error_len);
		return;
	}
	wire_init(&w, msg, sizeof(msg));
	wire_error(
	    &w, &(struct wire_error){.severity = "FATAL", .sqlstate = "08006", .message = text});
	pool_open_brief(b->pool, msg + WIRE_HEADER, w.len - WIRE_HEADER);
}

void
backend_lost(struct backend *b, const char *why)
{
	struct client *c = b->client;
	bool relayed = b->state == BACKEND_ACTIVE;

	note_brief(b, why);
	if (c != NULL) {
		log_warnx("backend %s/%s pid %d: lost while in use: %s", b->pool->db, b->pool->user,
		    (int)b->facts.pid, why);
		(void)client_unlink(c);
		if (relayed)
			conn_put_rest(&c->conn, &b->conn);
		if (!relayed && last_words(b))
			client_fail_raw(c, b->task_error, b->task_error_len);
		else
			client_server_lost(c, !relayed || b->conn.left == 0, b->said_last, why);
	}
	backend_drop(b, why);
}

static void
close_timeout(struct timer *t)
{
	backend_drop(LOOP_CONTAINER(t, struct backend, timer), "no end from the server in time");
}

/* Waits for the server's end, so that its connection is gone when its slot is. */
static void
close_wait(struct backend *b)
{
	backend_set_state(b, BACKEND_CLOSING);
	conn_shutdown(&b->conn);
	timer_set(&b->timer, loop_now() + CLOSE_WAIT_US, close_timeout);
	b->conn.readable = true;
	loop_again(&b->conn.src);
}

void
backend_abandon(struct backend *b, const char *why)
{
	bool open = b->state == BACKEND_LOGIN && b->slot != TABLE_NONE && !b->conn.hup;

	if (!open) {
		backend_drop(b, why);
		return;
	}
	log_debug("backend %s/%s: login given up: %s", b->pool->db, b->pool->user, why);
	opening_ends(b);
	backend_login_fini(b);
	close_wait(b);
}

void
backend_close(struct backend *b, const char *why)
{
	static const uint8_t terminate[5] = {'X', 0, 0, 0, 4};

	ENSURE(b->client == NULL);
	if (b->state == BACKEND_CLOSING)
		return;
	if (b->state == BACKEND_CONNECTING || b->state == BACKEND_LOGIN) {
		backend_drop(b, why);
		return;
	}
	if (b->state == BACKEND_IDLE)
		pool_take(b->pool, b);
	log_debug("backend %s/%s pid %d: closing: %s", b->pool->db, b->pool->user,
	    (int)b->facts.pid, why);
	conn_put(&b->conn, terminate, sizeof(terminate));
	if (conn_send(&b->conn, NULL, NULL) == CONN_SENT)
		close_wait(b);
	else
		backend_drop(b, why);
}

void
backend_cut(struct backend *b, const char *why)
{
	log_debug(
	    "backend %s/%s pid %d: cut: %s", b->pool->db, b->pool->user, (int)b->facts.pid, why);
	if (backend_running(b))
		cancel_backend(b, NULL);
	close_wait(b);
}

void
backend_given(struct backend *b)
{
	close(conn_detach(&b->conn));
	pool_backend_given(backend_fini(b));
	worker_check_done();
}

void
backend_moved(struct backend *b)
{
	backend_free_slot(b->slot);
	backend_free(b);
}

void
backend_stays(struct backend *b, bool for_good)
{
	backend_set_state(b, BACKEND_ACTIVE);
	if (for_good) {
		backend_close(b, "the next generation does not take it");
		return;
	}
	loop_again(&b->conn.src); /* what the server said meanwhile */
	pool_release(b);
}

/* --- reading our own answers ------------------------------------------------------------------ */

int
backend_parameter(struct backend *b, const uint8_t *body, size_t len)
{
	struct wire_in in;
	const char *name, *value;
	int i;

	wire_read(&in, body, len);
	name = wire_get_string(&in);
	value = wire_get_string(&in);
	if (name == NULL || value == NULL || (i = params_index(name)) == -1)
		return -1;
	return params_set(&b->params, i, value) ? i : -1;
}

void
backend_forget_error(struct backend *b)
{
	free(b->task_error);
	b->task_error = NULL;
	b->task_error_len = 0;
}

void
backend_keep_error(struct backend *b, const uint8_t *body, size_t len)
{
	backend_forget_error(b);
	b->task_error = malloc(len + 1);
	if (b->task_error == NULL)
		return;
	memcpy(b->task_error, body, len);
	b->task_error_len = len;
}

/* Whoever gave the task goes on with the backend. */
static void
task_finished(struct backend *b)
{
	uint8_t *error = b->task_error;
	size_t len = b->task_error_len;

	b->task_error = NULL;
	timer_stop(&b->timer);
	backend_lasts(b);
	backend_set_state(b, BACKEND_ACTIVE);
	b->task_done(b, error, error == NULL ? 0 : len);
	free(error);
}

/* A drained client's COPY IN: ends it. */
static bool
fail_copy(struct backend *b)
{
	static const uint8_t fail[] = {'f', 0, 0, 0, 5, 0, 'S', 0, 0, 0, 4};

	conn_put(&b->conn, fail, sizeof(fail));
	return expect_sent(&b->expect, 'f') && expect_sent(&b->expect, 'S') &&
	       conn_send(&b->conn, NULL, NULL) != CONN_BROKEN;
}

static void
doubt_timeout(struct timer *t)
{
	backend_close(LOOP_CONTAINER(t, struct backend, timer), "owes an answer by our count");
}

/* ReadyForQuery with nothing owed any more. */
static void
own_ready(struct backend *b)
{
	if (b->state == BACKEND_TASK) {
		task_finished(b);
	} else if (b->state == BACKEND_DRAINING) {
		backend_set_state(b, BACKEND_ACTIVE);
		backend_clean(b);
	}
}

/* One whole message while the relay does not have the backend. False: it is lost, or the next
 * messages are somebody else's. */
static bool
own_message(struct backend *b, uint8_t type, const uint8_t *body, size_t len)
{
	if (type == 'S') {
		int i = backend_parameter(b, body, len);
		if (i != -1 && params_parses(i))
			gate_settings_changed(b);
		login_told(b, body, len);
	}
	if (type == 'C')
		gate_complete(b, body, len);
	if (expect_got(&b->expect, type) == EXPECT_BAD) {
		backend_lost(b, "answer to nothing");
		return false;
	}
	if (type == 'E' && b->state == BACKEND_TASK)
		backend_keep_error(b, body, len);
	if (type == 'E' && (b->state == BACKEND_IDLE || b->state == BACKEND_HELD)) {
		const char *text = wire_error_field(body, len, 'M');
		log_info("backend %s/%s pid %d: ended by the server while idle: %s", b->pool->db,
		    b->pool->user, (int)b->facts.pid, text == NULL ? "?" : text);
		backend_keep_error(b, body, len);
		note_brief(b, "error while idle");
		backend_drop(b, "error while idle");
		return false;
	}
	if ((type == 'G' || type == 'W') && !fail_copy(b)) {
		backend_lost(b, "write failed");
		return false;
	}
	if (type == 'A' && b->client != NULL) { /* it listens, and we are asking something */
		conn_put_header(&b->client->conn, 'A', len);
		conn_put(&b->client->conn, body, len);
	}
	if (type == 'D' && b->state == BACKEND_TASK && b->task_row != NULL)
		b->task_row(b, body, len);
	if (type != 'Z')
		return true;
	b->status = len == 1 ? (char)body[0] : 'E';
	/* Our count errs on the high side (expect.h): if nothing more comes, that was all. */
	if (b->state == BACKEND_DRAINING && !expect_empty(&b->expect))
		timer_set(&b->timer, loop_now() + DOUBT_US, doubt_timeout);
	if (!expect_empty(&b->expect) || (b->state != BACKEND_TASK && b->state != BACKEND_DRAINING))
		return true;
	own_ready(b);
	return false;
}

/* The next message, or a piece of one that is larger than a buffer and is dropped. False: stop. */
static bool
own_step(struct backend *b)
{
	struct conn *c = &b->conn;
	struct buf *in = c->in;
	uint32_t avail = in->tail - in->head, len;
	const uint8_t *p = in->data + in->head;
	uint8_t type;
	enum wire_result r =
	    wire_header(p, avail, (uint32_t)wk->conf->max_packet_size_bytes, &type, &len);
	bool last, on;

	if (r == WIRE_MORE)
		return false;
	if (r == WIRE_BAD || !wire_backend_type(type)) {
		backend_lost(b, "broken message from the server");
		return false;
	}
	if (len > avail && len <= buf_cap())
		return false;
	if (len > avail) {
		c->left = len;
		if (expect_got(&b->expect, type) != EXPECT_BAD)
			return true;
		backend_lost(b, "answer to nothing");
		return false;
	}
	in->head += len;
	in->fwd = in->head;
	last = in->head == in->tail;
	if (last)
		c->in = NULL; /* so that the next owner starts clean */
	on = own_message(b, type, p + WIRE_HEADER, len - WIRE_HEADER);
	if (last)
		buf_put(in);
	return on;
}

static void
own_skip(struct conn *c)
{
	struct buf *in = c->in;
	uint32_t avail = in->tail - in->head, n = c->left < avail ? c->left : avail;

	c->left -= n;
	in->head += n;
	in->fwd = in->head;
	conn_trim(c);
}

static void
own_read(struct backend *b)
{
	struct conn *c = &b->conn;

	while (c->in != NULL && c->in->tail > c->in->head) {
		if (c->left > 0)
			own_skip(c);
		else if (!own_step(b))
			break;
	}
	conn_trim(c);
}

/* It is gone, or relinked, so that the relay reads on by itself, or another's. */
static bool
not_ours(const struct backend *b)
{
	return b->conn.src.fd == -1 || b->state == BACKEND_ACTIVE || b->state == BACKEND_MOVING;
}

static void
backend_own_event(struct backend *b)
{
	if (b->conn.in != NULL && b->state != BACKEND_CLOSING)
		own_read(b); /* what stood behind the end of its login */
	if (not_ours(b))
		return;
	while (b->conn.readable && b->conn.src.fd != -1) {
		int n = conn_recv(&b->conn);
		if (n == -1) {
			backend_lost(b, errno == 0 ? "closed by the server" : strerror(errno));
			return;
		}
		if (b->state == BACKEND_CLOSING) {
			conn_forget_input(&b->conn);
			continue;
		}
		own_read(b);
		if (n == 0 || not_ours(b))
			return;
	}
}

void
backend_event(struct loop_source *s, uint32_t events)
{
	struct backend *b = LOOP_CONTAINER(s, struct backend, conn.src);
	bool writable = conn_note(&b->conn, events);

	if (b->state == BACKEND_MOVING)
		return;
	if (b->state == BACKEND_ACTIVE) {
		relay_backend_event(b, writable);
		return;
	}
	if (b->state == BACKEND_CONNECTING || b->state == BACKEND_LOGIN) {
		backend_login_event(b, events);
		return;
	}
	if (writable && conn_send(&b->conn, NULL, NULL) == CONN_BROKEN) {
		backend_lost(b, strerror(errno));
		return;
	}
	backend_own_event(b);
}

/* --- our own queries
 * -------------------------------------------------------------------------------------------- */

static void
task_timeout(struct timer *t)
{
	backend_lost(LOOP_CONTAINER(t, struct backend, timer), "no answer from the server in time");
}

void
backend_task(struct backend *b, const char *sql,
    void (*row)(struct backend *, const uint8_t *body, size_t len),
    void (*done)(struct backend *, const uint8_t *error, size_t len))
{
	size_t size = strlen(sql) + 1;

	backend_set_state(b, BACKEND_TASK);
	b->task_row = row;
	b->task_done = done;
	backend_forget_error(b);
	gate_own_query(b);
	conn_put_header(&b->conn, 'Q', size);
	conn_put(&b->conn, sql, size);
	timer_set(&b->timer, loop_now() + wk->conf->server_connect_timeout_us, task_timeout);
	/* A broken send shows as a read error in the next event; the caller's links must not vanish
	 * under it. */
	if (!expect_sent(&b->expect, 'Q') || conn_send(&b->conn, NULL, NULL) == CONN_BROKEN) {
		b->conn.readable = true;
		loop_again(&b->conn.src);
	}
}

/* --- cleaning after a client
 * -------------------------------------------------------------------------------------- */

static void
clean_timeout(struct timer *t)
{
	backend_drop(LOOP_CONTAINER(t, struct backend, timer), "could not be cleaned in time");
}

static void
clean_step_done(struct backend *b, const uint8_t *error, size_t len)
{
	if (error != NULL) {
		const char *text = wire_error_field(error, len, 'M');
		log_warnx("backend %s/%s pid %d: cleaning failed: %s", b->pool->db, b->pool->user,
		    (int)b->facts.pid, text == NULL ? "?" : text);
		backend_close(b, "cleaning failed");
		return;
	}
	backend_clean(b);
}

/* The Sync must not commit what the client has left half done: an error before it. */
static void
drain_abort(struct backend *b)
{
	static const char nothing[] = "S" STATEMENT_NONE;

	conn_put_header(&b->conn, 'D', sizeof(nothing));
	conn_put(&b->conn, nothing, sizeof(nothing));
	(void)expect_sent(&b->expect, 'D');
}

COLD static void
drain_start(struct backend *b)
{
	static const uint8_t end[] = {'f', 0, 0, 0, 5, 0, 'S', 0, 0, 0, 4};

	backend_set_state(b, BACKEND_DRAINING);
	timer_set(&b->timer, loop_now() + CLEAN_WAIT_US, clean_timeout);
	if (b->expect.copy_in) {
		conn_put(&b->conn, end, sizeof(end));
		(void)expect_sent(&b->expect, 'f');
		(void)expect_sent(&b->expect, 'S');
	} else {
		if (b->expect.open)
			drain_abort(b);
		conn_put(&b->conn, end + 6, sizeof(end) - 6); /* whatever is open ends at a Sync */
		(void)expect_sent(&b->expect, 'S');
	}
	if (conn_send(&b->conn, NULL, NULL) == CONN_BROKEN)
		b->conn.hup = true;
	if (backend_running(b))
		cancel_backend(b, NULL);
	b->conn.readable = true;
	loop_again(&b->conn.src);
}

void
backend_clean(struct backend *b)
{
	timer_stop(&b->timer);
	if (unlikely(b->own)) {
		if (backend_running(b))
			cancel_backend(b, NULL);
		backend_close(b, "its client left");
		return;
	}
	if (unlikely(!expect_empty(&b->expect) || b->expect.open)) {
		drain_start(b);
		return;
	}
	if (unlikely(
		!LIST_EMPTY(&b->cancels))) { /* one on its way must hit nothing of anybody else's */
		backend_set_state(b, BACKEND_HELD);
		return;
	}
	if (unlikely(b->doomed)) {
		backend_close(b, "a cancel request may still be on its way to it");
		return;
	}
	if (unlikely(b->status != 'I')) {
		backend_task(b, "ROLLBACK", NULL, clean_step_done);
		return;
	}
	if (unlikely(b->spoiled)) {
		backend_close(b, "its session's state cannot be cleared");
		return;
	}
	if (unlikely(b->dirty) && wk->conf->server_reset_query[0] != '\0') {
		b->dirty = false;
		session_was_reset(b);
		backend_task(b, wk->conf->server_reset_query, NULL, clean_step_done);
		return;
	}
	b->dirty = false;
	pool_release(b);
}

void
backend_cancel_done(struct backend *b)
{
	if (b->state != BACKEND_HELD || !LIST_EMPTY(&b->cancels))
		return;
	backend_set_state(b, BACKEND_ACTIVE);
	backend_clean(b);
}

/* --- adoption --------------------------------------------------------------------------------- */

struct backend *
backend_adopt(struct pool *p, uint32_t slot, int fd, const struct ledger_backend *lb,
    const uint8_t *facts, size_t len)
{
	struct backend *b;

	if (!ledger_adopt(wk->table, wk->self, slot)) {
		if (fd != -1)
			close(fd);
		return NULL;
	}
	b = p == NULL || fd == -1 ? NULL : backend_new(p, slot);
	if (b == NULL || !facts_unpack(b, facts, len) ||
	    conn_adopt(&b->conn, fd, lb->addr.ss_family == AF_UNIX, backend_event) == -1) {
		if (fd != -1)
			close(fd);
		backend_free_slot(slot);
		if (b != NULL)
			backend_free(b);
		return NULL;
	}
	b->facts = *lb;
	b->status = 'I';
	b->state = BACKEND_ACTIVE;
	return b;
}

struct backend *
backend_take(struct pool *p, int fd, const struct ledger_backend *lb, const uint8_t *facts,
    size_t len, bool counted)
{
	static const struct ledger_limits none = {.pool = UINT32_MAX};
	struct backend *b;
	uint32_t slot;

	/* Those of our own count too: one too many is closed by the elder. What a sibling gives is
	 * counted twice until it has heard that we have it. */
	if (ledger_reserve(wk->table, wk->self, p->index, counted ? &none : &p->limits, &slot) !=
	    LEDGER_OK)
		return NULL;
	b = backend_new(p, slot);
	if (b == NULL || !facts_unpack(b, facts, len) ||
	    conn_open(&b->conn, fd, lb->addr.ss_family == AF_UNIX, backend_event) == -1) {
		backend_free_slot(slot);
		if (b != NULL)
			backend_free(b);
		return NULL;
	}
	b->facts = *lb;
	b->facts.pool = p->index;
	ledger_opened(wk->table, wk->self, slot, &b->facts);
	b->status = 'I';
	b->state = BACKEND_ACTIVE;
	return b;
}

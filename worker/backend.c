/*
 * backend: see backend.h. Logging in is in backend_login.c, the relay's part of reading in relay.c.
 *
 * Owns the fd, the slot and the timer. A slot goes back to the ledger only when the server has
 * closed its side (or broke off), so that PostgreSQL never sees more connections than we count. If
 * the ledger's mutex cannot be had, the slot stays listed in `unfreed` and a timer tries again.
 */
#include "worker/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/log.h"
#include "proto/wire.h"
#include "worker/backend_login.h"
#include "worker/cancel.h"
#include "worker/client.h"
#include "worker/pool.h"
#include "worker/relay.h"
#include "worker/resolve.h"

#define CLOSE_WAIT_US 5000000
#define CLEAN_WAIT_US 10000000

static uint32_t *unfreed;
static size_t nunfreed;
static struct timer unfreed_timer;

/* --- slots
 * ------------------------------------------------------------------------------------------ */

static void free_slot(uint32_t slot);

static void
retry_unfreed(struct timer *t)
{
	size_t n = nunfreed;
	uint32_t *slots = unfreed;

	(void)t;
	unfreed = NULL;
	nunfreed = 0;
	while (n > 0)
		free_slot(slots[--n]);
	free(slots);
}

static void
free_slot(uint32_t slot)
{
	uint32_t *more;

	if (ledger_free(wk->table, wk->self, slot) == LEDGER_OK)
		return;
	stats_add(&wk->row->ledger_stalls, 1);
	more = reallocarray(unfreed, nunfreed + 1, sizeof(*more));
	if (more == NULL)
		fatal("slots to free");
	unfreed = more;
	unfreed[nunfreed++] = slot;
	if (!timer_armed(&unfreed_timer))
		timer_set(&unfreed_timer, loop_now() + 50000, retry_unfreed);
}

/* --- states
 * -------------------------------------------------------------------------------------------- */

static const uint8_t edges[] = {
    [BACKEND_CONNECTING] = 1 << BACKEND_LOGIN,
    [BACKEND_LOGIN] =
	1 << BACKEND_ACTIVE | 1 << BACKEND_TASK | 1 << BACKEND_IDLE | 1 << BACKEND_CLOSING,
    [BACKEND_IDLE] =
	1 << BACKEND_ACTIVE | 1 << BACKEND_TASK | 1 << BACKEND_IDLE | 1 << BACKEND_CLOSING,
    [BACKEND_ACTIVE] = 1 << BACKEND_ACTIVE | 1 << BACKEND_TASK | 1 << BACKEND_IDLE |
		       1 << BACKEND_DRAINING | 1 << BACKEND_HELD | 1 << BACKEND_CLOSING,
    [BACKEND_TASK] = 1 << BACKEND_ACTIVE | 1 << BACKEND_TASK | 1 << BACKEND_IDLE |
		     1 << BACKEND_HELD | 1 << BACKEND_CLOSING | 1 << BACKEND_DRAINING,
    [BACKEND_DRAINING] = 1 << BACKEND_TASK | 1 << BACKEND_IDLE | 1 << BACKEND_HELD |
			 1 << BACKEND_CLOSING | 1 << BACKEND_ACTIVE,
    [BACKEND_HELD] = 1 << BACKEND_IDLE | 1 << BACKEND_ACTIVE | 1 << BACKEND_TASK |
		     1 << BACKEND_CLOSING | 1 << BACKEND_HELD,
    [BACKEND_CLOSING] = 0,
};

static void
set_state(struct backend *b, enum backend_state state)
{
	ENSURE((edges[b->state] >> state & 1) != 0);
	b->state = state;
}

void
backend_set_idle(struct backend *b)
{
	set_state(b, BACKEND_IDLE);
}

void
backend_set_active(struct backend *b)
{
	set_state(b, BACKEND_ACTIVE);
}

bool
backend_running(const struct backend *b)
{
	return !expect_empty(&b->expect) && b->facts.pid != 0;
}

/* --- end
 * -------------------------------------------------------------------------------------------------
 */

static void
backend_free(struct backend *b)
{
	struct pool *p = b->pool;

	cancel_forget(b);
	resolve_cancel(&b->resolve);
	timer_stop(&b->timer);
	conn_close(&b->conn);
	params_fini(&b->params);
	expect_fini(&b->expect);
	backend_login_fini(b);
	free(b->task_error);
	stats_add(&wk->row->backends, (uint64_t)-1);
	explicit_bzero(b->facts.key, sizeof(b->facts.key));
	loop_free_later(b);
	pool_backend_gone(p);
}

void
backend_drop(struct backend *b, const char *why)
{
	struct pool *p = b->pool;

	ENSURE(b->client == NULL);
	if (b->state == BACKEND_CONNECTING || b->state == BACKEND_LOGIN) {
		p->nopening--;
		stats_add(&p->row->sv_login, (uint64_t)-1);
	}
	if (b->state == BACKEND_IDLE) {
		TAILQ_REMOVE(&p->idle, b, idle);
		stats_add(&p->row->sv_idle, (uint64_t)-1);
		stats_add(&wk->row->backends_idle, (uint64_t)-1);
	}
	log_debug("backend %s/%s pid %d: closed: %s", p->db, p->user, (int)b->facts.pid, why);
	conn_close(&b->conn);
	stats_add(&p->row->sv_closed, 1);
	if (b->slot != TABLE_NONE)
		free_slot(b->slot);
	backend_free(b);
}

static void
close_timeout(struct timer *t)
{
	backend_drop(LOOP_CONTAINER(t, struct backend, timer), "no end from the server in time");
}

void
backend_close(struct backend *b, const char *why)
{
	static const uint8_t terminate[5] = {'X', 0, 0, 0, 4};

	if (b->state == BACKEND_CLOSING)
		return;
	if (b->state == BACKEND_CONNECTING || b->conn.blocked || b->conn.out != NULL) {
		backend_drop(b, why);
		return;
	}
	if (b->state == BACKEND_IDLE) {
		/* callers take it off the list first */
		log_debug("backend pid %d: closing: %s", (int)b->facts.pid, why);
	}
	if (b->state == BACKEND_LOGIN) {
		backend_drop(b, why);
		return;
	}
	set_state(b, BACKEND_CLOSING);
	conn_put(&b->conn, terminate, sizeof(terminate));
	if (conn_send(&b->conn, NULL, NULL) != CONN_SENT) {
		backend_drop(b, why);
		return;
	}
	(void)shutdown(b->conn.src.fd, SHUT_WR);
	timer_set(&b->timer, loop_now() + CLOSE_WAIT_US, close_timeout);
}

void
backend_given(struct backend *b)
{
	close(conn_detach(&b->conn));
	backend_free(b);
}

/* --- reading our own answers
 * -------------------------------------------------------------------------------- */

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

static void
keep_error(struct backend *b, const uint8_t *body, size_t len)
{
	free(b->task_error);
	b->task_error = malloc(len + 1);
	b->task_error_len = b->task_error == NULL ? 0 : len;
	if (b->task_error != NULL)
		memcpy(b->task_error, body, len);
}

static void
task_finished(struct backend *b)
{
	uint8_t *error = b->task_error;
	size_t len = b->task_error_len;

	b->task_error = NULL;
	timer_stop(&b->timer);
	b->task_done(b, error, error == NULL ? 0 : len);
	free(error);
}

/* One whole message while the relay does not have the backend. False: it was dropped or left this
 * state. */
static bool
own_message(struct backend *b, uint8_t type, const uint8_t *body, size_t len)
{
	if (type == 'S')
		(void)backend_parameter(b, body, len);
	if (!expect_got(&b->expect, type)) {
		backend_drop(b, "answer to nothing");
		return false;
	}
	if (type == 'E' && b->state == BACKEND_TASK)
		keep_error(b, body, len);
	if (type == 'E' && b->state == BACKEND_IDLE) {
		log_info("backend %s/%s pid %d: ended by the server while idle", b->pool->db,
		    b->pool->user, (int)b->facts.pid);
		backend_drop(b, "error while idle");
		return false;
	}
	if (type == 'G' || type == 'W') { /* a drained client's COPY: end it */
		static const uint8_t fail[] = {'f', 0, 0, 0, 5, 0, 'S', 0, 0, 0, 4};
		conn_put(&b->conn, fail, sizeof(fail));
		if (!expect_sent(&b->expect, 'f') || !expect_sent(&b->expect, 'S') ||
		    conn_send(&b->conn, NULL, NULL) == CONN_BROKEN) {
			backend_drop(b, "write failed");
			return false;
		}
	}
	if (type == 'D' && b->state == BACKEND_TASK && b->task_row != NULL)
		b->task_row(b, body, len);
	if (type != 'Z')
		return true;
	b->status = len == 1 ? (char)body[0] : 'E';
	if (!expect_empty(&b->expect))
		return true;
	if (b->state == BACKEND_TASK) {
		task_finished(b);
		return false;
	}
	if (b->state == BACKEND_DRAINING) {
		backend_clean(b);
		return false;
	}
	return true;
}

/* Takes messages one by one; those larger than a buffer are dropped piece by piece. */
static void
own_read(struct backend *b)
{
	struct conn *c = &b->conn;
	struct buf *in;

	while ((in = c->in) != NULL && in->tail > in->head) {
		uint32_t avail = in->tail - in->head, len;
		const uint8_t *p = in->data + in->head;
		uint8_t type;
		enum wire_result r;
		bool last, on;

		if (c->left > 0) {
			uint32_t n = c->left < avail ? c->left : avail;
			c->left -= n;
			in->head += n;
			in->fwd = in->head;
			conn_trim(c);
			continue;
		}
		r = wire_header(p, avail, (uint32_t)wk->conf->max_packet_size_bytes, &type, &len);
		if (r == WIRE_MORE)
			break;
		if (r == WIRE_BAD || !wire_backend_type(type)) {
			backend_drop(b, "broken message from the server");
			return;
		}
		if (len > avail && len <= buf_cap())
			break;
		if (len > avail) {
			c->left = len;
			if (!expect_got(&b->expect, type)) {
				backend_drop(b, "answer to nothing");
				return;
			}
			continue;
		}
		in->head += len;
		in->fwd = in->head;
		last = in->head == in->tail;
		if (last)
			c->in = NULL; /* so that the next owner starts clean */
		on = own_message(b, type, p + WIRE_HEADER, len - WIRE_HEADER);
		if (last)
			buf_put(in);
		if (!on)
			return;
	}
	conn_trim(c);
}

static void
backend_own_event(struct backend *b)
{
	while (b->conn.readable && b->conn.src.fd != -1) {
		int n = conn_recv(&b->conn);
		if (n == -1) {
			backend_drop(b, errno == 0 ? "closed by the server" : strerror(errno));
			return;
		}
		if (b->state == BACKEND_CLOSING) {
			if (b->conn.in != NULL)
				b->conn.in->head = b->conn.in->fwd = b->conn.in->tail;
			conn_trim(&b->conn);
			continue;
		}
		own_read(b);
		if (n == 0 || b->conn.src.fd == -1)
			return;
		if (b->state == BACKEND_ACTIVE)
			return; /* relinked: the relay reads on by itself */
	}
}

void
backend_event(struct loop_source *s, uint32_t events)
{
	struct backend *b = LOOP_CONTAINER(s, struct backend, conn.src);
	bool writable = conn_note(&b->conn, events);

	if (b->state == BACKEND_ACTIVE) {
		relay_backend_event(b, writable);
		return;
	}
	if (b->state == BACKEND_CONNECTING || b->state == BACKEND_LOGIN) {
		backend_login_event(b, events);
		return;
	}
	if (writable && conn_send(&b->conn, NULL, NULL) == CONN_BROKEN) {
		backend_drop(b, strerror(errno));
		return;
	}
	backend_own_event(b);
}

/* --- our own queries
 * -------------------------------------------------------------------------------------------- */

static void
task_timeout(struct timer *t)
{
	struct backend *b = LOOP_CONTAINER(t, struct backend, timer);

	if (b->client != NULL)
		client_fail(b->client, &(struct wire_error){.severity = "FATAL",
					   .sqlstate = "08006",
					   .message = "the server did not answer in time"});
	else
		backend_drop(b, "no answer in time");
}

void
backend_task(struct backend *b, const char *sql,
    void (*row)(struct backend *, const uint8_t *body, size_t len),
    void (*done)(struct backend *, const uint8_t *error, size_t len))
{
	size_t size = strlen(sql) + 1 + WIRE_HEADER;
	uint8_t *msg = malloc(size);
	struct wire_out w;

	if (msg == NULL)
		fatal("query");
	set_state(b, BACKEND_TASK);
	b->task_row = row;
	b->task_done = done;
	wire_init(&w, msg, size);
	wire_query(&w, sql);
	conn_put(&b->conn, msg, w.len);
	free(msg);
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

static void
drain_start(struct backend *b)
{
	static const uint8_t end[] = {'f', 0, 0, 0, 5, 0, 'S', 0, 0, 0, 4};

	if (b->state != BACKEND_DRAINING) {
		set_state(b, BACKEND_DRAINING);
		timer_set(&b->timer, loop_now() + CLEAN_WAIT_US, clean_timeout);
	}
	if (b->expect.copy_in) {
		conn_put(&b->conn, end, sizeof(end));
		(void)expect_sent(&b->expect, 'f');
		(void)expect_sent(&b->expect, 'S');
	} else {
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
	if (!expect_empty(&b->expect)) {
		drain_start(b);
		return;
	}
	if (b->status != 'I') {
		backend_task(b, "ROLLBACK", NULL, clean_step_done);
		return;
	}
	if (b->dirty && wk->conf->server_reset_query[0] != '\0') {
		b->dirty = false;
		backend_task(b, wk->conf->server_reset_query, NULL, clean_step_done);
		return;
	}
	b->dirty = false;
	if (!LIST_EMPTY(&b->cancels)) {
		set_state(b, BACKEND_HELD);
		return;
	}
	pool_release(b);
}

void
backend_cancel_done(struct backend *b)
{
	if (b->state == BACKEND_HELD && LIST_EMPTY(&b->cancels))
		backend_clean(b);
}

/* --- adoption
 * ----------------------------------------------------------------------------------------------------------
 */

struct backend *
backend_adopt(struct pool *p, uint32_t slot, int fd, const struct ledger_backend *lb,
    const uint8_t *facts, size_t len)
{
	struct backend *b;

	if (!ledger_adopt(wk->table, wk->self, slot)) {
		close(fd);
		return NULL;
	}
	b = p == NULL ? NULL : backend_new(p, slot);
	if (b == NULL || !params_unpack(&b->params, facts, len) ||
	    conn_open(&b->conn, fd, lb->addr.ss_family == AF_UNIX, backend_event) == -1) {
		close(fd);
		if (b != NULL)
			backend_free(b);
		free_slot(slot);
		return NULL;
	}
	b->facts = *lb;
	b->status = 'I';
	b->state = BACKEND_ACTIVE;
	return b;
}

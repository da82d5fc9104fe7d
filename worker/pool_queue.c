/*
 * pool_queue: the clients that wait for a backend, the backends that wait for a client.
 *
 * A released backend goes to this worker's head unless somebody on another worker has waited longer
 * by more than fairness_window. Idle ones are a stack: the warmest serves next, and what is not
 * needed grows old at the bottom. A waiter asks workers that show idle backends, and opens new ones
 * within the limits; a timer backs every message that could be lost with its sender.
 */
#include "conf/hint.h"
#include "worker/pool.h"

#include <stdatomic.h>
#include <stdio.h>

#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/deadline.h"
#include "worker/handover.h"
#include "worker/pool_rows.h"
#include "worker/replay.h"
#include "worker/replication.h"

#define RETRY_US    50000 /* look again while somebody waits */
#define SOON_US	    2000  /* ... which is soon enough for whatever is due */
#define MATCH_DEPTH 16	  /* idle backends looked at for matching settings */

static void
pump_event(struct loop_source *s, uint32_t events)
{
	struct pool *p = LOOP_CONTAINER(s, struct pool, pump);

	(void)events;
	if (p->nwaiting > 0)
		pool_pump(p);
}

void
pool_queue_init(struct pool *p)
{
	TAILQ_INIT(&p->waiting);
	TAILQ_INIT(&p->logins);
	TAILQ_INIT(&p->replicas);
	TAILQ_INIT(&p->idle);
	TAILQ_INIT(&p->held);
	p->pump = (struct loop_source){.fd = -1, .fn = pump_event};
}

/* --- idle backends ---------------------------------------------------------------------------- */

void
pool_take(struct pool *p, struct backend *b)
{
	TAILQ_REMOVE(&p->idle, b, list);
	pool_idle_changed(p);
	stats_sub(&p->row->sv_idle, 1);
	stats_sub(&wk->row->backends_idle, 1);
	ledger_busy(wk->table, wk->self, b->slot);
	backend_set_state(b, BACKEND_ACTIVE);
}

struct backend *
pool_take_best(struct pool *p, const struct params *want)
{
	struct backend *b, *best = TAILQ_FIRST(&p->idle);
	int depth = 0;

	if (p->hold)
		return NULL;
	TAILQ_FOREACH (b, &p->idle, list) {
		if (wk->conf->server_round_robin)
			break; /* in turn, whatever it costs */
		if (params_match(want, &b->params)) {
			best = b;
			break;
		}
		if (++depth == MATCH_DEPTH)
			break;
	}
	if (best != NULL && pool_check_due(best))
		best =
		    TAILQ_FIRST(&p->idle); /* the warmest, even if it must be told the settings */
	if (best == NULL || pool_check_due(best))
		return NULL;
	pool_take(p, best);
	return best;
}

void
pool_put_idle(struct pool *p, struct backend *b)
{
	backend_set_state(b, BACKEND_IDLE);
	b->since_us = loop_now();
	if (wk->conf->server_round_robin)
		TAILQ_INSERT_TAIL(&p->idle, b, list);
	else
		TAILQ_INSERT_HEAD(&p->idle, b, list);
	pool_idle_changed(p);
	deadline_touch(b);
	stats_add(&p->row->sv_idle, 1);
	stats_add(&wk->row->backends_idle, 1);
	ledger_idle(wk->table, wk->self, b->slot);
}

bool
pool_has_idle(const struct pool *p)
{
	return !p->hold && !TAILQ_EMPTY(&p->idle) && TAILQ_EMPTY(&p->waiting);
}

/* --- the queue -------------------------------------------------------------------------------- */

static void
pool_tick(struct timer *t)
{
	struct pool *p = LOOP_CONTAINER(t, struct pool, timer);

	p->nclients++;
	if (pool_has_waiters(p))
		pool_pump(p);
	else if (!p->hold)
		pool_fill(p);
	pool_client_gone(p);
}

void
pool_look_again(struct pool *p, int64_t at)
{
	if (!timer_armed(&p->timer) || p->timer.at_us > at)
		timer_set(&p->timer, at, pool_tick);
}

static void
not_later(int64_t *at, int64_t since, int64_t limit)
{
	if (limit > 0 && since + limit > loop_now() && since + limit < *at)
		*at = since + limit;
}

/* The timer is only ever moved forward, so that a busy queue costs no work on the heap. */
static void
set_timer(struct pool *p)
{
	int64_t at = loop_now() + RETRY_US;
	const struct client *head = TAILQ_FIRST(&p->waiting);

	if (timer_armed(&p->timer) && p->timer.at_us - loop_now() <= SOON_US)
		return; /* what is due is looked at when it rings */
	if (head != NULL) {
		if (table_workers_high(wk->table) > 1) /* then idle ones elsewhere are asked for */
			not_later(&at, head->since_us, wk->conf->fairness_window_us);
		not_later(&at, head->since_us, p->wait_timeout_us);
		not_later(&at, head->since_us, wk->conf->query_wait_notify_us);
		if (p->reserve_size > 0)
			not_later(&at, head->since_us, wk->conf->reserve_pool_timeout_us);
	}
	pool_look_again(p, at);
}

void
pool_queue_changed(struct pool *p)
{
	const struct client *head = TAILQ_FIRST(&p->waiting), *login = TAILQ_FIRST(&p->logins);
	int64_t since = pool_earlier(head != NULL ? head->since_us : 0, replication_waits_since(p));

	if (login != NULL && !p->welcomed)
		since = pool_earlier(since, login->since_us);
	stats_set(&p->row->oldest_wait_us, (uint64_t)since);
	if (since == 0) {
		pool_sated(p);
		return;
	}
	pool_hunger(p);
	set_timer(p);
}

static void
enqueue(struct pool *p, struct client *c)
{
	c->state = CLIENT_WAITING;
	c->since_us = loop_now();
	c->notified = false;
	TAILQ_INSERT_TAIL(&p->waiting, c, queue);
	p->nwaiting++;
	stats_sub(&p->row->cl_idle, 1);
	stats_add(&p->row->cl_waiting, 1);
	stats_add(&p->row->wait_count, 1);
	stats_add(&wk->row->clients_waiting, 1);
}

/* Out of the queue and of the counts; the caller says what it is from now on. */
static void
dequeue(struct pool *p, struct client *c)
{
	TAILQ_REMOVE(&p->waiting, c, queue);
	p->nwaiting--;
	stats_sub(&p->row->cl_waiting, 1);
	stats_add(&p->row->cl_idle, 1);
	stats_sub(&wk->row->clients_waiting, 1);
	stats_add(&p->row->wait_time_us, (uint64_t)(loop_now() - c->since_us));
	c->state = CLIENT_IDLE;
	pool_queue_changed(p);
}

void
pool_unqueue(struct pool *p, struct client *c)
{
	if (c->state == CLIENT_WAITING) {
		dequeue(p, c);
	} else if (c->state == CLIENT_LOGIN && c->replication != REPLICATION_NONE) {
		replication_left(c);
	} else if (c->state == CLIENT_LOGIN) {
		TAILQ_REMOVE(&p->logins, c, queue);
		p->nlogins--;
		pool_queue_changed(p);
	}
}

static void
held_changed(struct pool *p)
{
	const struct backend *b = TAILQ_FIRST(&p->held);

	stats_set(&p->row->oldest_held_us, b == NULL ? 0 : (uint64_t)b->since_us);
}

void
pool_relink(struct backend *b, struct client *c)
{
	struct pool *p = b->pool;

	stats_sub(&p->row->cl_idle, 1);
	stats_add(&p->row->cl_active, 1);
	stats_add(&p->row->sv_active, 1);
	stats_add(&wk->row->clients_active, 1);
	b->since_us = loop_now();
	b->xact_us = b->query_us = 0;
	b->client = c;
	c->backend = b;
	TAILQ_INSERT_TAIL(&p->held, b, list);
	held_changed(p);
}

static void
link_client(struct pool *p, struct backend *b, struct client *c, int64_t waited)
{
	stats_took(&p->times->wait, waited);
	stats_add(&p->row->sv_assigned, 1);
	pool_relink(b, c);
	prepared_came(&b->prepared, b->expect.sent_ends);
	b->block = 0;
	replay_begin(c, b);
}

void
pool_unlinked(struct pool *p, struct backend *b)
{
	TAILQ_REMOVE(&p->held, b, list);
	held_changed(p);
}

/* The head of the queue gets this backend and goes on in this turn of the loop. */
static void
serve_head(struct pool *p, struct backend *b)
{
	struct client *c = TAILQ_FIRST(&p->waiting);

	dequeue(p, c);
	link_client(p, b, c, loop_now() - c->since_us);
	if (b->state == BACKEND_ACTIVE)
		loop_again(&c->conn.src);
}

void
pool_want(struct pool *p, struct client *c)
{
	struct backend *b = TAILQ_EMPTY(&p->waiting) ? pool_take_best(p, &c->params) : NULL;

	if (b != NULL) {
		link_client(p, b, c, 0);
		pool_demand_count(p);
		return;
	}
	enqueue(p, c);
	pool_demand_count(p);
	pool_queue_changed(p);
	loop_again(&p->pump); /* once for all who came in this turn, if no release serves them */
	if (c->conn.hup)
		loop_again(&c->conn.src); /* gone already: nobody would tell us again */
}

/* ", max_db_connections 30 reached": which limit it is that they wait for. */
static void
describe_limit(const struct pool *p, char *text, size_t size)
{
	enum ledger_group kind = p->denied == LEDGER_DB_FULL ? LEDGER_DB : LEDGER_USER;

	text[0] = '\0';
	if (p->denied != LEDGER_OK)
		snprintf(text, size, ", %s %u reached",
		    kind == LEDGER_DB ? "max_db_connections" : "max_user_connections",
		    p->limits.group[kind]);
}

/* "pool app/alice: pool_size 20, 20 connections, 20 in use (the longest for 61.3 s), 31 clients
 * wait" */
void
pool_describe(const struct pool *p, char *text, size_t size)
{
	uint64_t waiting = p->nlogins, used = 0;
	const struct stats_pool *row;
	int64_t oldest = 0;
	char limit[64];
	uint32_t w;

	POOL_ROW_FOREACH (row, w, p->index) {
		waiting += stats_get(&row->cl_waiting);
		used += stats_get(&row->sv_active);
		oldest = pool_earlier(oldest, (int64_t)stats_get(&row->oldest_held_us));
	}
	describe_limit(p, limit, sizeof(limit));
	snprintf(text, size,
	    "pool %s/%s: pool_size %u, %u connections%s, %llu in use (the longest for %.1f s), "
	    "%llu clients wait",
	    p->db, p->user, p->limits.pool, ledger_pool_used(wk->table, p->index), limit,
	    (unsigned long long)used, oldest == 0 ? 0.0 : (double)(loop_now() - oldest) / 1e6,
	    (unsigned long long)waiting);
}

/* query_wait_timeout: a queue is in order of arrival, so only heads can be late. */
static void
expire(struct pool *p, struct client_queue *q)
{
	int64_t limit = p->wait_timeout_us;
	struct client *c;
	char detail[384];

	while (limit > 0 && (c = TAILQ_FIRST(q)) != NULL && loop_now() - c->since_us >= limit) {
		pool_describe(p, detail, sizeof(detail));
		stats_add(&p->row->wait_timeouts, 1);
		client_fail(
		    c, &(struct wire_error){.severity = "FATAL",
			   .sqlstate = "53300",
			   .message = "query_wait_timeout",
			   .detail = detail,
			   .hint = p->denied == LEDGER_OK
				       ? "Raise pool_size, or look for transactions that stay open."
				       : "Raise that limit, or look for transactions that stay "
					 "open."});
	}
}

/* query_wait_notify: one NOTICE per wait, so that a person at a terminal knows why nothing comes.
 */
static void
notify_waiters(struct pool *p)
{
	int64_t limit = wk->conf->query_wait_notify_us;
	struct client *c;
	char detail[384];
	uint8_t msg[1024];
	struct wire_out w;

	TAILQ_FOREACH (c, &p->waiting, queue) {
		if (limit == 0 || loop_now() - c->since_us < limit)
			break;
		if (c->notified)
			continue;
		c->notified = true;
		pool_describe(p, detail, sizeof(detail));
		wire_init(&w, msg, sizeof(msg));
		wire_notice(&w, &(struct wire_error){.severity = "NOTICE",
				    .sqlstate = "00000",
				    .message = "all server connections are in use, waiting",
				    .detail = detail});
		conn_put(&c->conn, msg, w.len);
		loop_again(&c->conn.src);
	}
}

void
pool_pump(struct pool *p)
{
	const struct client *c;
	struct backend *b;
	uint32_t wanted;

	p->nclients++; /* failing the last waiter must not free the pool under us */
	while (
	    (c = TAILQ_FIRST(&p->waiting)) != NULL && (b = pool_take_best(p, &c->params)) != NULL)
		serve_head(p, b);
	expire(p, &p->waiting);
	expire(p, &p->logins); /* their first backend is late */
	expire(p, &p->replicas);
	notify_waiters(p);
	pool_check_for_waiters(p);
	if (p->nlogins > 0)
		pool_welcome_look(p); /* another worker may have logged in meanwhile */
	wanted = p->nwaiting - pool_check_promised(p) + (p->nlogins > 0 && p->nsetup == 0 ? 1 : 0);
	if (p->hold)
		wanted = 0;
	if (p->nwaiting > 0 && !p->hold)
		pool_ask(p, p->nwaiting);
	if (p->nreplicas > 0 && !p->hold && !wk->draining)
		replication_open(p);
	if (wanted > 0 && !wk->draining)
		pool_open(p, wanted);
	if (!p->hold)
		pool_fill(p);
	pool_queue_changed(p);
	pool_client_gone(p);
}

/* --- release ---------------------------------------------------------------------------------- */

void
pool_release(struct backend *b)
{
	struct pool *p = b->pool;
	const struct client *head = TAILQ_FIRST(&p->waiting);
	int64_t since;
	uint32_t w;

	if (unlikely(wk->draining) && head == NULL) {
		if (!handover_backend(b))
			backend_close(b, "worker is leaving");
		return;
	}
	if (unlikely(deadline_expired(b))) {
		backend_close(b, "server_lifetime");
		return;
	}
	if (unlikely(pool_stale(b))) {
		backend_close(b, "database configuration changed");
		return;
	}
	if (unlikely(p->paused)) {
		backend_close(b, "PAUSE");
		return;
	}
	if (unlikely(p->hold)) {
		pool_put_idle(p, b);
		return;
	}
	if (unlikely(pool_sheds(b))) {
		backend_close(b, "the pool's limits were lowered");
		return;
	}
	if (unlikely(pool_owes_place(p)) ||
	    (unlikely(b->conn.tls != NULL) &&
		pool_owes_worker(p, head == NULL ? 0 : head->since_us, 0))) {
		pool_yield(b);
		return;
	}
	since = replication_waits_since(p);
	if (unlikely(since != 0) && (head == NULL || since < head->since_us)) {
		pool_yield(b); /* it wants a place only */
		return;
	}
	w = pool_longest_wait(p, head == NULL ? 0 : head->since_us);
	if (unlikely(w != TABLE_NONE) && pool_give(b, w))
		return;
	if (head != NULL) {
		serve_head(p, b);
		return;
	}
	if (handover_backend(b))
		return;
	if (pool_owes_elsewhere(p) && !handover_can(b)) {
		pool_yield(b);
		return;
	}
	pool_put_idle(p, b);
	/* Pairs with the fence in pool_ask: either we see a wait elsewhere, or it sees our idle
	 * backend. If neither thinks it worth moving yet, the timer of the queue looks again. */
	atomic_thread_fence(memory_order_seq_cst);
	p->looked = 0;
	w = pool_longest_wait(p, 0);
	if (w != TABLE_NONE)
		pool_asked(p->index, w, 1);
}

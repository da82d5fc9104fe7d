/*
 * pool_limit: limits that several pools share (max_db_connections, max_user_connections, clients of
 * a database or a user), the reserve pool and the least size of a pool. Called by the other
 * pool_*.c files.
 *
 * Places under a shared limit are had by need, across pools and workers:
 * - A pool that is denied a place is hungry: its row says since when, and so does the hint in the
 *   group. Since when: the wait of the head of its queue, but not before the last place it got, on
 *   whichever worker, so that a hungry pool gets one place at a time.
 * - It evicts the idlest backend of the group's other pools, on whichever worker, if that one has
 *   been idle for EVICT_IDLE_US. That worker may sleep, and is woken by being asked. The place
 *   counts until PostgreSQL has let go of it, so the next one is evicted when the hungry pool has
 *   got a place, or after EVICT_AGAIN_US: that one may have been used meanwhile; or when the worker
 *   hangs: its loop has not turned DEAF_US after it was asked. Nobody is evicted while idle
 *   backends of the pool's own are on their way from other workers, asked for ASKED_US ago at most.
 * - If all of them are busy, a pool of the group closes a backend when it releases it and the
 *   hungry one has waited longer than the pool's own clients by YIELD_US. So no pool starves, and
 *   moving places costs each hungry pool one connection per YIELD_US at most.
 * - A place that is free goes to the pool that has been hungry longest: others leave it
 * (pool_yields) and wake that one. One that hangs (silent for SILENT_US) is passed over. A message
 * that gets lost is made good by the timer of the pool's queue.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/log.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/inbox.h"
#include "worker/pool.h"
#include "worker/pool_rows.h"

#define EVICT_IDLE_US  20000
#define EVICT_AGAIN_US 1000000
#define YIELD_US       100000
#define DEAF_US	       200000
#define ASKED_US       100000

/* Per worker: since when it has been asked for a place and not turned its loop. */
static int64_t *asked_us;

/* --- who is hungry ---------------------------------------------------------------------------- */

static _Atomic uint64_t *
hungry_of(struct stats_pool *row, enum ledger_group kind)
{
	return kind == LEDGER_DB ? &row->hungry_db_us : &row->hungry_user_us;
}

static uint32_t
group_of(const struct pool *p, enum ledger_group kind)
{
	return ledger_pool_group(wk->table, p->index, kind);
}

/* Since when the head of this worker's queue waits; 0 = nobody. */
static int64_t
head_since(const struct pool *p)
{
	return pool_row_waits(p->row);
}

struct place {
	uint32_t pool, worker;
	int64_t since; /* 0 = none */
};

/* The row with the earliest time in the group, as `of` reads it: of other pools than `p` only, and
 * of no worker that is passed over. */
static struct place
earliest(const struct pool *p, enum ledger_group kind,
    int64_t (*of)(uint32_t pool, struct stats_pool *, enum ledger_group),
    bool (*passed_over)(uint32_t))
{
	uint32_t group = group_of(p, kind), n = ledger_pools(wk->table), q, w;
	struct place best = {TABLE_NONE, TABLE_NONE, 0};
	struct stats_pool *row;

	for (q = 0; q < n; q++) {
		if (q == p->index || ledger_pool_group(wk->table, q, kind) != group)
			continue;
		POOL_ROW_FOREACH (row, w, q) {
			int64_t since = of(q, row, kind);
			if (since != 0 && (best.since == 0 || since < best.since) &&
			    !passed_over(w))
				best = (struct place){q, w, since};
		}
	}
	return best;
}

/* A worker's wish is older than the pool's last place if another worker got that. */
static int64_t
not_before_fed(uint32_t pool, int64_t since)
{
	int64_t fed = ledger_pool_fed(wk->table, pool);

	return since != 0 && since < fed ? fed : since;
}

static int64_t
hungry_since(uint32_t pool, struct stats_pool *row, enum ledger_group kind)
{
	return not_before_fed(pool, (int64_t)stats_get(hungry_of(row, kind)));
}

static int64_t
idle_since(uint32_t pool, struct stats_pool *row, enum ledger_group kind)
{
	(void)pool;
	(void)kind;
	return (int64_t)stats_get(&row->idle_since_us);
}

/* Who has been hungry longest, if longer than since `mine` (0 = whoever). The hint saves the
 * search, and is put right by it. */
static struct place
hungriest(const struct pool *p, enum ledger_group kind, int64_t mine)
{
	const struct place none = {TABLE_NONE, TABLE_NONE, 0};
	uint32_t group = group_of(p, kind);
	int64_t hint = ledger_hungry(wk->table, group), own;
	struct place best;

	if (p->limits.group[kind] == 0 || hint == 0 || (mine != 0 && hint >= mine))
		return none;
	best = earliest(p, kind, hungry_since, pool_worker_silent);
	own = hungry_since(p->index, p->row, kind);
	if (best.since != hint && own != hint)
		ledger_hungry_drop(wk->table, group, hint,
		    best.since == 0 || (own != 0 && own < best.since) ? own : best.since);
	return best.since != 0 && (mine == 0 || best.since < mine) ? best : none;
}

/* Ours in the next turn of the loop: two pools that yield to each other must not recurse. */
static void
wake(const struct place *at)
{
	struct pool *p = at->worker == wk->self.worker ? pool_by_index(at->pool) : NULL;

	if (p != NULL)
		pool_look_again(p, loop_now());
	else if (at->worker != wk->self.worker)
		inbox_send(at->worker, CTL_WAKE, at->pool, 0);
}

/* --- eviction --------------------------------------------------------------------------------- */

static bool
deaf(uint32_t w)
{
	int64_t turned = (int64_t)stats_get(&stats_worker(wk->stats, w)->heartbeat_us);

	if (turned >= asked_us[w])
		asked_us[w] = 0;
	return asked_us[w] != 0 && loop_now() - asked_us[w] > DEAF_US;
}

/* Has it asked other workers for idle backends of its own? They come, unless that worker hangs. */
static bool
own_are_coming(const struct pool *p)
{
	return loop_now() - p->asked_us < ASKED_US && loop_now() - head_since(p) < EVICT_AGAIN_US;
}

static void
evict_for(struct pool *p, enum ledger_group kind)
{
	struct place victim;

	if (own_are_coming(p))
		return;
	if (p->evicted_us > ledger_pool_fed(wk->table, p->index) &&
	    loop_now() - p->evicted_us < EVICT_AGAIN_US && !deaf(p->evicted_at))
		return;
	victim = earliest(p, kind, idle_since, deaf);
	if (victim.since == 0 || loop_now() - victim.since < EVICT_IDLE_US)
		return;
	p->evicted_us = loop_now();
	p->evicted_at = victim.worker;
	if (victim.worker == wk->self.worker) {
		pool_evicted(victim.pool);
		return;
	}
	if (asked_us[victim.worker] == 0)
		asked_us[victim.worker] = loop_now();
	inbox_send(victim.worker, CTL_EVICT, victim.pool, 0);
}

void
pool_limit_init(void)
{
	asked_us = calloc(wk->boot->nworkers, sizeof(*asked_us));
	if (asked_us == NULL)
		fatal("shared limits");
}

struct backend *
pool_coldest(const struct pool *p)
{
	return wk->conf->server_round_robin ? TAILQ_FIRST(&p->idle)
					    : TAILQ_LAST(&p->idle, backend_queue);
}

void
pool_evicted(uint32_t index)
{
	struct pool *p = pool_by_index(index);
	struct backend *b = p == NULL ? NULL : pool_coldest(p);

	if (b == NULL || loop_now() - b->since_us < EVICT_IDLE_US)
		return;
	stats_add(&p->row->sv_evicted, 1);
	backend_close(b, "evicted: another pool needs its place");
}

void
pool_idle_changed(struct pool *p)
{
	const struct backend *b = pool_coldest(p);

	stats_set(&p->row->idle_since_us, b == NULL ? 0 : (uint64_t)b->since_us);
}

/* --- the pool's own side ---------------------------------------------------------------------- */

struct ledger_limits
pool_limits_now(const struct pool *p)
{
	struct ledger_limits limits = p->limits;
	int64_t since = head_since(p);

	if (p->reserve_size > 0 && since != 0 &&
	    loop_now() - since >= wk->conf->reserve_pool_timeout_us)
		limits.pool += p->reserve_size;
	return limits;
}

bool
pool_has_spare(const struct pool *p)
{
	const struct stats_pool *row;
	uint64_t leaving = 0;
	uint32_t w;

	POOL_ROW_FOREACH (row, w, p->index)
		leaving += stats_get(&row->sv_cleaning);
	return ledger_pool_used(wk->table, p->index) > p->limits.pool + leaving;
}

/* Since when we want a place: one at a time, so not before the last that we got. */
static int64_t
want_since(const struct pool *p)
{
	int64_t since = head_since(p);

	return not_before_fed(p->index, since == 0 ? loop_now() : since);
}

static enum ledger_group
denied_kind(const struct pool *p)
{
	return p->denied == LEDGER_DB_FULL ? LEDGER_DB : LEDGER_USER;
}

void
pool_hunger(struct pool *p)
{
	int64_t since;

	if (p->denied == LEDGER_OK)
		return;
	since = want_since(p);
	stats_set(hungry_of(p->row, denied_kind(p)), (uint64_t)since);
	ledger_hungry_put(wk->table, group_of(p, denied_kind(p)), since);
}

void
pool_denied(struct pool *p, enum ledger_result why)
{
	if (p->denied != why)
		pool_sated(p);
	p->denied = why;
	pool_hunger(p);
	evict_for(p, denied_kind(p));
}

void
pool_sated(struct pool *p)
{
	if (p->denied == LEDGER_OK)
		return;
	p->denied = LEDGER_OK;
	stats_set(&p->row->hungry_db_us, 0);
	stats_set(&p->row->hungry_user_us, 0);
}

enum ledger_result
pool_yields(const struct pool *p)
{
	static const enum ledger_result full[LEDGER_GROUPS] = {LEDGER_DB_FULL, LEDGER_USER_FULL};
	int64_t mine = want_since(p);
	struct place other;
	enum ledger_group k;

	for (k = 0; k < LEDGER_GROUPS; k++) {
		other = hungriest(p, k, mine);
		if (other.since == 0)
			continue;
		wake(&other);
		return full[k];
	}
	return LEDGER_OK;
}

/* Since when somebody waits in this pool, on any worker that runs. */
static int64_t
pool_waits(const struct pool *p)
{
	int64_t oldest = head_since(p);
	const struct stats_pool *row;
	uint32_t w;

	POOL_ROW_FOREACH_OTHER (row, w, p->index)
		if (!pool_worker_silent(w))
			oldest = pool_earlier(oldest, pool_row_waits(row));
	return oldest;
}

bool
pool_owes_place(const struct pool *p)
{
	int64_t hint, before;
	enum ledger_group k;

	for (k = 0; k < LEDGER_GROUPS; k++) {
		if (p->limits.group[k] == 0)
			continue;
		hint = ledger_hungry(wk->table, group_of(p, k));
		if (hint == 0 || loop_now() - hint < YIELD_US)
			continue;
		before = pool_waits(p);
		before = before == 0 ? loop_now() : before - YIELD_US;
		if (hungriest(p, k, before).since != 0)
			return true;
	}
	return false;
}

void
pool_place_free(const struct pool *p)
{
	struct place other;
	enum ledger_group k;

	for (k = 0; k < LEDGER_GROUPS; k++) {
		other = hungriest(p, k, 0);
		if (other.since != 0)
			wake(&other);
	}
}

/* --- the least size --------------------------------------------------------------------------- */

static bool
has_clients(const struct stats_pool *row)
{
	return stats_get(&row->cl_idle) + stats_get(&row->cl_active) + stats_get(&row->cl_waiting) >
	       0;
}

bool
pool_below_min(const struct pool *p)
{
	return p->min_size > 0 && !p->hold && p->nclients > p->nstreams && !wk->draining &&
	       !wk->retired && wk->self.worker < wk->boot->nworkers &&
	       pool_used_all(p) < p->min_size;
}

bool
pool_keeps(const struct pool *p)
{
	const struct stats_pool *row;
	uint32_t w;

	if (ledger_pool_used(wk->table, p->index) > p->min_size)
		return false;
	if (p->nclients > 0)
		return true;
	POOL_ROW_FOREACH_OTHER (row, w, p->index)
		if (has_clients(row))
			return true;
	return false;
}

void
pool_wake_others(const struct pool *p)
{
	bool few = p->min_size > 0 && pool_used_all(p) < p->min_size;
	const struct stats_pool *row;
	uint32_t w;

	POOL_ROW_FOREACH_OTHER (row, w, p->index)
		if (pool_row_waits(row) != 0 || (few && has_clients(row)))
			inbox_send(w, CTL_WAKE, p->index, 0);
}

/* --- clients ---------------------------------------------------------------------------------- */

static void
say_refusal(
    struct wire_error *why, char *text, size_t size, enum ledger_result r, const char *option)
{
	snprintf(text, size, "client connections exceeded (%s)", option);
	*why = (struct wire_error){.severity = "FATAL",
	    .sqlstate = "53300",
	    .message = text,
	    .hint = "Raise that limit, or keep fewer connections open."};
	if (r == LEDGER_BUSY || r == LEDGER_TABLE_FULL)
		why->detail = "The table that counts them is busy or full.";
}

static bool
admit(struct client *c, enum ledger_group kind, const char *name, int limit, const char *option,
    struct wire_error *why)
{
	static char text[128]; /* lives until the caller has told the client */
	enum ledger_result r;
	uint32_t group;

	if (limit == 0)
		return true;
	r = ledger_client_enter(wk->table, wk->self, kind, name, (uint32_t)limit, &group);
	if (r == LEDGER_OK) {
		c->groups[kind] = group + 1;
		return true;
	}
	say_refusal(why, text, sizeof(text), r, option);
	pool_dismiss(c);
	return false;
}

bool
pool_admit(struct client *c, const char *db, const char *user, const struct conf_database *d,
    struct wire_error *why)
{
	c->who = conf_user(wk->conf, user);
	free(c->user);
	c->user = strdup(user);
	if (c->user == NULL)
		fatal("login");
	return admit(c, LEDGER_DB, db, CONF_DATABASE(wk->conf, d, max_db_client_connections),
		   "max_db_client_connections", why) &&
	       admit(c, LEDGER_USER, user, CONF_USER(wk->conf, c->who, max_user_client_connections),
		   "max_user_client_connections", why);
}

/* Whoever is in stays in: the limit is for those who come later. */
static void
recount(struct client *c, enum ledger_group kind, const char *name, int limit)
{
	uint32_t group;

	if (limit > 0 && c->groups[kind] == 0 &&
	    ledger_client_enter(wk->table, wk->self, kind, name, UINT32_MAX, &group) == LEDGER_OK)
		c->groups[kind] = group + 1;
}

void
pool_readmit(struct client *c)
{
	const struct conf_database *d = c->pool->conf;

	c->who = conf_user(wk->conf, c->user);
	recount(c, LEDGER_DB, c->pool->db, CONF_DATABASE(wk->conf, d, max_db_client_connections));
	recount(c, LEDGER_USER, c->user, CONF_USER(wk->conf, c->who, max_user_client_connections));
}

void
pool_dismiss(struct client *c)
{
	enum ledger_group k;

	for (k = 0; k < LEDGER_GROUPS; k++) {
		if (c->groups[k] != 0)
			ledger_client_leave(wk->table, wk->self, c->groups[k] - 1);
		c->groups[k] = 0;
	}
}

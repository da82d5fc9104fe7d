/*
 * pool_generation: limits that hold over all generations of an upgrade together (shm/budget.h).
 * Called by the other pool_*.c files, handover.c and worker.c.
 *
 * What another generation has is as good as taken: its backends come over by themselves as they
 * become free, so nobody opens more than the limits leave. Only who has no backend at all of a
 * pool, and whose clients would wait until the other generation ends, says that it is hungry: then
 * the other gives its idle ones away, or closes one that it releases.
 *
 * Backends that cannot come over (TLS, another version of records) are closed by the elder instead:
 * those that it has not used for a while, but for one, and the last one too if others are hungry.
 */
#include "worker/backend.h"
#include "worker/handover.h"
#include "worker/pool.h"

#define TICK_US	 100000
#define SPARE_US 1000000

static struct timer tick_timer;

static bool
shared(void)
{
	return wk->boot->budget != NULL && budget_shared(wk->boot->budget);
}

/* The limit that `more` backends of ours would break, counting those of the others. */
static enum ledger_result
room(const struct pool *p, const struct ledger_limits *limits, uint32_t more)
{
	static const enum ledger_result full[LEDGER_GROUPS] = {LEDGER_DB_FULL, LEDGER_USER_FULL};
	struct budget_sum sum;
	enum ledger_group k;

	budget_others(wk->boot->budget, p->db, p->user, &sum);
	if (sum.pool > 0 && ledger_pool_used(wk->table, p->index) + sum.pool + more > limits->pool)
		return LEDGER_POOL_FULL;
	for (k = 0; k < LEDGER_GROUPS; k++) {
		uint32_t used =
		    ledger_group_used(wk->table, ledger_pool_group(wk->table, p->index, k));
		if (limits->group[k] != 0 && sum.group[k] > 0 &&
		    used + sum.group[k] + more > limits->group[k])
			return full[k];
	}
	return LEDGER_OK;
}

enum ledger_result
pool_room(const struct pool *p, const struct ledger_limits *limits)
{
	enum ledger_result r = ledger_room(wk->table, p->index, limits);

	if (r != LEDGER_OK || !shared())
		return r;
	r = room(p, limits, 1);
	if (r != LEDGER_OK && pool_has_waiters(p) && ledger_pool_used(wk->table, p->index) == 0)
		budget_hungry(wk->boot->budget, p->index, loop_now());
	return r;
}

enum ledger_result
pool_reserve(struct pool *p, const struct ledger_limits *limits, uint32_t *slot)
{
	enum ledger_result r = ledger_reserve(wk->table, wk->self, p->index, limits, slot);

	if (r != LEDGER_OK || !shared())
		return r;
	r = room(p, limits, 0); /* ours is counted by now */
	if (r != LEDGER_OK)
		backend_free_slot(*slot);
	else
		budget_hungry(wk->boot->budget, p->index, 0);
	return r;
}

uint32_t
pool_used_all(const struct pool *p)
{
	struct budget_sum sum = {0};

	if (shared())
		budget_others(wk->boot->budget, p->db, p->user, &sum);
	return ledger_pool_used(wk->table, p->index) + sum.pool;
}

bool
pool_wanted_elsewhere(const struct pool *p)
{
	const bool by[LEDGER_GROUPS] = {
	    [LEDGER_DB] = p->limits.group[LEDGER_DB] != 0,
	    [LEDGER_USER] = p->limits.group[LEDGER_USER] != 0,
	};

	return shared() && budget_wanted(wk->boot->budget, p->db, p->user, by, loop_now());
}

bool
pool_owes_elsewhere(const struct pool *p)
{
	return stats_get(&p->row->sv_cleaning) == 0 && pool_wanted_elsewhere(p);
}

/* The elder can do without it: it cannot go over, and has not been used for a while. */
static bool
is_spare(const struct pool *p, const struct backend *b)
{
	return wk->retired && loop_now() - b->since_us >= SPARE_US && handover_spare(p);
}

static void
look_at(struct pool *p)
{
	struct backend *b = TAILQ_LAST(&p->idle, backend_queue);

	if (b == NULL || handover_can(b)) /* handover.c gives it */
		return;
	if (!pool_owes_elsewhere(p) && !is_spare(p, b))
		return;
	stats_add(&p->row->sv_yielded, 1);
	backend_close(b, "clients of another generation need its place");
}

static void
tick(struct timer *t)
{
	if (!shared())
		return;
	budget_prune(wk->boot->budget);
	pools_each(look_at);
	timer_set(t, loop_now() + TICK_US, tick);
}

void
pool_generation_watch(void)
{
	if (wk->boot->budget != NULL && !timer_armed(&tick_timer))
		timer_set(&tick_timer, loop_now(), tick);
}

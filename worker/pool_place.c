/*
 * pool_place: sharing a pool whose backends have TLS. Called by pool_queue, pool_open, pool_share.
 *
 * A session of TLS cannot move with its socket, only its place can: the backend is closed, and who
 * waits elsewhere opens another. That costs milliseconds here and a process at PostgreSQL, so it is
 * done for clients who have waited longer than ours by PLACE_US, and only if the pool has no other
 * place for them. What keeps us from taking the place ourselves is the same rule in pool_open.
 */
#include "worker/backend.h"
#include "worker/pool.h"
#include "worker/pool_rows.h"

#define PLACE_US 100000

/* Does a client of another worker that runs wait since before then? */
static bool
waited_elsewhere(const struct pool *p, int64_t before)
{
	const struct stats_pool *row;
	uint32_t w;

	POOL_ROW_FOREACH_OTHER (row, w, p->index) {
		int64_t since = pool_row_waits(row);
		if (since != 0 && since < before && !pool_worker_silent(w))
			return true;
	}
	return false;
}

bool
pool_owes_worker(const struct pool *p, int64_t mine, uint32_t spare)
{
	struct ledger_limits limits = pool_limits_now(p);

	if (p->conf->tls == NULL ||
	    !waited_elsewhere(p, (mine == 0 ? loop_now() : mine) - PLACE_US))
		return false;
	return ledger_pool_used(wk->table, p->index) + spare >= limits.pool ||
	       pool_room(p, &limits) != LEDGER_OK;
}

void
pool_yield(struct backend *b)
{
	stats_add(&b->pool->row->sv_yielded, 1);
	backend_close(b, "others have waited longer for its place");
}

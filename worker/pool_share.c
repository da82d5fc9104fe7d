/*
 * pool_share: one pool over all workers (design.md 4.3). What others have and want is read from
 * their rows in the statistics; backends travel by SCM_RIGHTS.
 *
 * A message that gets lost with its sender or receiver does no harm: who waits looks again after
 * RETRY_US, and a slot in flight is taken back by its giver or claimed by the steward.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "conf/log.h"
#include "worker/backend.h"
#include "worker/inbox.h"
#include "worker/pool.h"

void
pool_ask(struct pool *p, uint32_t wanted)
{
	uint32_t w, idle;

	/* Pairs with the fence in pool_release. */
	atomic_thread_fence(memory_order_seq_cst);
	for (w = 0; w < wk->boot->nworkers && wanted > 0; w++) {
		if (w == wk->self.worker)
			continue;
		idle = (uint32_t)stats_get(&stats_pool(wk->stats, p->index, w)->sv_idle);
		if (idle == 0)
			continue;
		if (idle > wanted)
			idle = wanted;
		if (inbox_send(w, CTL_ASK, p->index, idle))
			wanted -= idle;
	}
}

/*
 * What is given to a worker that hangs, hangs with it until it is replaced. So at most GIFTS
 * backends go to a worker before its loop has turned again, and none to one that has been silent
 * for longer than anybody with a queue is (RETRY_US).
 */
#define GIFTS	  2
#define SILENT_US 200000

static struct gifts {
	uint64_t turns; /* of the receiver's loop when we last looked */
	uint32_t given; /* since then */
} * gifts;		/* per worker */

bool
pool_worker_silent(uint32_t w)
{
	return loop_now() - (int64_t)stats_get(&stats_worker(wk->stats, w)->heartbeat_us) >
	       SILENT_US;
}

static bool
gift_allowed(uint32_t w)
{
	uint64_t turns = stats_get(&stats_worker(wk->stats, w)->loop_turns);

	if (gifts[w].turns != turns)
		gifts[w] = (struct gifts){.turns = turns};
	return gifts[w].given < GIFTS && !pool_worker_silent(w);
}

void
pool_share_init(void)
{
	gifts = calloc(wk->boot->nworkers, sizeof(*gifts));
	if (gifts == NULL)
		fatal("gifts");
}

uint32_t
pool_longest_wait(const struct pool *p, int64_t mine)
{
	int64_t oldest = mine == 0 ? INT64_MAX : mine - wk->conf->fairness_window_us;
	uint32_t w, best = TABLE_NONE;

	for (w = 0; w < wk->boot->nworkers; w++) {
		int64_t since;
		if (w == wk->self.worker)
			continue;
		since = (int64_t)stats_get(&stats_pool(wk->stats, p->index, w)->oldest_wait_us);
		if (since != 0 && since < oldest && gift_allowed(w)) {
			oldest = since;
			best = w;
		}
	}
	return best;
}

bool
pool_give(struct backend *b, uint32_t w)
{
	struct table_self to = {w, table_worker_live(wk->table, w)};
	uint8_t facts[INBOX_FACTS_MAX];
	size_t len = params_pack(&b->params, facts, sizeof(facts));

	if (to.incarnation == 0 || len == 0 || b->conn.in != NULL || b->conn.out != NULL ||
	    b->conn.tls != NULL)
		return false;
	ledger_hand(wk->table, wk->self, b->slot, to);
	if (!inbox_give(w, to.incarnation, b->slot, b->conn.src.fd, facts, len)) {
		if (ledger_take_back(wk->table, wk->self, b->slot, to))
			return false;
		/* The receiver has died and the steward was quicker: the slot is its to clear up.
		 */
	}
	gifts[w].given++;
	stats_add(&b->pool->row->sv_given, 1);
	backend_given(b);
	return true;
}

void
pool_asked(uint32_t index, uint32_t worker, uint32_t count)
{
	struct pool *p = pool_by_index(index);
	struct backend *b;

	while (worker < wk->boot->nworkers && p != NULL && count-- > 0 &&
	       TAILQ_EMPTY(&p->waiting) && (b = TAILQ_FIRST(&p->idle)) != NULL) {
		if (pool_check_due(b)) { /* it is given when it has passed */
			pool_check(b);
			continue;
		}
		pool_take(p, b);
		if (!pool_give(b, worker)) {
			pool_put_idle(p, b);
			return;
		}
		p = pool_by_index(index); /* the last backend takes an empty pool with it */
	}
}

void
pool_woken(uint32_t index)
{
	struct pool *p = pool_by_index(index);

	if (p != NULL && p->nwaiting + p->nlogins > 0)
		pool_pump(p);
}

void
pool_received(uint32_t slot, int fd, const uint8_t *facts, size_t len)
{
	struct ledger_backend lb;
	struct pool *p;
	struct backend *b;

	ledger_read(wk->table, slot, &lb);
	p = pool_by_index(lb.pool);
	b = backend_adopt(p, slot, fd, &lb, facts, len);
	if (b == NULL)
		return;
	stats_add(&p->row->sv_received, 1);
	pool_release(b);
}

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
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/facts.h"
#include "worker/inbox.h"
#include "worker/pool.h"
#include "worker/pool_rows.h"

/*
 * An idle backend there is not surplus yet if it was used a moment ago, while our own backends will
 * be free in a moment: moving it, and back, costs more than the wait. A head that has waited for
 * the window asks in any case.
 */
static bool
worth_asking(const struct pool *p, const struct stats_pool *theirs)
{
	int64_t window = wk->conf->fairness_window_us;
	const struct client *head = TAILQ_FIRST(&p->waiting);

	return stats_get(&p->row->sv_active) == 0 || head == NULL ||
	       loop_now() - head->since_us >= window ||
	       loop_now() - (int64_t)stats_get(&theirs->idle_since_us) >= window;
}

/*
 * By ASK_US the answer is here, or none will come. What a worker shows as idle when it is not
 * running is mostly not: queries for it wait in its sockets. So each ask in vain doubles the pause
 * before the next, ASK_DOUBLINGS times at most, until a backend comes.
 */
#define ASK_US	      1000
#define ASK_DOUBLINGS 4

void
pool_ask(struct pool *p, uint32_t wanted)
{
	const struct stats_pool *row;
	uint32_t w, idle;

	/* Pairs with the fence in pool_release. */
	atomic_thread_fence(memory_order_seq_cst);
	if (loop_now() - p->asked_us >= ASK_US << p->vain)
		p->asked = 0;
	if (p->vain > 0 && p->asked > 0)
		return;
	wanted = wanted > p->asked ? wanted - p->asked : 0;
	POOL_ROW_FOREACH_OTHER (row, w, p->index) {
		if (wanted == 0)
			break;
		idle = (uint32_t)stats_get(&row->sv_idle);
		if (idle == 0 || !worth_asking(p, row))
			continue;
		if (idle > wanted)
			idle = wanted;
		if (!inbox_send(w, CTL_ASK, p->index, idle))
			continue;
		wanted -= idle;
		p->asked += idle;
		p->asked_us = loop_now();
	}
	if (p->asked_us == loop_now() && p->vain < ASK_DOUBLINGS)
		p->vain++; /* until it is answered */
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

/*
 * Who has waited longer is not reason enough to give: a worker that is about to run has old waiters
 * and, in its sockets, the backends for them. If those of others went there as well, they would all
 * come back a moment later, and a quarter of the transactions would pay for a hand-over (measured).
 * What evens waiting out for good is that each worker has backends in proportion to its clients.
 *
 * So a backend goes to who has waited longer than our head by the window (or by a quarter of the
 * wait: waits may be shorter than the window), if that worker has no backend at all or is short of
 * one. If it is short of a part of one, the backend goes back and forth, so that both have their
 * share of it: but not more often than every CALM waits, since a hand-over costs more than a
 * transaction (with 4, every fortieth transaction of 64 clients took one, and a tenth of the CPU
 * time; with 16, every 150th, and nobody's latency is worse). Whatever the shares, as when
 * transactions there last longer, it goes to who has waited longer by half and four windows.
 */
#define CALM 16

/* Of the clients that want or hold a backend; over some turns, since those whose answer is on its
 * way want one again soon. */
#define DEMAND_ONE   256
#define DEMAND_SHIFT 7 /* averaged over 128 transactions */

void
pool_demand_count(struct pool *p)
{
	int64_t now = ((int64_t)stats_get(&p->row->cl_active) + p->nwaiting) * DEMAND_ONE;
	int64_t was = (int64_t)stats_get(&p->row->cl_demand);

	stats_set(&p->row->cl_demand, (uint64_t)(was + (now - was) / (1 << DEMAND_SHIFT)));
}

/* Quarters of a backend that they are short of, if both sides shared theirs by need. */
static int64_t
short_of(const struct stats_pool *ours, const struct stats_pool *theirs, uint32_t under_way)
{
	int64_t have = (int64_t)stats_get(&ours->sv_active) + 1; /* with the one that is released */
	int64_t need = (int64_t)stats_get(&ours->cl_demand) + 1;
	int64_t they_have = (int64_t)stats_get(&theirs->sv_active) + under_way;
	int64_t they_need = (int64_t)stats_get(&theirs->cl_demand) + 1;

	if (they_have == 0)
		return 4;
	return 4 * (have * they_need - they_have * need) / (need + they_need);
}

/* Who has waited so much longer than our head, or less, gets nothing whatever the shares. */
static int64_t
patience(int64_t mine)
{
	int64_t window = wk->conf->fairness_window_us, wait = loop_now() - mine;

	return wait / 4 < window ? wait / 4 : window;
}

/* Does worker w, whose row is `theirs`? The heads of both queues wait since `mine` and `since`;
 * mine = 0: nobody here does. */
static bool
deserves(
    const struct pool *p, uint32_t w, const struct stats_pool *theirs, int64_t mine, int64_t since)
{
	int64_t window = wk->conf->fairness_window_us, wait, longer, quarters;

	if (mine == 0) /* see worth_asking */
		return stats_get(&theirs->sv_active) == 0 || loop_now() - since >= window;
	longer = mine - since;
	wait = loop_now() - mine;
	if (longer <= patience(mine))
		return false;
	if (longer > 4 * window + wait / 2)
		return true;
	quarters = short_of(p->row, theirs, gifts[w].given);
	return quarters >= 4 || (quarters > 0 && loop_now() - p->gave_us >= CALM * (longer + wait));
}

/* The others' rows change with every transaction there, so that looking at them is dear: once a
 * turn of the loop is enough to know that nobody deserves a backend. */
static int64_t
waits_elsewhere(struct pool *p)
{
	const struct stats_pool *row;
	uint32_t w;

	if (p->looked == loop_turns())
		return p->elsewhere_us;
	p->looked = loop_turns();
	p->elsewhere_us = 0;
	POOL_ROW_FOREACH_OTHER (row, w, p->index)
		p->elsewhere_us = pool_earlier(p->elsewhere_us, pool_row_waits(row));
	return p->elsewhere_us;
}

uint32_t
pool_longest_wait(struct pool *p, int64_t mine)
{
	int64_t oldest = waits_elsewhere(p), since;
	uint32_t w, best = TABLE_NONE;
	const struct stats_pool *row;

	if (oldest == 0 || (mine != 0 && mine - oldest <= patience(mine)))
		return TABLE_NONE;
	oldest = 0;
	POOL_ROW_FOREACH_OTHER (row, w, p->index) {
		since = pool_row_waits(row);
		if (since != 0 && (oldest == 0 || since < oldest) && gift_allowed(w) &&
		    deserves(p, w, row, mine, since)) {
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
	size_t len;

	if (to.incarnation == 0 || b->conn.in != NULL || b->conn.out != NULL || b->conn.tls != NULL)
		return false;
	len = facts_pack(b, facts, sizeof(facts));
	if (len == 0) { /* its settings are too long for a message: who waits may open another */
		backend_close(b, "too much to hand over");
		return true;
	}
	ledger_hand(wk->table, wk->self, b->slot, to);
	if (!inbox_give(w, to.incarnation, b->slot, b->conn.src.fd, facts, len)) {
		if (ledger_take_back(wk->table, wk->self, b->slot, to))
			return false;
		/* The receiver has died and the steward was quicker: the slot is its to clear up.
		 */
	}
	gifts[w].given++;
	stats_add(&b->pool->row->sv_given, 1);
	b->pool->gave_us = loop_now();
	backend_given(b); /* the last one takes an empty pool with it */
	return true;
}

void
pool_asked(uint32_t index, uint32_t worker, uint32_t count)
{
	struct pool *p = pool_by_index(index);
	struct backend *b;

	if (p != NULL && !p->hold && (b = TAILQ_FIRST(&p->idle)) != NULL && b->conn.tls != NULL) {
		if (TAILQ_EMPTY(&p->waiting) && pool_owes_worker(p, 0, 0))
			pool_yield(b);
		return;
	}
	while (worker < wk->boot->nworkers && p != NULL && !p->hold && count-- > 0 &&
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

	if (index == TABLE_NONE)
		pool_kick_all();
	if (p != NULL && pool_has_waiters(p))
		pool_pump(p);
	else if (p != NULL)
		pool_fill(p);
}

/* With one client more, so that it stays: a sibling that leaves gives backends of any pool. */
static struct pool *
pool_got(uint32_t index)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	const struct conf_database *d;
	struct pool *p = pool_by_index(index);
	struct wire_error why;

	if (p != NULL) {
		p->nclients++;
		return p;
	}
	if (!ledger_pool_name(wk->table, index, db, user) ||
	    (d = conf_database(wk->conf, db)) == NULL)
		return NULL;
	return pool_get(db, user, d, &why);
}

void
pool_received(uint32_t slot, int fd, const uint8_t *facts, size_t len)
{
	struct ledger_backend lb;
	struct pool *p;
	struct backend *b;

	ledger_read(wk->table, slot, &lb);
	p = pool_got(lb.pool);
	b = backend_adopt(p, slot, fd, &lb, facts, len);
	if (b != NULL) {
		stats_add(&b->pool->row->sv_received, 1);
		b->pool->vain = 0;
		pool_release(b);
	}
	if (p != NULL)
		pool_client_gone(p);
}

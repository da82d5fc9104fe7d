/*
 * pool_open: new connections to PostgreSQL: a few at a time, under the ledger's limits, with a
 * pause after a failure. Who waits is told the server's own reason as soon as waiting has no
 * prospect.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/log.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/pool.h"

#define OPEN_PARALLEL 4	    /* connects in flight per pool and worker */
#define FILL_US	      50000 /* look again while the pool is below its least size */

/* The look at the counts keeps the mutex out of the path of those who wait for a full pool. */
static enum ledger_result
open_one(struct pool *p, const struct ledger_limits *limits)
{
	enum ledger_result r = ledger_room(wk->table, p->index, limits);
	uint32_t slot;

	if (r == LEDGER_OK)
		r = pool_yields(p);
	if (r == LEDGER_OK)
		r = ledger_reserve(wk->table, wk->self, p->index, limits, &slot);
	if (r != LEDGER_OK)
		return r;
	p->fed_us = loop_now();
	backend_open(p, slot);
	return LEDGER_OK;
}

void
pool_open(struct pool *p, uint32_t wanted)
{
	struct ledger_limits limits = pool_limits_now(p);
	enum ledger_result r = LEDGER_OK;

	while (r == LEDGER_OK && p->nopening < wanted && p->nopening < OPEN_PARALLEL &&
	       loop_now() >= p->retry_us)
		r = open_one(p, &limits);
	if (r == LEDGER_TABLE_FULL)
		log_warnx("pool %s/%s: the table has no free slot (max_backends)", p->db, p->user);
	if (r == LEDGER_DB_FULL || r == LEDGER_USER_FULL)
		pool_denied(p, r);
	else
		pool_sated(p);
}

void
pool_fill(struct pool *p)
{
	struct ledger_limits limits = p->limits;

	if (limits.pool > p->min_size)
		limits.pool = p->min_size;
	while (pool_below_min(p) && p->nopening < OPEN_PARALLEL && loop_now() >= p->retry_us &&
	       open_one(p, &limits) == LEDGER_OK)
		;
	if (pool_below_min(p))
		pool_look_again(p, p->retry_us > loop_now() ? p->retry_us : loop_now() + FILL_US);
}

static void
fail_waiters(struct pool *p, struct client_queue *q, int64_t since_us)
{
	struct client *c, *next;

	TAILQ_FOREACH_SAFE (c, q, queue, next)
		if (c->since_us <= since_us)
			client_fail_raw(c, p->error, p->error_len);
}

/* Does any worker have a backend of this pool that works? */
static bool
pool_works(const struct pool *p)
{
	uint32_t w;

	for (w = 0; w < wk->boot->nworkers; w++) {
		struct stats_pool *row = stats_pool(wk->stats, p->index, w);
		if (stats_get(&row->sv_active) + stats_get(&row->sv_idle) > 0)
			return true;
	}
	return false;
}

void
pool_open_failed(struct pool *p, const uint8_t *error, size_t len, bool retry)
{
	int64_t patience = wk->conf->server_login_retry_us, since = loop_now();

	p->retry_us = loop_now() + patience;
	pool_sated(p); /* a place would be of no use before */
	stats_add(&p->row->sv_failed, 1);
	free(p->error);
	p->error = malloc(len);
	p->error_len = p->error == NULL ? 0 : len;
	if (p->error != NULL)
		memcpy(p->error, error, len);
	if (pool_works(p))
		return; /* keep waiting for those */
	if (retry)
		since -= patience;
	p->nclients++;
	fail_waiters(p, &p->logins, since);
	fail_waiters(p, &p->waiting, since);
	pool_client_gone(p);
}

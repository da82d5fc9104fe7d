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

#define OPEN_PARALLEL 4 /* connects in flight per pool and worker */

void
pool_open(struct pool *p, uint32_t wanted)
{
	/* The look at the count keeps the mutex out of the path of those who wait for a full pool.
	 */
	while (p->nopening < wanted && p->nopening < OPEN_PARALLEL && loop_now() >= p->retry_us &&
	       ledger_pool_used(wk->table, p->index) < p->limit) {
		uint32_t slot;
		enum ledger_result r = ledger_reserve(wk->table, wk->self, p->index, &slot);
		if (r == LEDGER_TABLE_FULL)
			log_warnx("pool %s/%s: the table has no free slot (max_backends)", p->db,
			    p->user);
		if (r != LEDGER_OK)
			return;
		backend_open(p, slot);
	}
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

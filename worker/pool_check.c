/*
 * pool_check: server_check_query. A backend that has been idle for longer than server_check_delay
 * proves that it still works before it serves a client. Called by pool_queue.c and pool_share.c.
 *
 * The client stays in the queue meanwhile, so that any other backend may serve it first; a backend
 * that passes is released like any other, and one that fails is closed without a word to anybody.
 * At most one check for each client that waits is under way. If it takes longer than SLOW_US, who
 * waits counts on it no more and the pool opens a new connection.
 */
#include <string.h>

#include "conf/log.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/pool.h"

#define SLOW_US 200000

bool
pool_check_due(const struct backend *b)
{
	return wk->conf->server_check_query[0] != '\0' &&
	       loop_now() - b->since_us >= wk->conf->server_check_delay_us;
}

void
pool_check_over(struct backend *b, bool good)
{
	if (!b->checking)
		return;
	b->checking = false;
	b->pool->nchecking--;
	if (!good)
		stats_add(&b->pool->row->sv_check_failed, 1);
}

static void
check_done(struct backend *b, const uint8_t *error, size_t len)
{
	const char *text = error == NULL ? NULL : wire_error_field(error, len, 'M');

	pool_check_over(b, error == NULL);
	if (error == NULL) {
		pool_release(b);
		return;
	}
	log_warnx("pool %s/%s: server_check_query failed: %s", b->pool->db, b->pool->user,
	    text == NULL ? "?" : text);
	backend_close(b, "server_check_query failed");
}

/* PgBouncer's word for a query without any statement. */
static const char *
check_sql(void)
{
	const char *sql = wk->conf->server_check_query;

	return strcmp(sql, "<empty>") == 0 ? ";" : sql;
}

void
pool_check(struct backend *b)
{
	struct pool *p = b->pool;

	pool_take(p, b);
	b->checking = true;
	p->nchecking++;
	stats_add(&p->row->sv_checked, 1);
	backend_task(b, check_sql(), NULL, check_done);
}

/* What is idle by now has been idle for too long. */
void
pool_check_for_waiters(struct pool *p)
{
	struct backend *b;

	while (
	    p->nchecking < p->nwaiting && (b = TAILQ_FIRST(&p->idle)) != NULL && pool_check_due(b))
		pool_check(b);
}

uint32_t
pool_check_promised(const struct pool *p)
{
	const struct client *head = TAILQ_FIRST(&p->waiting);

	return head != NULL && loop_now() - head->since_us < SLOW_US ? p->nchecking : 0;
}

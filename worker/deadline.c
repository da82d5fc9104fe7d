/*
 * deadline: see deadline.h. Called by pool_queue.c and relay.c on a backend's turns, by the loop
 * when the timer rings. What is due is done through client_fail and backend_close; nothing is owned
 * here.
 */
#include "worker/deadline.h"

#include <stdio.h>

#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/pool.h"

enum due { DUE_NONE, DUE_IDLE, DUE_SPARE, DUE_AGE, DUE_QUERY, DUE_XACT, DUE_PAUSE, DUE_PIN };

/* server_lifetime less up to a fifth, the same for this backend on every worker: backends opened
 * together do not end together. */
static int64_t
expires(const struct backend *b)
{
	int64_t life = b->pool->lifetime_us;
	uint32_t spread = ((uint32_t)b->facts.pid * 2654435761U) >> 22; /* 0..1023 */

	return b->facts.opened_us + life - life / 5 * (int64_t)spread / 1024;
}

bool
deadline_expired(const struct backend *b)
{
	return b->pool->lifetime_us > 0 && loop_now() >= expires(b);
}

static void
earlier(int64_t from, int64_t limit, enum due what, int64_t *at, enum due *due)
{
	if (limit == 0 || from == 0 || (*due != DUE_NONE && from + limit >= *at))
		return;
	*at = from + limit;
	*due = what;
}

static enum due
idle_due(const struct backend *b, int64_t *at)
{
	const struct pool *p = b->pool;
	enum due due = DUE_NONE;

	earlier(b->since_us, wk->conf->server_idle_timeout_us, DUE_IDLE, at, &due);
	if (p->reserve_size > 0 && ledger_pool_used(wk->table, p->index) > p->limits.pool)
		earlier(b->since_us, wk->conf->reserve_pool_timeout_us, DUE_SPARE, at, &due);
	if (p->lifetime_us > 0)
		earlier(expires(b), 1, DUE_AGE, at, &due);
	return due;
}

/* What comes first, and when. */
static enum due
next_due(const struct backend *b, int64_t *at)
{
	const struct conf_user *u;
	enum due due = DUE_NONE;

	*at = 0;
	if (b->state == BACKEND_IDLE)
		return idle_due(b, at);
	if (b->state != BACKEND_ACTIVE || b->client == NULL)
		return DUE_NONE;
	u = b->client->who;
	if (!b->own) { /* what replication does takes as long as it takes */
		earlier(b->query_us, CONF_USER(wk->conf, u, query_timeout_us), DUE_QUERY, at, &due);
		earlier(
		    b->xact_us, CONF_USER(wk->conf, u, transaction_timeout_us), DUE_XACT, at, &due);
	}
	if (b->query_us == 0 && b->xact_us != 0)
		earlier(b->quiet_us, CONF_USER(wk->conf, u, idle_transaction_timeout_us), DUE_PAUSE,
		    at, &due);
	if (b->query_us == 0 && b->xact_us == 0 && b->client->session.pins != 0)
		earlier(b->quiet_us, wk->conf->pin_timeout_us, DUE_PIN, at, &due);
	return due;
}

static void
end_client(struct backend *b, _Atomic uint64_t *count, const char *sqlstate, const char *text,
    int64_t since, const char *hint)
{
	char detail[128];

	stats_add(count, 1);
	snprintf(detail, sizeof(detail), "It was %.1f s when it was ended; server process %d.",
	    (double)(loop_now() - since) / 1e6, (int)b->facts.pid);
	client_fail(b->client, &(struct wire_error){.severity = "FATAL",
				   .sqlstate = sqlstate,
				   .message = text,
				   .detail = detail,
				   .hint = hint});
}

static void ring(struct timer *);

static void
do_due(struct backend *b, enum due due)
{
	struct stats_pool *row = b->pool->row;

	switch (due) {
	case DUE_IDLE:
		if (pool_keeps(b->pool))
			timer_set(
			    &b->deadline, loop_now() + wk->conf->server_idle_timeout_us, ring);
		else
			backend_close(b, "server_idle_timeout");
		break;
	case DUE_SPARE: /* or another worker's is closed for it just now */
		if (pool_has_spare(b->pool))
			backend_close(b, "reserve_pool_timeout");
		else
			timer_set(
			    &b->deadline, loop_now() + wk->conf->reserve_pool_timeout_us, ring);
		break;
	case DUE_AGE:
		backend_close(b, "server_lifetime");
		break;
	case DUE_QUERY:
		end_client(b, &row->query_timeouts, "57014", "query timeout", b->query_us,
		    "Raise query_timeout, or look why the query takes so long.");
		break;
	case DUE_XACT:
		end_client(b, &row->xact_timeouts, "25P04", "transaction timeout", b->xact_us,
		    "Raise transaction_timeout, or make transactions shorter.");
		break;
	case DUE_PAUSE:
		end_client(b, &row->idle_xact_timeouts, "25P03", "idle transaction timeout",
		    b->quiet_us, "Commit or roll back before waiting for something else.");
		break;
	case DUE_PIN:
		end_client(b, &row->pin_timeouts, "57P05", "pin_timeout", b->quiet_us,
		    session_pin_hint(b->client));
		break;
	case DUE_NONE:
		break;
	}
}

static void
ring(struct timer *t)
{
	struct backend *b = LOOP_CONTAINER(t, struct backend, deadline);
	int64_t at;
	enum due due = next_due(b, &at);

	if (due != DUE_NONE && at <= loop_now())
		do_due(b, due);
	else
		deadline_touch(b);
}

void
deadline_touch(struct backend *b)
{
	int64_t at;

	if (next_due(b, &at) == DUE_NONE)
		return;
	if (!timer_armed(&b->deadline) || b->deadline.at_us > at)
		timer_set(&b->deadline, at, ring);
}

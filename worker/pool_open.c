/*
 * pool_open: new connections to PostgreSQL: a few at a time, under the ledger's limits, with pauses
 * after failures that double up to server_login_retry.
 *
 * A login that is refused is tried by each worker once, which tells it the reason; from then on by
 * one connection at a time over all workers, and the pauses are theirs together. So are those of a
 * host that cannot be reached (target.c). Not so where the server has no place: that is a matter
 * of who came first.
 *
 * Who waits is told the real cause as soon as waiting has no prospect: at once if it is one that
 * does not pass by itself (a wrong password); else after server_login_retry, or at once if the
 * failure has lasted for so long already. Nobody is told as long as other backends of the pool
 * work. That the server has no place must have been seen twice, server_login_retry apart: places
 * come and go.
 *
 * A server that ends each session right at its login is no better than one that refuses it: a
 * session that has ended before it answered anything is a failure, and a login that works is proof
 * of nothing then; an answer is. But it may have been its client's own doing, so others are told of
 * it only when nothing else has come for server_login_retry.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/stdlib.h>

#include "conf/log.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/inbox.h"
#include "worker/pool.h"
#include "worker/pool_rows.h"
#include "worker/target.h"

#define OPEN_PARALLEL 4	      /* connects in flight per pool and worker */
#define OPEN_ALL      8	      /* per pool, over all workers */
#define LEAST_US      1000    /* pause after a failure even if server_login_retry is 0 */
#define AGAIN_US      10000   /* at most, after an attempt that others were in the way of */
#define PROBE_US      2000000 /* an attempt after a pause keeps others from trying for so long */

/* --- hosts ------------------------------------------------------------------------------------ */

struct targets *
pool_targets(struct pool *p)
{
	if (p->targets == NULL)
		p->targets = targets_new(p->conf);
	return p->targets;
}

void
pool_forget_targets(struct pool *p)
{
	targets_drop(p->targets);
	p->targets = NULL;
}

/* Not in a pause, as far as we know. A host's pause ends when it works for any worker. That hosts
 * are in one is learnt by an attempt, which costs nothing then. */
static bool
may_try(struct pool *p)
{
	if (p->failures == 0)
		return true;
	return targets_ready(pool_targets(p)) &&
	       (p->by_host || (loop_now() >= p->retry_us &&
				  hosts_ready(wk->boot->logins, p->index, loop_now())));
}

/* It is for us to find out whether the pause was long enough. */
static bool
take_turn(struct pool *p)
{
	return p->failures == 0 || p->by_host ||
	       hosts_try(wk->boot->logins, p->index, loop_now(), PROBE_US);
}

/* When the present pause ends. */
static int64_t
try_at(struct pool *p)
{
	int64_t host = targets_ready_at(pool_targets(p), NULL);
	struct hosts_pause pause = {.until_us = 0};
	int64_t login = p->retry_us;

	if (hosts_down(wk->boot->logins, p->index, &pause) && pause.until_us > login)
		login = pause.until_us;
	return p->by_host || host > login ? host : login;
}

/* --- opening ---------------------------------------------------------------------------------- */

static uint32_t
opening_elsewhere(const struct pool *p)
{
	const struct stats_pool *row;
	uint32_t w, n = 0;

	POOL_ROW_FOREACH_OTHER (row, w, p->index)
		if (!pool_worker_silent(w))
			n += (uint32_t)stats_get(&row->sv_login);
	return n;
}

bool
pool_may_connect(struct pool *p)
{
	return p->nopening < OPEN_PARALLEL && !targets_crowded(pool_targets(p)) &&
	       p->nopening + opening_elsewhere(p) < OPEN_ALL;
}

static bool
may_open(struct pool *p)
{
	return may_try(p) && pool_may_connect(p);
}

static void tell_waiters(struct pool *);

/* The look at the counts keeps the mutex out of the path of those who wait for a full pool. `own`:
 * it is for this client alone; NULL = for all. */
static enum ledger_result
open_one(struct pool *p, const struct ledger_limits *limits, struct client *own)
{
	enum ledger_result r = pool_room(p, limits);
	uint32_t slot;

	if (r == LEDGER_OK)
		r = pool_yields(p);
	if (r == LEDGER_OK && pool_owes_worker(p, pool_row_waits(p->row), 1))
		r = LEDGER_POOL_FULL; /* the last place is not for us */
	if (r == LEDGER_OK && !take_turn(p))
		r = LEDGER_POOL_FULL; /* somebody else has it */
	if (r == LEDGER_OK)
		r = pool_reserve(p, limits, &slot);
	if (r != LEDGER_OK)
		return r;
	ledger_pool_feed(wk->table, p->index, loop_now());
	backend_open(p, slot, own);
	return LEDGER_OK;
}

void
pool_make_place(struct pool *p)
{
	const struct stats_pool *row;
	uint32_t w;

	if (!TAILQ_EMPTY(&p->idle)) {
		pool_evicted(p->index);
		return;
	}
	POOL_ROW_FOREACH_OTHER (row, w, p->index)
		if (stats_get(&row->sv_idle) > 0 && inbox_send(w, CTL_EVICT, p->index, 0))
			return;
}

/* What came of trying. */
static void
opened(struct pool *p, enum ledger_result r)
{
	if (r == LEDGER_TABLE_FULL)
		log_warnx("pool %s/%s: the table has no free slot (max_backends)", p->db, p->user);
	if (r == LEDGER_DB_FULL || r == LEDGER_USER_FULL)
		pool_denied(p, r);
	else
		pool_sated(p);
}

void
pool_open(struct pool *p, uint32_t wanted)
{
	struct ledger_limits limits = pool_limits_now(p);
	enum ledger_result r = pool_room(p, &limits);

	tell_waiters(p);
	/* A pool that is full is the rule: then not even what may_open looks at is read, which
	 * other workers change all the time. */
	if (r != LEDGER_POOL_FULL)
		r = LEDGER_OK;
	while (r == LEDGER_OK && p->nopening < wanted && may_open(p))
		r = open_one(p, &limits, NULL);
	/* Nobody knows the server's parameters: those who did came and went (RECONNECT, a reload),
	 * or they were too long to be kept. One that logs in tells. */
	if (r == LEDGER_POOL_FULL && p->nlogins > 0 && p->nopening < wanted && may_open(p))
		pool_make_place(p);
	opened(p, r);
}

enum ledger_result
pool_open_own(struct client *c)
{
	struct pool *p = c->pool; /* it has none any more when its attempt has failed at once */
	struct ledger_limits limits = pool_limits_now(p);
	enum ledger_result r = open_one(p, &limits, c);

	opened(p, r);
	return r;
}

void
pool_fill(struct pool *p)
{
	struct ledger_limits limits = p->limits;

	if (limits.pool > p->min_size)
		limits.pool = p->min_size;
	while (pool_below_min(p) && may_open(p) && open_one(p, &limits, NULL) == LEDGER_OK)
		;
	if (pool_below_min(p))
		pool_look_again(p, try_at(p) > loop_now() ? try_at(p) : loop_now() + POOL_FILL_US);
}

/* --- failures --------------------------------------------------------------------------------- */

/* The last error with the pool's state as its DETAIL, if it has none. Returns its length. */
static size_t
error_body(struct pool *p, uint8_t *body, size_t size)
{
	char detail[384];
	size_t n;

	if (p->error == NULL || p->error_len + sizeof(detail) + 2 > size)
		return 0;
	memcpy(body, p->error, p->error_len);
	if (wire_error_field(p->error, p->error_len, 'D') != NULL)
		return p->error_len;
	pool_describe(p, detail, sizeof(detail));
	n = strlen(detail) + 1;
	body[p->error_len - 1] = 'D'; /* in place of the end's zero */
	memcpy(body + p->error_len, detail, n);
	body[p->error_len + n] = 0;
	return p->error_len + n + 1;
}

static void
fail_waiters(struct pool *p, struct client_queue *q, int64_t since_us)
{
	struct client *c, *next;
	uint8_t body[2048];
	size_t len = 0;

	TAILQ_FOREACH_SAFE (c, q, queue, next) {
		if (c->since_us > since_us)
			break;
		if (len == 0)
			len = error_body(p, body, sizeof(body));
		client_fail_raw(c, len > 0 ? body : p->error, len > 0 ? len : p->error_len);
	}
}

/* Those who have waited since then, or for longer, wait in vain. */
static int64_t
hopeless(struct pool *p)
{
	int64_t patience = wk->conf->server_login_retry_us, now = loop_now();

	if (try_at(p) > now && (!p->may_pass || (now - p->down_us >= patience && p->nopening == 0)))
		return now;
	return p->brief ? 0 : now - patience;
}

/* When the last failure is so long ago that it may be different now. */
static int64_t
forget_at(const struct pool *p)
{
	return p->failed_us + wk->conf->server_login_retry_us + wk->conf->server_connect_timeout_us;
}

/* Nothing has been tried since; and nothing that has failed keeps its place still, which may be all
 * the pool has. */
static void
forget_failures(struct pool *p)
{
	if (p->nopening == 0 && p->nbackends == 0 && loop_now() > forget_at(p))
		p->failures = 0;
}

static void
tell_waiters(struct pool *p)
{
	int64_t since;

	forget_failures(p);
	if (p->failures == 0 || ledger_pool_works(wk->table, p->index))
		return;
	if (p->full && p->failed_us - p->down_us < wk->conf->server_login_retry_us)
		return;
	since = hopeless(p);
	p->nclients++;
	fail_waiters(p, &p->logins, since);
	fail_waiters(p, &p->waiting, since);
	pool_client_gone(p);
}

void
pool_open_lasted(struct pool *p)
{
	p->failures = 0;
	p->by_host = p->brief = false;
	pool_open_anew(p);
}

void
pool_open_anew(struct pool *p)
{
	p->retry_us = 0;
	hosts_answered(wk->boot->logins, p->index);
}

void
pool_open_worked(struct pool *p)
{
	if (!p->brief)
		pool_open_lasted(p);
	if (pool_has_waiters(p)) /* the next one may be opened */
		pool_look_again(p, loop_now());
	if (p->nopening + opening_elsewhere(p) >= OPEN_ALL - 1)
		pool_wake_others(p);
}

static void
note_failure(struct pool *p, const uint8_t *error, size_t len, bool may_pass)
{
	int64_t pause;

	if (p->failures++ == 0)
		p->down_us = loop_now();
	p->failed_us = loop_now();
	p->may_pass = may_pass;
	p->full = wire_error_is(error, len, "53300");
	p->by_host = targets_ready_at(pool_targets(p), &p->down_us) != 0;
	pause = hosts_pause_us(p->failures, wk->conf->server_login_retry_us);
	p->retry_us = loop_now() + (pause < LEAST_US ? LEAST_US : pause);
	if (!p->by_host && !p->full)
		hosts_failed(
		    wk->boot->logins, p->index, loop_now(), wk->conf->server_login_retry_us, 0);
	pool_sated(p); /* a place would be of no use before */
	stats_add(&p->row->sv_failed, 1);
	free(p->error);
	p->error = malloc(len);
	p->error_len = p->error == NULL ? 0 : len;
	if (p->error != NULL)
		memcpy(p->error, error, len);
}

void
pool_open_failed(struct pool *p, const uint8_t *error, size_t len, bool retry)
{
	p->brief = false;
	note_failure(p, error, len, retry);
	tell_waiters(p);
}

void
pool_open_brief(struct pool *p, const uint8_t *error, size_t len)
{
	if (p->brief && loop_now() > forget_at(p))
		p->failures = 0;
	p->brief = true;
	note_failure(p, error, len, true);
}

/* What was refused: as long as an attempt of another worker may keep us from one of our own. */
static int64_t
remember_until(struct pool *p)
{
	if (p->brief)
		return forget_at(p);
	return p->may_pass || p->by_host ? 0 : try_at(p) + PROBE_US;
}

bool
pool_open_remembers(struct pool *p)
{
	int64_t until = p->failures == 0 ? 0 : remember_until(p);

	if (loop_now() > until || wk->draining)
		return false;
	pool_look_again(p, until + 1);
	return true;
}

/* It answers, at least: what it failed with before is over. */
void
pool_open_undecided(struct pool *p)
{
	stats_add(&p->row->sv_failed, 1);
	if (!p->full) {
		p->failures = 0;
		pool_open_anew(p);
	}
	pool_look_again(p, loop_now() + LEAST_US + arc4random_uniform(AGAIN_US));
}

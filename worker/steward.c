/*
 * steward: orphans. A dead worker's backends are claimed (COOLING), a query that may run on them is
 * cancelled with the key in the slot, and the slot is freed only when pg_stat_activity no longer
 * shows the backend: before that the connection still counts at PostgreSQL. The look is taken
 * through one connection of the same pool to the same address, outside the pool's limit, one at a
 * time, closed at once. If PostgreSQL cannot be asked, the slots stay counted and the next round
 * tries again.
 *
 * A pid alone is no proof: systems use them again. The process seen is the orphan only if it logged
 * in as the same user to the same database and is as old as the orphan is, by PostgreSQL's own
 * clock and ours (SAME_US).
 *
 * A backend of physical replication is in no database where one could look: it is cancelled, has
 * seen our end close, and is freed after NAMELESS_US.
 *
 * A backend whose pid we never learned was logging in and saw our end close. It is freed when a
 * look that began later has succeeded, since PostgreSQL takes connections in order; or after
 * NAMELESS_US. So is one that nobody can be asked about, since its database has left the
 * configuration or lies on another server now; and after LONG_US one on one of several hosts, which
 * may be down for good while the others serve.
 */
#include "worker/steward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/sys/queue.h>

#include "conf/hosts.h"
#include "conf/log.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/cancel.h"
#include "worker/inbox.h"
#include "worker/pool.h"

#define ROUND_US      200000
#define SWEEP_US      1000000
#define NAMELESS_US   10000000
#define LONG_US	      60000000
#define SAME_US	      2000000 /* so much younger is not the same */
#define CANCEL_US     1000000
#define PIDS_PER_LOOK 200

struct orphan {
	uint32_t slot;
	struct ledger_backend facts;
	int64_t since_us, cancel_us;
	bool asked; /* is in the look under way */
	bool alive; /* ... and was seen */
	TAILQ_ENTRY(orphan) entry;
};

static TAILQ_HEAD(orphan_list, orphan) orphans = TAILQ_HEAD_INITIALIZER(orphans);
static struct timer round_timer, sweep_timer;
static struct pool *look_pool; /* a look is under way */
static int64_t look_since_us;

static void steward_round(struct timer *);

static void
orphan_free(struct orphan *o)
{
	if (ledger_free(wk->table, wk->self, o->slot) != LEDGER_OK)
		return; /* the next round tries again */
	log_info("orphaned backend pid %d is gone, its slot is free", (int)o->facts.pid);
	stats_add(&wk->row->orphans_freed, 1);
	stats_sub(&wk->row->orphans, 1);
	inbox_wake_all(o->facts.pool);
	TAILQ_REMOVE(&orphans, o, entry);
	free(o);
}

static void
orphan_cancel(struct orphan *o)
{
	o->cancel_us = loop_now();
	if (o->facts.pid != 0 && o->facts.key_len > 0)
		cancel_facts(&o->facts, NULL, NULL);
}

static void
claim_all(void)
{
	uint32_t from = 0, slot;
	enum slot_state was;

	while ((slot = ledger_claim_orphan(wk->table, wk->self, loop_now(), &from, &was)) !=
	       TABLE_NONE) {
		struct orphan *o = calloc(1, sizeof(*o));
		if (o == NULL)
			fatal("orphan");
		o->slot = slot;
		o->since_us = loop_now();
		(void)ledger_read(wk->table, slot, &o->facts);
		TAILQ_INSERT_TAIL(&orphans, o, entry);
		stats_add(&wk->row->orphans_claimed, 1);
		stats_add(&wk->row->orphans, 1);
		if (was == SLOT_BUSY || was == SLOT_HANDED || was == SLOT_COOLING)
			orphan_cancel(o);
	}
	(void)table_client_sweep(wk->table);
	if (!TAILQ_EMPTY(&orphans) && !timer_armed(&round_timer) && look_pool == NULL)
		timer_set(&round_timer, loop_now() + ROUND_US / 4, steward_round);
}

/* --- looking
 * ---------------------------------------------------------------------------------------------- */

/* A column's text, "" if it is null or too long. */
static void
look_column(struct wire_in *in, char *out, uint32_t size)
{
	uint32_t n = wire_get_int32(in);
	const uint8_t *text = n == UINT32_MAX ? NULL : wire_get_bytes(in, n);

	out[0] = '\0';
	if (text == NULL || n >= size)
		return;
	memcpy(out, text, n);
	out[n] = '\0';
}

static void
look_row(struct backend *b, const uint8_t *body, size_t len)
{
	struct wire_in in;
	char pid[16], age[24];
	struct orphan *o;

	(void)b;
	wire_read(&in, body, len);
	(void)wire_get_int16(&in);
	look_column(&in, pid, sizeof(pid));
	look_column(&in, age, sizeof(age)); /* unknown: it may be the one */
	TAILQ_FOREACH (o, &orphans, entry)
		if (o->asked && o->facts.pid == atoi(pid) &&
		    (age[0] == '\0' || atoll(age) >= loop_now() - o->facts.opened_us - SAME_US))
			o->alive = true;
}

/* The look's connection has ended: it has seen what there is, or could not. */
static void
look_gone(struct backend *b)
{
	struct pool *p = look_pool;

	ENSURE(p == b->pool);
	look_pool = NULL;
	pool_client_gone(p);
	timer_set(&round_timer, loop_now() + ROUND_US, steward_round);
}

static void
look_done(struct backend *b, const uint8_t *error, size_t len)
{
	struct orphan *o, *next;

	(void)len;
	TAILQ_FOREACH_SAFE (o, &orphans, entry, next) {
		if (!o->asked || error != NULL)
			continue;
		if (!o->alive) /* nor are those that have no name */
			orphan_free(o);
		else if (loop_now() - o->cancel_us > CANCEL_US)
			orphan_cancel(o);
	}
	backend_close(b, "the steward has seen enough");
}

/* No look can tell about it. */
static bool
never_seen(const struct orphan *o)
{
	return o->facts.replication == REPLICATION_PHYSICAL;
}

/* Is this orphan one that a look over this connection can tell about? */
static bool
look_covers(const struct orphan *o, const struct backend *b)
{
	if (o->facts.pool != b->pool->index || never_seen(o))
		return false;
	if (o->facts.pid == 0)
		return o->since_us < look_since_us;
	return o->facts.addr_len == b->facts.addr_len &&
	       memcmp(&o->facts.addr, &b->facts.addr, b->facts.addr_len) == 0;
}

/* Its age in microseconds by the server's clock, if it logged in as who asks. */
#define LOOK                                                                                       \
	"SELECT pid,(extract(epoch FROM clock_timestamp()-backend_start)*1000000)::bigint "        \
	"FROM pg_stat_activity WHERE datname=current_database() AND usename=session_user "         \
	"AND pid IN (0"

static void
look_ready(struct backend *b)
{
	char sql[sizeof(LOOK) + 8 + PIDS_PER_LOOK * 12];
	size_t n = sizeof(LOOK) - 1;
	struct orphan *o;
	int count = 0;

	memcpy(sql, LOOK, n);
	TAILQ_FOREACH (o, &orphans, entry) {
		o->asked = count < PIDS_PER_LOOK && look_covers(o, b);
		o->alive = false;
		if (!o->asked || o->facts.pid == 0)
			continue;
		count++;
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, ",%d", (int)o->facts.pid);
	}
	snprintf(sql + n, sizeof(sql) - n, ")");
	backend_task(b, sql, look_row, look_done);
}

static bool
look_start(struct orphan *o)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	const struct conf_database *d;
	struct wire_error why;

	if (never_seen(o) || !ledger_pool_name(wk->table, o->facts.pool, db, user) ||
	    (d = conf_database(wk->conf, db)) == NULL)
		return false;
	look_pool = pool_get(db, user, d, &why);
	if (look_pool == NULL)
		return false;
	look_since_us = loop_now();
	backend_open_outside(look_pool, &o->facts, look_ready, look_gone);
	return true;
}

/* How long its server is asked at most. */
static int64_t
patience(const struct orphan *o)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	const struct conf_database *d = NULL;

	if (ledger_pool_name(wk->table, o->facts.pool, db, user))
		d = conf_database(wk->conf, db);
	if (o->facts.pid == 0 || never_seen(o) || d == NULL || conf_destination(d) != o->facts.dest)
		return NAMELESS_US;
	return conf_hosts(d) > 1 ? LONG_US : INT64_MAX;
}

static void
steward_round(struct timer *t)
{
	struct orphan *o, *next;

	(void)t;
	TAILQ_FOREACH_SAFE (o, &orphans, entry, next)
		if (loop_now() - o->since_us > patience(o))
			orphan_free(o);
	TAILQ_FOREACH (o, &orphans, entry)
		if (look_start(o))
			break;
	if (o != NULL) { /* the next time another pool's turn */
		TAILQ_REMOVE(&orphans, o, entry);
		TAILQ_INSERT_TAIL(&orphans, o, entry);
	} else if (!TAILQ_EMPTY(&orphans)) {
		timer_set(&round_timer, loop_now() + ROUND_US, steward_round);
	}
}

static void
steward_sweep(struct timer *t)
{
	claim_all();
	timer_set(t, loop_now() + SWEEP_US, steward_sweep);
}

void
steward_death(void)
{
	claim_all();
}

void
steward_start(void)
{
	steward_sweep(&sweep_timer);
}

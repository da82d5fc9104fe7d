/*
 * console_stats: SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS. See console_show.h; in the
 * table of console_show.c.
 *
 * Averages are over the time since a snapshot that is at least a minute old, or since the start.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/string.h>

#include "worker/console_sheet.h"
#include "worker/console_show.h"
#include "worker/loop.h"
#include "worker/state.h"

/* --- sums ---------------------------------------------------------------------------------------
 */

/* The counters of SHOW STATS, in its order. */
enum {
	ASSIGNED,
	XACTS,
	QUERIES,
	RECEIVED,
	SENT,
	XACT_TIME,
	QUERY_TIME,
	WAIT_TIME,
	CL_PARSE,
	SV_PARSE,
	BINDS,
	LOGINS,
	TOTALS
};

struct totals {
	uint64_t v[TOTALS];
};

static void
add_pool(struct totals *t, uint32_t pool)
{
	uint32_t w;

	for (w = 0; w < wk->boot->nworkers; w++) {
		const struct stats_pool *row = stats_pool(wk->stats, pool, w);
		t->v[ASSIGNED] += stats_get(&row->sv_assigned);
		t->v[XACTS] += stats_get(&row->xact_count);
		t->v[QUERIES] += stats_get(&row->query_count);
		t->v[RECEIVED] += stats_get(&row->bytes_received);
		t->v[SENT] += stats_get(&row->bytes_sent);
		t->v[XACT_TIME] += stats_get(&row->xact_time_us);
		t->v[QUERY_TIME] += stats_get(&row->query_time_us);
		t->v[WAIT_TIME] += stats_get(&row->wait_time_us);
		t->v[CL_PARSE] += stats_get(&row->cl_parse_count);
		t->v[SV_PARSE] += stats_get(&row->sv_parse_count);
		t->v[BINDS] += stats_get(&row->cl_bind_count);
		t->v[LOGINS] += stats_get(&row->cl_logins);
	}
}

/* The sums of the database that pool `from` belongs to. False: a pool before it has brought them.
 */
static bool
add_database(struct totals *t, uint32_t from, const char *db)
{
	uint32_t q;

	*t = (struct totals){.v = {0}};
	for (q = 0; show_next_pool(&q, db, NULL); q++) {
		if (q < from)
			return false;
		add_pool(t, q);
	}
	return true;
}

/* --- averages -----------------------------------------------------------------------------------
 */

#define SNAPSHOT_US 60000000

struct snapshot {
	char db[CONF_NAME_SIZE];
	int64_t at_us;
	struct totals totals;
};

static struct snapshot *recent, *before; /* per database: the older is averaged from */
static size_t nsnapshots;

static struct snapshot *
find_snapshot(const char *db)
{
	size_t i;

	for (i = 0; i < nsnapshots; i++)
		if (strcmp(recent[i].db, db) == 0)
			return &recent[i];
	recent = reallocarray(recent, nsnapshots + 1, sizeof(*recent));
	before = reallocarray(before, nsnapshots + 1, sizeof(*before));
	if (recent == NULL || before == NULL)
		fatal("console");
	before[nsnapshots] = (struct snapshot){.at_us = loop_now()};
	before[nsnapshots].at_us = (int64_t)stats_get(&stats_worker(wk->stats, 0)->started_us);
	strlcpy(before[nsnapshots].db, db, sizeof(before->db));
	recent[nsnapshots] = before[nsnapshots];
	return &recent[nsnapshots++];
}

/* What happened per second, or per transaction, query, wait. */
static void
average(const char *db, const struct totals *now, struct totals *avg)
{
	struct snapshot *s = find_snapshot(db), *from = &before[s - recent];
	struct totals d;
	int64_t us;
	int i;

	if (loop_now() - s->at_us > SNAPSHOT_US) {
		*from = *s;
		s->at_us = loop_now();
		s->totals = *now;
	}
	us = loop_now() - from->at_us;
	for (i = 0; i < TOTALS; i++) {
		d.v[i] = now->v[i] - from->totals.v[i];
		avg->v[i] = us <= 0 ? 0 : (uint64_t)((double)d.v[i] * 1e6 / (double)us);
	}
	avg->v[XACT_TIME] = d.v[XACTS] == 0 ? 0 : d.v[XACT_TIME] / d.v[XACTS];
	avg->v[QUERY_TIME] = d.v[QUERIES] == 0 ? 0 : d.v[QUERY_TIME] / d.v[QUERIES];
	avg->v[WAIT_TIME] = d.v[ASSIGNED] == 0 ? 0 : d.v[WAIT_TIME] / d.v[ASSIGNED];
}

/* --- STATS --------------------------------------------------------------------------------------
 */

static void
put_totals(struct sheet *s, const struct totals *t)
{
	int i;

	for (i = 0; i < TOTALS; i++)
		sheet_number(s, t->v[i]);
}

static void
fill_stats(struct sheet *s, bool totals, bool averages)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	struct totals t, avg;
	uint32_t q;

	for (q = 0; show_next_name(&q, db, user); q++) {
		if (!add_database(&t, q, db))
			continue;
		average(db, &t, &avg);
		sheet_text(s, db);
		if (totals)
			put_totals(s, &t);
		if (averages)
			put_totals(s, &avg);
	}
}

void
show_stats(struct sheet *s)
{
	fill_stats(s, true, true);
}

void
show_stats_totals(struct sheet *s)
{
	fill_stats(s, true, false);
}

void
show_stats_averages(struct sheet *s)
{
	fill_stats(s, false, true);
}

void
show_totals(struct sheet *s)
{
	static const char *const names[TOTALS] = {"server_assignment_count", "xact_count",
	    "query_count", "client_bytes", "server_bytes", "xact_time", "query_time", "wait_time",
	    "client_parse_count", "server_parse_count", "bind_count", "client_login_count"};
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE], name[64];
	struct totals t = {.v = {0}}, avg;
	uint32_t q;
	int i;

	for (q = 0; show_next_name(&q, db, user); q++)
		add_pool(&t, q);
	average("", &t, &avg);
	for (i = 0; i < 2 * TOTALS; i++) {
		snprintf(
		    name, sizeof(name), "%s_%s", i < TOTALS ? "total" : "avg", names[i % TOTALS]);
		sheet_text(s, name);
		sheet_number(s, i < TOTALS ? t.v[i] : avg.v[i - TOTALS]);
	}
}

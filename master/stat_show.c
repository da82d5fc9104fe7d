/*
 * stat_show: the statistics as a table for people.
 *
 * Called by stat.c. Plain text, fixed columns; names that are too long widen their row only.
 */
#include "master/stat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WORKER(name) (offsetof(struct stats_worker, name) / sizeof(uint64_t))
#define POOL(name)   (offsetof(struct stats_pool, name) / sizeof(uint64_t))

static uint64_t
sum_workers(const struct stat_view *v, size_t field)
{
	uint64_t sum = 0;
	uint32_t w;

	for (w = 0; w < v->nchildren; w++)
		sum += stat_worker_value(v, w, field);
	return sum;
}

static const char *
master_words(const struct stat_view *v)
{
	switch (v->master) {
	case LIFE_DOWN:
		return "has ended";
	case LIFE_DEAD:
		return "is dead";
	case LIFE_STOPPED:
		return "is stopped (SIGSTOP)";
	case LIFE_LATE:
		return "is alive but late";
	case LIFE_STARTING:
	case LIFE_SERVING:
	case LIFE_DRAINING:
	case LIFE_UNUSED:
	case LIFE_SURPLUS:
		return "is alive";
	}
	return "?";
}

static const char *
state_words(const struct stat_view *v)
{
	static const char *const names[] = {"?", "booting", "ready", "stopping", "stopped"};
	const unsigned int state = (unsigned int)stats_state(v->stats);

	return state < sizeof names / sizeof names[0] ? names[state] : "?";
}

/* "3d 04:05:06". */
static void
format_span(int64_t us, char *buf, size_t size)
{
	const int64_t s = us / 1000000;

	(void)snprintf(buf, size, "%" PRId64 "d %02d:%02d:%02d", s / 86400, (int)(s / 3600 % 24),
	    (int)(s / 60 % 60), (int)(s % 60));
}

static void
show_head(const struct stat_view *v, FILE *out)
{
	char up[48];

	format_span(v->uptime_us, up, sizeof up);
	(void)fprintf(out,
	    "pgdrove (stat %s, layout %d): %s, %s; master pid %d %s; up %s; clients %" PRIu64
	    ", backends %" PRIu64 "\n",
	    PGDROVE_VERSION, STATS_VERSION, state_words(v), stat_health_name(v->health),
	    (int)stats_master_pid(v->stats), master_words(v), up, sum_workers(v, WORKER(clients)),
	    sum_workers(v, WORKER(backends)));
}

/* What the operator should see first when nothing moves. */
static void
show_warning(const struct stat_view *v, FILE *out)
{
	uint32_t w, n = 0, stopped = 0, dead = 0;

	for (w = 0; w < v->nchildren; w++) {
		n += v->lives[w] != LIFE_UNUSED;
		stopped += v->lives[w] == LIFE_STOPPED;
		dead += v->lives[w] == LIFE_DEAD || v->lives[w] == LIFE_DOWN;
	}
	if (v->master == LIFE_STOPPED && stopped == n)
		(void)fputs("the master and all workers are stopped (SIGSTOP): the numbers are "
			    "their last words\n",
		    out);
	else if (v->master == LIFE_DEAD && dead == n)
		(void)fputs("the master and all workers are dead: the numbers are their last "
			    "words\n",
		    out);
	else if (v->master == LIFE_DEAD)
		(void)fputs("the master is dead: its workers are draining\n", out);
}

static uint64_t
sum_xacts(const struct stat_view *v, uint32_t w)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	uint64_t sum = 0;
	uint32_t p;

	for (p = 0; p < stats_pools(v->stats); p++)
		if (stat_pool_named(v, p, db, user))
			sum += stats_get(&stats_pool(v->stats, p, w)->xact_count);
	return sum;
}

static void
show_worker(const struct stat_view *v, uint32_t w, FILE *out)
{
	char name[24] = "steward";

	if (w + 1 < v->nchildren)
		(void)snprintf(name, sizeof name, "%u", w);
	(void)fprintf(out,
	    "%-7s %8" PRIu64 " %-8s %7" PRIu64 " %7" PRIu64 " %8" PRIu64 " %5" PRIu64 " %8" PRIu64
	    " %8" PRIu64 " %8" PRIu64 " %12" PRIu64 "\n",
	    name, stat_worker_value(v, w, WORKER(pid)), stat_life_name(v->lives[w]),
	    stat_worker_value(v, w, WORKER(clients)),
	    stat_worker_value(v, w, WORKER(clients_active)),
	    stat_worker_value(v, w, WORKER(clients_waiting)),
	    stat_worker_value(v, w, WORKER(backends_idle)),
	    stat_worker_value(v, w, WORKER(backends)), stat_worker_value(v, w, WORKER(logins)),
	    stat_worker_value(v, w, WORKER(restarts)), sum_xacts(v, w));
}

static void
show_pool(const struct stat_view *v, uint32_t p, const char *db, const char *user, FILE *out)
{
	const uint64_t waits = stat_pool_value(v, p, POOL(wait_count));
	const uint64_t oldest = stat_pool_value(v, p, POOL(oldest_wait_us));
	double wait_ms = 0, oldest_ms = 0;

	if (waits > 0)
		wait_ms = (double)stat_pool_value(v, p, POOL(wait_time_us)) / (double)waits / 1e3;
	if (oldest > 0 && (int64_t)oldest < v->now_us)
		oldest_ms = (double)(v->now_us - (int64_t)oldest) / 1e3;
	(void)fprintf(out,
	    "%-16s %-16s %7" PRIu64 " %8" PRIu64 " %7" PRIu64 " %5" PRIu64 " %12" PRIu64
	    " %12" PRIu64 " %9.1f %9.1f\n",
	    db, user, stat_pool_value(v, p, POOL(cl_active)),
	    stat_pool_value(v, p, POOL(cl_waiting)), stat_pool_value(v, p, POOL(sv_active)),
	    stat_pool_value(v, p, POOL(sv_idle)), stat_pool_value(v, p, POOL(xact_count)),
	    stat_pool_value(v, p, POOL(query_count)), wait_ms, oldest_ms);
}

void
stat_disarm(char *name)
{
	for (; *name != '\0'; name++)
		if ((unsigned char)*name < 0x20 || *name == 0x7f)
			*name = '?';
}

void
stat_show(const struct stat_view *v, FILE *out)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	uint32_t w, p;

	show_head(v, out);
	show_warning(v, out);
	(void)fprintf(out, "\n%-7s %8s %-8s %7s %7s %8s %5s %8s %8s %8s %12s\n", "worker", "pid",
	    "state", "clients", "active", "waiting", "idle", "backends", "logins", "restarts",
	    "xacts");
	for (w = 0; w < v->nchildren; w++)
		if (v->lives[w] != LIFE_UNUSED)
			show_worker(v, w, out);
	(void)fprintf(out, "\n%-16s %-16s %7s %8s %7s %5s %12s %12s %9s %9s\n", "database", "user",
	    "cl_act", "cl_wait", "sv_act", "idle", "xacts", "queries", "wait ms", "oldest");
	for (p = 0; p < stats_pools(v->stats); p++) {
		if (!stat_pool_named(v, p, db, user))
			continue;
		stat_disarm(db);
		stat_disarm(user);
		show_pool(v, p, db, user, out);
	}
}

/*
 * test_fairness: four workers behave as one pool.
 *
 * One backend for 64 clients, spread evenly or all but one on the same worker: everybody gets on at
 * the same pace, and PostgreSQL shows one backend. Then all busy clients sit on one worker and all
 * idle backends belong to another: how soon is the whole pool in use?
 *
 * Clients are put on a worker by connecting more than are needed and looking which worker's count
 * grows. scripts/bench --fair runs it with FAIR_POOL_MS=100, the bound that holds on a quiet
 * machine.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/stats.h"
#include "tests/e2e/rig.h"

#define CLIENTS	  64
#define CROWD_MAX 512
#define POOL	  16
#define SETTLE_MS 20000
#define BUSY_MS	  5000 /* the same bound on a machine under load */

struct client {
	PGconn *c;
	uint32_t worker;
	long done, tag;
	bool busy;
};

static struct pooler pooler;
static struct stats *stats;
static struct client crowd[CROWD_MAX];
static int ncrowd;

/* --- looking ---------------------------------------------------------------------------------- */

static void
stats_look(void)
{
	char path[256], why[256] = "";

	snprintf(path, sizeof(path), "%s/pgdrove.stats", pooler.run);
	stats = stats_open(path, why, sizeof(why));
	if (stats == NULL) {
		check(false, "%s: %s", path, why);
		exit(rig_end());
	}
}

static uint64_t
clients_of(uint32_t w)
{
	return stats_get(&stats_worker(stats, w)->clients);
}

/* Of a database's pool and one worker, or of all workers (POOLER_WORKERS). */
#define ROW(pool, w, field) stats_get(&stats_pool(stats, pool, w)->field)

static uint32_t
pool_of(const char *db)
{
	char name[256], user[256];
	uint32_t i;

	for (i = 0; i < stats_pools(stats); i++)
		if (stats_pool_names(stats, i, name, user) && strcmp(name, db) == 0)
			return i;
	check(false, "there is a pool %s", db);
	exit(rig_end());
}

static uint64_t
in_use(uint32_t pool)
{
	uint64_t n = 0;
	uint32_t w;

	for (w = 0; w < POOLER_WORKERS; w++)
		n += ROW(pool, w, sv_active);
	return n;
}

static int64_t
now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* --- clients ---------------------------------------------------------------------------------- */

struct before {
	uint64_t n[POOLER_WORKERS];
	uint32_t worker; /* whose count has grown */
};

static bool
grown(void *arg)
{
	struct before *b = arg;

	for (b->worker = 0; b->worker < POOLER_WORKERS; b->worker++)
		if (clients_of(b->worker) > b->n[b->worker])
			return true;
	return false;
}

static struct client *
client_open(const char *db)
{
	struct client *c = &crowd[ncrowd];
	struct before b;
	char info[160];

	for (b.worker = 0; b.worker < POOLER_WORKERS; b.worker++)
		b.n[b.worker] = clients_of(b.worker);
	snprintf(
	    info, sizeof(info), "host=127.0.0.1 port=%d user=postgres dbname=%s", pooler.port, db);
	*c = (struct client){.c = PQconnectdb(info)};
	if (PQstatus(c->c) != CONNECTION_OK || !until(grown, &b, SETTLE_MS)) {
		check(false, "login: %s", PQerrorMessage(c->c));
		exit(rig_end());
	}
	c->worker = b.worker;
	ncrowd++;
	return c;
}

static bool
nobody(void *arg)
{
	uint32_t w;

	(void)arg;
	for (w = 0; w < POOLER_WORKERS; w++)
		if (clients_of(w) > 0)
			return false;
	return true;
}

static void
crowd_close(void)
{
	while (ncrowd > 0)
		PQfinish(crowd[--ncrowd].c);
	check(until(nobody, NULL, SETTLE_MS), "all clients have left");
}

/* Opens clients until `each[w]` sit on worker w; picks them. The others stay, idle. */
static int
crowd_place(const char *db, const int each[POOLER_WORKERS], struct client **picked)
{
	int missing = 0, want[POOLER_WORKERS], n = 0;
	uint32_t w;

	for (w = 0; w < POOLER_WORKERS; w++)
		missing += want[w] = each[w];
	while (missing > 0 && ncrowd < CROWD_MAX) {
		struct client *c = client_open(db);
		if (want[c->worker] == 0)
			continue;
		want[c->worker]--;
		missing--;
		picked[n++] = c;
	}
	check(missing == 0, "clients on workers: %d %d %d %d, of %d that are connected", each[0],
	    each[1], each[2], each[3], ncrowd);
	return n;
}

static void
ask(struct client *c, const char *sql)
{
	if (PQsendQuery(c->c, sql) != 1)
		check(false, "send: %s", PQerrorMessage(c->c));
	c->busy = true;
}

static void
ask_tag(struct client *c)
{
	char sql[64];

	snprintf(sql, sizeof(sql), "select 'c%ld-%ld'", (long)(c - crowd), ++c->tag);
	ask(c, sql);
}

/* True when the whole answer is there; it must be its own. */
static bool
answered(struct client *c, bool tagged)
{
	char want[64];
	PGresult *r;

	if (PQconsumeInput(c->c) != 1) {
		check(false, "lost: %s", PQerrorMessage(c->c));
		exit(rig_end());
	}
	while (!PQisBusy(c->c)) {
		r = PQgetResult(c->c);
		if (r == NULL) {
			c->busy = false;
			return true;
		}
		snprintf(want, sizeof(want), "c%ld-%ld", (long)(c - crowd), c->tag);
		if (PQresultStatus(r) != PGRES_TUPLES_OK)
			check(false, "answer: %s", PQresultErrorMessage(r));
		else if (tagged && strcmp(PQgetvalue(r, 0, 0), want) != 0)
			check(false, "%s got %s", want, PQgetvalue(r, 0, 0));
		PQclear(r);
	}
	return false;
}

/* Waits for answers, SETTLE_MS at most, and calls fn for each client that has one. */
static int
answers(struct client **of, int n, bool tagged, void (*fn)(struct client *))
{
	struct pollfd p[CROWD_MAX];
	int i, done = 0;

	for (i = 0; i < n; i++)
		p[i] = (struct pollfd){of[i]->busy ? PQsocket(of[i]->c) : -1, POLLIN, 0};
	if (poll(p, (nfds_t)n, SETTLE_MS) <= 0) {
		check(false, "an answer comes: %s", strerror(errno));
		exit(rig_end());
	}
	for (i = 0; i < n; i++)
		if (p[i].revents != 0 && answered(of[i], tagged)) {
			of[i]->done++;
			done++;
			if (fn != NULL)
				fn(of[i]);
		}
	return done;
}

static int
busy(struct client **of, int n)
{
	int i, count = 0;

	for (i = 0; i < n; i++)
		count += of[i]->busy;
	return count;
}

/* --- one backend for all ------------------------------------------------------------------------
 */

static long
backends(void)
{
	return atol(admin("select count(*) from pg_stat_activity where datname = 'app' and "
			  "client_addr is not null"));
}

#define RACES 5 /* at most: a worker that gets no processor for a while has no part in one */

struct result {
	long least, most; /* what a client did */
	long backends;	  /* the most that PostgreSQL showed */
};

static bool
fair(const struct result *r)
{
	return r->least > 0 && r->most * 2 <= r->least * 3;
}

/* Everybody asks, over and over, until so many transactions were done by all together. */
static void
race_once(struct client **c, int n, long wanted, struct result *r)
{
	long done = 0, look = 0;
	int i;

	for (i = 0; i < n; i++) {
		c[i]->done = 0;
		ask_tag(c[i]);
	}
	while (done < wanted) {
		done += answers(c, n, true, ask_tag);
		if (done < look)
			continue;
		look = done + wanted / 20;
		r->backends = backends() > r->backends ? backends() : r->backends;
	}
	r->least = r->most = c[0]->done;
	for (i = 1; i < n; i++) {
		r->least = c[i]->done < r->least ? c[i]->done : r->least;
		r->most = c[i]->done > r->most ? c[i]->done : r->most;
	}
	while (busy(c, n) > 0)
		(void)answers(c, n, true, NULL);
}

static void
race(const char *name, const int each[POOLER_WORKERS], long wanted)
{
	struct client *c[CROWD_MAX];
	struct result r = {0};
	int races = 0, n = crowd_place("one", each, c);

	do
		race_once(c, n, wanted, &r);
	while (++races < RACES && !fair(&r));
	check(fair(&r),
	    "%s: %d clients of one backend did %ld to %ld transactions each (at most 1.5 times; "
	    "race "
	    "%d)",
	    name, n, r.least, r.most, races);
	check(r.backends == 1, "%s: PostgreSQL shows one backend (%ld)", name, r.backends);
	check(ROW(pool_of("one"), 0, sv_given) > 0 || ROW(pool_of("one"), 1, sv_given) > 0,
	    "%s: it went from worker to worker", name);
	crowd_close();
}

/* --- idle backends on another worker -------------------------------------------------------------
 */

/* Straight to PostgreSQL, on a connection of its own. */
static void
gate(const char *sql)
{
	static PGconn *keeper;
	PGresult *r;
	char info[512];

	if (keeper == NULL) {
		snprintf(info, sizeof(info), "host=%s port=%d user=postgres dbname=app password=%s",
		    rig.sockets, rig.pg_port, rig.password);
		keeper = PQconnectdb(info);
	}
	r = PQexec(keeper, sql);
	if (PQresultStatus(r) != PGRES_COMMAND_OK)
		check(false, "%s: %s", sql, PQerrorMessage(keeper));
	PQclear(r);
}

/* All clients send at once, and wait for a table that nobody gets; when are `wanted` backends in
 * use? In us, -1 = not within SETTLE_MS. Then they may go on. */
static int64_t
fill(struct client **c, int n, uint32_t pool, uint64_t wanted)
{
	int64_t start, end = -1;
	int i;

	gate("begin; lock table gate");
	start = now_us();
	for (i = 0; i < n; i++)
		ask(c[i], "select count(*) from gate");
	while (end == -1 && now_us() - start < SETTLE_MS * INT64_C(1000))
		if (in_use(pool) >= wanted)
			end = now_us();
	gate("commit");
	while (busy(c, n) > 0)
		(void)answers(c, n, false, NULL);
	return end == -1 ? -1 : end - start;
}

static bool
all_idle(void *arg)
{
	return ROW(pool_of("app"), *(uint32_t *)arg, sv_idle) == POOL;
}

static void
uneven(uint32_t from, uint32_t to, int64_t bound_ms)
{
	struct client *c[2 * CROWD_MAX], **there = c, **here;
	int each[POOLER_WORKERS] = {0}, n;
	uint64_t opened, after = 0;
	int64_t took;
	uint32_t pool, w;

	each[from] = POOL;
	each[to] = 0;
	n = crowd_place("app", each, there);
	here = c + n;
	each[from] = 0;
	each[to] = 2 * POOL;
	(void)crowd_place("app", each, here);
	pool = pool_of("app");
	(void)fill(there, n, pool, POOL);
	check(until(all_idle, &from, SETTLE_MS), "all %d backends are idle on worker %u (%llu)",
	    POOL, from, (unsigned long long)ROW(pool, from, sv_idle));
	for (opened = 0, w = 0; w < POOLER_WORKERS; w++)
		opened += ROW(pool, w, sv_opened);
	took = fill(here, 2 * POOL, pool, POOL);
	check(took >= 0 && took <= bound_ms * 1000,
	    "busy clients on worker %u: the pool is in full use after %lld us (bound %lld ms)", to,
	    (long long)took, (long long)bound_ms);
	for (w = 0; w < POOLER_WORKERS; w++)
		after += ROW(pool, w, sv_opened);
	check(after == opened, "... without opening one (%llu)",
	    (unsigned long long)(after - opened));
	check(backends() <= POOL + 1, "... never more than the pool (and the first one)");
	crowd_close();
}

int
main(int argc, char **argv)
{
	const int even[] = {16, 16, 16, 16}, alone[] = {61, 1, 1, 1};
	const char *bound = getenv("FAIR_POOL_MS");
	char conf[512];
	long enough;

	(void)argc;
	rig_start("trust", argv);
	(void)admin("create database app");
	snprintf(conf, sizeof(conf),
	    "pool_mode = \"transaction\"; pool_size = %d; max_client_conn = 2000;\n"
	    "databases = ( { name = \"app\"; host = \"127.0.0.1\"; port = %d; },\n"
	    "  { name = \"one\"; host = \"127.0.0.1\"; port = %d; dbname = \"app\"; pool_size = 1; "
	    "} );\n"
	    "users = ( { name = \"postgres\"; } );\n"
	    "log_connections = false; log_disconnections = false;\n",
	    POOL, rig.pg_port, rig.pg_port);
	if (!pooler_start(&pooler, "fair", conf))
		return rig_end();
	stats_look();
	gate("create table gate ()");
	enough = CLIENTS * 100;
	race("evenly spread", even, enough);
	race("three of them alone on their workers", alone, enough);
	uneven(0, 1, bound != NULL ? atol(bound) : BUSY_MS);
	uneven(1, 3, bound != NULL ? atol(bound) : BUSY_MS);
	stats_close(stats);
	pooler_stop(&pooler);
	return rig_end();
}

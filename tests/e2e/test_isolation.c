/*
 * test_isolation: nobody ever sees another one's session.
 *
 * 200 clients share 8 backends of 4 workers. Each has a search_path, timezone, work_mem, role,
 * application_name and a prepared statement `s1` of its own, and asks for all of them in each of
 * its transactions; the statement reads a table that only its search_path finds. Now and then
 * one changes a setting, for good or in a transaction that is rolled back. Backends must have been
 * handed over meanwhile, or the test has shown nothing.
 *
 * ISOLATION_ROUNDS: of each client, each a transaction that looks and one that executes. 500, the
 * proof, take a minute or two.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e/rig.h"

#define CLIENTS	 200
#define BACKENDS 8
#define SCHEMAS	 20
#define ZONES	 15
#define SQL_SIZE 512

enum phase {
	BEGIN,	/* a transaction of several statements */
	CHANGE, /* SET in it */
	UNDO,	/* ROLLBACK or COMMIT */
	LOOK,	/* the settings, by a simple query: a transaction of its own */
	EXECUTE /* s1 */
};

struct client {
	PGconn *c;
	int id, round;
	int memory, pending_memory; /* kB: committed, and in the open transaction */
	enum phase phase;
	bool commits;
	int deviations;
};

static struct pooler pooler;
static struct client crowd[CLIENTS];
static long looks, executes;
static int rounds, running;

static int
schema_of(const struct client *c)
{
	return c->id % SCHEMAS;
}

/* --- what it must see ------------------------------------------------------------------------- */

/* "search_path|timezone|work_mem|role|application_name|s1's row" */
static const char *
wanted(const struct client *c)
{
	static char text[SQL_SIZE];

	if (c->phase == EXECUTE)
		snprintf(text, sizeof(text), "client %d|schema %d", c->id, schema_of(c));
	else
		snprintf(text, sizeof(text), "s%d, public|Etc/GMT-%d|%dkB|r%d|app %d", schema_of(c),
		    c->id % ZONES, c->memory, c->id % SCHEMAS, c->id);
	return text;
}

static const char *
row_text(const PGresult *r)
{
	static char text[SQL_SIZE];
	size_t n = 0;
	int i;

	text[0] = '\0';
	for (i = 0; i < PQnfields(r) && PQntuples(r) == 1 && n < sizeof(text); i++)
		n += (size_t)snprintf(
		    text + n, sizeof(text) - n, "%s%s", i > 0 ? "|" : "", PQgetvalue(r, 0, i));
	return text;
}

static void
deviates(struct client *c, const char *got)
{
	if (c->deviations++ == 0 && c->id < 40)
		check_text(got, wanted(c), "client %d, round %d", c->id, c->round);
}

/* --- what it does ----------------------------------------------------------------------------- */

static void
send_next(struct client *c)
{
	static const char look[] =
	    "select current_setting('search_path'), current_setting('timezone'), (select setting "
	    "|| 'kB' from pg_settings where name = 'work_mem'), current_user, "
	    "current_setting('application_name')";
	char sql[SQL_SIZE];
	int sent;

	switch (c->phase) {
	case BEGIN:
		sent = PQsendQuery(c->c, "begin");
		break;
	case CHANGE:
		c->pending_memory = 1024 + (c->id * 7 + c->round) % 4096;
		snprintf(sql, sizeof(sql), "set work_mem = '%dkB'", c->pending_memory);
		sent = PQsendQuery(c->c, sql);
		break;
	case UNDO:
		sent = PQsendQuery(c->c, c->commits ? "commit" : "rollback");
		if (c->commits)
			c->memory = c->pending_memory;
		break;
	case EXECUTE:
		sent = PQsendQueryPrepared(c->c, "s1", 0, NULL, NULL, NULL, 0);
		break;
	case LOOK:
	default:
		sent = PQsendQuery(c->c, look);
		break;
	}
	if (sent != 1)
		deviates(c, PQerrorMessage(c->c));
}

/* Every tenth transaction changes work_mem, every second of these is rolled back. */
static void
step(struct client *c)
{
	if (c->phase == EXECUTE) {
		if (++c->round == rounds) {
			running--;
			return;
		}
		c->commits = c->round % 20 == 0;
		c->phase = (c->round + c->id) % 10 == 0 ? BEGIN : LOOK;
	} else {
		c->phase++;
	}
	send_next(c);
}

static void
judge(struct client *c, const PGresult *r)
{
	bool rows = PQresultStatus(r) == PGRES_TUPLES_OK;

	if (rows && (c->phase == LOOK || c->phase == EXECUTE)) {
		*(c->phase == LOOK ? &looks : &executes) += 1;
		if (strcmp(row_text(r), wanted(c)) != 0)
			deviates(c, row_text(r));
	} else if (rows || PQresultStatus(r) != PGRES_COMMAND_OK) {
		deviates(c, PQresultErrorMessage(r));
	}
}

/* False: its connection is lost. */
static bool
turn(struct client *c)
{
	PGresult *r;

	if (PQconsumeInput(c->c) != 1) {
		deviates(c, PQerrorMessage(c->c));
		return false;
	}
	while (!PQisBusy(c->c)) {
		r = PQgetResult(c->c);
		if (r == NULL) {
			step(c);
			return true;
		}
		judge(c, r);
		PQclear(r);
	}
	return true;
}

/* --- the crowd -------------------------------------------------------------------------------- */

static bool
done_well(struct client *c, PGresult *r)
{
	bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;

	if (!ok)
		check(false, "client %d: %s", c->id, PQerrorMessage(c->c));
	PQclear(r);
	return ok;
}

/* Settings come in every way there is: startup packet, options, SET, set_config. */
static bool
client_open(struct client *c, int id)
{
	char info[SQL_SIZE], sql[SQL_SIZE];

	*c = (struct client){.id = id, .memory = 1024 + id, .phase = LOOK};
	snprintf(info, sizeof(info),
	    "host=127.0.0.1 port=%d user=postgres dbname=postgres application_name='app %d'%s%d%s",
	    pooler.port, id, id % 2 ? " options='-c work_mem=" : " options='-c geqo_threshold=",
	    id % 2 ? 1024 + id : 12, id % 2 ? "kB'" : "'");
	c->c = PQconnectdb(info);
	if (PQstatus(c->c) != CONNECTION_OK)
		return check(false, "login %d: %s", id, PQerrorMessage(c->c));
	snprintf(sql, sizeof(sql),
	    "set search_path = s%d, public; set timezone = 'Etc/GMT-%d'; set work_mem = '%dkB'; "
	    "set role r%d",
	    schema_of(c), id % ZONES, c->memory, id % SCHEMAS);
	if (!done_well(c, PQexec(c->c, sql)))
		return false;
	snprintf(sql, sizeof(sql), "select 'client %d', what from here", id);
	return done_well(c, PQprepare(c->c, "s1", sql, 0, NULL));
}

static void
crowd_run(void)
{
	struct pollfd fds[CLIENTS];
	int64_t end = now_ms() + 600000;
	int i, n;

	running = CLIENTS;
	for (i = 0; i < CLIENTS; i++) {
		fds[i] = (struct pollfd){.fd = PQsocket(crowd[i].c), .events = POLLIN};
		send_next(&crowd[i]);
	}
	while (running > 0 && now_ms() < end) {
		n = poll(fds, CLIENTS, 60000);
		if (n == 0 || (n == -1 && errno != EINTR))
			break;
		for (i = 0; i < CLIENTS; i++)
			if (fds[i].revents != 0 && !turn(&crowd[i])) {
				fds[i].fd = -1;
				running--;
			}
	}
	check(running == 0, "everybody got through");
}

/* --- the ground ------------------------------------------------------------------------------- */

static void
ground(void)
{
	int i;

	for (i = 0; i < SCHEMAS; i++)
		(void)admin(
		    "create role r%d; create schema s%d; create table s%d.here as select "
		    "'schema %d' as what; grant all on schema s%d to r%d; grant all on s%d.here "
		    "to r%d",
		    i, i, i, i, i, i, i, i);
}

static int
deviations(void)
{
	int i, n = 0;

	for (i = 0; i < CLIENTS; i++)
		n += crowd[i].deviations;
	return n;
}

/* PostgreSQL shows one that was closed until its process has ended. */
static bool
few_enough(void *arg)
{
	(void)arg;
	return atoi(admin("select count(*) from pg_stat_activity where datname = 'postgres' and "
			  "client_addr is not null")) <= BACKENDS;
}

int
main(int argc, char **argv)
{
	const char *text = getenv("ISOLATION_ROUNDS");
	char conf[512];
	int i;

	(void)argc;
	rig_start("trust", argv);
	rounds = text != NULL ? atoi(text) : rig.asan ? 20 : 100;
	ground();
	snprintf(conf, sizeof(conf),
	    "pool_mode = \"transaction\"; pool_size = %d; users = ( { name = \"postgres\"; } );\n"
	    "databases = ( { name = \"postgres\"; host = \"127.0.0.1\"; port = %d; } );\n",
	    BACKENDS, rig.pg_port);
	if (!pooler_start(&pooler, "isolation", conf))
		return rig_end();
	for (i = 0; i < CLIENTS; i++)
		if (!client_open(&crowd[i], i))
			return rig_end();
	crowd_run();
	check(looks >= (long)CLIENTS * rounds && executes == (long)CLIENTS * rounds,
	    "%ld transactions looked, %ld executed s1", looks, executes);
	check(deviations() == 0, "deviations: %d", deviations());
	check(until(few_enough, NULL, 10000), "on at most %d backends", BACKENDS);
	check(pooler_get(&pooler, "sv_given") > 0, "backends handed over: %ld",
	    pooler_get(&pooler, "sv_given"));
	for (i = 0; i < CLIENTS; i++)
		PQfinish(crowd[i].c);
	pooler_stop(&pooler);
	return rig_end();
}

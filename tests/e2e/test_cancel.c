/*
 * test_cancel: a cancel request hits the query it was meant for, from whichever worker it comes in,
 * and never anybody else's.
 *
 * Bystanders run short queries on a pool that is smaller than the crowd, so that each backend
 * serves somebody else all the time. Aimers run short queries too and fire cancels at their own key
 * in the middle, at the border and after it; and guessers fire at numbers and keys that nobody has.
 * A bystander must never see 57014. Then each kind of client death leaves a clean backend behind.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/e2e/raw.h"
#include "tests/e2e/rig.h"

#define POOL	    3
#define BYSTANDERS  8
#define AIMERS	    4
#define RUN_MS	    4000 /* at least; until enough was seen, RUN_MOST_MS at most */
#define RUN_MOST_MS 60000

static struct pooler pooler;
static atomic_bool enough;
static atomic_int bystander_ok, bystander_bad, aimed, hit, aimer_bad, guessed;

static PGconn *
client(void)
{
	char info[128];
	PGconn *c;

	snprintf(info, sizeof(info), "host=127.0.0.1 port=%d user=postgres dbname=postgres",
	    pooler.port);
	c = PQconnectdb(info);
	if (PQstatus(c) != CONNECTION_OK)
		check(false, "login: %s", PQerrorMessage(c));
	return c;
}

/* The SQLSTATE of a query, "" if it went well. */
static const char *
ask(PGconn *c, const char *sql, char state[6])
{
	PGresult *r = PQexec(c, sql);
	const char *s = PQresultErrorField(r, PG_DIAG_SQLSTATE);

	snprintf(state, 6, "%s", s != NULL ? s : PQstatus(c) == CONNECTION_OK ? "" : "lost");
	PQclear(r);
	return state;
}

static void *
bystander(void *arg)
{
	PGconn *c = client();
	char state[6], sql[80];
	long n = 0;

	while (!enough) {
		snprintf(
		    sql, sizeof(sql), "select %ld, pg_sleep(0.00%d)", n++, (int)(intptr_t)arg % 5);
		if (ask(c, sql, state)[0] == '\0')
			bystander_ok++;
		else
			bystander_bad++;
	}
	PQfinish(c);
	return NULL;
}

static void *
fire(void *arg)
{
	char error[256];

	usleep((useconds_t)(random() % 4000));
	(void)PQcancel(arg, error, sizeof(error));
	PQfreeCancel(arg);
	return NULL;
}

/* Its queries last about as long as its cancels need to come. */
static void *
aimer(void *arg)
{
	PGconn *c = client();
	char state[6];
	int n;

	(void)arg;
	while (!enough) {
		pthread_t shot;
		if (pthread_create(&shot, NULL, fire, PQgetCancel(c)) != 0)
			break;
		/* every fourth one is easy to hit, where a cancel takes longer */
		n = aimed++;
		if (strcmp(ask(c, n % 4 == 0 ? "select pg_sleep(0.1)" : "select pg_sleep(0.003)",
			       state),
			"57014") == 0)
			hit++;
		else if (state[0] != '\0')
			aimer_bad++;
		(void)pthread_join(shot, NULL);
	}
	PQfinish(c);
	return NULL;
}

/* Numbers that may be somebody's, with keys that are nobody's. */
static void *
guesser(void *arg)
{
	struct target t = {.name = "through", .host = "127.0.0.1", .port = pooler.port};
	uint8_t packet[16] = {0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e};
	struct raw r;
	int i;

	(void)arg;
	while (!enough) {
		for (i = 8; i < 16; i++)
			packet[i] = (uint8_t)random();
		packet[8] = 0;
		packet[9] = 0;
		if (raw_open(&r, &t)) {
			(void)raw_send(&r, packet, sizeof(packet));
			raw_close(&r);
			guessed++;
		}
		sleep_ms(2);
	}
	return NULL;
}

static bool
seen_enough(void *arg)
{
	(void)arg;
	return bystander_ok > 100 && hit > 10 && guessed > 100;
}

static bool
runs(void *seconds)
{
	return strcmp(admin("select count(*) from pg_stat_activity where query = 'select "
			    "pg_sleep(%d)' and "
			    "state = 'active'",
			  *(int *)seconds),
		   "1") == 0;
}

static void
storm(void)
{
	pthread_t threads[BYSTANDERS + AIMERS + 1];
	int i, n = 0;

	for (i = 0; i < BYSTANDERS; i++)
		n += pthread_create(&threads[n], NULL, bystander, (void *)(intptr_t)i) == 0;
	for (i = 0; i < AIMERS; i++)
		n += pthread_create(&threads[n], NULL, aimer, NULL) == 0;
	n += pthread_create(&threads[n], NULL, guesser, NULL) == 0;
	sleep_ms(RUN_MS);
	(void)until(seen_enough, NULL, RUN_MOST_MS);
	enough = true;
	for (i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	check(bystander_bad == 0 && bystander_ok > 100,
	    "bystanders: %d queries went well, %d did not", bystander_ok, bystander_bad);
	check(hit > 10 && aimer_bad == 0, "aimers: %d of %d cancels hit their own query, %d errors",
	    hit, aimed, aimer_bad);
	check(guessed > 100, "guessers: %d guesses", guessed);
}

/* A long query ends by a cancel, whichever worker the request comes to. */
static void
from_any_worker(void)
{
	int i, done = 0;

	for (i = 0; i < 12; i++) {
		PGconn *c = client();
		PGcancel *cancel = PQgetCancel(c);
		char error[256];
		PGresult *r;
		const char *state;
		(void)PQsendQuery(c, "select pg_sleep(30)");
		while (strcmp(admin("select count(*) from pg_stat_activity where query = "
				    "'select pg_sleep(30)' and state = 'active'"),
			   "1") != 0)
			sleep_ms(10);
		(void)PQcancel(cancel, error, sizeof(error));
		r = PQgetResult(c);
		state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
		done += state != NULL && strcmp(state, "57014") == 0;
		PQclear(r);
		while ((r = PQgetResult(c)) != NULL) /* else the next one could see it run */
			PQclear(r);
		PQfreeCancel(cancel);
		PQfinish(c);
	}
	check(done == 12, "%d of 12 long queries were cancelled", done);
}

/* Sends a CancelRequest with this body (number and key) and waits for the end of it. */
static void
cancel_with(const struct target *t, const uint8_t *body, size_t len)
{
	struct bytes b = {0};
	struct raw r;
	struct msg m;

	put32(&b, (uint32_t)len + 8);
	put32(&b, 80877102);
	put(&b, body, len);
	if (raw_open(&r, t)) {
		(void)raw_put(&r, &b);
		(void)raw_next(&r, &m, 15000);
		raw_close(&r);
	}
	bytes_free(&b);
}

/* Protocol 3.2: a key of 32 bytes; all of it counts. */
static void
long_keys(void)
{
	struct target t = {
	    .name = "3.2", .host = "127.0.0.1", .port = pooler.port, .user = "postgres"};
	struct bytes b = {0};
	struct raw r;
	struct msg m;
	uint8_t key[64] = {0};
	size_t len = 0;

	check(raw_open(&r, &t), "3.2: connected");
	put_startup(&b, 0x30002, "user\0postgres\0database\0postgres\0");
	(void)raw_put(&r, &b);
	while (raw_next(&r, &m, 15000) == RAW_MSG && m.type != 'Z')
		if (m.type == 'K' && m.len <= sizeof(key))
			memcpy(key, m.body, len = m.len);
	if (!check(len == 4 + 32, "3.2: a key of %zu bytes", len))
		return;
	put_msg(&b, 'Q', "s", "select pg_sleep(2)");
	(void)raw_put(&r, &b);
	(void)until(runs, &(int){2}, 10000);
	key[len - 1] ^= 1;
	cancel_with(&t, key, len);
	while (raw_next(&r, &m, 15000) == RAW_MSG && m.type != 'Z')
		if (m.type == 'E')
			check(false, "3.2: a wrong last byte cancels");
	put_msg(&b, 'Q', "s", "select pg_sleep(60)");
	(void)raw_put(&r, &b);
	check(until(runs, &(int){60}, 10000), "3.2: a query runs");
	key[len - 1] ^= 1;
	cancel_with(&t, key, len);
	while (raw_next(&r, &m, 50000) == RAW_MSG && m.type != 'E')
		;
	check_text(error_field(&m, 'C'), "57014", "3.2: the right key cancels");
	raw_close(&r);
	bytes_free(&b);
}

static bool
nothing_runs(void *arg)
{
	(void)arg;
	return strcmp(admin("select count(*) from pg_stat_activity where client_addr is not null "
			    "and state <> 'idle'"),
		   "0") == 0;
}

/* A client vanishes after these words: the backend must be free and clean soon. */
static void
dies_after(const char *what, const char *first, const char *then)
{
	PGconn *c = client();
	char state[6];

	if (first != NULL)
		check(ask(c, first, state)[0] == '\0', "%s: %s", what, first);
	if (then != NULL)
		(void)PQsendQuery(c, then);
	sleep_ms(50);
	close(PQsocket(c));
	check(until(nothing_runs, NULL, 15000), "%s: nothing of it is left", what);
	PQfinish(c);
	c = client();
	check(ask(c, "vacuum t", state)[0] == '\0', "%s: the next one is in no transaction", what);
	PQfinish(c);
}

/* The same for one that has sent no Sync behind what it did, which it has seen to be done. */
static void
dies_in_pipeline(void)
{
	PGconn *c = client();
	PGresult *r;

	(void)PQenterPipelineMode(c);
	(void)PQsendQueryParams(c, "update t set i = 3", 0, NULL, NULL, NULL, NULL, 0);
	(void)PQsendFlushRequest(c);
	(void)PQflush(c);
	r = PQgetResult(c);
	check(PQresultStatus(r) == PGRES_COMMAND_OK, "in a pipeline: update");
	PQclear(r);
	close(PQsocket(c));
	PQfinish(c);
	check(until(nothing_runs, NULL, 15000), "in a pipeline: nothing of it is left");
	c = client();
	check(ask(c, "vacuum t", (char[6]){""})[0] == '\0',
	    "in a pipeline: the next one is in no transaction");
	PQfinish(c);
}

/* The answer has come. */
static bool
answered(void *c)
{
	char error[256];
	PGcancel *cancel = PQgetCancel(c);

	(void)PQcancel(cancel, error, sizeof(error)); /* in vain until the query has been read */
	PQfreeCancel(cancel);
	return PQconsumeInput(c) != 1 || !PQisBusy(c);
}

/* All backends are in use, so the query waits: it is cancelled, does not run, and the session goes
 * on. */
static void
in_the_queue(void)
{
	PGconn *holders[POOL], *c = client();
	PGresult *r;
	char state[6];
	int i;

	for (i = 0; i < POOL; i++) {
		holders[i] = client();
		check_text(
		    ask(holders[i], "begin; select 1", state), "", "in the queue: one is held");
	}
	(void)PQsendQuery(c, "update t set i = 7");
	check(until(answered, c, 15000), "in the queue: the query is answered");
	r = PQgetResult(c);
	check_text(
	    PQresultErrorField(r, PG_DIAG_SQLSTATE), "57014", "in the queue: it is cancelled");
	check_text(PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL),
	    "It was waiting for a server connection and has not run.",
	    "in the queue: it is told why");
	PQclear(r);
	while ((r = PQgetResult(c)) != NULL)
		PQclear(r);
	for (i = 0; i < POOL; i++) {
		check_text(
		    ask(holders[i], "commit", state), "", "in the queue: who holds one is well");
		PQfinish(holders[i]);
	}
	check_text(ask(c, "select 1", state), "", "in the queue: its session goes on");
	check_text(admin("select i::text from t"), "1", "in the queue: it has not run");
	PQfinish(c);
}

int
main(int argc, char **argv)
{
	char conf[256];

	(void)argc;
	rig_start("trust", argv);
	snprintf(conf, sizeof(conf),
	    "pool_mode = \"transaction\"; pool_size = %d; log_connections = false;\n"
	    "databases = ( { name = \"postgres\"; host = \"127.0.0.1\"; port = %d; } );\n"
	    "users = ( { name = \"postgres\"; } );",
	    POOL, rig.pg_port);
	if (!pooler_start(&pooler, "cancel", conf))
		return rig_end();
	(void)admin("create table t as select 1 as i");
	from_any_worker();
	long_keys();
	storm();
	in_the_queue();
	dies_after("idle", "select 1", NULL);
	dies_after("in a transaction", "begin; update t set i = 2", NULL);
	dies_after("in a failed transaction", "begin", "select 1 / 0");
	dies_after("in a query", NULL, "select pg_sleep(60)");
	dies_after(
	    "in a query in a transaction", "begin; update t set i = 2", "select pg_sleep(60)");
	dies_in_pipeline();
	dies_after("in COPY in", NULL, "copy t from stdin");
	dies_after("in COPY out", NULL, "copy (select generate_series(1, 30000000)) to stdout");
	check_text(admin("select i::text from t"), "1", "none of their changes stayed");
	pooler_stop(&pooler);
	return rig_end();
}

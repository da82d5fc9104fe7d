/*
 * test_session: in transaction mode a client finds its session again on whatever backend serves it,
 * and never another one's.
 *
 * First two clients take turns on one backend, each with settings of its own, in every way SQL has
 * to change one: by simple and by extended queries, from four workers, so that the backend is
 * handed over all the time. Then each reason to keep a backend: while it lasts the client has the
 * same server process, when it ends the backend is anybody's, and clean.
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/e2e/rig.h"

static struct pooler pooler;
static PGconn *clients[2];
static bool extended;

static PGconn *
login(const char *host, int port, const char *more)
{
	char info[512];
	PGconn *c;

	snprintf(info, sizeof(info), "host=%s port=%d user=postgres dbname=postgres %s", host, port,
	    more);
	c = PQconnectdb(info);
	if (PQstatus(c) != CONNECTION_OK)
		check(false, "login: %s", PQerrorMessage(c));
	return c;
}

static PGconn *
client(const char *more)
{
	return login("127.0.0.1", pooler.port, more);
}

/* The first column of the last row, "" if there is none, or the SQLSTATE with a '!'. */
static const char *
ask(PGconn *c, const char *sql)
{
	static char text[4096];
	PGresult *r;
	const char *s;

	r = extended ? PQexecParams(c, sql, 0, NULL, NULL, NULL, NULL, 0) : PQexec(c, sql);
	s = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	if (PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) > 0)
		snprintf(text, sizeof(text), "%s", PQgetvalue(r, PQntuples(r) - 1, 0));
	else if (s != NULL)
		snprintf(text, sizeof(text), "!%s", s);
	else
		snprintf(text, sizeof(text), "%s", PQstatus(c) == CONNECTION_OK ? "" : "!lost");
	PQclear(r);
	return text;
}

struct step {
	int who;
	const char *sql, *wanted; /* NULL = whatever */
};

static void
run(const char *what, const struct step *s)
{
	for (; s->sql != NULL; s++) {
		const char *got = ask(clients[s->who], s->sql);
		if (s->wanted != NULL && strcmp(got, s->wanted) != 0)
			check_text(got, s->wanted, "%s%s: %c: %s", what,
			    extended ? " (extended)" : "", 'A' + s->who, s->sql);
	}
	check(true, "%s%s", what, extended ? " (extended)" : "");
}

static void
meet(const char *a, const char *b)
{
	clients[0] = client(a);
	clients[1] = client(b);
}

static void
part(void)
{
	PQfinish(clients[0]);
	PQfinish(clients[1]);
}

#define END                                                                                        \
	{                                                                                          \
		0, NULL, NULL                                                                      \
	}

static void
settings(void)
{
	static const struct step set[] = {{0, "set work_mem to '7MB'", ""},
	    {1, "show work_mem", "4MB"}, {0, "show work_mem", "7MB"},
	    {1, "set work_mem = 9216", ""}, {0, "show work_mem", "7MB"},
	    {1, "show work_mem", "9MB"}, {0, "reset work_mem", ""}, {0, "show work_mem", "4MB"},
	    {1, "show work_mem", "9MB"}, {1, "reset all", ""}, {1, "show work_mem", "4MB"}, END};
	static const struct step paths[] = {{0, "set search_path to S1, \"S 2\", pg_catalog", ""},
	    {1, "set search_path to 'a\"b', '$user'", ""},
	    {0, "show search_path", "s1, \"S 2\", pg_catalog"},
	    {1, "show search_path", "\"a\"\"b\", \"$user\""},
	    {0, "select set_config('search_path', '', false)", ""}, {1, "select 1", "1"},
	    {0, "show search_path", ""}, {0, "set schema 'x'", ""}, {1, "reset search_path", ""},
	    {1, "show search_path", "\"$user\", public"}, {0, "show search_path", "x"},
	    {0, "set search_path to default", ""}, {0, "show search_path", "\"$user\", public"},
	    END};
	static const struct step custom[] = {{0, "set app.tenant to 'it''s 5\\'", ""},
	    {1, "select coalesce(current_setting('app.tenant', true), '')", ""},
	    {0, "select current_setting('app.tenant')", "it's 5\\"},
	    {1, "select set_config('app.tenant', '6', false)", "6"},
	    {0, "select current_setting('app.tenant')", "it's 5\\"},
	    {1, "select current_setting('app.tenant')", "6"}, {0, "discard all", ""},
	    {0, "select coalesce(current_setting('app.tenant', true), '')", ""},
	    {1, "select current_setting('app.tenant')", "6"}, {1, "discard all", ""}, END};
	static const struct step local[] = {{0, "begin", ""}, {0, "set local work_mem = '7MB'", ""},
	    {0, "show work_mem", "7MB"}, {0, "commit", ""}, {0, "show work_mem", "4MB"},
	    {0, "set local work_mem = '7MB'", NULL}, {0, "show work_mem", "4MB"},
	    {0, "select set_config('a.b', '1', true)", "1"},
	    {1, "select coalesce(current_setting('a.b', true), '')", ""},
	    {0, "select coalesce(current_setting('a.b', true), '')", ""}, END};
	static const struct step undone[] = {{0, "set work_mem = '5MB'", ""}, {0, "begin", ""},
	    {0, "set work_mem = '7MB'", ""}, {0, "rollback", ""}, {1, "show work_mem", "4MB"},
	    {0, "show work_mem", "5MB"}, {0, "begin", ""}, {0, "savepoint a", ""},
	    {0, "set work_mem = '7MB'", ""}, {0, "rollback to a", ""},
	    {0, "set statement_timeout = '99s'", ""}, {0, "commit", ""},
	    {1, "show statement_timeout", "0"}, {0, "show work_mem", "5MB"},
	    {0, "show statement_timeout", "99s"}, {0, "begin", ""}, {0, "set work_mem = '8MB'", ""},
	    {0, "select 1 / 0", "!22012"}, {0, "commit", ""}, {1, "select 1", "1"},
	    {0, "show work_mem", "5MB"}, {0, "set work_mem = 'x'", "!22023"}, {1, "select 1", "1"},
	    {0, "show work_mem", "5MB"}, {0, "begin", ""}, {0, "reset work_mem", ""},
	    {0, "rollback", ""}, {1, "select 1", "1"}, {0, "show work_mem", "5MB"},
	    {0, "reset all", ""}, {1, "show work_mem", "4MB"}, {0, "show work_mem", "4MB"}, END};
	static const struct step who[] = {{0, "set role reader", ""},
	    {1, "select current_user", "postgres"}, {0, "select current_user", "reader"},
	    {1, "set session authorization writer", ""}, {0, "select current_user", "reader"},
	    {1, "select session_user", "writer"}, {0, "reset role", ""},
	    {0, "select current_user", "postgres"}, {1, "set role reader", ""},
	    {0, "select current_user", "postgres"}, {1, "select session_user", "writer"},
	    {1, "select current_user", "reader"}, {1, "reset session authorization", ""},
	    {0, "select 1", "1"}, {1, "select current_user || session_user", "postgrespostgres"},
	    {0, "begin", ""}, {0, "set role reader", ""}, {0, "rollback", ""},
	    {0, "select current_user", "postgres"}, {1, "select current_user", "postgres"}, END};
	static const struct step doubt[] = {
	    {0, "do $$ begin perform set_config('work_mem', '6MB', false); end $$", ""},
	    {1, "show work_mem", "4MB"}, {0, "show work_mem", "6MB"},
	    {0, "do $$ begin perform set_config('hid.den', 'x', false); end $$", ""},
	    {1, "select coalesce(current_setting('hid.den', true), '')", ""},
	    {0, "call sets_timeout()", ""}, {1, "show lock_timeout", "0"},
	    {0, "show lock_timeout", "77s"},
	    {0, "select set_config('lock_timeout', (70 + 8)::text, false)", NULL},
	    {1, "show lock_timeout", "0"}, {0, "show lock_timeout", "78ms"},
	    {0, "update pg_settings set setting = '2' where name = 'extra_float_digits'", NULL},
	    {1, "show extra_float_digits", "1"}, {0, "show extra_float_digits", "2"},
	    {0, "set session characteristics as transaction read only", ""},
	    {1, "show default_transaction_read_only", "off"},
	    {0, "show default_transaction_read_only", "on"}, {0, "discard all", ""},
	    {0, "show lock_timeout", "0"}, {0, "show default_transaction_read_only", "off"}, END};
	/* After SET TRANSACTION the server calls the transaction's settings the session's. */
	static const struct step of_transaction[] = {{0, "begin", ""},
	    {0, "set transaction isolation level repeatable read, read only", ""},
	    {0, "commit", ""}, {0, "do $$ begin perform 1; end $$", ""},
	    {0, "set default_transaction_isolation = 'serializable'", ""},
	    {1, "set default_transaction_isolation = 'serializable'", ""},
	    {0, "show transaction_isolation", "serializable"},
	    {0, "show transaction_read_only", "off"}, {1, "reset all", ""}, {0, "reset all", ""},
	    {0, "show transaction_isolation", "read committed"}, END};
	static const struct step reported[] = {{0, "set time zone 'Asia/Tokyo'", ""},
	    {1, "show timezone", "Etc/UTC"}, {0, "show timezone", "Asia/Tokyo"},
	    {1, "set datestyle to sql, dmy", ""}, {0, "show datestyle", "ISO, MDY"},
	    {1, "show datestyle", "SQL, DMY"}, {0, "set names 'latin1'", ""},
	    {1, "show client_encoding", NULL}, {0, "show client_encoding", "LATIN1"},
	    {0, "reset all", ""}, {0, "show timezone", "Etc/UTC"}, {1, "reset datestyle", ""},
	    {0, "set names 'utf8'", ""}, {1, "show datestyle", "ISO, MDY"},
	    {0, "select sets_zone('Asia/Tokyo')", "Asia/Tokyo"}, {1, "show timezone", "Etc/UTC"},
	    {0, "show timezone", "Asia/Tokyo"}, {0, "reset timezone", ""}, END};

	run("SET, RESET", set);
	run("search_path", paths);
	run("settings of one's own", custom);
	run("SET LOCAL", local);
	run("ROLLBACK and savepoints", undone);
	run("ROLE and SESSION AUTHORIZATION", who);
	run("what the text does not tell", doubt);
	run("a transaction's own settings do not follow", of_transaction);
	run("what the server reports", reported);
}

/* Settings that functions make and the server does not report: the next client has none of them. */
static void
hidden(void)
{
	static const struct step set[] = {{0, "select quietly('work_mem', '6MB')", "6MB"},
	    {0, "show work_mem", "6MB"}, {1, "show work_mem", "4MB"}, {0, "show work_mem", "4MB"},
	    {1, "set work_mem = '9MB'", ""}, {0, "select quietly('my.hid', 'x')", "x"},
	    {0, "select current_setting('my.hid')", "x"}, {1, "show work_mem", "9MB"},
	    {1, "select coalesce(current_setting('my.hid', true), '')", ""},
	    {0, "select public.quietly('role', 'reader')", "reader"},
	    {1, "select current_user", "postgres"}, {1, "show work_mem", "9MB"},
	    {0, "insert into t select length(quietly('lock_timeout', '5s'))", ""},
	    {1, "show lock_timeout", "0"}, {0, "begin", ""},
	    {0, "select 1 from quietly('work_mem', '6MB')", "1"}, {0, "show work_mem", "6MB"},
	    {0, "commit", ""}, {1, "show work_mem", "9MB"},
	    {0, "with a as (select quietly('work_mem', '6MB')) select count(*) from a, a as b",
		"1"},
	    {1, "show work_mem", "9MB"}, {1, "reset all", ""},
	    {1, "select quietly('work_mem', '7MB')", "7MB"}, {1, "reset all", ""},
	    {1, "show work_mem", "4MB"}, {0, "show work_mem", "4MB"}, END};

	run("SET in functions", set);
}

/* The same by a statement that is known, and by FunctionCall. */
static void
hidden_known(void)
{
	static const int set_config_oid = 2078;
	char name[] = "work_mem", value[] = "8MB", is_local[] = "";
	PQArgBlock args[3] = {{.isint = 0, .len = 8, .u.ptr = (int *)(void *)name},
	    {.isint = 0, .len = 3, .u.ptr = (int *)(void *)value},
	    {.isint = 0, .len = 1, .u.ptr = (int *)(void *)is_local}};
	int result[8], len, i;

	meet("", "");
	PQclear(PQprepare(clients[0], "q", "select quietly('work_mem', '6MB')", 0, NULL));
	for (i = 0; i < 3; i++) {
		PQclear(PQexecPrepared(clients[0], "q", 0, NULL, NULL, NULL, 0));
		check_text(ask(clients[0], "show work_mem"), "6MB", "a prepared call sets");
		check_text(ask(clients[1], "show work_mem"), "4MB", "... not for the next client");
	}
	PQclear(PQfn(clients[0], set_config_oid, result, &len, 0, args, 3));
	check_text(ask(clients[0], "show work_mem"), "8MB", "FunctionCall sets");
	check_text(ask(clients[1], "show work_mem"), "4MB", "... not for the next client");
	part();
}

static void
several(void)
{
	static const struct step many[] = {
	    {0, "set work_mem = '7MB'; set lock_timeout = '5s'; select 1", "1"},
	    {1, "show work_mem", "4MB"}, {0, "show work_mem", "7MB"},
	    {0, "show lock_timeout", "5s"}, {0, "set work_mem = '8MB'; select 1 / 0", "!22012"},
	    {1, "select 1", "1"}, {0, "show work_mem", "7MB"},
	    {0, "begin; set work_mem = '8MB'; commit; set lock_timeout = '6s'; select 1 / 0",
		"!22012"},
	    {1, "select 1", "1"}, {0, "show work_mem", "8MB"}, {0, "show lock_timeout", "5s"},
	    {0, "vacuum", ""}, {0, "rollback", ""}, {1, "select 1", "1"},
	    {0, "show work_mem", "8MB"}, {0, "reset all", ""}, END};

	run("several statements in a query", many);
}

static void
long_value(void)
{
	size_t n = 9000;
	char *sql = malloc(n + 64), *got;

	sprintf(sql, "set app.long to '");
	memset(sql + strlen(sql), 'x', n - strlen(sql));
	sprintf(sql + n, "%s", "'");
	check_text(ask(clients[0], sql), "", "a value of 9 kB");
	(void)ask(clients[1], "select 1");
	got = strdup(ask(clients[0], "select length(current_setting('app.long'))::text"));
	check(atoi(got) > 8000, "... is there again: %s bytes", got);
	(void)ask(clients[0], "reset all");
	free(got);
	free(sql);
}

static void
at_login(void)
{
	static const struct step here[] = {{0, "show work_mem", "3MB"}, {1, "show work_mem", "4MB"},
	    {0, "show timezone", "Asia/Tokyo"}, {0, "set work_mem = '5MB'", ""},
	    {1, "show work_mem", "4MB"}, {0, "show work_mem", "5MB"}, {0, "reset work_mem", ""},
	    {1, "select 1", "1"}, {0, "show work_mem", "3MB"}, {0, "discard all", ""},
	    {1, "show timezone", "Etc/UTC"}, {0, "show work_mem", "3MB"},
	    {0, "show timezone", "Asia/Tokyo"}, {0, "begin", ""}, {0, "reset all", ""},
	    {0, "show timezone", "Etc/UTC"}, {0, "rollback", ""},
	    {0, "show timezone", "Asia/Tokyo"}, {0, "begin", ""}, {0, "reset all", ""},
	    {0, "commit", ""}, {1, "show timezone", "Etc/UTC"}, {0, "show timezone", "Asia/Tokyo"},
	    {0, "show work_mem", "3MB"}, {0, "do $$ begin reset work_mem; end $$", ""},
	    {0, "show work_mem", "3MB"}, {0, "begin; set work_mem = '7MB'; reset all; commit", ""},
	    {0, "show work_mem", "3MB"}, {0, "select set_config('work_mem', null, false)", NULL},
	    {0, "show work_mem", "3MB"}, END};
	PGconn *c;

	setenv("PGTZ", "Asia/Tokyo", 1);
	clients[0] = client("options='-c work_mem=3MB'");
	unsetenv("PGTZ");
	clients[1] = client("");
	run("startup parameters", here);
	part();
	c = client("options='-c no_such_setting=1'");
	(void)ask(c, "select 1");
	check(strstr(PQerrorMessage(c), "unrecognized configuration parameter") != NULL,
	    "a startup parameter that does not exist: %s", PQerrorMessage(c));
	PQfinish(c);
}

/* Its TimeZone is set to what the server has by itself, and the backend has been another's since:
 * that it is not set there is no proof of a RESET. `sql` does none; NULL: one that is undone. */
static void
told_nothing(const char *sql)
{
	(void)ask(clients[0], "set timezone to 'Etc/UTC'");
	(void)ask(clients[1], "set timezone to 'Asia/Tokyo'");
	(void)ask(clients[1], "reset timezone");
	if (sql == NULL) {
		(void)ask(clients[0], "begin");
		(void)ask(clients[0], "reset timezone");
		sql = "rollback";
	}
	(void)ask(clients[0], sql);
	check_text(PQparameterStatus(clients[0], "TimeZone"), "Etc/UTC",
	    "told: nothing was reset: %s%s", sql, extended ? " (extended)" : "");
	check_text(ask(clients[0], "show timezone"), "Etc/UTC", "... and so it is");
}

/* What it was told last of a setting is what it has: within a transaction that RESETs a setting of
 * its login the server's, at the end its own again. */
static void
told(void)
{
	static const struct {
		const char *sql, *zone;
	} steps[] = {{"set timezone to 'Asia/Tokyo'", "Asia/Tokyo"}, {"reset all", "Europe/Paris"},
	    {"begin", "Europe/Paris"}, {"set timezone to default", "Etc/UTC"},
	    {"commit", "Europe/Paris"}, {"begin; reset timezone; commit", "Europe/Paris"},
	    {"begin", "Europe/Paris"}, {"reset timezone", "Etc/UTC"},
	    {"select 1/0", "Europe/Paris"}, {"commit", "Europe/Paris"},
	    {"select set_config('timezone', null, false)", "Europe/Paris"},
	    {"select sets_zone(null)", "Etc/UTC"}, {"discard all", "Europe/Paris"}};
	size_t i;

	setenv("PGTZ", "europe/paris", 1); /* the server spells it another way */
	meet("", "");
	unsetenv("PGTZ");
	(void)ask(clients[0], "select 1");
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		(void)ask(clients[0], steps[i].sql);
		check_text(PQparameterStatus(clients[0], "TimeZone"), steps[i].zone, "told: %s%s",
		    steps[i].sql, extended ? " (extended)" : "");
		if (PQtransactionStatus(clients[0]) ==
		    PQTRANS_IDLE) /* else there is no backend for it */
			(void)ask(clients[1], "select 1");
		if (PQtransactionStatus(clients[0]) != PQTRANS_INERROR)
			check_text(
			    ask(clients[0], "show timezone"), steps[i].zone, "... and so it is");
	}
	told_nothing("do $$ begin end $$");
	if (!extended)
		told_nothing("reset all; select 1/0");
	told_nothing(NULL);
	(void)ask(clients[0], "discard all");
	check_text(PQparameterStatus(clients[0], "TimeZone"), "Europe/Paris", "told: DISCARD ALL");
	part();
}

/* A role that is gone when its settings are to be brought over: the message must not run. */
static void
refused(void)
{
	char wanted[8] = "0";

	meet("", "");
	(void)admin("create role doomed");
	(void)admin("create table hits as select 0 as n");
	(void)admin("grant all on hits to public");
	check_text(ask(clients[0], "set role doomed"), "", "SET ROLE");
	(void)ask(clients[1], "select 1");
	(void)admin("revoke all on hits from doomed");
	(void)admin("drop owned by doomed");
	(void)admin("drop role doomed");
	check_text(ask(clients[0], "update hits set n = n + 1"), "!22023",
	    "a replay that fails: the server's error");
	check_text(admin("select n::text from hits"), wanted, "... and the message did not run");
	check_text(ask(clients[1], "select current_user"), "postgres", "... and nobody else minds");
	extended = true;
	check_text(ask(clients[0], "update hits set n = n + 1"), "!22023", "... extended too");
	extended = false;
	check_text(admin("select n::text from hits"), wanted, "... and the message did not run");
	part();
}

/* search_path and row_security come with a setting that may not be set any more: none of them is
 * brought over, the message does not run; when it may be set again, all is as it was. */
static void
refused_together(void)
{
	static const struct step mine[] = {{0, "set search_path to s1, public", ""},
	    {0, "set row_security to off", ""}, {0, "set log_min_duration_statement to '77s'", ""},
	    {1, "show search_path", "\"$user\", public"},
	    {0, "select current_setting('search_path') || current_setting('row_security')",
		"s1, publicoff"},
	    {1, "show row_security", "on"}, END};
	static const struct step denied[] = {{1, "select 1", "1"},
	    {0, "update hits set n = n + 1", "!42501"},
	    {1, "show search_path", "\"$user\", public"}, {1, "show row_security", "on"},
	    {0, "begin", "!42501"}, {0, "update hits set n = n + 1", "!42501"},
	    {1, "show row_security", "on"}, END};
	static const struct step again[] = {{1, "select 1", "1"},
	    {0,
		"update hits set n = n + 1 returning current_setting('search_path') || "
		"current_setting('row_security') || "
		"current_setting('log_min_duration_statement')",
		"s1, publicoff77s"},
	    {1, "show row_security", "on"}, END};
	int i;

	(void)admin("update hits set n = 0");
	for (i = 0; i < 2; i++) {
		extended = i == 1;
		(void)admin("grant set on parameter log_min_duration_statement to writer");
		meet("user=writer", "user=writer");
		run("search_path, row_security and another", mine);
		(void)admin("revoke set on parameter log_min_duration_statement from writer");
		run("... that may not be set any more: no message runs", denied);
		check_text(admin("select n::text from hits"), i == 0 ? "0" : "1", "... at all");
		(void)admin("grant set on parameter log_min_duration_statement to writer");
		run("... that may be set again", again);
		part();
	}
	extended = false;
}

/* What somebody set by a right that others lack is no reason to refuse them anything; who set it
 * keeps its backend for that. */
static bool
is_fresh(void *arg)
{
	(void)arg;
	return strcmp(admin("select count(*) from pg_stat_activity where application_name <> 'rig' "
			    "and backend_type = 'client backend' and pid <> pg_backend_pid()"),
		   "0") == 0;
}

/* The server's error is longer than any buffer: a setting of a prefix that has been reserved since.
 */
static void
refused_at_length(void)
{
	static char name[40000], sql[sizeof(name) + 64];

	memset(name, 'x', sizeof(name) - 1);
	(void)admin("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = "
		    "'client backend' and pid <> pg_backend_pid()");
	check(until(is_fresh, NULL, 10000), "refused at length: no backend is left");
	meet("", "");
	snprintf(sql, sizeof(sql), "select set_config('plpgsql.%s', '1', false)", name);
	check_text(ask(clients[0], sql), "1", "refused at length: a setting with a long name");
	check_text(ask(clients[1], "do $$ begin end $$"), "", "... plpgsql is loaded");
	check_text(ask(clients[0], "select 1"), "!42602", "... the error is the server's");
	check_text(ask(clients[0], "reset all"), "!42602", "... once more");
	check_text(ask(clients[1], "select 1"), "1", "... others go on");
	part();
}

static void
privileged(void)
{
	static const struct step mine[] = {{1, "set work_mem = '5MB'", ""},
	    {1, "set my.own = 'b'", ""}, {0, "set role boss", ""},
	    {0, "set log_min_duration_statement = '77s'", ""}, {0, "reset role", ""},
	    {0, "select current_user || current_setting('log_min_duration_statement')",
		"writer77s"},
	    END};
	static const struct step theirs[] = {
	    {1,
		"select current_setting('work_mem') || current_setting('my.own') || "
		"current_setting('log_min_duration_statement')",
		"5MBb-1"},
	    END};
	static const struct step granted[] = {{0, "set log_min_duration_statement = '77s'", ""},
	    {1, "select 1", "1"}, {0, "show log_min_duration_statement", "77s"}, END};
	static const struct step freed[] = {{0, "set role boss", ""},
	    {0, "set deadlock_timeout = '3s'", ""}, {0, "discard all", ""},
	    {1, "show deadlock_timeout", "1s"}, {0, "select current_user", "writer"}, END};

	meet("user=writer", "user=writer");
	run("what only another role may set", mine);
	PQfinish(clients[0]);
	run("... is not the next one's", theirs);
	clients[0] = client("user=writer");
	run("... is kept until DISCARD ALL", freed);
	(void)admin("grant set on parameter log_min_duration_statement to writer");
	run("what one had the right to set", granted);
	(void)admin("revoke set on parameter log_min_duration_statement from writer");
	run("... is taken back without that right", theirs);
	part();
}

/* --- pins ------------------------------------------------------------------------------------- */

static bool
pinned_is(void *arg)
{
	return pooler_get(&pooler, "pool.postgres.postgres.cl_pinned") == *(long *)arg;
}

/* The answer comes before the pooler has asked the server whether the reason is still there. */
static bool
pinned(long n)
{
	return until(pinned_is, &n, 15000);
}

struct pin {
	const char *what, *begin, *check, *wanted, *end, *counter;
};

/* While it lasts A has the same backend, though B wants one all the time. */
static void
pin(const struct pin *p)
{
	char pid[32];
	long before;
	bool same = true;
	int i;

	meet("", "");
	before = pooler_get(&pooler, "pool.postgres.postgres.%s", p->counter);
	(void)ask(clients[0], p->begin);
	snprintf(pid, sizeof(pid), "%s", ask(clients[0], "select pg_backend_pid()"));
	check(pinned(1), "%s: pinned", p->what);
	check(pooler_get(&pooler, "pool.postgres.postgres.%s", p->counter) == before + 1,
	    "%s: counted", p->what);
	for (i = 0; i < 20; i++) {
		same &= strcmp(ask(clients[1], "select pg_backend_pid()"), pid) != 0;
		same &= strcmp(ask(clients[0], "select pg_backend_pid()"), pid) == 0;
	}
	check(same, "%s: its backend is its own", p->what);
	if (p->check != NULL)
		check_text(ask(clients[0], p->check), p->wanted, "%s: works", p->what);
	if (p->end != NULL) {
		(void)ask(clients[0], p->end);
		check(pinned(0), "%s: ends by %s", p->what, p->end);
	}
	PQfinish(clients[0]);
	(void)ask(clients[1], "select 1");
	check(pinned(0), "%s: nothing is pinned afterwards", p->what);
	PQfinish(clients[1]);
}

static bool
nothing_left(void *arg)
{
	static const char left[] = "select (select count(*) from pg_locks where locktype = "
				   "'advisory') + (select count(*) from pg_class where "
				   "relpersistence = 't')";
	(void)arg;
	return strcmp(admin("%s", left), "0") == 0;
}

static void
pins(void)
{
	static const struct pin all[] = {
	    {"temporary table", "create temp table tt as select 5 as i", "select i from tt", "5",
		"drop table tt", "pins_temp"},
	    {"temporary table by its schema", "create table \"pg_temp\".\"tt\" as select 5 as i",
		"select i from tt", "5", "drop table tt", "pins_temp"},
	    {"temporary table, DISCARD", "create temp table tt as select 5 as i", NULL, NULL,
		"discard temp", "pins_temp"},
	    {"SELECT INTO TEMP", "select 7 as i into temp tt", "select i from tt", "7", NULL,
		"pins_temp"},
	    {"LISTEN", "listen ch", "select pg_listening_channels()", "ch", "unlisten *",
		"pins_listen"},
	    {"advisory lock", "select pg_advisory_lock(1)", NULL, NULL,
		"select pg_advisory_unlock(1)", "pins_locks"},
	    {"advisory lock, twice",
		"select pg_advisory_lock(1), pg_advisory_lock(1), pg_advisory_unlock(1)", NULL,
		NULL, "select pg_advisory_unlock_all()", "pins_locks"},
	    {"cursor WITH HOLD", "declare c cursor with hold for select 8", "fetch c", "8",
		"close c", "pins_cursors"},
	    {"lock taken in DO", "do $$ begin perform pg_advisory_lock(4); end $$", NULL, NULL,
		"discard all", "pins_locks"},
	    {"currval()", "select nextval('sq'), currval('sq')", "select currval('sq') > 0", "t",
		"discard sequences", "pins_sequence"},
	    {"setseed()", "select setseed(0.5)", NULL, NULL, NULL, "pins_seed"},
	    {"SET seed", "set seed to 0.5", NULL, NULL, NULL, "pins_seed"},
	    {"LOAD", "load 'auto_explain'", "show auto_explain.log_analyze", "off", NULL,
		"pins_load"},
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		pin(&all[i]);
	check(until(nothing_left, NULL, 15000), "none of it is left at the server");
}

/* Who keeps its backend, and resets there what came with its login, has that again in the next
 * transaction; a request for which that fails is not run, and what it keeps is still there. */
static void
pinned_resets(void)
{
	static const struct step resets[] = {{0, "listen ch", ""},
	    {0, "select set_config('my.own', 'kept', false)", "kept"}, {0, "reset work_mem", ""},
	    {0, "show work_mem", "3MB"}, {0, "reset role", ""},
	    {0, "select current_user", "doomed"}, {0, "set timezone to default", ""},
	    {0, "show timezone", "Asia/Tokyo"}, {0, "begin", ""}, {0, "reset all", ""},
	    {0, "show work_mem", "4MB"}, {0, "commit", ""},
	    {0, "select current_setting('work_mem') || current_setting('timezone')",
		"3MBAsia/Tokyo"},
	    {0, "do $$ begin perform set_config('hid.den', 'x', false); end $$", ""},
	    {0, "do $$ begin set timezone to default; reset work_mem; end $$", ""},
	    {0, "select current_setting('work_mem') || current_setting('timezone')",
		"3MBAsia/Tokyo"},
	    {0, "select current_setting('hid.den')", "x"},
	    {0, "select pg_listening_channels()", "ch"}, {0, "reset role", ""}, END};
	static const struct step denied[] = {{0, "update hits set n = n + 1", "!22023"},
	    {0, "update hits set n = n + 1; select 1", "!22023"}, {0, "begin", "!22023"}, END};
	static const struct step again[] = {{0, "select current_user", "doomed"},
	    {0, "select pg_listening_channels()", "ch"}, {0, "unlisten *", ""},
	    {1, "select 1", "1"}, {0, "select current_user", "doomed"}, END};
	char pid[32];

	(void)admin("create role doomed");
	(void)admin("update hits set n = 0");
	setenv("PGTZ", "Asia/Tokyo", 1);
	clients[0] = client("options='-c work_mem=3MB -c role=doomed'");
	unsetenv("PGTZ");
	clients[1] = client("");
	run("pinned: resets", resets);
	check(pinned(1), "... pins");
	check_text(PQparameterStatus(clients[0], "TimeZone"), "Asia/Tokyo", "... is told so");
	(void)admin("drop role doomed");
	run("pinned: refused", denied);
	check_text(admin("select n::text from hits"), "0", "... no message ran");
	(void)admin("create role doomed");
	snprintf(pid, sizeof(pid), "%s", ask(clients[0], "select pg_backend_pid()"));
	check_text(ask(clients[0], "select pg_backend_pid()"), pid, "... has its backend");
	run("pinned: taken again", again);
	check(pinned(0), "... until the end");
	part();
	(void)admin("drop role doomed");
}

/* A value's bytes are those of the encoding it was set in. */
static void
encoding_changes(void)
{
	static const struct step steps[] = {{0, "set my.word to 'r\xc3\xa9'", ""},
	    {0, "set client_encoding to 'LATIN1'", ""}, {1, "select 1", "1"},
	    {0, "select current_setting('my.word') = U&'r\\00e9'", "t"},
	    {0, "select current_setting('my.word')", "r\xe9"},
	    {1, "select coalesce(current_setting('my.word', true), '')", ""}, END};

	meet("client_encoding=UTF8", "");
	run("another encoding than that of a value", steps);
	check(pinned(1), "... pins");
	(void)ask(clients[0], "discard all");
	check(pinned(0), "... until DISCARD ALL");
	part();
}

/* pg_temp in front of the search_path: any CREATE makes something temporary. */
static void
temporary_path(void)
{
	static const struct step made[] = {{0, "set search_path to pg_temp, public", ""},
	    {0, "create table tt as select 6 as i", ""}, {1, "select 1", "1"},
	    {1, "select to_regclass('tt') is null", "t"}, {0, "select i from tt", "6"}, END};

	meet("", "");
	run("temporary table by search_path", made);
	check(pinned(1), "... pins");
	(void)ask(clients[0], "discard temp");
	check(pinned(0), "... until it is gone");
	part();
}

/* What was loaded cannot be unloaded, by ROLLBACK neither: nobody else gets this server process. */
static void
loaded(void)
{
	static const char *const texts[] = {
	    "load 'auto_explain'", "begin; load 'auto_explain'; rollback"};
	char pid[32];
	PGconn *c;
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		c = client("");
		(void)ask(c, texts[i]);
		check_text(
		    ask(c, "show auto_explain.log_analyze"), "off", "%s: is there", texts[i]);
		snprintf(pid, sizeof(pid), "%s", ask(c, "select pg_backend_pid()"));
		PQfinish(c);
		c = client("");
		check_text(
		    ask(c, "select current_setting('auto_explain.log_analyze', true) is null"), "t",
		    "... and not for the next client");
		check(strcmp(ask(c, "select pg_backend_pid()"), pid) != 0,
		    "... who has another server process");
		PQfinish(c);
	}
}

/* What looks like a reason and is none. */
static void
no_pins(void)
{
	static const char *const texts[] = {"create temp table x (i int) on commit drop",
	    "select pg_advisory_xact_lock(3)", "select 'listen ch'", "begin; listen ch; rollback",
	    "select pg_try_advisory_lock(9), pg_advisory_unlock(9)",
	    "declare c cursor with hold for selec", "create temp tabl x ()"};
	size_t i;

	meet("", "");
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		(void)ask(clients[0], texts[i]);
		check(pinned(0), "no reason to pin: %s", texts[i]);
	}
	part();
}

/* Parses at the server that are neither a client's nor of its statements. */
static long
foreign_parses(void)
{
	return pooler_get(&pooler, "pool.postgres.postgres.sv_parse_count") -
	       pooler_get(&pooler, "pool.postgres.postgres.cl_parse_count") -
	       pooler_get(&pooler, "pool.postgres.postgres.stmts_parsed");
}

/* Differing settings go ahead of the request and not before it, whatever they are: no round trip
 * more, no transaction around the request, and its ROLLBACK undoes none of them. */
static void
along(void)
{
	static const struct step mine[] = {{0, "set work_mem = '7MB'", ""},
	    {0, "set time zone 'Asia/Tokyo'", ""}, {0, "set application_name = 'a'", ""},
	    {0, "set role reader", ""}, {0, "set default_transaction_read_only = on", ""},
	    {1, "set work_mem = '8MB'", ""}, {1, "set search_path to s1", ""},
	    {1, "set default_transaction_isolation = 'serializable'", ""}, END};
	static const struct step turn[] = {{0, "show work_mem", "7MB"}, {1, "show work_mem", "8MB"},
	    {0, "select current_user", "reader"}, {1, "select current_user", "postgres"},
	    {0, "show timezone", "Asia/Tokyo"}, {1, "show timezone", "Etc/UTC"}, {0, "begin", ""},
	    {0, "rollback", ""}, {1, "vacuum", ""}, {0, "rollback", ""},
	    {1, "select current_setting('search_path') || current_setting('transaction_isolation')",
		"s1serializable"},
	    {0, "create table never (i int)", "!25006"}, {1, "select 1 / 0", "!22012"},
	    {0,
		"select current_user || current_setting('work_mem') || "
		"current_setting('timezone') || current_setting('application_name')",
		"reader7MBAsia/Tokyoa"},
	    {1, "select current_user || current_setting('work_mem')", "postgres8MB"}, END};
	long times, alone, parses = 0;
	int i;

	meet("", "");
	run("settings ahead of a request", mine);
	parses = foreign_parses();
	times = pooler_get(&pooler, "pool.postgres.postgres.replays");
	alone = pooler_get(&pooler, "pool.postgres.postgres.replays_alone");
	for (i = 0; i < 2; i++) {
		extended = i == 1;
		run("... in turns", turn);
	}
	extended = false;
	times = pooler_get(&pooler, "pool.postgres.postgres.replays") - times;
	alone = pooler_get(&pooler, "pool.postgres.postgres.replays_alone") - alone;
	check(foreign_parses() == parses, "what goes ahead counts as no Parse");
	check(times >= 20 && alone == 0, "%ld times, %ld of them in a round trip of their own",
	    times, alone);
	part();
}

static void
no_probe(void)
{
	long before, after;
	int i;

	meet("", "");
	before = pooler_get(&pooler, "pool.postgres.postgres.session_probes");
	for (i = 0; i < 10; i++) {
		(void)ask(clients[0], "set work_mem = '7MB'");
		(void)ask(clients[0], "begin");
		(void)ask(clients[0], "set local work_mem = '8MB'");
		(void)ask(clients[0], "insert into t values (1)");
		(void)ask(clients[0], "commit");
		(void)ask(clients[0], "reset work_mem");
	}
	after = pooler_get(&pooler, "pool.postgres.postgres.session_probes");
	check(after == before, "a plain SET and SET LOCAL ask the server nothing (%ld times)",
	    after - before);
	part();
}

static void
start(const char *more)
{
	char conf[512];

	snprintf(conf, sizeof(conf),
	    "pool_mode = \"transaction\"; log_connections = false; log_disconnections = false; %s\n"
	    "databases = ( { name = \"postgres\"; host = \"127.0.0.1\"; port = %d; } );\n"
	    "users = ( { name = \"postgres\"; }, { name = \"writer\"; } );",
	    more, rig.pg_port);
	if (!pooler_start(&pooler, "session", conf))
		exit(rig_end());
}

static void
objects(void)
{
	(void)admin("alter database postgres set timezone to 'Etc/UTC'");
	(void)admin("create role reader");
	(void)admin("create role writer login");
	(void)admin("grant reader to writer");
	(void)admin("create role boss superuser");
	(void)admin("grant boss to writer");
	(void)admin("create table t (i int)");
	(void)admin("create sequence sq");
	(void)admin("create function sets_zone(z text) returns text language sql as $$ select "
		    "set_config('timezone', z, false) $$");
	(void)admin("create function quietly(n text, v text) returns text language plpgsql as $$ "
		    "begin return set_config(n, v, false); end $$");
	(void)admin("create procedure sets_timeout() language plpgsql as $$ begin set lock_timeout "
		    "= '77s'; end $$");
}

static bool
hears_something(void *conn)
{
	struct pollfd p = {.fd = PQsocket(conn), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* A value's bytes are those of its client's encoding, whatever the backend had before. */
static void
encodings(void)
{
	static const struct step both[] = {{0, "set my.word to 'r\xc3\xa9'", ""},
	    {1, "set my.word to '\xe9r'", ""},
	    {0, "select current_setting('my.word') = U&'r\\00e9'", "t"},
	    {1, "select current_setting('my.word') = U&'\\00e9r'", "t"},
	    {0, "select current_setting('my.word') = U&'r\\00e9'", "t"},
	    {1, "set my.word to '\xc3\xa9'", ""}, {0, "set my.word to '\xc3\xa9'", ""},
	    {1, "select length(current_setting('my.word'))", "2"},
	    {0, "select length(current_setting('my.word'))", "1"}, END};

	meet("client_encoding=UTF8", "client_encoding=LATIN1");
	run("values beyond ASCII", both);
	part();
}

static bool
waits_for_lock(void *arg)
{
	(void)arg;
	return strcmp(admin("select count(*) from pg_stat_activity where wait_event_type = 'Lock'"),
		   "1") == 0;
}

static bool
somebody_waits(void *arg)
{
	(void)arg;
	return pooler_get(&pooler, "clients_waiting") == 1;
}

/* Somebody leaves while the backend takes its settings: they are not the next one's. */
static void
left_meanwhile(void)
{
	static const char goodbye[] = "X\0\0\0\4";
	PGconn *past = login(rig.sockets, rig.pg_port, ""), *leaves;

	(void)ask(past, "begin");
	check_text(ask(past, "lock table pg_ts_config in access exclusive mode"), "", "locked");
	meet("", "");
	(void)ask(clients[0], "begin");
	leaves = client("options='-c default_text_search_config=german -c role=writer'");
	check(write(PQsocket(leaves), goodbye, 5) == 5, "goodbye, which waits for a backend");
	check(until(somebody_waits, NULL, 10000), "... in the queue");
	(void)ask(clients[0], "commit");
	check(until(waits_for_lock, NULL, 10000), "its settings are under way");
	PQfinish(leaves);
	(void)ask(past, "commit");
	check_text(
	    ask(clients[0], "select current_user || current_setting('default_text_search_config')"),
	    "postgrespg_catalog.english", "the next one is nobody else");
	check_text(ask(clients[1], "select current_user"), "postgres", "... nor the one after it");
	PQfinish(past);
	part();
}

static void
pin_timeout(void)
{
	PGconn *c;

	start("pin_timeout = \"300ms\";");
	c = client("");
	(void)ask(c, "listen ch");
	check(until(hears_something, c, 10000), "pin_timeout: the client is told");
	(void)ask(c, "select 1");
	check(
	    strstr(PQerrorMessage(c), "pin_timeout") != NULL, "pin_timeout: %s", PQerrorMessage(c));
	PQfinish(c);
	pooler_stop(&pooler);
}

static void
other_states(void)
{
	static const struct step kept[] = {{0, "set work_mem = '7MB'", ""},
	    {1, "show work_mem", "4MB"}, {0, "show work_mem", "7MB"}, {0, "reset work_mem", ""},
	    {0, "show work_mem", "3MB"}, {0, "set work_mem = '7MB'", ""},
	    {0, "set lock_timeout = '7s'", ""}, {0, "do $$ begin reset work_mem; end $$", ""},
	    {0, "show work_mem", "3MB"}, {0, "show lock_timeout", "7s"}, {0, "reset all", ""},
	    {0, "show work_mem", "3MB"}, {0, "set work_mem = '7MB'", ""}, END};

	start("session_state = \"pin\"; pool_size = 2;");
	meet("options='-c work_mem=3MB'", "");
	run("session_state = pin", kept);
	check(pinned(1), "... keeps the backend");
	part();
	clients[0] = client("");
	check_text(ask(clients[0], "show work_mem"), "4MB", "... which is clean afterwards");
	PQfinish(clients[0]);
	pooler_stop(&pooler);
	start("session_state = \"ignore\"; pool_size = 1;");
	meet("", "");
	(void)ask(clients[0], "set work_mem = '7MB'");
	check_text(ask(clients[1], "show work_mem"), "7MB", "session_state = ignore leaks");
	part();
	pooler_stop(&pooler);
}

int
main(int argc, char **argv)
{
	int i;

	(void)argc;
	rig_start("trust", argv);
	objects();
	start("pool_size = 1;");
	for (i = 0; i < 2; i++) {
		extended = i == 1;
		meet("", "");
		settings();
		hidden();
		part();
	}
	extended = false;
	meet("", "");
	several();
	long_value();
	part();
	at_login();
	for (i = 0; i < 2; i++) {
		extended = i == 1;
		told();
	}
	extended = false;
	refused();
	refused_together();
	refused_at_length();
	hidden_known();
	for (i = 0; i < 2; i++) {
		extended = i == 1;
		privileged();
	}
	extended = false;
	encodings();
	left_meanwhile();
	loaded();
	along();
	no_probe();
	no_pins();
	pooler_stop(&pooler);
	start("pool_size = 2;");
	for (i = 0; i < 2; i++) {
		extended = i == 1;
		pins();
		temporary_path();
		pinned_resets();
		encoding_changes();
	}
	extended = false;
	pooler_stop(&pooler);
	pin_timeout();
	other_states();
	return rig_end();
}

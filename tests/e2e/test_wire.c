/*
 * test_wire: what a client sees through a pooler is what PostgreSQL itself answers, message by
 * message. Scripted dialogues are held with PostgreSQL directly and through pgdrove with 4 workers
 * in transaction and in session mode: step by step, glued into one write, and byte by byte; some
 * are also split at each of their byte borders. Only BackendKeyData and what names a process
 * may differ, so the scripts ask for nothing of the kind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e/raw.h"
#include "tests/e2e/rig.h"

static struct pooler pooler;
static struct target direct, transaction, session;

#define Q(s, sql)     put_msg(script_bytes(s), 'Q', "s", sql)
#define SYNC(s)	      put_msg(script_bytes(s), 'S', "")
#define FLUSH(s)      put_msg(script_bytes(s), 'H', "")
#define DATA(s, text) put_msg(script_bytes(s), 'd', "t", text)
#define DONE(s)	      put_msg(script_bytes(s), 'c', "")
#define FAIL(s, why)  put_msg(script_bytes(s), 'f', "s", why)

static void
parse(struct script *s, const char *name, const char *sql)
{
	put_msg(script_bytes(s), 'P', "ssh", name, sql, 0);
}

/* Text in, text out; `arg` may be NULL. */
static void
bind(struct script *s, const char *portal, const char *statement, const char *arg)
{
	if (arg == NULL)
		put_msg(script_bytes(s), 'B', "sshhh", portal, statement, 0, 0, 0);
	else
		put_msg(script_bytes(s), 'B', "sshhith", portal, statement, 0, 1, (int)strlen(arg),
		    arg, 0);
}

static void
execute(struct script *s, const char *portal, int rows)
{
	put_msg(script_bytes(s), 'E', "si", portal, rows);
}

static void
describe(struct script *s, char kind, const char *name)
{
	put_msg(script_bytes(s), 'D', "bs", kind, name);
}

/* The unnamed statement from beginning to end. */
static void
extended(struct script *s, const char *sql)
{
	parse(s, "", sql);
	bind(s, "", "", NULL);
	describe(s, 'P', "");
	execute(s, "", 0);
}

/* --- simple protocol ------------------------------------------------------------------------- */

static void
simple_statements(struct script *s)
{
	Q(s, "select 1 as a; select 'x' as b, null; values (1), (2)");
	script_await(s, 'Z', 1);
	Q(s, "");
	script_await(s, 'Z', 1);
	Q(s, " ; ;");
	script_await(s, 'Z', 1);
	Q(s, "insert into t values (1), (2), (3); update t set a = a + 1; delete from t");
	script_await(s, 'Z', 1);
}

static void
simple_errors(struct script *s)
{
	Q(s, "select 1; select 1/0; select 2");
	script_await(s, 'Z', 1);
	Q(s, "selekt");
	script_await(s, 'Z', 1);
	Q(s, "insert into t values (7); select 1/0");
	script_await(s, 'Z', 1);
	Q(s, "select count(*) from t");
	script_await(s, 'Z', 1);
}

static void
simple_blocks(struct script *s)
{
	Q(s, "begin");
	Q(s, "select 1/0");
	Q(s, "select 1");
	script_await(s, 'Z', 3);
	Q(s, "rollback");
	script_await(s, 'Z', 1);
	Q(s, "begin; insert into t values (1); savepoint a");
	Q(s, "insert into t values ('x')");
	Q(s, "rollback to a");
	script_await(s, 'Z', 3);
	Q(s, "select * from t; commit; begin; delete from t");
	Q(s, "commit");
	script_await(s, 'Z', 2);
	Q(s, "commit; rollback; begin; begin; end");
	script_await(s, 'Z', 1);
}

static void
notices(struct script *s)
{
	Q(s, "do $$ begin raise notice 'one'; raise warning 'two' using hint = 'h'; end $$");
	script_await(s, 'Z', 1);
	Q(s, "select 1; do $$ begin raise info 'three'; raise exception 'four'; end $$; select 2");
	script_await(s, 'Z', 1);
}

static void
big_rows(struct script *s)
{
	Q(s, "select repeat('x', 3000000), 1; select repeat('y', 16384); select g from "
	     "generate_series(1, 5000) g");
	script_await(s, 'Z', 1);
	Q(s, "select repeat(g::text, g) from generate_series(1, 300) g");
	script_await(s, 'Z', 1);
}

static void
big_query(struct script *s)
{
	static char sql[400000];
	size_t n = sizeof(sql) - 64;

	memset(sql, ' ', n);
	memcpy(sql, "select length('", 15);
	memcpy(sql + n, "')", 3);
	Q(s, sql);
	script_await(s, 'Z', 1);
	parse(s, "", sql);
	bind(s, "", "", NULL);
	execute(s, "", 0);
	SYNC(s);
	Q(s, "select 1");
	script_await(s, 'Z', 2);
}

static void
settings(struct script *s)
{
	Q(s, "set application_name = 'wire'; set datestyle = 'SQL, DMY'");
	script_await(s, 'Z', 1);
	Q(s, "show application_name; select date '2001-02-03'");
	script_await(s, 'Z', 1);
	Q(s, "begin; set local timezone = 'Asia/Tokyo'; show timezone; commit; show timezone");
	script_await(s, 'Z', 1);
	Q(s, "reset application_name; reset datestyle");
	script_await(s, 'Z', 1);
	Q(s, "show datestyle");
	script_await(s, 'Z', 1);
}

static void
function_calls(struct script *s)
{
	struct bytes *b = script_bytes(s);

	put_msg(b, 'F', "ihhhitith", 177, 1, 0, 2, 2, "40", 1, "2", 0); /* int4pl(40, 2) */
	put_msg(b, 'F', "ihhhitith", 154, 1, 0, 2, 2, "40", 1, "0", 0); /* int4div(40, 0) */
	put_msg(b, 'F', "ihhhh", 1, 1, 0, 0, 0);			/* no such function */
	put_msg(b, 'F', "ihhhitith", 177, 1, 0, 2, 2, "40", 1, "3", 1); /* binary result */
	script_await(s, 'Z', 4);
}

/* --- extended protocol ----------------------------------------------------------------------- */

static void
extended_whole(struct script *s)
{
	extended(s, "select 1 as a, 'x' as b");
	SYNC(s);
	script_await(s, 'Z', 1);
	parse(s, "", "select $1::int + 1");
	describe(s, 'S', "");
	bind(s, "", "", "41");
	describe(s, 'P', "");
	execute(s, "", 0);
	SYNC(s);
	script_await(s, 'Z', 1);
	extended(s, "");
	extended(s, "insert into t values (5) returning a");
	extended(s, "delete from t");
	SYNC(s);
	script_await(s, 'Z', 1);
}

static void
extended_flush(struct script *s)
{
	parse(s, "", "select $1::text");
	describe(s, 'S', "");
	FLUSH(s);
	script_await(s, 'T', 1);
	bind(s, "", "", "flushed");
	FLUSH(s);
	script_await(s, '2', 1);
	execute(s, "", 0);
	FLUSH(s);
	script_await(s, 'C', 1);
	SYNC(s);
	script_await(s, 'Z', 1);
}

static void
extended_syncs(struct script *s)
{
	extended(s, "select 1");
	SYNC(s);
	SYNC(s);
	extended(s, "select 2");
	SYNC(s);
	FLUSH(s);
	SYNC(s);
	Q(s, "select 3");
	SYNC(s);
	script_await(s, 'Z', 6);
}

static void
extended_errors(struct script *s)
{
	parse(s, "", "selekt");
	bind(s, "", "", NULL);
	execute(s, "", 0);
	extended(s, "select 'skipped'");
	SYNC(s);
	extended(s, "select 'runs'");
	SYNC(s);
	script_await(s, 'Z', 2);
	extended(s, "insert into t values (9)");
	extended(s, "select 1/0");
	extended(s, "select 'skipped'");
	SYNC(s);
	extended(s, "select count(*) from t");
	SYNC(s);
	script_await(s, 'Z', 2);
	bind(s, "", "nosuch", NULL);
	SYNC(s);
	execute(s, "nosuch", 0);
	SYNC(s);
	describe(s, 'S', "nosuch");
	SYNC(s);
	describe(s, 'x', "");
	SYNC(s);
	script_await(s, 'Z', 4);
}

/* An error skips even a Query, up to the next Sync. */
static void
extended_skips_query(struct script *s)
{
	parse(s, "", "selekt");
	Q(s, "select 'skipped'");
	SYNC(s);
	script_await(s, 'Z', 1);
	extended(s, "select 1/0");
	Q(s, "select 'skipped'");
	put_msg(script_bytes(s), 'F', "ihhhh", 1, 1, 0, 0, 0);
	SYNC(s);
	Q(s, "select 'runs'");
	script_await(s, 'Z', 2);
	Q(s, "select 'runs too'");
	script_await(s, 'Z', 1);
}

static void
extended_portals(struct script *s)
{
	Q(s, "begin");
	parse(s, "st", "select generate_series(1, $1::int)");
	bind(s, "p", "st", "5");
	execute(s, "p", 2);
	FLUSH(s);
	script_await(s, 's', 1);
	execute(s, "p", 2);
	SYNC(s);
	script_await(s, 'Z', 1);
	describe(s, 'P', "p");
	execute(s, "p", 0);
	put_msg(script_bytes(s), 'C', "bs", 'P', "p");
	execute(s, "p", 0);
	SYNC(s);
	script_await(s, 'Z', 1);
	Q(s, "rollback");
	script_await(s, 'Z', 1);
	put_msg(script_bytes(s), 'C', "bs", 'S', "st");
	put_msg(script_bytes(s), 'C', "bs", 'P', "nosuch");
	SYNC(s);
	script_await(s, 'Z', 1);
}

/* Portals in pieces of 100 rows, told by Flush or by Sync; several Syncs behind one another. */
static void
portal_suspended(struct script *s)
{
	int i;

	Q(s, "begin");
	parse(s, "", "select g, 'row ' || g from generate_series(1, 250) g");
	bind(s, "p", "", NULL);
	for (i = 0; i < 4; i++) { /* the last has nothing left */
		execute(s, "p", 100);
		FLUSH(s);
	}
	SYNC(s);
	SYNC(s);
	SYNC(s);
	parse(s, "", "select generate_series(1, 101)");
	bind(s, "", "", NULL);
	execute(s, "", 100);
	SYNC(s);
	execute(s, "", 100); /* lives on in the block */
	SYNC(s);
	Q(s, "commit");
	script_await(s, 'Z', 7);
	parse(s, "", "select generate_series(1, 101)");
	bind(s, "", "", NULL);
	execute(s, "", 100);
	execute(s, "", 0);
	FLUSH(s);
	SYNC(s);
	SYNC(s);
	bind(s, "", "", NULL);
	execute(s, "", 100);
	SYNC(s);
	execute(s, "", 1); /* gone with its transaction */
	SYNC(s);
	script_await(s, 'Z', 4);
}

/* The error comes while a portal is read in pieces. */
static void
portal_fails(struct script *s)
{
	parse(s, "", "select 1 / (150 - g) from generate_series(1, 250) g");
	bind(s, "p", "", NULL);
	execute(s, "p", 100);
	FLUSH(s);
	execute(s, "p", 100);
	FLUSH(s);
	execute(s, "p", 100);
	SYNC(s);
	SYNC(s);
	extended(s, "select 'runs'");
	SYNC(s);
	script_await(s, 'Z', 3);
}

/* The unnamed statement lives through several Syncs while the transaction does. */
static void
extended_unnamed(struct script *s)
{
	extended(s, "begin");
	SYNC(s);
	parse(s, "", "select $1::text");
	SYNC(s);
	script_await(s, 'Z', 2);
	bind(s, "", "", "a");
	execute(s, "", 0);
	SYNC(s);
	script_await(s, 'Z', 1);
	bind(s, "", "", "b");
	execute(s, "", 0);
	SYNC(s);
	extended(s, "commit");
	SYNC(s);
	script_await(s, 'Z', 2);
}

static void
extended_binary(struct script *s)
{
	static const uint8_t arg[4] = {0, 0, 0, 41};

	parse(s, "", "select $1::int4 + 1, $2::bytea");
	put_msg(script_bytes(s), 'B', "sshhhirihh", "", "", 1, 1, 2, 4, arg, sizeof(arg), -1, 1, 1);
	describe(s, 'P', "");
	execute(s, "", 0);
	SYNC(s);
	script_await(s, 'Z', 1);
}

/* --- COPY ------------------------------------------------------------------------------------ */

static void
copy_in(struct script *s)
{
	Q(s, "copy t from stdin");
	script_await(s, 'G', 1);
	DATA(s, "1\n2");
	DATA(s, "\n");
	DATA(s, "");
	DONE(s);
	script_await(s, 'Z', 1);
	Q(s, "select * from t; truncate t");
	script_await(s, 'Z', 1);
}

static void
copy_in_twice(struct script *s)
{
	Q(s, "select 1; copy t from stdin; copy t from stdin; select count(*) from t; truncate t");
	script_await(s, 'G', 1);
	DATA(s, "1\n");
	DONE(s);
	script_await(s, 'G', 1);
	FLUSH(s);
	SYNC(s);
	DATA(s, "2\n3\n");
	DONE(s);
	script_await(s, 'Z', 1);
}

static void
copy_in_fails(struct script *s)
{
	Q(s, "copy t from stdin");
	script_await(s, 'G', 1);
	DATA(s, "1\n");
	put_msg(script_bytes(s), 'f', "s", "the client's reason");
	script_await(s, 'Z', 1);
	Q(s, "copy t from stdin");
	script_await(s, 'G', 1);
	DATA(s, "1\nx\n");
	DATA(s, "2\n");
	DONE(s);
	script_await(s, 'Z', 1);
	Q(s, "select count(*) from t");
	script_await(s, 'Z', 1);
	Q(s, "copy nosuch from stdin");
	script_await(s, 'Z', 1);
}

/* CopyFail as the first message, behind data, behind data that fail, twice, and with what comes too
 * late behind it. */
static void
copy_fail_orders(struct script *s)
{
	Q(s, "copy t from stdin");
	FAIL(s, "at once");
	Q(s, "copy t from stdin");
	DATA(s, "1\n");
	FAIL(s, "behind data");
	DATA(s, "2\n");
	DONE(s);
	Q(s, "copy t from stdin");
	DATA(s, "x\n");
	FAIL(s, "behind an error");
	Q(s, "copy t from stdin");
	FAIL(s, "once");
	FAIL(s, "twice");
	Q(s, "copy t from stdin; select 'skipped'");
	DATA(s, "1\n");
	FLUSH(s);
	SYNC(s);
	FAIL(s, "behind Flush and Sync");
	Q(s, "select count(*) from t");
	script_await(s, 'Z', 6);
}

static void
copy_fail_extended(struct script *s)
{
	extended(s, "copy t from stdin");
	FAIL(s, "before the Sync");
	SYNC(s);
	extended(s, "copy t from stdin");
	SYNC(s);
	FAIL(s, "behind an early Sync");
	SYNC(s);
	extended(s, "copy t from stdin");
	DATA(s, "x\n");
	FAIL(s, "behind an error");
	extended(s, "select 'skipped'");
	SYNC(s);
	extended(s, "copy t from stdin");
	DATA(s, "1\n");
	FAIL(s, "before late data");
	DATA(s, "2\n");
	DONE(s);
	SYNC(s);
	extended(s, "select count(*) from t");
	SYNC(s);
	script_await(s, 'Z', 5);
}

/* COPY's messages where there is no COPY are ignored. */
static void
copy_in_without(struct script *s)
{
	DATA(s, "1\n");
	DONE(s);
	put_msg(script_bytes(s), 'f', "s", "why");
	Q(s, "select 1");
	DATA(s, "2\n");
	DONE(s);
	SYNC(s);
	script_await(s, 'Z', 2);
}

/* PostgreSQL ends the connection. */
static void
copy_in_query_inside(struct script *s)
{
	Q(s, "copy t from stdin");
	script_await(s, 'G', 1);
	DATA(s, "1\n");
	Q(s, "select 'swallowed'");
	script_await(s, 'Z', 1);
	s->fatal = true;
}

static void
copy_in_extended(struct script *s)
{
	extended(s, "copy t from stdin");
	FLUSH(s);
	script_await(s, 'G', 1);
	DATA(s, "4\n");
	DONE(s);
	SYNC(s);
	script_await(s, 'Z', 1);
	extended(s, "copy t from stdin");
	FLUSH(s);
	script_await(s, 'G', 1);
	DATA(s, "5\n");
	put_msg(script_bytes(s), 'f', "s", "no more");
	extended(s, "select 'skipped'");
	SYNC(s);
	script_await(s, 'Z', 1);
	extended(s, "select count(*) from t");
	extended(s, "truncate t");
	SYNC(s);
	script_await(s, 'Z', 1);
}

/* As libpq does it: the Sync is sent with the Execute, and once more behind CopyDone. */
static void
copy_in_extended_sync(struct script *s)
{
	extended(s, "copy t from stdin");
	SYNC(s);
	script_await(s, 'G', 1);
	DATA(s, "6\n7\n");
	DONE(s);
	SYNC(s);
	script_await(s, 'Z', 1);
	Q(s, "select count(*) from t; truncate t");
	script_await(s, 'Z', 1);
}

static void
copy_out(struct script *s)
{
	Q(s, "copy (select g from generate_series(1, 50) g) to stdout; select 1");
	script_await(s, 'Z', 1);
	Q(s, "copy (select repeat('z', 40000) from generate_series(1, 20)) to stdout");
	script_await(s, 'Z', 1);
	extended(s, "copy (select 1/(3 - g) from generate_series(1, 5) g) to stdout");
	SYNC(s);
	extended(s, "copy (select 1) to stdout");
	SYNC(s);
	script_await(s, 'Z', 2);
}

/* --- notifications, which need a session ------------------------------------------------------ */

static void
notifications(struct script *s)
{
	Q(s, "listen c; notify c, 'one'");
	script_await(s, 'Z', 1);
	Q(s, "begin; notify c, 'two'; commit");
	script_await(s, 'Z', 1);
	Q(s, "unlisten c; notify c, 'three'");
	script_await(s, 'Z', 1);
}

static void
session_state(struct script *s)
{
	Q(s, "create temp table x (a int) on commit preserve rows; prepare e as select 11");
	Q(s, "insert into x values (1); execute e; set work_mem = '7MB'");
	script_await(s, 'Z', 2);
	parse(s, "named", "select a from x");
	SYNC(s);
	script_await(s, 'Z', 1);
	bind(s, "", "named", NULL);
	execute(s, "", 0);
	SYNC(s);
	Q(s, "show work_mem");
	script_await(s, 'Z', 2);
}

/* --- running --------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*make)(struct script *);
	bool session_only;
} scripts[] = {
    {"simple: several statements", simple_statements, false},
    {"simple: errors", simple_errors, false},
    {"simple: I, T and E", simple_blocks, false},
    {"notices", notices, false},
    {"big rows", big_rows, false},
    {"big query", big_query, false},
    {"settings", settings, false},
    {"function calls", function_calls, false},
    {"extended: whole", extended_whole, false},
    {"extended: flush", extended_flush, false},
    {"extended: several Syncs", extended_syncs, false},
    {"extended: errors skip to Sync", extended_errors, false},
    {"extended: errors skip a Query", extended_skips_query, false},
    {"extended: portals", extended_portals, false},
    {"extended: portals in pieces", portal_suspended, false},
    {"extended: a portal in pieces fails", portal_fails, false},
    {"extended: unnamed statement in a block", extended_unnamed, false},
    {"extended: binary", extended_binary, false},
    {"copy in", copy_in, false},
    {"copy in, two in a query", copy_in_twice, false},
    {"copy in fails", copy_in_fails, false},
    {"copy fails, in each order", copy_fail_orders, false},
    {"copy fails, extended", copy_fail_extended, false},
    {"copy data without copy", copy_in_without, false},
    {"copy in, a query inside", copy_in_query_inside, false},
    {"copy in, extended", copy_in_extended, false},
    {"copy in, extended, early Sync", copy_in_extended_sync, false},
    {"copy out", copy_out, false},
    {"notifications", notifications, true},
    {"session state", session_state, true},
};
#define NSCRIPTS (sizeof(scripts) / sizeof(scripts[0]))

static const char *const paces[] = {"steps", "glued", "bytes"};

static void
compare(const struct script *s, const struct target *t, enum pace pace, const char *wanted)
{
	char *got = script_run(s, t, pace);

	check_text(got, wanted, "%s: %s, %s", s->name, t->name, paces[pace]);
	free(got);
}

static bool
is_long(const struct script *s)
{
	size_t total = 0;
	int i;

	for (i = 0; i < s->nsteps; i++)
		total += s->step[i].send.len;
	return total > 20000;
}

static void
run_script(size_t i)
{
	struct script s = {.name = scripts[i].name};
	enum pace pace;
	char *wanted;

	scripts[i].make(&s);
	for (pace = PACE_STEPS; pace <= PACE_BYTES; pace++) {
		if (pace == PACE_BYTES && is_long(&s))
			continue;
		wanted = script_run(&s, &direct, pace);
		check((strstr(wanted, "-- open") != NULL) != s.fatal, "%s: PostgreSQL answers, %s",
		    s.name, paces[pace]);
		compare(&s, &session, pace, wanted);
		if (!scripts[i].session_only)
			compare(&s, &transaction, pace, wanted);
		free(wanted);
	}
	script_free(&s);
}

/* All kinds of messages. */
static void
all_kinds(struct script *s)
{
	Q(s, "begin");
	extended(s, "select 1/0");
	SYNC(s);
	Q(s, "rollback; copy t from stdin");
	DATA(s, "1\n");
	DONE(s);
	Q(s, "truncate t");
	put_msg(script_bytes(s), 'F', "ihhhitith", 177, 1, 0, 2, 2, "40", 1, "2", 0);
	script_await(s, 'Z', 5);
}

/* Each border of it once. */
static void
run_splits(const char *name, void (*make)(struct script *), const struct target *t)
{
	struct script s = {.name = name};
	size_t at, len = 0, bad = 0;
	char *wanted, *got;
	int i;

	make(&s);
	for (i = 0; i < s.nsteps; i++)
		len += s.step[i].send.len;
	wanted = script_run(&s, &direct, PACE_STEPS);
	for (at = 1; at < len; at++) {
		got = script_run_split(&s, t, at);
		if (strcmp(got, wanted) != 0 && bad++ == 0)
			check_text(got, wanted, "%s, split at %zu", name, at);
		free(got);
	}
	check(bad == 0, "%s: split at each of %zu borders: %s", name, len - 1, t->name);
	free(wanted);
	script_free(&s);
}

/* Every ParameterStatus of a fresh login. */
static void
login_dialogue(const struct target *t, char *text, size_t size)
{
	struct bytes b = {0};
	struct raw r;
	struct msg m;
	size_t n = 0;

	text[0] = '\0';
	if (!raw_open(&r, t))
		return;
	put_msg(&b, 0, "issssssb", 196608, "user", t->user, "database", t->db, "application_name",
	    "wire", 0);
	(void)raw_put(&r, &b);
	do {
		if (raw_next(&r, &m, 20000) != RAW_MSG)
			break;
		if (m.type == 'S')
			n += (size_t)snprintf(text + n, size - n, "S %s=%s\n", (const char *)m.body,
			    (const char *)m.body + strlen((const char *)m.body) + 1);
		else
			n += (size_t)snprintf(text + n, size - n, "%c %zu\n", m.type, m.len);
	} while (m.type != 'Z' && n < size - 300);
	bytes_free(&b);
	raw_close(&r);
}

static void
start_pooler(void)
{
	char conf[1024];

	snprintf(conf, sizeof(conf),
	    "pool_size = 3; log_connections = false; log_disconnections = false;\n"
	    "databases = (\n"
	    " { name = \"app\"; host = \"127.0.0.1\"; port = %d; pool_mode = \"transaction\"; },\n"
	    " { name = \"sess\"; host = \"127.0.0.1\"; port = %d; dbname = \"app\"; } );\n"
	    "users = ( { name = \"postgres\"; } );",
	    rig.pg_port, rig.pg_port);
	if (!pooler_start(&pooler, "wire", conf))
		exit(rig_end());
	direct = (struct target){"direct", "127.0.0.1", rig.pg_port, "postgres", "app"};
	transaction =
	    (struct target){"transaction mode", "127.0.0.1", pooler.port, "postgres", "app"};
	session = (struct target){"session mode", "127.0.0.1", pooler.port, "postgres", "sess"};
}

int
main(int argc, char **argv)
{
	char wanted[8192], got[8192];
	struct raw r;
	size_t i;

	(void)argc;
	rig_start("trust", argv);
	(void)admin("create database app");
	start_pooler();
	check(raw_login(&r, &direct) && raw_query(&r, "create table t (a int)"), "table");
	raw_close(&r);
	login_dialogue(&direct, wanted, sizeof(wanted));
	login_dialogue(&transaction, got, sizeof(got));
	check_text(got, wanted, "login, transaction mode");
	login_dialogue(&session, got, sizeof(got));
	check_text(got, wanted, "login, session mode");
	for (i = 0; i < NSCRIPTS; i++)
		run_script(i);
	for (i = 0; i < 2; i++) {
		const struct target *t = i == 0 ? &transaction : &session;
		run_splits("all kinds", all_kinds, t);
		run_splits("portals in pieces", portal_suspended, t);
		run_splits("a portal in pieces fails", portal_fails, t);
		run_splits("copy fails", copy_fail_orders, t);
		run_splits("copy fails, extended", copy_fail_extended, t);
	}
	pooler_stop(&pooler);
	return rig_end();
}

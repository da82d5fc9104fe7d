/*
 * wire_scripts: the dialogues of test_wire: what a client says, step by step, and when it waits for
 * an answer.
 */
#include "tests/e2e/wire_scripts.h"

#include <stdlib.h>
#include <string.h>

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

/* --- all kinds of messages -------------------------------------------------------------------- */

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

/* --- all of them ------------------------------------------------------------------------------ */

const struct wire_script wire_scripts[] = {
    {"simple: several statements", simple_statements, 0},
    {"simple: errors", simple_errors, 0},
    {"simple: I, T and E", simple_blocks, 0},
    {"notices", notices, 0},
    {"big rows", big_rows, 0},
    {"big query", big_query, 0},
    {"settings", settings, 0},
    {"function calls", function_calls, 0},
    {"extended: whole", extended_whole, 0},
    {"extended: flush", extended_flush, 0},
    {"extended: several Syncs", extended_syncs, 0},
    {"extended: errors skip to Sync", extended_errors, 0},
    {"extended: errors skip a Query", extended_skips_query, 0},
    {"extended: portals", extended_portals, 0},
    {"extended: portals in pieces", portal_suspended, WIRE_SPLIT},
    {"extended: a portal in pieces fails", portal_fails, WIRE_SPLIT},
    {"extended: unnamed statement in a block", extended_unnamed, 0},
    {"extended: binary", extended_binary, 0},
    {"copy in", copy_in, 0},
    {"copy in, two in a query", copy_in_twice, 0},
    {"copy in fails", copy_in_fails, 0},
    {"copy fails, in each order", copy_fail_orders, WIRE_SPLIT},
    {"copy fails, extended", copy_fail_extended, WIRE_SPLIT},
    {"copy data without copy", copy_in_without, 0},
    {"copy in, a query inside", copy_in_query_inside, 0},
    {"copy in, extended", copy_in_extended, 0},
    {"copy in, extended, early Sync", copy_in_extended_sync, 0},
    {"copy out", copy_out, 0},
    {"all kinds of messages", all_kinds, WIRE_SPLIT},
    {"notifications", notifications, WIRE_SESSION},
    {"session state", session_state, WIRE_SESSION},
};

const size_t wire_scripts_n = sizeof(wire_scripts) / sizeof(wire_scripts[0]);

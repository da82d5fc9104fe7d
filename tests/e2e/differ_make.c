/*
 * differ_make: see differ.h. Makes conversations up. It keeps a rough idea of where the session
 * stands, so that most of what it says makes sense, and some does not.
 *
 * The surroundings that test_differ.c makes: tables t0.. (id int primary key, v text), sequences
 * q0.., a table st (v text) in each of the schemas s1, s2, s3, roles r1 and r2, functions say(text)
 * and configure(text, text).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e/differ.h"

struct maker {
	struct bytes *out;
	uint64_t rng;
	unsigned kinds;
	bool tx;      /* believed to be in a transaction block */
	bool failed;  /* ... that is aborted */
	bool lost;    /* a BEGIN was prepared and run: it may be in a block whatever is believed */
	bool blocks;  /* portals may be left from a block */
	bool begun;   /* the present step has something in it */
	bool flushed; /* it ended with Flush and no Sync: only messages of the same kind follow */
	bool started; /* has settings of its startup packet: see op_reset */
	bool sequences; /* pinned for them */
	bool burst;	/* all in one step */
	bool asked;	/* a statement of before was described since the last BEGIN */
	bool spent[3];	/* portals -, p1, p2: ran what may have ended a transaction */
	int stmt[4];	/* what each name was prepared as, -1 = nothing; [0] is the unnamed one */
};

static const char *const kind_names[] = {"plain", "tx", "ext", "across", "named", "portal", "copy",
    "big", "call", "report", "set", "start", "prepare", "discard", "cursor", "hold", "temp",
    "listen", "lock", "seq", "burst", NULL};

const char *
differ_kind(int bit)
{
	return kind_names[bit];
}

/* xorshift64* */
static unsigned
roll(struct maker *m, unsigned n)
{
	m->rng ^= m->rng >> 12;
	m->rng ^= m->rng << 25;
	m->rng ^= m->rng >> 27;
	return (unsigned)((m->rng * 2685821657736338717U) >> 33) % n;
}

static bool
percent(struct maker *m, unsigned n)
{
	return roll(m, 100) < n;
}

static void say(struct maker *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
say(struct maker *m, const char *fmt, ...)
{
	char text[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put(m->out, text, (size_t)n);
	put(m->out, "\n", 1);
	m->begun = true;
}

/* Ends a step. */
static void
end_step(struct maker *m, const char *how)
{
	if (!m->burst)
		say(m, "%s", how);
}

#define PICK(m, list) (list)[roll((m), sizeof(list) / sizeof((list)[0]))]

static bool
may(const struct maker *m, unsigned kind)
{
	return (m->kinds & kind) != 0;
}

/* An error ends a transaction block's usefulness. */
static void
erred(struct maker *m)
{
	m->failed = m->tx;
}

/* --- simple queries --------------------------------------------------------------------------- */

static void
op_plain(struct maker *m)
{
	static const char *const list[] = {"select 1", "select id, v from t@ order by id",
	    "select generate_series(1, 7)", "select null, '', 'abc' as \"A b\"",
	    "insert into t@ values (10, 'ten') on conflict do nothing",
	    "insert into t@ select g, g::text from generate_series(30, 33) g returning id",
	    "update t@ set v = v || '!' where id = 2", "delete from t@ where id = 3",
	    "select 1; select 2; select 'three'", "values (1, 'a'), (2, 'b')",
	    "select say('hello'); select 2", "do $$ begin raise notice 'note @'; end $$",
	    "select v from public.st", "explain (costs off) select * from t@ where id = 1",
	    "create table u@ (a int); insert into u@ values (1); drop table u@",
	    "select e'\\\\t', 'it''s', $q$dollar$q$ -- comment", "/* c */ select 2.5::float8 / 3",
	    "select '\\x00ff'::bytea, 'a\\b'", "select '1-2-2003'::date, interval '1 day 02:03'",
	    "select '2020-06-01 12:00+00'::timestamptz", "select count(*) from t@",
	    "select pg_sleep(0.001)", "insert into t@ values (40, 'x'); update t@ set v = 'y'"};
	static const char *const wrong[] = {"select 1/0", "selec 1", "select * from nowhere@",
	    "insert into t@ values (1, 'twice')", "select 1; select 1/0; select 2",
	    "insert into t@ values (50, 'gone'); select 1/0", "select 'a'::int", "select f(",
	    "do $$ begin raise exception 'refused' using errcode = 'P0042'; end $$"};

	if (percent(m, 3) && !m->begun) {
		say(m, "Q ");
		end_step(m, ">");
		m->begun = false;
	} else if (percent(m, 20)) {
		say(m, "Q %s", PICK(m, wrong));
		erred(m);
	} else {
		say(m, "Q %s", PICK(m, list));
	}
}

#define SET_TRANSACTION "set transaction isolation level serializable"

/* SET TRANSACTION is refused behind a Parse, since the server looks into its tables for it. pgdrove
 * parses anew for a Describe, and can undo that only if nothing else has been done in the block
 * (README.md, Limits): op_isolation. */
static void
op_tx(struct maker *m)
{
	static const char *const begin[] = {"begin", "begin", "begin", "start transaction",
	    "begin isolation level repeatable read", "begin read only", "begin; select 1",
	    "begin; insert into t@ values (60, 'in block')"};
	static const char *const end[] = {"commit", "commit", "rollback", "end", "abort",
	    "rollback", "commit; select 1", "commit; begin; select 2; commit"};
	static const char *const inside[] = {"savepoint a", "rollback to a", "release a",
	    "savepoint b", "rollback to savepoint b", "commit and chain", "rollback and chain",
	    "begin", "insert into t@ values (61, 'in block')", "lock table t@ in share mode",
	    "select txid_current() = txid_current()", SET_TRANSACTION};
	const char *sql;

	if (!m->tx && percent(m, 8)) {
		say(m, "Q %s", PICK(m, end)); /* a warning */
	} else if (!m->tx) {
		say(m, "Q %s", PICK(m, begin));
		m->tx = true;
		m->asked = false;
	} else if (percent(m, m->failed ? 80 : 50)) {
		say(m, "Q %s", PICK(m, end));
		m->tx = m->failed = false;
	} else {
		sql = PICK(m, inside);
		say(m, "Q %s", m->asked && strcmp(sql, SET_TRANSACTION) == 0 ? inside[0] : sql);
	}
}

static void
op_copy(struct maker *m)
{
	static const char *const in[] = {"copy t@ from stdin", "copy t@ (id, v) from stdin",
	    "copy t@ from stdin with (format csv)", "copy t@ from stdin; select 'behind'",
	    "insert into t@ values (70, 'before'); copy t@ from stdin", "copy nowhere@ from stdin"};
	static const char *const out[] = {"copy (table t@ order by id) to stdout",
	    "copy (select g, 'x' from generate_series(1, 1000) g) to stdout",
	    "copy (select g from generate_series(1, 20000) g) to stdout",
	    "copy (select 1 / (3 - g) from generate_series(1, 5) g) to stdout",
	    "copy s1.st to stdout; copy s2.st to stdout with csv header",
	    "copy nowhere@ to stdout"};
	bool csv, extended = may(m, KIND_EXT) && percent(m, 30);
	const char *sql;
	unsigned i, n;

	if (percent(m, 35)) {
		say(m, "Q %s", PICK(m, out));
		return;
	}
	sql = extended ? in[roll(m, 3)] : PICK(m, in);
	csv = strstr(sql, "csv") != NULL;
	if (extended) {
		say(m, "P - - %s", sql);
		say(m, " B - - 0 0");
		say(m, " E - 0");
		m->stmt[0] = -1;
	} else {
		say(m, "Q %s", sql);
	}
	if (percent(m, 50))
		end_step(m, " >G");
	n = roll(m, 4);
	for (i = 0; i < n; i++)
		say(m, " d %u%c%s", 80 + i, csv ? ',' : '\t', percent(m, 50) ? "copied" : "\\N");
	if (percent(m, 20))
		say(m, " d 1%ctwice", csv ? ',' : '\t');
	if (percent(m, 15))
		say(m, " d bad");
	if (percent(m, 15))
		say(m, " f no more");
	else
		say(m, " c");
	if (extended)
		say(m, " S");
	else if (percent(m, 10))
		say(m, " S");
	erred(m);
	if (m->failed && percent(m, 60))
		m->failed = false; /* it may have gone well */
}

static void
op_big(struct maker *m)
{
	unsigned n = 10000U << (unsigned)roll(m, 6);

	switch (roll(m, 5)) {
	case 0:
		say(m, "Q select repeat('x', %u), 1", n);
		break;
	case 1:
		say(m, "Q select g, repeat('y', 3000) from generate_series(1, %u) g", n / 1000);
		break;
	case 2:
		say(m, "Q do $$ begin raise notice '%%', repeat('n', %u); end $$", n);
		break;
	case 3:
		say(m, "P - - insert into t@ values (90, $1) on conflict do nothing");
		say(m, " B - - 0 0 big:%u", n);
		say(m, " E - 0");
		say(m, " S");
		m->stmt[0] = -1;
		break;
	default:
		say(m, "P - - select length($1), $1, $2::int");
		say(m, " B - - 0 0 big:%u %s", n, percent(m, 80) ? "t:1" : "t:wrong");
		say(m, " D P -");
		say(m, " E - 0");
		say(m, " S");
		m->stmt[0] = -1;
	}
}

static void
op_call(struct maker *m)
{
	static const char *const list[] = {"F 177 0 t:1 t:2", "F 141 1 t:7 t:6", "F 1317 0 t:four",
	    "F 154 0 t:1 t:0", "F 177 0 t:1 null", "F 999999 0 t:1", "F 177 0 t:one t:2"};

	say(m, "%s", PICK(m, list));
}

/* --- session state ---------------------------------------------------------------------------- */

struct setting {
	const char *name, *values[4];
};

static const struct setting reported[] = {
    {"client_encoding", {"'LATIN1'", "'UTF8'", "UTF8", "'SQL_ASCII'"}},
    {"DateStyle", {"'German'", "'ISO, MDY'", "'SQL, DMY'", "iso"}},
    {"TimeZone", {"'Europe/Berlin'", "'America/New_York'", "'UTC'", "'Asia/Tokyo'"}},
    {"standard_conforming_strings", {"on", "off", "on", "off"}},
    {"application_name", {"'one'", "'two @'", "''", "'it''s'"}},
    {"IntervalStyle", {"'iso_8601'", "'postgres'", "postgres_verbose", "sql_standard"}}};
static const struct setting others[] = {
    {"search_path", {"s1", "s2, s3", "\"$user\", public", "s3, public"}},
    {"work_mem", {"'1MB'", "'8MB'", "3000", "'12MB'"}},
    {"statement_timeout", {"'50s'", "60000", "0", "'2min'"}},
    {"lock_timeout", {"'40s'", "0", "45000", "'1min'"}},
    {"default_transaction_isolation",
	{"'repeatable read'", "'serializable'", "'read committed'", "serializable"}},
    {"default_transaction_read_only", {"on", "off", "off", "off"}},
    {"bytea_output", {"'escape'", "'hex'", "escape", "hex"}},
    {"extra_float_digits", {"0", "-5", "3", "1"}}, {"enable_seqscan", {"off", "on", "0", "true"}},
    {"client_min_messages", {"'warning'", "'notice'", "'error'", "notice"}},
    {"role", {"r1", "r2", "none", "'r1'"}}, {"row_security", {"off", "on", "off", "on"}},
    {"my.own", {"'a'", "'b'", "'long '", "''"}},
    {"default_tablespace", {"''", "''", "pg_default", "''"}},
    {"lc_monetary", {"'C'", "'C.UTF-8'", "'C'", "'POSIX'"}}};

#define STATE                                                                                      \
	"select current_setting('search_path'), current_setting('work_mem'),"                      \
	" current_setting('statement_timeout'), current_setting('lock_timeout'),"                  \
	" current_setting('default_transaction_isolation'), "                                      \
	"current_setting('transaction_isolation'),"                                                \
	" current_setting('default_transaction_read_only'), current_setting('bytea_output'),"      \
	" current_setting('extra_float_digits'), current_setting('enable_seqscan'),"               \
	" current_setting('client_min_messages'), current_setting('role'), current_user,"          \
	" session_user, current_setting('row_security'), current_setting('lc_monetary'),"          \
	" coalesce(current_setting('my.own', true), ''), current_setting('default_tablespace')"
#define REPORTS                                                                                    \
	"select current_setting('client_encoding'), current_setting('DateStyle'),"                 \
	" current_setting('TimeZone'), current_setting('standard_conforming_strings'),"            \
	" current_setting('application_name'), current_setting('IntervalStyle')"

static void
op_look(struct maker *m)
{
	static const char *const list[] = {REPORTS, "select '1-2-2003'::date, '2003-02-01'::date",
	    "select '2020-06-01 12:00+00'::timestamptz, interval '1 day 02:03'",
	    "select 'a\\\\b', '\\x41'::bytea"};
	static const char *const more[] = {STATE, STATE, "select v from st", "select current_user",
	    "select 0.1::float8 + 0.2, '\\x00ff'::bytea", "show search_path", "show work_mem"};

	if (may(m, KIND_SET) && percent(m, 70))
		say(m, "Q %s", PICK(m, more));
	else
		say(m, "Q %s", PICK(m, list));
}

/* The value as a string constant. */
static const char *
quoted(const char *value)
{
	static char text[64];

	if (value[0] == '\'')
		return value;
	snprintf(text, sizeof(text), "'%s'", value);
	return text;
}

static void
set_form(struct maker *m, char *sql, size_t size, const struct setting *s)
{
	const char *v = s->values[roll(m, 4)];

	switch (m->started ? 13 : roll(m, 14)) {
	case 0:
	case 1:
		snprintf(sql, size, "set local %s = %s", s->name, v);
		break;
	case 2:
		snprintf(sql, size, "reset %s", s->name);
		break;
	case 3:
		snprintf(sql, size, "set %s to default", s->name);
		break;
	case 4:
		snprintf(sql, size, "select set_config('%s', %s, false)", s->name, quoted(v));
		break;
	case 5:
		snprintf(sql, size, "select set_config('%s', %s, true)", s->name, quoted(v));
		break;
	case 6:
		snprintf(sql, size, "SET SESSION %s TO %s", s->name, v);
		break;
	case 7:
		snprintf(sql, size, "set %s = %s; select 1/0", s->name, v);
		erred(m);
		break;
	case 8:
		snprintf(sql, size, "/* c */ set %s to %s; select 1", s->name, v);
		break;
	case 9:
		snprintf(sql, size, "begin; set %s to %s; commit", s->name, v);
		m->lost |= m->tx; /* if that is aborted, it still is */
		m->tx = m->failed = false;
		break;
	case 10:
		snprintf(sql, size, "begin; set %s to %s; rollback", s->name, v);
		m->lost |= m->tx; /* if that is aborted, it still is */
		m->tx = m->failed = false;
		break;
	default:
		snprintf(sql, size, "set %s = %s", s->name, v);
	}
}

/* The server tells nobody. */
static void
op_quiet(struct maker *m)
{
	const struct setting *s = &PICK(m, others);

	say(m, "Q select configure('%s', %s)", s->name, quoted(s->values[roll(m, 4)]));
}

/* Of what may have come with the login: its value is back when the transaction has ended, so no
 * block is open, and nothing else is looked at in it. */
static void
op_reset(struct maker *m)
{
	static const char *const all[] = {"reset all", "discard all", "set time zone local",
	    "reset role", "reset all; select 1/0", "begin; reset all; commit", "reset all"};
	const struct setting *s = percent(m, 50) ? &PICK(m, reported) : &PICK(m, others);

	say(m, "Q rollback");
	m->tx = m->failed = false;
	switch (roll(m, 6)) {
	case 0:
		say(m, "Q %s", PICK(m, all));
		break;
	case 1:
		say(m, "Q set %s to default", s->name);
		break;
	case 2:
		say(m, "P - - reset %s", s->name);
		say(m, " B - - 0 0");
		say(m, " E - 0");
		say(m, " S");
		m->stmt[0] = -1;
		break;
	case 3:
		say(m, "Q begin; set %s = %s; reset %s; commit", s->name, s->values[roll(m, 4)],
		    s->name);
		break;
	default:
		say(m, "Q reset %s", s->name);
	}
	if (percent(m, 50))
		op_look(m);
}

static void
op_set(struct maker *m)
{
	static const char *const odd[] = {"reset all", "set time zone 'Europe/Paris'",
	    "set time zone local", "set names 'latin1'", "set work_mem to 'nonsense'",
	    "set nosuch to 1", "set role nobody_such",
	    "set session characteristics as transaction read only",
	    "set session characteristics as transaction isolation level serializable, read write",
	    "reset role", "set schema 's2'", "reset session authorization",
	    "set session authorization default", "set datestyle to 'German'; set work_mem = '2MB'"};
	const struct setting *s;
	char sql[256];
	bool all = may(m, KIND_SET);

	if (m->started && percent(m, 30)) {
		op_reset(m);
		return;
	}
	if (all && !m->started && percent(m, 15)) {
		say(m, "Q %s", PICK(m, odd));
		return;
	}
	if (all && percent(m, 65))
		s = &PICK(m, others);
	else
		s = &PICK(m, reported);
	if (s->name[0] == 'T' && percent(m, 10))
		snprintf(
		    sql, sizeof(sql), "select configure('%s', %s)", s->name, s->values[roll(m, 4)]);
	else
		set_form(m, sql, sizeof(sql), s);
	if (may(m, KIND_EXT) && percent(m, 25) && strchr(sql, ';') == NULL) {
		say(m, "P - - %s", sql);
		say(m, " B - - 0 0");
		say(m, " E - 0");
		say(m, " S");
		m->stmt[0] = -1;
	} else {
		say(m, "Q %s", sql);
	}
	if (percent(m, 50))
		op_look(m);
}

static void
op_prepare(struct maker *m)
{
	static const char *const text[] = {"select 1", "select v from st",
	    "select id, v from t@ order by id", "select '1-2-2003'::date", "select current_user",
	    "insert into t@ values (95, 'prepared') on conflict do nothing"};
	unsigned n = 1 + roll(m, 3);

	switch (roll(m, 9)) {
	case 0:
	case 1:
		say(m, "Q prepare n%u as %s", n, PICK(m, text));
		break;
	case 2:
		say(m, "Q prepare n%u (int) as select $1 + 1, $1::text", n);
		break;
	case 3:
		say(m, "Q prepare n%u as select 3; execute n%u; deallocate n%u", n, n, n);
		break;
	case 4:
		say(m, "Q execute n%u (5)", n);
		break;
	case 5:
	case 6:
		say(m, "Q execute n%u", n);
		break;
	case 7:
		say(m, "Q deallocate %sn%u", percent(m, 30) ? "prepare " : "", n);
		m->stmt[n] = -1;
		break;
	default:
		say(m, "Q %s", percent(m, 60) ? "deallocate all" : "EXECUTE n2(7)");
	}
}

static void
op_discard(struct maker *m)
{
	static const char *const list[] = {
	    "discard all", "discard all", "discard plans", "discard sequences", "discard temp"};

	say(m, "Q %s", m->started ? "discard plans" : PICK(m, list));
	erred(m);
}

static void
op_cursor(struct maker *m)
{
	static const char *const list[] = {"fetch 2 from c1", "fetch all from c1", "move 1 in c1",
	    "close c1", "fetch backward 1 from c1", "close all", "fetch 1 from c1; fetch 1 from c1",
	    "select name, is_holdable from pg_cursors where name like 'c_' order by 1"};
	static const char *const hold[] = {
	    "fetch 2 from c2", "fetch 3 from c2", "close c2", "fetch all from c2", "close all"};

	if (may(m, KIND_HOLD) && percent(m, 40)) {
		if (percent(m, 40))
			say(m, "Q declare c2 cursor with hold for select generate_series(1, 9)");
		else
			say(m, "Q %s", PICK(m, hold));
	} else if (m->tx && percent(m, 60)) {
		say(m, "Q declare c1 %scursor for select id from t@ order by id",
		    percent(m, 50) ? "scroll " : "");
	} else {
		say(m, "Q %s", PICK(m, list));
	}
}

static void
op_temp(struct maker *m)
{
	static const char *const list[] = {"create temp table tt (a int)",
	    "create temporary table tt as select 5 as a", "insert into tt values (1), (2)",
	    "select a from tt order by a", "select a from tt order by a", "drop table tt",
	    "drop table if exists tt", "create temp table tt (a int) on commit delete rows",
	    "begin; create temp table tt (a int) on commit drop; select * from tt; commit",
	    "select 7 as a into temp tt", "create temp view tv as select 1 as one",
	    "select one from tv", "truncate tt"};

	say(m, "Q %s", PICK(m, list));
}

static void
op_listen(struct maker *m)
{
	static const char *const list[] = {"listen ch@", "listen ch@", "notify ch@",
	    "notify ch@, 'payload'", "unlisten ch@", "unlisten *",
	    "select pg_notify('ch@', 'by function')", "notify ch@; notify ch@, 'two'",
	    "select * from pg_listening_channels() order by 1"};

	say(m, "Q %s", PICK(m, list));
}

static void
op_lock(struct maker *m)
{
	static const char *const list[] = {"select pg_advisory_lock(@, 1)",
	    "select pg_try_advisory_lock(@, 1)", "select pg_advisory_unlock(@, 1)",
	    "select pg_advisory_lock_shared(@, 2)", "select pg_advisory_unlock_shared(@, 2)",
	    "select pg_advisory_unlock_all()", "select pg_advisory_xact_lock(@, 3)",
	    "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"};

	say(m, "Q %s", PICK(m, list));
}

static void
op_seq(struct maker *m)
{
	static const char *const list[] = {"select nextval('q@')", "select nextval('q@')",
	    "select currval('q@')", "select lastval()", "select setseed(0.5); select random()",
	    "select setseed(0.25)"};

	/* A client keeps its backend from its first currval() or lastval() on, so what it has drawn
	 * from sequences before is not remembered. Outside a transaction, as it may not have drawn
	 * in this one. */
	if (!m->sequences) {
		say(m, "Q rollback");
		say(m, "Q select lastval()");
		m->sequences = true;
		m->tx = m->failed = false;
	}
	say(m, "Q %s", PICK(m, list));
}

/* --- the extended protocol -------------------------------------------------------------------- */

static const struct text {
	const char *sql, *oids;
	int nparams;
	unsigned kind;
} texts[] = {{"select 1", "-", 0, 0}, {"select $1::int + 1", "-", 1, 0},
    {"select $1, $2", "25,23", 2, 0},
    {"select id, v from public.t@ where id > $1 order by id", "-", 1, 0},
    {"insert into public.t@ values ($1, $2) on conflict do nothing", "-", 2, 0},
    {"update public.t@ set v = $2 where id = $1 returning v", "23", 2, 0},
    {"select 12 / $1", "23", 1, 0}, {"select generate_series(1, $1)", "23", 1, 0},
    {"select $1::text, null", "-", 1, 0},
    /* Nothing that means another thing, or nothing, when it has to be parsed again under other
     * settings: the server would tell of it at another place. */
    {"select '2003-02-01'::date, interval '1 day 02:03'", "-", 0, 0},
    {"select $1::date", "25", 1, 0}, {"select v from st", "-", 0, KIND_SET},
    {"select current_user, current_setting('work_mem')", "-", 0, KIND_SET},
    {"select 'a\\\\b'", "-", 0, KIND_REPORT}, {"begin", "-", 0, KIND_TX},
    {"commit", "-", 0, KIND_TX}, {"rollback", "-", 0, KIND_TX}, {"", "-", 0, 0},
    {"select say('from a statement')", "-", 0, 0},
    {"delete from public.t@ where id = $1", "-", 1, 0}, {"select", "-", 0, 0},
    {"select * from nowhere", "-", 0, 0}, {"selec", "-", 0, 0}, {"select 1; select 2", "-", 0, 0},
    {"execute n1", "-", 0, KIND_PREPARE}, {"deallocate n2", "-", 0, KIND_PREPARE},
    {"prepare n3 as select 33", "-", 0, KIND_PREPARE}, {"deallocate all", "-", 0, KIND_PREPARE},
    {"set work_mem = '5MB'", "-", 0, KIND_SET}, {"set local search_path = s3", "-", 0, KIND_SET},
    {"discard all", "-", 0, KIND_DISCARD},
    {"select set_config('search_path', $1, false)", "25", 1, KIND_SET},
    {"copy public.st to stdout", "-", 0, KIND_COPY}, {"select nextval('q@')", "-", 0, KIND_SEQ},
    {"select pg_advisory_lock(@, $1)", "23", 1, KIND_LOCK}, {"listen ch@", "-", 0, KIND_LISTEN},
    {"create temp table tt (a int)", "-", 0, KIND_TEMP}};

#define NTEXTS ((int)(sizeof(texts) / sizeof(texts[0])))

static const char *
stmt_name(unsigned n)
{
	static const char *const names[] = {"-", "n1", "n2", "n3"};

	return names[n];
}

static unsigned
any_stmt(struct maker *m)
{
	return may(m, KIND_NAMED) && percent(m, 65) ? 1 + roll(m, 3) : 0;
}

static const char *
any_portal(struct maker *m)
{
	static const char *const names[] = {"-", "-", "-", "p1", "p2"};

	return may(m, KIND_PORTAL) ? PICK(m, names) : "-";
}

static void
say_parse(struct maker *m, const char *lead, unsigned stmt)
{
	int i;

	do
		i = (int)roll(m, (unsigned)NTEXTS);
	while ((texts[i].kind != 0 && !may(m, texts[i].kind)) ||
	       (texts[i].kind == KIND_SEQ && !m->sequences) ||
	       (texts[i].kind == KIND_DISCARD && m->started) ||
	       (texts[i].kind == KIND_TX && may(m, KIND_PORTAL)) ||
	       /* What backslashes mean is settled at the Parse; a pooler that parses it again on
		* another server settles it anew. */
	       (strchr(texts[i].sql, '\\') != NULL && (stmt > 0 || may(m, KIND_ACROSS))) ||
	       /* PostgreSQL 15 crashes if an empty one is executed in an aborted block. */
	       (texts[i].sql[0] == '\0' && (stmt > 0 || m->tx || may(m, KIND_ACROSS))));
	say(m, "%sP %s %s %s", lead, stmt_name(stmt), texts[i].oids, texts[i].sql);
	m->stmt[stmt] = i;
}

/* It may not be found any more, under another search_path: a pooler that parses it again is told so
 * ahead of what is wrong in its Bind. */
static bool
by_path(int text)
{
	return text != -1 && (strstr(texts[text].sql, " say(") != NULL ||
				 strstr(texts[text].sql, " from st") != NULL);
}

static void
say_bind(struct maker *m, const char *lead, unsigned stmt, const char *portal)
{
	static const char *const values[] = {
	    "t:1", "t:2", "t:7", "null", "t:0", "t:2003-02-01", "x:00000003", "t:s1"};
	char line[256];
	int n = m->stmt[stmt] == -1 ? 0 : texts[m->stmt[stmt]].nparams, i, len;
	bool binary = percent(m, 12);

	if (percent(m, 3) && !by_path(m->stmt[stmt]))
		n++;
	len = snprintf(line, sizeof(line), "%sB %s %s %d %d", lead, portal, stmt_name(stmt), binary,
	    percent(m, 20));
	for (i = 0; i < n; i++) {
		const char *value = binary	     ? "x:00000003"
				    : percent(m, 60) ? "t:2"
						     : PICK(m, values);
		if (m->started && strcmp(value, "null") == 0)
			value = "t:s1"; /* set_config(..., null) resets */
		len += snprintf(line + len, sizeof(line) - (size_t)len, " %s", value);
	}
	say(m, "%s", line);
}

/* A statement of an earlier pipeline. What EXECUTE returns depends on what has the name when it is
 * parsed, again or not. Of the unnamed one nobody knows the parameters before it was described:
 * where it cannot be parsed again, in an aborted block, nobody can tell them. */
static bool
may_describe(const struct maker *m, bool fresh, unsigned stmt)
{
	bool of_names = m->stmt[stmt] != -1 && texts[m->stmt[stmt]].kind == KIND_PREPARE;

	return !of_names && (stmt > 0 || (fresh && !m->tx && !m->lost));
}

/* One statement's way from Parse to Execute, with any part left out at times. `fresh`: nothing has
 * run since the last Sync. */
static void
say_statement(struct maker *m, const char *lead, bool fresh)
{
	static const int limits[] = {0, 0, 0, 1, 2, 100};
	unsigned stmt = any_stmt(m);
	const char *portal = any_portal(m);
	/* PostgreSQL 15 crashes if a portal that ended its transaction, or one of before an error,
	 * is executed once more. */
	bool *spent = &m->spent[portal[0] == '-' ? 0 : portal[1] - '0'];
	bool known = m->stmt[stmt] != -1 && (stmt > 0 || may(m, KIND_ACROSS));

	if (!known || percent(m, 35)) {
		if (stmt > 0 && known && percent(m, 75))
			say(m, "%sC S %s", lead, stmt_name(stmt));
		say_parse(m, stmt > 0 && known ? " " : lead, stmt);
		lead = " ";
	}
	if (percent(m, 25) && (may_describe(m, fresh, stmt) || lead[0] == ' ')) {
		m->asked |= lead[0] != ' ';
		say(m, "%sD S %s", lead, stmt_name(stmt)), lead = " ";
	}
	m->blocks |= m->tx || m->lost;
	if (*spent || m->blocks || percent(m, 92)) {
		say_bind(m, lead, stmt, portal);
		lead = " ";
		*spent = false;
	}
	if (percent(m, 50))
		say(m, "%sD P %s", lead, portal), lead = " ";
	if (percent(m, 92)) {
		say(m, "%sE %s %d", lead, portal, may(m, KIND_PORTAL) ? PICK(m, limits) : 0);
		lead = " ";
		*spent = m->stmt[stmt] == -1 || texts[m->stmt[stmt]].kind != 0;
		m->lost |= *spent;
	}
	if (may(m, KIND_PORTAL) && !*spent && percent(m, 25))
		say(m, "%sE %s %u", lead, portal, roll(m, 3)), lead = " ";
	if (percent(m, 8))
		say(m, "%sC P %s", lead, portal), lead = " ";
	if (stmt > 0 && percent(m, 6)) {
		say(m, "%sC S %s", lead, stmt_name(stmt));
		m->stmt[stmt] = -1;
	}
}

static void
op_ext(struct maker *m)
{
	unsigned n = percent(m, 60) ? 1 : 1 + roll(m, 4);
	bool fresh = true;

	while (n-- > 0) {
		say_statement(m, "", fresh);
		fresh = false;
		if (percent(m, 8)) {
			say(m, " H");
			if (percent(m, 60))
				end_step(m, " >");
		}
		if (n > 0 && percent(m, 30)) {
			say(m, " S");
			fresh = true;
		}
	}
	say(m, " S");
	erred(m);
	if (m->failed && percent(m, 85))
		m->failed = false; /* as a rule it goes well */
}

/* Described or executed in a pipeline of its own. */
static void
op_reuse(struct maker *m)
{
	unsigned stmt = any_stmt(m);

	if (stmt == 0 && !may(m, KIND_ACROSS)) {
		op_ext(m);
		return;
	}
	switch (roll(m, 5)) {
	case 0:
		say_parse(m, "", stmt);
		break;
	case 1:
		if (may_describe(m, true, stmt)) {
			say(m, "D S %s", stmt_name(stmt));
			m->asked = true;
			break;
		}
		say_bind(m, "", stmt, "-");
		break;
	case 2:
		say(m, "C S %s", stmt_name(stmt));
		m->stmt[stmt] = -1;
		break;
	default:
		say_bind(m, "", stmt, "-");
		say(m, " E - 0");
	}
	say(m, " S");
}

/*
 * Is SET TRANSACTION in time? Without what makes the server parse a statement anew by itself:
 * another search_path or role, DISCARD PLANS, the first temporary table.
 */
static void
op_isolation(struct maker *m)
{
	static const char *const begin[] = {"begin", "start transaction", "begin read only",
	    "begin isolation level repeatable read"};
	unsigned n = 1 + roll(m, 2), stmt;

	if (m->tx || m->lost || may(m, KIND_SET | KIND_DISCARD | KIND_TEMP)) {
		op_tx(m);
		return;
	}
	say(m, "Q %s", PICK(m, begin));
	while (n-- > 0) {
		if (percent(m, 50))
			end_step(m, ">");
		stmt = any_stmt(m);
		if (stmt > 0 && may_describe(m, true, stmt) && percent(m, 70))
			say(m, "D S %s", stmt_name(stmt));
		else
			say_parse(m, "", stmt);
		say(m, " S");
	}
	if (percent(m, 50))
		end_step(m, ">");
	if (percent(m, 50)) {
		say(m, "Q %s", SET_TRANSACTION);
	} else {
		say(m, "P - - %s", SET_TRANSACTION);
		say(m, " B - - 0 0");
		say(m, " E - 0");
		say(m, " S");
		m->stmt[0] = -1;
	}
	say(m, "Q show transaction_isolation");
	if (percent(m, 50))
		say(m, "Q insert into t@ values (62, 'in block')");
	say(m, "Q %s", percent(m, 50) ? "commit" : "rollback");
}

/* --- the whole -------------------------------------------------------------------------------- */

static const struct op {
	unsigned kind;
	int weight;
	void (*make)(struct maker *);
} ops[] = {{KIND_PLAIN, 20, op_plain}, {KIND_TX, 20, op_tx}, {KIND_EXT, 20, op_ext},
    {KIND_NAMED, 6, op_isolation}, {KIND_ACROSS, 6, op_reuse}, {KIND_NAMED, 14, op_reuse},
    {KIND_COPY, 5, op_copy}, {KIND_BIG, 1, op_big}, {KIND_CALL, 2, op_call},
    {KIND_REPORT, 8, op_set}, {KIND_SET, 16, op_set}, {KIND_REPORT, 5, op_look},
    {KIND_PREPARE, 8, op_prepare}, {KIND_DISCARD, 1, op_discard}, {KIND_CURSOR, 6, op_cursor},
    {KIND_TEMP, 2, op_temp}, {KIND_LISTEN, 3, op_listen}, {KIND_LOCK, 3, op_lock},
    {KIND_SEQ, 2, op_seq}, {KIND_QUIET, 30, op_quiet}};

static void
make_op(struct maker *m)
{
	int total = 0, n;
	size_t i;

	if (m->failed && percent(m, 60)) {
		op_tx(m);
		return;
	}
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		total += may(m, ops[i].kind) ? ops[i].weight : 0;
	n = (int)roll(m, (unsigned)total);
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		n -= may(m, ops[i].kind) ? ops[i].weight : 0;
		if (n < 0) {
			ops[i].make(m);
			return;
		}
	}
}

static void
make_startup(struct maker *m)
{
	static const char *const list[] = {"DateStyle German", "TimeZone Europe/Berlin",
	    "application_name started", "client_encoding LATIN1", "search_path s2",
	    "options -c\\swork_mem=5MB\\s-c\\ssearch_path=s1", "extra_float_digits 3",
	    "options -cIntervalStyle=iso_8601", "statement_timeout 70000",
	    "default_transaction_read_only yes"};

	say(m, "U %s", PICK(m, list));
	m->begun = false;
	m->started = true;
}

void
differ_make(struct bytes *text, uint64_t seed, unsigned kinds)
{
	struct maker m = {
	    .out = text, .rng = (seed + 1) * 0x9e3779b97f4a7c15U, .stmt = {-1, -1, -1, -1}};
	int n, i;
	unsigned bit;

	m.burst = (kinds & KIND_BURST) != 0 && (m.rng >> 32) % 8 == 0;
	/* Each conversation has a taste, or rare kinds would hardly ever meet. */
	for (bit = 0; differ_kind((int)bit) != NULL; bit++)
		if (percent(&m, 55))
			m.kinds |= 1U << bit;
	m.kinds = (m.kinds & kinds) | KIND_PLAIN | (kinds & (KIND_TX | KIND_QUIET));
	n = 2 + (int)roll(&m, percent(&m, 80) ? 8 : 20);
	if (may(&m, KIND_START) && percent(&m, 12))
		make_startup(&m);
	for (i = 0; i < n; i++) {
		make_op(&m);
		if (percent(&m, 75)) {
			end_step(&m, ">");
			m.begun = false;
		}
	}
	if (percent(&m, 50) && may(&m, KIND_REPORT | KIND_SET)) {
		end_step(&m, ">");
		op_look(&m);
	}
	put(text, "", 1);
}

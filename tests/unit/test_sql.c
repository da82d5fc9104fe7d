/*
 * test_sql: what the scanner says about texts, whole and cut at every byte, and that it keeps to
 * PostgreSQL's lexical rules where a wrong border would matter.
 */
#include "proto/sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const effects[] = {"", "sets", "resets", "resets-all", "unsure", "discards",
    "prepares", "executes", "deallocates", "declares", "closes", "listens", "unlistens", "saves",
    "loads"};

static void
add(char *out, const char *text)
{
	strcat(out, text);
}

static void
add_flags(char *out, uint32_t flags)
{
	static const char *const names[] = {" calls", " advisory", " unlock", " temp", " at-commit",
	    " hold", " seed", " sequence", " settings", " param", " writes", " chain", " keeps"};
	size_t i;

	for (i = 0; i < COUNT(names); i++)
		if (flags >> i & 1)
			add(out, names[i]);
	if (flags & SQL_F_LOST)
		add(out, " LOST");
}

static void
add_fact(char *out, const struct sql_facts *f, const struct sql_fact *fact)
{
	char number[16];

	snprintf(number, sizeof(number), "; %u:", fact->index);
	add(out, number);
	add(out, sql_class_name((enum sql_class)fact->class));
	if (fact->effect != SQL_NOTHING)
		add(out, " ");
	add(out, effects[fact->effect]);
	if (fact->local)
		add(out, " local");
	if (sql_name(f, fact) != NULL) {
		add(out, " ");
		add(out, sql_name(f, fact));
	}
	if (sql_value(f, fact) != NULL) {
		add(out, "=[");
		add(out, sql_value(f, fact));
		add(out, "]");
	}
	add_flags(out, fact->flags);
}

/* "3 select calls; 1:set sets a=[b]; ..." */
static void
render(char *out, const struct sql_facts *f)
{
	uint32_t i;

	sprintf(out, "%u %s", f->nstatements, sql_class_name(f->class));
	if (f->n == 0)
		add_flags(out, f->flags);
	for (i = 0; i < f->n; i++)
		add_fact(out, f, &f->v[i]);
}

static void
scan(struct sql_scan *s, unsigned int mode, const char *text, size_t len, size_t cut, char *out)
{
	size_t i;

	sql_begin(s, mode);
	if (cut > len) {
		for (i = 0; i < len; i++)
			sql_feed(s, text + i, 1);
	} else {
		sql_feed(s, text, cut);
		sql_feed(s, text + cut, len - cut);
	}
	render(out, sql_end(s));
}

static void
check(unsigned int mode, const char *text, const char *want)
{
	struct sql_scan s;
	size_t len = strlen(text), cut;
	char *copy = malloc(len + 1), *got = malloc(4096 + len * 8);

	assert_non_null(copy);
	assert_non_null(got);
	memcpy(copy, text, len);
	sql_init(&s);
	for (cut = 0; cut <= len + 1; cut++) {
		scan(&s, mode, copy, len, cut, got);
		if (strcmp(got, want) != 0)
			fail_msg("%s\n  cut at %zu\n  got  %s\n  want %s", text, cut, got, want);
	}
	sql_fini(&s);
	free(got);
	free(copy);
}

struct pair {
	const char *text, *want;
};

static void
check_all(unsigned int mode, const struct pair *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		check(mode, p[i].text, p[i].want);
}

static void
classes(void **state)
{
	static const struct pair cases[] = {
	    {"", "0 other"},
	    {" ; ;\n", "0 other"},
	    {"-- nothing", "0 other"},
	    {"/* a /* b */ c */", "0 other"},
	    {"select 1", "1 select"},
	    {"SELECT 1; ;select 2;", "2 select"},
	    {"((select 1))", "1 select"},
	    {"insert into t (a) values (1)", "1 insert writes"},
	    {"with a as (delete from t returning *) select 1", "1 with writes"},
	    {"select 1 for no key update", "1 select writes"},
	    {"select 1 for key share", "1 select writes"},
	    {"select now(), count(*)", "1 select"},
	    {"select f(1)", "1 select calls"},
	    {"select s.f(1)", "1 select calls"},
	    {"select \"F\"(1)", "1 select calls"},
	    {"select $1, $2", "1 select param"},
	    {"begin", "1 begin; 0:begin"},
	    {"start transaction isolation level serializable", "1 begin; 0:begin"},
	    {"commit and chain", "1 commit; 0:commit chain"},
	    {"commit work and no chain", "1 commit; 0:commit"},
	    {"end", "1 commit; 0:commit"},
	    {"abort", "1 rollback; 0:rollback"},
	    {"rollback work and chain", "1 rollback; 0:rollback chain"},
	    {"rollback to a", "1 rollback to; 0:rollback to saves a"},
	    {"rollback work to savepoint \"A b\"", "1 rollback to; 0:rollback to saves A b"},
	    {"savepoint S", "1 savepoint; 0:savepoint saves s"},
	    {"release s", "1 release; 0:release saves s"},
	    {"release savepoint s", "1 release; 0:release saves s"},
	    {"commit prepared 'x'", "1 commit prepared"},
	    {"rollback prepared 'x'", "1 commit prepared"},
	    {"prepare transaction 'x'", "1 prepare transaction; 0:prepare transaction"},
	    {"do $$ begin end $$", "1 do; 0:do calls"},
	    {"call f()", "1 call; 0:call calls"},
	    {"drop table t", "1 drop; 0:drop"},
	    {"vacuum t", "1 maintain"},
	    {"frobnicate", "1 other"},
	};

	(void)state;
	check_all(0, cases, COUNT(cases));
}

/* Brackets behind names: which of them may call a function that sets something? */
static void
calls(void **state)
{
	static const char *const no[] = {"insert into s.t (a) values (1)",
	    "insert into t as x (a) select now()", "insert into \"T\"(\"a\") values (lower('x'))",
	    "copy t (a, b) from stdin with (format csv)", "copy (select count(*) from t) to stdout",
	    "with recursive a(n) as (values (1)), b (m) as (table a) select count(*) from b",
	    "with a as (insert into t (x) values (1) returning x) select * from a",
	    "select * from (values (1, 2)) as v (a, b)", "select (x).y from t where a in (1, 2)",
	    "select pg_catalog.pg_get_expr(a, b), pg_catalog.whatever_there_is(1)",
	    "select \"count\"(*) filter (where a) over (partition by b order by (c))",
	    "select case when (a) then (b) else (c) end, not (d) and (e) or exists (select 1)",
	    "select cast(a as varchar(3)), extract(year from b), a::numeric(3, 2)",
	    "update t set (a, b) = (1, 2) where (c)", "select sum(a) from t group by rollup (b)",
	    "insert into t (a) values (1) on conflict (a) do update set (a) = (select 1)",
	    "merge into t using (select 1) u on (a) when not matched then insert (b) values (c)",
	    "create table t (a foo(3) default f(1))", "create index on t (f(a))",
	    "vacuum (full) t (a)", "select a operator(pg_catalog.=) b",
	    "select generate_series(1, 2), 'f(1)' -- f(1)"};
	static const char *const yes[] = {"select f()", "select f (1)", "select s.count(1)",
	    "select \"Count\"(1)", "select pg_catalog . query_to_xml ('select 1')",
	    "insert into t (a) values (f(1))", "insert into t select f(1)",
	    "insert into t (select f(1))", "insert into t as x (a) (select 1) returning f(1)",
	    "insert into t (a) (select 1) returning f(a)",
	    "insert into t default values returning f()", "with a(n) as (select f(1)) select 1",
	    "with a as (select 1) select f(1)", "with a as (select 1) (select 2) order by f(1)",
	    "with a as (values (1)) delete from t where f(a)", "select 1 from f(1) as x(a)",
	    "update t set a = f(1)", "delete from t using f(1) as x(y)",
	    "copy (select f(1)) to stdout", "copy t (a) from stdin where f(a)",
	    "create table t as select f(1)", "explain analyze select f(1)", "do $$ begin end $$",
	    "select load(1)", "declare c cursor for select f(1)",
	    "select a, f(b) from (values (1)) as v(b)"};
	struct sql_scan s;
	size_t i, cut, len;

	(void)state;
	sql_init(&s);
	for (i = 0; i < COUNT(no) + COUNT(yes); i++) {
		const char *text = i < COUNT(no) ? no[i] : yes[i - COUNT(no)];
		len = strlen(text);
		for (cut = 0; cut <= len; cut++) {
			sql_begin(&s, 0);
			sql_feed(&s, text, cut);
			sql_feed(&s, text + cut, len - cut);
			if (((sql_end(&s)->flags & SQL_F_CALLS) != 0) != (i >= COUNT(no)))
				fail_msg("%s, cut at %zu", text, cut);
		}
	}
	sql_fini(&s);
}

static void
settings(void **state)
{
	static const struct pair cases[] = {
	    {"set work_mem to '64MB'", "1 set; 0:set sets work_mem=[64MB]"},
	    {"SET Work_Mem = 64", "1 set; 0:set sets work_mem=[64]"},
	    {"set session a.B = c", "1 set; 0:set sets a.b=[c]"},
	    {"set local a = 'b'", "1 set; 0:set sets local a=[b]"},
	    {"set a=-1.5e-3", "1 set; 0:set sets a=[-1.5e-3]"},
	    {"set a to on", "1 set; 0:set sets a=[on]"},
	    {"set a to default", "1 set; 0:set resets a"},
	    {"set a = 'it''s'", "1 set; 0:set sets a=[it's]"},
	    {"set a = e'x\\'y\\n'", "1 set; 0:set sets a=[x'y\n]"},
	    {"set a = E'\\x41'", "1 set; 0:set unsure a"},
	    {"set a = 'x'\n  'y'", "1 set; 0:set sets a=[xy]"},
	    {"set search_path to A, \"B c\", '$user', ''",
		"1 set; 0:set sets search_path=[a, \"B c\", \"$user\", \"\"]"},
	    {"set search_path = 'say \"x\"'", "1 set; 0:set sets search_path=[\"say \"\"x\"\"\"]"},
	    {"set datestyle to ISO, dmy", "1 set; 0:set sets datestyle=[iso, dmy]"},
	    {"set time zone 'UTC'", "1 set; 0:set sets timezone=[UTC]"},
	    {"set time zone -7", "1 set; 0:set sets timezone=[-7]"},
	    {"set time zone local", "1 set; 0:set resets timezone"},
	    {"set time zone interval '-08:00' hour to minute", "1 set; 0:set unsure timezone"},
	    {"set local time zone 'UTC'", "1 set; 0:set sets local timezone=[UTC]"},
	    {"set names 'latin1'", "1 set; 0:set sets client_encoding=[latin1]"},
	    {"set schema 'S'", "1 set; 0:set sets search_path=[\"S\"]"},
	    {"set role admin", "1 set; 0:set sets role=[admin]"},
	    {"set role \"Ad min\"", "1 set; 0:set sets role=[Ad min]"},
	    {"set role = 'x'", "1 set; 0:set sets role=[x]"},
	    {"set role none", "1 set; 0:set sets role=[none]"},
	    {"set local role x", "1 set; 0:set sets local role=[x]"},
	    {"reset role", "1 reset; 0:reset resets role"},
	    {"set session authorization x", "1 set; 0:set sets session_authorization=[x]"},
	    {"set session authorization default", "1 set; 0:set resets session_authorization"},
	    {"reset session authorization", "1 reset; 0:reset resets session_authorization"},
	    {"set session characteristics as transaction isolation level repeatable read, read "
	     "only,"
	     " not deferrable",
		"1 set; 0:set sets default_transaction_isolation=[repeatable read]; 0:set sets "
		"default_transaction_read_only=[on]; 0:set sets "
		"default_transaction_deferrable=[off]"},
	    {"set transaction read only", "1 set transaction"},
	    {"set constraints all deferred", "1 set transaction"},
	    {"set transaction_read_only = on",
		"1 set; 0:set sets local transaction_read_only=[on]"},
	    {"set xml option document", "1 set; 0:set sets xmloption=[document]"},
	    {"set session.a = 1", "1 set; 0:set sets session.a=[1]"},
	    {"set a from current", "1 set; 0:set unsure a"},
	    {"reset a.b", "1 reset; 0:reset resets a.b"},
	    {"reset all", "1 reset; 0:reset resets-all"},
	    {"reset time zone", "1 reset; 0:reset resets timezone"},
	    {"set", "1 set; 0:set unsure"},
	    {"set /* x */ a -- y\n = /* z */ b ; select 1", "2 set; 0:set sets a=[b]"},
	    {"update pg_settings set setting = 1 where name = 'x'",
		"1 update; 0:update unsure settings writes"},
	    {"update \"pg_catalog\".\"pg_settings\" set setting = 1 where name = 'x'",
		"1 update; 0:update unsure settings writes"},
	};

	(void)state;
	check_all(0, cases, COUNT(cases));
}

static void
set_config(void **state)
{
	static const struct pair cases[] = {
	    {"select set_config('A.b', 'x', false)", "1 select; 0:select sets a.b=[x] settings"},
	    {"SELECT pg_catalog.set_config('search_path', '', false);",
		"1 select; 0:select sets search_path=[] settings"},
	    {"select set_config('a','b',true), set_config('c','d','f'::bool)",
		"1 select; 0:select sets local a=[b] settings; 0:select sets c=[d] settings"},
	    {"select set_config($1, $2, false)", "1 select; 0:select unsure settings param"},
	    {"select set_config('a', $1, true)",
		"1 select; 0:select unsure local a settings param"},
	    {"select set_config('a', 'b' || 'c', false)", "1 select; 0:select unsure a settings"},
	    {"select set_config('a', f('c', 'd'), false)",
		"1 select; 0:select unsure a calls settings"},
	    {"select set_config('a', 'b', false) from t",
		"1 select; 0:select unsure a=[b] settings"},
	    {"select set_config('a'::text, 'b'::text, 'false') as x",
		"1 select; 0:select sets a=[b] settings"},
	    {"select \"set_config\"('a', 'b', false)", "1 select; 0:select sets a=[b] settings"},
	    {"insert into t select set_config('a', 'b', false)",
		"1 insert; 0:insert unsure a=[b] settings writes"},
	    {"select case when true then set_config('a','b',false) end",
		"1 select; 0:select unsure a=[b] settings"},
	};

	(void)state;
	check_all(0, cases, COUNT(cases));
}

static void
session_things(void **state)
{
	static const struct pair cases[] = {
	    {"discard all", "1 discard; 0:discard discards all"},
	    {"DISCARD TEMP", "1 discard; 0:discard discards temp"},
	    {"prepare P (int) as select $1", "1 prepare; 0:prepare prepares p calls param"},
	    {"execute \"P q\"(1)", "1 execute; 0:execute executes P q calls"},
	    {"explain analyze execute p", "1 explain; 0:explain executes p"},
	    {"create table t as execute p(1)", "1 create; 0:create executes p calls"},
	    {"create trigger t before insert on x for each row execute function f()",
		"1 create writes"},
	    {"deallocate p", "1 deallocate; 0:deallocate deallocates p"},
	    {"deallocate prepare p", "1 deallocate; 0:deallocate deallocates p"},
	    {"deallocate prepare all", "1 deallocate; 0:deallocate deallocates"},
	    {"declare C cursor with hold for select 1", "1 declare; 0:declare declares c hold"},
	    {"declare c cursor without hold for select 1", "1 declare; 0:declare declares c"},
	    {"close c", "1 close; 0:close closes c"},
	    {"close all", "1 close; 0:close closes"},
	    {"listen Ch", "1 listen; 0:listen listens ch"},
	    {"unlisten *", "1 unlisten; 0:unlisten unlistens"},
	    {"unlisten ch", "1 unlisten; 0:unlisten unlistens ch"},
	    {"load 'x'", "1 load; 0:load loads"},
	    {"create temp table t (a int)", "1 create; 0:create temp"},
	    {"create local temporary sequence s", "1 create; 0:create temp"},
	    {"create or replace temp view v as select 1", "1 create; 0:create temp"},
	    {"create temp table t (a int) on commit drop", "1 create; 0:create temp at-commit"},
	    {"create table pg_temp.t (a int)", "1 create; 0:create temp"},
	    {"create table \"pg_temp\".\"t\" (a int)", "1 create; 0:create temp"},
	    {"create table \"PG_TEMP\".t (a int)", "1 create"},
	    {"create table \"pg_temp\"\"\".t (a int)", "1 create"},
	    {"select 1 into \"pg_temp\".t", "1 select; 0:select temp"},
	    {"select 1 into temp t", "1 select; 0:select temp"},
	    {"select 1 into local temp t", "1 select; 0:select temp"},
	    {"select 1 into/**/global -- x\ntemporary table t", "1 select; 0:select temp"},
	    {"select local temp", "1 select"},
	    {"select 1 from local temp", "1 select"},
	    {"select 1 into table temp_x", "1 select"},
	    {"insert into temp values (1)", "1 insert writes"},
	    {"select pg_advisory_lock(1)", "1 select; 0:select advisory"},
	    {"select pg_try_advisory_lock(1,2)", "1 select; 0:select advisory"},
	    {"select pg_advisory_xact_lock(1)", "1 select"},
	    {"select pg_advisory_unlock_all()", "1 select; 0:select unlock"},
	    {"select setseed(0.5)", "1 select; 0:select seed"},
	    {"select currval('s'), lastval()", "1 select; 0:select sequence"},
	    {"select 'pg_advisory_lock(1)', \"setseed\", lastval", "1 select"},
	    {"select dblink_connect('a')", "1 select; 0:select keeps"},
	};

	(void)state;
	check_all(0, cases, COUNT(cases));
}

/* Each text has a SET at its end or in its middle that only a wrong reader sees or overlooks. */
static void
borders(void **state)
{
	static const struct pair cases[] = {
	    {"select ';set a=1;'", "1 select"},
	    {"select 'a''; set a=1;'", "1 select"},
	    {"select 'a\\'; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select e'a\\'; set a=1'", "1 select"},
	    {"select E'a\\\\'; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select e'a\\''\n'b\\'; set a=1'", "1 select"},
	    {"select e'a' 'b\\'; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select 'a' -- c\n 'b\\'; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select ne'a\\'; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select n'a\\'; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select b'01'; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select u&'a\\'; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select u & 'a'; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select \"a\"\";\"; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select $$;set a=1;$$", "1 select"},
	    {"select $a$;$b$;$$;$a; $a$; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select $a$$a$a$; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select $a$ $a $a$; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select x$a$;set a=1", "2 select; 1:set sets a=[1]"},
	    {"select $1$;set a=1", "2 select param; 1:set sets a=[1]"},
	    {"select $e'\\'; set a=1'", "1 select"},
	    {"select 1 -- ; set a=1", "1 select"},
	    {"select 1 --x\r; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select 1 - - 2; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select 1 /* ; set /* ; */ ; */; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select 1 /*/ ; */; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select 1 / 2; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select 1 /**/; set a=1", "2 select; 1:set sets a=[1]"},
	    {"select 1 /***/; set a=1", "2 select; 1:set sets a=[1]"},
	    {"create rule r as on insert to t do also (set a=1; set b=1); set c=1",
		"2 create writes; 1:set sets c=[1]"},
	    {"create function f() returns int begin atomic select 1; select case when true then 1 "
	     "end; end; set a=1",
		"2 create; 1:set sets a=[1]"},
	    {"create or replace procedure f() language sql begin atomic set a=1; end; set b=1",
		"2 create; 1:set sets b=[1]"},
	    {"create function f() returns int as 'begin atomic' language sql; set a=1",
		"2 create; 1:set sets a=[1]"},
	    {"create table begin_atomic (a int); set a=1", "2 create; 1:set sets a=[1]"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		char want[256];
		const char *flag = strstr(cases[i].want, " param; ");
		snprintf(want, sizeof(want), "%s", cases[i].want);
		if (flag != NULL) { /* shown without facts only */
			size_t n = (size_t)(flag - cases[i].want);
			snprintf(want + n, sizeof(want) - n, "%s", flag + strlen(" param"));
		}
		flag = strstr(want, " writes; ");
		if (flag != NULL)
			memmove(want + (flag - want), flag + 7, strlen(flag + 7) + 1);
		check(0, cases[i].text, want);
	}
}

static void
modes(void **state)
{
	(void)state;
	check(SQL_BACKSLASH, "select 'a\\'; set a=1'", "1 select");
	check(SQL_BACKSLASH, "select n'a\\'; set a=1'", "1 select");
	check(SQL_BACKSLASH, "set a = 'b\\'c'", "1 set; 0:set sets a=[b'c]");
	check(SQL_BACKSLASH, "select b'a\\'; set a=1", "2 select; 1:set sets a=[1]");
	/* 0x95 0x5c is one character of SJIS. */
	check(SQL_ASCII_TRAILS, "select e'\x95\\'; set a=1", "2 select; 1:set sets a=[1]");
	check(SQL_ASCII_TRAILS, "select e'\\\x95\\'; set a=1", "2 select; 1:set sets a=[1]");
	check(0, "select e'\x95\\'; set a=1", "1 select");
	/* ... and 0x95 0x7c: what follows it belongs to the same word. */
	check(SQL_ASCII_TRAILS, "select \x95|e'\\'; set a=1", "2 select; 1:set sets a=[1]");
}

static void
places(void **state)
{
	static const char text[] = "select 1; prepare \"p q\" (int) as select $1 ; execute p(1);";
	struct sql_scan s;
	const struct sql_facts *f;

	(void)state;
	sql_init(&s);
	sql_begin(&s, 0);
	sql_feed(&s, text, 30);
	sql_feed(&s, text + 30, strlen(text) - 30);
	f = sql_end(&s);
	assert_int_equal(f->n, 2);
	assert_int_equal(f->v[0].at, 10);
	assert_int_equal(f->v[0].name_at, 18);
	assert_int_equal(f->v[0].name_end, 23);
	assert_memory_equal(text + f->v[0].body_at, " select $1", 10);
	assert_int_equal(f->v[0].end, strstr(text, " ; execute") - text);
	assert_true(f->v[0].quoted);
	assert_false(f->v[1].quoted);
	assert_memory_equal(text + f->v[1].at, "execute p(1)", f->v[1].end - f->v[1].at);
	sql_fini(&s);
}

static void
long_things(void **state)
{
	size_t n = 100000;
	char *text = malloc(n + 64);
	struct sql_scan s;
	const struct sql_facts *f;

	(void)state;
	assert_non_null(text);
	sql_init(&s);
	memcpy(text, "set a = '", 9);
	memset(text + 9, 'x', n);
	memcpy(text + 9 + n, "'", 2);
	sql_begin(&s, 0);
	sql_feed(&s, text, 5000);
	sql_feed(&s, text + 5000, strlen(text) - 5000);
	f = sql_end(&s);
	assert_int_equal(f->n, 1);
	assert_int_equal(strlen(sql_value(f, &f->v[0])), n);
	/* A name longer than the server keeps. */
	memcpy(text, "listen ", 7);
	memset(text + 7, 'Y', n);
	text[7 + n] = '\0';
	sql_begin(&s, 0);
	sql_feed(&s, text, 5000);
	sql_feed(&s, text + 5000, strlen(text) - 5000);
	f = sql_end(&s);
	assert_int_equal(strlen(sql_name(f, &f->v[0])), 63);
	/* A dollar quote's tag longer than we keep: said, not guessed. */
	memcpy(text, "select $", 8);
	memset(text + 8, 'y', 100);
	memcpy(text + 108, "$;$$", 5);
	sql_begin(&s, 0);
	sql_feed(&s, text, strlen(text));
	assert_true(sql_end(&s)->flags & SQL_F_LOST);
	sql_fini(&s);
	free(text);
}

/* Plain texts need no scanner; whatever may do something to the session is not plain. */
static void
plain(void **state)
{
	static const char *const yes[] = {"SELECT abalance FROM pgbench_accounts WHERE aid = 42;",
	    "select 1 + 2 ; \n", "update t set a = 1, b=a%3 where points < 5", "DELETE from t",
	    "select print, int4, page from t\n", "select 1", "select a -- x", "select 1 /* x */",
	    "select 'a', U", "select \"a\" from b where c = 'it''s' or d = E'\\n'",
	    "select $$a$$ from a_rather_long_name", "select a\xC3\xA9 where x like '%int o%p g_'",
	    "select a from b where c = 'd' order by e limit 10 offset 20 for update nowait",
	    "SELECT \"u\".\"id\" FROM \"users\" AS \"u\" WHERE a::int != -1 / 2"};
	static const char *const no[] = {"", "select", "selects ", "select 1; set a = 1",
	    "select a into temp t from b", "select a INTO\nt2 from b", "select*into t",
	    "update pg_settings set x = y", "UPDATE PG_Settings set x=y", "select f(1)",
	    "update \"pg_settings\" set x = y", "update U&\"\\0070g_settings\" set x = y",
	    "select \"a;b\"", "select 'a(b'", "select 1 /* into */", "set a = 1",
	    "insert into t values (1)", "select 1;;", "select *,into t from b", "select 1into t"};
	/* Wherever it is, at any length. */
	static const char *const words[] = {"INTO", "into", "pg_", "Pg_", "(", ";", "&"};
	char text[80];
	size_t w, len, at;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(sql_is_plain(yes[i], strlen(yes[i])));
	for (i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(sql_is_plain(no[i], strlen(no[i])));
	for (w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
		for (len = 12; len < sizeof(text); len++) {
			memcpy(text, "select ", 7);
			memset(text + 7, 'x', len - 7);
			assert_true(sql_is_plain(text, len));
			for (at = 7; at + strlen(words[w]) <= len; at++) {
				memset(text + 7, 'x', len - 7);
				memcpy(text + at, words[w], strlen(words[w]));
				if (sql_is_plain(text, len) &&
				    !(words[w][0] == ';' && at + 1 == len))
					fail_msg("%.*s", (int)len, text);
			}
		}
	}
}

static void
highest_parameter(void **state)
{
	static const struct {
		const char *text;
		uint32_t max;
	} cases[] = {{"select 1", 0}, {"select $1", 1}, {"select $2, $1", 2}, {"select $10+$9", 10},
	    {"select '$3', $2", 2}, {"select \"$3\", $1 -- $9\n/* $8 */", 1},
	    {"select $a$ $5 $a$, $4", 4}, {"select a$7, $3", 3}, {"select $65535", 65535},
	    {"select $65536", 65536}, {"select $99999999999999999999", 65536},
	    {"select $1; select $3", 3}};
	struct sql_scan s;
	size_t i, cut, len;

	(void)state;
	sql_init(&s);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		len = strlen(cases[i].text);
		for (cut = 0; cut <= len; cut++) {
			sql_begin(&s, 0);
			sql_feed(&s, cases[i].text, cut);
			sql_feed(&s, cases[i].text + cut, len - cut);
			if (sql_end(&s)->max_param != cases[i].max)
				fail_msg("%s cut at %zu: %u", cases[i].text, cut,
				    sql_end(&s)->max_param);
		}
	}
	sql_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(classes),
	    cmocka_unit_test(calls),
	    cmocka_unit_test(settings),
	    cmocka_unit_test(set_config),
	    cmocka_unit_test(session_things),
	    cmocka_unit_test(borders),
	    cmocka_unit_test(modes),
	    cmocka_unit_test(places),
	    cmocka_unit_test(long_things),
	    cmocka_unit_test(plain),
	    cmocka_unit_test(highest_parameter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

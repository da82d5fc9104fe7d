/*
 * test_prepared: named prepared statements in transaction mode look as they do without a pooler.
 * Scripted dialogues are held with PostgreSQL directly and through pgdrove with 4 workers and 2
 * backends, step by step, glued into one write, and byte by byte, while other clients prepare
 * statements of the same names with other texts; once with room for every statement on a backend,
 * once with room for two. What cannot be compared, a change of tables under shared statements, is
 * checked by itself.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/raw.h"
#include "tests/e2e/rig.h"

#define OTHERS 3

static struct pooler wide, narrow;
static struct target direct, roomy, tight;

#define Q(s, sql) put_msg(script_bytes(s), 'Q', "s", sql)
#define SYNC(s)	  put_msg(script_bytes(s), 'S', "")
#define FLUSH(s)  put_msg(script_bytes(s), 'H', "")

static void
parse(struct script *s, const char *name, const char *sql)
{
	put_msg(script_bytes(s), 'P', "ssh", name, sql, 0);
}

/* Text in, text out; `arg` may be NULL. */
static void
bind(struct script *s, const char *statement, const char *arg)
{
	if (arg == NULL)
		put_msg(script_bytes(s), 'B', "sshhh", "", statement, 0, 0, 0);
	else
		put_msg(
		    script_bytes(s), 'B', "sshhith", "", statement, 0, 1, (int)strlen(arg), arg, 0);
}

static void
execute(struct script *s)
{
	put_msg(script_bytes(s), 'E', "si", "", 0);
}

static void
describe(struct script *s, const char *name)
{
	put_msg(script_bytes(s), 'D', "bs", 'S', name);
}

static void
forget(struct script *s, const char *name)
{
	put_msg(script_bytes(s), 'C', "bs", 'S', name);
}

static void
run(struct script *s, const char *statement, const char *arg)
{
	bind(s, statement, arg);
	execute(s);
}

/* Statement and its Sync: a transaction of its own, perhaps on another backend than the last. */
static void
run_alone(struct script *s, const char *statement, const char *arg)
{
	run(s, statement, arg);
	SYNC(s);
	script_await(s, 'Z', 1);
}

/* --- the dialogues --------------------------------------------------------------------------- */

static void
reused(struct script *s)
{
	parse(s, "s1", "select 'mine', $1::int + 1");
	describe(s, "s1");
	SYNC(s);
	script_await(s, 'Z', 1);
	run_alone(s, "s1", "1");
	describe(s, "s1");
	run_alone(s, "s1", "2");
	Q(s, "select 'between'");
	script_await(s, 'Z', 1);
	run(s, "s1", "3");
	run(s, "s1", "x");
	run_alone(s, "s1", "4");
	run_alone(s, "s1", "5");
	forget(s, "s1");
	run_alone(s, "s1", "6");
}

static void
unknown(struct script *s)
{
	run_alone(s, "nosuch", NULL);
	describe(s, "nosuch");
	SYNC(s);
	forget(s, "nosuch");
	SYNC(s);
	script_await(s, 'Z', 2);
	run_alone(s, "pgdrove_none", NULL);
	run_alone(s, "pgdrove_00112233445566778899aabbccddeeff", NULL);
	forget(s, "pgdrove_none");
	describe(s, "pgdrove_");
	SYNC(s);
	Q(s, "select 'goes on'");
	script_await(s, 'Z', 2);
	run_alone(s, "", NULL);
}

/* A Parse behind an error never happened: the unnamed statement before it is there as it was. */
static void
skipped_unnamed(struct script *s)
{
	Q(s, "begin");
	script_await(s, 'Z', 1);
	parse(s, "", "delete from pg_am where oid = $1::int");
	run(s, "", "x");
	parse(s, "", "commit");
	SYNC(s);
	script_await(s, 'Z', 1);
	describe(s, "");
	SYNC(s);
	script_await(s, 'Z', 1);
	parse(s, "", "selekt");
	SYNC(s);
	script_await(s, 'Z', 1);
	describe(s, "");
	SYNC(s);
	Q(s, "rollback");
	script_await(s, 'Z', 2);
}

static void
duplicates(struct script *s)
{
	parse(s, "s1", "select 'first'");
	SYNC(s);
	script_await(s, 'Z', 1);
	parse(s, "s1", "select 'second'");
	run_alone(s, "s1", NULL);
	run_alone(s, "s1", NULL);
	parse(s, "s1", "selekt");
	SYNC(s);
	parse(s, "s1", "select 'first'");
	SYNC(s);
	script_await(s, 'Z', 2);
	parse(s, "s2", "select 'a'");
	parse(s, "s2", "select 'b'");
	SYNC(s);
	script_await(s, 'Z', 1);
	run_alone(s, "s2", NULL);
}

static void
parse_errors(struct script *s)
{
	parse(s, "bad", "select * frm t");
	run_alone(s, "bad", NULL);
	parse(s, "bad", "select nosuch from pg_class");
	run(s, "bad", NULL);
	SYNC(s);
	run_alone(s, "bad", NULL);
	parse(s, "bad", "select 1; select 2");
	SYNC(s);
	parse(s, "bad", "select 'good now'");
	SYNC(s);
	script_await(s, 'Z', 3);
	run_alone(s, "bad", NULL);
	describe(s, "bad");
	SYNC(s);
	script_await(s, 'Z', 1);
}

static void
pipelines(struct script *s)
{
	parse(s, "p1", "select 'p1', $1::int");
	SYNC(s);
	run(s, "p1", "1");
	SYNC(s);
	run(s, "p1", "2");
	forget(s, "p1");
	SYNC(s);
	run(s, "p1", "3");
	SYNC(s);
	parse(s, "p1", "select 'p1 again'");
	SYNC(s);
	run(s, "p1", NULL);
	SYNC(s);
	Q(s, "select 'simple'");
	run(s, "p1", NULL);
	parse(s, "p1", "select 'twice'");
	run(s, "p1", NULL);
	SYNC(s);
	run(s, "p1", NULL);
	SYNC(s);
	script_await(s, 'Z', 9);
}

static void
failing_pipelines(struct script *s)
{
	parse(s, "f1", "selekt");
	run(s, "f1", NULL);
	SYNC(s);
	run(s, "f1", NULL);
	SYNC(s);
	parse(s, "f1", "select 'f1'");
	parse(s, "f2", "select 1/0");
	run(s, "f2", NULL);
	parse(s, "f3", "select 'skipped'");
	forget(s, "f1");
	SYNC(s);
	run(s, "f1", NULL);
	SYNC(s);
	run(s, "f3", NULL);
	SYNC(s);
	run(s, "f2", NULL);
	SYNC(s);
	parse(s, "f3", "select 'f3'");
	SYNC(s);
	run(s, "f3", NULL);
	SYNC(s);
	script_await(s, 'Z', 8);
	run_alone(s, "f3", NULL);
}

static void
closing(struct script *s)
{
	parse(s, "c1", "select 'one'");
	forget(s, "c1");
	parse(s, "c1", "select 'two'");
	run_alone(s, "c1", NULL);
	forget(s, "c1");
	parse(s, "c1", "selekt");
	SYNC(s);
	script_await(s, 'Z', 1);
	run_alone(s, "c1", NULL);
	parse(s, "c1", "select 'three'");
	SYNC(s);
	run(s, "nosuch", NULL);
	forget(s, "c1");
	SYNC(s);
	script_await(s, 'Z', 2);
	run_alone(s, "c1", NULL);
}

static void
unnamed(struct script *s)
{
	parse(s, "", "select 'unnamed', $1::int");
	SYNC(s);
	script_await(s, 'Z', 1);
	describe(s, "");
	run_alone(s, "", "1");
	run_alone(s, "", "2");
	Q(s, "select 'drops it'");
	script_await(s, 'Z', 1);
	run_alone(s, "", "3");
	parse(s, "", "select 'next'");
	SYNC(s);
	parse(s, "", "selekt");
	SYNC(s);
	script_await(s, 'Z', 2);
	run_alone(s, "", NULL);
	parse(s, "", "select 'kept'");
	SYNC(s);
	run(s, "nosuch", NULL);
	parse(s, "", "select 'skipped'");
	SYNC(s);
	run(s, "", NULL);
	SYNC(s);
	script_await(s, 'Z', 3);
	run_alone(s, "", NULL);
	forget(s, "");
	run_alone(s, "", NULL);
	describe(s, "");
	SYNC(s);
	script_await(s, 'Z', 1);
}

static void
aborted(struct script *s)
{
	parse(s, "a1", "select 'a1'");
	parse(s, "rb", "rollback");
	parse(s, "a2", "select 'a2'");
	SYNC(s);
	Q(s, "begin");
	Q(s, "select 1/0");
	script_await(s, 'Z', 3);
	run_alone(s, "a1", NULL);
	parse(s, "a3", "select 'a3'");
	SYNC(s);
	parse(s, "a1", "select 'dup'");
	SYNC(s);
	describe(s, "a2");
	SYNC(s);
	run(s, "nosuch", NULL);
	SYNC(s);
	forget(s, "a2");
	SYNC(s);
	script_await(s, 'Z', 5);
	run_alone(s, "rb", NULL);
	run_alone(s, "a1", NULL);
	run_alone(s, "a2", NULL);
	run_alone(s, "a3", NULL);
}

static void
deallocate_all(struct script *s)
{
	parse(s, "d1", "select 'd1'");
	parse(s, "d2", "select 'd2'");
	SYNC(s);
	Q(s, "deallocate all");
	script_await(s, 'Z', 2);
	run_alone(s, "d1", NULL);
	parse(s, "d1", "select 'new'");
	parse(s, "d3", "deallocate all");
	SYNC(s);
	Q(s, "deallocate all");
	parse(s, "d1", "select 'newer'");
	SYNC(s);
	run(s, "d1", NULL);
	run(s, "d3", NULL);
	SYNC(s);
	script_await(s, 'Z', 4);
	run_alone(s, "d1", NULL);
	parse(s, "d4", "discard all");
	parse(s, "d5", "select 'd5'");
	SYNC(s);
	run(s, "d4", NULL);
	SYNC(s);
	run(s, "d5", NULL);
	SYNC(s);
	parse(s, "d5", "select 'd5 again'");
	run(s, "d5", NULL);
	SYNC(s);
	script_await(s, 'Z', 4);
	run_alone(s, "d5", NULL);
	parse(s, "d6", "deallocate all");
	run(s, "d6", NULL);
	parse(s, "d5", "select 'behind it'");
	run(s, "d5", NULL);
	SYNC(s);
	run(s, "d5", NULL);
	SYNC(s);
	script_await(s, 'Z', 2);
	run_alone(s, "d5", NULL);
	Q(s, "discard plans");
	script_await(s, 'Z', 1);
	run_alone(s, "d5", NULL);
}

static void
deallocate_one(struct script *s)
{
	parse(s, "one", "select 'one'");
	parse(s, "Two", "select 'two'");
	SYNC(s);
	Q(s, "deallocate nosuch");
	Q(s, "DEALLOCATE One;");
	Q(s, "deallocate prepare Two");
	script_await(s, 'Z', 4);
	run_alone(s, "one", NULL);
	run_alone(s, "Two", NULL);
	Q(s, "  deallocate \"Two\" ; ");
	Q(s, "deallocate \"Two\"");
	run(s, "Two", NULL);
	SYNC(s);
	parse(s, "one", "select 'again'");
	SYNC(s);
	Q(s, "begin; select 1/0");
	Q(s, "begin");
	Q(s, "select 1/0");
	Q(s, "deallocate one");
	Q(s, "rollback");
	run(s, "one", NULL);
	SYNC(s);
	script_await(s, 'Z', 10);
	run_alone(s, "one", NULL);
	Q(s, "deallocate all");
	script_await(s, 'Z', 1);
}

static void
long_names(struct script *s)
{
	static const char a[] = "n123456789012345678901234567890123456789012345678901234567890123a";
	static const char b[] = "n123456789012345678901234567890123456789012345678901234567890123b";
	static char huge[40000];

	memset(huge, 'h', sizeof(huge) - 1);
	parse(s, a, "select 'a'");
	SYNC(s);
	script_await(s, 'Z', 1);
	run_alone(s, a, NULL);
	run_alone(s, b, NULL);
	parse(s, huge, "select 'huge'");
	SYNC(s);
	script_await(s, 'Z', 1);
	run_alone(s, huge, NULL);
	run_alone(s, "no", NULL);
}

static void
big_statements(struct script *s)
{
	static char sql[600000];
	size_t n = sizeof(sql) - 64;

	memset(sql, ' ', n);
	memcpy(sql, "select length('", 15);
	memcpy(sql + n, "'), $1::text", 13);
	parse(s, "big", sql);
	describe(s, "big");
	SYNC(s);
	script_await(s, 'Z', 1);
	run_alone(s, "big", "x");
	sql[20] = 'y';
	parse(s, "big2", sql);
	run(s, "big", "y");
	run_alone(s, "big2", "z");
	run_alone(s, "big", "z");
	parse(s, "", sql);
	SYNC(s);
	script_await(s, 'Z', 1);
	run_alone(s, "", "u");
	parse(s, "big", sql);
	SYNC(s);
	script_await(s, 'Z', 1);
	memset(sql, 'v', 100000);
	sql[100000] = '\0';
	run_alone(s, "big", sql);
}

static void
portals(struct script *s)
{
	parse(s, "g", "select generate_series(1, $1::int)");
	SYNC(s);
	Q(s, "begin");
	script_await(s, 'Z', 2);
	put_msg(script_bytes(s), 'B', "sshhith", "p", "g", 0, 1, 1, "5", 0);
	put_msg(script_bytes(s), 'D', "bs", 'P', "p");
	put_msg(script_bytes(s), 'E', "si", "p", 2);
	FLUSH(s);
	script_await(s, 's', 1);
	forget(s, "g");
	put_msg(script_bytes(s), 'E', "si", "p", 2);
	SYNC(s);
	script_await(s, 'Z', 1);
	put_msg(script_bytes(s), 'E', "si", "p", 0);
	put_msg(script_bytes(s), 'C', "bs", 'P', "p");
	SYNC(s);
	Q(s, "commit");
	script_await(s, 'Z', 2);
	run_alone(s, "g", "1");
}

static void
types(struct script *s)
{
	put_msg(script_bytes(s), 'P', "sshi", "t1", "select $1", 1, 23);
	put_msg(script_bytes(s), 'P', "sshi", "t2", "select $1", 1, 25);
	parse(s, "t3", "select $1");
	describe(s, "t1");
	describe(s, "t2");
	describe(s, "t3");
	SYNC(s);
	script_await(s, 'Z', 1);
	run_alone(s, "t1", "1");
	run_alone(s, "t2", "x");
	run_alone(s, "t3", "x");
	run_alone(s, "t1", "x");
}

static void
copies(struct script *s)
{
	parse(s, "in", "copy copied from stdin");
	parse(s, "out", "copy (select 'out') to stdout");
	parse(s, "clear", "delete from copied");
	SYNC(s);
	script_await(s, 'Z', 1);
	run(s, "in", NULL);
	SYNC(s);
	script_await(s, 'G', 1);
	put_msg(script_bytes(s), 'd', "t", "1\n2\n");
	put_msg(script_bytes(s), 'c', "");
	SYNC(s);
	script_await(s, 'Z', 1);
	run(s, "out", NULL);
	run_alone(s, "clear", NULL);
	run(s, "in", NULL);
	FLUSH(s);
	script_await(s, 'G', 1);
	put_msg(script_bytes(s), 'f', "s", "why");
	run_alone(s, "out", NULL);
	run(s, "in", NULL);
	FLUSH(s);
	script_await(s, 'G', 1);
	put_msg(script_bytes(s), 'd', "t", "x\n");
	put_msg(script_bytes(s), 'c', "");
	run_alone(s, "out", NULL);
	run_alone(s, "out", NULL);
}

static void
settings(struct script *s)
{
	Q(s, "set datestyle = 'German'");
	script_await(s, 'Z', 1);
	parse(s, "date", "select date '01.02.2003', '03.04.2005'::date");
	SYNC(s);
	script_await(s, 'Z', 1);
	run_alone(s, "date", NULL);
	run_alone(s, "date", NULL);
	Q(s, "reset datestyle");
	script_await(s, 'Z', 1);
}

static void
many(struct script *s)
{
	char name[16], sql[64];
	int i, round;

	for (i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		snprintf(sql, sizeof(sql), "select 'm', %d", i);
		parse(s, name, sql);
	}
	SYNC(s);
	script_await(s, 'Z', 1);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 12; i++) {
			snprintf(name, sizeof(name), "m%d", i);
			run(s, name, NULL);
		}
		SYNC(s);
		for (i = 0; i < 12; i += 5) {
			snprintf(name, sizeof(name), "m%d", i);
			run(s, name, NULL);
			SYNC(s);
		}
		script_await(s, 'Z', 4);
	}
}

static const struct {
	const char *name;
	void (*make)(struct script *);
} scripts[] = {
    {"reused", reused},
    {"unknown names", unknown},
    {"duplicates", duplicates},
    {"an unnamed statement behind an error", skipped_unnamed},
    {"errors in Parse", parse_errors},
    {"pipelines", pipelines},
    {"pipelines that fail", failing_pipelines},
    {"closing", closing},
    {"unnamed", unnamed},
    {"in an aborted block", aborted},
    {"DEALLOCATE ALL, DISCARD", deallocate_all},
    {"DEALLOCATE of one", deallocate_one},
    {"long names", long_names},
    {"big statements", big_statements},
    {"portals", portals},
    {"types", types},
    {"COPY", copies},
    {"settings", settings},
    {"many", many},
};
#define NSCRIPTS (sizeof(scripts) / sizeof(scripts[0]))

/* --- running --------------------------------------------------------------------------------- */

static const char *const paces[] = {"steps", "glued", "bytes"};

/* Where in its source the server found an error depends on the message: an aborted block refuses a
 * Parse of ours in a Bind's place. */
static char *
without_places(char *text)
{
	char *line, *place;

	for (line = text; (line = strstr(line, "\nE S")) != NULL; line++) {
		place = strstr(line, "\\00F");
		if (place != NULL)
			memmove(place, strchr(place, '\n'), strlen(strchr(place, '\n')) + 1);
	}
	return text;
}

static void
run_script_as(size_t i, enum pace pace)
{
	struct script s = {.name = scripts[i].name};
	const struct target *targets[] = {&roomy, &tight};
	char *wanted, *got;
	size_t t, total = 0;
	int k;

	scripts[i].make(&s);
	for (k = 0; k < s.nsteps; k++)
		total += s.step[k].send.len;
	if (pace == PACE_BYTES && total > 20000) {
		script_free(&s);
		return;
	}
	wanted = without_places(script_run(&s, &direct, pace));
	for (t = 0; t < 2; t++) {
		got = without_places(script_run(&s, targets[t], pace));
		check_text(got, wanted, "%s: %s, %s", s.name, targets[t]->name, paces[pace]);
		free(got);
	}
	free(wanted);
	script_free(&s);
}

/* Others use the same names for other texts, on all backends. Ends with its parent. */
static void
interfere(const struct target *t, int me)
{
	struct raw r;
	struct bytes b = {0};
	struct msg m;
	char sql[64];
	unsigned int n;

	if (!raw_open(&r, t) || !raw_login(&r, t))
		_exit(1);
	for (n = 0; getppid() != 1; n++) {
		static const char *const names[] = {"s1", "p1", "c1", "", "d1", "m1", "t1"};
		const char *name = names[n % 7];
		snprintf(sql, sizeof(sql), "select 'other %d', %u", me, n % 50);
		put_msg(&b, 'C', "bs", 'S', name);
		put_msg(&b, 'P', "ssh", name, sql, 0);
		put_msg(&b, 'S', "");
		put_msg(&b, 'B', "sshhh", "", name, 0, 0, 0);
		put_msg(&b, 'E', "si", "", 0);
		put_msg(&b, 'S', "");
		if (n % 11 == 0)
			put_msg(&b, 'Q', "s", "deallocate all");
		else if (n % 13 == 0)
			put_msg(&b, 'Q', "s", "select 1/0");
		else
			put_msg(&b, 'Q', "s", "set datestyle = 'SQL, MDY'");
		if (!raw_put(&r, &b))
			_exit(1);
		for (int ready = 0; ready < 3;) {
			if (raw_next(&r, &m, 20000) != RAW_MSG)
				_exit(1);
			ready += m.type == 'Z';
			/* It must be our own row. */
			if (m.type == 'D' && (m.len < 13 || m.body[12] != '0' + me))
				_exit(2);
		}
	}
	_exit(0);
}

static void
target_of(struct target *t, const char *name, int port)
{
	*t = (struct target){name, "127.0.0.1", port, "postgres", "app"};
}

/* --- tables that change ---------------------------------------------------------------------- */

/* Sends, and frees what it sent: the last error's code, or the number of columns of the last row.
 */
static const char *
outcome(struct raw *r, struct bytes *b, int ready)
{
	static char text[16];
	struct msg m;
	bool sent = raw_put(r, b);

	snprintf(text, sizeof(text), "nothing");
	bytes_free(b);
	if (!sent)
		return "gone";
	while (ready > 0 && raw_next(r, &m, 20000) == RAW_MSG) {
		if (m.type == 'E')
			snprintf(text, sizeof(text), "%s", error_field(&m, 'C'));
		if (m.type == 'D')
			snprintf(text, sizeof(text), "%d columns", m.body[0] << 8 | m.body[1]);
		ready -= m.type == 'Z';
	}
	return ready > 0 ? "late" : text;
}

static const char *
run_named(struct raw *r, bool prepare)
{
	struct bytes b = {0};

	if (prepare)
		put_msg(&b, 'P', "ssh", "st", "select * from changing", 0);
	put_msg(&b, 'B', "sshhh", "", "st", 0, 0, 0);
	put_msg(&b, 'E', "si", "", 0);
	put_msg(&b, 'S', "");
	return outcome(r, &b, 1);
}

/* Past the poolers. */
static void
here(const char *sql)
{
	struct raw r;

	check(raw_open(&r, &direct) && raw_login(&r, &direct) && raw_query(&r, sql), "%s", sql);
	raw_close(&r);
}

/* Clients that prepare after a change see the table as it is, whatever the backends have. */
static void
changing_tables(const struct target *t)
{
	struct raw old = {.fd = -1}, later[4], ddl = {.fd = -1};
	int i, bad = 0;

	here("drop table if exists changing");
	here("create table changing (a int)");
	here("insert into changing values (1)");
	if (!check(
		raw_open(&old, t) && raw_login(&old, t) && raw_open(&ddl, t) && raw_login(&ddl, t),
		"%s: changing tables: logged in", t->name))
		return;
	check_text(run_named(&old, true), "1 columns", "%s: before the change", t->name);
	for (i = 0; i < 10; i++)
		(void)run_named(&old, false);
	check(raw_query(&ddl, "alter table changing add column b int"), "%s: ALTER TABLE", t->name);
	for (i = 0; i < 4; i++) {
		if (!raw_open(&later[i], t) || !raw_login(&later[i], t) ||
		    strcmp(run_named(&later[i], true), "2 columns") != 0)
			bad++;
	}
	for (i = 0; i < 40; i++)
		bad += strcmp(run_named(&later[i % 4], false), "2 columns") != 0;
	check(bad == 0, "%s: prepared after the change: the new columns, %d wrong", t->name, bad);
	here("alter table changing add column c int"); /* no pooler sees that */
	for (i = 0, bad = 0; i < 4; i++) {
		struct bytes b = {0};
		put_msg(&b, 'C', "bs", 'S', "st");
		put_msg(&b, 'S', "");
		(void)outcome(&later[i], &b, 1);
		(void)run_named(&later[i], true); /* the first one on a backend may fail, once */
	}
	for (i = 0; i < 40; i++)
		bad += strcmp(run_named(&later[i % 4], false), "3 columns") != 0;
	check(bad <= 2, "%s: changed past the pooler: once per backend at most, %d", t->name, bad);
	for (i = 0; i < 4; i++)
		raw_close(&later[i]);
	raw_close(&old);
	raw_close(&ddl);
}

/* --- the same text elsewhere ------------------------------------------------------------------ */

/* The first column of the only row, as a number. */
static int
number(struct raw *r, const char *sql)
{
	struct bytes b = {0};
	struct msg m = {0};
	char text[16] = "";

	put_msg(&b, 'Q', "s", sql);
	if (!raw_put(r, &b))
		return -1;
	bytes_free(&b);
	while (m.type != 'Z' && raw_next(r, &m, 20000) == RAW_MSG)
		if (m.type == 'D' && m.len > 6 && m.len - 6 < sizeof(text))
			memcpy(text, m.body + 6, m.len - 6);
	return atoi(text);
}

/* Prepares `st` in a transaction: the backend's pid. */
static int
prepare_there(struct raw *r, const char *sql)
{
	struct bytes b = {0};
	int pid;

	(void)raw_query(r, "begin");
	put_msg(&b, 'P', "ssh", "st", sql, 0);
	put_msg(&b, 'S', "");
	(void)outcome(r, &b, 1);
	pid = number(r, "select pg_backend_pid()");
	(void)raw_query(r, "commit");
	return pid;
}

/* The type of the parameter of `st` that Describe tells. */
static int
described_type(struct raw *r)
{
	struct bytes b = {0};
	struct msg m = {0};
	int type = -1;

	put_msg(&b, 'D', "bs", 'S', "st");
	put_msg(&b, 'S', "");
	if (!raw_put(r, &b))
		return -1;
	bytes_free(&b);
	while (m.type != 'Z' && raw_next(r, &m, 20000) == RAW_MSG)
		if (m.type == 't' && m.len == 6)
			type = m.body[4] << 8 | m.body[5];
	return type;
}

/* A client that prepares it is told its parameter's type on the backend that has not prepared it,
 * while others keep the one that has. */
static int
type_elsewhere(const struct target *t, const char *sql)
{
	struct raw r, holder[2];
	int pid, type = -1, i;

	if (raw_login(&r, t) && raw_login(&holder[0], t) && raw_login(&holder[1], t)) {
		pid = prepare_there(&r, sql);
		(void)raw_query(&holder[0], "begin");
		if (number(&holder[0], "select pg_backend_pid()") != pid) {
			(void)raw_query(&holder[1], "begin");
			(void)raw_query(&holder[0], "rollback");
		}
		type = described_type(&r);
	}
	for (i = 0; i < 2; i++)
		raw_close(&holder[i]);
	raw_close(&r);
	return type;
}

#define LEARNERS (3 * POOLER_WORKERS) /* so many that every worker hears of a statement */

static void
learn(struct raw r[LEARNERS], const char *sql)
{
	int i;

	for (i = 0; i < LEARNERS; i++)
		if (raw_login(&r[i], &roomy))
			(void)prepare_there(&r[i], sql);
}

static void
learners_leave(struct raw r[LEARNERS])
{
	int i;

	for (i = 0; i < LEARNERS; i++)
		raw_close(&r[i]);
}

static const char known[] = "delete from known where a = $1";

/* What Describe tells is remembered with the text: of its own database, and as it is now. */
static void
same_text_elsewhere(void)
{
	struct target other = roomy;
	struct raw first[LEARNERS], ddl;

	other.db = "other";
	here("create table known (a int)");
	learn(first, known);
	if (!check(raw_login(&ddl, &other), "the same text elsewhere: logged in"))
		return;
	(void)raw_query(&ddl, "create table known (a bigint)");
	check(type_elsewhere(&other, known) == 20, "another database's table: its own type");
	(void)raw_query(&ddl, "alter table known alter a type text");
	check(type_elsewhere(&other, known) == 25, "prepared after ALTER TABLE: the new type");
	check(type_elsewhere(&roomy, known) == 23, "the first database's type is what it was");
	learners_leave(first);
	raw_close(&ddl);
}

/* --- limits ---------------------------------------------------------------------------------- */

static const char *
prepare_some(struct raw *r, int from, int to)
{
	struct bytes b = {0};
	char name[16], sql[48];
	int i;

	for (i = from; i < to; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		snprintf(sql, sizeof(sql), "select %d", i);
		put_msg(&b, 'P', "ssh", name, sql, 0);
	}
	put_msg(&b, 'B', "sshhh", "", "l0", 0, 0, 0);
	put_msg(&b, 'E', "si", "", 0);
	put_msg(&b, 'S', "");
	return outcome(r, &b, 1);
}

static void
limits(void)
{
	struct raw r;
	struct bytes b = {0};

	if (!check(raw_open(&r, &tight) && raw_login(&r, &tight), "limits: logged in"))
		return;
	check_text(prepare_some(&r, 0, 30), "1 columns", "limits: as many as allowed");
	check_text(prepare_some(&r, 30, 31), "53400", "limits: one more is refused");
	check_text(prepare_some(&r, 0, 0), "1 columns", "limits: the session goes on");
	put_msg(&b, 'C', "bs", 'S', "l7");
	put_msg(&b, 'S', "");
	(void)outcome(&r, &b, 1);
	check_text(prepare_some(&r, 30, 31), "1 columns", "limits: after a Close there is room");
	raw_close(&r);
	check(atoi(admin("select count(*) from pg_prepared_statements")) == 0,
	    "limits: none is here");
	check(pooler_get(&narrow, "pool.app.postgres.stmts_evicted") > 0,
	    "limits: some were evicted");
}

/* The types of what comes, up to `last`. */
static const char *
types_to(struct raw *r, char last)
{
	static char types[64];
	struct msg m = {0};
	size_t n = 0;

	while (n < sizeof(types) - 1 && m.type != last && raw_next(r, &m, 10000) == RAW_MSG)
		types[n++] = m.type;
	types[n] = '\0';
	return types;
}

#define LONG 100000U /* more than buffers hold */

/* Both backends have no role, whatever they had. */
static void
no_role(struct raw others[2])
{
	int i;

	for (i = 0; i < 2; i++)
		check(raw_query(&others[i], "begin"), "another has a backend");
	for (i = 0; i < 2; i++)
		(void)raw_query(&others[i], "commit");
}

/* What comes behind a Parse without a Sync, of a client whose settings the backend refuses: neither
 * is run, and the client waits for no more than the request's end. */
static void
refused_unsynced(void)
{
	static char text[LONG];
	struct bytes parse = {0}, query = {0}, call = {0}, longer = {0};
	struct raw r, others[2];
	const struct {
		const char *name;
		const struct bytes *request;
		size_t early; /* so much is sent with the Parse */
		size_t late;  /* so far when that is refused; the rest a while later */
	} cases[] = {
	    {"refused: Parse, Query", &query, SIZE_MAX, SIZE_MAX},
	    {"refused: Parse; Query", &query, 0, SIZE_MAX},
	    {"refused: Parse; half a Query; the rest", &query, 0, 20},
	    {"refused: Parse; FunctionCall", &call, 0, SIZE_MAX},
	    {"refused: Parse, half a FunctionCall; the rest", &call, 8, 8},
	    {"refused: Parse, half a long Query; the rest", &longer, LONG / 2, LONG / 2},
	    {"refused: Parse; half a long Query; the rest", &longer, 0, LONG / 2},
	};
	size_t i, early, late;
	struct msg m;

	snprintf(text, sizeof(text), "insert into copied values (-7) -- %0*d", (int)LONG - 64, 0);
	put_msg(&parse, 'P', "ssh", "", "insert into copied values (-7)", 0);
	put_msg(&query, 'Q', "s", "insert into copied values (-7)");
	put_msg(&call, 'F', "ihhh", 1299, 0, 0, 0); /* now() */
	put_msg(&longer, 'Q', "s", text);
	if (!check(raw_open(&r, &roomy) && raw_login(&r, &roomy) && raw_open(&others[0], &roomy) &&
		       raw_login(&others[0], &roomy) && raw_open(&others[1], &roomy) &&
		       raw_login(&others[1], &roomy),
		"refused: three clients"))
		return;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct bytes *request = cases[i].request;

		early = cases[i].early < request->len ? cases[i].early : request->len;
		late = cases[i].late < request->len ? cases[i].late : request->len;
		(void)admin("create role doomed");
		check(raw_query(&r, "set role doomed"), "%s", cases[i].name);
		no_role(others);
		(void)admin("drop role doomed");
		(void)raw_send(&r, parse.p, parse.len);
		(void)raw_send(&r, request->p, early);
		check_text(types_to(&r, 'E'), "E", "... Parse is told");
		(void)raw_send(&r, request->p + early, late - early);
		check(late == request->len || raw_next(&r, &m, 100) == RAW_LATE,
		    "... no end comes before all of the request is there");
		(void)raw_send(&r, request->p + late, request->len - late);
		check_text(types_to(&r, 'Z'), "Z", "... the request has an end");
		(void)admin("create role doomed");
		check(raw_query(&r, "reset role"), "... the session goes on");
		(void)admin("drop role doomed");
	}
	for (i = 0; i < 2; i++)
		raw_close(&others[i]);
	check(raw_query(&r, "select 1 / (case when exists (select 1 from copied where a = -7) then "
			    "0 else 1 end)"),
	    "refused: nothing was run");
	raw_close(&r);
	bytes_free(&parse);
	bytes_free(&query);
	bytes_free(&call);
	bytes_free(&longer);
}

static const char *
configuration(const char *more, const char *databases)
{
	static char conf[1024];

	snprintf(conf, sizeof(conf),
	    "pool_mode = \"transaction\"; pool_size = 2; log_connections = false; "
	    "log_disconnections = false; %s\n"
	    "databases = ( %s { name = \"*\"; host = \"127.0.0.1\"; port = %d; } );\n"
	    "users = ( { name = \"postgres\"; } );",
	    more, databases, rig.pg_port);
	return conf;
}

static bool
start(struct pooler *p, const char *name, const char *more)
{
	return pooler_start(p, name, configuration(more, ""));
}

/* A database's name leads to another one, where the same text means another table. */
static void
name_of_another(void)
{
	struct raw first[LEARNERS];
	int i, behind = 0;
	char database[128];

	learn(first, known);
	snprintf(database, sizeof(database),
	    "{ name = \"app\"; dbname = \"other\"; host = \"127.0.0.1\"; port = %d; },",
	    rig.pg_port);
	check(type_elsewhere(&roomy, known) == 23, "before a reload: the type of one database");
	pooler_reload(&wide, configuration("", database));
	for (i = 0; i < LEARNERS; i++)
		behind += type_elsewhere(&roomy, known) == 25;
	check(behind == i, "... and behind it, of the other (%d of %d)", behind, i);
	learners_leave(first);
}

int
main(int argc, char **argv)
{
	pid_t others[OTHERS];
	int status, i;

	(void)argc;
	rig_start("trust", argv);
	(void)admin("create database app");
	(void)admin("create database other");
	if (!start(&wide, "wide", "") ||
	    !start(&narrow, "narrow",
		"max_prepared_statements = 2; max_client_prepared_statements = 30;"))
		return rig_end();
	target_of(&direct, "PostgreSQL", rig.pg_port);
	target_of(&roomy, "pgdrove", wide.port);
	target_of(&tight, "two per backend", narrow.port);
	here("create table copied (a int)");
	for (i = 0; i < OTHERS; i++) {
		others[i] = fork();
		if (others[i] == 0)
			interfere(i == 0 ? &tight : &roomy, i);
	}
	for (size_t s = 0; s < NSCRIPTS; s++)
		for (enum pace pace = PACE_STEPS; pace <= PACE_BYTES; pace++)
			run_script_as(s, pace);
	changing_tables(&roomy);
	changing_tables(&tight);
	same_text_elsewhere();
	limits();
	for (i = 0; i < OTHERS; i++) {
		check(waitpid(others[i], &status, WNOHANG) == 0, "client %d saw only its own rows",
		    i);
		kill(others[i], SIGKILL);
		waitpid(others[i], &status, 0);
	}
	refused_unsynced();
	name_of_another();
	pooler_stop(&wide);
	pooler_stop(&narrow);
	return rig_end();
}

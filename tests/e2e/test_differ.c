/*
 * test_differ: whatever a client says in transaction mode, it hears what PostgreSQL would have
 * said.
 *
 * Conversations made up from a seed (differ_make.c) are held with PostgreSQL and then with a pooler
 * of 4 workers and 2 backends; the answers must be equal. The slots that do so are each other's
 * disturbance, since all use the same names and settings, and vanishers break off in the middle.
 * Then the cases in tests/e2e/differ, which are conversations that once differed.
 *
 * A conversation that differs is printed, and again when it was made as small as it gets: save that
 * as a case, if it still differs for the same reason.
 *
 *   DIFFER_COUNT   how many; 20000, fewer under a sanitizer
 *   DIFFER_SEED    of the first, a number or `random`; 1
 *   DIFFER_KINDS   e.g. "all" (the default), "all,-lock", "plain,tx"; differ_make.c has the names
 *   DIFFER_CASE    a case's name: no other, and half of the slots hold it again and again
 *   DIFFER_SLOTS, DIFFER_VANISHERS   processes
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/differ.h"
#include "tests/e2e/rig.h"

#define SLOTS_MAX    64
#define FAILURES_MAX 3
#define SHRINK_MS    30000
#define CASES	     "tests/e2e/differ"

static struct pooler pooler;
static struct target direct, pooled, super;

/* --- one slot --------------------------------------------------------------------------------- */

struct slot {
	int n;
	struct raw admin, server; /* the superuser's, and the session to compare with */
	bool server_open;
};

static void
slot_open(struct slot *s, int n)
{
	memset(s, 0, sizeof(*s));
	s->n = n;
	if (!raw_login(&s->admin, &super))
		exit(2);
	(void)raw_query(&s->admin, "set lock_timeout = '30s'");
}

static void
slot_close(struct slot *s)
{
	raw_close(&s->admin);
	if (s->server_open)
		raw_close(&s->server);
}

/* The slot's tables as they are before each conversation; waits for who still changes them. */
static bool
slot_clean(struct slot *s, const char *text)
{
	char sql[1024];

	if (strstr(text, "advisory") != NULL) {
		snprintf(sql, sizeof(sql),
		    "select pg_advisory_lock(%d, k), pg_advisory_unlock(%d, k) from "
		    "generate_series(1, 3) k",
		    s->n, s->n);
		if (!raw_query(&s->admin, sql))
			return false;
	}
	if (strstr(text, "q@") != NULL) {
		snprintf(sql, sizeof(sql), "alter sequence q%d restart", s->n);
		if (!raw_query(&s->admin, sql))
			return false;
	}
	if (strstr(text, "t@") == NULL)
		return true;
	snprintf(sql, sizeof(sql),
	    "delete from t%d; insert into t%d values (1, 'one'), (2, 'two'), (3, 'three'), (4, "
	    "null)",
	    s->n, s->n);
	return raw_query(&s->admin, sql);
}

static void
talk_direct(struct slot *s, const char *text, struct bytes *out)
{
	bool own = text[0] == 'U', alive;

	if ((own || !s->server_open) && s->server_open)
		raw_close(&s->server);
	if (own || !s->server_open)
		s->server_open = differ_login(text, &direct, &s->server, out);
	if (!s->server_open)
		return;
	alive = differ_talk(text, s->n, &s->server, out);
	s->server_open = alive && !own && raw_query(&s->server, "rollback") &&
			 raw_query(&s->server, "discard all");
	if (!s->server_open)
		raw_close(&s->server);
}

static void
talk_pooled(struct slot *s, const char *text, struct bytes *out)
{
	struct raw r;

	if (differ_login(text, &pooled, &r, out) && differ_talk(text, s->n, &r, out))
		(void)raw_send(&r, "X\0\0\0\4", 5);
	raw_close(&r);
}

static void
hold_direct(struct slot *s, const char *text, struct bytes *a)
{
	a->len = 0;
	talk_direct(s, text, a);
	if (!slot_clean(s, text))
		put(a, "-- cannot clean\n", 16);
	put(a, "", 1);
}

static void
hold_pooled(struct slot *s, const char *text, struct bytes *b)
{
	b->len = 0;
	talk_pooled(s, text, b);
	if (!slot_clean(s, text))
		put(b, "-- cannot clean behind the pooler\n", 34);
	put(b, "", 1);
}

static bool
equal(const struct bytes *a, const struct bytes *b)
{
	return strcmp((char *)a->p, (char *)b->p) == 0;
}

/* Definitions that others have changed anywhere may make PostgreSQL parse a statement anew for a
 * Describe: then SET TRANSACTION is refused behind it, as chance will have it. */
static bool
is_chancy(const char *text)
{
	return strstr(text, "D S ") != NULL && strstr(text, "set transaction isolation") != NULL;
}

/* Holds it with both. True: they answered alike. */
static bool
alike(struct slot *s, const char *text, struct bytes *a, struct bytes *b)
{
	hold_direct(s, text, a);
	hold_pooled(s, text, b);
	if (!equal(a, b) && is_chancy(text))
		hold_direct(s, text, a);
	if (!equal(a, b) && is_chancy(text))
		hold_pooled(s, text, b);
	return equal(a, b);
}

/* --- making it smaller ------------------------------------------------------------------------ */

/* Where the operation behind `p` begins. */
static const char *
op_end(const char *p)
{
	do {
		p += strcspn(p, "\n");
		p += *p == '\n';
	} while (*p == ' ');
	return p;
}

/* The text without operations `from` to `from + n`. False: there are not so many. */
static bool
without(struct bytes *out, const char *text, int from, int n)
{
	const char *p = text, *next;
	int i;
	bool any = false;

	out->len = 0;
	for (i = 0; *p != '\0'; i++, p = next) {
		next = op_end(p);
		if (i >= from && i < from + n)
			any = true;
		else
			put(out, p, (size_t)(next - p));
	}
	put(out, "", 1);
	return any;
}

/* It may take others to make it go wrong: tries more than once. */
static bool
still_differs(struct slot *s, const char *text, struct bytes *a, struct bytes *b)
{
	int tries;

	for (tries = 0; tries < 4; tries++)
		if (!alike(s, text, a, b))
			return true;
	return false;
}

static void
shrink(struct slot *s, struct bytes *text, struct bytes *a, struct bytes *b)
{
	int64_t end = now_ms() + SHRINK_MS;
	struct bytes less = {0}, a2 = {0}, b2 = {0};
	int n, from;

	for (n = 16; n > 0; n /= 2)
		for (from = 0; now_ms() < end;) {
			if (!without(&less, (char *)text->p, from, n))
				break;
			if (!still_differs(s, (char *)less.p, &a2, &b2)) {
				from++;
				continue;
			}
			text->len = a->len = b->len = 0;
			put(text, less.p, less.len);
			put(a, a2.p, a2.len);
			put(b, b2.p, b2.len);
		}
	bytes_free(&less);
	bytes_free(&a2);
	bytes_free(&b2);
}

/* One write, so that slots do not mix their words. */
static void
tell(const char *title, const struct bytes *text, const struct bytes *a, const struct bytes *b)
{
	struct bytes out = {0};

	put(&out, title, strlen(title));
	put(&out, text->p, text->len - 1);
	put(&out, "--- PostgreSQL ---\n", 19);
	put(&out, a->p, a->len - 1);
	put(&out, "--- pgdrove ---\n", 16);
	put(&out, b->p, b->len - 1);
	put(&out, "------\n", 7);
	(void)fwrite(out.p, 1, out.len, stdout);
	(void)fflush(stdout);
	bytes_free(&out);
}

/* The first line that differs, as a line that scripts/check picks out. */
static void
tell_first(uint64_t seed, const struct bytes *a, const struct bytes *b)
{
	const char *p = (char *)a->p, *q = (char *)b->p;
	size_t i, from = 0;

	for (i = 0; p[i] != '\0' && p[i] == q[i]; i++)
		if (p[i] == '\n')
			from = i + 1;
	printf("FAIL seed %llu: PostgreSQL says '%.*s', pgdrove '%.*s'\n", (unsigned long long)seed,
	    (int)strcspn(p + from, "\n"), p + from, (int)strcspn(q + from, "\n"), q + from);
}

static void
read_case(struct bytes *text, const char *file)
{
	char path[512], part[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), CASES "/%s", file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd != -1 && (n = read(fd, part, sizeof(part))) > 0)
		put(text, part, (size_t)n);
	if (fd != -1)
		close(fd);
	put(text, "", 1);
}

/* --- the processes ---------------------------------------------------------------------------- */

static uint64_t first_seed;
static int count, nslots;
static unsigned kinds;
static const char *only; /* a case's name */

static void
make_one(struct bytes *text, int i)
{
	text->len = 0;
	if (only != NULL && i % nslots < nslots / 2)
		read_case(text, only);
	else
		differ_make(text, first_seed + (uint64_t)i, kinds);
}

/* Every nslots'th conversation, beginning with its own number. The exit code: how many differed. */
static int
slot_main(int n)
{
	struct bytes text = {0}, a = {0}, b = {0};
	char title[96];
	int i, failures = 0;
	struct slot s;

	slot_open(&s, n);
	(void)slot_clean(&s, "t@ q@");
	for (i = n; i < count && failures < FAILURES_MAX; i += nslots) {
		make_one(&text, i);
		if (alike(&s, (char *)text.p, &a, &b))
			continue;
		failures++;
		snprintf(title, sizeof(title), "DIFFERS seed %llu\n",
		    (unsigned long long)first_seed + (unsigned)i);
		tell(title, &text, &a, &b);
		shrink(&s, &text, &a, &b);
		tell("SMALLER\n", &text, &a, &b);
		tell_first(first_seed + (unsigned)i, &a, &b);
	}
	slot_close(&s);
	return failures;
}

/* Begins conversations of others and breaks off anywhere, until it is killed. */
static _Noreturn void
vanish_main(int n)
{
	struct bytes text = {0}, none = {0};
	uint64_t seed = first_seed + 1000000007U * (unsigned)(n + 1);
	struct raw r;

	for (;; seed++) {
		text.len = none.len = 0;
		differ_make(&text, seed, (kinds & ~(unsigned)KIND_LOCK) | KIND_QUIET);
		if (differ_login((char *)text.p, &pooled, &r, &none))
			differ_babble((char *)text.p, n, &r, (size_t)(seed * 7919 % 600));
		sleep_ms((int)(seed % 5) * 3); /* in a queue, in a query, or after it */
		if (seed % 3 == 0)
			raw_reset(&r);
		else
			raw_close(&r);
	}
}

static pid_t
start(int (*slot)(int), int n)
{
	pid_t pid = fork();

	if (pid == -1) {
		printf("FAIL fork: %s\n", strerror(errno));
		exit(1);
	}
	if (pid == 0) {
		if (slot == NULL)
			vanish_main(n);
		_exit(slot(n));
	}
	return pid;
}

static void
run_random(int nvanishers)
{
	pid_t pids[SLOTS_MAX * 2];
	int i, status, differed = 0;
	int64_t began = now_ms();

	for (i = 0; i < nslots; i++)
		pids[i] = start(slot_main, i);
	for (; i < nslots + nvanishers; i++)
		pids[i] = start(NULL, i);
	for (i = 0; i < nslots + nvanishers; i++) {
		if (i >= nslots)
			(void)kill(pids[i], SIGKILL);
		(void)waitpid(pids[i], &status, 0);
		if (i < nslots)
			differed += WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	}
	check(differed == 0, "%d conversations from seed %llu are answered alike (%lld s)", count,
	    (unsigned long long)first_seed, (long long)(now_ms() - began) / 1000);
}

/* --- cases ------------------------------------------------------------------------------------ */

static void
run_case(struct slot *s, const char *file)
{
	struct bytes text = {0}, a = {0}, b = {0};

	read_case(&text, file);
	(void)alike(s, (char *)text.p, &a, &b);
	check_text((char *)b.p, (char *)a.p, "case %s", file);
	bytes_free(&text);
	bytes_free(&a);
	bytes_free(&b);
}

static int
is_case(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');

	return dot != NULL && strcmp(dot, ".case") == 0 &&
	       (only == NULL || strcmp(d->d_name, only) == 0);
}

static void
run_cases(void)
{
	struct dirent **list = NULL;
	int n = scandir(CASES, &list, is_case, alphasort), i;
	struct slot s;

	slot_open(&s, 0);
	(void)slot_clean(&s, "t@ q@");
	for (i = 0; i < n; i++) {
		run_case(&s, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	slot_close(&s);
}

/* --- main ------------------------------------------------------------------------------------- */

static int
number(const char *name, int otherwise)
{
	const char *v = getenv(name);

	return v == NULL ? otherwise : atoi(v);
}

/* A list of names; "all" is all of them, and a leading minus takes one away. */
static unsigned
parse_kinds(const char *list)
{
	char copy[512], *word, *rest = copy;
	unsigned result = 0;
	int bit;

	snprintf(copy, sizeof(copy), "%s", list);
	while ((word = strsep(&rest, ",")) != NULL) {
		bool minus = *word == '-';
		unsigned one = strcmp(word + minus, "all") == 0 ? KIND_ALL : 0;
		for (bit = 0; differ_kind(bit) != NULL; bit++)
			if (strcmp(word + minus, differ_kind(bit)) == 0)
				one = 1U << bit;
		result = minus ? result & ~one : result | one;
	}
	return result;
}

static void
prepare_database(void)
{
	int i;

	/* Its log would be long and all of errors that were asked for. */
	(void)admin("alter system set log_min_messages = 'log'");
	(void)admin("select pg_reload_conf()");
	(void)admin(
	    "create role differ login; create role r1; create role r2; grant r1, r2 to differ;"
	    "grant all on schema public to public;"
	    "create function say(t text) returns text language plpgsql as"
	    " $$ begin raise notice '%%', t; return t; end $$;"
	    "create function configure(n text, v text) returns text language sql as"
	    " $$ select set_config(n, v, false) $$;"
	    "create table st (v text); insert into st values ('public')");
	for (i = 1; i <= 3; i++)
		(void)admin("create schema s%d; create table s%d.st (v text); insert into s%d.st "
			    "values ('s%d');"
			    "grant usage on schema s%d to public; grant select on s%d.st to public",
		    i, i, i, i, i, i);
	(void)admin("grant select on st to public");
	for (i = 0; i < SLOTS_MAX * 2; i++)
		(void)admin("create table t%d (id int primary key, v text); create sequence q%d;"
			    "grant all on t%d to public; grant all on q%d to public",
		    i, i, i, i);
}

/* Queries, transactions and locks that are left, and whose they are. */
static const char *
whats_left(void)
{
	return admin(
	    "select coalesce(string_agg(concat_ws(' ', a.pid, state, wait_event,"
	    " now() - state_change, query, l.objid), '; '), 'none')"
	    " from pg_stat_activity a left join pg_locks l on l.pid = a.pid and locktype ="
	    " 'advisory' where usename = 'differ' and state <> 'idle' or l.pid is not null");
}

static bool
all_quiet(void *arg)
{
	(void)arg;
	return strcmp(whats_left(), "none") == 0;
}

/* Those who were connected directly have a moment to end. */
static bool
two_at_most(void *arg)
{
	(void)arg;
	return atoi(admin("select count(*) from pg_stat_activity where usename = 'differ'")) <= 2;
}

int
main(int argc, char **argv)
{
	const char *seed = getenv("DIFFER_SEED"), *list = getenv("DIFFER_KINDS");
	char conf[1024];

	(void)argc;
	rig_start("trust", argv);
	count = number("DIFFER_COUNT", rig.asan ? 1000 : 20000);
	nslots = number("DIFFER_SLOTS", 12);
	first_seed = seed == NULL ? 1 : strtoull(seed, NULL, 10);
	if (seed != NULL && strcmp(seed, "random") == 0)
		first_seed = (uint64_t)now_ms() * 1000 % 1000000007 * 100000;
	only = getenv("DIFFER_CASE");
	kinds = parse_kinds(list == NULL ? "all" : list);
	prepare_database();
	/* Who waits for long, as on a slow machine, is told so: PostgreSQL would not. */
	snprintf(conf, sizeof(conf),
	    "pool_mode = \"transaction\"; pool_size = 2; log_connections = false;"
	    " log_disconnections = false; query_wait_notify = 0;\n"
	    "users = ( { name = \"differ\"; } );\n"
	    "databases = ( { name = \"postgres\"; host = \"%s\"; port = %d; } );\n",
	    rig.sockets, rig.pg_port);
	if (pooler_start(&pooler, "pooler", conf)) {
		direct = (struct target){"direct", rig.sockets, rig.pg_port, "differ", "postgres"};
		super = (struct target){"super", rig.sockets, rig.pg_port, "postgres", "postgres"};
		pooled = (struct target){"pooled", pooler.run, pooler.port, "differ", "postgres"};
		run_cases();
		run_random(number("DIFFER_VANISHERS", 2));
		if (!check(until(all_quiet, NULL, 30000), "no query, transaction or lock is left"))
			printf("  left: %s\n", whats_left());
		check(until(two_at_most, NULL, 10000),
		    "PostgreSQL has no more than two backends of it");
		check(pooler_get(&pooler, "restarts") == 0, "no worker had to be replaced");
	}
	pooler_stop(&pooler);
	return rig_end();
}

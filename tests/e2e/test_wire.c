/*
 * test_wire: what a client sees through a pooler is what PostgreSQL itself answers, message by
 * message. Scripted dialogues are held with PostgreSQL directly and through pgdrove with 4 workers
 * in transaction and in session mode: step by step, glued into one write, and byte by byte; some
 * are also split at each of their byte borders. The dialogues are in wire_scripts.c. Only
 * BackendKeyData and what names a process may differ, so the scripts ask for nothing of the kind.
 *
 * Then COPY data that nobody waits for any more, cut at the worst places: they reach the server
 * whole and in order, or not at all.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/e2e/raw.h"
#include "tests/e2e/rig.h"
#include "tests/e2e/wire_scripts.h"

static struct pooler pooler;
static struct target direct, transaction, session, one;

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
run_script(const struct wire_script *w)
{
	struct script s = {.name = w->name};
	enum pace pace;
	char *wanted;

	w->make(&s);
	for (pace = PACE_STEPS; pace <= PACE_BYTES; pace++) {
		if (pace == PACE_BYTES && is_long(&s))
			continue;
		wanted = script_run(&s, &direct, pace);
		check((strstr(wanted, "-- open") != NULL) != s.fatal, "%s: PostgreSQL answers, %s",
		    s.name, paces[pace]);
		compare(&s, &session, pace, wanted);
		if ((w->flags & WIRE_SESSION) == 0)
			compare(&s, &transaction, pace, wanted);
		free(wanted);
	}
	script_free(&s);
}

/* Each border of it once. */
static void
run_splits(const struct wire_script *w, const struct target *t)
{
	struct script s = {.name = w->name};
	size_t at, len = 0, bad = 0;
	char *wanted, *got;
	int i;

	w->make(&s);
	for (i = 0; i < s.nsteps; i++)
		len += s.step[i].send.len;
	wanted = script_run(&s, &direct, PACE_STEPS);
	for (at = 1; at < len; at++) {
		got = script_run_split(&s, t, at);
		if (strcmp(got, wanted) != 0 && bad++ == 0)
			check_text(got, wanted, "%s, split at %zu", s.name, at);
		free(got);
	}
	check(bad == 0, "%s: split at each of %zu borders: %s", s.name, len - 1, t->name);
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
	    " { name = \"one\"; host = \"127.0.0.1\"; port = %d; dbname = \"app\";\n"
	    "   pool_mode = \"transaction\"; pool_size = 1; },\n"
	    " { name = \"sess\"; host = \"127.0.0.1\"; port = %d; dbname = \"app\"; } );\n"
	    "users = ( { name = \"postgres\"; } );",
	    rig.pg_port, rig.pg_port, rig.pg_port);
	if (!pooler_start(&pooler, "wire", conf))
		exit(rig_end());
	direct = (struct target){"direct", "127.0.0.1", rig.pg_port, "postgres", "app"};
	transaction =
	    (struct target){"transaction mode", "127.0.0.1", pooler.port, "postgres", "app"};
	session = (struct target){"session mode", "127.0.0.1", pooler.port, "postgres", "sess"};
	one = (struct target){"one backend", "127.0.0.1", pooler.port, "postgres", "one"};
}

/* --- COPY data behind its end ----------------------------------------------------------------- */

/* The first column of the last row, "" without a row, or the SQLSTATE. The text is static. */
static const char *
heard(struct raw *r)
{
	static char text[128];
	struct msg m;

	text[0] = '\0';
	for (;;) {
		if (raw_next(r, &m, 60000) != RAW_MSG)
			return "no answer";
		if (m.type == 'Z')
			return text;
		if (m.type == 'E')
			snprintf(text, sizeof(text), "%s", error_field(&m, 'C'));
		if (m.type == 'D' && m.len > 6)
			snprintf(
			    text, sizeof(text), "%.*s", (int)(m.len - 6), (const char *)m.body + 6);
	}
}

static const char *
ask(struct raw *r, const char *sql)
{
	struct bytes b = {0};

	put_msg(&b, 'Q', "s", sql);
	(void)raw_put(r, &b);
	bytes_free(&b);
	return heard(r);
}

static bool
waiting_are(void *n)
{
	return pooler_get(&pooler, "clients_waiting") == *(const long *)n;
}

static bool
active_are(void *n)
{
	return pooler_get(&pooler, "clients_active") == *(const long *)n;
}

/* Two clients of the one backend. */
static void
two_come(struct raw r[2])
{
	int i;

	for (i = 0; i < 2; i++)
		check(raw_login(&r[i], &one), "a client");
}

static void
two_leave(struct raw r[2])
{
	raw_close(&r[0]);
	raw_close(&r[1]);
}

/* The end of a message of COPY data comes in one go with a Query, for which its settings have to be
 * brought over: they must not go into the middle of that message. */
static void
data_ahead_of_settings(void)
{
	static long yes = 1, no = 0;
	struct bytes b = {0};
	struct raw r[2];
	char pid[32];

	two_come(r);
	(void)ask(&r[1], "select 1");
	(void)ask(&r[0], "set work_mem = '7MB'");
	(void)ask(&r[0], "begin");
	snprintf(pid, sizeof(pid), "%s", ask(&r[0], "select pg_backend_pid()"));
	put_msg(&b, 'd', "t", "12345678901234567890");
	put_msg(&b, 'Q', "s", "select current_setting('work_mem')");
	(void)raw_send(&r[1], b.p, 12);
	check(until(waiting_are, &yes, 10000), "half a message of COPY data waits");
	(void)ask(&r[0], "commit");
	check(until(waiting_are, &no, 10000) && until(active_are, &yes, 10000), "... and is sent");
	(void)raw_send(&r[1], b.p + 12, b.len - 12);
	check_text(heard(&r[1]), "4MB", "its rest, and a Query under other settings");
	check_text(ask(&r[0], "select pg_backend_pid()"), pid, "... the backend is the same");
	bytes_free(&b);
	two_leave(r);
}

/* Sends until nobody takes more. How much that was. */
static size_t
send_until_full(struct raw *r, const struct bytes *b)
{
	struct pollfd pfd = {.fd = r->fd, .events = POLLOUT};
	size_t at = 0;
	ssize_t n;

	while (at < b->len && poll(&pfd, 1, 500) == 1) {
		n = send(r->fd, b->p + at, b->len - at, MSG_NOSIGNAL);
		if (n == -1 && errno != EAGAIN)
			break;
		at += n > 0 ? (size_t)n : 0;
	}
	return at;
}

/* COPY fails while the server takes no more: what is on its way to it must arrive whole, whoever
 * has it next. */
static void
data_behind_error(void)
{
	struct bytes b = {0};
	struct raw r[2];
	struct msg m;
	char pid[32];
	size_t at;
	int i;

	two_come(r);
	snprintf(pid, sizeof(pid), "%s", ask(&r[0], "select pg_backend_pid()"));
	put_msg(&b, 'Q', "s", "copy t from stdin");
	(void)raw_put(&r[0], &b);
	check(raw_next(&r[0], &m, 20000) == RAW_MSG && m.type == 'G', "COPY begins");
	for (i = 0; i < 2000000; i++)
		put_msg(&b, 'd', "t", "no number!\n");
	check(kill((pid_t)atoi(pid), SIGSTOP) == 0, "the server stops");
	at = send_until_full(&r[0], &b);
	check(at < b.len, "the way to it is full after %zu bytes", at);
	check(kill((pid_t)atoi(pid), SIGCONT) == 0, "the server goes on");
	check(raw_send(&r[0], b.p + at, b.len - at), "all are taken");
	bytes_free(&b);
	check_text(heard(&r[0]), "22P02", "COPY fails");
	for (i = 1; i < 20 && strcmp(ask(&r[i % 2], "select pg_backend_pid()"), pid) == 0; i++)
		;
	check(i == 20, "the backend goes on");
	two_leave(r);
}

/* COPY fails in the middle of a message, whose rest comes later: then the backend is anybody's. */
static void
data_after_error(void)
{
	struct bytes b = {0};
	struct raw r[2];
	char pid[32];

	two_come(r);
	snprintf(pid, sizeof(pid), "%s", ask(&r[0], "select pg_backend_pid()"));
	put_msg(&b, 'Q', "s", "copy t from stdin");
	put_msg(&b, 'd', "t", "no number!\n");
	put_msg(&b, 'd', "t", "12345\n");
	(void)raw_send(&r[0], b.p, b.len - 4);
	check_text(heard(&r[0]), "22P02", "COPY fails in the middle of a message");
	(void)raw_send(&r[0], b.p + b.len - 4, 4);
	check_text(ask(&r[1], "select pg_backend_pid()"), pid, "the backend serves the next one");
	check_text(ask(&r[0], "select pg_backend_pid()"), pid, "... and this one again");
	bytes_free(&b);
	two_leave(r);
}

/* COPY data are all that a client sends which has waited for a backend: it keeps none for them. */
static void
data_alone(void)
{
	static long yes = 1, no = 0;
	struct bytes b = {0};
	struct raw r[2];

	two_come(r);
	(void)ask(&r[1], "select 1");
	(void)ask(&r[0], "begin");
	put_msg(&b, 'd', "t", "12345678901234567890");
	(void)raw_put(&r[1], &b);
	check(until(waiting_are, &yes, 10000), "COPY data wait");
	(void)ask(&r[0], "commit");
	check(until(waiting_are, &no, 10000), "... and are sent");
	check_text(ask(&r[0], "select 1"), "1", "the backend is free again");
	check_text(ask(&r[1], "select 1"), "1", "... for both");
	bytes_free(&b);
	two_leave(r);
}

static void
signal_workers(int sig)
{
	int w;

	for (w = 0; w < POOLER_WORKERS; w++)
		(void)kill((pid_t)pooler_get(&pooler, "worker.%d.pid", w), sig);
}

/* A client that keeps its backend says what is no request, and is gone when that is looked at. */
static void
last_words(const struct target *t, const char *before)
{
	static long yes = 1, no = 0;
	struct bytes b = {0};
	struct raw r;

	check(raw_login(&r, t), "%s: a client", t->name);
	(void)ask(&r, before);
	check(until(active_are, &yes, 10000), "... keeps its backend");
	put_msg(&b, 'H', "");
	signal_workers(SIGSTOP);
	(void)raw_put(&r, &b);
	raw_close(&r);
	signal_workers(SIGCONT);
	check(until(active_are, &no, 10000), "... says Flush and leaves");
	bytes_free(&b);
}

/* A client reads nothing of a long answer, has more to say that waits for its end, and is gone. */
static void
unread(void)
{
	struct target t = {"a Unix socket", pooler.run, pooler.port, "postgres", "app"};
	static long yes = 1, no = 0;
	struct bytes b = {0};
	struct raw r;
	int i;

	put_msg(&b, 'Q', "s", "select repeat('x', 3000000)");
	put_msg(&b, 'P', "ssh", "a", "select 1", 0);
	put_msg(&b, 'S', "");
	put_msg(&b, 'C', "bs", 'S', "a");
	put_msg(&b, 'S', "");
	put_msg(&b, 'P', "ssh", "a", "select 2", 0);
	put_msg(&b, 'S', "");
	for (i = 0; i < 100; i++) {
		if (!raw_login(&r, &t) || !raw_send(&r, b.p, b.len) ||
		    !until(active_are, &yes, 10000))
			break;
		sleep_ms(i % 5 * 5);
		raw_close(&r);
		if (!until(active_are, &no, 10000))
			break;
	}
	check(i == 100, "nobody keeps a backend who leaves unread what it sends (%d)", i);
	bytes_free(&b);
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
	for (i = 0; i < wire_scripts_n; i++) {
		run_script(&wire_scripts[i]);
		if ((wire_scripts[i].flags & WIRE_SPLIT) == 0)
			continue;
		run_splits(&wire_scripts[i], &transaction);
		run_splits(&wire_scripts[i], &session);
	}
	data_ahead_of_settings();
	data_after_error();
	data_alone();
	last_words(&session, "select 1");
	last_words(&transaction, "listen a");
	unread();
	for (i = 0; i < 5; i++)
		data_behind_error();
	pooler_stop(&pooler);
	return rig_end();
}

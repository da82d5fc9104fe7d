/*
 * test_wire: what a client sees through a pooler is what PostgreSQL itself answers, message by
 * message. Scripted dialogues are held with PostgreSQL directly and through pgdrove with 4 workers
 * in transaction and in session mode: step by step, glued into one write, and byte by byte; some
 * are also split at each of their byte borders. The dialogues are in wire_scripts.c. Only
 * BackendKeyData and what names a process may differ, so the scripts ask for nothing of the kind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e/raw.h"
#include "tests/e2e/rig.h"
#include "tests/e2e/wire_scripts.h"

static struct pooler pooler;
static struct target direct, transaction, session;

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
	for (i = 0; i < wire_scripts_n; i++) {
		run_script(&wire_scripts[i]);
		if ((wire_scripts[i].flags & WIRE_SPLIT) == 0)
			continue;
		run_splits(&wire_scripts[i], &transaction);
		run_splits(&wire_scripts[i], &session);
	}
	pooler_stop(&pooler);
	return rig_end();
}

/*
 * console_run: what an operator says: SHOW and commands. See console.h; called by console.c and
 * console_extended.c. Most is answered at once; a command when the master says that it is done,
 * SHOW CLIENTS and the like when all workers have told.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "proto/ctlmsg.h"
#include "worker/client.h"
#include "worker/console.h"
#include "worker/console_gather.h"
#include "worker/console_impl.h"
#include "worker/console_sheet.h"
#include "worker/console_show.h"

static uint64_t last_ticket;

/* --- statements ---------------------------------------------------------------------------------
 */

const char *
console_word(const char *at, char *out, size_t size)
{
	size_t n = 0;

	at += strspn(at, " \t\r\n");
	if (*at == '"' || *at == '\'') {
		char quote = *at++;
		for (; *at != '\0' && *at != quote; at++)
			if (n + 1 < size)
				out[n++] = *at;
		at += *at != '\0';
	} else {
		for (; *at != '\0' && strchr(" \t\r\n;=", *at) == NULL; at++)
			if (n + 1 < size)
				out[n++] = *at;
	}
	out[n] = '\0';
	return at;
}

static void
show_rows(struct client *c, struct sheet *s, const char *clause)
{
	struct console *k = c->console;
	const char *wrong = sheet_filter(s, clause);

	if (wrong != NULL) {
		console_error(c, "42601", wrong);
		return;
	}
	if (k->simple)
		sheet_describe(s, &c->conn, NULL, NULL);
	(void)sheet_send(s, &c->conn, console_is_binary, k);
	console_put_complete(c, "SHOW");
}

const struct show *
console_parse_show(const char *text, const char **clause)
{
	char name[64];

	*clause = console_word(text, name, sizeof(name));
	return show_find(name);
}

static void
put_help(struct client *c)
{
	uint8_t msg[2048];
	char text[1600];
	struct wire_out w;

	snprintf(text, sizeof(text),
	    "Console usage\nSHOW %s\n[WHERE column = 'value' [AND ...]] [ORDER BY column [DESC]] "
	    "[LIMIT n]\nPAUSE [db] | RESUME [db] | SUSPEND | DISABLE db | ENABLE db | KILL [db] | "
	    "KILL_CLIENT id\nRECONNECT [db] | WAIT_CLOSE [db] | RELOAD | UPGRADE\n"
	    "SHUTDOWN [WAIT_FOR_SERVERS | WAIT_FOR_CLIENTS]",
	    show_names());
	wire_init(&w, msg, sizeof(msg));
	wire_notice(&w, &(struct wire_error){.severity = "NOTICE",
			    .sqlstate = "00000",
			    .message = "Console usage",
			    .detail = text});
	console_put(c, &w);
	console_put_complete(c, "SHOW");
}

/* What drivers ask for by habit, as PgBouncer's console answers. */
static const struct {
	const char *name, *value;
} settings[] = {{"client_encoding", "UTF8"}, {"datestyle", "ISO, MDY"}, {"timezone", "GMT"},
    {"standard_conforming_strings", "on"}, {"default_transaction_isolation", "read committed"},
    {"transaction_isolation", "read committed"}, {"server_version", CONSOLE_SERVER_VERSION}};

/* True: it is one, and shown. */
static bool
show_setting(struct client *c, const char *name)
{
	struct sheet *s;
	size_t i;

	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (strcasecmp(name, settings[i].name) != 0)
			continue;
		s = sheet_new(settings[i].name);
		sheet_text(s, settings[i].value);
		show_rows(c, s, "");
		sheet_free(s);
		return true;
	}
	return false;
}

static void
show_unknown(struct client *c, const char *name)
{
	char text[128];

	if (name[0] == '\0' || strcasecmp(name, "help") == 0) {
		put_help(c);
	} else if (strcasecmp(name, "fds") == 0) {
		console_error(c, "0A000", "no sockets are handed out here: use UPGRADE");
	} else if (!show_setting(c, name)) {
		snprintf(text, sizeof(text), "invalid command 'SHOW %s', use SHOW HELP;", name);
		console_error(c, "42601", text);
	}
}

/* False: the answer comes later. */
static bool
do_show(struct client *c, const char *args)
{
	struct console *k = c->console;
	const char *clause;
	char name[64];
	struct sheet *s;

	k->show = console_parse_show(args, &clause);
	if (k->show == NULL) {
		(void)console_word(args, name, sizeof(name));
		show_unknown(c, name);
		return true;
	}
	if (k->show->gather != NULL) {
		k->ticket = ++last_ticket;
		gather_start(k->ticket, k->show->gather);
		return false;
	}
	s = sheet_new(k->show->columns);
	k->show->fill(s);
	show_rows(c, s, clause);
	sheet_free(s);
	return true;
}

static bool
send_command(struct client *c, enum ctlmsg_verb verb, const char *what)
{
	struct ctlmsg m;

	ctlmsg_init(&m, CTL_COMMAND, wk->self.worker, wk->self.incarnation);
	m.arg32 = (uint32_t)verb;
	m.arg64 = c->console->ticket = ++last_ticket;
	m.payload_len = (uint32_t)strlen(what);
	memcpy(m.payload, what, m.payload_len);
	if (send(wk->boot->control_fd, &m, ctlmsg_size(&m), MSG_NOSIGNAL) != -1)
		return false;
	c->console->ticket = 0;
	console_error(c, "57P03", "the master does not take messages");
	return true;
}

/* The commands. `what`: - none, o a database or none, d a database, i a client, m a mode. */
static const struct {
	const char *word;
	enum ctlmsg_verb verb;
	char what;
} commands[] = {
    {"RELOAD", CMD_RELOAD, '-'},
    {"PAUSE", CMD_PAUSE, 'o'},
    {"RESUME", CMD_RESUME, 'o'},
    {"DISABLE", CMD_DISABLE, 'd'},
    {"ENABLE", CMD_ENABLE, 'd'},
    {"KILL", CMD_KILL, 'o'},
    {"KILL_CLIENT", CMD_KILL_CLIENT, 'i'},
    {"SUSPEND", CMD_SUSPEND, '-'},
    {"RECONNECT", CMD_RECONNECT, 'o'},
    {"WAIT_CLOSE", CMD_WAIT_CLOSE, 'o'},
    {"SHUTDOWN", CMD_SHUTDOWN, 'm'},
    {"UPGRADE", CMD_UPGRADE, '-'},
};

/* False: there is no such mode. */
static bool
shutdown_mode(const char *what, enum ctlmsg_verb *verb)
{
	if (strcasecmp(what, "wait_for_servers") == 0)
		*verb = CMD_SHUTDOWN_WAIT;
	else if (strcasecmp(what, "wait_for_clients") == 0)
		*verb = CMD_SHUTDOWN_STAY;
	else
		return what[0] == '\0';
	return true;
}

static bool
do_command(struct client *c, size_t i, const char *args)
{
	enum ctlmsg_verb verb = commands[i].verb;
	char what[CONF_NAME_SIZE], text[128];

	(void)console_word(args, what, sizeof(what));
	if (!c->console->admin) {
		console_error(c, "42501", "admin access needed");
		return true;
	}
	if ((commands[i].what == '-') != (what[0] == '\0') && commands[i].what != 'o' &&
	    commands[i].what != 'm') {
		console_error(c, "42601", "bad arguments");
		return true;
	}
	if (strchr("od", commands[i].what) != NULL && what[0] != '\0' &&
	    conf_database(wk->conf, what) == NULL) {
		snprintf(text, sizeof(text), "no such database: %s", what);
		console_error(c, "3D000", text);
		return true;
	}
	if (commands[i].what == 'm' && !shutdown_mode(what, &verb)) {
		console_error(c, "42601", "SHUTDOWN [WAIT_FOR_SERVERS | WAIT_FOR_CLIENTS]");
		return true;
	}
	return send_command(c, verb, commands[i].what == 'm' ? "" : what);
}

/* SET option = value; what is no option of ours is a habit of drivers. False: the answer comes
 * later.
 */
static bool
do_set(struct client *c, const char *args)
{
	char name[64], value[256], what[336];

	args = console_word(args, name, sizeof(name));
	args += strspn(args, " \t=");
	(void)console_word(args, value, sizeof(value));
	if (!conf_has_option(name)) {
		console_put_complete(c, "SET");
		return true;
	}
	if (!c->console->admin) {
		console_error(c, "42501", "admin access needed");
		return true;
	}
	snprintf(what, sizeof(what), "%s=%s", name, value);
	return send_command(c, CMD_SET, what);
}

/* What drivers say by habit, and what costs nothing to agree to. */
static bool
is_habit(const char *verb)
{
	static const char *const habits[] = {
	    "BEGIN", "COMMIT", "ROLLBACK", "DISCARD", "DEALLOCATE", "RESET", NULL};
	const char *const *h;

	for (h = habits; *h != NULL; h++)
		if (strcasecmp(verb, *h) == 0)
			return true;
	return false;
}

static const char *
upper(char *text)
{
	char *p;

	for (p = text; *p != '\0'; p++)
		*p = (char)toupper((unsigned char)*p);
	return text;
}

/* The statement in k->text. False: the answer comes later. */
static bool
run(struct client *c)
{
	struct console *k = c->console;
	const char *args = console_word(k->text, k->verb, sizeof(k->verb));
	char text[128];
	size_t i;

	(void)upper(k->verb);
	if (k->verb[0] == '\0') {
		console_put_empty(c, 'I');
		return true;
	}
	if (strcmp(k->verb, "SHOW") == 0 || strcmp(k->verb, "SELECT") == 0)
		return do_show(c, args);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(k->verb, commands[i].word) == 0)
			return do_command(c, i, args);
	if (strcmp(k->verb, "SET") == 0)
		return do_set(c, args);
	if (is_habit(k->verb)) {
		console_put_complete(c, k->verb);
		return true;
	}
	snprintf(text, sizeof(text), "invalid command '%s', use SHOW HELP;", k->verb);
	console_error(c, "42601", text);
	return true;
}

void
console_run(struct client *c)
{
	if (run(c))
		console_finished(c);
}

/* --- answers that come later --------------------------------------------------------------------
 */

struct search {
	uint64_t ticket;
	struct client *found;
};

static void
look(struct client *c, void *arg)
{
	struct search *s = arg;

	if (c->state == CLIENT_CONSOLE && c->console->ticket == s->ticket)
		s->found = c;
}

static struct client *
by_ticket(uint64_t ticket)
{
	struct search s = {.ticket = ticket};

	clients_each(look, &s);
	return s.found;
}

void
console_answer(uint64_t ticket, const uint8_t *why, size_t len)
{
	struct client *c = by_ticket(ticket);
	char text[420];

	if (c == NULL)
		return;
	if (why == NULL) {
		console_put_complete(c, c->console->verb);
	} else {
		snprintf(text, sizeof(text), "%s%.*s",
		    strcmp(c->console->verb, "RELOAD") == 0 ? "RELOAD failed: " : "", (int)len,
		    (const char *)why);
		console_error(c, "F0000", text);
	}
	console_finished(c);
}

void
console_gathered(uint64_t ticket)
{
	struct client *c = by_ticket(ticket);
	char verb[16];
	const char *clause;
	struct sheet *s;

	if (c == NULL) {
		gather_forget(ticket);
		return;
	}
	s = sheet_new(c->console->show->columns);
	gather_fill(ticket, s, c->console->show->name);
	(void)console_parse_show(console_word(c->console->text, verb, sizeof(verb)), &clause);
	show_rows(c, s, clause);
	sheet_free(s);
	console_finished(c);
}

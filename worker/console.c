/*
 * console: see console.h. Called by client_login.c, client_auth.c and client.c.
 *
 * One statement at a time: while a command is with the master, or rows are being gathered, what the
 * client sends next waits in its buffer. Errors leave the session alive; in the extended protocol
 * what follows one is skipped up to Sync. Nothing here touches a backend or another client.
 */
#include "worker/console.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "proto/ctlmsg.h"
#include "proto/wire.h"
#include "worker/client.h"
#include "worker/client_auth.h"
#include "worker/console_gather.h"
#include "worker/console_sheet.h"
#include "worker/console_show.h"

#define TEXT_MAX 4096
#define NAMES	 32 /* statements prepared at a time */
#define FORMATS	 48

struct console_stmt {
	char *name; /* NULL = free */
	char *text;
};

struct console {
	bool admin;
	bool skip;	 /* an error in the extended protocol: up to Sync */
	uint64_t ticket; /* waits for this; 0 = for nothing */
	bool simple;	 /* it came as Query: ReadyForQuery is owed */
	const struct show *show;
	char text[TEXT_MAX]; /* the statement in work, or bound */
	char verb[24];
	struct console_stmt prepared[NAMES];
	uint16_t formats[FORMATS];
	size_t nformats;
};

static uint64_t last_ticket;

/* --- who may ------------------------------------------------------------------------------------
 */

bool
console_is(const char *db)
{
	return strcmp(db, "pgbouncer") == 0 || strcmp(db, "pgdrove") == 0;
}

bool
console_owner(const struct client *c, const char *user)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return c->conn.is_unix && console_is(user) &&
	       getsockopt(c->conn.src.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       peer.uid == geteuid();
}

static bool
stands_in(const char *list, const char *name)
{
	size_t n = strlen(name);

	while (*(list += strspn(list, ", \t")) != '\0') {
		size_t len = strcspn(list, ", \t");
		if (len == n && strncmp(list, name, n) == 0)
			return true;
		list += len;
	}
	return false;
}

/* --- answers ------------------------------------------------------------------------------------
 */

static void
put(struct client *c, const struct wire_out *w)
{
	ENSURE(!w->failed);
	conn_put(&c->conn, w->base, w->len);
}

static void
put_empty(struct client *c, uint8_t type)
{
	uint8_t msg[8];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, type);
	wire_end(&w);
	put(c, &w);
}

static void
put_ready(struct client *c)
{
	uint8_t msg[8];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_ready(&w, 'I');
	put(c, &w);
}

static void
put_complete(struct client *c, const char *tag)
{
	uint8_t msg[64];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 'C');
	wire_string(&w, tag);
	wire_end(&w);
	put(c, &w);
}

static void
put_error(struct client *c, const char *sqlstate, const char *text)
{
	uint8_t msg[1024];
	struct wire_out w;
	char line[512];

	strlcpy(line, text, sizeof(line));
	wire_init(&w, msg, sizeof(msg));
	wire_error(
	    &w, &(struct wire_error){.severity = "ERROR", .sqlstate = sqlstate, .message = line});
	put(c, &w);
	c->console->skip = !c->console->simple;
}

static bool
is_binary(void *arg, size_t column)
{
	const struct console *k = arg;

	if (k->simple || k->nformats == 0)
		return false;
	return k->formats[k->nformats == 1 ? 0 : column < k->nformats ? column : 0] == 1;
}

/* The statement is done: the next may come. */
static void
finished(struct client *c)
{
	struct console *k = c->console;

	k->ticket = 0;
	if (k->simple)
		put_ready(c);
	loop_again(&c->conn.src);
	c->conn.readable = true;
}

/* --- statements ---------------------------------------------------------------------------------
 */

static const char *
word(const char *at, char *out, size_t size)
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
		put_error(c, "42601", wrong);
		return;
	}
	if (k->simple)
		sheet_describe(s, &c->conn, NULL, NULL);
	(void)sheet_send(s, &c->conn, is_binary, k);
	put_complete(c, "SHOW");
}

static const struct show *
parse_show(const char *text, const char **clause)
{
	char name[64];

	*clause = word(text, name, sizeof(name));
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
	put(c, &w);
	put_complete(c, "SHOW");
}

/* False: the answer comes later. */
static bool
do_show(struct client *c, const char *args)
{
	struct console *k = c->console;
	const char *clause;
	struct sheet *s;

	k->show = parse_show(args, &clause);
	if (k->show == NULL) {
		char text[128], name[64];
		(void)word(args, name, sizeof(name));
		if (name[0] == '\0' || strcasecmp(name, "help") == 0) {
			put_help(c);
			return true;
		}
		snprintf(text, sizeof(text), "invalid command 'SHOW %s', use SHOW HELP;", name);
		put_error(c, "42601", text);
		return true;
	}
	if (k->show->gathers) {
		k->ticket = ++last_ticket;
		gather_start(k->ticket);
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
	put_error(c, "57P03", "the master does not take messages");
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

static bool
do_command(struct client *c, size_t i, const char *args)
{
	enum ctlmsg_verb verb = commands[i].verb;
	char what[CONF_NAME_SIZE], text[128];

	(void)word(args, what, sizeof(what));
	if (!c->console->admin) {
		put_error(c, "42501", "admin access needed");
		return true;
	}
	if ((commands[i].what == '-') != (what[0] == '\0') && commands[i].what != 'o' &&
	    commands[i].what != 'm') {
		put_error(c, "42601", "bad arguments");
		return true;
	}
	if (strchr("od", commands[i].what) != NULL && what[0] != '\0' &&
	    conf_database(wk->conf, what) == NULL) {
		snprintf(text, sizeof(text), "no such database: %s", what);
		put_error(c, "3D000", text);
		return true;
	}
	if (verb == CMD_SHUTDOWN && what[0] != '\0')
		verb = CMD_SHUTDOWN_WAIT;
	return send_command(c, verb, what);
}

/* SET option = value; what is no option of ours is a habit of drivers. False: the answer comes
 * later.
 */
static bool
do_set(struct client *c, const char *args)
{
	char name[64], value[256], what[336];

	args = word(args, name, sizeof(name));
	args += strspn(args, " \t=");
	(void)word(args, value, sizeof(value));
	if (!conf_has_option(name)) {
		put_complete(c, "SET");
		return true;
	}
	if (!c->console->admin) {
		put_error(c, "42501", "admin access needed");
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
	const char *args = word(k->text, k->verb, sizeof(k->verb));
	char text[128];
	size_t i;

	(void)upper(k->verb);
	if (k->verb[0] == '\0') {
		put_empty(c, 'I');
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
		put_complete(c, k->verb);
		return true;
	}
	snprintf(text, sizeof(text), "invalid command '%s', use SHOW HELP;", k->verb);
	put_error(c, "42601", text);
	return true;
}

static void
run_now(struct client *c)
{
	if (run(c))
		finished(c);
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
		put_complete(c, c->console->verb);
	} else {
		snprintf(text, sizeof(text), "%s%.*s",
		    strcmp(c->console->verb, "RELOAD") == 0 ? "RELOAD failed: " : "", (int)len,
		    (const char *)why);
		put_error(c, "F0000", text);
	}
	finished(c);
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
	(void)parse_show(word(c->console->text, verb, sizeof(verb)), &clause);
	show_rows(c, s, clause);
	sheet_free(s);
	finished(c);
}

/* --- the extended protocol ----------------------------------------------------------------------
 */

static struct console_stmt *
find_prepared(struct console *k, const char *name)
{
	size_t i;

	for (i = 0; i < NAMES; i++)
		if (k->prepared[i].name != NULL && strcmp(k->prepared[i].name, name) == 0)
			return &k->prepared[i];
	return NULL;
}

static void
drop_prepared(struct console_stmt *p)
{
	free(p->name);
	free(p->text);
	*p = (struct console_stmt){NULL, NULL};
}

static void
got_parse(struct client *c, struct wire_in *in)
{
	struct console *k = c->console;
	const char *name = wire_get_string(in), *text = wire_get_string(in);
	struct console_stmt *p;
	size_t i;

	if (name == NULL || text == NULL || strlen(text) >= TEXT_MAX) {
		put_error(c, "08P01", "invalid Parse message");
		return;
	}
	p = find_prepared(k, name);
	for (i = 0; p == NULL && i < NAMES; i++)
		if (k->prepared[i].name == NULL)
			p = &k->prepared[i];
	if (p == NULL) {
		put_error(c, "53200", "too many prepared statements for the console");
		return;
	}
	drop_prepared(p);
	p->name = strdup(name);
	p->text = strdup(text);
	if (p->name == NULL || p->text == NULL)
		fatal("console");
	put_empty(c, '1');
}

static void
got_bind(struct client *c, struct wire_in *in)
{
	struct console *k = c->console;
	const char *portal = wire_get_string(in), *name = wire_get_string(in);
	struct console_stmt *p = name == NULL ? NULL : find_prepared(k, name);
	uint16_t n, i;

	if (portal == NULL || p == NULL) {
		put_error(c, "26000", "prepared statement does not exist");
		return;
	}
	for (n = wire_get_int16(in); n > 0 && !in->failed; n--)
		(void)wire_get_int16(in);
	n = wire_get_int16(in);
	if (n != 0) {
		put_error(c, "08P01", "the console takes no parameters");
		return;
	}
	n = wire_get_int16(in);
	for (i = 0; i < n && i < FORMATS; i++)
		k->formats[i] = wire_get_int16(in);
	k->nformats = n < FORMATS ? n : FORMATS;
	strlcpy(k->text, p->text, sizeof(k->text));
	put_empty(c, '2');
}

static void
describe_text(struct client *c, const char *text)
{
	char verb[24];
	const char *args = word(text, verb, sizeof(verb)), *clause;
	const struct show *show = NULL;
	struct sheet *s;

	if (strcasecmp(verb, "show") == 0 || strcasecmp(verb, "select") == 0)
		show = parse_show(args, &clause);
	if (show == NULL) {
		put_empty(c, 'n');
		return;
	}
	s = sheet_new(show->columns);
	sheet_describe(s, &c->conn, is_binary, c->console);
	sheet_free(s);
}

static void
got_describe(struct client *c, struct wire_in *in)
{
	struct console *k = c->console;
	uint8_t what = wire_get_byte(in), msg[16];
	const char *name = wire_get_string(in);
	struct console_stmt *p = name == NULL ? NULL : find_prepared(k, name);
	struct wire_out w;

	k->simple = false;
	if (what == 'P') {
		describe_text(c, k->text);
		return;
	}
	if (p == NULL) {
		put_error(c, "26000", "prepared statement does not exist");
		return;
	}
	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 't');
	wire_int16(&w, 0);
	wire_end(&w);
	put(c, &w);
	k->nformats = 0;
	describe_text(c, p->text);
}

static void
got_close(struct client *c, struct wire_in *in)
{
	uint8_t what = wire_get_byte(in);
	const char *name = wire_get_string(in);
	struct console_stmt *p = name == NULL ? NULL : find_prepared(c->console, name);

	if (what == 'S' && p != NULL)
		drop_prepared(p);
	put_empty(c, '3');
}

/* --- messages -----------------------------------------------------------------------------------
 */

static void
got_query(struct client *c, struct wire_in *in)
{
	struct console *k = c->console;
	const char *text = wire_get_string(in);

	k->simple = true;
	k->skip = false;
	if (text == NULL || strlen(text) >= sizeof(k->text)) {
		put_error(c, "08P01", "the statement is too long for the console");
		put_ready(c);
		return;
	}
	strlcpy(k->text, text, sizeof(k->text));
	run_now(c);
}

/* False: the client is gone. */
static bool
message(struct client *c, uint8_t type, const uint8_t *body, size_t len)
{
	struct console *k = c->console;
	struct wire_in in;

	wire_read(&in, body, len);
	if (type == 'X') {
		client_close(c, "client said goodbye");
		return false;
	}
	if (k->skip && type != 'S')
		return true;
	k->simple = false;
	switch (type) {
	case 'Q':
		got_query(c, &in);
		break;
	case 'P':
		got_parse(c, &in);
		break;
	case 'B':
		got_bind(c, &in);
		break;
	case 'D':
		got_describe(c, &in);
		break;
	case 'E':
		run_now(c);
		break;
	case 'C':
		got_close(c, &in);
		break;
	case 'S':
		k->skip = false;
		put_ready(c);
		break;
	case 'H':
		break;
	default:
		put_error(c, "08P01", "the console does not know this message");
		break;
	}
	return true;
}

/* One message out of the buffer. False: nothing more to do for now. */
static bool
step(struct client *c)
{
	struct buf *in = c->conn.in;
	uint32_t len, avail;
	uint8_t type;
	enum wire_result r;

	if (in == NULL || c->console->ticket != 0)
		return false;
	avail = in->tail - in->head;
	r = wire_header(in->data + in->head, avail, buf_cap(), &type, &len);
	if (r == WIRE_BAD) {
		client_fail(c, &(struct wire_error){.severity = "FATAL",
				   .sqlstate = "08P01",
				   .message = "invalid message length"});
		return false;
	}
	if (r == WIRE_MORE || len > avail)
		return false;
	c->conn.in = NULL;
	in->head += len;
	in->fwd = in->head;
	if (!message(c, type, in->data + in->head - len + WIRE_HEADER, len - WIRE_HEADER)) {
		buf_put(in);
		return false;
	}
	c->conn.in = in;
	conn_trim(&c->conn);
	return true;
}

void
console_event(struct client *c)
{
	int n = 1;

	while (step(c))
		;
	while (c->state == CLIENT_CONSOLE && c->console->ticket == 0 && n != 0 &&
	       conn_can_recv(&c->conn)) {
		n = conn_recv(&c->conn);
		if (n == -1) {
			client_close(
			    c, errno == 0 ? "client closed the connection" : strerror(errno));
			return;
		}
		while (step(c))
			;
		if (c->conn.src.fd == -1 || c->state != CLIENT_CONSOLE)
			return;
	}
	if (c->state != CLIENT_CONSOLE || c->conn.src.fd == -1)
		return;
	if (c->console->ticket != 0 && c->conn.hup) {
		client_close(c, "client closed the connection");
		return;
	}
	if (c->conn.out != NULL && conn_send(&c->conn, NULL, NULL) == CONN_BROKEN)
		client_close(c, strerror(errno));
}

/* --- login --------------------------------------------------------------------------------------
 */

static void
put_parameters(struct client *c)
{
	static const char *const parameters[][2] = {{"server_version", "15.0/pgdrove"},
	    {"client_encoding", "UTF8"}, {"server_encoding", "UTF8"}, {"DateStyle", "ISO, MDY"},
	    {"TimeZone", "GMT"}, {"IntervalStyle", "postgres"}, {"integer_datetimes", "on"},
	    {"standard_conforming_strings", "on"}, {"is_superuser", "on"}};
	size_t i;

	for (i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
		conn_put_parameter(&c->conn, parameters[i][0], parameters[i][1]);
}

void
console_login(struct client *c, const char *user)
{
	static const uint8_t ok[] = {'R', 0, 0, 0, 8, 0, 0, 0, 0};
	bool admin = console_owner(c, user) || stands_in(wk->conf->admin_users, user);
	struct console *k;

	if (!admin && !stands_in(wk->conf->stats_users, user) && wk->conf->auth_type != AUTH_ANY) {
		client_refuse(c,
		    &(struct wire_error){.severity = "FATAL",
			.sqlstate = "28000",
			.message = "not allowed",
			.hint = "The console is for admin_users and stats_users."},
		    "the console is not for this user");
		return;
	}
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		fatal("console");
	log_info("console: %s logged in as %s", user, admin ? "administrator" : "observer");
	k->admin = admin;
	client_auth_fini(c);
	timer_stop(&c->timer);
	c->console = k;
	c->state = CLIENT_CONSOLE;
	conn_put(&c->conn, ok, sizeof(ok));
	put_parameters(c);
	put_ready(c);
	loop_again(&c->conn.src);
}

void
console_fini(struct client *c)
{
	struct console *k = c->console;
	size_t i;

	if (k == NULL)
		return;
	for (i = 0; i < NAMES; i++)
		drop_prepared(&k->prepared[i]);
	free(k);
	c->console = NULL;
}

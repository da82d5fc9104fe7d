/*
 * console: see console.h. Called by client_login.c, client_auth.c and client.c.
 *
 * One statement at a time: while a command is with the master, or rows are being gathered, what the
 * client sends next waits in its buffer. Errors leave the session alive; in the extended protocol
 * what follows one is skipped up to Sync. Nothing here touches a backend or another client.
 */
#include "worker/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "worker/client.h"
#include "worker/client_auth.h"
#include "worker/console_impl.h"

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

void
console_put(struct client *c, const struct wire_out *w)
{
	ENSURE(!w->failed);
	conn_put(&c->conn, w->base, w->len);
}

void
console_put_empty(struct client *c, uint8_t type)
{
	uint8_t msg[8];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, type);
	wire_end(&w);
	console_put(c, &w);
}

void
console_put_ready(struct client *c)
{
	uint8_t msg[8];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_ready(&w, 'I');
	console_put(c, &w);
}

void
console_put_complete(struct client *c, const char *tag)
{
	uint8_t msg[64];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 'C');
	wire_string(&w, tag);
	wire_end(&w);
	console_put(c, &w);
}

void
console_error(struct client *c, const char *sqlstate, const char *text)
{
	uint8_t msg[1024];
	struct wire_out w;
	char line[512];

	strlcpy(line, text, sizeof(line));
	wire_init(&w, msg, sizeof(msg));
	wire_error(
	    &w, &(struct wire_error){.severity = "ERROR", .sqlstate = sqlstate, .message = line});
	console_put(c, &w);
	c->console->skip = !c->console->simple;
}

bool
console_is_binary(void *arg, size_t column)
{
	const struct console *k = arg;

	if (k->simple || k->nformats == 0)
		return false;
	return k->formats[k->nformats == 1 ? 0 : column < k->nformats ? column : 0] == 1;
}

/* The statement is done: the next may come. */
void
console_finished(struct client *c)
{
	struct console *k = c->console;

	k->ticket = 0;
	if (k->simple)
		console_put_ready(c);
	loop_again(&c->conn.src);
	c->conn.readable = true;
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
		console_error(c, "08P01", "the statement is too long for the console");
		console_put_ready(c);
		return;
	}
	strlcpy(k->text, text, sizeof(k->text));
	console_run(c);
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
		console_parse(c, &in);
		break;
	case 'B':
		console_bind(c, &in);
		break;
	case 'D':
		console_describe(c, &in);
		break;
	case 'E':
		console_run(c);
		break;
	case 'C':
		console_close_name(c, &in);
		break;
	case 'S':
		k->skip = false;
		console_put_ready(c);
		break;
	case 'H':
		break;
	default:
		console_error(c, "08P01", "the console does not know this message");
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
	static const char *const parameters[][2] = {{"server_version", CONSOLE_SERVER_VERSION},
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
	console_put_ready(c);
	loop_again(&c->conn.src);
}

void
console_fini(struct client *c)
{
	struct console *k = c->console;
	size_t i;

	if (k == NULL)
		return;
	for (i = 0; i < CONSOLE_NAMES; i++)
		console_drop(&k->prepared[i]);
	free(k);
	c->console = NULL;
}

/*
 * client_login: a client's first packets, up to the welcome. Called by client.c for clients in
 * state CLIENT_STARTUP, and by the pool when the welcome is known.
 *
 * On failure the client is told why in PostgreSQL's terms and closed; nothing of it is kept.
 */
#include "worker/client_login.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "proto/proxy.h"
#include "proto/startup.h"
#include "worker/cancel.h"
#include "worker/client_auth.h"
#include "worker/console.h"
#include "worker/pool.h"
#include "worker/relay.h"
#include "worker/replication.h"
#include "worker/tls.h"

/* --- what it asks for ------------------------------------------------------------------------- */

static void
refuse(
    struct client *c, const char *sqlstate, const char *hint, const char *text_is, const char *what)
{
	char text[256];

	snprintf(text, sizeof(text), "%s%s", text_is, what);
	client_fail(
	    c, &(struct wire_error){
		   .severity = "FATAL", .sqlstate = sqlstate, .message = text, .hint = hint});
}

static bool
ignored_parameter(const char *name)
{
	const char *list = wk->conf->ignore_startup_parameters;
	size_t n = strlen(name);

	while (*list != '\0') {
		size_t len = strcspn(list, ", ");
		if (len == n && strncasecmp(list, name, n) == 0)
			return true;
		list += len;
		list += strspn(list, ", ");
	}
	return false;
}

/* Any other setting: the first backend will say whether there is such a thing. */
static void
take_setting(struct client *c, const char *name, const char *value)
{
	char lower[WIRE_STARTUP_MAX];
	size_t i;

	strlcpy(lower, name, sizeof(lower));
	for (i = 0; lower[i] != '\0'; i++)
		if (lower[i] >= 'A' && lower[i] <= 'Z')
			lower[i] = (char)(lower[i] | 0x20);
	params_put(&c->params, lower, value);
}

static int
take_parameter(void *arg, const char *name, const char *value)
{
	struct client *c = arg;
	int i = params_index(name);

	if (i != -1)
		return params_set(&c->params, i, value) ? 0 : -1;
	if (ignored_parameter(name))
		return 0;
	take_setting(c, name, value);
	return 0;
}

static bool
take_parameters(struct client *c, const struct startup *s)
{
	size_t i;

	for (i = 0; i < s->nparams; i++)
		if (take_parameter(c, s->params[i].name, s->params[i].value) == -1)
			return false;
	if (s->options == NULL || startup_options(s->options, take_parameter, c) == 0)
		return true;
	if (c->state == CLIENT_STARTUP)
		refuse(c, "0A000", NULL, "unsupported startup parameter in options: ", s->options);
	return false;
}

/* Which version we speak, and which extensions we do not; it goes before all other answers. */
static void
negotiate(struct client *c, const struct startup *s)
{
	uint8_t *msg = malloc(WIRE_STARTUP_MAX + 32);
	struct wire_out w;

	if (msg == NULL)
		fatal("login");
	wire_init(&w, msg, WIRE_STARTUP_MAX + 32);
	startup_negotiate(&w, s);
	conn_put(&c->conn, msg, w.len);
	free(msg);
}

static void
begin_session(struct client *c, const struct startup *s)
{
	c->replication = s->replication;
	c->long_key = s->protocol >= WIRE_PROTO_3_2;
	if (s->negotiate)
		negotiate(c, s);
	if (c->offer != NULL && c->offer->mode >= TLS_REQUIRE && c->conn.tls == NULL)
		refuse(c, "28000", "Connect with sslmode=require.", "SSL required", "");
	else if (take_parameters(c, s))
		client_auth_start(c, s->database, s->user);
}

/* The row in the client table and the place in the pool. False: it was refused. */
static bool
take_place(struct client *c, const char *db, const char *user, const struct conf_database *d)
{
	uint8_t key[TABLE_CLIENT_KEY];
	struct wire_error why;

	if (!c->internal && !pool_admit(c, db, user, d, &why)) {
		client_fail(c, &why);
		return false;
	}
	c->row = table_client_take(wk->table, wk->self, &c->pid, key);
	explicit_bzero(key, sizeof(key));
	if (c->row == TABLE_NONE) {
		pool_dismiss(c);
		refuse(c, "53300", "Raise max_client_conn, or keep fewer connections open.",
		    "no more connections allowed (max_client_conn)", "");
		return false;
	}
	c->pool = pool_get(db, d->user != NULL && !c->internal ? d->user : user, d, &why);
	if (c->pool != NULL)
		return true;
	table_client_give(wk->table, wk->self, c->row);
	c->row = TABLE_NONE;
	pool_dismiss(c);
	client_fail(c, &why);
	return false;
}

void
client_login_go(struct client *c, const char *db, const char *user)
{
	const struct conf_database *d = conf_database(wk->conf, db);
	uint8_t welcome[TABLE_WELCOME_BYTES];
	size_t len;

	if (console_is(db) && c->replication == REPLICATION_NONE) {
		console_login(c, user);
		return;
	}
	if ((admin_flags(wk->boot->admin, db) & ADMIN_DISABLED) != 0) {
		refuse(c, "57P03", "ENABLE it on the console.", "database is disabled: ", db);
		return;
	}
	if (d == NULL) {
		refuse(c, "3D000",
		    c->replication == REPLICATION_PHYSICAL
			? "Physical replication needs an entry of this name, or \"*\", that says "
			  "which server is meant."
			: "Add it to databases, or add a \"*\" entry.",
		    "no such database: ", db);
		return;
	}
	if (wk->conf->auth_type == AUTH_ANY && d->user == NULL && !client_auth_known(c)) {
		refuse(c, "28000", "Add it to users.", "no such user: ", user);
		return;
	}
	if (!take_place(c, db, user, d))
		return;
	pool_learn(c->pool, user, client_auth_secret(c), client_auth_password(c));
	client_auth_fini(c);
	client_row_taken(c);
	if (c->replication != REPLICATION_NONE) {
		c->pool->nstreams++;
		replication_login(c);
		return;
	}
	len = c->pool->welcomed ? table_welcome_get(wk->table, c->pool->index, welcome) : 0;
	if (len > 0)
		client_welcome(c, welcome, len);
	else
		pool_login(c->pool, c);
}

/* --- first packets ---------------------------------------------------------------------------- */

/* Once each, and nothing may follow before our answer: it could be a man in the middle's. */
static bool
answer_encryption(struct client *c, bool ssl, bool more)
{
	bool *asked = ssl ? &c->asked_ssl : &c->asked_gss;

	if (*asked) {
		refuse(c, "0A000", NULL, "unsupported frontend protocol ",
		    ssl ? "1234.5679: server supports 3.0 to 3.2"
			: "1234.5680: server supports 3.0 to 3.2");
		return false;
	}
	*asked = true;
	if (!ssl || c->offer == NULL)
		conn_put(&c->conn, "N", 1);
	else if (!more)
		conn_put(&c->conn, "S", 1);
	if (more)
		refuse(c, "08P01", NULL, "received unencrypted data after ",
		    ssl ? "SSL request" : "GSSAPI encryption request");
	return !more;
}

/* What comes from now on is TLS: its own request for encryption is answered for good. */
static void
begin_tls(struct client *c, bool direct)
{
	c->asked_ssl = c->asked_gss = true;
	if (tls_accept(&c->conn, c->offer, direct) == -1)
		client_close(c, "no memory for TLS");
}

/* As PostgreSQL 17 takes it: a handshake record instead of a startup packet, by TCP. */
static bool
is_direct_tls(const struct client *c, const struct buf *in)
{
	return c->offer != NULL && c->conn.tls == NULL && !c->asked_ssl && !c->asked_gss &&
	       in->data[in->head] == 0x16;
}

/* The balancer's word on who the client is, before anything else. False: wait, or it is over. */
static bool
proxy_step(struct client *c, struct buf *in)
{
	struct proxy x;

	switch (proxy_parse(in->data + in->head, in->tail - in->head, &x)) {
	case PROXY_MORE:
		return false;
	case PROXY_BAD:
		stats_add(&wk->row->protocol_errors, 1);
		client_hang_up(c, "closed: no header of the PROXY protocol");
		return false;
	case PROXY_OK:
		break;
	}
	c->proxied = false;
	if (x.known && x.port != 0) {
		c->addr = x.addr;
		c->port = x.port;
	}
	in->head += (uint32_t)x.len;
	in->fwd = in->head;
	conn_trim(&c->conn);
	return true;
}

/* Takes the first packets out of the buffer. False: nothing more to do for now. */
static bool
startup_step(struct client *c)
{
	struct buf *in = c->conn.in;
	struct startup s;
	enum startup_kind kind;

	if (in == NULL || c->state != CLIENT_STARTUP)
		return false;
	if (c->proxied)
		return proxy_step(c, in);
	if (is_direct_tls(c, in)) {
		begin_tls(c, true);
		return false;
	}
	kind = startup_parse(in->data + in->head, in->tail - in->head, &s);
	switch (kind) {
	case STARTUP_MORE:
		return false;
	case STARTUP_BAD:
		stats_add(&wk->row->protocol_errors, 1);
		refuse(c, s.sqlstate, NULL, "", s.error);
		return false;
	case STARTUP_SSL:
	case STARTUP_GSSENC:
		if (!answer_encryption(c, kind == STARTUP_SSL, in->tail - in->head > s.len))
			return false;
		break;
	case STARTUP_CANCEL:
		cancel_request(c, s.cancel_pid, s.cancel_key, s.cancel_key_len);
		return false;
	case STARTUP_SESSION:
		begin_session(c, &s);
		if (c->state == CLIENT_CLOSING)
			return false;
		break;
	}
	in->head += s.len;
	in->fwd = in->head;
	conn_trim(&c->conn);
	if (kind == STARTUP_SSL && c->offer != NULL)
		begin_tls(c, false);
	return true;
}

/* Before it was logged in: quietly, unless it is TLS that failed. */
static void
lost(struct client *c)
{
	char text[320];

	if (c->conn.tls == NULL || tls_up(&c->conn)) {
		client_close(c, errno == 0 ? "closed before login" : conn_why(&c->conn));
		return;
	}
	snprintf(text, sizeof(text), "TLS handshake failed: %s", conn_why(&c->conn));
	client_hang_up(c, text);
}

void
client_login_event(struct client *c)
{
	int n;

	while (c->state == CLIENT_STARTUP && conn_can_recv(&c->conn)) {
		n = conn_recv(&c->conn);
		if (n == -1) {
			lost(c);
			return;
		}
		while (startup_step(c))
			;
		if (c->conn.src.fd == -1)
			return;
		if (n == 0)
			break;
	}
	if (conn_unsent(&c->conn) && conn_send(&c->conn, NULL, NULL) == CONN_BROKEN)
		lost(c);
	else if (c->state == CLIENT_IDLE && c->conn.in != NULL)
		relay_client_event(c, false);
}

/* --- welcome ---------------------------------------------------------------------------------- */

/* A boolean as the server spells it; anything else as it is. */
static const char *
spelled(const char *value, const char *usual)
{
	static const char *const yes[] = {"true", "yes", "on", "1", "t", "y"};
	static const char *const no[] = {"false", "no", "off", "0", "f", "n"};
	size_t i;

	if (strcmp(usual, "on") != 0 && strcmp(usual, "off") != 0)
		return value;
	for (i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (strcasecmp(value, yes[i]) == 0)
			return "on";
		if (strcasecmp(value, no[i]) == 0)
			return "off";
	}
	return value;
}

/* The client's own value of a setting that the server reports, or NULL. Beyond those known by index
 * they have lower-case names: search_path (PostgreSQL 18), default_transaction_read_only. */
static const char *
own_value(const struct client *c, const char *name, const char *usual)
{
	int i = params_index(name);
	const char *value = i != -1 ? c->params.v[i] : gucs_get(c->params.set, name);

	return value == NULL || i != -1 ? value : spelled(value, usual);
}

/* The server's ParameterStatus messages with the client's own values in their places. */
static void
put_parameters(struct client *c, const uint8_t *params, size_t len)
{
	size_t at = 0;

	while (len - at >= WIRE_HEADER) {
		uint32_t n = wire_get32(params + at + 1) + 1;
		struct wire_in in;
		const char *name, *usual, *own = NULL;
		wire_read(&in, params + at + WIRE_HEADER, n - WIRE_HEADER);
		name = wire_get_string(&in);
		usual = wire_get_string(&in);
		if (name != NULL && usual != NULL)
			own = own_value(c, name, usual);
		if (own != NULL && params_index(name) == -1)
			session_told_at_login(c, name, own);
		if (own != NULL)
			conn_put_parameter(&c->conn, name, own);
		else
			conn_put(&c->conn, params + at, n);
		at += n;
	}
}

static void
put_key(struct client *c, struct wire_out *w)
{
	uint8_t key[TABLE_CLIENT_KEY];

	table_client_key(wk->table, c->row, key);
	wire_begin(w, 'K');
	wire_int32(w, (uint32_t)c->pid);
	wire_bytes(w, key, c->long_key ? sizeof(key) : 4);
	wire_end(w);
	explicit_bzero(key, sizeof(key));
}

void
client_welcome(struct client *c, const uint8_t *params, size_t len)
{
	static const uint8_t authentication_ok[] = {'R', 0, 0, 0, 8, 0, 0, 0, 0};
	uint8_t msg[128];
	struct wire_out w;

	params_default(&c->params, &c->pool->defaults);
	params_spell(&c->params, &c->pool->defaults);
	session_begin(c);
	conn_put(&c->conn, authentication_ok, sizeof(authentication_ok));
	put_parameters(c, params, len);
	wire_init(&w, msg, sizeof(msg));
	put_key(c, &w);
	wire_ready(&w, 'I');
	ENSURE(!w.failed);
	conn_put(&c->conn, msg, w.len);
	explicit_bzero(msg, sizeof(msg));
	c->state = CLIENT_IDLE;
	loop_again(&c->conn.src);
	client_watch_idle(c);
	if (c->internal)
		return;
	stats_took(&c->pool->times->login, loop_now() - c->born_us);
	stats_add(&wk->row->logins, 1);
	stats_add(&c->pool->row->cl_logins, 1);
	if (wk->conf->log_connections)
		client_log(c, "logged in", NULL);
}

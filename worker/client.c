/*
 * client: see client.h.
 *
 * Owns the socket, the row in the client table and the place in the pool. Whatever goes wrong on
 * one client ends that client only. An error text is followed by a shutdown and a short wait for
 * the peer's end: closing with unread input would send RST and the text could be lost.
 */
#include "worker/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/string.h>
#include <unistd.h>

#include "conf/log.h"
#include "proto/startup.h"
#include "worker/backend.h"
#include "worker/cancel.h"
#include "worker/pool.h"
#include "worker/relay.h"

#define LINGER_US 2000000

static struct client_queue clients = TAILQ_HEAD_INITIALIZER(clients);
static uint32_t nclients;
static struct client **by_row;

static void client_event(struct loop_source *, uint32_t);

/* --- names
 * ------------------------------------------------------------------------------------------ */

static const char *
client_name(const struct client *c)
{
	static char text[256];
	char addr[INET6_ADDRSTRLEN] = "unix";

	if (c->port != 0 && IN6_IS_ADDR_V4MAPPED(&c->addr))
		inet_ntop(AF_INET, c->addr.s6_addr + 12, addr, sizeof(addr));
	else if (c->port != 0)
		inet_ntop(AF_INET6, &c->addr, addr, sizeof(addr));
	snprintf(text, sizeof(text), "client %s/%s@%s:%u", c->pool != NULL ? c->pool->db : "-",
	    c->pool != NULL ? c->pool->user : "-", addr, c->port);
	return text;
}

static void
note_address(struct client *c, const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)ss;
		c->addr.s6_addr[10] = c->addr.s6_addr[11] = 0xff;
		memcpy(c->addr.s6_addr + 12, &in->sin_addr, 4);
		c->port = ntohs(in->sin_port);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)ss;
		c->addr = in6->sin6_addr;
		c->port = ntohs(in6->sin6_port);
	}
}

/* --- birth and end
 * -------------------------------------------------------------------------------------- */

static void
login_timeout(struct timer *t)
{
	client_fail(LOOP_CONTAINER(t, struct client, timer),
	    &(struct wire_error){.severity = "FATAL",
		.sqlstate = "57014",
		.message = "client_login_timeout",
		.detail = "The login was not finished in time."});
}

void
client_accepted(int fd, const struct sockaddr_storage *addr)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL || conn_open(&c->conn, fd, addr->ss_family == AF_UNIX, client_event) == -1) {
		log_warn("cannot serve a new client");
		close(fd);
		free(c);
		return;
	}
	c->row = TABLE_NONE;
	note_address(c, addr);
	TAILQ_INSERT_TAIL(&clients, c, all);
	nclients++;
	stats_add(&wk->row->clients, 1);
	if (wk->conf->client_login_timeout_us > 0)
		timer_set(&c->timer, loop_now() + wk->conf->client_login_timeout_us, login_timeout);
}

static void
client_free(struct client *c)
{
	timer_stop(&c->timer);
	conn_close(&c->conn);
	params_fini(&c->params);
	TAILQ_REMOVE(&clients, c, all);
	nclients--;
	stats_add(&wk->row->clients, (uint64_t)-1);
	loop_free_later(c);
	worker_check_done();
}

struct backend *
client_unlink(struct client *c)
{
	struct backend *b = c->backend;

	stats_add(&c->pool->row->cl_active, (uint64_t)-1);
	stats_add(&c->pool->row->sv_active, (uint64_t)-1);
	stats_add(&c->pool->row->cl_idle, 1);
	stats_add(&wk->row->clients_active, (uint64_t)-1);
	stats_add(&c->pool->row->xact_time_us, (uint64_t)(loop_now() - b->since_us));
	b->client = NULL;
	c->backend = NULL;
	c->state = CLIENT_IDLE;
	return b;
}

/* Leaves pool, row and backend: what follows on this socket concerns nobody else. */
static void
client_leave(struct client *c, const char *why)
{
	struct pool *p = c->pool;
	struct backend *b;
	bool cut = c->conn.left > 0;

	if (c->row == TABLE_NONE && c->state != CLIENT_CANCEL && c->state != CLIENT_CLOSING)
		stats_add(&wk->row->login_failures, 1);
	if (c->state == CLIENT_CANCEL)
		cancel_client_gone(c);
	if (p == NULL)
		return;
	if (wk->conf->log_disconnections)
		log_info("%s: closed: %s", client_name(c), why);
	if (c->backend != NULL) {
		b = client_unlink(c);
		b->dirty = p->mode == POOL_SESSION;
		if (cut)
			backend_close(b, "client left in mid-message");
		else if (b->state == BACKEND_ACTIVE)
			backend_clean(b);
	} else if (c->state == CLIENT_WAITING || c->state == CLIENT_LOGIN) {
		pool_unqueue(p, c);
	}
	if (c->row != TABLE_NONE) {
		stats_add(&p->row->cl_idle, (uint64_t)-1);
		by_row[c->row] = NULL;
		table_client_give(wk->table, wk->self, c->row);
		c->row = TABLE_NONE;
	}
	c->pool = NULL;
	pool_client_gone(p);
}

void
client_close(struct client *c, const char *why)
{
	client_leave(c, why);
	client_free(c);
}

static void
linger_end(struct timer *t)
{
	client_free(LOOP_CONTAINER(t, struct client, timer));
}

static void
client_linger(struct client *c)
{
	enum conn_sent r = conn_send(&c->conn, NULL, NULL);

	if (r == CONN_BROKEN) {
		client_free(c);
		return;
	}
	if (r == CONN_SENT)
		(void)shutdown(c->conn.src.fd, SHUT_WR);
	while (c->conn.readable || c->conn.hup) {
		int n = conn_recv(&c->conn);
		if (n == -1) {
			client_free(c);
			return;
		}
		if (c->conn.in != NULL)
			c->conn.in->head = c->conn.in->fwd = c->conn.in->tail;
		conn_trim(&c->conn);
		if (n == 0)
			break;
	}
}

/* `whole`: no message to the client is half-way, so that ours can be understood. */
static void
client_end(struct client *c, bool whole, const uint8_t *msg, size_t len, const char *why)
{
	struct buf *in;

	if (c->state == CLIENT_CLOSING)
		return;
	client_leave(c, why);
	c->state = CLIENT_CLOSING;
	if ((in = c->conn.in) != NULL)
		in->head = in->fwd = in->tail;
	conn_trim(&c->conn);
	if (whole)
		conn_put(&c->conn, msg, len);
	timer_set(&c->timer, loop_now() + LINGER_US, linger_end);
	loop_again(&c->conn.src);
}

static bool
at_border(struct client *c)
{
	struct backend *b = c->backend;

	if (b == NULL)
		return true;
	conn_put_rest(&c->conn, &b->conn);
	return b->conn.left == 0;
}

void
client_fail(struct client *c, const struct wire_error *e)
{
	uint8_t msg[1024];
	struct wire_out w;
	bool whole = at_border(c);

	wire_init(&w, msg, sizeof(msg));
	wire_error(&w, e);
	log_info("%s: refused or cut off: %s (%s)", client_name(c), e->message, e->sqlstate);
	client_end(c, whole, msg, w.len, e->message);
}

void
client_fail_raw(struct client *c, const uint8_t *body, size_t len)
{
	uint8_t head[WIRE_HEADER] = {'E'};
	bool whole = at_border(c);

	if (body == NULL) {
		client_fail(c, &(struct wire_error){.severity = "FATAL",
				   .sqlstate = "08006",
				   .message = "the server cannot be used"});
		return;
	}
	wire_put32(head + 1, (uint32_t)len + 4);
	if (whole)
		conn_put(&c->conn, head, sizeof(head));
	client_end(c, whole, body, len, "the server refused the login");
}

/* --- first packets
 * -------------------------------------------------------------------------------------------- */

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

static int
take_parameter(void *arg, const char *name, const char *value)
{
	struct client *c = arg;
	int i = params_index(name);

	if (i != -1)
		return params_set(&c->params, i, value) ? 0 : -1;
	if (ignored_parameter(name))
		return 0;
	refuse(c, "0A000", "Add its name to ignore_startup_parameters to have it ignored.",
	    "unsupported startup parameter: ", name);
	return -1;
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

static bool
user_known(const struct conf_database *d, const char *user)
{
	return (wk->conf->auth_type == AUTH_ANY && d->user != NULL) ||
	       conf_user(wk->conf, user) != NULL;
}

static void
begin_session(struct client *c, const struct startup *s)
{
	uint8_t key[TABLE_CLIENT_KEY], welcome[TABLE_WELCOME_BYTES];
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	const struct conf_database *d;
	struct wire_error why;
	size_t len;

	strlcpy(db, s->database, sizeof(db));
	strlcpy(user, s->user, sizeof(user));
	c->long_key = s->protocol >= WIRE_PROTO_3_2;
	c->negotiate = s->negotiate;
	d = conf_database(wk->conf, db);
	if (s->replication != NULL && strcmp(s->replication, "false") != 0) {
		refuse(c, "0A000", "Connect to PostgreSQL directly.",
		    "replication connections are not supported", "");
	} else if (d == NULL) {
		refuse(c, "3D000", "Add it to databases, or add a \"*\" entry.",
		    "no such database: ", db);
	} else if (!user_known(d, user)) {
		refuse(c, "28000", "Add it to users.", "no such user: ", user);
	} else if (!take_parameters(c, s)) {
		return;
	} else if ((c->row = table_client_take(wk->table, wk->self, &c->pid, key)) == TABLE_NONE) {
		refuse(c, "53300", NULL, "no more connections allowed (max_client_conn)", "");
	} else if ((c->pool = pool_get(db, user, d, &why)) == NULL) {
		table_client_give(wk->table, wk->self, c->row);
		c->row = TABLE_NONE;
		client_fail(c, &why);
	} else {
		by_row[c->row] = c;
		stats_add(&c->pool->row->cl_idle, 1);
		len = c->pool->welcomed ? table_welcome_get(wk->table, c->pool->index, welcome) : 0;
		if (len > 0)
			client_welcome(c, welcome, len);
		else
			pool_login(c->pool, c);
	}
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
		conn_put(&c->conn, "N", 1);
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
	return true;
}

static void
startup_event(struct client *c)
{
	int n;

	while (c->state == CLIENT_STARTUP && conn_can_recv(&c->conn)) {
		n = conn_recv(&c->conn);
		if (n == -1) {
			client_close(c, errno == 0 ? "closed before login" : strerror(errno));
			return;
		}
		while (startup_step(c))
			;
		if (c->conn.src.fd == -1)
			return;
		if (n == 0)
			break;
	}
	if (c->conn.out != NULL && conn_send(&c->conn, NULL, NULL) == CONN_BROKEN)
		client_close(c, strerror(errno));
	else if (c->state == CLIENT_IDLE && c->conn.in != NULL)
		relay_client_event(c, false);
}

/* --- welcome
 * ----------------------------------------------------------------------------------------------------
 */

/* The server's ParameterStatus messages with the client's own values in their places. */
static void
put_parameters(struct client *c, const uint8_t *params, size_t len)
{
	size_t at = 0;

	while (len - at >= WIRE_HEADER) {
		uint32_t n = wire_get32(params + at + 1) + 1;
		struct wire_in in;
		const char *name;
		int i;
		wire_read(&in, params + at + WIRE_HEADER, n - WIRE_HEADER);
		name = wire_get_string(&in);
		i = name == NULL ? -1 : params_index(name);
		if (i != -1 && c->params.v[i] != NULL) {
			uint8_t msg[2048];
			struct wire_out w;
			wire_init(&w, msg, sizeof(msg));
			wire_parameter(&w, name, c->params.v[i]);
			conn_put(&c->conn, msg, w.len);
		} else {
			conn_put(&c->conn, params + at, n);
		}
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
	uint8_t msg[256];
	struct wire_out w;
	struct startup s = {.protocol = WIRE_PROTO_3_2};

	params_default(&c->params, &c->pool->defaults);
	wire_init(&w, msg, sizeof(msg));
	if (c->negotiate)
		startup_negotiate(&w, &s);
	wire_begin(&w, 'R');
	wire_int32(&w, 0);
	wire_end(&w);
	conn_put(&c->conn, msg, w.len);
	put_parameters(c, params, len);
	wire_init(&w, msg, sizeof(msg));
	put_key(c, &w);
	wire_ready(&w, 'I');
	conn_put(&c->conn, msg, w.len);
	timer_stop(&c->timer);
	c->state = CLIENT_IDLE;
	stats_add(&wk->row->logins, 1);
	if (wk->conf->log_connections)
		log_info("%s: logged in", client_name(c));
	loop_again(&c->conn.src);
}

/* --- linking
 * -------------------------------------------------------------------------------------------------------
 */

/* Tells the client how the server spells the settings it asked for. */
static void
settle_params(struct client *c, struct backend *b)
{
	int i;

	for (i = 0; i < PARAMS_N; i++) {
		uint8_t msg[2048];
		struct wire_out w;
		if (b->params.v[i] == NULL || c->params.v[i] == b->params.v[i])
			continue;
		wire_init(&w, msg, sizeof(msg));
		wire_parameter(&w, params_name(i), b->params.v[i]);
		conn_put(&c->conn, msg, w.len);
		(void)params_set(&c->params, i, b->params.v[i]);
	}
}

static void
settings_done(struct backend *b, const uint8_t *error, size_t len)
{
	struct client *c = b->client;

	if (c == NULL) {
		backend_clean(b);
		return;
	}
	if (error != NULL) {
		backend_set_active(b);
		client_fail_raw(c, error, len);
		return;
	}
	settle_params(c, b);
	backend_set_active(b);
	relay_client_event(c, false);
}

void
client_linked(struct client *c, struct backend *b)
{
	char *sql;

	c->state = CLIENT_ACTIVE;
	if (params_match(&c->params, &b->params)) {
		backend_set_active(b);
		if (!c->conn.src.queued)
			loop_again(&c->conn.src);
		return;
	}
	sql = params_sql(&c->params, &b->params);
	if (sql == NULL)
		fatal("settings");
	backend_task(b, sql, NULL, settings_done);
	free(sql);
}

/* --- events
 * ----------------------------------------------------------------------------------------------------------
 */

static void
client_event(struct loop_source *s, uint32_t events)
{
	struct client *c = LOOP_CONTAINER(s, struct client, conn.src);
	bool writable = conn_note(&c->conn, events);

	switch (c->state) {
	case CLIENT_STARTUP:
		startup_event(c);
		break;
	case CLIENT_LOGIN:
	case CLIENT_WAITING:
	case CLIENT_CANCEL:
		if (c->conn.hup)
			client_close(c, "client closed the connection");
		break;
	case CLIENT_IDLE:
	case CLIENT_ACTIVE:
		relay_client_event(c, writable);
		break;
	case CLIENT_CLOSING:
		client_linger(c);
		break;
	}
}

/* --- tables
 * ------------------------------------------------------------------------------------------------------------
 */

struct client *
client_by_row(uint32_t row)
{
	return row < table_shape(wk->table)->clients ? by_row[row] : NULL;
}

void
client_tables_init(void)
{
	by_row = calloc(table_shape(wk->table)->clients, sizeof(struct client *));
	if (by_row == NULL)
		fatal("client rows");
}

uint32_t
client_count(void)
{
	return nclients;
}

void
client_drain(bool all)
{
	struct client *c, *next;

	TAILQ_FOREACH_SAFE (c, &clients, all, next) {
		struct backend *b = c->backend;
		bool border = b == NULL || (b->state == BACKEND_ACTIVE &&
					       expect_empty(&b->expect) && b->status == 'I');
		if (c->state == CLIENT_CLOSING || (!all && (!border || c->state == CLIENT_WAITING)))
			continue;
		client_fail(
		    c, &(struct wire_error){.severity = "FATAL",
			   .sqlstate = "57P01",
			   .message = "terminating connection due to administrator command"});
	}
}

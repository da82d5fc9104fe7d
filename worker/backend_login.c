/*
 * backend_login: authenticate at the server (trust, cleartext, MD5, SCRAM-SHA-256 and, over TLS,
 * -PLUS), collect its ParameterStatus messages. Called by backend_connect.c, which has made the
 * connection, and by backend.c. A failure that is this host's goes to backend_connect.c, which has
 * others perhaps; all others go to the pool, with the server's own ErrorResponse, or one of ours
 * that names the address and the cause.
 */
#include "worker/backend_login.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/log.h"
#include "conf/strongbox.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/gate.h"
#include "worker/keys.h"
#include "worker/pool.h"
#include "worker/replication.h"
#include "worker/tls.h"

struct backend *
backend_new(struct pool *p, uint32_t slot)
{
	struct backend *b = object_new(sizeof(*b));

	if (b == NULL)
		return NULL;
	b->pool = p;
	b->slot = slot;
	b->facts.dest = p->dest;
	b->facts.host = HOSTS_NONE;
	b->conn.src.fd = -1;
	expect_init(&b->expect, gate_settle);
	prepared_init(&b->prepared);
	LIST_INIT(&b->cancels);
	p->nbackends++;
	stats_add(&wk->row->backends, 1);
	return b;
}

void
backend_login_fini(struct backend *b)
{
	struct login *l = b->login;

	if (l == NULL)
		return;
	b->pool->nsetup -= l->setup;
	connect_fini(b);
	keys_cancel(&l->keys);
	free(l->welcome);
	strongbox_put(l);
	b->login = NULL;
}

void
login_reset(struct backend *b)
{
	struct login *l = b->login;

	conn_close(&b->conn);
	keys_cancel(&l->keys);
	free(l->welcome);
	free(l->refusal);
	l->welcome = l->refusal = NULL;
	l->welcome_len = l->server_first_len = 0;
	explicit_bzero(&l->scram, sizeof(l->scram));
	l->scram_begun = false;
	params_fini(&b->params);
	expect_fini(&b->expect);
	b->facts.pid = 0;
	b->facts.key_len = 0;
	if (b->state == BACKEND_LOGIN)
		backend_set_state(b, BACKEND_CONNECTING);
}

/* --- failure ---------------------------------------------------------------------------------- */

/* A fault that may pass by itself: those who wait go on waiting for a while. */
static bool
may_pass(const uint8_t *error, size_t len)
{
	return wire_error_field(error, len, 'C') == NULL || wire_error_is(error, len, "08") ||
	       wire_error_is(error, len, "57P03") || wire_error_is(error, len, "53300");
}

void
login_failed_body(struct backend *b, const uint8_t *error, size_t len)
{
	struct pool *p = b->pool;
	const char *state = wire_error_field(error, len, 'C'),
		   *text = wire_error_field(error, len, 'M');
	bool counts = b->slot != TABLE_NONE && !pool_stale(b);

	log_warnx("pool %s/%s: login at the server failed: %s (%s)", p->db, p->user,
	    text == NULL ? "?" : text, state == NULL ? "?" : state);
	if (b->slot != TABLE_NONE && (b->state != BACKEND_LOGIN || b->conn.hup)) {
		backend_free_slot(b->slot); /* who is told of the pool's state is not told of it */
		b->slot = TABLE_NONE;
	}
	if (b->own)
		replication_failed(b, error, len);
	else if (counts && b->login->undecided)
		pool_open_undecided(p);
	else if (counts)
		pool_open_failed(p, error, len, may_pass(error, len));
	if (counts && b->login->lacking) /* the next client may bring it */
		pool_open_anew(p);
	backend_abandon(b, "login failed");
}

void
login_failed(struct backend *b, const char *sqlstate, const char *what, const char *why)
{
	uint8_t msg[1400];
	char text[1000], where[300];
	struct wire_out w;

	if (b->facts.addr_len > 0)
		snprintf(
		    where, sizeof(where), "%s", address_text(&b->facts.addr, b->facts.addr_len));
	else if (b->login->nhosts > 1)
		snprintf(where, sizeof(where), "%s", b->pool->conf->host);
	else
		snprintf(where, sizeof(where), "%s port %u", b->login->target->name,
		    b->login->target->port);
	snprintf(text, sizeof(text), "%s %s: %s", what, where, why);
	wire_init(&w, msg, sizeof(msg));
	wire_error(
	    &w, &(struct wire_error){.severity = "FATAL", .sqlstate = sqlstate, .message = text});
	login_failed_body(b, msg + WIRE_HEADER, w.len - WIRE_HEADER);
}

static void
login_send(struct backend *b, struct wire_out *w)
{
	conn_put(&b->conn, w->base, w->len);
	if (conn_send(&b->conn, NULL, NULL) == CONN_BROKEN)
		connect_failed(b, "08006", "lost the server at", TARGET_CLOSED, strerror(errno));
}

void
login_begin(struct backend *b)
{
	uint8_t msg[WIRE_STARTUP_MAX];
	struct wire_out w;
	const struct conf_database *d = b->pool->conf;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 0);
	wire_int32(&w, WIRE_PROTO_3_0);
	wire_string(&w, "user");
	wire_string(&w, b->pool->user);
	wire_string(&w, "database");
	wire_string(&w, d->dbname != NULL ? d->dbname : b->pool->db);
	if (b->own)
		replication_put_startup(b->meant_for, &w);
	wire_byte(&w, 0);
	wire_end(&w);
	backend_set_state(b, BACKEND_LOGIN);
	if (w.failed)
		login_failed(b, "08P01", "cannot log in at", "too many startup parameters");
	else
		login_send(b, &w);
}

/* --- authentication --------------------------------------------------------------------------- */

static void
send_password(struct backend *b, const char *text)
{
	conn_put_header(&b->conn, 'p', strlen(text) + 1);
	conn_put(&b->conn, text, strlen(text) + 1);
	if (conn_send(&b->conn, NULL, NULL) == CONN_BROKEN)
		connect_failed(b, "08006", "lost the server at", TARGET_CLOSED, strerror(errno));
}

static void
auth_md5(struct backend *b, struct wire_in *in)
{
	const uint8_t *salt = wire_get_bytes(in, 4);
	char out[36];

	if (salt == NULL || scram_md5(b->pool->user, b->pool->secret, salt, out) == -1)
		login_failed(b, "08P01", "cannot log in at", "MD5 is not available");
	else
		send_password(b, out);
	explicit_bzero(out, sizeof(out));
}

static void
auth_sasl(struct backend *b, struct wire_in *in)
{
	char first[256];
	uint8_t msg[512];
	struct wire_out w;
	const char *mech;
	uint8_t binding[TLS_BINDING_MAX];
	struct scram_channel channel = {
	    .data = binding, .len = tls_channel_binding(&b->conn, binding)};
	bool plain = false;
	int n;

	while ((mech = wire_get_string(in)) != NULL && mech[0] != '\0') {
		plain |= strcmp(mech, SCRAM_NAME) == 0;
		channel.offered |= strcmp(mech, SCRAM_NAME_PLUS) == 0;
	}
	channel.used = channel.offered && channel.len > 0;
	if ((!plain && !channel.used) || (n = scram_client_first(&b->login->scram, &channel, NULL,
					      first, sizeof(first))) == -1) {
		login_failed(b, "08P01", "cannot log in at", "no SASL mechanism in common");
		return;
	}
	b->login->scram_begun = true;
	log_debug("pool %s/%s: %s", b->pool->db, b->pool->user,
	    channel.used ? SCRAM_NAME_PLUS : SCRAM_NAME);
	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 'p');
	wire_string(&w, channel.used ? SCRAM_NAME_PLUS : SCRAM_NAME);
	wire_int32(&w, (uint32_t)n);
	wire_bytes(&w, first, (size_t)n);
	wire_end(&w);
	login_send(b, &w);
}

/* The password, if that is what is stored. */
static const char *
plain_password(const struct pool *p)
{
	return p->secret != NULL && scram_secret_kind(p->secret) == SCRAM_SECRET_PLAIN ? p->secret
										       : NULL;
}

/* The pool's keys fit by now, or never will. */
static void
sasl_final(struct backend *b)
{
	char final[SCRAM_MESSAGE_MAX];
	uint8_t msg[SCRAM_MESSAGE_MAX + 16];
	const char *why;
	struct wire_out w;
	int n = scram_client_final(&b->login->scram, NULL, b->pool->scram, b->login->server_first,
	    b->login->server_first_len, final, sizeof(final), &why);

	if (n == -1) {
		login_failed(b, "08P01", "cannot log in at", why);
		return;
	}
	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 'p');
	wire_bytes(&w, final, (size_t)n);
	wire_end(&w);
	login_send(b, &w);
}

static void
keys_derived(struct keys_wait *w, const struct scram_keys *keys)
{
	struct login *l = LOOP_CONTAINER(w, struct login, keys);

	if (keys != NULL)
		*l->backend->pool->scram = *keys;
	sasl_final(l->backend);
}

/* The keys: the pool has them, some worker had them, a client of this name has proved them, or they
 * are derived now, beside the loop. */
static void
auth_sasl_continue(struct backend *b, struct wire_in *in)
{
	struct login *l = b->login;
	struct pool *p = b->pool;
	const char *password = plain_password(p);
	struct scram_keys wanted;

	if (!l->scram_begun || l->server_first_len > 0 || in->left > sizeof(l->server_first)) {
		login_failed(b, "08P01", "cannot log in at", "unexpected SASL message");
		return;
	}
	memcpy(l->server_first, in->p, in->left);
	l->server_first_len = in->left;
	if (!scram_client_slow(&l->scram, p->scram, l->server_first, in->left, &wanted)) {
		sasl_final(b);
	} else if (password == NULL ? keys_of_client(p->user, &wanted)
				    : keys_known(p->user, password, &wanted)) {
		*p->scram = wanted;
		sasl_final(b);
	} else if (password != NULL) {
		keys_derive(&l->keys, p->user, password, &wanted, true, keys_derived);
	} else {
		l->lacking = true;
		login_failed(b, "28P01", "cannot log in at",
		    p->secret == NULL
			? "the server wants a password and none is configured for this user"
			: "no password is known, and no client has logged in with the verifier "
			  "that the server has");
	}
	explicit_bzero(&wanted, sizeof(wanted));
}

static void
auth_sasl_final(struct backend *b, struct wire_in *in)
{
	if (!b->login->scram_begun ||
	    !scram_client_verify(&b->login->scram, (const char *)in->p, in->left))
		login_failed(b, "08P01", "cannot log in at",
		    "the server does not know the password (SCRAM signature)");
}

/* NULL, or why what is stored cannot answer this request. SCRAM may do without. */
static const char *
secret_useless(const struct pool *p, uint32_t code)
{
	enum scram_secret kind;

	if (code != WIRE_AUTH_CLEARTEXT && code != WIRE_AUTH_MD5)
		return NULL;
	if (p->secret == NULL)
		return "the server wants a password and none is configured for this user";
	kind = scram_secret_kind(p->secret);
	if (kind == SCRAM_SECRET_VERIFIER)
		return "the server wants the password, and only a SCRAM verifier is known";
	if (kind == SCRAM_SECRET_MD5 && code == WIRE_AUTH_CLEARTEXT)
		return "the server wants the password, and only an MD5 hash is known";
	return NULL;
}

static void
auth_request(struct backend *b, const uint8_t *body, size_t len)
{
	struct wire_in in;
	const char *why;
	uint32_t code;

	wire_read(&in, body, len);
	code = wire_get_int32(&in);
	if (code == WIRE_AUTH_OK && !in.failed)
		return;
	why = secret_useless(b->pool, code);
	if (why != NULL) {
		b->login->lacking = true;
		login_failed(b, "28P01", "cannot log in at", why);
		return;
	}
	switch (code) {
	case WIRE_AUTH_CLEARTEXT:
		send_password(b, b->pool->secret);
		break;
	case WIRE_AUTH_MD5:
		auth_md5(b, &in);
		break;
	case WIRE_AUTH_SASL:
		auth_sasl(b, &in);
		break;
	case WIRE_AUTH_SASL_CONTINUE:
		auth_sasl_continue(b, &in);
		break;
	case WIRE_AUTH_SASL_FINAL:
		auth_sasl_final(b, &in);
		break;
	default:
		login_failed(b, "08P01", "cannot log in at",
		    "the server wants an authentication method that is not supported");
	}
}

/* --- messages up to ReadyForQuery ------------------------------------------------------------- */

static void
keep_welcome(struct login *l, const uint8_t *msg, size_t len)
{
	uint8_t *more = realloc(l->welcome, l->welcome_len + len);

	if (more == NULL)
		fatal("welcome");
	l->welcome = more;
	memcpy(l->welcome + l->welcome_len, msg, len);
	l->welcome_len += len;
}

static void
keep_key(struct backend *b, const uint8_t *body, size_t len)
{
	if (len < 8 || len - 4 > sizeof(b->facts.key))
		return;
	b->facts.pid = (int32_t)wire_get32(body);
	b->facts.key_len = (uint32_t)len - 4;
	b->facts.opened_us = loop_now(); /* so its process is older than that: steward.c */
	memcpy(b->facts.key, body + 4, len - 4);
}

void
login_told(struct backend *b, const uint8_t *body, size_t len)
{
	uint8_t head[WIRE_HEADER] = {'S'};

	if (b->login == NULL)
		return;
	wire_put32(head + 1, (uint32_t)len + 4);
	keep_welcome(b->login, head, sizeof(head));
	keep_welcome(b->login, body, len);
}

/* What clients are told as their session's parameters, as connect_query has left them. */
static void
publish_welcome(struct backend *b)
{
	if (!pool_stale(b))
		pool_welcome_put(b->pool, b->login->welcome, b->login->welcome_len);
	backend_login_fini(b);
}

/* An error is for the log only: who needs the query to have worked would find out anyway, and the
 * others need not suffer. */
static void
connect_query_done(struct backend *b, const uint8_t *error, size_t len)
{
	const char *text = error == NULL ? NULL : wire_error_field(error, len, 'M');

	if (error != NULL)
		log_warnx("pool %s/%s: connect_query failed: %s", b->pool->db, b->pool->user,
		    text == NULL ? "?" : text);
	publish_welcome(b);
	backend_clean(b);
}

static void
login_ready(struct backend *b)
{
	struct pool *p = b->pool;

	timer_stop(&b->timer);
	connect_worked(b);
	p->nopening--;
	stats_sub(&p->row->sv_login, 1);
	stats_add(&p->row->sv_opened, 1);
	stats_took(&p->times->connect, loop_now() - b->since_us);
	b->status = 'I';
	params_begin(&b->params);
	if (!b->own)
		pool_open_worked(p);
	backend_set_state(b, BACKEND_ACTIVE);
	if (b->slot == TABLE_NONE) {
		backend_login_fini(b);
		b->ready(b);
		return;
	}
	ledger_opened(wk->table, wk->self, b->slot, &b->facts);
	if (b->own) {
		replication_ready(b, b->login->welcome, b->login->welcome_len);
		backend_login_fini(b);
		return;
	}
	if (p->conf->connect_query != NULL) {
		b->login->setup = true;
		p->nsetup++;
		backend_task(b, p->conf->connect_query, NULL, connect_query_done);
		return;
	}
	publish_welcome(b);
	pool_release(b);
}

/* False: the backend is gone or has left the login. */
static bool
login_message(struct backend *b, uint8_t type, const uint8_t *msg, size_t len)
{
	const uint8_t *body = msg + WIRE_HEADER;
	size_t n = len - WIRE_HEADER;

	if (b->login->refusal != NULL)
		return true;
	switch (type) {
	case 'R':
		auth_request(b, body, n);
		return b->state == BACKEND_LOGIN && b->conn.src.fd != -1;
	case 'S':
		(void)backend_parameter(b, body, n);
		keep_welcome(b->login, msg, len);
		return true;
	case 'K':
		keep_key(b, body, n);
		return true;
	case 'E':
		connect_refused(b, body, n);
		return true;
	case 'Z':
		login_ready(b);
		return false;
	case 'N':
	case 'v':
		return true;
	default:
		login_failed(b, "08P01", "protocol error from server at", "unexpected message");
		return false;
	}
}

/* What stands behind the end of the login (the server stops, and ended the session at once) is for
 * whoever has the backend now; no event will tell of it. */
static void
look_again(struct backend *b)
{
	if (b->conn.src.fd == -1)
		return;
	b->conn.readable = true;
	loop_again(&b->conn.src);
}

static void
login_read(struct backend *b)
{
	struct buf *in;

	while ((in = b->conn.in) != NULL) {
		uint32_t len, avail = in->tail - in->head;
		const uint8_t *p = in->data + in->head;
		uint8_t type;
		enum wire_result r = wire_header(p, avail, buf_cap(), &type, &len);
		bool last, on;

		if (r == WIRE_BAD) {
			login_failed(
			    b, "08P01", "protocol error from server at", "bad message length");
			return;
		}
		if (r == WIRE_MORE || len > avail)
			break;
		in->head += len;
		in->fwd = in->head;
		last = in->head == in->tail;
		if (last)
			b->conn.in = NULL; /* so that the next owner starts clean */
		on = login_message(b, type, p, len);
		if (last)
			buf_put(in);
		if (type == 'Z' && !last)
			look_again(b);
		if (!on)
			return;
	}
	conn_trim(&b->conn);
}

void
backend_login_event(struct backend *b, uint32_t events)
{
	if (b->state == BACKEND_CONNECTING) {
		connect_event(b, events);
		return;
	}
	if (conn_unsent(&b->conn) && conn_send(&b->conn, NULL, NULL) == CONN_BROKEN) {
		if (connect_refused_end(b))
			return;
		connect_failed(b, "08006", "lost the server at", TARGET_CLOSED, strerror(errno));
		return;
	}
	while (b->state == BACKEND_LOGIN && b->conn.readable && b->conn.src.fd != -1) {
		int n = conn_recv(&b->conn);
		if (n == -1) {
			if (connect_refused_end(b))
				return;
			connect_failed(b, "08006", "lost the server at", TARGET_CLOSED,
			    errno == 0 ? "connection closed during login" : conn_why(&b->conn));
			return;
		}
		if (n == 0 && b->conn.in != NULL && b->conn.in->tail == buf_cap()) {
			login_failed(b, "08P01", "protocol error from server at",
			    "a login message is longer than pkt_buf");
			return;
		}
		if (n == 0)
			return;
		login_read(b);
	}
}

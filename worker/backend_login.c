/*
 * backend_login: resolve, connect, authenticate (trust, cleartext, MD5, SCRAM-SHA-256), collect the
 * server's ParameterStatus messages. One deadline, server_connect_timeout, covers all of it. A
 * failure goes to the pool with the server's own ErrorResponse, or one of ours that names the
 * address and the cause.
 */
#include "worker/backend_login.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf/log.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/pool.h"
#include "worker/resolve.h"

struct backend *
backend_new(struct pool *p, uint32_t slot)
{
	struct backend *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->pool = p;
	b->slot = slot;
	b->conn.src.fd = -1;
	expect_init(&b->expect);
	LIST_INIT(&b->cancels);
	p->nbackends++;
	stats_add(&wk->row->backends, 1);
	return b;
}

void
backend_login_fini(struct backend *b)
{
	if (b->scram != NULL)
		explicit_bzero(b->scram, sizeof(*b->scram));
	free(b->scram);
	free(b->welcome);
	b->scram = NULL;
	b->welcome = NULL;
	b->welcome_len = 0;
}

static bool
is_task(const struct backend *b)
{
	return b->slot == TABLE_NONE;
}

/* `error` is an ErrorResponse body. */
static void
login_failed_body(struct backend *b, const uint8_t *error, size_t len)
{
	struct pool *p = b->pool;
	const char *state = wire_error_field(error, len, 'C'),
		   *text = wire_error_field(error, len, 'M');
	bool retry = state == NULL || strncmp(state, "08", 2) == 0 || strcmp(state, "57P03") == 0 ||
		     strcmp(state, "53300") == 0;
	void (*ready)(struct backend *, const uint8_t *, size_t) = b->task_done;

	log_warnx("pool %s/%s: login at the server failed: %s (%s)", p->db, p->user,
	    text == NULL ? "?" : text, state == NULL ? "?" : state);
	if (is_task(b)) {
		backend_drop(b, "login failed");
		ready(NULL, NULL, 0);
		return;
	}
	pool_open_failed(p, error, len, retry);
	backend_drop(b, "login failed");
}

static void
login_failed(struct backend *b, const char *sqlstate, const char *fmt, const char *detail)
{
	uint8_t msg[512];
	char text[256];
	struct wire_out w;
	const struct conf_database *d = b->pool->conf;

	snprintf(text, sizeof(text), "%s %s:%u: %s", fmt, d->host, d->port, detail);
	wire_init(&w, msg, sizeof(msg));
	wire_error(
	    &w, &(struct wire_error){.severity = "FATAL", .sqlstate = sqlstate, .message = text});
	login_failed_body(b, msg + WIRE_HEADER, w.len - WIRE_HEADER);
}

static void
login_timeout(struct timer *t)
{
	login_failed(LOOP_CONTAINER(t, struct backend, timer), "08006",
	    "cannot connect to server at", "no answer within server_connect_timeout");
}

static void
login_send(struct backend *b, struct wire_out *w)
{
	conn_put(&b->conn, w->base, w->len);
	if (conn_send(&b->conn, NULL, NULL) == CONN_BROKEN)
		login_failed(b, "08006", "lost the server at", strerror(errno));
}

static void
send_startup(struct backend *b)
{
	uint8_t msg[512];
	struct wire_out w;
	const struct conf_database *d = b->pool->conf;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 0);
	wire_int32(&w, WIRE_PROTO_3_0);
	wire_string(&w, "user");
	wire_string(&w, b->pool->user);
	wire_string(&w, "database");
	wire_string(&w, d->dbname != NULL ? d->dbname : b->pool->db);
	wire_byte(&w, 0);
	wire_end(&w);
	ENSURE(!w.failed);
	b->state = BACKEND_LOGIN;
	login_send(b, &w);
}

/* --- connecting
 * --------------------------------------------------------------------------------------- */

static void
connect_to(struct backend *b, const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1) {
		login_failed(b, "53000", "cannot connect to server at", strerror(errno));
		return;
	}
	memcpy(&b->facts.addr, sa, len);
	b->facts.addr_len = (uint32_t)len;
	if (connect(fd, sa, len) == -1 && errno != EINPROGRESS) {
		int err = errno;
		close(fd);
		login_failed(b, "08006", "cannot connect to server at", strerror(err));
		return;
	}
	if (conn_open(&b->conn, fd, sa->sa_family == AF_UNIX, backend_event) == -1) {
		close(fd);
		login_failed(b, "53000", "cannot connect to server at", strerror(errno));
		return;
	}
	b->conn.blocked = true; /* until EPOLLOUT says that we are connected */
	if (sa->sa_family == AF_UNIX) {
		b->conn.armed_out = true;
		(void)loop_mod(&b->conn.src, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	}
}

static void
resolved(void *arg, const struct sockaddr *sa, socklen_t len, const char *error)
{
	struct backend *b = arg;

	b->resolve = NULL;
	if (sa == NULL)
		login_failed(b, "08001", "cannot look up the server", error);
	else
		connect_to(b, sa, len);
}

static void
connect_unix(struct backend *b, const struct conf_database *d)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int n = snprintf(un.sun_path, sizeof(un.sun_path), "%s/.s.PGSQL.%u", d->host, d->port);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n +
				    (d->host[0] == '@' ? 0 : 1));

	if (n < 0 || (size_t)n >= sizeof(un.sun_path)) {
		login_failed(
		    b, "08001", "cannot connect to server at", "the socket's path is too long");
		return;
	}
	if (d->host[0] == '@')
		un.sun_path[0] = '\0';
	connect_to(b, (struct sockaddr *)&un, len);
}

static void
connect_start(struct backend *b)
{
	const struct conf_database *d = b->pool->conf;

	b->facts.pool = b->pool->index;
	b->facts.opened_us = loop_now();
	timer_set(&b->timer, loop_now() + wk->conf->server_connect_timeout_us, login_timeout);
	if (d->host[0] == '/' || d->host[0] == '@')
		connect_unix(b, d);
	else
		resolve_start(&b->resolve, d->host, d->port, resolved, b);
}

void
backend_open(struct pool *p, uint32_t slot)
{
	struct backend *b = backend_new(p, slot);

	if (b == NULL)
		fatal("backend");
	p->nopening++;
	stats_add(&p->row->sv_login, 1);
	connect_start(b);
}

struct backend *
backend_open_task(struct pool *p, void (*ready)(struct backend *))
{
	struct backend *b = backend_new(p, TABLE_NONE);

	if (b == NULL)
		fatal("backend");
	p->nopening++;
	stats_add(&p->row->sv_login, 1);
	b->task_done = (void (*)(struct backend *, const uint8_t *, size_t))(void (*)(void))ready;
	connect_start(b);
	return b;
}

/* --- authentication
 * -------------------------------------------------------------------------------------- */

static void
send_password(struct backend *b, const char *text)
{
	uint8_t msg[1100];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 'p');
	wire_string(&w, text);
	wire_end(&w);
	if (w.failed)
		login_failed(b, "28P01", "cannot log in at", "the password is too long");
	else
		login_send(b, &w);
	explicit_bzero(msg, sizeof(msg));
}

static void
auth_md5(struct backend *b, struct wire_in *in)
{
	const uint8_t *salt = wire_get_bytes(in, 4);
	char out[36];

	if (salt == NULL || scram_md5(b->pool->user, b->pool->password, salt, out) == -1)
		login_failed(b, "08P01", "cannot log in at", "MD5 is not available");
	else
		send_password(b, out);
}

static void
auth_sasl(struct backend *b, struct wire_in *in)
{
	char first[256];
	uint8_t msg[512];
	struct wire_out w;
	const char *mech;
	bool offered = false;
	int n;

	while ((mech = wire_get_string(in)) != NULL && mech[0] != '\0')
		offered |= strcmp(mech, "SCRAM-SHA-256") == 0;
	free(b->scram);
	b->scram = calloc(1, sizeof(*b->scram));
	if (!offered || b->scram == NULL ||
	    (n = scram_client_first(b->scram, NULL, first, sizeof(first))) == -1) {
		login_failed(b, "08P01", "cannot log in at", "no SASL mechanism in common");
		return;
	}
	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 'p');
	wire_string(&w, "SCRAM-SHA-256");
	wire_int32(&w, (uint32_t)n);
	wire_bytes(&w, first, (size_t)n);
	wire_end(&w);
	login_send(b, &w);
}

static void
auth_sasl_continue(struct backend *b, struct wire_in *in)
{
	char final[SCRAM_MESSAGE_MAX];
	uint8_t msg[SCRAM_MESSAGE_MAX + 16];
	const char *why = "unexpected SASL message";
	struct wire_out w;
	int n = -1;

	if (b->scram != NULL)
		n = scram_client_final(b->scram, b->pool->password, &b->pool->scram,
		    (const char *)in->p, in->left, final, sizeof(final), &why);
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
auth_request(struct backend *b, const uint8_t *body, size_t len)
{
	struct wire_in in;
	uint32_t method;

	wire_read(&in, body, len);
	method = wire_get_int32(&in);
	if (method == 0)
		return;
	if (b->pool->password == NULL && method != 12) {
		login_failed(b, "28P01", "cannot log in at",
		    "the server wants a password and none is configured for this user");
		return;
	}
	switch (method) {
	case 3:
		send_password(b, b->pool->password);
		break;
	case 5:
		auth_md5(b, &in);
		break;
	case 10:
		auth_sasl(b, &in);
		break;
	case 11:
		auth_sasl_continue(b, &in);
		break;
	case 12:
		if (b->scram == NULL || !scram_client_verify(b->scram, (const char *)in.p, in.left))
			login_failed(b, "08P01", "cannot log in at",
			    "the server does not know the password (SCRAM signature)");
		break;
	default:
		login_failed(b, "08P01", "cannot log in at",
		    "the server wants an authentication method that is not supported");
	}
}

/* --- messages up to ReadyForQuery
 * --------------------------------------------------------------------------- */

static void
keep_welcome(struct backend *b, const uint8_t *msg, size_t len)
{
	char *more = realloc(b->welcome, b->welcome_len + len);

	if (more == NULL)
		fatal("welcome");
	b->welcome = more;
	memcpy(b->welcome + b->welcome_len, msg, len);
	b->welcome_len += len;
}

static void
keep_key(struct backend *b, const uint8_t *body, size_t len)
{
	if (len < 8 || len - 4 > sizeof(b->facts.key))
		return;
	b->facts.pid = (int32_t)wire_get32(body);
	b->facts.key_len = (uint32_t)len - 4;
	memcpy(b->facts.key, body + 4, len - 4);
}

static void
login_ready(struct backend *b)
{
	struct pool *p = b->pool;

	timer_stop(&b->timer);
	p->nopening--;
	stats_add(&p->row->sv_login, (uint64_t)-1);
	stats_add(&p->row->sv_opened, 1);
	b->status = 'I';
	p->retry_us = 0;
	if (is_task(b)) {
		void (*ready)(struct backend *, const uint8_t *, size_t) = b->task_done;
		backend_login_fini(b);
		b->state = BACKEND_DRAINING;
		ready(b, NULL, 0);
		return;
	}
	ledger_opened(wk->table, wk->self, b->slot, &b->facts);
	b->state = BACKEND_DRAINING;
	pool_welcome(p, b);
	backend_login_fini(b);
	pool_release(b);
}

/* False: the backend is gone or has left the login. */
static bool
login_message(struct backend *b, uint8_t type, const uint8_t *msg, size_t len)
{
	const uint8_t *body = msg + WIRE_HEADER;
	size_t n = len - WIRE_HEADER;

	switch (type) {
	case 'R':
		auth_request(b, body, n);
		return b->conn.src.fd != -1;
	case 'S':
		(void)backend_parameter(b, body, n);
		keep_welcome(b, msg, len);
		return true;
	case 'K':
		keep_key(b, body, n);
		return true;
	case 'E':
		login_failed_body(b, body, n);
		return false;
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
		if (!on)
			return;
	}
	conn_trim(&b->conn);
}

void
backend_login_event(struct backend *b, uint32_t events)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (b->state == BACKEND_CONNECTING) {
		if (getsockopt(b->conn.src.fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
			err = errno;
		if (err != 0) {
			login_failed(b, "08006", "cannot connect to server at", strerror(err));
			return;
		}
		if ((events & EPOLLOUT) == 0)
			return;
		send_startup(b);
		return;
	}
	if (b->conn.out != NULL && conn_send(&b->conn, NULL, NULL) == CONN_BROKEN) {
		login_failed(b, "08006", "lost the server at", strerror(errno));
		return;
	}
	while (b->state == BACKEND_LOGIN && b->conn.readable && b->conn.src.fd != -1) {
		int n = conn_recv(&b->conn);
		if (n == -1) {
			login_failed(b, "08006", "lost the server at",
			    errno == 0 ? "connection closed during login" : strerror(errno));
			return;
		}
		if (n > 0)
			login_read(b);
	}
}

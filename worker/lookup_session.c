/*
 * lookup_session: runs auth_query. Called by lookup.c.
 *
 * The query goes the way of every client's: a session of our own, one for each (database,
 * auth_user), at the other end of a socket pair. So limits, queues, cleaning and failures are the
 * pool's as for everybody, and no setting of another client is in force. It speaks the protocol
 * with one query at a time and ends when nothing was asked for a while. Whatever goes wrong with
 * the session fails those who wait for it, with the server's words.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "conf/strongbox.h"
#include "proto/wire.h"
#include "worker/client.h"
#include "worker/lookup.h"
#include "worker/state.h"

#define IDLE_US	   1000000  /* the session ends after */
#define WAIT_US	   60000000 /* for an answer, if client_login_timeout is 0 */
#define SECRET_MAX 1024

TAILQ_HEAD(lookup_queue, lookup);

struct session {
	struct conn conn;
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	bool ready;		  /* it may send a query */
	struct lookup *current;	  /* its query runs */
	struct lookup_queue todo; /* without the current one */
	int rows;
	bool null;
	char *secret;	   /* SECRET_MAX bytes in the strongbox */
	const char *wrong; /* with the rows; NULL = nothing */
	char failure[256]; /* the server's error */
	char sqlstate[6];
	struct timer timer;
	LIST_ENTRY(session) all;
};

static LIST_HEAD(, session) sessions = LIST_HEAD_INITIALIZER(sessions);

/* --- the end ---------------------------------------------------------------------------------- */

/* All who wait get the failure. */
static void
session_end(struct session *s)
{
	struct lookup_answer a = {.result = LOOKUP_FAILED, .text = s->failure};
	struct lookup *l;

	memcpy(a.sqlstate, s->sqlstate, sizeof(a.sqlstate));
	LIST_REMOVE(s, all);
	timer_stop(&s->timer);
	conn_close(&s->conn);
	if (s->current != NULL)
		lookup_done(s->current, &a);
	while ((l = TAILQ_FIRST(&s->todo)) != NULL) {
		TAILQ_REMOVE(&s->todo, l, queue);
		lookup_done(l, &a);
	}
	strongbox_put(s->secret);
	loop_free_later(s);
}

static void
session_fail(struct session *s, const char *why)
{
	if (s->failure[0] == '\0') /* the server's own words say more */
		strlcpy(s->failure, why, sizeof(s->failure));
	session_end(s);
}

static void
session_timeout(struct timer *t)
{
	struct session *s = LOOP_CONTAINER(t, struct session, timer);

	session_fail(s, "no answer in time");
}

static void
session_idle(struct timer *t)
{
	session_end(LOOP_CONTAINER(t, struct session, timer));
}

/* --- asking ----------------------------------------------------------------------------------- */

static void
put_startup(struct session *s)
{
	uint8_t msg[512];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 0);
	wire_int32(&w, WIRE_PROTO_3_0);
	wire_string(&w, "user");
	wire_string(&w, s->user);
	wire_string(&w, "database");
	wire_string(&w, s->db);
	wire_string(&w, "application_name");
	wire_string(&w, "pgdrove auth_query");
	wire_byte(&w, 0);
	wire_end(&w);
	ENSURE(!w.failed);
	conn_put(&s->conn, msg, w.len);
}

/* Parse, Bind, Execute, Sync. Two rows would be one too many, so no more are asked for. */
static void
put_query(struct session *s, const struct lookup *l)
{
	static const uint8_t no_types[2] = {0};
	size_t n = strlen(l->query) + 1;
	uint8_t msg[256];
	struct wire_out w;

	conn_put_header(&s->conn, 'P', 1 + n + 2);
	conn_put(&s->conn, "", 1);
	conn_put(&s->conn, l->query, n);
	conn_put(&s->conn, no_types, sizeof(no_types));
	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 'B');
	wire_string(&w, "");
	wire_string(&w, "");
	wire_int16(&w, 0);
	wire_int16(&w, 1);
	wire_int32(&w, (uint32_t)strlen(l->user));
	wire_bytes(&w, l->user, strlen(l->user));
	wire_int16(&w, 0);
	wire_end(&w);
	wire_begin(&w, 'E');
	wire_string(&w, "");
	wire_int32(&w, 2);
	wire_end(&w);
	wire_begin(&w, 'S');
	wire_end(&w);
	ENSURE(!w.failed);
	conn_put(&s->conn, msg, w.len);
}

static void
session_next(struct session *s)
{
	int64_t wait = wk->conf->client_login_timeout_us;
	struct lookup *l = TAILQ_FIRST(&s->todo);

	if (!s->ready || s->current != NULL)
		return;
	if (l == NULL) {
		timer_set(&s->timer, loop_now() + IDLE_US, session_idle);
		return;
	}
	TAILQ_REMOVE(&s->todo, l, queue);
	s->current = l;
	s->rows = 0;
	s->null = false;
	s->wrong = NULL;
	s->failure[0] = s->sqlstate[0] = '\0';
	put_query(s, l);
	timer_set(&s->timer, loop_now() + (wait > 0 ? wait : WAIT_US), session_timeout);
	loop_again(&s->conn.src);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Two columns: the name, and the secret or NULL. NULL, or what is wrong with the row. */
static const char *
take_row(struct session *s, const uint8_t *body, size_t len)
{
	struct wire_in in;
	const uint8_t *name, *secret;
	uint32_t n;

	if (++s->rows > 1)
		return "auth_query returned more than one row";
	wire_read(&in, body, len);
	if (wire_get_int16(&in) < 2)
		return "auth_query must return two columns, name and password";
	n = wire_get_int32(&in);
	name = n == UINT32_MAX ? NULL : wire_get_bytes(&in, n);
	if (name == NULL || n != strlen(s->current->user) || memcmp(name, s->current->user, n) != 0)
		return "auth_query returned another name than it was asked for";
	n = wire_get_int32(&in);
	s->null = n == UINT32_MAX;
	if (s->null)
		return NULL;
	secret = wire_get_bytes(&in, n);
	if (secret == NULL || n >= SECRET_MAX || memchr(secret, '\0', n) != NULL)
		return "auth_query returned a password of impossible length";
	memcpy(s->secret, secret, n);
	s->secret[n] = '\0';
	return NULL;
}

static void
take_error(struct session *s, const uint8_t *body, size_t len)
{
	const char *text = wire_error_field(body, len, 'M'),
		   *state = wire_error_field(body, len, 'C');

	strlcpy(s->failure, text == NULL ? "?" : text, sizeof(s->failure));
	strlcpy(s->sqlstate, state == NULL ? "" : state, sizeof(s->sqlstate));
}

static void
query_done(struct session *s)
{
	struct lookup_answer a = {.result = LOOKUP_FOUND, .text = s->secret};
	struct lookup *l = s->current;

	if (s->failure[0] == '\0' && s->wrong != NULL)
		strlcpy(s->failure, s->wrong, sizeof(s->failure));
	if (s->failure[0] != '\0') {
		a.result = LOOKUP_FAILED;
		a.text = s->failure;
		memcpy(a.sqlstate, s->sqlstate, sizeof(a.sqlstate));
	} else if (s->rows == 0 || s->null) {
		a.result = s->rows == 0 ? LOOKUP_ABSENT : LOOKUP_NULL;
		a.text = "";
	}
	s->current = NULL;
	lookup_done(l, &a);
	explicit_bzero(s->secret, SECRET_MAX);
}

static void
session_message(struct session *s, uint8_t type, const uint8_t *body, size_t len)
{
	if (type == 'E')
		take_error(s, body, len);
	else if (type == 'D' && s->current != NULL && s->wrong == NULL)
		s->wrong = take_row(s, body, len);
	if (type != 'Z')
		return;
	s->ready = true;
	if (s->current != NULL)
		query_done(s);
	session_next(s);
}

/* Whole messages only; one that is longer than a buffer is none of ours. False: it is broken. */
static bool
session_read(struct session *s)
{
	struct buf *in;

	while ((in = s->conn.in) != NULL) {
		uint32_t len, avail = in->tail - in->head;
		const uint8_t *p = in->data + in->head;
		uint8_t type;
		enum wire_result r = wire_header(p, avail, buf_cap(), &type, &len);

		if (r == WIRE_BAD)
			return false;
		if (r == WIRE_MORE || len > avail)
			break;
		session_message(s, type, p + WIRE_HEADER, len - WIRE_HEADER);
		if (type == 'D')
			explicit_bzero(in->data + in->head, len);
		in->head += len;
		in->fwd = in->head;
		if (in->head == in->tail)
			break;
	}
	conn_trim(&s->conn);
	return true;
}

static void
session_event(struct loop_source *src, uint32_t events)
{
	struct session *s = LOOP_CONTAINER(src, struct session, conn.src);

	(void)conn_note(&s->conn, events);
	while (conn_can_recv(&s->conn)) {
		int n = conn_recv(&s->conn);
		if (n == -1 || (n > 0 && !session_read(s))) {
			session_fail(s, n == -1 ? "the session ended" : "broken message");
			return;
		}
		if (n == 0)
			break;
	}
	if (conn_send(&s->conn, NULL, NULL) == CONN_BROKEN)
		session_fail(s, strerror(errno));
}

/* --- the beginning ---------------------------------------------------------------------------- */

static struct session *
session_open(const char *db, const char *user)
{
	struct session *s = calloc(1, sizeof(*s));
	int pair[2];

	if (s == NULL ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == -1 ||
	    conn_open(&s->conn, pair[0], true, session_event) == -1)
		fatal("auth_query");
	s->secret = strongbox_take(SECRET_MAX);
	strlcpy(s->db, db, sizeof(s->db));
	strlcpy(s->user, user, sizeof(s->user));
	TAILQ_INIT(&s->todo);
	LIST_INSERT_HEAD(&sessions, s, all);
	put_startup(s);
	timer_set(&s->timer, loop_now() + WAIT_US, session_timeout);
	loop_again(&s->conn.src);
	client_internal(pair[1]);
	return s;
}

void
lookup_session_ask(const char *db, const char *user, struct lookup *l)
{
	struct session *s;

	LIST_FOREACH (s, &sessions, all)
		if (strcmp(s->db, db) == 0 && strcmp(s->user, user) == 0)
			break;
	if (s == NULL)
		s = session_open(db, user);
	TAILQ_INSERT_TAIL(&s->todo, l, queue);
	session_next(s);
}

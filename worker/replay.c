/*
 * replay: see replay.h. Called by pool_queue.c when it has linked a client and a backend, by
 * relay.c for messages of both sides, by gate_answer.c when the guard has been answered.
 */
#include "worker/replay.h"

#include <stdlib.h>
#include <string.h>

#include "conf/hint.h"
#include "conf/log.h"
#include "proto/extended.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/gate.h"
#include "worker/relay.h"
#include "worker/session.h"

#define GUARD "pgdrove"

/* --- a round trip of its own ------------------------------------------------------------------ */

/* Tells the client how the server spells the settings it asked for. */
static void
settle_params(struct client *c, struct backend *b)
{
	int i;

	for (i = 0; i < PARAMS_N; i++)
		session_tell(c, i, b->params.v[i]);
}

/* The client keeps this backend. */
static bool
is_kept(const struct client *c)
{
	return c->session.pins != 0;
}

/* What is owed. A backend that is kept may have what nobody noted, but for this client. */
static char *
owed_sql(const struct client *c, const struct backend *b)
{
	struct params have = b->params; /* borrowed */

	have.tainted = have.tainted && !is_kept(c);
	return params_sql(&c->params, &have);
}

/* It was taken. */
static void
settled(struct client *c, struct backend *b)
{
	bool tainted = b->params.tainted && is_kept(c);

	params_became(&b->params, &c->params);
	b->params.tainted = tainted;
	settle_params(c, b);
}

void
replay_kept(struct client *c, struct backend *b)
{
	bool differ = session_watches(c) && !params_agree(&c->params, &b->params);

	b->replay = differ ? REPLAY_OWED : REPLAY_NONE;
}

/* A backend does not take its settings any more (a role was dropped, say): its request must not run
 * under others, and is answered with the server's error. */
static void
refuse_request(struct client *c, struct backend *b, const uint8_t *error, size_t len)
{
	static const struct wire_error taken = {
	    .severity = "ERROR", .sqlstate = "08006", .message = "settings refused"};

	c->refusal = malloc(len);
	if (c->refusal == NULL)
		fatal("settings");
	memcpy(c->refusal, error, len);
	c->refusal_len = len;
	c->reject = &taken;
	c->reject_said = false;
	if (is_kept(c)) {
		relay_settled(b);
		return;
	}
	(void)client_unlink(c);
	backend_clean(b);
	loop_again(&c->conn.src);
}

static void send_alone(struct client *, struct backend *);

static void
settings_done(struct backend *b, const uint8_t *error, size_t len)
{
	struct client *c = b->client;

	if (c == NULL) {
		b->params.tainted = true; /* it has what nobody noted */
		backend_clean(b);
		return;
	}
	if (error != NULL && !b->params.tainted && !is_kept(c) && !wire_error_fatal(error, len)) {
		/* It may be due to what others have left there: a full reset needs no right. */
		b->params.tainted = true;
		send_alone(c, b);
		return;
	}
	if (error != NULL && !c->settled) {
		client_fail_raw(c, error, len);
		return;
	}
	if (error != NULL) {
		refuse_request(c, b, error, len);
		return;
	}
	settled(c, b);
	if (!c->settled)
		session_begin(c); /* as the server spells it */
	c->settled = true;
	relay_client_event(c, false);
}

static void
send_alone(struct client *c, struct backend *b)
{
	char *sql = owed_sql(c, b);

	stats_add(&b->pool->row->replays_alone, 1);
	backend_task(b, sql, NULL, settings_done);
	free(sql);
}

/* --- ahead of a request ----------------------------------------------------------------------- */

static void
put_ours(struct backend *b, uint8_t type, uint8_t op)
{
	relay_owed(b, &(struct expect_entry){.type = type, .flags = EXPECT_OURS, .op = op});
}

static void
put_command(struct backend *b, const char *sql, uint8_t op)
{
	static const uint8_t before[] = {0}, after[] = {0, 0}; /* no name, no types */
	static const uint8_t run[] = {'B', 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, /* no parameters */
	    'E', 0, 0, 0, 9, 0, 0, 0, 0, 0};
	size_t size = strlen(sql) + 1;

	conn_put_header(&b->conn, 'P', sizeof(before) + size + sizeof(after));
	conn_put(&b->conn, before, sizeof(before));
	conn_put(&b->conn, sql, size);
	conn_put(&b->conn, after, sizeof(after));
	conn_put(&b->conn, run, sizeof(run));
	put_ours(b, 'P', GATE_NOTHING);
	put_ours(b, 'B', GATE_NOTHING);
	put_ours(b, 'E', op);
}

static void
send_ahead(struct client *c, struct backend *b)
{
	static const char begin[] = "BEGIN;SAVEPOINT " GUARD ";";
	char *sql = owed_sql(c, b);
	size_t size = strlen(sql) + 1;

	gate_own_query(b);
	conn_put_header(&b->conn, 'Q', sizeof(begin) - 1 + size);
	conn_put(&b->conn, begin, sizeof(begin) - 1);
	conn_put(&b->conn, sql, size);
	free(sql);
	put_ours(b, 'Q', GATE_NOTHING);
	put_command(b, "RELEASE " GUARD, GATE_NOTHING);
	put_command(b, "COMMIT", GATE_SETTINGS);
	b->replay = REPLAY_SENT;
}

static struct statement *
bound_statement(struct client *c, const uint8_t *body, const struct extended *x)
{
	const struct stmt_name *n = NULL;

	if (c->names == NULL)
		return NULL;
	if (x->statement.len == 0)
		n = c->names->unnamed;
	else
		n = name_find(c->names, (const char *)body + x->statement.at, x->statement.len);
	return n == NULL ? NULL : n->stmt;
}

/* Does this message begin a request that may have something unanswered ahead of it? */
static bool
may_follow(struct client *c, const uint8_t *p, uint32_t avail, uint32_t len)
{
	const uint8_t *body = p + WIRE_HEADER;
	const struct statement *s;
	struct extended x;

	if (avail < len || !gate_looks(c, p[0]))
		return false;
	if (p[0] == 'Q')
		return p[len - 1] == '\0' && session_stands_alone(c, body, len - WIRE_HEADER);
	if ((p[0] != 'P' && p[0] != 'B') ||
	    extended_read(p[0], body, len - WIRE_HEADER, len - WIRE_HEADER, &x) != EXTENDED_OK)
		return false;
	if (p[0] == 'P')
		return session_stands_alone(c, body + x.sql.at, x.sql.len + 1);
	s = bound_statement(c, body, &x);
	return s != NULL && session_stands_alone(c, s->body, strlen(statement_text(s)) + 1);
}

static bool
send_owed(struct client *c, const uint8_t *p, uint32_t avail, uint32_t len)
{
	struct backend *b = c->backend;

	stats_add(&b->pool->row->replays, 1);
	b->replay = REPLAY_NONE;
	conn_put_approved(&b->conn, &c->conn); /* COPY data that nobody waits for, say */
	if (may_follow(c, p, avail, len))
		send_ahead(c, b);
	else
		send_alone(c, b);
	return b->state == BACKEND_ACTIVE;
}

/* Is all of the request behind it on its way? */
static bool
request_sent(const struct backend *b)
{
	const struct expect_entry *last = expect_last(&b->expect);

	if (b->replay == REPLAY_UNENDED)
		return true;
	return last != NULL && last->op != GATE_SETTINGS &&
	       (last->type == 'S' || last->type == 'Q' || last->type == 'F');
}

/* Behind messages that have no Sync yet a Query is skipped with them, as in PostgreSQL. */
bool
replay_wants_sync(const struct backend *b)
{
	const struct expect_entry *last = expect_last(&b->expect);

	return b->replay == REPLAY_SENT && last != NULL && last->op == GATE_SETTINGS;
}

COLD bool
replay_lets(struct client *c, const uint8_t *p, uint32_t avail, uint32_t len)
{
	if (c->backend->replay != REPLAY_OWED)
		return !request_sent(c->backend);
	if (strchr("dcfH", p[0]) != NULL)
		return true; /* nothing is done for these */
	return send_owed(c, p, avail, len);
}

void
replay_begin(struct client *c, struct backend *b)
{
	c->state = CLIENT_ACTIVE;
	if (params_match(&c->params, &b->params)) {
		c->settled = true;
	} else if (c->settled && session_watches(c)) {
		b->replay = REPLAY_OWED;
	} else {
		stats_add(&b->pool->row->replays, 1);
		send_alone(c, b);
	}
}

/* --- the answer ------------------------------------------------------------------------------- */

/* The first error is the one that matters: the client hears of it where its request begins. */
static void
look_at_error(struct backend *b, const uint8_t *body, size_t len)
{
	const struct expect_entry *head = expect_head(&b->expect);
	struct conn *out = &b->client->conn;

	if (b->task_error == NULL) {
		stats_error(b->pool->row, wire_error_field(body, len, 'C'));
		backend_keep_error(b, body, len);
	}
	if (b->task_error == NULL || head == NULL || head->type == 'Q')
		return;
	relay_put_approved(b);
	conn_put_header(out, 'E', b->task_error_len);
	conn_put(out, b->task_error, b->task_error_len);
}

void
replay_skips(struct backend *b)
{
	if (expect_ignored(&b->expect))
		b->replay = REPLAY_UNENDED;
}

COLD void
replay_passed(struct backend *b)
{
	static const uint8_t sync[] = {'S', 0, 0, 0, 4};

	b->replay = REPLAY_REFUSED;
	conn_put_approved(&b->conn, &b->client->conn);
	conn_put(&b->conn, sync, sizeof(sync));
	relay_sent(b, &(struct expect_entry){.type = 'S'});
}

COLD enum expect_verdict
replay_answer(struct backend *b, uint8_t type, const uint8_t *body, size_t len)
{
	const struct expect_entry *last = expect_last(&b->expect);
	bool query = last != NULL && (last->type == 'Q' || last->type == 'F');
	enum expect_verdict v;

	if (type == 'S')
		(void)backend_parameter(b, body, len);
	if (type == 'E' && wire_error_fatal(body, len)) {
		b->said_last = true;
		return EXPECT_PASS;
	}
	if (type == 'E')
		look_at_error(b, body, len);
	/* What is reported here is of another client, or ours: settle_params tells of the rest. */
	v = expect_got(&b->expect, type);
	if (type == 'E' && query)
		replay_skips(b); /* replay_settled has called its client, which puts the end */
	return strchr("ESN", type) != NULL && v == EXPECT_PASS ? EXPECT_DROP : v;
}

COLD enum expect_verdict
replay_long_error(struct backend *b, const uint8_t *body, size_t len)
{
	uint8_t *cut = malloc(len);
	enum expect_verdict v;

	if (cut == NULL)
		fatal("error");
	memcpy(cut, body, len);
	memset(cut + len - 2, 0, 2); /* the ends of its last field and of all */
	v = replay_answer(b, 'E', cut, len);
	free(cut);
	return v;
}

void
replay_settled(struct backend *b, bool done)
{
	struct client *c = b->client;

	if (b->replay != REPLAY_SENT)
		return; /* its client is gone */
	loop_again(&c->conn.src);
	if (!done) {
		b->replay = REPLAY_REFUSED;
		return;
	}
	b->replay = REPLAY_NONE;
	b->status = 'I';
	settled(c, b);
}

static void
undone(struct backend *b, const uint8_t *error, size_t len)
{
	if (b->client == NULL)
		backend_clean(b);
	else if (error != NULL)
		client_fail_raw(b->client, error, len);
	else
		relay_settled(b);
}

COLD bool
replay_undo(struct backend *b)
{
	if (!is_kept(b->client))
		return false;
	backend_forget_error(b);
	if (b->status == 'I')
		relay_settled(b);
	else
		backend_task(b, "ROLLBACK", NULL, undone);
	return true;
}

void
replay_left(struct backend *b)
{
	if (unlikely(b->replay != REPLAY_NONE) && b->replay != REPLAY_OWED) {
		b->params.tainted = true;
		backend_forget_error(b);
	}
	b->replay = REPLAY_NONE;
}

/*
 * gate_answer: the server's messages. See gate.h. Called by relay.c and backend.c for what they
 * read, and by expect.c when a request has ended.
 *
 * A client may be gone when its requests end: what they decide about the backend still counts.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/hint.h"
#include "proto/wire.h"
#include "worker/gate_impl.h"
#include "worker/relay.h"
#include "worker/replay.h"

/* --- the ends of requests --------------------------------------------------------------------- */

/* The name has this statement (its reference goes with it), if no later request decides. */
static void
name_becomes(struct expect *x, const struct expect_entry *e, struct statement *s)
{
	struct expect_entry *later = e->name->pending > 0 ? expect_after(x, e, e->name) : NULL;
	struct statement **at = later == NULL ? &e->name->stmt : &later->prev;

	statement_drop(*at);
	*at = s;
	*(later == NULL ? &e->name->since : &later->since) = e->since;
}

static void
name_done(struct backend *b, struct stmt_name *n)
{
	if (b->client != NULL && b->client->names != NULL)
		name_settled(b->client, n);
	name_drop(n);
}

static void
settle_prep(struct backend *b, struct prep *p, bool there, bool tainted)
{
	p->pending--;
	p->there = there;
	p->tainted = p->tainted || tainted;
	if (p->pending == 0 && !p->there)
		prep_remove(&b->prepared, p);
}

static void
settle_parse(struct backend *b, const struct expect_entry *e, enum expect_end end)
{
	e->name->pending--;
	if (end == EXPECT_DONE)
		statement_drop(e->prev);
	else
		name_becomes(&b->expect, e, e->prev);
	if (end != EXPECT_DONE && e->was_shared)
		e->name->own = false;
	if (e->prep != NULL)
		settle_prep(b, e->prep, end == EXPECT_DONE && e->prep->there, false);
	name_done(b, e->name);
}

static void
settle_close(struct backend *b, const struct expect_entry *e, enum expect_end end)
{
	e->name->pending--;
	if (end == EXPECT_DONE)
		statement_drop(e->prev);
	else
		name_becomes(&b->expect, e, e->prev);
	name_done(b, e->name);
}

/* What was to be prepared by the client's own name. */
static void
settle_own(struct backend *b, const struct expect_entry *e, enum expect_end end)
{
	e->name->pending--;
	if (end == EXPECT_SKIPPED && e->op == GATE_OWN_AGAIN)
		e->name->stand_in = true; /* still there */
	else if (end != EXPECT_DONE)
		e->name->own = false;
	name_done(b, e->name);
}

/*
 * An unnamed Parse has ended. The server has forgotten the one before when it looked at it. If it
 * never did (later ones of the same group have been settled before), the one before is still there:
 * that matters in an aborted block, where nothing can be parsed again. If another is on its way,
 * that is what it will find, and with a Query or a Close of it on its way it will find none.
 */
static void
settle_unnamed_there(
    struct backend *b, struct expect *x, const struct expect_entry *e, enum expect_end end)
{
	struct expect_entry *later = expect_after_op(x, e, GATE_UNNAMED, GATE_UNNAMED_OURS);
	struct statement *there = end == EXPECT_SKIPPED ? e->stmt : NULL;

	if (there == NULL)
		statement_drop(e->stmt);
	if (end == EXPECT_DONE)
		return;
	if (later != NULL && later->stmt != NULL) {
		statement_drop(later->stmt);
		later->stmt = there;
		return;
	}
	if (later == NULL)
		prepared_unnamed(&b->prepared, NULL);
	if (later == NULL && !b->prepared.unnamed_dropped)
		b->prepared.unnamed = there;
	else
		statement_drop(there);
}

static void
settle_unnamed(struct backend *b, const struct expect_entry *e, enum expect_end end)
{
	b->prepared.unnamed_pending--;
	settle_unnamed_there(b, &b->expect, e, end);
	if (e->op == GATE_UNNAMED_OURS)
		return;
	e->name->pending--;
	if (end == EXPECT_SKIPPED) {
		name_becomes(&b->expect, e, e->prev);
	} else {
		statement_drop(e->prev);
		if (end == EXPECT_FAILED)
			name_becomes(&b->expect, e, NULL);
	}
	name_done(b, e->name);
}

void
gate_look_again(struct backend *b)
{
	struct client *c = b->client;

	if (c == NULL || !c->stalled)
		return;
	c->stalled = false;
	loop_again(&c->conn.src);
}

void
gate_settle(struct expect *x, const struct expect_entry *e, enum expect_end end)
{
	struct backend *b = LOOP_CONTAINER(x, struct backend, expect);
	bool done = end == EXPECT_DONE;

	if (done)
		gate_block_done(b, e);
	switch ((enum gate_op)e->op) {
	case GATE_NOTHING:
	case GATE_REFUSE:
	case GATE_CALLED:
		return;
	case GATE_ASKED:
		break;
	case GATE_USE:
	case GATE_DEALLOCATE:
		if (e->name != NULL)
			name_done(b, e->name);
		return;
	case GATE_DESCRIBE:
		statement_drop(e->stmt);
		if (e->name != NULL)
			name_done(b, e->name);
		return;
	case GATE_PARSE:
		settle_parse(b, e, end);
		break;
	case GATE_CLOSE:
		settle_close(b, e, end);
		break;
	case GATE_SETTINGS:
		replay_settled(b, done);
		return;
	case GATE_OWN:
	case GATE_OWN_AGAIN:
		settle_own(b, e, end);
		break;
	case GATE_PREPARE:
		settle_prep(b, e->prep, done && e->prep->there, false);
		break;
	case GATE_UNPREPARE: /* skipped: the old one is still there */
		if (!done)
			prep_disown(&b->prepared, e->prep);
		settle_prep(b, e->prep, !done || e->prep->there, !done);
		break;
	case GATE_UNNAMED:
	case GATE_UNNAMED_OURS:
		settle_unnamed(b, e, end);
		break;
	}
	gate_look_again(b);
}

/* --- errors ----------------------------------------------------------------------------------- */

static void
put_refusal(struct backend *b)
{
	uint8_t msg[512];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_error(&w, &(struct wire_error){.severity = "ERROR",
			   .sqlstate = "53400",
			   .message = "max_client_prepared_statements reached",
			   .detail = "This session has as many prepared statements as it may have.",
			   .hint = "Close or DEALLOCATE some, or raise the limit."});
	relay_put_approved(b);
	conn_put(&b->client->conn, msg, w.len);
}

/*
 * "cached plan must not change result type": somebody changed a table in a way we did not see. The
 * client whose Parse came before that gets the error as it does without us; nobody else shall.
 */
static void
look_at_plan(struct backend *b, const struct expect_entry *head, const uint8_t *body, size_t len)
{
	const char *routine = wire_error_field(body, len, 'R');
	struct prep *p;

	if (routine == NULL || !wire_error_is(body, len, "0A000") ||
	    strcmp(routine, "RevalidateCachedQuery") != 0)
		return;
	ddl_happened();
	prepared_unnamed(&b->prepared, NULL);
	if ((head->op != GATE_USE && head->op != GATE_DESCRIBE) || head->name == NULL ||
	    head->name->stmt == NULL || !head->name->stmt->named)
		return;
	p = prep_find(&b->prepared, head->name->stmt->digest);
	if (p != NULL)
		p->tainted = true;
}

/* Our name of a statement in an error's text: tells the client its own. */
static bool
put_own_name(struct backend *b, const struct expect_entry *head, const uint8_t *body, size_t len)
{
	const char *text = wire_error_field(body, len, 'M'), *from, *to;
	struct conn *out = &b->client->conn;
	size_t before, after, n;

	if (text == NULL || (from = strstr(text, "\"" STATEMENT_PREFIX)) == NULL ||
	    (to = strchr(from + 1, '"')) == NULL)
		return false;
	from++;
	before = (size_t)((const uint8_t *)from - body);
	after = (size_t)((const uint8_t *)to - body);
	n = strlen(head->name->text);
	relay_put_approved(b);
	conn_put_header(out, 'E', len - (after - before) + n);
	conn_put(out, body, before);
	conn_put(out, head->name->text, n);
	conn_put(out, body + after, len - after);
	return true;
}

/*
 * What a Describe is of could not be prepared here. PostgreSQL has it, tells its parameters, and
 * fails when it looks what the rows are; but in an aborted block it does not begin.
 */
static void
put_parameters(struct backend *b, const uint8_t *body, size_t len)
{
	const struct expect_entry *next = expect_second(&b->expect);
	const struct description *d;

	if (next == NULL || next->op != GATE_DESCRIBE || (next->flags & EXPECT_OURS) != 0 ||
	    wire_error_is(body, len, "25P02"))
		return;
	d = description_of(next->stmt, next->name, b->pool->id, next->since);
	if (d == NULL)
		return;
	relay_put_approved(b);
	conn_put_header(&b->client->conn, 't', d->len);
	conn_put(&b->client->conn, d->types, d->len);
}

static void
private_described(const struct expect_entry *head, uint8_t type, const uint8_t *body, size_t len)
{
	struct description *d;

	if (head->name == NULL)
		return;
	if (type == 't')
		name_described(head->name, head->stmt, body, len);
	else if ((d = name_told(head->name, head->stmt)) != NULL)
		d->rows = false;
}

void
gate_described(struct backend *b, uint8_t type, const uint8_t *body, size_t len)
{
	const struct expect_entry *head = expect_head(&b->expect);

	if (head == NULL || head->op != GATE_DESCRIBE)
		return;
	if (head->since == DDL_PRIVATE)
		private_described(head, type, body, len);
	else if (type == 't')
		statement_described(head->stmt, b->pool->id, head->since, body, len);
	else if (statement_is_described(head->stmt, b->pool->id, head->since))
		head->stmt->described.rows = false;
}

bool
gate_error(struct backend *b, const uint8_t *body, size_t len)
{
	const struct expect_entry *head = expect_head(&b->expect);

	if (head == NULL || b->client == NULL || b->said_last)
		return false;
	if (head->op == GATE_REFUSE) {
		put_refusal(b);
		return true;
	}
	look_at_plan(b, head, body, len);
	if (head->type == 'P' && (head->flags & EXPECT_OURS) != 0)
		put_parameters(b, body, len);
	return head->name != NULL && put_own_name(b, head, body, len);
}

/* --- what commands do ------------------------------------------------------------------------- */

static bool
starts(const char *tag, const char *with)
{
	return strncmp(tag, with, strlen(with)) == 0;
}

static void
all_forgotten(struct backend *b)
{
	prepared_clear(&b->prepared);
	if (b->client != NULL && b->state == BACKEND_ACTIVE)
		names_clear(b->client);
}

/* DEALLOCATE of a name has run; the rest follows when the Query ends. */
static void
one_forgotten(struct backend *b)
{
	const struct expect_entry *head = expect_head(&b->expect);

	if (head == NULL || head->op != GATE_DEALLOCATE)
		return;
	statement_drop(head->name->stmt);
	head->name->stmt = NULL;
}

void
gate_complete(struct backend *b, const uint8_t *body, size_t len)
{
	const char *tag = (const char *)body;

	if (len == 0 || body[len - 1] != '\0')
		return;
	gate_block_complete(b, tag);
	switch (tag[0]) {
	case 'D':
		if (strcmp(tag, "DEALLOCATE") == 0)
			one_forgotten(b);
		else if (strcmp(tag, "DEALLOCATE ALL") == 0 || strcmp(tag, "DISCARD ALL") == 0)
			all_forgotten(b);
		else if (starts(tag, "DROP "))
			b->ddl = true;
		break;
	case 'A':
		if (starts(tag, "ALTER "))
			b->ddl = true;
		break;
	case 'C':
		if (starts(tag, "CREATE "))
			b->ddl = true;
		break;
	default:
		break;
	}
	if (unlikely(b->ddl))
		ddl_happened();
}

void
gate_ready(struct backend *b, char status)
{
	gate_look_again(b);
	if (status != 'I')
		return;
	b->block = 0;
	if (likely(!b->ddl))
		return;
	b->ddl = false;
	ddl_happened(); /* others see it from here on */
}

void
gate_settings_changed(struct backend *b)
{
	prepared_taint(&b->prepared, b->expect.got_ends);
}

void
gate_own_query(struct backend *b)
{
	prepared_drop_unnamed(&b->prepared, b->expect.sent_ends);
}

void
gate_left(struct client *c)
{
	struct stmt_name *n = c->names == NULL ? NULL : c->names->unnamed;

	if (c->names != NULL)
		c->names->forgets = 0; /* it is answered; the next backend counts by itself */
	if (n == NULL || n->stmt == NULL || !n->used || n->stmt->len <= STATEMENT_LONG)
		return;
	statement_drop(n->stmt);
	n->stmt = NULL;
}

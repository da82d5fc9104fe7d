/*
 * gate_send: what is put into the backend's `out`, messages that are gathered, and making sure that
 * the backend has what a message uses. See gate.h and gate.c.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/hint.h"
#include "conf/log.h"
#include "worker/gate_impl.h"
#include "worker/relay.h"

#define BIG_FIRST 65536U

/* --- sending ---------------------------------------------------------------------------------- */

/* What the relay has approved so far goes before what is put next. */
void
gate_put_approved(struct view *v)
{
	conn_put_approved(&v->b->conn, &v->c->conn);
}

static void
drop_statement(void *s)
{
	statement_drop(s);
}

/* The gathered message from byte `from` on is sent from where it is. */
static void
send_big(struct view *v, uint32_t from)
{
	struct gate_big *g = v->c->big;

	if (g->owner != NULL)
		conn_put_from(&v->b->conn, v->p + from, v->len - from, drop_statement, g->owner);
	else
		conn_put_from(&v->b->conn, v->p + from, v->len - from, free, g->p);
	free(g);
	v->c->big = NULL;
}

/* The message goes on from byte `from` as it came; what is before was replaced or is nothing. */
void
gate_forward(struct view *v, uint32_t from)
{
	struct conn *conn = &v->c->conn;

	if (v->c->big != NULL) {
		send_big(v, from);
		return;
	}
	if (from > 0) {
		conn->in->fwd += from;
		conn->in->head = conn->in->fwd;
	}
	conn->left = v->len - from;
}

enum gate
gate_pass(struct view *v)
{
	const struct expect_entry e = {.type = v->type};

	if (v->c->big != NULL)
		gate_put_approved(v);
	relay_sent(v->b, &e);
	gate_forward(v, 0);
	return GATE_TAKEN;
}

/* The same, and its end decides something. */
enum gate
gate_pass_with(struct view *v, const struct expect_entry *e)
{
	if (unlikely(v->c->big != NULL))
		gate_put_approved(v);
	relay_sent(v->b, e);
	gate_forward(v, 0);
	return GATE_TAKEN;
}

/* Describe or Close of a statement by that name. */
void
gate_put_named(struct view *v, uint8_t type, const char *name)
{
	size_t n = strlen(name) + 1;

	gate_put_approved(v);
	conn_put_header(&v->b->conn, type, n + 1);
	conn_put(&v->b->conn, "S", 1);
	conn_put(&v->b->conn, name, n);
}

void
gate_put_parse(struct view *v, const char *name, const uint8_t *body, size_t len)
{
	size_t n = strlen(name) + 1;

	gate_put_approved(v);
	conn_put_header(&v->b->conn, 'P', n + len);
	conn_put(&v->b->conn, name, n);
	conn_put(&v->b->conn, body, len);
}

/* The same of a statement's body, which is not copied if it is long. */
void
gate_put_statement(struct view *v, const char *name, struct statement *s)
{
	size_t n = strlen(name) + 1;

	if (s->len <= STATEMENT_LONG) {
		gate_put_parse(v, name, s->body, s->len);
		return;
	}
	gate_put_approved(v);
	conn_put_header(&v->b->conn, 'P', n + s->len);
	conn_put(&v->b->conn, name, n);
	statement_hold(s);
	conn_put_from(&v->b->conn, s->body, s->len, drop_statement, s);
}

struct expect_entry
gate_describe(struct stmt_name *n, struct statement *s, uint64_t since)
{
	if (n != NULL)
		n->refs++;
	statement_hold(s);
	return (struct expect_entry){.type = 'D',
	    .flags = gate_looks_of(s),
	    .op = GATE_DESCRIBE,
	    .name = n,
	    .stmt = s,
	    .since = since};
}

/* A temporary table may hide the one that others mean. */
static bool
is_private(const struct client *c)
{
	return ((c->session.pins | c->session.open.maybe) & PIN(TEMP)) != 0;
}

uint64_t
gate_learns(const struct view *v, uint64_t since)
{
	return is_private(v->c) ? DDL_PRIVATE : since;
}

bool
gate_wants_description(const struct view *v, const struct stmt_name *n)
{
	const struct statement *s = n->stmt;

	if (is_private(v->c)) /* one with temporary tables for sure keeps its backend */
		return (v->c->session.pins & PIN(TEMP)) == 0 && name_told(n, s) == NULL;
	return s->described.lent || !statement_is_described(s, v->b->pool->id, ddl_generation());
}

void
gate_ask_description(struct view *v, const char *name, struct stmt_name *n)
{
	struct expect_entry e = gate_describe(n, n->stmt, gate_learns(v, ddl_generation()));

	e.flags = EXPECT_OURS;
	gate_put_named(v, 'D', name);
	relay_sent(v->b, &e);
}

enum gate
gate_parse_asked(
    struct view *v, const char *name, struct stmt_name *n, const struct expect_entry *e)
{
	gate_put_statement(v, name, n->stmt);
	relay_sent(v->b, e);
	gate_ask_description(v, name, n);
	gate_consume(v);
	return GATE_TAKEN;
}

/* The whole message is replaced by what was put. */
void
gate_consume(struct view *v)
{
	gate_forward(v, v->len);
}

/* --- gathering a long message ----------------------------------------------------------------- */

void
gate_big_free(struct client *c)
{
	if (c->big == NULL)
		return;
	if (c->big->owner == NULL)
		free(c->big->p);
	statement_drop(c->big->owner);
	free(c->big);
	c->big = NULL;
}

bool
gate_gather(struct client *c)
{
	struct gate_big *g = c->big;
	struct buf *in = c->conn.in;
	uint32_t n = in == NULL ? 0 : in->tail - in->fwd;

	if (n > g->len - g->have)
		n = g->len - g->have;
	if (n > 0 && g->have + n > g->size) {
		uint32_t size = g->size < g->len / 2 ? g->size * 2 : g->len;
		uint8_t *p = realloc(g->p, size);
		if (p == NULL)
			fatal("a long message");
		g->p = p;
		g->size = size;
	}
	if (n > 0) {
		memcpy(g->p + g->have, in->data + in->fwd, n);
		g->have += n;
		in->fwd += n;
		in->head = in->fwd;
	}
	return g->have == g->len;
}

/* What is there of it is moved to memory of its own, which grows as the rest comes. */
void
gate_gather_begin(struct view *v)
{
	struct gate_big *g = calloc(1, sizeof(*g));

	if (g == NULL || (g->p = malloc(BIG_FIRST)) == NULL)
		fatal("a long message");
	g->len = v->len;
	g->size = BIG_FIRST;
	gate_put_approved(v);
	v->c->big = g;
	(void)gate_gather(v->c);
}

/* --- what the backend has --------------------------------------------------------------------- */

/* Something of an earlier group decides about it, and has not ended yet. */
bool
gate_undecided(const struct view *v, uint32_t pending, uint32_t group)
{
	return pending > 0 && group != v->b->expect.sent_ends;
}

/* What the client may forget by a DEALLOCATE of an earlier group that has not been answered. */
bool
gate_name_undecided(const struct view *v, const struct stmt_name *n)
{
	const struct stmt_names *names = v->names;
	const struct expect *x = &v->b->expect;

	if (gate_undecided(v, n->pending, n->group))
		return true;
	return names->forgets != 0 && names->forgets - 1 != x->sent_ends &&
	       (int32_t)(names->forgets - 1 - x->got_ends) >= 0;
}

void
gate_may_forget(struct view *v, bool forgets)
{
	if (forgets)
		v->names->forgets = v->b->expect.sent_ends + 1;
}

enum gate
gate_stall(struct view *v)
{
	v->c->stalled = true;
	return GATE_WAIT;
}

static void
prep_touch(struct view *v, struct prep *e)
{
	e->pending++;
	e->group = v->b->expect.sent_ends;
}

void
gate_inject_close(struct view *v, struct prep *e)
{
	char name[STATEMENT_NAME_SIZE];

	prep_name(e, name);
	gate_put_named(v, 'C', name);
	e->there = false;
	prep_touch(v, e);
	relay_sent(v->b, &(struct expect_entry){
			     .type = 'C', .flags = EXPECT_OURS, .op = GATE_UNPREPARE, .prep = e});
}

/* One goes for one that comes. What is being closed counts until the answer is there. */
static void
evict(struct view *v)
{
	struct prepared *p = &v->b->prepared;
	struct prep *e;

	if (p->n < (uint32_t)wk->conf->max_prepared_statements || (e = prep_oldest(p)) == NULL)
		return;
	gate_inject_close(v, e);
	stats_add(&v->b->pool->row->stmts_evicted, 1);
}

/* The entry of a statement whose Parse is sent next. */
struct prep *
gate_prep_begin(struct view *v, struct statement *s, struct prep *e)
{
	if (e == NULL) {
		evict(v);
		e = prep_add(&v->b->prepared, s->digest);
	}
	prep_used(&v->b->prepared, e);
	prep_touch(v, e);
	e->there = true;
	e->tainted = false;
	e->parsed = v->b->expect.sent_ends;
	e->since = ddl_generation();
	return e;
}

bool
gate_usable(const struct prep *e, uint64_t since)
{
	return e != NULL && e->there && !e->tainted && e->since >= since;
}

/* What this client has had parsed itself is what it would find in PostgreSQL, tainted or not. */
bool
gate_has_own(const struct view *v, const struct prep *e, uint64_t since)
{
	return e != NULL && e->there && e->since >= since && prep_is_own(&v->b->prepared, e);
}

/* Makes sure that the backend has it, parsed no earlier than `since`. */
static enum gate
ensure(struct view *v, struct statement *s, uint64_t since)
{
	struct prep *e;

	(void)statement_name(s);
	e = prep_find(&v->b->prepared, s->digest);
	if (e != NULL && gate_undecided(v, e->pending, e->group))
		return gate_stall(v);
	if (gate_usable(e, since) || gate_has_own(v, e, since)) {
		prep_used(&v->b->prepared, e);
		return GATE_TAKEN;
	}
	if (e != NULL && e->there)
		gate_inject_close(v, e);
	e = gate_prep_begin(v, s, e);
	gate_put_statement(v, s->name, s);
	relay_sent(v->b, &(struct expect_entry){.type = 'P',
			     .flags = EXPECT_OURS | gate_looks_of(s),
			     .op = GATE_PREPARE,
			     .prep = e});
	stats_add(&v->b->pool->row->stmts_parsed, 1);
	return GATE_TAKEN;
}

/* The statement behind a name the client knows, there to be used. */
enum gate
gate_ensure_named(struct view *v, struct stmt_name *n)
{
	struct statement *s = n->stmt, *again;

	(void)statement_name(s);
	if (!statement_fits(s, &v->c->params) && n->pending == 0 &&
	    prep_find(&v->b->prepared, s->digest) == NULL) {
		/* It would be parsed under other settings now, as PostgreSQL does too when it has
		 * to parse anew: then it is another statement. */
		again = statement_get(&v->c->params, s->body, s->len);
		statement_described_as(again, s);
		statement_drop(s);
		n->stmt = s = again;
	}
	return ensure(v, s, n->since);
}

/*
 * gate: the client's messages. See gate.h. Called by relay.c, which owns the order: what is put
 * into the backend's `out` here goes before whatever the relay sends from the client's buffer, and
 * both leave in one send.
 *
 * Effects on names and on what is prepared are noted at once, so that the rest of a pipeline sees
 * them, and are settled or undone when the answers come (gate_answer.c). Within a group (up to the
 * next Sync) that is exact, since the server skips what follows an error. A message of a later
 * group that depends on what an earlier group has not settled yet waits.
 */
#include "worker/gate.h"

#include <string.h>

#include "conf/hint.h"
#include "proto/wire.h"
#include "worker/gate_impl.h"
#include "worker/relay.h"
#include "worker/replay.h"
#include "worker/slow.h"

bool
gate_looks(const struct client *c, uint8_t type)
{
	bool known = type == 'Q' || type == 'B' || type == 'D' || type == 'P' || type == 'C';

	return known && client_mode(c) != POOL_SESSION && wk->conf->max_prepared_statements > 0;
}

/* --- names ------------------------------------------------------------------------------------ */

static const char *
text_of(const struct view *v, struct extended_text t)
{
	return (const char *)v->p + WIRE_HEADER + t.at;
}

static struct stmt_name *
name_of(const struct view *v)
{
	return name_find(v->names, text_of(v, v->x.statement), v->x.statement.len);
}

/* A name the client must not reach us by. */
static bool
is_ours(const struct view *v)
{
	size_t n = strlen(STATEMENT_PREFIX);

	return v->x.statement.len >= n &&
	       memcmp(text_of(v, v->x.statement), STATEMENT_PREFIX, n) == 0;
}

void
gate_name_touch(struct view *v, struct stmt_name *n)
{
	n->refs++;
	n->pending++;
	n->group = v->b->expect.sent_ends;
}

void
gate_keep(struct expect_entry *e, const struct stmt_name *n)
{
	e->prev = n->stmt;
	e->since = n->since;
}

/* Bind, Describe or Close: the same with this name of a statement. */
enum gate
gate_rename(struct view *v, const char *name, const struct expect_entry *e)
{
	struct extended_text t = v->x.statement;
	size_t n = strlen(name) + 1, before = t.at;

	gate_put_approved(v);
	conn_put_header(&v->b->conn, v->type, v->len - WIRE_HEADER - t.len + n - 1);
	conn_put(&v->b->conn, v->p + WIRE_HEADER, before);
	conn_put(&v->b->conn, name, n);
	relay_sent(v->b, e);
	gate_forward(v, WIRE_HEADER + t.at + t.len + 1);
	return GATE_TAKEN;
}

/* A name that the client does not know: the server says so. */
static enum gate
unknown(struct view *v)
{
	struct stmt_name *n;

	if (!is_ours(v) || gate_own_mode(v))
		return gate_pass(v);
	n = name_add(v->names, text_of(v, v->x.statement), v->x.statement.len);
	n->refs++;
	return gate_rename(
	    v, STATEMENT_NONE, &(struct expect_entry){.type = v->type, .op = GATE_USE, .name = n});
}

/* --- Parse ------------------------------------------------------------------------------------ */

/* The body behind the name: the text and the types. */
static const uint8_t *
parse_body(const struct view *v, size_t *len)
{
	*len = v->len - WIRE_HEADER - v->x.sql.at;
	return v->p + WIRE_HEADER + v->x.sql.at;
}

/* The gathered message becomes the statement's memory, unless there is one of this text. The
 * message is still to be sent, now or when it is looked at again. */
static struct statement *
big_statement(const struct view *v, const uint8_t *body, size_t len)
{
	struct gate_big *g = v->c->big;
	void *memory = g->owner == NULL ? g->p : NULL;
	struct statement *s = statement_get_in(&v->c->params, body, len, &memory);

	if (memory == NULL && g->owner == NULL) {
		statement_hold(s);
		g->owner = s;
	}
	return s;
}

static struct statement *
parsed_statement(const struct view *v, struct statement *last)
{
	size_t len;
	const uint8_t *body = parse_body(v, &len);

	if (last != NULL && last->len == len && memcmp(last->body, body, len) == 0 &&
	    statement_fits(last, &v->c->params)) {
		statement_hold(last);
		return last;
	}
	return v->c->big == NULL ? statement_get(&v->c->params, body, len)
				 : big_statement(v, body, len);
}

/* Its Parse is sent next; `e` keeps what was there before, in case that the server skips it. */
static void
unnamed_begin(struct view *v, const struct stmt_name *n, struct expect_entry *e)
{
	struct prepared *p = &v->b->prepared;

	e->stmt = p->unnamed;
	p->unnamed = NULL;
	prepared_unnamed(p, n->stmt);
	p->unnamed_since = ddl_generation();
	p->unnamed_pending++;
	p->unnamed_group = v->b->expect.sent_ends;
	p->unnamed_dropped = false;
}

/* Does it speak of prepared statements by their names? */
static bool
is_of_names(const struct view *v, const struct statement *s)
{
	return s->note != NULL && s->note->names && session_watches(v->c);
}

static enum gate
parse_unnamed(struct view *v)
{
	struct stmt_name *n = name_unnamed(v->names);
	struct expect_entry e = {.type = 'P', .op = GATE_UNNAMED, .name = n};
	struct statement *s = parsed_statement(v, n->stmt);
	enum gate g = is_of_names(v, s) ? gate_own_named(v, s) : GATE_TAKEN;

	if (g != GATE_TAKEN) {
		statement_drop(s);
		return g;
	}
	gate_keep(&e, n);
	e.flags = gate_looks_of(s);
	n->stmt = s;
	n->used = false;
	n->since = ddl_generation();
	gate_name_touch(v, n);
	unnamed_begin(v, n, &e);
	return gate_pass_with(v, &e);
}

/*
 * A Parse whose name the client has already: it is sent under a name that the server has too, so
 * that a syntax error and an aborted block come first, as they do there. A Parse of ROLLBACK never
 * fails, which makes sure of the name.
 */
static enum gate
parse_duplicate(struct view *v, struct stmt_name *n)
{
	static const uint8_t rollback[] = "ROLLBACK\0\0"; /* and no types */
	const struct expect_entry e = {.type = 'P', .op = GATE_USE, .name = n};
	size_t len;
	const uint8_t *body = parse_body(v, &len);

	gate_put_named(v, 'C', STATEMENT_TWICE);
	relay_sent(v->b, &(struct expect_entry){.type = 'C', .flags = EXPECT_OURS});
	gate_put_parse(v, STATEMENT_TWICE, rollback, sizeof(rollback));
	relay_sent(v->b, &(struct expect_entry){.type = 'P', .flags = EXPECT_OURS});
	n->refs++;
	gate_put_parse(v, STATEMENT_TWICE, body, len);
	relay_sent(v->b, &e);
	gate_consume(v);
	return GATE_TAKEN;
}

/* Too many: an error of the server's is provoked, and ours takes its place. */
static enum gate
refuse(struct view *v)
{
	gate_put_named(v, 'D', STATEMENT_NONE);
	relay_sent(v->b, &(struct expect_entry){.type = 'D', .op = GATE_REFUSE});
	gate_consume(v);
	return GATE_TAKEN;
}

/*
 * The backend has it already. Whether the server would take the Parse is certain if nothing is
 * open, and no setting has been changed in this transaction; then a Close of nothing is sent in its
 * place. (Behind something open a Parse makes the server count a command, too: what a suspended
 * portal has changed is seen by the next one.)
 */
static bool
may_stand_in(const struct view *v, const struct prep *e)
{
	return gate_usable(e, ddl_generation()) && v->b->status != 'E' && v->b->expect.len == 0 &&
	       !v->c->session.open.touches;
}

static enum gate
parse_new(struct view *v, struct stmt_name *n, struct statement *s, struct prep *p)
{
	struct expect_entry e = {
	    .type = 'P', .flags = gate_looks_of(s), .op = GATE_PARSE, .name = n};
	uint32_t from = WIRE_HEADER + v->x.sql.at;
	size_t size = STATEMENT_NAME_SIZE;

	gate_name_touch(v, n);
	gate_keep(&e, n);
	n->stmt = s;
	n->since = ddl_generation();
	if (may_stand_in(v, p)) {
		prep_used(&v->b->prepared, p);
		gate_put_named(v, 'C', STATEMENT_NONE);
		e.type = 'C';
		e.flags |= EXPECT_AS_PARSE;
		relay_sent(v->b, &e);
		if (gate_wants_description(v, n))
			gate_ask_description(v, s->name, n);
		gate_consume(v);
		return GATE_TAKEN;
	}
	if (p != NULL && p->there)
		gate_inject_close(v, p);
	e.prep = gate_prep_begin(v, s, p);
	if (gate_wants_description(v, n))
		return gate_parse_asked(v, s->name, n, &e);
	gate_put_approved(v);
	conn_put_header(&v->b->conn, 'P', size + v->len - from);
	conn_put(&v->b->conn, s->name, size);
	relay_sent(v->b, &e);
	gate_forward(v, from);
	return GATE_TAKEN;
}

static struct stmt_name *
name_or_new(struct view *v, struct stmt_name *n)
{
	return n != NULL ? n : name_add(v->names, text_of(v, v->x.statement), v->x.statement.len);
}

/* Under the client's own name. */
static enum gate
parse_own(struct view *v, struct stmt_name *n, struct statement *s)
{
	enum gate g = is_of_names(v, s) ? gate_own_named(v, s) : GATE_TAKEN;

	if (g == GATE_TAKEN)
		return gate_own_parse(v, name_or_new(v, n), s);
	statement_drop(s);
	return g;
}

static enum gate
parse_named(struct view *v)
{
	struct stmt_name *n = name_of(v);
	struct statement *s;
	struct prep *p;

	if (n != NULL && gate_name_undecided(v, n))
		return gate_stall(v);
	if (n != NULL && n->stmt != NULL && !n->own)
		return parse_duplicate(v, n);
	if (n == NULL && v->names->n >= (uint32_t)wk->conf->max_client_prepared_statements)
		return refuse(v);
	s = parsed_statement(v, NULL);
	if (gate_own_mode(v) || is_of_names(v, s) || (n != NULL && n->own))
		return parse_own(v, n, s);
	(void)statement_name(s);
	p = prep_find(&v->b->prepared, s->digest);
	if (p != NULL && gate_undecided(v, p->pending, p->group)) {
		statement_drop(s);
		return gate_stall(v);
	}
	return parse_new(v, name_or_new(v, n), s, p);
}

enum gate
gate_ask(struct view *v)
{
	static const uint8_t flush[] = {'H', 0, 0, 0, 4};
	const struct expect_entry *last = expect_last(&v->b->expect);

	if (last == NULL || last->op != GATE_ASKED) {
		gate_put_named(v, 'C', STATEMENT_NONE);
		relay_sent(v->b,
		    &(struct expect_entry){.type = 'C', .flags = EXPECT_OURS, .op = GATE_ASKED});
		conn_put(&v->b->conn, flush, sizeof(flush));
	}
	return gate_stall(v);
}

/* --- Bind, Describe, Close -------------------------------------------------------------------- */

/* The server's unnamed statement may be somebody else's: makes it the client's, or none. */
static enum gate
ensure_unnamed(struct view *v)
{
	struct stmt_name *n = name_unnamed(v->names);
	struct prepared *p = &v->b->prepared;
	struct expect_entry e = {.type = 'P', .flags = EXPECT_OURS, .op = GATE_UNNAMED_OURS};

	if (gate_undecided(v, n->pending, n->group) ||
	    gate_undecided(v, p->unnamed_pending, p->unnamed_group))
		return gate_stall(v);
	n->used = true;
	if (n->stmt == NULL) {
		gate_put_named(v, 'C', "");
		relay_sent(v->b, &(struct expect_entry){.type = 'C', .flags = EXPECT_OURS});
		prepared_drop_unnamed(p, v->b->expect.sent_ends);
		return GATE_TAKEN;
	}
	if (p->unnamed == n->stmt && p->unnamed_since >= n->since)
		return GATE_TAKEN;
	e.flags |= gate_looks_of(n->stmt);
	gate_put_statement(v, "", n->stmt);
	unnamed_begin(v, n, &e);
	relay_sent(v->b, &e);
	stats_add(&v->b->pool->row->stmts_parsed, 1);
	return GATE_TAKEN;
}

/* What it does to its session is likely to be done. */
static void
note_use(struct view *v, const struct statement *s)
{
	if (s != NULL)
		slow_note(v->b, statement_text(s), strlen(statement_text(s)));
	if (v->type == 'B' && session_watches(v->c))
		session_noted(v->c, s == NULL ? NULL : s->note);
}

/* Before a statement is used: what it needs that others may have left another way. */
static enum gate
prepare_use(struct view *v, const struct statement *s)
{
	enum gate g = GATE_TAKEN;

	if (v->type == 'B' && s != NULL && s->sets_transaction)
		g = gate_set_transaction(v, false);
	if (g != GATE_TAKEN || s == NULL || s->note == NULL || !session_watches(v->c))
		return g;
	if (v->type == 'B' && session_reads_sequences(s->note))
		g = gate_sequences(v);
	if (g == GATE_TAKEN && s->note->names)
		g = gate_own_named(v, s);
	return g;
}

/* What Describe tells, if it is at hand and known, and that there are no rows; else NULL. */
static const struct description *
known_without_rows(const struct view *v, const struct stmt_name *n)
{
	const struct description *d;

	if (v->type != 'D' || n->stmt == NULL)
		return NULL;
	d = description_of(n->stmt, n, v->b->pool->id, n->since);
	return d == NULL || d->rows ? NULL : d;
}

static enum gate
use_unnamed(struct view *v)
{
	struct stmt_name *n = name_unnamed(v->names);
	const struct description *d = known_without_rows(v, n);
	struct expect_entry e;
	enum gate g;

	if (d != NULL && v->b->prepared.unnamed != n->stmt)
		return gate_describe_known(v, n, d);
	g = prepare_use(v, n->stmt);
	if (g == GATE_TAKEN)
		g = ensure_unnamed(v);
	if (g != GATE_TAKEN)
		return g;
	gate_may_forget(v, n->stmt != NULL && n->stmt->forgets);
	note_use(v, n->stmt);
	if (v->type == 'D' && n->stmt != NULL)
		e = gate_describe(NULL, n->stmt, gate_learns(v, n->since));
	else
		e = (struct expect_entry){.type = v->type, .op = GATE_USE};
	return gate_pass_with(v, &e);
}

/* The backend has not what this name of the client's means. */
static bool
is_lacking(struct view *v, struct stmt_name *n)
{
	struct prep *e;

	if (n->own || is_of_names(v, n->stmt))
		return !n->own || n->stand_in;
	(void)statement_name(n->stmt);
	e = prep_find(&v->b->prepared, n->stmt->digest);
	return !gate_usable(e, n->since) && !gate_has_own(v, e, n->since);
}

/* A Bind of what the backend lacks, in a block that may be aborted. */
static bool
cannot_prepare(struct view *v, struct stmt_name *n)
{
	return v->type == 'B' && (v->b->status == 'E' || v->b->expect.ends > 0) && is_lacking(v, n);
}

/* Bind, Describe of a statement. */
static enum gate
use(struct view *v)
{
	const struct description *d;
	struct expect_entry e;
	struct stmt_name *n;
	enum gate g, wrong;

	if (v->x.statement.len == 0)
		return use_unnamed(v);
	n = name_of(v);
	if (n != NULL && gate_name_undecided(v, n))
		return gate_stall(v);
	if (n == NULL || n->stmt == NULL)
		return unknown(v);
	if (cannot_prepare(v, n) && (wrong = gate_bind_wrong(v, n)) != GATE_MORE)
		return wrong;
	if ((d = known_without_rows(v, n)) != NULL && is_lacking(v, n))
		return gate_describe_known(v, n, d);
	g = prepare_use(v, n->stmt);
	if (g == GATE_TAKEN && (n->own || is_of_names(v, n->stmt)))
		g = gate_own_begin(v, n);
	if (g == GATE_TAKEN && !n->own)
		g = gate_ensure_named(v, n);
	if (g != GATE_TAKEN)
		return g;
	gate_may_forget(v, v->type == 'B' && n->stmt->forgets);
	note_use(v, n->stmt);
	if (v->type == 'D') {
		e = gate_describe(n, n->stmt, gate_learns(v, n->since));
	} else {
		e = (struct expect_entry){.type = v->type, .op = GATE_USE, .name = n};
		n->refs++;
	}
	return n->own ? gate_pass_with(v, &e) : gate_rename(v, n->stmt->name, &e);
}

/* The name has no statement from here on. */
struct expect_entry
gate_forget(struct view *v, struct stmt_name *n)
{
	struct expect_entry e = {.type = v->type, .op = GATE_CLOSE, .name = n};

	gate_name_touch(v, n);
	gate_keep(&e, n);
	n->stmt = NULL;
	return e;
}

/* Other clients may use the statement: the server is asked to close what it has not. */
static enum gate
close_statement(struct view *v)
{
	bool unnamed = v->x.statement.len == 0;
	struct stmt_name *n = unnamed ? v->names->unnamed : name_of(v);
	struct expect_entry e = {.type = 'C'};

	if (n != NULL && gate_name_undecided(v, n))
		return gate_stall(v);
	if (unnamed)
		prepared_drop_unnamed(&v->b->prepared, v->b->expect.sent_ends);
	if (n != NULL && n->stmt != NULL)
		e = gate_forget(v, n);
	if (gate_own_mode(v))
		gate_own_ask(v);
	else if (is_ours(v))
		return gate_rename(v, STATEMENT_NONE, &e);
	return gate_pass_with(v, &e);
}

/* --- the way in ------------------------------------------------------------------------------- */

/* Its fields are not there yet. */
static enum gate
more(struct view *v)
{
	if (v->len > buf_cap() && (v->type == 'P' || v->avail >= buf_cap())) {
		gate_gather_begin(v);
		return GATE_TAKEN;
	}
	return GATE_MORE;
}

/* Before it in this group something may forget all that is prepared. */
static bool
forgetting(struct view *v)
{
	if (v->names->forgets == 0 || v->names->forgets - 1 != v->b->expect.sent_ends)
		return false;
	if (v->b->expect.len == 0)
		v->names->forgets = 0; /* it has, or has not */
	return v->names->forgets != 0;
}

static enum gate
extended(struct view *v)
{
	switch (extended_read(
	    v->type, v->p + WIRE_HEADER, v->avail - WIRE_HEADER, v->len - WIRE_HEADER, &v->x)) {
	case EXTENDED_MORE:
		return more(v);
	case EXTENDED_BAD:
		return gate_pass(v);
	case EXTENDED_OK:
		break;
	}
	v->names = names_of(v->c);
	if (v->x.kind != 'P' && forgetting(v) && v->names->n > 0)
		return gate_ask(v);
	switch (v->type) {
	case 'P':
		return v->x.statement.len == 0 ? parse_unnamed(v) : parse_named(v);
	case 'B':
		return use(v);
	case 'D':
		return v->x.kind == 'S' ? use(v) : gate_pass(v);
	case 'C':
		return v->x.kind == 'S' ? close_statement(v) : gate_pass(v);
	default:
		return gate_pass(v);
	}
}

enum gate
gate_message(struct client *c, uint8_t type, const uint8_t *p, uint32_t avail, uint32_t len)
{
	struct view v = {.c = c, .b = c->backend, .type = type, .p = p, .avail = avail, .len = len};

	if (unlikely(v.b->conn.out != NULL) && v.b->conn.out->next != NULL)
		return GATE_FULL;
	if (unlikely(expect_ignored(&v.b->expect))) {
		if (c->big != NULL)
			gate_put_approved(&v);
		gate_forward(&v, 0);
		return GATE_TAKEN;
	}
	if (unlikely(expect_in_copy(&v.b->expect)))
		return gate_pass(&v); /* it ends the COPY, or the session: waits for nothing */
	if (type == 'Q') {
		v.sync = replay_wants_sync(v.b);
		return gate_query(&v);
	}
	if ((type == 'D' || type == 'C') && avail > WIRE_HEADER && p[WIRE_HEADER] == 'P')
		return gate_pass(&v); /* portals are the server's business */
	return extended(&v);
}

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

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/log.h"
#include "proto/sql.h"
#include "proto/wire.h"
#include "worker/gate_impl.h"
#include "worker/relay.h"
#include "worker/replay.h"
#include "worker/slow.h"

#define BIG_FIRST     65536U
#define LOOKED_AT_MAX 2048U /* a Query so short is looked at whole; the smallest buffer is 4 kB */
#define BLANKS	      " \t\r\n\f\v"

bool
gate_looks(const struct client *c, uint8_t type)
{
	bool known = type == 'Q' || type == 'B' || type == 'D' || type == 'P' || type == 'C';

	return known && client_mode(c) != POOL_SESSION && wk->conf->max_prepared_statements > 0;
}

/* --- sending ---------------------------------------------------------------------------------- */

/* What the relay has approved so far goes before what is put next. */
void
gate_put_approved(struct view *v)
{
	struct buf *in = v->c->conn.in;

	if (in == NULL || in->fwd == in->head)
		return;
	conn_put(&v->b->conn, in->data + in->head, in->fwd - in->head);
	in->head = in->fwd;
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
static void
forward(struct view *v, uint32_t from)
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

static enum gate
pass(struct view *v)
{
	const struct expect_entry e = {.type = v->type};

	if (v->c->big != NULL)
		gate_put_approved(v);
	relay_sent(v->b, &e);
	forward(v, 0);
	return GATE_TAKEN;
}

/* The same, and its end decides something. */
enum gate
gate_pass_with(struct view *v, const struct expect_entry *e)
{
	if (v->c->big != NULL)
		gate_put_approved(v);
	relay_sent(v->b, e);
	forward(v, 0);
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
static void
put_statement(struct view *v, const char *name, struct statement *s)
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

/* The whole message is replaced by what was put. */
static void
consume(struct view *v)
{
	forward(v, v->len);
}

/* --- what the backend has --------------------------------------------------------------------- */

/* Something of an earlier group decides about it, and has not ended yet. */
static bool
undecided(const struct view *v, uint32_t pending, uint32_t group)
{
	return pending > 0 && group != v->b->expect.sent_ends;
}

/* What the client may forget by a DEALLOCATE of an earlier group that has not been answered. */
bool
gate_name_undecided(const struct view *v, const struct stmt_name *n)
{
	const struct stmt_names *names = v->names;
	const struct expect *x = &v->b->expect;

	if (undecided(v, n->pending, n->group))
		return true;
	return names->forgets != 0 && names->forgets - 1 != x->sent_ends &&
	       (int32_t)(names->forgets - 1 - x->got_ends) >= 0;
}

static void
may_forget(struct view *v, bool forgets)
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

static void
inject_close(struct view *v, struct prep *e)
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
	inject_close(v, e);
	stats_add(&v->b->pool->row->stmts_evicted, 1);
}

/* The entry of a statement whose Parse is sent next. */
static struct prep *
prep_begin(struct view *v, struct statement *s, struct prep *e)
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

static bool
usable(const struct prep *e, uint64_t since)
{
	return e != NULL && e->there && !e->tainted && e->since >= since;
}

/* What this client has had parsed itself is what it would find in PostgreSQL, tainted or not. */
static bool
has_own(const struct view *v, const struct prep *e, uint64_t since)
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
	if (e != NULL && undecided(v, e->pending, e->group))
		return gate_stall(v);
	if (usable(e, since) || has_own(v, e, since)) {
		prep_used(&v->b->prepared, e);
		return GATE_TAKEN;
	}
	if (e != NULL && e->there)
		inject_close(v, e);
	e = prep_begin(v, s, e);
	put_statement(v, s->name, s);
	relay_sent(v->b, &(struct expect_entry){
			     .type = 'P', .flags = EXPECT_OURS, .op = GATE_PREPARE, .prep = e});
	stats_add(&v->b->pool->row->stmts_parsed, 1);
	return GATE_TAKEN;
}

/* The statement behind a name the client knows, there to be used. */
static enum gate
ensure_named(struct view *v, struct stmt_name *n)
{
	struct statement *s = n->stmt, *again;

	(void)statement_name(s);
	if (!statement_fits(s, &v->c->params) && n->pending == 0 &&
	    prep_find(&v->b->prepared, s->digest) == NULL) {
		/* It would be parsed under other settings now, as PostgreSQL does too when it has
		 * to parse anew: then it is another statement. */
		again = statement_get(&v->c->params, s->body, s->len);
		statement_drop(s);
		n->stmt = s = again;
	}
	return ensure(v, s, n->since);
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
	forward(v, WIRE_HEADER + t.at + t.len + 1);
	return GATE_TAKEN;
}

/* A name that the client does not know: the server says so. */
static enum gate
unknown(struct view *v)
{
	struct stmt_name *n;

	if (!is_ours(v) || gate_own_mode(v))
		return pass(v);
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
	e.prev = n->stmt;
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
	consume(v);
	return GATE_TAKEN;
}

/* Too many: an error of the server's is provoked, and ours takes its place. */
static enum gate
refuse(struct view *v)
{
	gate_put_named(v, 'D', STATEMENT_NONE);
	relay_sent(v->b, &(struct expect_entry){.type = 'D', .op = GATE_REFUSE});
	consume(v);
	return GATE_TAKEN;
}

/*
 * The backend has it already. Whether the server would take the Parse is certain if nothing that
 * may fail is open, and no setting has been changed in this transaction; then a Close of nothing is
 * sent in its place, so that the answer comes at the right point of the pipeline.
 */
static bool
may_stand_in(const struct view *v, const struct prep *e)
{
	return usable(e, ddl_generation()) && v->b->status != 'E' && v->b->expect.ends == 0 &&
	       !v->c->session.open.touches;
}

static enum gate
parse_new(struct view *v, struct stmt_name *n, struct statement *s, struct prep *p)
{
	struct expect_entry e = {.type = 'P', .op = GATE_PARSE, .name = n};
	uint32_t from = WIRE_HEADER + v->x.sql.at;
	size_t size = STATEMENT_NAME_SIZE;

	gate_name_touch(v, n);
	e.prev = n->stmt;
	n->stmt = s;
	n->since = ddl_generation();
	if (may_stand_in(v, p)) {
		prep_used(&v->b->prepared, p);
		gate_put_named(v, 'C', STATEMENT_NONE);
		e.type = 'C';
		e.flags = EXPECT_AS_PARSE;
		relay_sent(v->b, &e);
		consume(v);
		return GATE_TAKEN;
	}
	if (p != NULL && p->there)
		inject_close(v, p);
	e.prep = prep_begin(v, s, p);
	gate_put_approved(v);
	conn_put_header(&v->b->conn, 'P', size + v->len - from);
	conn_put(&v->b->conn, s->name, size);
	relay_sent(v->b, &e);
	forward(v, from);
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
	if (p != NULL && undecided(v, p->pending, p->group)) {
		statement_drop(s);
		return gate_stall(v);
	}
	return parse_new(v, name_or_new(v, n), s, p);
}

/* --- Bind, Describe, Close -------------------------------------------------------------------- */

/* The server's unnamed statement may be somebody else's: makes it the client's, or none. */
static enum gate
ensure_unnamed(struct view *v)
{
	struct stmt_name *n = name_unnamed(v->names);
	struct prepared *p = &v->b->prepared;
	struct expect_entry e = {.type = 'P', .flags = EXPECT_OURS, .op = GATE_UNNAMED_OURS};

	if (undecided(v, n->pending, n->group) ||
	    undecided(v, p->unnamed_pending, p->unnamed_group))
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
	put_statement(v, "", n->stmt);
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

	if (s == NULL || s->note == NULL || !session_watches(v->c))
		return GATE_TAKEN;
	if (v->type == 'B' && session_reads_sequences(s->note))
		g = gate_sequences(v);
	if (g == GATE_TAKEN && s->note->names)
		g = gate_own_named(v, s);
	return g;
}

static enum gate
use_unnamed(struct view *v)
{
	struct stmt_name *n = name_unnamed(v->names);
	enum gate g = prepare_use(v, n->stmt);

	if (g == GATE_TAKEN)
		g = ensure_unnamed(v);
	if (g != GATE_TAKEN)
		return g;
	may_forget(v, n->stmt != NULL && n->stmt->forgets);
	note_use(v, n->stmt);
	return pass(v);
}

/* A Bind of what the backend lacks, in a block that may be aborted. */
static bool
cannot_prepare(struct view *v, struct stmt_name *n)
{
	struct prep *e;

	if (v->type != 'B' || (v->b->status != 'E' && v->b->expect.ends == 0))
		return false;
	if (n->own || is_of_names(v, n->stmt))
		return !n->own || n->stand_in;
	(void)statement_name(n->stmt);
	e = prep_find(&v->b->prepared, n->stmt->digest);
	return !usable(e, n->since) && !has_own(v, e, n->since);
}

/* Bind, Describe of a statement. */
static enum gate
use(struct view *v)
{
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
	g = prepare_use(v, n->stmt);
	if (g == GATE_TAKEN && (n->own || is_of_names(v, n->stmt)))
		g = gate_own_begin(v, n);
	if (g == GATE_TAKEN && !n->own)
		g = ensure_named(v, n);
	if (g != GATE_TAKEN)
		return g;
	may_forget(v, v->type == 'B' && n->stmt->forgets);
	note_use(v, n->stmt);
	if (n->own)
		return pass(v);
	n->refs++;
	return gate_rename(
	    v, n->stmt->name, &(struct expect_entry){.type = v->type, .op = GATE_USE, .name = n});
}

/* The name has no statement from here on. */
static struct expect_entry
forget(struct view *v, struct stmt_name *n)
{
	struct expect_entry e = {.type = v->type, .op = GATE_CLOSE, .name = n, .prev = n->stmt};

	gate_name_touch(v, n);
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
		e = forget(v, n);
	if (gate_own_mode(v))
		gate_own_ask(v);
	else if (is_ours(v))
		return gate_rename(v, STATEMENT_NONE, &e);
	return gate_pass_with(v, &e);
}

/* --- Query ------------------------------------------------------------------------------------ */

/*
 * The name in a Query that is nothing but DEALLOCATE of a statement prepared by a message; NULL if
 * it is anything else, which the server answers. (What the scanner makes of PREPARE and EXECUTE is
 * the session's business.)
 */
static struct stmt_name *
deallocated(const struct view *v)
{
	const char *p = (const char *)v->p + WIRE_HEADER, *end = (const char *)v->p + v->len - 1;
	char name[64];
	size_t n = 0;
	bool quoted;

	if (v->names == NULL || v->names->n == 0 || v->avail < v->len || v->len < 16 ||
	    *end != '\0')
		return NULL;
	p += strspn(p, BLANKS);
	if (strncasecmp(p, "deallocate", 10) != 0 || strcspn(p, BLANKS) != 10)
		return NULL;
	p += 10 + strspn(p + 10, BLANKS);
	if (strncasecmp(p, "prepare", 7) == 0 && strcspn(p, BLANKS) == 7)
		p += 7 + strspn(p + 7, BLANKS);
	quoted = *p == '"';
	for (p += quoted; *p != '\0' && n < sizeof(name) - 1; p++) {
		bool word = *p == '_' || *p == '$' || (*p >= '0' && *p <= '9') ||
			    ((*p | 32) >= 'a' && (*p | 32) <= 'z');
		if (quoted ? *p == '"' : !word)
			break;
		name[n++] = !quoted && *p >= 'A' && *p <= 'Z' ? (char)(*p | 32) : *p;
	}
	if (quoted && (*p != '"' || p[1] == '"'))
		return NULL;
	p += quoted;
	if (p[strspn(p, BLANKS ";")] != '\0' || (!quoted && n == 3 && memcmp(name, "all", 3) == 0))
		return NULL;
	return name_find(v->names, name, n);
}

/*
 * DEALLOCATE of a name: the statement stays, others may use it. The server is given one to
 * deallocate, so that the answer, or the refusal in an aborted block, is its own; the name goes
 * when the answer comes.
 */
static enum gate
deallocate(struct view *v, struct stmt_name *n)
{
	static const char sql[] =
	    "PREPARE " STATEMENT_GONE " AS SELECT 1; DEALLOCATE " STATEMENT_GONE;

	n->refs++;
	gate_put_approved(v);
	conn_put_header(&v->b->conn, 'Q', sizeof(sql));
	conn_put(&v->b->conn, sql, sizeof(sql));
	relay_sent(
	    v->b, &(struct expect_entry){.type = 'Q', .op = GATE_DEALLOCATE, .name = n, .drop = 1});
	consume(v);
	return GATE_TAKEN;
}

/* The whole of it, with a Sync of ours behind it. */
static enum gate
pass_synced(struct view *v, const struct expect_entry *e)
{
	session_text(v->c, 'Q', v->p + WIRE_HEADER, v->len - WIRE_HEADER, v->len - WIRE_HEADER);
	gate_put_approved(v);
	conn_put(&v->b->conn, v->p, v->len);
	relay_sent(v->b, e);
	gate_put_sync(v);
	consume(v);
	return GATE_TAKEN;
}

/* The server forgets its unnamed statement before it looks at a Query. */
static enum gate
query_pass(struct view *v)
{
	struct stmt_name *n = v->c->names == NULL ? NULL : v->c->names->unnamed;
	struct expect_entry e = {.type = 'Q'};
	const uint8_t flags = v->sync ? EXPECT_END_LATER : 0;

	if (v->b->prepared.unnamed != NULL)
		prepared_drop_unnamed(&v->b->prepared, v->b->expect.sent_ends);
	if (n != NULL && n->stmt != NULL)
		e = forget(v, n);
	e.flags = flags;
	slow_note(v->b, (const char *)v->p + WIRE_HEADER, v->avail - WIRE_HEADER);
	return v->sync ? pass_synced(v, &e) : gate_pass_with(v, &e);
}

/* What must be on the backend before, or must not. */
static enum gate
query_needs(struct view *v, const struct sql_facts *f)
{
	enum gate g = GATE_TAKEN;

	if (f->flags & SQL_F_SEQUENCE)
		g = gate_sequences(v);
	if (g == GATE_TAKEN && v->names != NULL && v->names->n > 0)
		g = gate_own_query_named(v, f);
	return g;
}

/* Nothing in it matters to anybody. *facts: what is in it, NULL = not known. */
static bool
is_plain(const struct view *v, const struct sql_facts **facts)
{
	*facts = NULL;
	if (v->avail < v->len || v->p[v->len - 1] != '\0' || !session_watches(v->c))
		return false;
	*facts = session_look(v->c, v->p + WIRE_HEADER, v->len - WIRE_HEADER);
	return *facts == NULL;
}

static enum gate
query(struct view *v)
{
	struct stmt_name *named;
	const struct sql_facts *facts;
	enum gate g;

	v->names = v->c->names;
	if (v->names != NULL && v->names->n > 0 && v->avail < v->len && v->len <= LOOKED_AT_MAX)
		return GATE_MORE;
	if (is_plain(v, &facts))
		return query_pass(v);
	named = deallocated(v);
	if (named != NULL && gate_name_undecided(v, named))
		return gate_stall(v);
	if (named != NULL && (named->stmt == NULL || named->own))
		named = NULL;
	g = facts == NULL || named != NULL ? GATE_TAKEN : query_needs(v, facts);
	if (g != GATE_TAKEN)
		return g;
	if (v->names != NULL && v->names->n > 0)
		may_forget(
		    v, sql_forgets((const char *)v->p + WIRE_HEADER, v->avail - WIRE_HEADER));
	if (named != NULL)
		return deallocate(v, named);
	return query_pass(v);
}

/* --- the way in ------------------------------------------------------------------------------- */

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
static void
gather_begin(struct view *v)
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

/* Its fields are not there yet. */
static enum gate
more(struct view *v)
{
	if (v->len > buf_cap() && (v->type == 'P' || v->avail >= buf_cap())) {
		gather_begin(v);
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

/* Waits for what was sent before in this group. */
static enum gate
ask(struct view *v)
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

static enum gate
extended(struct view *v)
{
	switch (extended_read(
	    v->type, v->p + WIRE_HEADER, v->avail - WIRE_HEADER, v->len - WIRE_HEADER, &v->x)) {
	case EXTENDED_MORE:
		return more(v);
	case EXTENDED_BAD:
		return pass(v);
	case EXTENDED_OK:
		break;
	}
	v->names = names_of(v->c);
	if (v->x.kind != 'P' && forgetting(v) && v->names->n > 0)
		return ask(v);
	switch (v->type) {
	case 'P':
		return v->x.statement.len == 0 ? parse_unnamed(v) : parse_named(v);
	case 'B':
		return use(v);
	case 'D':
		return v->x.kind == 'S' ? use(v) : pass(v);
	case 'C':
		return v->x.kind == 'S' ? close_statement(v) : pass(v);
	default:
		return pass(v);
	}
}

enum gate
gate_message(struct client *c, uint8_t type, const uint8_t *p, uint32_t avail, uint32_t len)
{
	struct view v = {.c = c, .b = c->backend, .type = type, .p = p, .avail = avail, .len = len};

	if (v.b->conn.out != NULL && v.b->conn.out->next != NULL)
		return GATE_FULL;
	if (expect_ignored(&v.b->expect)) {
		if (c->big != NULL)
			gate_put_approved(&v);
		forward(&v, 0);
		return GATE_TAKEN;
	}
	if (type == 'Q') {
		v.sync = replay_wants_sync(v.b);
		return query(&v);
	}
	if ((type == 'D' || type == 'C') && avail > WIRE_HEADER && p[WIRE_HEADER] == 'P')
		return pass(&v); /* portals are the server's business */
	return extended(&v);
}

/*
 * gate_own: see gate.h. Called by gate.c for messages that put a name in its place does not do for.
 *
 * PREPARE, EXECUTE and DEALLOCATE of SQL share their names with Parse, Bind and Close. What such a
 * text names must therefore be on the server under the client's own name: it is prepared there on
 * the way, and from then on (`own`) the client's messages about it pass as they are. Other clients
 * do not meet these names, since the backend is pinned while any statement of SQL's is there
 * (session.h). At a transaction's end it is asked; when the last one has gone, what it has of the
 * client's names is told apart from what SQL has deallocated, and is cleared away.
 *
 * Whatever a text names beyond SESSION_NAMES, and names within functions, are not looked after.
 */
#include <string.h>

#include "proto/sql.h"
#include "proto/wire.h"
#include "worker/gate_impl.h"
#include "worker/relay.h"

bool
gate_own_mode(const struct view *v)
{
	const struct session_part *s = &v->c->session;

	return session_watches(v->c) && ((s->pins | s->open.maybe) & PIN(PREPARED)) != 0;
}

void
gate_own_ask(struct view *v)
{
	v->c->session.open.maybe |= PIN(PREPARED);
	v->c->session.ask = true;
}

/* --- names ------------------------------------------------------------------------------------ */

/* Is something else to be done before this name can be used like that? */
static bool
is_missing(const struct stmt_name *n, bool real)
{
	return n->stmt != NULL && (!n->own || (real && n->stand_in));
}

/* Any statement will do for PREPARE, which meets it; it may not be possible to prepare the real one
 * now. ROLLBACK always can be. */
static void
stand_in(struct view *v, struct stmt_name *n)
{
	static const uint8_t rollback[] = "ROLLBACK\0\0"; /* and no types */

	n->own = n->stand_in = true;
	gate_own_ask(v);
	gate_name_touch(v, n);
	gate_put_parse(v, n->text, rollback, sizeof(rollback));
	relay_sent(v->b,
	    &(struct expect_entry){.type = 'P', .flags = EXPECT_OURS, .op = GATE_OWN, .name = n});
}

/* Those that are not there yet; recursion ends, as a name is marked before what it names. */
static enum gate
own_all(struct view *v, const struct session_names *names)
{
	enum gate g = GATE_TAKEN;
	struct stmt_name *n;
	uint32_t i;

	for (i = 0; i < names->n && g == GATE_TAKEN; i++) {
		n = name_find(v->names, names->v[i], strlen(names->v[i]));
		if (n == NULL)
			continue;
		if (gate_name_undecided(v, n))
			g = gate_stall(v);
		else if (is_missing(n, names->real[i]) && names->real[i])
			g = gate_own_begin(v, n);
		else if (is_missing(n, false))
			stand_in(v, n);
	}
	return g;
}

enum gate
gate_own_named(struct view *v, const struct statement *s)
{
	struct session_names names;
	const char *text = statement_text(s);

	if (v->names->n == 0)
		return GATE_TAKEN;
	(void)session_names_of(&s->settings, text, strlen(text), &names);
	return own_all(v, &names);
}

enum gate
gate_own_begin(struct view *v, struct stmt_name *n)
{
	const struct statement *s = n->stmt;
	const bool was = n->own, stood_in = n->stand_in;
	enum gate g = GATE_TAKEN;

	if (was && !stood_in)
		return GATE_TAKEN;
	if (gate_name_undecided(v, n))
		return gate_stall(v);
	n->own = true;
	n->stand_in = false;
	if (s->note != NULL && s->note->names)
		g = gate_own_named(v, s);
	if (g != GATE_TAKEN) {
		n->own = was;
		n->stand_in = stood_in;
		return g;
	}
	gate_own_ask(v);
	gate_name_touch(v, n);
	if (stood_in) {
		gate_put_named(v, 'C', n->text);
		relay_sent(v->b, &(struct expect_entry){.type = 'C', .flags = EXPECT_OURS});
	}
	gate_put_parse(v, n->text, s->body, s->len);
	relay_sent(v->b, &(struct expect_entry){.type = 'P',
			     .flags = EXPECT_OURS | gate_looks_of(s),
			     .op = stood_in ? GATE_OWN_AGAIN : GATE_OWN,
			     .name = n});
	stats_add(&v->b->pool->row->stmts_parsed, 1);
	return GATE_TAKEN;
}

/* True if one of these names has to be brought there. */
static bool
any_missing(struct view *v, const struct session_names *names)
{
	const struct stmt_name *n;
	uint32_t i;

	for (i = 0; i < names->n; i++) {
		n = name_find(v->names, names->v[i], strlen(names->v[i]));
		if (n != NULL && (is_missing(n, names->real[i]) || gate_name_undecided(v, n)))
			return true;
	}
	return false;
}

/*
 * If what is prepared before a Query fails, the server skips the Query too: the error is the one
 * that it would have met. A Sync of ours goes behind it, which ends the skipping (expect.c). In an
 * aborted block nothing can be prepared, and nothing needs to.
 */
enum gate
gate_own_query_named(struct view *v, const struct sql_facts *f)
{
	struct session_names names;

	session_names_in(f, &names);
	if (!any_missing(v, &names))
		return GATE_TAKEN;
	if (v->b->expect.ends > 0)
		return gate_stall(v);
	if (v->b->status == 'E')
		return GATE_TAKEN;
	v->sync = v->sync || v->b->expect.len == 0;
	return own_all(v, &names);
}

void
gate_put_sync(struct view *v)
{
	static const uint8_t sync[] = {'S', 0, 0, 0, 4};

	conn_put(&v->b->conn, sync, sizeof(sync));
	relay_sent(v->b, &(struct expect_entry){.type = 'S', .flags = EXPECT_OURS});
}

/* PREPARE and DEALLOCATE have no rows, and as many parameters as they are given types for. */
static void
describe_by_text(const struct view *v, struct stmt_name *n)
{
	struct statement *s = n->stmt;
	size_t text = strlen(statement_text(s)) + 1;

	if (s->note->executes || !gate_wants_description(v, n))
		return;
	statement_described(s, v->b->pool->id, n->since, s->body + text, s->len - text);
	s->described.rows = false;
}

enum gate
gate_own_parse(struct view *v, struct stmt_name *n, struct statement *s)
{
	struct expect_entry e = {.type = 'P',
	    .flags = gate_looks_of(s),
	    .op = GATE_PARSE,
	    .name = n,
	    .was_shared = !n->own};

	gate_keep(&e, n);
	gate_name_touch(v, n);
	gate_own_ask(v);
	n->stmt = s;
	n->stand_in = n->own && n->stand_in;
	n->own = true;
	n->since = ddl_generation();
	if (s->note != NULL && s->note->names)
		describe_by_text(v, n);
	else if (gate_wants_description(v, n))
		return gate_parse_asked(v, n->text, n, &e);
	return gate_pass_with(v, &e);
}

/* --- what can be said without preparing it ---------------------------------------------------- */

/* What Bind says about formats and parameters; false: it is not there yet, or nonsense. */
static bool
bind_counts(const struct view *v, unsigned int *formats, unsigned int *params)
{
	struct wire_in in;
	uint32_t at = WIRE_HEADER + v->x.statement.at + v->x.statement.len + 1;

	wire_read(&in, v->p + at, (v->avail < v->len ? v->avail : v->len) - at);
	*formats = wire_get_int16(&in);
	(void)wire_get_bytes(&in, (size_t)*formats * 2);
	*params = wire_get_int16(&in);
	return !in.failed;
}

/* How many it has: as many as it was given types for, or as its text uses. */
static unsigned int
parameters(const struct statement *s)
{
	size_t text = strlen(statement_text(s));
	struct session_names names;
	unsigned int used = session_names_of(&s->settings, s->body, text, &names);
	unsigned int typed = (unsigned int)s->body[text + 1] << 8 | s->body[text + 2];

	return used > typed ? used : typed;
}

/* ROLLBACK with as many parameters: what can be prepared there. The types and their number, of this
 * length, are to be put behind it. */
static void
put_stand_in(struct view *v, size_t types_len)
{
	static const uint8_t rollback[] = "ROLLBACK";
	size_t name = sizeof(STATEMENT_TWICE);

	gate_put_named(v, 'C', STATEMENT_TWICE);
	relay_sent(v->b, &(struct expect_entry){.type = 'C', .flags = EXPECT_OURS});
	conn_put_header(&v->b->conn, 'P', name + sizeof(rollback) + types_len);
	conn_put(&v->b->conn, STATEMENT_TWICE, name);
	conn_put(&v->b->conn, rollback, sizeof(rollback));
	relay_sent(v->b, &(struct expect_entry){.type = 'P', .flags = EXPECT_OURS});
}

static void
put_text_types(struct view *v, unsigned int n)
{
	static const uint8_t text_type[] = {0, 0, 0, 25};
	uint8_t count[2] = {(uint8_t)(n >> 8), (uint8_t)n};

	put_stand_in(v, sizeof(count) + n * sizeof(text_type));
	conn_put(&v->b->conn, count, sizeof(count));
	while (n-- > 0)
		conn_put(&v->b->conn, text_type, sizeof(text_type));
}

enum gate
gate_describe_known(struct view *v, struct stmt_name *n, const struct description *d)
{
	bool unnamed = v->x.statement.len == 0;
	struct expect_entry e = gate_describe(unnamed ? NULL : n, n->stmt, DDL_PRIVATE);

	put_stand_in(v, d->len);
	conn_put(&v->b->conn, d->types, d->len);
	return gate_rename(v, STATEMENT_TWICE, &e);
}

enum gate
gate_bind_wrong(struct view *v, struct stmt_name *n)
{
	unsigned int formats, params, has;

	if (!bind_counts(v, &formats, &params))
		return GATE_MORE;
	has = parameters(n->stmt);
	if (has > UINT16_MAX || (params == has && (formats <= 1 || formats == params)))
		return GATE_MORE;
	if (v->b->expect.ends > 0)
		return gate_stall(v);
	if (v->b->status != 'E' || expect_executes(&v->b->expect))
		return GATE_MORE;
	put_text_types(v, has);
	n->refs++;
	return gate_rename(
	    v, STATEMENT_TWICE, &(struct expect_entry){.type = v->type, .op = GATE_USE, .name = n});
}

/* --- sequences -------------------------------------------------------------------------------- */

/*
 * currval() and lastval() pin the client (session.h), so that they tell of its own session from
 * then on. What the backend has of others goes before the first of them; but within a transaction
 * they are to tell of what has just been done.
 */
enum gate
gate_sequences(struct view *v)
{
	static const char sql[] = "DISCARD SEQUENCES";

	if ((v->c->session.pins & PIN(SEQUENCE)) != 0)
		return GATE_TAKEN;
	if (v->b->expect.ends > 0)
		return gate_stall(v);
	if (v->b->status != 'I' || v->b->expect.len > 0)
		return GATE_TAKEN;
	gate_put_approved(v);
	conn_put_header(&v->b->conn, 'Q', sizeof(sql));
	conn_put(&v->b->conn, sql, sizeof(sql));
	prepared_drop_unnamed(&v->b->prepared, v->b->expect.sent_ends);
	relay_sent(v->b, &(struct expect_entry){.type = 'Q', .flags = EXPECT_OURS});
	return GATE_TAKEN;
}

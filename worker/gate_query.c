/*
 * gate_query: a Query of the client's. See gate.h and gate.c.
 */
#include <string.h>
#include <strings.h>

#include "conf/hint.h"
#include "proto/sql.h"
#include "proto/wire.h"
#include "worker/gate_impl.h"
#include "worker/relay.h"
#include "worker/slow.h"

#define LOOKED_AT_MAX 2048U /* a Query so short is looked at whole; the smallest buffer is 4 kB */
#define BLANKS	      " \t\r\n\f\v"

/*
 * The name in a Query that is nothing but DEALLOCATE of a statement prepared by a message; NULL if
 * it is anything else, which the server answers. (What the scanner makes of PREPARE and EXECUTE is
 * the session's business.)
 */
COLD static struct stmt_name *
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

/* The client's unnamed statement goes by a Close of ours, where the Query's own entry is taken. */
static void
forget_unnamed(struct view *v)
{
	struct stmt_name *n = v->names->unnamed;
	struct expect_entry e;

	prepared_drop_unnamed(&v->b->prepared, v->b->expect.sent_ends);
	if (n == NULL || n->stmt == NULL)
		return;
	e = gate_forget(v, n);
	e.type = 'C';
	e.flags = EXPECT_OURS;
	gate_put_named(v, 'C', "");
	relay_sent(v->b, &e);
}

/*
 * DEALLOCATE of a name: the statement stays, others may use it. The server is given one to
 * deallocate, so that the answer, or the refusal in an aborted block, is its own; the name goes
 * when the answer comes.
 */
COLD static enum gate
deallocate(struct view *v, struct stmt_name *n)
{
	static const char sql[] =
	    "PREPARE " STATEMENT_GONE " AS SELECT 1; DEALLOCATE " STATEMENT_GONE;

	forget_unnamed(v);
	n->refs++;
	gate_put_approved(v);
	conn_put_header(&v->b->conn, 'Q', sizeof(sql));
	conn_put(&v->b->conn, sql, sizeof(sql));
	relay_sent(
	    v->b, &(struct expect_entry){.type = 'Q', .op = GATE_DEALLOCATE, .name = n, .drop = 1});
	gate_consume(v);
	return GATE_TAKEN;
}

/* The whole of it, with a Sync of ours behind it. */
COLD static enum gate
pass_synced(struct view *v, const struct expect_entry *e)
{
	session_text(v->c, 'Q', v->p + WIRE_HEADER, v->len - WIRE_HEADER, v->len - WIRE_HEADER);
	gate_put_approved(v);
	conn_put(&v->b->conn, v->p, v->len);
	relay_sent(v->b, e);
	gate_put_sync(v);
	gate_consume(v);
	return GATE_TAKEN;
}

/* The server forgets its unnamed statement before it looks at a Query. */
static enum gate
query_pass(struct view *v)
{
	struct stmt_name *n = v->c->names == NULL ? NULL : v->c->names->unnamed;
	struct expect_entry e = {.type = 'Q'};
	const uint8_t flags = v->sync ? EXPECT_END_LATER : 0;

	if (unlikely(v->b->prepared.unnamed != NULL))
		prepared_drop_unnamed(&v->b->prepared, v->b->expect.sent_ends);
	if (unlikely(n != NULL) && n->stmt != NULL)
		e = gate_forget(v, n);
	e.flags = flags;
	slow_note(v->b, (const char *)v->p + WIRE_HEADER, v->avail - WIRE_HEADER);
	return unlikely(v->sync) ? pass_synced(v, &e) : gate_pass_with(v, &e);
}

/* What must be on the backend before, or must not. */
static enum gate
query_needs(struct view *v, const struct sql_facts *f)
{
	enum gate g = GATE_TAKEN;

	if (f->class == SQL_SET_TRANSACTION && f->nstatements == 1)
		g = gate_set_transaction(v, true);
	if (g == GATE_TAKEN && (f->flags & SQL_F_SEQUENCE) != 0)
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

/* All of it is there, and nobody needs to look at it again. */
static enum gate
plain_pass(struct view *v)
{
	struct conn *conn = &v->c->conn;
	enum gate g = query_pass(v);

	if (unlikely(v->sync || conn->left == 0))
		return g;
	session_passed(v->c);
	conn->in->fwd += conn->left;
	conn->left = 0;
	return g;
}

enum gate
gate_query(struct view *v)
{
	struct stmt_name *named;
	const struct sql_facts *facts;
	enum gate g;

	v->names = v->c->names;
	if (v->names != NULL && v->names->n > 0 && v->avail < v->len && v->len <= LOOKED_AT_MAX)
		return GATE_MORE;
	if (is_plain(v, &facts))
		return plain_pass(v);
	named = deallocated(v);
	if (named != NULL && gate_name_undecided(v, named))
		return gate_stall(v);
	if (named != NULL && (named->stmt == NULL || named->own))
		named = NULL;
	g = facts == NULL || named != NULL ? GATE_TAKEN : query_needs(v, facts);
	if (g != GATE_TAKEN)
		return g;
	if (v->names != NULL && v->names->n > 0)
		gate_may_forget(
		    v, sql_forgets((const char *)v->p + WIRE_HEADER, v->avail - WIRE_HEADER));
	if (named != NULL)
		return deallocate(v, named);
	return query_pass(v);
}

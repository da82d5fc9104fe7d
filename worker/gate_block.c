/*
 * gate_block: SET TRANSACTION comes in time, or too late, as it does without us. See gate.h. Called
 * by gate.c and gate_query.c for SET TRANSACTION, by gate_answer.c for what the server has done.
 *
 * The server takes it before the transaction's first snapshot only, and a Parse takes one (25001).
 * We send Parses that the client's own server would not need (a Describe on a backend that lacks
 * the statement, or has it since long ago, so that the server looks again), and answer some
 * ourselves. So it is noted what has happened in a transaction block (backend.block); ahead of a
 * SET TRANSACTION that would be
 *   refused for our sake alone   goes ROLLBACK AND CHAIN: nothing has been done in the block yet
 *   in time for our sake alone   goes a Parse that takes a snapshot
 * Neither costs a round trip, but that the answers of what is under way are waited for.
 */
#include <string.h>

#include "proto/wire.h"
#include "worker/gate_impl.h"
#include "worker/relay.h"

enum block {
	BLOCK_FRESH = 1, /* it is one, and began with BEGIN */
	BLOCK_BOUND = 2, /* something was bound, be it that BEGIN */
	BLOCK_BUSY = 4,	 /* it has done something that a ROLLBACK would undo, or has a snapshot */
	BLOCK_OURS = 8,	 /* a Parse of ours has taken a snapshot, or a Describe may have */
	BLOCK_OWED = 16	 /* a Parse that we have answered would have */
};

/* It has been done, and takes a snapshot where it looks into tables. */
static uint8_t
looked(const struct expect_entry *e)
{
	if (e->type == 'D' || (e->flags & EXPECT_OURS) != 0)
		return BLOCK_OURS;
	return (e->flags & EXPECT_AS_PARSE) != 0 ? BLOCK_OWED : BLOCK_BUSY;
}

void
gate_block_done(struct backend *b, const struct expect_entry *e)
{
	if (e->type == 'B')
		b->block |= b->block & (BLOCK_FRESH | BLOCK_BOUND) ? BLOCK_BUSY : BLOCK_BOUND;
	else if (e->type == 'F')
		b->block |= BLOCK_BUSY;
	else if (e->flags & EXPECT_LOOKS)
		b->block |= looked(e);
}

static bool
begins(const char *tag)
{
	if (tag[0] == 'B')
		return strcmp(tag, "BEGIN") == 0;
	return tag[0] == 'S' && tag[1] == 'T' && strcmp(tag, "START TRANSACTION") == 0;
}

void
gate_block_complete(struct backend *b, const char *tag)
{
	const struct expect_entry *head = expect_head(&b->expect);

	if (b->state != BACKEND_ACTIVE || head == NULL || (head->flags & EXPECT_OURS) != 0)
		return;
	if (!begins(tag) || (head->type == 'Q' && (b->block & BLOCK_BOUND) != 0))
		b->block |= BLOCK_BUSY;
	else if (b->status == 'I' && (b->block & BLOCK_BUSY) == 0)
		b->block = (uint8_t)((b->block & ~BLOCK_BOUND) | BLOCK_FRESH);
}

/* The body is that of a Parse. */
static void
put_parse(struct view *v, const uint8_t *body, size_t len)
{
	gate_put_parse(v, STATEMENT_GONE, body, len);
	relay_sent(v->b, &(struct expect_entry){.type = 'P', .flags = EXPECT_OURS});
}

static void
put_close(struct view *v)
{
	gate_put_named(v, 'C', STATEMENT_GONE);
	relay_sent(v->b, &(struct expect_entry){.type = 'C', .flags = EXPECT_OURS});
}

/* A transaction like it, without the snapshot. */
static void
put_chain(struct view *v)
{
	static const uint8_t rollback[] = "ROLLBACK AND CHAIN\0\0"; /* and no types */
	static const uint8_t after[] = {0, 0, 0, 0, 0, 0};	    /* no formats, no parameters */
	static const uint8_t execute[] = {'E', 0, 0, 0, 9, 0, 0, 0, 0, 0};
	size_t name = sizeof(STATEMENT_GONE);

	put_parse(v, rollback, sizeof(rollback));
	conn_put_header(&v->b->conn, 'B', 1 + name + sizeof(after));
	conn_put(&v->b->conn, "", 1);
	conn_put(&v->b->conn, STATEMENT_GONE, name);
	conn_put(&v->b->conn, after, sizeof(after));
	relay_sent(v->b, &(struct expect_entry){.type = 'B', .flags = EXPECT_OURS});
	conn_put(&v->b->conn, execute, sizeof(execute));
	relay_sent(v->b, &(struct expect_entry){.type = 'E', .flags = EXPECT_OURS});
	put_close(v);
}

/* May what we have done, or not done, matter to it? */
static bool
may_matter(const struct view *v)
{
	return (v->b->block & (BLOCK_OURS | BLOCK_OWED)) != 0 ||
	       expect_flagged(&v->b->expect, EXPECT_LOOKS);
}

enum gate
gate_set_transaction(struct view *v, bool query)
{
	static const uint8_t look[] = "SELECT 1\0\0";
	struct backend *b = v->b;

	if (!may_matter(v))
		return GATE_TAKEN;
	if (b->expect.len > 0)
		return b->expect.open ? gate_ask(v) : gate_stall(v);
	if (b->status == 'E' || (b->status == 'I' && (b->block & BLOCK_FRESH) == 0))
		return GATE_TAKEN;
	if (b->block & BLOCK_OWED) {
		put_parse(v, look, sizeof(look));
		put_close(v);
	} else if ((b->block & (BLOCK_OURS | BLOCK_FRESH | BLOCK_BUSY)) ==
		   (BLOCK_OURS | BLOCK_FRESH)) {
		put_chain(v);
	} else {
		return GATE_TAKEN;
	}
	b->block &= (uint8_t) ~(BLOCK_OURS | BLOCK_OWED);
	v->sync = v->sync || query;
	return GATE_TAKEN;
}

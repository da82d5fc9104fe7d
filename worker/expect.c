/*
 * expect: see expect.h. Entries, oldest first:
 *
 *   Q F S     Query, FunctionCall, Sync: end with ReadyForQuery
 *   P B C     Parse, Bind, Close: end with their Complete message
 *   D         Describe: ends with RowDescription or NoData
 *   E         Execute: ends with CommandComplete, EmptyQueryResponse or PortalSuspended
 *   d c f     COPY data (a run counts as one), CopyDone, CopyFail: no answer of their own; never
 *             the head
 *
 * Only the owner of the queue calls this; it allocates when a pipeline is longer than the inline
 * ring.
 */
#include "worker/expect.h"

#include <stdlib.h>
#include <string.h>

#include "conf/hint.h"

void
expect_init(
    struct expect *x, void (*settle)(struct expect *, const struct expect_entry *, enum expect_end))
{
	memset(x, 0, sizeof(*x));
	x->size = EXPECT_INLINE;
	x->settle = settle;
}

static struct expect_entry *
at(struct expect *x, uint32_t i)
{
	return &(unlikely(x->ring != NULL) ? x->ring : x->inl)[(x->head + i) & (x->size - 1)];
}

static bool
is_copy(uint8_t type)
{
	return type == 'd' || type == 'c' || type == 'f';
}

static bool
is_end(uint8_t type)
{
	return type == 'S' || type == 'Q' || type == 'F';
}

static void
end_gone(struct expect *x, uint8_t type)
{
	if (!is_end(type))
		return;
	x->ends--;
	x->got_ends++;
}

static void
settle(struct expect *x, uint32_t i, enum expect_end end)
{
	struct expect_entry *e = at(x, i);

	if (e->op != 0 && x->settle != NULL)
		x->settle(x, e, end);
	e->op = 0;
}

/* Where the entry behind this one is, or would be. */
static uint32_t
behind(const struct expect *x, const struct expect_entry *from)
{
	const struct expect_entry *first = x->ring != NULL ? x->ring : x->inl;

	return (((uint32_t)(from - first) - x->head) & (x->size - 1)) + 1;
}

struct expect_entry *
expect_after(struct expect *x, const struct expect_entry *from, const struct stmt_name *name)
{
	uint32_t i;

	for (i = behind(x, from); i < x->len; i++)
		if (at(x, i)->op != 0 && at(x, i)->name == name)
			return at(x, i);
	return NULL;
}

struct expect_entry *
expect_after_op(struct expect *x, const struct expect_entry *from, uint8_t op, uint8_t or_op)
{
	uint32_t i;

	for (i = behind(x, from); i < x->len; i++)
		if (at(x, i)->op == op || at(x, i)->op == or_op)
			return at(x, i);
	return NULL;
}

bool
expect_executes(const struct expect *x)
{
	uint32_t i;

	for (i = 0; i < x->len; i++)
		if (expect_at(x, i)->type == 'E')
			return true;
	return false;
}

bool
expect_flagged(const struct expect *x, uint8_t flag)
{
	uint32_t i;

	for (i = 0; i < x->len; i++)
		if (expect_at(x, i)->flags & flag)
			return true;
	return false;
}

bool
expect_in_copy(const struct expect *x)
{
	uint32_t i;

	if (likely(!x->copy_in))
		return false;
	for (i = 1; i < x->len; i++)
		if (expect_at(x, i)->type != 'S' && expect_at(x, i)->type != 'd')
			return false;
	return true;
}

static void
ring_free(struct expect *x)
{
	free(x->ring);
	x->ring = NULL;
	x->size = EXPECT_INLINE;
	x->head = 0;
}

void
expect_fini(struct expect *x)
{
	while (x->len > 0) {
		settle(x, x->len - 1, EXPECT_SKIPPED);
		x->len--;
	}
	ring_free(x);
	expect_init(x, x->settle);
}

COLD static bool
grow(struct expect *x)
{
	struct expect_entry *bigger = reallocarray(NULL, (size_t)x->size * 2, sizeof(*bigger));
	uint32_t i;

	if (bigger == NULL)
		return false;
	for (i = 0; i < x->len; i++)
		bigger[i] = *at(x, i);
	free(x->ring);
	x->ring = bigger;
	x->size *= 2;
	x->head = 0;
	return true;
}

bool
expect_push(struct expect *x, const struct expect_entry *e)
{
	if (unlikely(x->len == x->size) && !grow(x))
		return false;
	*at(x, x->len) = *e;
	x->len++;
	if (is_end(e->type)) {
		x->open = false;
		x->ends++;
		x->sent_ends++;
	} else if (!is_copy(e->type)) {
		x->open = true;
	}
	return true;
}

bool
expect_sent(struct expect *x, uint8_t type)
{
	const struct expect_entry e = {.type = type};

	if (type == 'H' || (type != 'S' && expect_ignored(x)))
		return true;
	if (is_copy(type) && (x->len == 0 || (type == 'd' && at(x, x->len - 1)->type == 'd')))
		return true;
	return expect_push(x, &e);
}

/* COPY data that nobody waits for: the server ignores them too. */
static void
drop_copy(struct expect *x)
{
	while (x->len > 0 && is_copy(at(x, 0)->type)) {
		x->head = (x->head + 1) & (x->size - 1);
		x->len--;
	}
	if (x->len > 0)
		return;
	x->head = 0; /* what was used last is used next */
	if (unlikely(x->ring != NULL))
		ring_free(x);
}

static void
pop(struct expect *x, enum expect_end end)
{
	end_gone(x, at(x, 0)->type);
	settle(x, 0, end);
	x->head = (x->head + 1) & (x->size - 1);
	x->len--;
	drop_copy(x);
}

/* Takes the entries [from, to) out of the middle. */
COLD static void
cut(struct expect *x, uint32_t from, uint32_t to)
{
	uint32_t k;

	for (k = from; k < to; k++)
		end_gone(x, at(x, k)->type);
	for (k = to; k < x->len; k++)
		*at(x, from + k - to) = *at(x, k);
	x->len -= to - from;
}

/* COPY has failed. Whether it had read the Syncs up to its last message by then is not known: only
 * what comes next tells. */
static void
doubt_syncs(struct expect *x)
{
	uint32_t i;

	for (i = 1; i < x->len && at(x, i)->type != 'c' && at(x, i)->type != 'f'; i++) {
		if (at(x, i)->type == 'S')
			at(x, i)->flags |= EXPECT_DOUBTFUL;
		else if (at(x, i)->type != 'd')
			return;
	}
}

/* An answer that is no Sync's: those Syncs at the head were COPY's. */
COLD static void
drop_doubtful(struct expect *x)
{
	while (x->len > 1 && (at(x, 0)->flags & EXPECT_DOUBTFUL) != 0)
		pop(x, EXPECT_SKIPPED);
}

/*
 * The head's COPY IN ended (`done`: the server read CopyDone; else it failed). Removes what the
 * server's COPY loop has swallowed: every Sync before the first data message, and when it read to
 * CopyDone, all up to that one. Keeps the rest in order.
 */
COLD static void
copy_ended(struct expect *x, bool done)
{
	uint32_t to = 1;

	x->copy_in = false;
	while (to < x->len && at(x, to)->type == 'S')
		to++;
	if (to == x->len || !is_copy(at(x, to)->type))
		return; /* no data was sent at all: these Syncs were never COPY's */
	while (done && to < x->len && at(x, to)->type != 'c' && at(x, to)->type != 'f')
		to++;
	if (done && to < x->len)
		to++;
	cut(x, 1, to);
	if (!done)
		doubt_syncs(x);
}

static enum expect_verdict
head_verdict(const struct expect *x)
{
	return (expect_head(x)->flags & EXPECT_OURS) != 0 ? EXPECT_DROP : EXPECT_PASS;
}

/* The answer that ends a request of this type. */
static enum expect_verdict
got_answer(struct expect *x, uint8_t type)
{
	enum expect_verdict v;

	if (x->len == 0 || at(x, 0)->type != type)
		return EXPECT_BAD;
	v = head_verdict(x);
	if (unlikely((at(x, 0)->flags & EXPECT_AS_PARSE) != 0))
		v = EXPECT_SHOW_1;
	pop(x, EXPECT_DONE);
	return v;
}

/* CommandComplete and its like: ends an Execute; inside a Query it ends a statement. */
static enum expect_verdict
got_complete(struct expect *x)
{
	enum expect_verdict v;

	if (x->len == 0 || (at(x, 0)->type != 'E' && at(x, 0)->type != 'Q'))
		return EXPECT_BAD;
	v = head_verdict(x);
	if (unlikely(x->copy_in))
		copy_ended(x, true);
	if (at(x, 0)->type == 'E') {
		pop(x, EXPECT_DONE);
	} else if (at(x, 0)->drop > 0) {
		at(x, 0)->drop--;
		v = EXPECT_DROP;
	}
	return v;
}

/* RowDescription, NoData: end a Describe; rows of a Query have a description too. */
static enum expect_verdict
got_description(struct expect *x, uint8_t type)
{
	if (x->len > 0 && at(x, 0)->type == 'Q' && type == 'T')
		return head_verdict(x);
	return got_answer(x, 'D');
}

/* What belongs to the head and does not end it. */
static enum expect_verdict
got_part(const struct expect *x)
{
	return x->len == 0 ? EXPECT_BAD : head_verdict(x);
}

/*
 * An error belongs to the head. If that is of the extended protocol, the server now skips to the
 * next Sync. An error of ours is the client's: it is in place of what its own message would meet.
 * So is the end of a Sync of ours, if a Query was skipped.
 */
COLD static enum expect_verdict
got_error(struct expect *x)
{
	uint32_t end = 1, i;
	enum expect_verdict v;
	bool query = false;

	if (x->len == 0)
		return EXPECT_PASS; /* FATAL as a rule: the connection ends by itself */
	v = at(x, 0)->type == 'Q' ? head_verdict(x) : EXPECT_PASS;
	if (x->copy_in)
		copy_ended(x, false);
	if (is_end(at(x, 0)->type))
		return v;
	for (; end < x->len && at(x, end)->type != 'S'; end++)
		query = query || at(x, end)->type == 'Q';
	if (query && end < x->len)
		at(x, end)->flags &= (uint8_t)~EXPECT_OURS;
	for (i = end - 1; i > 0; i--)
		settle(x, i, EXPECT_SKIPPED);
	cut(x, 1, end);
	x->skipping = true;
	pop(x, EXPECT_FAILED);
	return v;
}

static enum expect_verdict
got_ready(struct expect *x)
{
	enum expect_verdict v;
	bool doubtful;

	if (x->len == 0 || !is_end(at(x, 0)->type))
		return EXPECT_BAD;
	v = head_verdict(x);
	if (unlikely((at(x, 0)->flags & EXPECT_END_LATER) != 0) && x->len > 1 &&
	    at(x, 1)->type == 'S') {
		at(x, 1)->flags &= (uint8_t)~EXPECT_OURS;
		v = EXPECT_DROP;
	}
	doubtful = (at(x, 0)->flags & EXPECT_DOUBTFUL) != 0;
	x->skipping = x->copy_in = x->copy_both = false;
	pop(x, EXPECT_DONE);
	if (unlikely(doubtful) && x->len > 0 && at(x, 0)->type == 'S')
		at(x, 0)->flags |= EXPECT_DOUBTFUL; /* this was one of the two */
	return v;
}

enum expect_verdict
expect_got(struct expect *x, uint8_t type)
{
	if (x->len > 1 && unlikely((at(x, 0)->flags & EXPECT_DOUBTFUL) != 0) &&
	    strchr("ZNSA", type) == NULL)
		drop_doubtful(x);
	switch (type) {
	case 'D':
	case 'd':
	case 'H':
	case 'V':
		return got_part(x);
	case 'W': /* how it ends is for the two sides to agree on: what comes is passed on */
		x->copy_both = true;
		return got_part(x);
	case 'c': /* CopyDone of a COPY OUT */
		return got_part(x);
	case '1':
		return got_answer(x, 'P');
	case '2':
		return got_answer(x, 'B');
	case '3':
		return got_answer(x, 'C');
	case 't':
		return x->len > 0 && at(x, 0)->type == 'D' ? head_verdict(x) : EXPECT_BAD;
	case 'T':
	case 'n':
		return got_description(x, type);
	case 'C':
	case 'I':
	case 's':
		return got_complete(x);
	case 'G':
		x->copy_in = true;
		return got_part(x);
	case 'E':
		return got_error(x);
	case 'Z':
		return got_ready(x);
	case 'N': /* these may come at any time */
		return x->len > 0 && (at(x, 0)->type == 'Q' || at(x, 0)->type == 'P')
			   ? head_verdict(x)
			   : EXPECT_PASS;
	case 'S':
		return x->len > 0 && at(x, 0)->type == 'Q' ? head_verdict(x) : EXPECT_PASS;
	default:
		return EXPECT_PASS;
	}
}

/*
 * expect: see expect.h. Entries, oldest first:
 *
 *   Q F S   Query, FunctionCall, Sync: end with ReadyForQuery
 *   E       Execute: ends with CommandComplete, EmptyQueryResponse or PortalSuspended
 *   P       a run of Parse, Bind, Describe, Close: counted as one, it only keeps the backend
 *   d c f   COPY data (a run counts as one), CopyDone, CopyFail: no answer of their own
 *
 * Only the owner of the queue calls this; it allocates when a pipeline is longer than the inline
 * ring.
 */
#include "worker/expect.h"

#include <stdlib.h>
#include <string.h>

void
expect_init(struct expect *x)
{
	memset(x, 0, sizeof(*x));
	x->size = EXPECT_INLINE;
}

void
expect_fini(struct expect *x)
{
	free(x->ring);
	expect_init(x);
}

static uint8_t *
ring(struct expect *x)
{
	return x->ring != NULL ? x->ring : x->inl;
}

static uint8_t
at(struct expect *x, uint32_t i)
{
	return ring(x)[(x->head + i) & (x->size - 1)];
}

static bool
grow(struct expect *x)
{
	uint8_t *bigger = malloc((size_t)x->size * 2);
	uint32_t i;

	if (bigger == NULL)
		return false;
	for (i = 0; i < x->len; i++)
		bigger[i] = at(x, i);
	free(x->ring);
	x->ring = bigger;
	x->size *= 2;
	x->head = 0;
	return true;
}

static bool
push(struct expect *x, uint8_t entry)
{
	if (x->len == x->size && !grow(x))
		return false;
	ring(x)[(x->head + x->len) & (x->size - 1)] = entry;
	x->len++;
	return true;
}

static void
pop(struct expect *x, uint32_t n)
{
	x->head = (x->head + n) & (x->size - 1);
	x->len -= n;
	if (x->len == 0) {
		x->copy_in = x->skipping = false;
		if (x->ring != NULL)
			expect_fini(x);
	}
}

static bool
push_run(struct expect *x, uint8_t entry)
{
	if (x->len > 0 && at(x, x->len - 1) == entry)
		return true;
	return push(x, entry);
}

bool
expect_sent(struct expect *x, uint8_t type)
{
	switch (type) {
	case 'Q':
	case 'F':
	case 'S':
	case 'E':
		return push(x, type);
	case 'P':
	case 'B':
	case 'D':
	case 'C':
		return push_run(x, 'P');
	case 'd':
		return x->len == 0 ? true : push_run(x, 'd');
	case 'c':
	case 'f':
		return x->len == 0 ? true : push(x, type);
	default:
		return true;
	}
}

static bool
is_copy(uint8_t e)
{
	return e == 'd' || e == 'c' || e == 'f';
}

/* Index of the oldest entry at or after `i` that is no COPY entry; len if there is none. */
static uint32_t
skip_copy(struct expect *x, uint32_t i)
{
	while (i < x->len && is_copy(at(x, i)))
		i++;
	return i;
}

/*
 * COPY IN ended (`done`: the server read CopyDone; else it failed). Removes, behind entry `i`, what
 * the server's COPY loop has swallowed: every Sync before the first data message, and when it read
 * to CopyDone or CopyFail, all up to that one. Keeps the rest in order.
 */
static void
copy_ended(struct expect *x, uint32_t i, bool done)
{
	uint32_t from = i + 1, to = from, k;

	x->copy_in = false;
	while (to < x->len && at(x, to) == 'S')
		to++;
	if (to == x->len)
		return; /* no data was sent at all: these Syncs were never COPY's */
	if (!is_copy(at(x, to)))
		return;
	while (done && to < x->len && at(x, to) != 'c' && at(x, to) != 'f')
		to++;
	if (done && to < x->len)
		to++;
	for (k = to; k < x->len; k++)
		ring(x)[(x->head + from + k - to) & (x->size - 1)] = at(x, k);
	x->len -= to - from;
}

/* CommandComplete and its like: ends an Execute; inside a Query it only ends a COPY. */
static bool
got_complete(struct expect *x)
{
	uint32_t i = skip_copy(x, 0);

	while (i < x->len && at(x, i) == 'P')
		i = skip_copy(x, i + 1);
	if (i == x->len)
		return false;
	if (x->copy_in)
		copy_ended(x, i, true);
	if (at(x, i) == 'E')
		pop(x, i + 1);
	return true;
}

/*
 * An error belongs to the oldest entry. If that is of the extended protocol, the server now skips
 * to the next Sync. A run of Parse.. straight before a Query may mean either; then it is taken as
 * the Query's, which counts higher.
 */
static bool
got_error(struct expect *x)
{
	uint32_t i = skip_copy(x, 0), next;

	if (i == x->len)
		return true; /* asynchronous, FATAL as a rule: the connection ends by itself */
	next = i;
	while (next < x->len && at(x, next) == 'P')
		next = skip_copy(x, next + 1);
	if (x->copy_in)
		copy_ended(x, next < x->len ? next : i, false);
	if (at(x, i) == 'E')
		x->skipping = true;
	else if (at(x, i) == 'P')
		x->skipping = next == x->len || at(x, next) == 'E' || at(x, next) == 'S';
	return true;
}

static bool
got_ready(struct expect *x)
{
	uint32_t i;

	for (i = 0; i < x->len; i++) {
		uint8_t e = at(x, i);
		if (e == 'S' || (!x->skipping && (e == 'Q' || e == 'F')))
			break;
	}
	if (i == x->len)
		return false;
	x->skipping = x->copy_in = false;
	pop(x, i + 1);
	pop(x, skip_copy(x, 0)); /* data behind a COPY that failed: the server ignores them */
	return true;
}

bool
expect_got(struct expect *x, uint8_t type)
{
	switch (type) {
	case 'Z':
		return got_ready(x);
	case 'C':
	case 'I':
	case 's':
		return got_complete(x);
	case 'E':
		return got_error(x);
	case 'G':
		x->copy_in = true;
		return x->len > 0;
	default:
		return true;
	}
}

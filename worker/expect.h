/*
 * expect: what a backend still owes for the messages sent to it (PostgreSQL protocol, message flow
 * chapter).
 *
 * One small entry per request; a backend may go back to its pool only when the queue is empty.
 * Where the protocol leaves it open how the server saw things, the count errs on the high side: the
 * backend then stays with its client, and no answer ever reaches the wrong one.
 *
 * What makes ReadyForQuery: Query, FunctionCall, Sync. What does not, though sent: a Sync read
 * inside COPY IN (the server drops it), everything between an error in the extended protocol and
 * the next Sync.
 */
#ifndef WORKER_EXPECT_H
#define WORKER_EXPECT_H

#include <stdbool.h>
#include <stdint.h>

#define EXPECT_INLINE 16

struct expect {
	uint8_t *ring; /* NULL = the inline one */
	uint32_t size; /* of ring, a power of two */
	uint32_t head, len;
	bool copy_in;  /* the server reads COPY data now */
	bool skipping; /* it skips to the next Sync */
	uint8_t inl[EXPECT_INLINE];
};

void expect_init(struct expect *);
void expect_fini(struct expect *);

/* A frontend message of this type goes to the server. False if there is no memory for it. */
bool expect_sent(struct expect *, uint8_t type);
/* A backend message of this type came. False = it answers nothing we know of: the connection is out
 * of step. */
bool expect_got(struct expect *, uint8_t type);
static inline bool
expect_empty(const struct expect *x)
{
	return x->len == 0;
}

#endif

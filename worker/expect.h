/*
 * expect: what a backend still owes for the messages sent to it (PostgreSQL protocol, message flow
 * chapter).
 *
 * One entry per request, in order; a backend may go back to its pool only when the queue is empty.
 * An entry may be ours (its answers are for nobody), or be answered under another name, and may
 * carry what its outcome decides: the owner is told how each entry ends.
 *
 * What makes ReadyForQuery: Query, FunctionCall, Sync. What does not, though sent: a Sync read
 * inside COPY IN (the server drops it), everything between an error in the extended protocol and
 * the next Sync. Anything that fits nowhere means the connection is out of step.
 */
#ifndef WORKER_EXPECT_H
#define WORKER_EXPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/hint.h"

#define EXPECT_INLINE 16

struct prep;
struct statement;
struct stmt_name;

enum expect_flag {
	EXPECT_OURS = 1,     /* the client knows nothing of it: its answers are dropped */
	EXPECT_AS_PARSE = 2, /* a Close in a Parse's place: its answer is shown as ParseComplete */
	EXPECT_DOUBTFUL = 4, /* a Sync that COPY may have read before it failed: expect.c sets it */
	EXPECT_END_LATER = 8, /* a Query with a Sync of ours behind it: its end is that one's */
	EXPECT_LOOKS = 16 /* Parse, or what is in its place, Describe: of what looks into tables */
};

struct expect_entry {
	uint8_t type;	 /* of the message */
	uint8_t flags;	 /* enum expect_flag */
	uint8_t op;	 /* what its outcome decides: the owner's */
	bool was_shared; /* Parse: its name was not on the server itself before */
	uint16_t drop;	 /* Query: CommandCompletes that are not shown */
	struct stmt_name *name;
	struct statement *stmt, *prev;
	struct prep *prep;
	uint64_t since; /* DDL generation of the Parse of a Describe's statement, or of `prev` */
};

enum expect_end {
	EXPECT_DONE,   /* the server did it */
	EXPECT_FAILED, /* it answered with an error */
	EXPECT_SKIPPED /* behind an error: it never looked at it */
};

enum expect_verdict {
	EXPECT_PASS,   /* for the client */
	EXPECT_DROP,   /* for nobody */
	EXPECT_SHOW_1, /* for the client, as a ParseComplete */
	EXPECT_BAD     /* answers nothing we know of: the connection is out of step */
};

struct expect {
	struct expect_entry *ring; /* NULL = the inline one */
	uint32_t size;		   /* of ring, a power of two */
	uint32_t head, len;
	uint32_t ends; /* entries that end with ReadyForQuery */
	/* Such requests ever sent, and those answered or never to be */
	uint32_t sent_ends, got_ends;
	bool copy_in;	/* the server reads COPY data now */
	bool copy_both; /* both sides send them: replication streams, until ReadyForQuery */
	bool skipping;	/* it skips to the next Sync */
	bool open;	/* messages of the extended protocol were sent, and no Sync behind them */
	/* Told once for every entry that has an op; after an error the newest first. May be NULL;
	 * must not push. */
	void (*settle)(struct expect *, const struct expect_entry *, enum expect_end);
	struct expect_entry inl[EXPECT_INLINE];
};

void expect_init(
    struct expect *, void (*settle)(struct expect *, const struct expect_entry *, enum expect_end));
/* What is open is settled as skipped. */
void expect_fini(struct expect *);

/* A frontend message goes to the server. False if there is no memory for it. */
bool expect_push(struct expect *, const struct expect_entry *);
bool expect_sent(struct expect *, uint8_t type);
/* A backend message of this type came. */
enum expect_verdict expect_got(struct expect *, uint8_t type);

/* The i-th that has not ended; there must be so many. */
static inline const struct expect_entry *
expect_at(const struct expect *x, uint32_t i)
{
	return &(unlikely(x->ring != NULL) ? x->ring : x->inl)[(x->head + i) & (x->size - 1)];
}

/* The request the next answer is for; NULL = none. */
static inline const struct expect_entry *
expect_head(const struct expect *x)
{
	return x->len == 0 ? NULL : expect_at(x, 0);
}

/* Are rows that come now the client's? Nothing follows from them then. */
static inline bool
expect_passes_rows(const struct expect *x)
{
	return x->len > 0 && (expect_head(x)->flags & (EXPECT_OURS | EXPECT_DOUBTFUL)) == 0;
}

/* Is the next answer a Query's? */
static inline bool
expect_in_query(const struct expect *x)
{
	return x->len > 0 && expect_head(x)->type == 'Q';
}

/* The one behind it; NULL = none. */
static inline const struct expect_entry *
expect_second(const struct expect *x)
{
	return x->len < 2 ? NULL : expect_at(x, 1);
}

/* The last request that was sent and has not ended; NULL = none. */
static inline const struct expect_entry *
expect_last(const struct expect *x)
{
	return x->len == 0 ? NULL : expect_at(x, x->len - 1);
}

/* The next entry behind `from` (one that is being settled) whose outcome decides about this name,
 * or NULL. */
struct expect_entry *expect_after(
    struct expect *, const struct expect_entry *from, const struct stmt_name *);

/* The next entry behind `from` with one of these ops, or NULL. */
struct expect_entry *expect_after_op(
    struct expect *, const struct expect_entry *from, uint8_t op, uint8_t or_op);

/* True if something with this flag is under way. */
bool expect_flagged(const struct expect *, uint8_t flag);
/* True if an Execute is under way: it may end a transaction block. */
bool expect_executes(const struct expect *);
/* True if the server reads COPY data, and nothing but these, and Syncs that it drops, was sent. */
bool expect_in_copy(const struct expect *);

/* True if the server drops whatever comes before a Sync: it has met an error, and no Sync is on its
 * way. */
static inline bool
expect_ignored(const struct expect *x)
{
	return x->skipping && x->len == 0;
}

static inline bool
expect_empty(const struct expect *x)
{
	return x->len == 0 && !x->skipping;
}

#endif

/*
 * differ: protocol conversations as text, so that they can be made up from a seed, held with
 * PostgreSQL and with a pooler, compared, made smaller, printed, and kept as a case
 * (tests/e2e/differ). Used by test_differ.c.
 *
 * A conversation is lines. A line that begins with a blank belongs to the operation above it: they
 * are taken out together. `>` ends a step: what was said is sent in one go and answered before the
 * next begins. `@` stands for the number of the slot that runs it, so that slots share no table.
 *
 *   U name value ...         first line only: a login of its own with these startup parameters
 *   Q sql                    Query; \n is a line feed, here and below
 *   P stmt oids sql          Parse; `-` is the empty name and no types, else 23,25
 *   B portal stmt pf rf ...  Bind; formats of parameters and results, 0 or 1, then the values:
 *                            null, t:text (\s is a blank), x:hex, big:LENGTH
 *   D S|P name               Describe
 *   E portal limit           Execute
 *   C S|P name               Close
 *   F oid rf value ...       FunctionCall with parameters in text
 *   d data / c / f reason    CopyData (a line feed follows it), CopyDone, CopyFail
 *   S / H                    Sync, Flush
 *
 * A step that ends with `>G` has its answers when COPY begins; one that ends with Flush when the
 * last message before it is answered.
 */
#ifndef E2E_DIFFER_H
#define E2E_DIFFER_H

#include "tests/e2e/raw.h"

/* What a conversation may use. */
enum kinds {
	KIND_PLAIN = 1 << 0,	/* queries, errors, several statements in one */
	KIND_TX = 1 << 1,	/* BEGIN to ROLLBACK, savepoints */
	KIND_EXT = 1 << 2,	/* Parse to Sync with the unnamed statement, within one pipeline */
	KIND_ACROSS = 1 << 3,	/* the unnamed statement is used in a later pipeline */
	KIND_NAMED = 1 << 4,	/* named statements */
	KIND_PORTAL = 1 << 5,	/* named portals, row limits */
	KIND_COPY = 1 << 6,	/* in and out, failing in both */
	KIND_BIG = 1 << 7,	/* values larger than any buffer */
	KIND_CALL = 1 << 8,	/* FunctionCall */
	KIND_REPORT = 1 << 9,	/* SET and the like of what the server reports */
	KIND_SET = 1 << 10,	/* ... of anything */
	KIND_START = 1 << 11,	/* startup parameters */
	KIND_PREPARE = 1 << 12, /* PREPARE, EXECUTE, DEALLOCATE */
	KIND_DISCARD = 1 << 13,
	KIND_CURSOR = 1 << 14, /* DECLARE in a transaction */
	KIND_HOLD = 1 << 15,   /* WITH HOLD */
	KIND_TEMP = 1 << 16,   /* temporary tables */
	KIND_LISTEN = 1 << 17,
	KIND_LOCK = 1 << 18,  /* advisory locks of the session */
	KIND_SEQ = 1 << 19,   /* currval, lastval, setseed */
	KIND_BURST = 1 << 20, /* all of a conversation is sent before any of it is answered */
	KIND_ALL = (1 << 21) - 1,
	/* Functions that set what the server does not report: only PostgreSQL itself gives that
	 * back to the one who called, so these are for conversations that nobody compares. */
	KIND_QUIET = 1 << 21
};

/* The name in DIFFER_KINDS of one bit; NULL behind the last. */
const char *differ_kind(int bit);

/* Makes one up. The text ends with a NUL. */
void differ_make(struct bytes *text, uint64_t seed, unsigned kinds);

/*
 * Answers are appended as text, a line each, without pids, object ids and places in the source.
 * Both return false if the connection is of no use afterwards, and the answers tell why.
 */
bool differ_login(const char *text, const struct target *, struct raw *, struct bytes *answers);
bool differ_talk(const char *text, int slot, struct raw *, struct bytes *answers);
/* Sends only its first `limit` bytes and does not care for answers. */
void differ_babble(const char *text, int slot, struct raw *, size_t limit);

#endif

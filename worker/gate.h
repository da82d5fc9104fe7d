/*
 * gate: what is looked at between a client and its backend in transaction and statement mode: the
 * names of prepared statements are put in the place of the client's, what a backend lacks is
 * prepared on the way, and the answers look as if there were one server (design.md 6).
 *
 *   gate.c         messages of the client
 *   gate_query.c   ... Query
 *   gate_send.c    what is sent, and what the backend has
 *   gate_own.c     ... that need more than a name put in its place: SQL's PREPARE, currval()
 *   gate_block.c   ... SET TRANSACTION, which must be a transaction's first
 *   gate_answer.c  messages of the server
 *
 * PostgreSQL itself answers whatever it can: an unknown name goes to it as it is, a duplicate as a
 * second Parse of a name it has, a refusal of ours in the place of an error it was made to send. So
 * order, texts and the skipping to Sync are its own.
 */
#ifndef WORKER_GATE_H
#define WORKER_GATE_H

#include "worker/objects.h"

enum gate {
	GATE_TAKEN, /* it is on its way; the rest of it streams */
	GATE_MORE,  /* more of it is needed */
	GATE_WAIT,  /* an answer is needed first: the client is called again (loop_again) when it
		       came */
	GATE_FULL   /* the backend must take what is there first */
};

/* Does the gate look at messages of this type of this client? */
bool gate_looks(const struct client *, uint8_t type);
/* A client's message, `avail` of its `len` bytes are at `p`. Its backend is linked and active. */
enum gate gate_message(
    struct client *, uint8_t type, const uint8_t *p, uint32_t avail, uint32_t len);

/* A message that is gathered because it is longer than a buffer and must be seen whole. */
struct gate_big {
	uint32_t len, have, size;
	uint8_t *p;
	struct statement *owner; /* of p; NULL = we are */
};
/* Moves what was received of it over. True if it is complete. */
bool gate_gather(struct client *);
void gate_big_free(struct client *);

/*
 * A whole message of the server, before the queue of requests hears of it. True: the client gets
 * another text instead, which was put into its `out` behind all that came before.
 */
bool gate_error(struct backend *, const uint8_t *body, size_t len);
/* ParameterDescription, NoData. */
void gate_described(struct backend *, uint8_t type, const uint8_t *body, size_t len);
/* A CommandComplete, also one of a query of ours. */
void gate_complete(struct backend *, const uint8_t *body, size_t len);
/* ReadyForQuery. */
void gate_ready(struct backend *, char status);
/* An answer that a message of the client's may wait for has come. */
void gate_look_again(struct backend *);
/* The settings of the backend that change what parsing means have changed. */
void gate_settings_changed(struct backend *);
/* A request of the client has ended (expect.h). */
void gate_settle(struct expect *, const struct expect_entry *, enum expect_end);
/* A query of ours was sent: the server forgets its unnamed statement. */
void gate_own_query(struct backend *);

/* It has left its backend. */
void gate_left(struct client *);

/* What the ends of requests decide. */
enum gate_op {
	GATE_NOTHING,
	GATE_USE,	   /* name: whose name errors tell */
	GATE_DESCRIBE,	   /* of stmt; name as above, or NULL */
	GATE_PARSE,	   /* the client's Parse: name, prev, prep */
	GATE_CLOSE,	   /* name has no statement any more: prev */
	GATE_PREPARE,	   /* our Parse: prep */
	GATE_UNPREPARE,	   /* our Close: prep */
	GATE_UNNAMED,	   /* the client's unnamed Parse: name, prev */
	GATE_UNNAMED_OURS, /* ours */
	GATE_DEALLOCATE,   /* a Query that is DEALLOCATE of a name: name */
	GATE_ASKED,	   /* what was sent before it is decided */
	GATE_CALLED,	   /* FunctionCall */
	GATE_OWN,	   /* our Parse, by the client's own name: name */
	GATE_OWN_AGAIN,	   /* ... in place of a stand-in */
	GATE_SETTINGS,	   /* the last of what brings the client's settings over: replay.h */
	GATE_REFUSE	   /* an error of ours takes the place of the server's */
};

#endif

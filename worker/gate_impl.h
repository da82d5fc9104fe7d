/*
 * gate_impl: what gate.c and gate_own.c share. For them only.
 */
#ifndef WORKER_GATE_IMPL_H
#define WORKER_GATE_IMPL_H

#include "proto/extended.h"
#include "worker/gate.h"

/* The message at hand. */
struct view {
	struct client *c;
	struct backend *b;
	struct stmt_names *names;
	struct extended x;
	const uint8_t *p; /* its first `avail` bytes; the header is the first 5 */
	uint32_t avail, len;
	uint8_t type;
	bool sync; /* a Sync of ours goes behind it */
};

/* --- gate.c --- */

enum gate gate_stall(struct view *);
/* What the relay has approved so far goes before what is put next. */
void gate_put_approved(struct view *);
/* Describe or Close of a statement by that name. */
void gate_put_named(struct view *, uint8_t type, const char *name);
void gate_put_parse(struct view *, const char *name, const uint8_t *body, size_t len);
/* The message goes on as it is, and its end decides something. */
enum gate gate_pass_with(struct view *, const struct expect_entry *);
/* Bind, Describe or Close goes on with this name of a statement. */
enum gate gate_rename(struct view *, const char *name, const struct expect_entry *);
void gate_name_touch(struct view *, struct stmt_name *);
/* Something of an earlier group decides about it, and has not ended yet. */
bool gate_name_undecided(const struct view *, const struct stmt_name *);

/* --- gate_own.c --- */

/* Statements of this client's may have names on the server itself. */
bool gate_own_mode(const struct view *);
/* What this statement names is there by its own name. GATE_TAKEN, or GATE_WAIT. */
enum gate gate_own_named(struct view *, const struct statement *);
/* The same for the text of a Query; view.sync is set if it must be followed by a Sync. */
enum gate gate_own_query_named(struct view *, const struct sql_facts *);
/* The name has a statement that must be on the server by this name: makes it so. */
enum gate gate_own_begin(struct view *, struct stmt_name *);
void gate_put_sync(struct view *);
/* A Parse goes to the server under the client's own name. */
enum gate gate_own_parse(struct view *, struct stmt_name *, struct statement *);
/* It will be asked what it has. */
void gate_own_ask(struct view *);
/*
 * The server would not prepare this statement in an aborted block, but the Bind at hand is wrong
 * whatever the block's state: lets the server say so. GATE_MORE: it is not.
 */
enum gate gate_bind_wrong(struct view *, struct stmt_name *);
/* Before the message at hand: no other client's sequences are seen. GATE_TAKEN or GATE_WAIT. */
enum gate gate_sequences(struct view *);

#endif

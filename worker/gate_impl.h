/*
 * gate_impl: what the files of the gate share. For them only.
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

/* Bind, Describe or Close goes on with this name of a statement. */
enum gate gate_rename(struct view *, const char *name, const struct expect_entry *);
void gate_name_touch(struct view *, struct stmt_name *);
/* The entry has what the name was, for the case that the server skips it. */
void gate_keep(struct expect_entry *, const struct stmt_name *);
/* The name has no statement from here on: the entry that says so. */
struct expect_entry gate_forget(struct view *, struct stmt_name *);

/* Of the entry of its Parse. */
static inline uint8_t
gate_looks_of(const struct statement *s)
{
	return s->looks ? EXPECT_LOOKS : 0;
}

/* Waits for what was sent before in this group. */
enum gate gate_ask(struct view *);

/* --- gate_query.c --- */

enum gate gate_query(struct view *);

/* --- gate_send.c --- */

/* What the relay has approved so far goes before what is put next. */
void gate_put_approved(struct view *);
/* Describe or Close of a statement by that name. */
void gate_put_named(struct view *, uint8_t type, const char *name);
void gate_put_parse(struct view *, const char *name, const uint8_t *body, size_t len);
/* The same of a statement's body, which is not copied if it is long. */
void gate_put_statement(struct view *, const char *name, struct statement *);
/* The message goes on as it is ... */
enum gate gate_pass(struct view *);
/* ... and its end decides something. */
enum gate gate_pass_with(struct view *, const struct expect_entry *);
/* It goes on from byte `from`; what is before was replaced or is nothing. */
void gate_forward(struct view *, uint32_t from);
/* The Parse at hand goes on under this name; what Describe tells of it is asked behind it. */
enum gate gate_parse_asked(
    struct view *, const char *name, struct stmt_name *, const struct expect_entry *);
/* What Describe tells of its statement, if the Parse is sent now, is not known yet and to be
 * learned: needed when it cannot be prepared elsewhere. */
bool gate_wants_description(const struct view *, const struct stmt_name *);
/* It is there by this name: asks. */
void gate_ask_description(struct view *, const char *name, struct stmt_name *);
/* The entry of a Describe of it, parsed under this DDL generation, or DDL_PRIVATE. */
struct expect_entry gate_describe(struct stmt_name *, struct statement *, uint64_t since);
/* That generation, if what the client at hand is told of it holds for others. */
uint64_t gate_learns(const struct view *, uint64_t since);
/* All of it is replaced by what was put. */
void gate_consume(struct view *);
/* What is there of it is moved to memory of its own, which grows as the rest comes. */
void gate_gather_begin(struct view *);
/* The client waits for an answer. */
enum gate gate_stall(struct view *);
/* Something of an earlier group decides about it, and has not ended yet. */
bool gate_undecided(const struct view *, uint32_t pending, uint32_t group);
bool gate_name_undecided(const struct view *, const struct stmt_name *);
/* What is sent next may make the server forget all that is prepared. */
void gate_may_forget(struct view *, bool forgets);
/* The backend has it, parsed no earlier than `since`, and as it says. */
bool gate_usable(const struct prep *, uint64_t since);
/* What this client has had parsed itself is what it would find in PostgreSQL, tainted or not. */
bool gate_has_own(const struct view *, const struct prep *, uint64_t since);
/* The entry (NULL = a new one) of a statement whose Parse is sent next. */
struct prep *gate_prep_begin(struct view *, struct statement *, struct prep *);
void gate_inject_close(struct view *, struct prep *);
/* The statement behind a name the client knows, there to be used. */
enum gate gate_ensure_named(struct view *, struct stmt_name *);

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
/* Describe of one that the backend lacks and of which it is known that it returns no rows: that can
 * be told whether it can be prepared there or not, as PostgreSQL does. */
enum gate gate_describe_known(struct view *, struct stmt_name *, const struct description *);
/* Before the message at hand: no other client's sequences are seen. GATE_TAKEN or GATE_WAIT. */
enum gate gate_sequences(struct view *);

/* --- gate_block.c --- */

/* Before SET TRANSACTION at hand: it is as it would be without us whether it comes in time.
 * `query`: view.sync is set if it must be followed by a Sync. GATE_TAKEN or GATE_WAIT. */
enum gate gate_set_transaction(struct view *, bool query);
/* The server has done this. */
void gate_block_done(struct backend *, const struct expect_entry *);
/* A CommandComplete is at hand. */
void gate_block_complete(struct backend *, const char *tag);

#endif

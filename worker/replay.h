/*
 * replay: a client's settings are brought over to the backend it has just got (design.md 6).
 *
 * If none of its settings differs nothing is sent. Else they go ahead of its first request, in the
 * same send, with a guard between them that fails unless they are in force:
 *
 *   Query  BEGIN; SAVEPOINT pgdrove; what sets them
 *   Parse, Bind, Execute of RELEASE pgdrove, then of COMMIT
 *   the client's messages; behind a Query of its a Sync of ours
 *
 * RELEASE is refused outside a transaction block and in an aborted one, and the server skips all up
 * to the Sync behind an error in the extended protocol: so whatever fails, the request does not
 * run, and is answered with the error of what failed. A Query or FunctionCall that is skipped so,
 * behind a Parse without a Sync, say, is what its client waits for the end of: when all of it has
 * passed, a Sync is put behind it. COMMIT comes before the request: it is in no transaction, and
 * its ROLLBACK undoes none of the settings. Nothing of a second request is sent before the answer.
 *
 * A client that keeps its backend (session.h) and has reset there what came with its login is
 * brought back the same way. Only what is known to differ is sent then: what else it has there is
 * its own.
 *
 * A round trip of its own is made where the first message is of a kind that must not have anything
 * ahead of it that is not answered, and for a session's first backend, since a session whose
 * settings are wrong from the start ends.
 */
#ifndef WORKER_REPLAY_H
#define WORKER_REPLAY_H

#include "worker/objects.h"

/* They have been linked: the relay may go on if the backend's state is still BACKEND_ACTIVE. */
void replay_begin(struct client *, struct backend *);
/* It keeps its backend, and its transaction is over: the next request may need them once more. */
void replay_kept(struct client *, struct backend *);
/* A message of the client's is at hand, `avail` of its `len` bytes. May it go to its backend? If
 * something is owed that is sent now. */
bool replay_lets(struct client *, const uint8_t *p, uint32_t avail, uint32_t len);
/* REPLAY_REFUSED, and a Query or FunctionCall of the client's was taken. If the server skips it,
 * its end is owed: REPLAY_UNENDED. */
void replay_skips(struct backend *);
/* REPLAY_UNENDED, and all of the client's last message has passed: what is owed goes behind it. */
void replay_passed(struct backend *);
/* A Query is at hand that may go. Does it need a Sync of ours behind it? */
bool replay_wants_sync(const struct backend *);
/* A message of the server while backend.replay says that something is under way. */
enum expect_verdict replay_answer(struct backend *, uint8_t type, const uint8_t *body, size_t len);
/* The same of an error that is longer than a buffer: it is cut to what is there. */
enum expect_verdict replay_long_error(struct backend *, const uint8_t *body, size_t len);
/* REPLAY_REFUSED, and all is answered. True: a client that keeps its backend goes on with it
 * (relay_settled); false: they are to be parted. */
bool replay_undo(struct backend *);
/* The last of what was sent has been answered (gate.h: GATE_SETTINGS). */
void replay_settled(struct backend *, bool done);
/* They have been parted. */
void replay_left(struct backend *);

#endif

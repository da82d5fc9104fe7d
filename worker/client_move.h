/*
 * client_move: a client, or an idle backend, as a record for the next generation and back
 * (proto/move.h). Called by handover.c, which gives, and adopt.c, which takes.
 */
#ifndef WORKER_CLIENT_MOVE_H
#define WORKER_CLIENT_MOVE_H

#include "worker/objects.h"

/* --- the elder's side --- */

/* Plain text, logged in, at a border, with nothing outstanding: by itself, or with the backend that
 * it keeps, which is as quiet. */
bool client_may_move(const struct client *);
/* Records with secrets in them, of the strongbox. NULL = too long. */
uint8_t *client_pack(struct client *, size_t *len);
uint8_t *backend_pack(const struct backend *, size_t *len);
/* It is on its way, with its backend if it has one; it was not taken, and is not to be offered
 * again (`for_good`) or is; it is another generation's now. */
void client_moving(struct client *);
void client_stays(struct client *, bool for_good);
void client_moved(struct client *);

/* --- the younger's side --- */

/* The client, whose socket was not touched, linked with that backend, which it has kept (NULL:
 * none); NULL = it is not taken, and fd and backend are the caller's. */
struct client *client_unpack(const uint8_t *, size_t, int fd, struct backend *);
/* It is ours for good: goes on. Or it is not: forgotten without a trace. */
void client_adopted(struct client *);
void client_undo(struct client *);
/* `counted`: its giver is of our generation, so that the limits count it already. */
struct backend *backend_unpack(const uint8_t *, size_t, int fd, bool counted);

#endif

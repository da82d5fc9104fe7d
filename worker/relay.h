/* relay: the bytes between a linked client and backend; where the transaction path is (design.md
 * 5). */
#ifndef WORKER_RELAY_H
#define WORKER_RELAY_H

#include "worker/objects.h"

void relay_client_event(struct client *, bool writable);
void relay_backend_event(struct backend *, bool writable);
/* A message goes to the backend, or was put into its `out`: what it will owe for it, since when. */
void relay_sent(struct backend *, const struct expect_entry *);
/* The same of a message that does nothing for the client, and is not counted. */
void relay_owed(struct backend *, const struct expect_entry *);
/* What the client may have of what the backend said goes before what is put next. */
void relay_put_approved(struct backend *);
/* Its transaction had ended, and what it has left behind is known now. */
void relay_settled(struct backend *);

#endif

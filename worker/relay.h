/* relay: the bytes between a linked client and backend; where the transaction path is (design.md
 * 5). */
#ifndef WORKER_RELAY_H
#define WORKER_RELAY_H

#include "worker/objects.h"

void relay_client_event(struct client *, bool writable);
void relay_backend_event(struct backend *, bool writable);

#endif

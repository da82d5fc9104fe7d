/*
 * deadline: how long a backend may be idle and old, and how long its client may keep it: server_
 * idle_timeout, server_lifetime, query_timeout, transaction_timeout, idle_transaction_timeout.
 *
 * The timer is lazy: it is armed for the earliest moment at which anything can be due, and looks
 * again when it rings. A transaction that is in time costs no work on the heap.
 */
#ifndef WORKER_DEADLINE_H
#define WORKER_DEADLINE_H

#include "worker/objects.h"

/* Its state has changed: idle, linked, a query begins, a query has ended. */
void deadline_touch(struct backend *);
/* True if it has reached its age and should be closed instead of used again. */
bool deadline_expired(const struct backend *);

#endif

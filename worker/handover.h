/*
 * handover: the generation before an upgrade gives what it has to the next one: clients at their
 * transactions' borders, idle backends (design.md 7). So does a worker that is too many since a
 * reload, to its siblings. The other end is adopt.h.
 */
#ifndef WORKER_HANDOVER_H
#define WORKER_HANDOVER_H

#include "worker/objects.h"

enum handover_to { TO_NOBODY, TO_SIBLINGS, TO_YOUNGER };

/* We are the elder from now on: offers can be sent by elder_send. Or we leave our siblings, which
 * may turn into the other. */
void handover_start(enum handover_to);
enum handover_to handover_where(void);
/* Nothing new is given: the process leaves now. */
void handover_stop(void);
/* A client at its border, or a clean backend that nobody here waits for: true if it is on its way.
 * It is not to be touched then: it comes back by itself if it is not taken. */
bool handover_client(struct client *);
bool handover_backend(struct backend *);
/* Such a backend may go over, now or when it is free: it has no TLS, and there is or may soon be
 * somebody who understands us. */
bool handover_can(const struct backend *);
/* The clients that stay can do without one backend of the pool: they have others, or nobody there
 * has any. */
bool handover_spare(const struct pool *);
/* Something is on its way, or will be: the process must not end yet. */
bool handover_busy(void);

#endif

/* backend_login: from a reserved slot to the first ReadyForQuery. Called by backend.c only. */
#ifndef WORKER_BACKEND_LOGIN_H
#define WORKER_BACKEND_LOGIN_H

#include "worker/objects.h"

/* An empty backend of the pool, counted in its statistics. NULL = no memory. */
struct backend *backend_new(struct pool *, uint32_t slot);
void backend_event(
    struct loop_source *, uint32_t events); /* backend.c: registered for every backend */
void backend_login_event(struct backend *, uint32_t events);
void backend_login_fini(struct backend *);

#endif

/*
 * pool: this worker's share of one (database, user) pool: idle backends, the queue, opening, giving
 * to other workers.
 */
#ifndef WORKER_POOL_H
#define WORKER_POOL_H

#include "worker/objects.h"

/* Finds or makes the pool for a login. NULL: *why says what the client gets. */
struct wire_error;
struct pool *pool_get(
    const char *db, const char *user, const struct conf_database *, struct wire_error *why);
struct pool *pool_by_index(uint32_t index);

/* A logging-in client waits for the welcome. */
void pool_login(struct pool *, struct client *);
/* True if a backend could be linked at once and nobody waits before. */
bool pool_has_idle(const struct pool *);
/* Links the client to a backend now, or queues it. */
void pool_want(struct pool *, struct client *);
/* The client leaves the queue it is in. */
void pool_unqueue(struct pool *, struct client *);
/* A client of this pool is gone. */
void pool_client_gone(struct pool *);

/* A backend is clean (status I, nothing owed): to the next who waits here or elsewhere, or idle. */
void pool_release(struct backend *);
/* Its first login is done: takes what it learned (welcome). */
void pool_welcome(struct pool *, struct backend *);
/* Connecting failed; the ErrorResponse body is for those who wait. `retry` = a passing fault, keep
 * them waiting. */
void pool_open_failed(struct pool *, const uint8_t *error, size_t len, bool retry);
/* A backend's place is free again. */
void pool_backend_gone(struct pool *);

/* From the inbox. */
void pool_asked(uint32_t index, uint32_t worker, uint32_t count);
void pool_woken(uint32_t index);
void pool_received(uint32_t slot, int fd, const uint8_t *facts, size_t len);
/* A worker died or the table has room again: everybody who waits looks anew. */
void pool_kick_all(void);
/* Closes every idle backend: the worker leaves. */
void pool_close_idle(void);

#endif

/*
 * backend: connections to PostgreSQL: open, log in, run our own queries, clean after a client,
 * close.
 */
#ifndef WORKER_BACKEND_H
#define WORKER_BACKEND_H

#include "worker/objects.h"

/* Starts a connection for a reserved slot. Reports to the pool by itself. */
void backend_open(struct pool *, uint32_t slot, struct client *own);
/* One to the server of `like` (any host of the pool if no address is known) outside the ledger, for
 * the steward: `ready` is called after login, `gone` when it ends, in whatever way and exactly
 * once. */
void backend_open_outside(struct pool *, const struct ledger_backend *like,
    void (*ready)(struct backend *), void (*gone)(struct backend *));
/* A backend received from another worker; NULL and all undone if that is not possible. */
struct backend *backend_adopt(struct pool *, uint32_t slot, int fd, const struct ledger_backend *,
    const uint8_t *facts, size_t len);
/* One that the generation before us gives, if the pool has room, or a sibling, so that it is
 * `counted` already; `fd` stays the caller's on failure (NULL). */
struct backend *backend_take(struct pool *, int fd, const struct ledger_backend *,
    const uint8_t *facts, size_t len, bool counted);
/* BACKEND_MOVING: it is another generation's now, and its place here is free; or it was not taken.
 */
void backend_moved(struct backend *);
void backend_stays(struct backend *, bool for_good);
/* Its connection was handed over: forget it here. */
void backend_given(struct backend *);

/* A slot of ours is free: at once, or as soon as the ledger can be had. */
void backend_free_slot(uint32_t slot);

/* Asserts that the state may follow the present one. */
void backend_set_state(struct backend *, enum backend_state);

/* Runs one simple query of ours; the backend must be clean. `row` may be NULL. If the connection is
 * lost meanwhile, `done` is not called. */
void backend_task(struct backend *, const char *sql,
    void (*row)(struct backend *, const uint8_t *body, size_t len),
    void (*done)(struct backend *, const uint8_t *error, size_t len));

/* Its client is gone (or leaves): brings it to a clean state and releases it, or closes it. */
void backend_clean(struct backend *);
/* A cancel request that was on its way has ended. */
void backend_cancel_done(struct backend *);

/* Says Terminate where that makes sense and frees the slot when the server has closed. No client.
 */
void backend_close(struct backend *, const char *why);
/* The same when it is in the middle of a message to the server: nothing more can be said to it. */
void backend_cut(struct backend *, const char *why);
/* Its login leads to nothing. If the server has not ended it, it is closed as above. */
void backend_abandon(struct backend *, const char *why);
/* Gone at once, slot and all. No client. */
void backend_drop(struct backend *, const char *why);
/* The server's end came or the protocol broke. A linked client gets what came whole, and a reason.
 */
void backend_lost(struct backend *, const char *why);

/* It has answered a query. */
void backend_lasts(struct backend *);

/* A ParameterStatus body for this backend. Index of the tracked parameter or -1. */
int backend_parameter(struct backend *, const uint8_t *body, size_t len);

/* The body of an error that somebody will be told of. */
void backend_keep_error(struct backend *, const uint8_t *body, size_t len);
void backend_forget_error(struct backend *);

/* True if a query may be running: a cancel makes sense. */
bool backend_running(const struct backend *);

#endif

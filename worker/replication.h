/*
 * replication: clients that speak the streaming replication protocol (startup parameter
 * `replication`; PostgreSQL's chapter of that name): pg_basebackup, pg_receivewal, standbys,
 * subscriptions. What such a session is cannot be told apart from its server connection, so each
 * has a backend of its own: opened when it logs in with its own startup parameters, linked with it
 * until it leaves, never given to anybody else, closed then. The backend counts in the pool of its
 * database and user under all limits; an idle one of the pool makes room for it.
 */
#ifndef WORKER_REPLICATION_H
#define WORKER_REPLICATION_H

#include "proto/wire.h"
#include "worker/objects.h"

/* "none", "physical", "logical". */
const char *replication_name(enum startup_replication);

/* Its login waits for its backend. */
void replication_login(struct client *);
/* For the pool's queue: it does not wait any more; what is being opened for it is dropped. */
void replication_left(struct client *);
/* Since when the first of those waits for whom no backend is being opened; 0 = nobody does. */
int64_t replication_waits_since(const struct pool *);
/* Opens backends for them, within the limits. */
void replication_open(struct pool *);

/* Its backend, from the first step on. */
void replication_begin(struct backend *, struct client *);
/* What its startup packet says beyond user and database. */
void replication_put_startup(const struct client *, struct wire_out *);
/* It has logged in: they are linked. */
void replication_ready(struct backend *, const uint8_t *welcome, size_t len);
/* It cannot be had; the ErrorResponse's body. The backend is dropped afterwards. */
void replication_failed(struct backend *, const uint8_t *error, size_t len);

#endif

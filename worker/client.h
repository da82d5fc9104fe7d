/*
 * client: client sessions: first packets, login, waiting, leaving. The relay has the bytes while it
 * is logged in.
 */
#ifndef WORKER_CLIENT_H
#define WORKER_CLIENT_H

#include <sys/socket.h>

#include "proto/wire.h"
#include "worker/objects.h"

/* A fresh connection from the listener; takes the fd. */
void client_accepted(
    int fd, const struct sockaddr_storage *addr, const struct conf_listen *listener);
/* A session of our own over this socket, let in as whom it says it is; takes the fd. */
void client_internal(int fd);
/* The pool's ParameterStatus messages are known: finishes the login. */
void client_welcome(struct client *, const uint8_t *params, size_t len);
/* Undoes the link in both objects and their counts. The backend is left to the caller. */
struct backend *client_unlink(struct client *);

/* Tells the client (an ErrorResponse) and closes in an orderly way, so that the text arrives. */
void client_fail(struct client *, const struct wire_error *);
/* The same for a login; `why` is for the log only. */
void client_refuse(struct client *, const struct wire_error *, const char *why);
/* The same with an ErrorResponse body of the server's; severity is made FATAL by the close that
 * follows. */
void client_fail_raw(struct client *, const uint8_t *body, size_t len);
/* Its server connection is lost. `whole`: what it got ends at a message's border; `told`: the
 * server has said why. */
void client_server_lost(struct client *, bool whole, bool told, const char *why);
/* Nothing can be said to it, as TLS has failed: what TLS itself had to say still arrives. */
void client_hang_up(struct client *, const char *why);
/* Ends the session without a word. */
void client_close(struct client *, const char *why);

/* A cancel for a client in the queue: its request is answered with an error. False: it is not
 * there. */
bool client_cancel_wait(struct client *);
/* The relay drops a message of this type that the client sent while `reject` is set. */
void client_rejected(struct client *, uint8_t type);

/* The peer's address as text, "" for a Unix socket; returns `text`. */
const char *client_address(const struct client *, char text[INET6_ADDRSTRLEN]);
/* "client db/user@address:port", a static buffer. */
const char *client_name(const struct client *);
/* A line of the log about what became of it; `why` may be NULL. */
void client_log(const struct client *, const char *event, const char *why);
/* It is refused or cut off: what it was told, and the true reason where that is another (or NULL).
 * Repeats are held back. */
void client_log_fault(const struct client *, const char *event, const char *sqlstate,
    const char *told, const char *why);
/* It is logged in: from now on client_idle_timeout counts. */
void client_watch_idle(struct client *);
/* The same from when it was last active. */
void client_watch_from(struct client *);
/* Begins to serve a socket (NULL: it was closed); ends it, when it is in no pool any more. */
struct client *client_new(int fd, bool is_unix);
void client_free(struct client *);
/* Its row in the client table is free again. */
void client_row_give(struct client *, struct pool *);
/* It has its row in the client table and its pool. */
void client_row_taken(struct client *);
/* Our client in this row of the client table, or NULL. */
struct client *client_by_row(uint32_t row);
/* It shall leave (draining, or its database is gone) and is between transactions: it is closed. */
bool client_dismissed(struct client *);
/* Clients of this pool leave at their next border: those that are at one, now. */
void clients_dismiss(struct pool *, const char *why);
/* KILL: every client of the pool, at once. KILL_CLIENT: the one with this number; false: not here.
 */
void clients_kill(struct pool *);
bool client_kill(int32_t pid);
/* Calls fn for each. */
void clients_each(void (*fn)(struct client *, void *arg), void *arg);
/* wk->conf is another; nothing points into the old one afterwards. */
void clients_conf_changed(const struct conf *old);
/* Draining: closes those at a border now; `all` closes everybody. */
void client_drain(bool all);
uint32_t client_count(void);
void client_tables_init(void);

#endif

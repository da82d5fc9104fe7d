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
void client_accepted(int fd, const struct sockaddr_storage *addr);
/* The pool's ParameterStatus messages are known: finishes the login. */
void client_welcome(struct client *, const uint8_t *params, size_t len);
/* pool.c linked a backend: brings its settings over, then lets the relay go. */
void client_linked(struct client *, struct backend *);
/* Undoes the link in both objects and their counts. The backend is left to the caller. */
struct backend *client_unlink(struct client *);

/* Tells the client (an ErrorResponse) and closes in an orderly way, so that the text arrives. */
void client_fail(struct client *, const struct wire_error *);
/* The same with an ErrorResponse body of the server's; severity is made FATAL by the close that
 * follows. */
void client_fail_raw(struct client *, const uint8_t *body, size_t len);
/* Ends the session without a word. */
void client_close(struct client *, const char *why);

/* Our client in this row of the client table, or NULL. */
struct client *client_by_row(uint32_t row);
/* Draining: closes those at a border now; `all` closes everybody. */
void client_drain(bool all);
uint32_t client_count(void);
void client_tables_init(void);

#endif

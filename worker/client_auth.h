/*
 * client_auth: who is the client? Between its startup packet and its place in a pool.
 */
#ifndef WORKER_CLIENT_AUTH_H
#define WORKER_CLIENT_AUTH_H

#include "worker/objects.h"

/* Begins; goes on by itself and ends in client_login_go(), or in a refusal. */
void client_auth_start(struct client *, const char *db, const char *user);
/* The client's socket, in state CLIENT_AUTH. */
void client_auth_event(struct client *);
/* Forgets all of it, secrets wiped. Safe to call twice. */
void client_auth_fini(struct client *);

/* What was asked for; "-" when it is not known (any more). */
const char *client_auth_db(const struct client *);
const char *client_auth_user(const struct client *);
/* Does this user stand in the configuration? */
bool client_auth_known(const struct client *);
/* The password in clear text, if the client has sent it and it was right; else NULL. */
const char *client_auth_password(const struct client *);
/* The stored secret it was checked against; NULL if there was none. */
const char *client_auth_secret(const struct client *);

#endif

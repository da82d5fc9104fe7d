/* client_login: from the first packet to the welcome, but for the proof who it is (client_auth). */
#ifndef WORKER_CLIENT_LOGIN_H
#define WORKER_CLIENT_LOGIN_H

#include "worker/client.h"

void client_login_event(struct client *);
/* Who it is has been proved: its place in the pool, and the welcome. */
void client_login_go(struct client *, const char *db, const char *user);

#endif

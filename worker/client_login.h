/* client_login: from the first packet to the welcome. Called by client.c only. */
#ifndef WORKER_CLIENT_LOGIN_H
#define WORKER_CLIENT_LOGIN_H

#include "worker/client.h"

void client_login_event(struct client *);

#endif

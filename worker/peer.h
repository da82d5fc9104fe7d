/* peer: the account at the other end of a Unix socket (SO_PEERCRED). */
#ifndef WORKER_PEER_H
#define WORKER_PEER_H

#include <stddef.h>

struct peer_task;

/* Embedded in whoever waits; zero = does not wait. */
struct peer_wait {
	struct peer_task *task;
	/* `account` is NULL when there is none, and `why` says the reason. */
	void (*fn)(struct peer_wait *, const char *account, const char *why);
};

/* Calls fn in a later turn: the account database may be behind a network. */
void peer_ask(struct peer_wait *, int fd,
    void (*fn)(struct peer_wait *, const char *account, const char *why));
/* fn will not be called. */
void peer_cancel(struct peer_wait *);

#endif

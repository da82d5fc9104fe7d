/* listen: the listening sockets, opened before privileges are dropped and shared by all workers. */
#ifndef MASTER_LISTEN_H
#define MASTER_LISTEN_H

#include <stddef.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "master/privs.h"
#include "master/why.h"

struct listener {
	char name[128]; /* for people: "127.0.0.1:6432", "[::]:6432", a path */
	char *path;	/* socket file to remove at the end, else NULL */
	dev_t dev;	/* and which file it was when we made it */
	ino_t ino;
};

struct listen_set {
	struct listener *items;
	int *fds;      /* same order as items */
	size_t *confs; /* which of conf->listen each is */
	size_t conf;   /* the one being opened */
	size_t n;
};

/* Opens all of conf->listen. 0, or -1 with the reason and nothing left open. */
int listen_open(struct listen_set *, const struct conf *, const struct privs *, struct why *);
/* Closes all and unlinks the socket files that are still ours. Twice is fine. */
void listen_close(struct listen_set *);

#endif

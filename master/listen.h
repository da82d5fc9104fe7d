/* listen: the listening sockets, opened before privileges are dropped and shared by all workers. */
#ifndef MASTER_LISTEN_H
#define MASTER_LISTEN_H

#include <stddef.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "master/privs.h"
#include "master/why.h"

#define LISTEN_MAX 256 /* that a reload can bring: they stand in one message */

struct listener {
	uint32_t id;   /* never given twice */
	char key[160]; /* what the configuration calls it: it stays as long as that is the same */
	unsigned int mode;
	bool foreign;	/* another generation's: its file is not ours to remove */
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

/*
 * A reload: what conf->listen names now, in `next`; what `now` has too is shared with it. 0, or -1
 * with the reason and nothing changed. Then one of: listen_commit closes what is in `now` only, and
 * `now` becomes `next`; listen_abandon closes what is new.
 */
int listen_change(const struct listen_set *now, struct listen_set *next, const struct conf *,
    const struct privs *, struct why *);
void listen_commit(struct listen_set *now, struct listen_set *next, const struct conf *);
void listen_abandon(const struct listen_set *now, struct listen_set *next);
/* Another generation has them too, from now on; we alone have them. */
void listen_disown(struct listen_set *);
void listen_own(struct listen_set *);
/* Is the listener with this id in the set? */
bool listen_has(const struct listen_set *, uint32_t id);

#endif

/*
 * inherit: what a master gets from the one it replaces: listening sockets, the lock on run_dir, and
 * the pipe on which it says that it serves. It comes in the environment (upgrade.c), as names and
 * numbers of descriptors.
 */
#ifndef MASTER_INHERIT_H
#define MASTER_INHERIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/why.h"

#define INHERIT_ENV "PGDROVE_INHERIT"
/* Of its line "layout": messages, records, statistics. */
#define INHERIT_LAYOUT CTLMSG_VERSION, MOVE_VERSION, STATS_VERSION

struct inherited {
	int fd;		  /* -1 = taken */
	const char *key;  /* of master/listen.h */
	const char *name; /* for people */
	const char *path; /* of the socket file; "" = none */
};

/* Reads it and takes it out of the environment. False: nobody is replaced, or it makes no sense. */
bool inherit_read(void);
bool inherit_any(void);
/* -1: none. The caller's from now on. */
int inherit_ready_fd(void);
int inherit_dir_fd(void);
int inherit_elder_fd(void);
/* What the one we replace calls the layouts of what it hands over is later than ours: an older
 * binary was installed. `why` says which. */
bool inherit_is_older(struct why *);
/* The one we replace speaks earlier messages: it can hand over nobody to us. */
bool inherit_is_foreign(void);
/* 0: nobody is replaced. */
uint32_t inherit_generation(void);
/* Calls fn for each database ("" = all) of which operators have said something. */
void inherit_admin(void (*fn)(const char *db, unsigned int flags, void *arg), void *arg);
/* The next socket of that key, not taken yet; NULL = there is none (any more). */
struct inherited *inherit_listener(const char *key);
/* Closes what nobody has taken. */
void inherit_drop(void);

#endif

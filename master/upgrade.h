/*
 * upgrade: SIGUSR2: the binary on disk takes over, or everything stays as it is.
 *
 * It is asked to check the configuration (-t); then started as a new master that inherits the
 * listening sockets; when all of it serves it says so, and this master's workers accept nobody any
 * more and stay until their clients have left, or until upgrade_timeout. Whatever goes wrong before
 * that is undone, and nothing was stopped.
 */
#ifndef MASTER_UPGRADE_H
#define MASTER_UPGRADE_H

#include <stdint.h>
#include <sys/types.h>

struct master;

enum upgrade_state {
	UPGRADE_NONE,
	UPGRADE_CHECKING, /* -t runs */
	UPGRADE_STARTING, /* the new master starts; its pipe is open */
	UPGRADE_DONE	  /* it serves; we leave */
};

struct upgrade {
	enum upgrade_state state;
	pid_t pid;
	int fd;	      /* STARTING: what the new master says; -1 */
	int elder_fd; /* where cancel requests for this generation come from; -1 */
	int64_t deadline_us;
};

/* main.c, first of all: how we were started. */
void upgrade_remember(int argc, char **argv);

void upgrade_start(struct master *);
/* The pipe is readable. */
void upgrade_read(struct master *);
/* A child that is no worker has ended. */
void upgrade_reaped(struct master *, pid_t, int status);
void upgrade_check_deadline(struct master *);

#endif

/*
 * offload: work that takes milliseconds or may block (PBKDF2, the account database), done beside
 * the loop by one thread of low priority.
 */
#ifndef WORKER_OFFLOAD_H
#define WORKER_OFFLOAD_H

#include <bsd/sys/queue.h>

/* Embedded in the caller's own struct, which lives until `done` was called. `work` runs in the
 * thread and touches nothing but its struct; `done` runs in the loop, in a later turn. */
struct job {
	void (*work)(struct job *);
	void (*done)(struct job *);
	TAILQ_ENTRY(job) entry;
};

/* In order of arrival; it cannot be taken back. */
void offload(struct job *);

#endif

/*
 * lock: a robust, process-shared, error-checking mutex with bounded waits.
 *
 * The holder may die at any instruction. The next taker is told (LOCK_REPAIR) and must rebuild what
 * the mutex guards before lock_repaired(). Inside: no system call, no malloc, no log, bounded
 * loops.
 */
#ifndef SHM_LOCK_H
#define SHM_LOCK_H

#include <pthread.h>
#include <stdint.h>

enum lock_result {
	LOCK_OK,     /* held */
	LOCK_REPAIR, /* held, and the last holder died: repair, then lock_repaired() */
	LOCK_BUSY    /* not held: the wait ran out; degrade and count a stall */
};

struct lock {
	pthread_mutex_t mutex;
};

/* In shared memory, before the first fork. 0 or -1 with errno. */
int lock_init(struct lock *);

/* Tries, then waits at most `wait_us` (CLOCK_MONOTONIC). 0 = only try. */
enum lock_result lock_take(struct lock *, uint32_t wait_us);
void lock_repaired(struct lock *);
void lock_drop(struct lock *);

/* A child dies holding a mutex; 0 if we then see EOWNERDEAD within a second, -1 if this platform
 * cannot be trusted. */
int lock_selftest(void);

#endif

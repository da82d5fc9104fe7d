/* reap: who died, of what, and how long its successor has to wait. Pure, but for reap_next. */
#ifndef MASTER_REAP_H
#define MASTER_REAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define REAP_FIRST_US	100000LL   /* first pause */
#define REAP_LONGEST_US 30000000LL /* longest */
#define REAP_PROVEN_US	10000000LL /* who lived so long is replaced at once */
#define REAP_RESET_US	60000000LL /* who lived so long starts the clock anew */

/* Zeroed = fresh. */
struct reap_backoff {
	int64_t next_us; /* the next pause; 0 = REAP_FIRST_US */
};

/* The pause before the successor of somebody who lived `lived_us` is started. */
int64_t reap_delay(struct reap_backoff *, int64_t lived_us);

/* "was killed by signal 11 (Segmentation fault), core dumped", "exited with status 1", ... */
void reap_describe(int status, char *buf, size_t size);

/* The next dead child: its pid, 0 if there is none. */
pid_t reap_next(int *status);

#endif

/*
 * repair: rebuilds everything derived from the words (free lists, hash chains, counts per pool),
 * and checks it.
 *
 * repair_rebuild runs under the mutex after LOCK_REPAIR; it is idempotent, harmless when nothing is
 * broken, and may itself be killed at any instruction: the next holder starts it again.
 */
#ifndef SHM_REPAIR_H
#define SHM_REPAIR_H

#include <stdio.h>

#include "shm/table.h"

void repair_rebuild(struct table *);

/* Takes the lock (repairing if needed) and compares derived data with the words. Number of
 * violations; each is written to `err` if given. For tests and `make check`; bounded by the table's
 * size. -1 if the lock was busy. */
int repair_check(struct table *, FILE *err);

#endif

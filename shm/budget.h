/*
 * budget: how many backends each pool has, told to the other generations, so that all of them
 * together keep to the limits during an upgrade.
 *
 * Every generation has one file in run_dir, which it alone writes (under its table's mutex) and all
 * others read. Who wants one more counts it first and looks at the others then; so does everybody,
 * and of two that want the last place at least one sees the other. Nobody waits for anybody, and
 * there is no lock between generations, only a flock(2) that says whether a generation lives.
 */
#ifndef SHM_BUDGET_H
#define SHM_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/ledger.h"

struct budget;

/* Master, before it forks: makes the file in `dir`, removes those of the dead and makes the living
 * look. NULL with errno. Inherited by fork. */
struct budget *budget_create(const char *dir, uint32_t pools);
/* The master's end. */
void budget_destroy(struct budget *);

/* Under the table's mutex (ledger.c): the names of a pool; how many slots it has. */
void budget_name(struct budget *, uint32_t pool, const char *db, const char *user);
void budget_used(struct budget *, uint32_t pool, uint32_t used);
/* What the others read of it, for checks: false if it has no names there. Buffers of
 * CONF_NAME_SIZE. */
bool budget_told(const struct budget *, uint32_t pool, char *db, char *user, uint32_t *used);

/* Does another generation live, as far as we know? One load if nothing has changed. */
bool budget_shared(struct budget *);
/* Forgets the generations that have ended. */
void budget_prune(struct budget *);

/* What the others have of this pool, its database and its user. */
struct budget_sum {
	uint32_t pool;
	uint32_t group[LEDGER_GROUPS];
};
void budget_others(const struct budget *, const char *db, const char *user, struct budget_sum *);

/* Our generation has no backend of this pool, wants one, and the others' are in its way: to be
 * said again as long as it is so. 0: it is so no more. */
void budget_hungry(struct budget *, uint32_t pool, int64_t now_us);
/* Has another generation said that lately, of this pool or of one with the same database (by[0])
 * or the same user (by[1])? */
bool budget_wanted(const struct budget *, const char *db, const char *user,
    const bool by[LEDGER_GROUPS], int64_t now_us);

#endif

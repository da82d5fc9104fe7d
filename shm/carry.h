/*
 * carry: the counters of the generation before us go on in ours, so that no statistic steps back in
 * an upgrade. Gauges do not: each generation shows its own.
 */
#ifndef SHM_CARRY_H
#define SHM_CARRY_H

#include "shm/stats.h"

struct carry;

/* The segment of the generation before us; NULL with a message in `why`: there is none, or it has
 * another layout. */
struct carry *carry_open(const char *path, char *why, size_t why_size);
void carry_close(struct carry *);
/*
 * Adds to the rows of worker `w` what has been counted there since the last call, on all rows
 * together. Only `w` itself may call it. `pool_of` gives our pool of that name, UINT32_MAX = none.
 */
void carry_over(struct carry *, struct stats *to, uint32_t w,
    uint32_t (*pool_of)(const char *db, const char *user));
/* Nobody counts there any more. */
bool carry_ended(const struct carry *, int64_t now_us);

#endif

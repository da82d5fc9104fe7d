/* children: births and deaths of the workers and the steward. */
#ifndef MASTER_CHILDREN_H
#define MASTER_CHILDREN_H

#include "master/master.h"

/* Workers that live, or that serve; the steward does not count. */
uint32_t children_count(const struct master *, bool only_ready);
/* Starts one now; starts all whose pause is over. */
void children_start(struct master *, uint32_t w);
void children_start_due(struct master *);
/* Buries all the dead and plans their successors. */
void children_reap(struct master *);

#endif

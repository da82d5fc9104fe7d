/* children: births and deaths of the workers and the steward. */
#ifndef MASTER_CHILDREN_H
#define MASTER_CHILDREN_H

#include "master/master.h"

/* Workers that live, or those of the wanted that serve; the steward does not count. */
uint32_t children_count(const struct master *, bool only_ready);
/* Starts all whose pause is over. */
void children_start_due(struct master *);
/* As many workers as are wanted: plans the start of those that lack, has those leave that are too
 * many. Until a place is free, there may be fewer. */
void children_resize(struct master *);
/* Buries all the dead and plans their successors. */
void children_reap(struct master *);

#endif

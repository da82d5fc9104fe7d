/* steward: the process without clients. It clears up after dead workers (design.md 2 and 4.1). */
#ifndef WORKER_STEWARD_H
#define WORKER_STEWARD_H

void steward_start(void);
/* A worker died. */
void steward_death(void);

/* steward_carry.c: the counters of the generation before us go on in our segment; that one takes
 * its place for everybody to read, since the master says that we serve. */
void steward_carry_start(void);
void steward_publish(void);
/* Whatever it has counted up to now is in our segment, too. */
void steward_carry_now(void);

#endif

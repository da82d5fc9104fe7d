/* steward: the process without clients. It clears up after dead workers (design.md 2 and 4.1). */
#ifndef WORKER_STEWARD_H
#define WORKER_STEWARD_H

void steward_start(void);
/* A worker died. */
void steward_death(void);

#endif

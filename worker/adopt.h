/*
 * adopt: the younger generation takes what the elder gives in an upgrade (handover.h).
 */
#ifndef WORKER_ADOPT_H
#define WORKER_ADOPT_H

#include <stdbool.h>
#include <stdint.h>

/* Offers of the generation before us are taken from now on. */
void adopt_start(void);
/* A lane that a sibling offers, or was offered for us; taken. */
void adopt_lane(int fd, bool sibling);

#endif

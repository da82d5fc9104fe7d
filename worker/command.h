/* command: what operators have said on a console, done in this worker. */
#ifndef WORKER_COMMAND_H
#define WORKER_COMMAND_H

#include <stddef.h>
#include <stdint.h>

#include "proto/ctlmsg.h"

struct pool;

/* The master's CTL_DO: does it and says CTL_DONE, perhaps later. */
void command_do(enum ctlmsg_verb, uint64_t number, const uint8_t *what, size_t len);
/* A new pool: what was said of its database before. */
void command_pool_born(struct pool *);

#endif

/*
 * command: what operators ask for on the console: done by all workers, answered when all have done
 * it.
 */
#ifndef MASTER_COMMAND_H
#define MASTER_COMMAND_H

#include <stdint.h>

#include "proto/ctlmsg.h"

struct master;

/* From a worker: CTL_COMMAND or CTL_DONE. */
void command_heard(struct master *, uint32_t w, const struct ctlmsg *);
/* A child is dead: nobody waits for it, nor it for anybody. */
void command_child_gone(struct master *, uint32_t w);
/* A reload has ended; NULL = well, else why not. */
void command_reloaded(struct master *, const char *why);

#endif

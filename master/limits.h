/* limits: what the kernel lets this instance have. */
#ifndef MASTER_LIMITS_H
#define MASTER_LIMITS_H

#include <stdint.h>

#include "conf/conf.h"

/* conf->workers, or the number of CPUs we may run on. */
uint32_t limits_workers(const struct conf *);
/* How many of them there can come to be without a restart: max_workers, or twice the CPUs. */
uint32_t limits_places(const struct conf *);
/* Raises the soft limit on descriptors to the hard one; warns if that is not enough. */
void limits_raise_nofile(const struct conf *, uint32_t nworkers);
/* Asks the out-of-memory killer to spare the master; ignored where it is not allowed. */
void limits_oom_protect(void);
/* In a child: back to what the operator had set. */
void limits_oom_restore(void);

#endif

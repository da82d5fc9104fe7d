/*
 * state: what one worker process is. A process is one worker, so there is one `wk`, set up by
 * worker_main before anything else and constant but for the flags below.
 */
#ifndef WORKER_STATE_H
#define WORKER_STATE_H

#include "worker/worker.h"

struct worker {
	const struct worker_boot *boot;
	struct conf *conf; /* ours; reload.c puts another in its place */
	struct table *table;
	struct stats *stats;
	struct stats_worker *row; /* ours; we are its only writer */
	struct table_self self;
	bool retired;  /* no new clients: the process ends with its last one */
	bool draining; /* no new work: clients leave at their transaction's border */
};

extern struct worker *wk;

/* The index of a worker that serves, for any number: 0, 1, ... are all of them in turn. TABLE_NONE:
 * nobody serves. */
uint32_t worker_serving(uint32_t k);
/* The last client has left while draining, or it may have: looks whether the process can end. */
void worker_check_done(void);

#endif

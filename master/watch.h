/* watch: notices workers that live but do not work. */
#ifndef MASTER_WATCH_H
#define MASTER_WATCH_H

#include "master/master.h"

/* Is a heartbeat of `beat_us` too old at `now_us`? Silence counts from the latest of the worker's
 * start, its last beat and `from_us`. Beats of the future are not believed. */
bool watch_is_silent(
    int64_t now_us, int64_t started_us, int64_t from_us, int64_t beat_us, int64_t timeout_us);
/* SIGABRT to the silent and to those who hung up on us, SIGKILL to those who did not die of it. */
void watch_children(struct master *);

#endif

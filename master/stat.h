/* stat: `pgdrove stat`, the reader of the statistics segment. Talks to no process. */
#ifndef MASTER_STAT_H
#define MASTER_STAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "shm/stats.h"

/* Exit codes. */
enum stat_health { STAT_HEALTHY = 0, STAT_DEGRADED = 1, STAT_USAGE = 2, STAT_NOT_RUNNING = 3 };

enum stat_life {
	LIFE_DOWN,     /* no process is expected here */
	LIFE_STARTING, /* alive, does not serve yet */
	LIFE_SERVING,
	LIFE_DRAINING,
	LIFE_LATE,    /* alive, but its heartbeat is old */
	LIFE_STOPPED, /* SIGSTOP, or a debugger */
	LIFE_DEAD,    /* a process is expected, and there is none */
	LIFE_UNUSED,  /* a place that a reload may fill */
	LIFE_SURPLUS  /* too many since a reload: leaves with its last client */
};

/* The segment and what /proc says about it, taken at one moment. */
struct stat_view {
	struct stats *stats;
	const char *path;
	int64_t now_us;	    /* monotonic */
	int64_t uptime_us;  /* of the master, or of its life until it stopped */
	int64_t timeout_us; /* a heartbeat older than that is late */
	enum stat_life master;
	uint32_t nchildren; /* the steward is the last */
	enum stat_life *lives;
	enum stat_health health;
};

/* Opens the segment at `path` and judges it; false with one line in `why` if there is none. */
bool stat_open(struct stat_view *, const char *path, int64_t timeout_us, char *why, size_t size);
void stat_close(struct stat_view *);

/* What a worker and the master are, from their words and their process's state letter in /proc
 * (0 = there is none). */
enum stat_life stat_judge(
    uint64_t pid, uint64_t state, char letter, int64_t silent_us, int64_t timeout_us);
const char *stat_life_name(enum stat_life);
const char *stat_health_name(enum stat_health);

/* Values by name, as --get knows them. */
enum stat_found { STAT_FOUND, STAT_UNKNOWN };
/* Writes the value of `name` as text. STAT_UNKNOWN leaves the nearest known name in `value`. */
enum stat_found stat_get(const struct stat_view *, const char *name, char *value, size_t size);

/* Renderings. */
void stat_show(const struct stat_view *, FILE *out);
/* Each pool, and each worker's part of it. */
void stat_show_pools(const struct stat_view *, FILE *out);
/* Names come from clients: a terminal must not obey them. */
void stat_disarm(char *name);
void stat_json(const struct stat_view *, FILE *out);

/* False: nobody has ever lived there. */
bool stat_worker_known(const struct stat_view *, uint32_t w);
/* How many workers there shall be, without the steward. */
uint32_t stat_workers(const struct stat_view *);
/* Sums of a field over rows; gauges of dead workers are zero. `field` indexes the field tables. */
uint64_t stat_worker_value(const struct stat_view *, uint32_t w, size_t field);
uint64_t stat_pool_value(const struct stat_view *, uint32_t pool, size_t field);
/* False if the pool's name was never set. */
bool stat_pool_named(const struct stat_view *, uint32_t pool, char *db, char *user);

/* The sub-command; argv[0] is "stat". Returns the exit code. */
int stat_main(int argc, char **argv);

#endif

/*
 * stats: the named, self-describing statistics segment.
 *
 * A file on tmpfs, mode 0640, written under a temporary name and renamed into place. Layout:
 * header, section table, field table, rows; all offsets, no pointers; readers need no C struct
 * (shm/stats.c's head describes the format byte by byte). Every row has exactly one writer: its
 * worker, or the master while that worker is dead. Writers use relaxed 64-bit atomic stores;
 * readers sum; there is no lock and no retry.
 *
 * Sections: "worker" (one row per worker, the steward last), "pool" (pools x workers rows, row =
 * pool * workers + w), "pool_time" (its histograms, row as in "pool"), "pool_name" (one row per
 * pool: version, database, user; written by ledger_attach under the table's mutex).
 */
#ifndef SHM_STATS_H
#define SHM_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "shm/fields.h"

#define STATS_MAGIC 0x3153564f52444750ULL /* "PGDROVS1", little-endian */
/* One more with each change of the file, the order of fields included: a master refuses to be
 * replaced by one of less. */
#define STATS_VERSION 4

struct stats_worker {
#define X(name, kind, unit, help) _Atomic uint64_t name;
	STATS_WORKER_FIELDS(X)
#undef X
};

struct stats_pool {
#define X(name, kind, unit, help) _Atomic uint64_t name;
	STATS_POOL_FIELDS(X)
#undef X
};

struct stats_time {
	_Atomic uint64_t count[STATS_BUCKETS]; /* not cumulative */
	_Atomic uint64_t sum_us;
};

struct stats_times {
#define X(name, help) struct stats_time name;
	STATS_TIMES(X)
#undef X
};

struct stats; /* a process-local handle on the mapping */

#define STATS_ELDERS_CHANGE 2 /* of the field `elders`: our file replaces theirs just now */

enum stats_state { STATS_BOOTING = 1, STATS_READY, STATS_STOPPING, STATS_STOPPED };

/* Master: creates `path` (mode 0640). `workers` counts the steward. NULL with errno. Inherited by
 * fork. */
struct stats *stats_create(const char *path, uint32_t workers, uint32_t pools);
/* Readers: maps read-only and checks magic, version and sizes. NULL with a message in `why`. Never
 * blocks. */
struct stats *stats_open(const char *path, char *why, size_t why_size);
void stats_close(struct stats *);
/* `path` still leads to the file that was opened. */
bool stats_is_at(const struct stats *, const char *path);

uint32_t stats_workers(const struct stats *); /* steward included */
uint32_t stats_pools(const struct stats *);
struct stats_worker *stats_worker(struct stats *, uint32_t w);
struct stats_pool *stats_pool(struct stats *, uint32_t pool, uint32_t w);
struct stats_times *stats_times(struct stats *, uint32_t pool, uint32_t w);

/* Master only: header facts. */
void stats_set_state(struct stats *, enum stats_state);
void stats_master_beat(struct stats *, int64_t now_us);
enum stats_state stats_state(const struct stats *);
int32_t stats_master_pid(const struct stats *);
int64_t stats_master_heartbeat(const struct stats *); /* monotonic us */
int64_t stats_start_time(const struct stats *);	      /* unix time, us */

/* Master only, after reaping worker `w`: zeroes the gauges of all its rows, keeps its counters. */
void stats_worker_gone(struct stats *, uint32_t w);

/* Names a pool for readers; idempotent for the same names. Other names than before: the pool's rows
 * start from zero. ledger_attach calls it under the table's mutex and while nobody is attached to
 * the entry; so there is one writer, and no worker counts in these rows. A writer that dies leaves
 * the pool without names. */
void stats_pool_name(struct stats *, uint32_t pool, const char *db, const char *user);
/* False if the pool has no names. Buffers of CONF_NAME_SIZE. */
bool stats_pool_names(const struct stats *, uint32_t pool, char *db, char *user);

/* The single writer's verbs, and the reader's. */
static inline void
stats_add(_Atomic uint64_t *field, uint64_t n)
{
	atomic_store_explicit(
	    field, atomic_load_explicit(field, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void
stats_sub(_Atomic uint64_t *field, uint64_t n)
{
	stats_add(field, -n);
}

static inline void
stats_set(_Atomic uint64_t *field, uint64_t value)
{
	atomic_store_explicit(field, value, memory_order_relaxed);
}

static inline uint64_t
stats_get(const _Atomic uint64_t *field)
{
	return atomic_load_explicit(field, memory_order_relaxed);
}

/* Counts an error told to a client, by its SQLSTATE (NULL: other). */
void stats_error(struct stats_pool *, const char *sqlstate);

/* Counts one duration. */
static inline void
stats_took(struct stats_time *t, int64_t us)
{
	uint64_t steps = us <= STATS_BUCKET_US ? 0 : ((uint64_t)us - 1) / STATS_BUCKET_US;
	int k = steps == 0 ? 0 : 64 - __builtin_clzll(steps);

	stats_add(&t->count[k < STATS_BUCKETS ? k : STATS_BUCKETS - 1], 1);
	stats_add(&t->sum_us, us > 0 ? (uint64_t)us : 0);
}

/* The field table, for generic readers: `section` 0 worker, 1 pool. */
struct stats_field {
	const char *name;
	const char *unit;
	const char *help;
	bool counter;
};
extern const struct stats_field stats_worker_fields[];
extern const size_t stats_nworker_fields;
extern const struct stats_field stats_pool_fields[];
extern const size_t stats_npool_fields;
extern const struct stats_field stats_time_fields[]; /* in the order of struct stats_times */
extern const size_t stats_ntime_fields;

#endif

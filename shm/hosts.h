/*
 * hosts: what all workers know of the servers they connect to: which one fails, when it may be
 * tried again and by whom, how many connections are being made to it, and how many may be.
 *
 * A second one holds the same for the logins of pools, whose numbers are those of the ledger: what
 * the server refuses each is paused for all workers.
 *
 * Anonymous memory, made before the first fork; no mutex: every word is an atomic of its own, and
 * one that is out of date costs one attempt too many or too few. An entry stays for the life of the
 * instance; when all are in use, further hosts are HOSTS_NONE, always worth a try.
 */
#ifndef SHM_HOSTS_H
#define SHM_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#define HOSTS_NONE UINT32_MAX

struct hosts;

#define HOSTS_MOST 256
/* For so many; `workers` with the steward. NULL with errno. */
struct hosts *hosts_create(uint32_t workers, uint32_t entries);
void hosts_destroy(struct hosts *);

/* A process begins: what its predecessor was connecting to counts no more. */
void hosts_worker_start(struct hosts *, uint32_t worker);

/* The entry of this name ("db1:5432"), made if there is none. */
uint32_t hosts_find(struct hosts *, const char *name);
/* 0, 1, 2, ... one more each time, whoever asks. */
uint32_t hosts_turn(struct hosts *, uint32_t host);

/* True if it may be tried now: it works, or its pause is over and nobody else tries it. A relaxed
 * look; hosts_try is what counts. */
bool hosts_ready(const struct hosts *, uint32_t host, int64_t now_us);
/* The same, and if its pause is over, nobody else may try it for `probe_us` or until one of the two
 * calls below. */
bool hosts_try(struct hosts *, uint32_t host, int64_t now_us, int64_t probe_us);
/* An attempt has failed, by `reason` (the caller's number). The pause doubles with each, from
 * HOSTS_PAUSE_US up to `limit_us`, less up to a quarter at random. Attempts that were under way
 * together count once. */
void hosts_failed(struct hosts *, uint32_t host, int64_t now_us, int64_t limit_us, int32_t reason);
/* It has answered, if only to refuse: its failures are over. */
void hosts_answered(struct hosts *, uint32_t host);
/* ... and has taken a connection; or had no place for one. See hosts_width. */
void hosts_worked(struct hosts *, uint32_t host);
void hosts_full(struct hosts *, uint32_t host);

struct hosts_pause {
	int64_t until_us, down_us; /* the end; the first failure in a row */
	int32_t reason;
};
/* False: it is said to work. */
bool hosts_down(const struct hosts *, uint32_t host, struct hosts_pause *);

#define HOSTS_PAUSE_US 50000
/* The n-th pause (1, 2, ...) as hosts_failed makes it; for other pauses of this kind too. */
int64_t hosts_pause_us(uint64_t n, int64_t limit_us);

/* This worker begins one connection more to it, until it says that it has ended. Returns its
 * number, by which hosts_latest tells whether anybody has begun another one since. */
uint64_t hosts_start(struct hosts *, uint32_t host, uint32_t worker);
void hosts_end(struct hosts *, uint32_t host, uint32_t worker);
bool hosts_latest(const struct hosts *, uint32_t host, uint64_t number);
uint32_t hosts_connecting_of(const struct hosts *, uint32_t host, uint32_t worker);

/* This worker would begin one if fewer were on their way: it looks at the counts once more after it
 * has said so. Who ends one takes what was said, a bit for each worker, and wakes them. */
void hosts_want(struct hosts *, uint32_t host, uint32_t worker);
uint64_t hosts_wanted(struct hosts *, uint32_t host);

/* So many connections may be on their way to it at once, UINT32_MAX = any number. It is one after
 * hosts_full, so that those who try do not take each other's places; each that works doubles it;
 * from HOSTS_WIDE on there is no limit. */
#define HOSTS_WIDE 16
uint32_t hosts_width(const struct hosts *, uint32_t host);

#endif

/*
 * table: the anonymous shared mapping made before the first fork: worker entries, backend slots,
 * pools, clients.
 *
 * Never named, never remapped, never shared between two binaries. The layout is private to shm/;
 * others use the functions here and in ledger.h. All functions may be called by any process unless
 * a comment says otherwise; the master takes no lock.
 */
#ifndef SHM_TABLE_H
#define SHM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "conf/conf.h"

#define TABLE_NONE	UINT32_MAX /* "no such index" */
#define TABLE_KEY_BYTES 256	   /* longest cancel key of protocol 3.2 */
/* Bytes of the secret we give to 3.2 clients; 3.0 clients get the first 4. */
#define TABLE_CLIENT_KEY    32
#define TABLE_WELCOME_BYTES 4096 /* cached ParameterStatus messages of a pool */

struct table;

struct table_shape {
	uint32_t workers; /* entries including the steward, which is the last */
	uint32_t slots;	  /* backends: conf max_backends */
	uint32_t pools;	  /* conf max_pools */
	uint32_t clients; /* conf max_client_conn */
};

/* One process of ours, as stamped on everything it owns. */
struct table_self {
	uint32_t worker;
	uint32_t incarnation;
};

/* Maps and initialises; runs lock_selftest(). NULL with errno (ENOTRECOVERABLE if the self-test
 * failed, EINVAL if the shape is none). */
struct table *table_create(const struct table_shape *);
/* Unmaps: tests only; a running instance keeps its table to the end. */
void table_destroy(struct table *);
const struct table_shape *table_shape(const struct table *);

/* --- workers --- */

/* Master only, before forking worker `w`: the next incarnation (never 0), live from now on. */
uint32_t table_worker_start(struct table *, uint32_t w);
/* Master only, after reaping worker `w`: nothing it owns is believed any more. */
void table_worker_gone(struct table *, uint32_t w);
/* Workers from here on have never been started; the steward does not count. */
uint32_t table_workers_high(const struct table *);
/* The live incarnation of worker `w`, 0 if it is dead. */
uint32_t table_worker_live(const struct table *, uint32_t w);

/* --- clients: one row per logged-in client, written by the worker that serves it --- */

/*
 * Takes a free row, without the mutex: the rows are the exact limit max_client_conn over all
 * workers. Returns its index or TABLE_NONE. A look at one word finds a row as long as the worker's
 * present chunk of 64 has any; a full table costs a look at one word per 64 rows. `key` receives
 * TABLE_CLIENT_KEY random bytes, the secret of this session; *pid receives the number to show the
 * client in BackendKeyData: positive, it encodes the row and extra random bits.
 */
uint32_t table_client_take(struct table *, struct table_self, int32_t *pid, uint8_t *key);
/* A row for a client that comes with number and key from another table: the row that the number
 * names if it is free, else any. TABLE_NONE if there is none. */
uint32_t table_client_adopt(
    struct table *, struct table_self, int32_t pid, const uint8_t key[TABLE_CLIENT_KEY]);
/* The secret of our own row. */
void table_client_key(const struct table *, uint32_t row, uint8_t key[TABLE_CLIENT_KEY]);
void table_client_give(struct table *, struct table_self, uint32_t row);
/*
 * Who serves the client that this cancel key was given to? Compares in constant time; `len` is 4 or
 * TABLE_CLIENT_KEY and must be the form the client was given (take() notes nothing: both forms are
 * accepted). True if it matches a live row; *owner is then its worker and *row the row.
 */
bool table_client_find(const struct table *, int32_t pid, const uint8_t *key, size_t len,
    struct table_self *owner, uint32_t *row);
/* Frees rows whose worker is dead, and puts right what a death has left of the hints. Called by the
 * steward after a death and every second; anybody may. Returns how many it freed. */
uint32_t table_client_sweep(struct table *);

/* --- pools --- */

/* Stores the concatenated ParameterStatus messages every client of this pool gets at login; last
 * writer wins, readers never see a mixture, also not after a writer's death. The caller is attached
 * to the pool. 0, or -1 with errno and nothing stored: EMSGSIZE (empty or too long), EBUSY (the
 * mutex could not be had). */
int table_welcome_put(struct table *, uint32_t pool, const void *bytes, size_t len);
/* Copies it into buf (TABLE_WELCOME_BYTES). Returns the length, 0 if there is none. Without the
 * mutex. */
size_t table_welcome_get(const struct table *, uint32_t pool, void *buf);
/* There is none any more. Without the mutex. */
void table_welcome_drop(struct table *, uint32_t pool);

#endif

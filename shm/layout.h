/*
 * layout: the table as it lies in shared memory. Private to shm/, its tests and its crash tests.
 *
 * Truth, each item one atomic word that is published after what it speaks of was written:
 *   worker.live, slot.word (with slot.pool), slot.known, pool.names_version, group.name_version,
 *   attach, members, client words, welcome.head, and the high-water marks.
 * Derived, touched only under the mutex, rebuilt from the truth by repair_rebuild:
 *   the lists of what is free, the hash chains, pool.used, pool.group, group.used, group.pools.
 * Hints, touched by anybody without the mutex, put right by table_client_sweep (see table.c):
 *   the bits that say which client rows are busy. And group.hungry and pool.fed, see ledger.h.
 *
 * Offsets and indices, no pointers. The mapping comes as zeroes, and zero means free everywhere, so
 * that making a table touches one page; lists hold only entries below the high-water marks.
 *
 * Versions (known, names_version) are odd while what they guard is whole, even while it is absent
 * or being written. A writer that dies in the middle leaves "absent", never a mixture, and whoever
 * writes next needs not know about it. Readers retry LAYOUT_RETRIES times and then see "absent".
 */
#ifndef SHM_LAYOUT_H
#define SHM_LAYOUT_H

#include <stdatomic.h>
#include <string.h>

#include "shm/ledger.h"
#include "shm/lock.h"

#define LAYOUT_LINE	    64
#define LAYOUT_RETRIES	    16
#define LAYOUT_WORDS(bytes) (((bytes) + 7) / 8)

struct layout_worker {
	_Alignas(LAYOUT_LINE) _Atomic uint32_t live; /* incarnation, 0 = dead */
	uint32_t last;				     /* the last one given; master only */
	_Atomic uint32_t row; /* where its search for a client row goes on; any value will do */
};

/* Hot: one line per slot, so that two owners never share one. */
struct layout_slot {
	_Alignas(LAYOUT_LINE) _Atomic uint64_t word; /* see slot.h */
	_Atomic uint64_t giver;	   /* slot_pack(0, worker, incarnation); valid while HANDED */
	_Atomic int64_t handed_us; /* valid while HANDED */
	_Atomic uint64_t known;	   /* version of the facts; even: nothing is known */
	_Atomic uint32_t pool;	   /* valid unless FREE */
	uint32_t next;		   /* list of free slots: index + 1, 0 = end */
};

/* Cold: a struct ledger_backend, as words, since readers may meet a writer. */
struct layout_facts {
	_Alignas(LAYOUT_LINE) _Atomic uint64_t words[LAYOUT_WORDS(sizeof(struct ledger_backend))];
};

/* What a pool is found by, padded with zeroes: compared and hashed as a whole. */
struct layout_names {
	char db[CONF_NAME_SIZE];
	char user[CONF_NAME_SIZE];
};

struct layout_pool {
	_Alignas(LAYOUT_LINE) _Atomic uint64_t names_version; /* odd: the entry is in use */
	_Atomic uint32_t used; /* derived: slots of this pool that are not FREE */
	uint32_t recount;      /* scratch of repair */
	uint32_t next;	       /* hash chain if in use, else list of free pools: index + 1 */
	_Atomic uint32_t group[LEDGER_GROUPS]; /* derived: of its database and its user */
	_Atomic int64_t fed;		       /* hint */
	_Alignas(LAYOUT_LINE) _Atomic uint64_t names[LAYOUT_WORDS(sizeof(struct layout_names))];
};

/* A database or a user as such: what the limits that several pools share are counted by. */
struct layout_group_name {
	char name[CONF_NAME_SIZE];
	uint64_t kind; /* enum ledger_group */
};

struct layout_group {
	_Alignas(LAYOUT_LINE) _Atomic uint64_t name_version; /* odd: the entry is in use */
	_Atomic uint32_t used;	/* derived: slots of its pools that are not FREE */
	uint32_t recount;	/* scratch of repair */
	uint32_t pools;		/* derived: pools in use that belong to it */
	uint32_t next;		/* hash chain if in use, else list of free groups: index + 1 */
	_Atomic int64_t hungry; /* hint */
	_Alignas(LAYOUT_LINE) _Atomic uint64_t name[LAYOUT_WORDS(sizeof(struct layout_group_name))];
};

/*
 * Two buffers and one word, head = version:40 | length:16 | buffer:8. A writer (under the mutex)
 * fills the other buffer and then publishes; killed in between, nothing has changed.
 */
struct layout_welcome {
	_Alignas(LAYOUT_LINE) _Atomic uint64_t head;
	_Alignas(LAYOUT_LINE) _Atomic uint64_t words[2][LAYOUT_WORDS(TABLE_WELCOME_BYTES)];
};

/*
 * A client row's word is packed as a slot's: {state, worker, incarnation}; zero is free. While it
 * says TAKING, number and key are being written or wiped by its owner and not to be read. The words
 * stand in an array of their own, and before them one bit per row says "busy, look elsewhere", so
 * that a search reads little: 64 rows, a chunk, per word.
 */
enum layout_row_state { ROW_FREE, ROW_TAKING, ROW_LIVE };

#define LAYOUT_CHUNK 64

struct layout_client {
	_Alignas(LAYOUT_LINE) _Atomic uint64_t key[LAYOUT_WORDS(TABLE_CLIENT_KEY)];
	_Atomic int32_t pid;
};

/* What a client gets that nobody can guess: drawn before the row is taken. */
struct layout_secret {
	uint32_t number; /* the random part of the pid */
	uint8_t key[TABLE_CLIENT_KEY];
};

struct table {
	struct table_shape shape;
	uint64_t bytes; /* of the mapping */
	uint64_t workers_off, slots_off, facts_off, pools_off, attach_off, buckets_off, groups_off,
	    members_off, group_buckets_off, welcome_off, busy_off, words_off, clients_off;
	uint64_t hash_seed;
	uint32_t groups;	 /* how many there can be */
	uint32_t buckets;	 /* of pools; a power of two */
	uint32_t group_buckets;	 /* likewise */
	uint32_t row_bits;	 /* of the number shown to a client, that say its row */
	_Atomic uint32_t strays; /* 1: some adopted clients are in rows that theirs do not say */
	_Atomic uint32_t workers_high; /* written by the master */

	_Alignas(LAYOUT_LINE) struct lock lock;

	_Alignas(LAYOUT_LINE) _Atomic uint32_t slots_high; /* slots from here on were never used */
	_Atomic uint32_t pools_high;
	_Atomic uint32_t groups_high;
	uint32_t free_slots;   /* derived: head of the list, index + 1 */
	uint32_t free_pools;   /* derived */
	uint32_t free_groups;  /* derived */
	uint32_t reclaim_hand; /* where the search for an unused pool goes on; any value will do */
	uint32_t group_hand;   /* likewise */

	_Alignas(LAYOUT_LINE) _Atomic uint64_t repairs;
	_Atomic uint64_t stalls;
};

_Static_assert(sizeof(struct layout_worker) == 64, "a line per worker");
_Static_assert(sizeof(struct layout_slot) == 64, "a line per slot");
_Static_assert(offsetof(struct layout_slot, pool) == 32, "no holes in a slot");
_Static_assert(sizeof(struct ledger_backend) % 8 == 0, "facts are whole words");
_Static_assert(sizeof(struct layout_facts) == 448, "seven lines of facts");
_Static_assert(sizeof(struct layout_names) == 128, "names have no holes: they are hashed");
_Static_assert(sizeof(struct layout_pool) == 192, "counts on one line, names on two");
_Static_assert(sizeof(struct layout_group_name) == 72, "a group's name has no holes");
_Static_assert(sizeof(struct layout_group) == 192, "counts on one line, the name on two");
_Static_assert(sizeof(struct layout_client) == 64, "a line per client");
_Static_assert(sizeof(struct layout_welcome) == 64 + 2 * TABLE_WELCOME_BYTES, "head and buffers");
_Static_assert(TABLE_WELCOME_BYTES % 64 == 0 && TABLE_WELCOME_BYTES < 65536, "length:16");
_Static_assert(offsetof(struct table, lock) % LAYOUT_LINE == 0, "the mutex has its line");
_Static_assert(offsetof(struct table, slots_high) % LAYOUT_LINE == 0, "lists have their line");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "no hidden locks");

/* --- places --- */

static inline void *
layout_at(const struct table *t, uint64_t off, size_t size, size_t index)
{
	return (char *)(uintptr_t)t + off + size * index;
}

static inline struct layout_worker *
layout_worker(const struct table *t, uint32_t w)
{
	return layout_at(t, t->workers_off, sizeof(struct layout_worker), w);
}

static inline struct layout_slot *
layout_slot(const struct table *t, uint32_t s)
{
	return layout_at(t, t->slots_off, sizeof(struct layout_slot), s);
}

static inline struct layout_facts *
layout_facts(const struct table *t, uint32_t s)
{
	return layout_at(t, t->facts_off, sizeof(struct layout_facts), s);
}

static inline struct layout_pool *
layout_pool(const struct table *t, uint32_t p)
{
	return layout_at(t, t->pools_off, sizeof(struct layout_pool), p);
}

/* attach[pool][worker] = incarnation:32 | how many times attached:32. Stale when the incarnation is
 * not that worker's live one. */
static inline _Atomic uint64_t *
layout_attach(const struct table *t, uint32_t p, uint32_t w)
{
	return layout_at(
	    t, t->attach_off, sizeof(_Atomic uint64_t), (size_t)p * t->shape.workers + w);
}

/* Heads of the hash chains: pool index + 1, 0 = empty. */
static inline uint32_t *
layout_bucket(const struct table *t, uint32_t b)
{
	return layout_at(t, t->buckets_off, sizeof(uint32_t), b);
}

static inline struct layout_group *
layout_group(const struct table *t, uint32_t g)
{
	return layout_at(t, t->groups_off, sizeof(struct layout_group), g);
}

/* members[group][worker] = incarnation:32 | clients:32. Stale when the incarnation is not that
 * worker's live one: so a dead worker's clients count for nothing at once. */
static inline _Atomic uint64_t *
layout_members(const struct table *t, uint32_t g, uint32_t w)
{
	return layout_at(
	    t, t->members_off, sizeof(_Atomic uint64_t), (size_t)g * t->shape.workers + w);
}

/* Heads of the groups' hash chains: index + 1, 0 = empty. */
static inline uint32_t *
layout_group_bucket(const struct table *t, uint32_t b)
{
	return layout_at(t, t->group_buckets_off, sizeof(uint32_t), b);
}

static inline struct layout_welcome *
layout_welcome(const struct table *t, uint32_t p)
{
	return layout_at(t, t->welcome_off, sizeof(struct layout_welcome), p);
}

/* Bit r % LAYOUT_CHUNK of word r / LAYOUT_CHUNK: row r is busy. */
static inline _Atomic uint64_t *
layout_busy(const struct table *t, uint32_t chunk)
{
	return layout_at(t, t->busy_off, sizeof(_Atomic uint64_t), chunk);
}

static inline uint32_t
layout_chunks(const struct table *t)
{
	return (t->shape.clients + LAYOUT_CHUNK - 1) / LAYOUT_CHUNK;
}

static inline _Atomic uint64_t *
layout_client_word(const struct table *t, uint32_t c)
{
	return layout_at(t, t->words_off, sizeof(_Atomic uint64_t), c);
}

static inline struct layout_client *
layout_client(const struct table *t, uint32_t c)
{
	return layout_at(t, t->clients_off, sizeof(struct layout_client), c);
}

/* --- copies that may meet a writer: words, so that the language knows no data race --- */

static inline void
layout_put(_Atomic uint64_t *to, const void *from, size_t bytes)
{
	size_t i, n;
	uint64_t word;

	for (i = 0; i < bytes; i += n) {
		n = bytes - i < sizeof(word) ? bytes - i : sizeof(word);
		word = 0;
		memcpy(&word, (const char *)from + i, n);
		atomic_store_explicit(&to[i / sizeof(word)], word, memory_order_relaxed);
	}
}

static inline void
layout_get(void *to, const _Atomic uint64_t *from, size_t bytes)
{
	size_t i, n;
	uint64_t word;

	for (i = 0; i < bytes; i += n) {
		n = bytes - i < sizeof(word) ? bytes - i : sizeof(word);
		word = atomic_load_explicit(&from[i / sizeof(word)], memory_order_relaxed);
		memcpy((char *)to + i, &word, n);
	}
}

/* --- versions: one writer at a time, by the mutex or by ownership --- */

/* Takes back what the version guards; from here on it may be overwritten. */
static inline void
version_break(_Atomic uint64_t *version)
{
	uint64_t v = atomic_load_explicit(version, memory_order_relaxed);

	atomic_store_explicit(version, (v | 1) + 1, memory_order_relaxed);
	/* pairs with the fence in version_same: who sees a word of the new writing, sees this too
	 */
	atomic_thread_fence(memory_order_release);
}

/* Publishes what was written since version_break. */
static inline void
version_whole(_Atomic uint64_t *version)
{
	uint64_t v = atomic_load_explicit(version, memory_order_relaxed);

	/* pairs with the acquire in version_seen */
	atomic_store_explicit(version, v | 1, memory_order_release);
}

static inline uint64_t
version_seen(const _Atomic uint64_t *version)
{
	/* pairs with the release in version_whole */
	return atomic_load_explicit(version, memory_order_acquire);
}

/* After copying: was nothing written meanwhile? */
static inline bool
version_same(const _Atomic uint64_t *version, uint64_t seen)
{
	/* pairs with the fence in version_break */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(version, memory_order_relaxed) == seen;
}

static inline bool
version_is_whole(uint64_t v)
{
	return (v & 1) != 0;
}

/* table_client_take without the drawing of random numbers, which are thousands of instructions of
 * other people's: the kill sweep wants ours (table.c). */
uint32_t layout_client_take(
    struct table *, struct table_self, const struct layout_secret *, int32_t *pid);

/* How often `self` is attached to a pool; what a predecessor left counts for nothing
 * (ledger_pool.c). */
uint32_t layout_attach_count(const struct table *, struct table_self, uint32_t pool);

/* Where the counts of this table's pools are told too (ledger_publish), or NULL. */
struct budget *layout_budget(const struct table *);

/* --- the mutex (repair.c) --- */

/* Takes it within LEDGER_WAIT_US, repairing first if its holder died. False: busy, and counted. */
bool layout_lock(struct table *);
void layout_unlock(struct table *);
/* The chain a pool's names belong to; the chain a group's name belongs to. */
uint32_t layout_bucket_of(const struct table *, const struct layout_names *);
uint32_t layout_group_bucket_of(const struct table *, const struct layout_group_name *);

/* --- groups, under the mutex (ledger_group.c) --- */

/* Entries of a table that is full are looked at for one to reuse, in several holds of the mutex:
 * how far that has come. */
#define LAYOUT_LOOK 128 /* in one hold */
struct layout_look {
	uint32_t pools, groups;
};

/* The entry of that name, TABLE_NONE if there is none. */
uint32_t layout_group_find(const struct table *, enum ledger_group kind, const char *name);
/* Finds or makes it; TABLE_NONE: no room, or not yet: see layout_look. */
uint32_t layout_group_entry(
    struct table *, enum ledger_group kind, const char *name, struct layout_look *);
/* The pool has been named, or is about to be reused. */
void layout_group_join(struct table *, uint32_t pool, const uint32_t group[LEDGER_GROUPS]);
void layout_group_part(struct table *, uint32_t pool);
/* A slot of this pool was taken (1) or is free again (-1). */
void layout_group_count(struct table *, uint32_t pool, int by);

#endif

/*
 * layout: the table as it lies in shared memory. Private to shm/ and its crash tests.
 *
 * Truth: worker.live, slot.word, client.word, pool.names with in_use. Derived, under the mutex,
 * rebuilt by repair_rebuild: free list, pool.used.
 */
#ifndef SHM_LAYOUT_H
#define SHM_LAYOUT_H

#include <stdatomic.h>

#include "shm/ledger.h"
#include "shm/lock.h"

#define LAYOUT_LINE 64

struct layout_worker {
	_Alignas(LAYOUT_LINE) _Atomic uint32_t live; /* incarnation, 0 = dead */
	uint32_t last;				     /* the last one given; master only */
};

struct layout_slot {
	_Alignas(LAYOUT_LINE) _Atomic uint64_t word;
	_Atomic uint64_t giver; /* slot_pack(0, worker, incarnation) while HANDED */
	_Atomic int64_t handed_us;
	uint32_t pool; /* valid unless FREE */
	uint32_t next; /* free list, derived */
};

struct layout_welcome {
	uint32_t len;
	uint8_t bytes[TABLE_WELCOME_BYTES];
};

struct layout_pool {
	_Alignas(LAYOUT_LINE) _Atomic uint32_t in_use;
	_Atomic uint32_t used; /* derived: slots not FREE */
	_Atomic uint32_t limit;
	_Atomic uint32_t welcome; /* 0 = none, else 1 + index of the valid one of the two */
	char db[CONF_NAME_SIZE];
	char user[CONF_NAME_SIZE];
	struct layout_welcome welcomes[2];
};

struct layout_client {
	_Alignas(
	    LAYOUT_LINE) _Atomic uint64_t word; /* slot_pack(1, worker, incarnation), 0 = free */
	int32_t pid;
	uint8_t key[TABLE_CLIENT_KEY];
};

struct table {
	struct table_shape shape;
	size_t bytes;
	struct lock lock;
	uint32_t free_head; /* derived */
	_Atomic uint64_t repairs;
	_Atomic uint64_t stalls;
	size_t workers_off, slots_off, facts_off, pools_off, attach_off, clients_off;
};

_Static_assert(sizeof(struct layout_slot) == LAYOUT_LINE, "one slot, one cache line");
_Static_assert(sizeof(struct layout_client) == LAYOUT_LINE, "one client, one cache line");

static inline void *
layout_at(const struct table *t, size_t off)
{
	return (char *)(uintptr_t)t + off;
}

static inline struct layout_worker *
layout_worker(const struct table *t, uint32_t w)
{
	return (struct layout_worker *)layout_at(t, t->workers_off) + w;
}

static inline struct layout_slot *
layout_slot(const struct table *t, uint32_t s)
{
	return (struct layout_slot *)layout_at(t, t->slots_off) + s;
}

static inline struct ledger_backend *
layout_facts(const struct table *t, uint32_t s)
{
	return (struct ledger_backend *)layout_at(t, t->facts_off) + s;
}

static inline struct layout_pool *
layout_pool(const struct table *t, uint32_t p)
{
	return (struct layout_pool *)layout_at(t, t->pools_off) + p;
}

/* attach[pool][worker] = incarnation of the attached worker, 0 = none; stale when that incarnation
 * is not live. */
static inline _Atomic uint32_t *
layout_attach(const struct table *t, uint32_t p, uint32_t w)
{
	return (_Atomic uint32_t *)layout_at(t, t->attach_off) + (size_t)p * t->shape.workers + w;
}

static inline struct layout_client *
layout_client(const struct table *t, uint32_t c)
{
	return (struct layout_client *)layout_at(t, t->clients_off) + c;
}

#endif

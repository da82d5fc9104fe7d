/*
 * failures: see failures.h. Created by the master; used by the workers for each login.
 *
 * An address has one word: the time at which its bucket will be empty (GCRA). A failure moves it
 * forward by a minute / limit, from now at the earliest; who is a whole minute ahead has to wait.
 * The words stand in sets of WAYS; in a full set the one that will be empty first gives way. Key
 * and word are two atomics: when two workers replace a key at the same moment, a failure may count
 * for the wrong address of the same set, once. The hash is keyed, so that nobody can choose his
 * neighbours.
 */
#include "shm/failures.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <bsd/stdlib.h>

#define SETS	  1024
#define WAYS	  8
#define MINUTE_US 60000000

struct entry {
	_Atomic uint64_t key;	  /* 0 = nobody */
	_Atomic int64_t empty_us; /* monotonic */
};

struct failures {
	uint64_t secret[2];
	struct entry sets[SETS][WAYS];
};

_Static_assert(sizeof(struct entry) * WAYS == 128, "two lines a set");

struct failures *
failures_create(void)
{
	struct failures *f =
	    mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (f == MAP_FAILED)
		return NULL;
	arc4random_buf(f->secret, sizeof(f->secret));
	return f;
}

void
failures_destroy(struct failures *f)
{
	(void)munmap(f, sizeof(*f));
}

static uint64_t
mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93U;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93U;
	return h ^ h >> 32;
}

/* IPv4 (mapped) counts whole, IPv6 by its first 64 bits: a customer has at least that many. */
static uint64_t
key_of(const struct failures *f, const uint8_t addr[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint64_t words[2], h;

	memcpy(words, addr, sizeof(words));
	if (memcmp(addr, mapped, sizeof(mapped)) != 0)
		words[1] = 0;
	h = mix(mix(words[0] ^ f->secret[0]) ^ words[1] ^ f->secret[1]);
	return h == 0 ? 1 : h;
}

static const struct entry *
find(const struct failures *f, uint64_t key)
{
	const struct entry *set = f->sets[key % SETS];
	size_t i;

	for (i = 0; i < WAYS; i++)
		if (atomic_load_explicit(&set[i].key, memory_order_relaxed) == key)
			return &set[i];
	return NULL;
}

/* The entry of the key, else one that is taken over. */
static struct entry *
take(struct failures *f, uint64_t key)
{
	struct entry *set = f->sets[key % SETS], *best = &set[0];
	int64_t first = INT64_MAX;
	size_t i;

	for (i = 0; i < WAYS; i++) {
		int64_t empty = atomic_load_explicit(&set[i].empty_us, memory_order_relaxed);
		if (atomic_load_explicit(&set[i].key, memory_order_relaxed) == key)
			return &set[i];
		if (empty < first) {
			best = &set[i];
			first = empty;
		}
	}
	atomic_store_explicit(&best->empty_us, 0, memory_order_relaxed);
	atomic_store_explicit(&best->key, key, memory_order_relaxed);
	return best;
}

void
failures_add(struct failures *f, const uint8_t addr[16], int64_t now_us, uint32_t limit)
{
	struct entry *e = take(f, key_of(f, addr));
	int64_t old = atomic_load_explicit(&e->empty_us, memory_order_relaxed), next;

	do
		next = (old > now_us ? old : now_us) + MINUTE_US / (int64_t)limit;
	while (!atomic_compare_exchange_weak_explicit(
	    &e->empty_us, &old, next, memory_order_relaxed, memory_order_relaxed));
}

int64_t
failures_wait(const struct failures *f, const uint8_t addr[16], int64_t now_us, uint32_t limit)
{
	const struct entry *e = find(f, key_of(f, addr));
	int64_t empty = e == NULL ? 0 : atomic_load_explicit(&e->empty_us, memory_order_relaxed);
	int64_t room = now_us + MINUTE_US - MINUTE_US / (int64_t)limit;

	return empty > room ? empty - room : 0;
}

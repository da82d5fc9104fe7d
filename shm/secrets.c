/*
 * secrets: see secrets.h. Created by the master, used by workers and steward.
 *
 * A hash table of sets of WAYS entries; an id may stand anywhere in its set. Each entry has a
 * version, odd while it is whole; a writer, under the mutex, makes it even, fills the entry and
 * makes it odd again. A reader compares the version before and after. Who dies in the middle leaves
 * an even version: absent, until somebody needs the place. So the mutex guards nothing that would
 * need a repair.
 */
#include "shm/secrets.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <bsd/stdlib.h>

#include "conf/log.h"
#include "shm/lock.h"

#define WAYS	      8
#define LINE	      64
#define ID_WORDS      (SECRETS_ID / 8)
#define VALUE_WORDS   (SECRETS_VALUE_MAX / 8)
#define READ_RETRIES  4
#define INSTANCE_SIZE 32

struct entry {
	_Atomic uint64_t version; /* odd: whole */
	_Atomic int64_t used_us;
	_Atomic uint64_t id[ID_WORDS];
	_Atomic uint64_t value[];
};

struct secrets {
	struct lock lock;
	uint64_t bytes;
	uint64_t sets; /* a power of two */
	size_t words;  /* of a value */
	size_t stride; /* bytes from entry to entry, whole lines */
	uint8_t instance[INSTANCE_SIZE];
	_Alignas(LINE) uint8_t entries[];
};

_Static_assert(offsetof(struct entry, value) == 48, "a value of 208 bytes: four lines an entry");

struct secrets *
secrets_create(uint32_t entries, size_t value_bytes)
{
	size_t stride = (offsetof(struct entry, value) + value_bytes + LINE - 1) / LINE * LINE;
	uint64_t sets = 1, bytes;
	struct secrets *s;

	ENSURE(value_bytes % 8 == 0 && value_bytes <= SECRETS_VALUE_MAX);
	while (sets * WAYS < entries)
		sets *= 2;
	bytes = sizeof(*s) + sets * WAYS * stride;
	s = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return NULL;
	(void)madvise(s, bytes, MADV_DONTDUMP);
	(void)mlock(s, bytes);
	s->bytes = bytes;
	s->sets = sets;
	s->words = value_bytes / 8;
	s->stride = stride;
	arc4random_buf(s->instance, sizeof(s->instance));
	if (lock_init(&s->lock) == -1) {
		secrets_destroy(s);
		return NULL;
	}
	return s;
}

void
secrets_destroy(struct secrets *s)
{
	uint64_t bytes = s->bytes;

	explicit_bzero(s, bytes);
	(void)munmap(s, bytes);
}

const uint8_t *
secrets_instance(const struct secrets *s)
{
	return s->instance;
}

/* --- entries ---------------------------------------------------------------------------------- */

static struct entry *
entry_at(struct secrets *s, uint64_t set, size_t way)
{
	return (void *)(s->entries + (set * WAYS + way) * s->stride);
}

static uint64_t
set_of(const struct secrets *s, const uint8_t id[SECRETS_ID])
{
	uint64_t h;

	memcpy(&h, id, sizeof(h)); /* ids are hashes already */
	return h & (s->sets - 1);
}

static bool
same_id(const struct entry *e, const uint64_t id[ID_WORDS])
{
	uint64_t diff = 0;
	size_t i;

	for (i = 0; i < ID_WORDS; i++)
		diff |= atomic_load_explicit(&e->id[i], memory_order_relaxed) ^ id[i];
	return diff == 0;
}

/* True if it is the one, whole before and after. */
static bool
read_entry(
    const struct entry *e, const uint64_t id[ID_WORDS], uint64_t value[VALUE_WORDS], size_t words)
{
	int tries;
	size_t i;

	for (tries = 0; tries < READ_RETRIES; tries++) {
		/* pairs with the release in write_entry: the words are at least as new */
		uint64_t before = atomic_load_explicit(&e->version, memory_order_acquire);
		if (before % 2 == 0 || !same_id(e, id))
			return false;
		for (i = 0; i < words; i++)
			value[i] = atomic_load_explicit(&e->value[i], memory_order_relaxed);
		/* the words are read before the version is looked at again */
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&e->version, memory_order_relaxed) == before)
			return true;
	}
	return false;
}

bool
secrets_get(struct secrets *s, const uint8_t id[SECRETS_ID], int64_t now_us, void *value)
{
	uint64_t set = set_of(s, id), want[ID_WORDS], words[VALUE_WORDS];
	size_t i;
	bool found = false;

	memcpy(want, id, sizeof(want));
	for (i = 0; i < WAYS && !found; i++)
		found = read_entry(entry_at(s, set, i), want, words, s->words);
	if (found) {
		memcpy(value, words, s->words * 8);
		atomic_store_explicit(
		    &entry_at(s, set, i - 1)->used_us, now_us, memory_order_relaxed);
	}
	explicit_bzero(words, sizeof(words));
	return found;
}

/* The entry of this id, else one that is absent, else the least recently used. */
static struct entry *
choose(struct secrets *s, uint64_t set, const uint64_t id[ID_WORDS])
{
	struct entry *best = entry_at(s, set, 0);
	int64_t best_us = INT64_MAX;
	size_t i;

	for (i = 0; i < WAYS; i++) {
		struct entry *e = entry_at(s, set, i);
		bool whole = atomic_load_explicit(&e->version, memory_order_relaxed) % 2 == 1;
		int64_t used =
		    whole ? atomic_load_explicit(&e->used_us, memory_order_relaxed) : INT64_MIN;
		if (whole && same_id(e, id))
			return e;
		if (used < best_us) {
			best = e;
			best_us = used;
		}
	}
	return best;
}

/* Under the mutex. `value` NULL: the entry becomes absent. */
static void
write_entry(struct entry *e, const uint64_t id[ID_WORDS], const uint64_t *value, size_t words,
    int64_t now_us)
{
	uint64_t v = atomic_load_explicit(&e->version, memory_order_relaxed) & ~(uint64_t)1;
	size_t i;

	atomic_store_explicit(&e->version, v + 2, memory_order_relaxed);
	/* nobody sees a new word under the old version */
	atomic_thread_fence(memory_order_release);
	for (i = 0; i < ID_WORDS; i++)
		atomic_store_explicit(&e->id[i], id[i], memory_order_relaxed);
	for (i = 0; i < words; i++)
		atomic_store_explicit(
		    &e->value[i], value == NULL ? 0 : value[i], memory_order_relaxed);
	atomic_store_explicit(&e->used_us, now_us, memory_order_relaxed);
	if (value != NULL)
		/* pairs with the acquire in read_entry */
		atomic_store_explicit(&e->version, v + 3, memory_order_release);
}

static bool
take(struct secrets *s)
{
	enum lock_result r = lock_take(&s->lock, 0);

	if (r == LOCK_REPAIR)
		lock_repaired(&s->lock); /* a broken entry is absent already */
	return r != LOCK_BUSY;
}

void
secrets_put(struct secrets *s, const uint8_t id[SECRETS_ID], int64_t now_us, const void *value)
{
	uint64_t want[ID_WORDS], words[VALUE_WORDS];

	memcpy(want, id, sizeof(want));
	memcpy(words, value, s->words * 8);
	if (take(s)) {
		write_entry(choose(s, set_of(s, id), want), want, words, s->words, now_us);
		lock_drop(&s->lock);
	}
	explicit_bzero(words, sizeof(words));
}

void
secrets_drop(struct secrets *s, const uint8_t id[SECRETS_ID])
{
	uint64_t want[ID_WORDS];
	size_t i;

	memcpy(want, id, sizeof(want));
	if (!take(s))
		return;
	for (i = 0; i < WAYS; i++) {
		struct entry *e = entry_at(s, set_of(s, id), i);
		if (same_id(e, want))
			write_entry(e, want, NULL, s->words, 0);
	}
	lock_drop(&s->lock);
}

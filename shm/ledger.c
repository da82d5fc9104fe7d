/*
 * ledger: see ledger.h; slots are here, pools in ledger_pool.c, groups in ledger_group.c.
 *
 * What makes a kill at any instruction harmless is the order of writes. Everything a word speaks of
 * is written before the word says so, and cleared after the word has ceased to; a slot's word
 * leaves FREE before its pool's count goes up and returns to FREE before it goes down; lists and
 * chains are touched only together with such a word, under the mutex. Whoever finds the mutex
 * orphaned rebuilds lists, chains and counts from the words (repair.c).
 *
 * On failure: LEDGER_BUSY and nothing changed. A caller that works with what is not its own has
 * lost its way, and panics.
 */
#include "shm/ledger.h"

#include <string.h>
#include <time.h>

#include "conf/log.h"
#include "shm/budget.h"
#include "shm/layout.h"

static uint64_t
word_get(const struct table *t, uint32_t slot)
{
	/* pairs with word_set: what the word publishes was written before */
	return atomic_load_explicit(&layout_slot(t, slot)->word, memory_order_acquire);
}

static void
word_set(struct table *t, uint32_t slot, enum slot_state state, struct table_self who)
{
	/* pairs with word_get */
	atomic_store_explicit(&layout_slot(t, slot)->word,
	    slot_pack(state, who.worker, who.incarnation), memory_order_release);
}

static bool
word_swap(struct table *t, uint32_t slot, uint64_t from, uint64_t to)
{
	/* pairs with word_get and word_set */
	return atomic_compare_exchange_strong_explicit(
	    &layout_slot(t, slot)->word, &from, to, memory_order_acq_rel, memory_order_relaxed);
}

/* Our word, with a state that is in the set `states`, a bit each. */
static bool
owned(const struct table *t, uint32_t slot, struct table_self self, unsigned int states)
{
	uint64_t w = slot < t->shape.slots ? word_get(t, slot) : 0;

	return slot_owner(w) == self.worker && slot_incarnation(w) == self.incarnation &&
	       (states >> slot_state(w) & 1) != 0;
}

/* --- slots --- */

/* A free slot, under the mutex, taken off the list; TABLE_NONE if there is none. */
static uint32_t
slot_unused(struct table *t)
{
	uint32_t s = t->free_slots, high;

	if (s != 0) {
		t->free_slots = layout_slot(t, s - 1)->next;
		return s - 1;
	}
	high = atomic_load_explicit(&t->slots_high, memory_order_relaxed);
	if (high == t->shape.slots)
		return TABLE_NONE;
	/* pairs with slots_high in repair.c and in ledger_claim_orphan */
	atomic_store_explicit(&t->slots_high, high + 1, memory_order_release);
	return high;
}

static const struct table *published;
static struct budget *publisher;

void
ledger_publish(struct table *t, struct budget *b)
{
	published = t;
	publisher = b;
}

struct budget *
layout_budget(const struct table *t)
{
	return t == published ? publisher : NULL;
}

static void
pool_count(struct table *t, uint32_t pool, int by)
{
	_Atomic uint32_t *used = &layout_pool(t, pool)->used;
	uint32_t n = atomic_load_explicit(used, memory_order_relaxed) + (uint32_t)by;

	atomic_store_explicit(used, n, memory_order_relaxed);
	if (layout_budget(t) != NULL)
		budget_used(layout_budget(t), pool, n);
	layout_group_count(t, pool, by);
}

/* Under the mutex: the limits count here. */
static enum ledger_result
slot_reserve(struct table *t, struct table_self self, uint32_t pool,
    const struct ledger_limits *limits, uint32_t *slot)
{
	enum ledger_result r = ledger_room(t, pool, limits);
	uint32_t s;

	if (r != LEDGER_OK)
		return r;
	s = slot_unused(t);
	if (s == TABLE_NONE)
		return LEDGER_TABLE_FULL;
	version_break(&layout_slot(t, s)->known); /* a new tenancy, also for who reads the pool */
	atomic_store_explicit(&layout_slot(t, s)->pool, pool, memory_order_relaxed);
	word_set(t, s, SLOT_RESERVED, self);
	pool_count(t, pool, 1);
	*slot = s;
	return LEDGER_OK;
}

enum ledger_result
ledger_reserve(struct table *t, struct table_self self, uint32_t pool,
    const struct ledger_limits *limits, uint32_t *slot)
{
	enum ledger_result r;

	ENSURE(layout_attach_count(t, self, pool) > 0);
	if (!layout_lock(t))
		return LEDGER_BUSY;
	r = slot_reserve(t, self, pool, limits, slot);
	layout_unlock(t);
	return r;
}

void
ledger_opened(
    struct table *t, struct table_self self, uint32_t slot, const struct ledger_backend *b)
{
	struct layout_slot *s = layout_slot(t, slot);

	ENSURE(owned(t, slot, self, 1 << SLOT_RESERVED));
	version_break(&s->known);
	layout_put(layout_facts(t, slot)->words, b, sizeof(*b));
	version_whole(&s->known);
	word_set(t, slot, SLOT_BUSY, self);
}

void
ledger_idle(struct table *t, struct table_self self, uint32_t slot)
{
	ENSURE(owned(t, slot, self, 1 << SLOT_BUSY));
	word_set(t, slot, SLOT_IDLE, self);
}

void
ledger_busy(struct table *t, struct table_self self, uint32_t slot)
{
	ENSURE(owned(t, slot, self, 1 << SLOT_IDLE));
	word_set(t, slot, SLOT_BUSY, self);
}

/* The slot is free: what it knew of its backend, the cancel key above all, goes. */
static void
slot_forget(struct table *t, uint32_t slot)
{
	static const struct ledger_backend nothing;

	version_break(&layout_slot(t, slot)->known);
	layout_put(layout_facts(t, slot)->words, &nothing, sizeof(nothing));
}

static uint32_t
slot_pool(const struct table *t, uint32_t slot)
{
	return atomic_load_explicit(&layout_slot(t, slot)->pool, memory_order_relaxed);
}

/* Under the mutex. */
static void
slot_free(struct table *t, uint32_t slot)
{
	word_set(t, slot, SLOT_FREE, (struct table_self){0, 0});
	slot_forget(t, slot);
	pool_count(t, slot_pool(t, slot), -1);
	layout_slot(t, slot)->next = t->free_slots;
	t->free_slots = slot + 1;
}

enum ledger_result
ledger_free(struct table *t, struct table_self self, uint32_t slot)
{
	ENSURE(owned(t, slot, self,
	    1 << SLOT_RESERVED | 1 << SLOT_IDLE | 1 << SLOT_BUSY | 1 << SLOT_COOLING));
	if (!layout_lock(t))
		return LEDGER_BUSY;
	slot_free(t, slot);
	layout_unlock(t);
	return LEDGER_OK;
}

bool
ledger_free_surplus(
    struct table *t, struct table_self self, uint32_t slot, const struct ledger_limits *limits)
{
	bool surplus;

	ENSURE(owned(t, slot, self, 1 << SLOT_BUSY));
	if (!layout_lock(t))
		return false;
	surplus = ledger_surplus(t, slot_pool(t, slot), limits) > 0;
	if (surplus)
		slot_free(t, slot);
	layout_unlock(t);
	return surplus;
}

/* --- hand-over --- */

static int64_t
now_us(void)
{
	struct timespec ts;

	ENSURE(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void
ledger_hand(struct table *t, struct table_self self, uint32_t slot, struct table_self to)
{
	struct layout_slot *s = layout_slot(t, slot);

	ENSURE(owned(t, slot, self, 1 << SLOT_IDLE | 1 << SLOT_BUSY));
	ENSURE(to.worker < t->shape.workers && to.incarnation != 0);
	atomic_store_explicit(
	    &s->giver, slot_pack(SLOT_FREE, self.worker, self.incarnation), memory_order_relaxed);
	atomic_store_explicit(&s->handed_us, now_us(), memory_order_relaxed);
	word_set(t, slot, SLOT_HANDED, to);
}

bool
ledger_adopt(struct table *t, struct table_self self, uint32_t slot)
{
	if (slot >= t->shape.slots)
		return false;
	return word_swap(t, slot, slot_pack(SLOT_HANDED, self.worker, self.incarnation),
	    slot_pack(SLOT_BUSY, self.worker, self.incarnation));
}

bool
ledger_take_back(struct table *t, struct table_self self, uint32_t slot, struct table_self to)
{
	return word_swap(t, slot, slot_pack(SLOT_HANDED, to.worker, to.incarnation),
	    slot_pack(SLOT_BUSY, self.worker, self.incarnation));
}

/* --- reading --- */

uint64_t
ledger_word(const struct table *t, uint32_t slot)
{
	return slot < t->shape.slots ? word_get(t, slot) : 0;
}

/* One look at word, pool and facts. False: the slot changed hands meanwhile. The version of the
 * facts changes with every tenancy, in ledger_reserve already. */
static bool
slot_read(const struct table *t, uint32_t slot, uint64_t *word, struct ledger_backend *b)
{
	const struct layout_slot *s = layout_slot(t, slot);
	uint64_t seen = version_seen(&s->known);

	*word = word_get(t, slot);
	memset(b, 0, sizeof(*b));
	if (version_is_whole(seen) && slot_state(*word) != SLOT_FREE)
		layout_get(b, layout_facts(t, slot)->words, sizeof(*b));
	b->pool = slot_state(*word) == SLOT_FREE
		      ? TABLE_NONE
		      : atomic_load_explicit(&s->pool, memory_order_relaxed);
	return version_same(&s->known, seen);
}

uint64_t
ledger_read(const struct table *t, uint32_t slot, struct ledger_backend *b)
{
	uint64_t word;
	int i;

	if (b == NULL)
		return ledger_word(t, slot);
	for (i = 0; i < LAYOUT_RETRIES && slot < t->shape.slots; i++)
		if (slot_read(t, slot, &word, b))
			return word;
	memset(b, 0, sizeof(*b));
	b->pool = TABLE_NONE;
	return 0;
}

bool
ledger_pool_works(const struct table *t, uint32_t pool)
{
	const unsigned int works = 1 << SLOT_IDLE | 1 << SLOT_BUSY | 1 << SLOT_HANDED;
	uint32_t high = atomic_load_explicit(&t->slots_high, memory_order_acquire), i;

	for (i = 0; i < high; i++)
		if ((works >> slot_state(word_get(t, i)) & 1) != 0 &&
		    atomic_load_explicit(&layout_slot(t, i)->pool, memory_order_relaxed) == pool)
			return true;
	return false;
}

/* --- orphans --- */

static bool
dead(const struct table *t, uint64_t word)
{
	return table_worker_live(t, slot_owner(word)) != slot_incarnation(word);
}

/*
 * A slot in flight has two who may still finish it: the receiver by adopting, the giver by taking
 * back. With both dead it is an orphan at once; with one alive that one gets LEDGER_HANDED_US; and
 * with both alive the message must have been lost (a receiver without a free file descriptor gets
 * it without the connection) if nothing has happened after LEDGER_LOST_US. Claiming too early does
 * no harm: the late one finds another word and closes the connection.
 */
static bool
flight_lost(const struct table *t, const struct layout_slot *s, uint64_t word, int64_t now)
{
	bool receiver_dead = dead(t, word);
	bool giver_dead = dead(t, atomic_load_explicit(&s->giver, memory_order_relaxed));
	int64_t flying = now - atomic_load_explicit(&s->handed_us, memory_order_relaxed);

	if (giver_dead && receiver_dead)
		return true;
	return flying > (giver_dead || receiver_dead ? LEDGER_HANDED_US : LEDGER_LOST_US);
}

static bool
orphaned(const struct table *t, const struct layout_slot *s, uint64_t word, int64_t now)
{
	if (slot_state(word) == SLOT_FREE)
		return false;
	return slot_state(word) == SLOT_HANDED ? flight_lost(t, s, word, now) : dead(t, word);
}

uint32_t
ledger_claim_orphan(
    struct table *t, struct table_self self, int64_t now, uint32_t *from, enum slot_state *was)
{
	/* pairs with slot_unused */
	uint32_t high = atomic_load_explicit(&t->slots_high, memory_order_acquire), i;

	for (i = *from; i < high; i++) {
		uint64_t word = word_get(t, i);
		if (!orphaned(t, layout_slot(t, i), word, now) ||
		    !word_swap(t, i, word, slot_pack(SLOT_COOLING, self.worker, self.incarnation)))
			continue;
		*was = slot_state(word);
		*from = i + 1;
		return i;
	}
	*from = high;
	return TABLE_NONE;
}

void
ledger_health(const struct table *t, struct ledger_health *h)
{
	h->repairs = atomic_load_explicit(&t->repairs, memory_order_relaxed);
	h->stalls = atomic_load_explicit(&t->stalls, memory_order_relaxed);
}

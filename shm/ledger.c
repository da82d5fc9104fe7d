/*
 * ledger: see ledger.h. Order of writes is what makes a kill at any instruction harmless: a slot's
 * pool is written before its word leaves FREE, counts change after the word; whoever finds the
 * mutex orphaned rebuilds the counts.
 */
#include "shm/ledger.h"

#include <string.h>
#include <bsd/string.h>
#include <time.h>

#include "conf/log.h"
#include "shm/layout.h"
#include "shm/repair.h"

static bool
enter(struct table *t)
{
	switch (lock_take(&t->lock, LEDGER_WAIT_US)) {
	case LOCK_OK:
		return true;
	case LOCK_REPAIR:
		repair_rebuild(t);
		atomic_fetch_add_explicit(&t->repairs, 1, memory_order_relaxed);
		lock_repaired(&t->lock);
		return true;
	case LOCK_BUSY:
		atomic_fetch_add_explicit(&t->stalls, 1, memory_order_relaxed);
		return false;
	}
	return false;
}

static uint64_t
word_get(const struct table *t, uint32_t slot)
{
	/* pairs with word_set: what the word publishes was written before */
	return atomic_load_explicit(&layout_slot(t, slot)->word, memory_order_acquire);
}

static void
word_set(struct table *t, uint32_t slot, enum slot_state state, struct table_self who)
{
	atomic_store_explicit(&layout_slot(t, slot)->word,
	    slot_pack(state, who.worker, who.incarnation), memory_order_release);
}

static bool
owned(const struct table *t, uint32_t slot, struct table_self self)
{
	uint64_t w = word_get(t, slot);

	return slot_owner(w) == self.worker && slot_incarnation(w) == self.incarnation &&
	       slot_state(w) != SLOT_HANDED;
}

const char *
slot_state_name(enum slot_state s)
{
	static const char *const names[SLOT_STATES] = {
	    "free", "reserved", "idle", "busy", "handed", "cooling"};

	return s < SLOT_STATES ? names[s] : "?";
}

/* --- pools
 * ----------------------------------------------------------------------------------------------------
 */

static bool
pool_attached(const struct table *t, uint32_t p)
{
	uint32_t w;

	for (w = 0; w < t->shape.workers; w++) {
		uint32_t inc = atomic_load_explicit(layout_attach(t, p, w), memory_order_relaxed);
		if (inc != 0 && inc == table_worker_live(t, w))
			return true;
	}
	return false;
}

static uint32_t
pool_find(struct table *t, const char *db, const char *user)
{
	uint32_t i, spare = TABLE_NONE;

	for (i = 0; i < t->shape.pools; i++) {
		struct layout_pool *p = layout_pool(t, i);
		if (atomic_load_explicit(&p->in_use, memory_order_acquire) == 0) {
			if (spare == TABLE_NONE)
				spare = i;
			break; /* entries are used from the front and never emptied, only renamed */
		}
		if (strcmp(p->db, db) == 0 && strcmp(p->user, user) == 0)
			return i;
	}
	for (i = 0; spare == TABLE_NONE && i < t->shape.pools; i++)
		if (atomic_load_explicit(&layout_pool(t, i)->used, memory_order_relaxed) == 0 &&
		    !pool_attached(t, i))
			spare = i;
	if (spare == TABLE_NONE)
		return spare;
	/* half-written names are harmless: in_use is published last, and a reused entry belongs to
	 * nobody */
	atomic_store_explicit(&layout_pool(t, spare)->in_use, 0, memory_order_release);
	strlcpy(layout_pool(t, spare)->db, db, CONF_NAME_SIZE);
	strlcpy(layout_pool(t, spare)->user, user, CONF_NAME_SIZE);
	table_welcome_drop(t, spare);
	atomic_store_explicit(&layout_pool(t, spare)->in_use, 1, memory_order_release);
	return spare;
}

enum ledger_result
ledger_attach(struct table *t, struct table_self self, const char *db, const char *user,
    uint32_t limit, uint32_t *pool)
{
	uint32_t p;

	if (!enter(t))
		return LEDGER_BUSY;
	p = pool_find(t, db, user);
	if (p != TABLE_NONE) {
		atomic_store_explicit(&layout_pool(t, p)->limit, limit, memory_order_relaxed);
		atomic_store_explicit(
		    layout_attach(t, p, self.worker), self.incarnation, memory_order_relaxed);
	}
	lock_drop(&t->lock);
	*pool = p;
	return p == TABLE_NONE ? LEDGER_TABLE_FULL : LEDGER_OK;
}

enum ledger_result
ledger_detach(struct table *t, struct table_self self, uint32_t pool)
{
	if (!enter(t))
		return LEDGER_BUSY;
	atomic_store_explicit(layout_attach(t, pool, self.worker), 0, memory_order_relaxed);
	lock_drop(&t->lock);
	return LEDGER_OK;
}

bool
ledger_pool_name(const struct table *t, uint32_t pool, char *db, char *user)
{
	const struct layout_pool *p = layout_pool(t, pool);

	if (atomic_load_explicit(&p->in_use, memory_order_acquire) == 0)
		return false;
	strlcpy(db, p->db, CONF_NAME_SIZE);
	strlcpy(user, p->user, CONF_NAME_SIZE);
	return true;
}

uint32_t
ledger_pool_used(const struct table *t, uint32_t pool)
{
	return atomic_load_explicit(&layout_pool(t, pool)->used, memory_order_relaxed);
}

/* --- slots
 * ------------------------------------------------------------------------------------------------------
 */

enum ledger_result
ledger_reserve(struct table *t, struct table_self self, uint32_t pool, uint32_t *slot)
{
	struct layout_pool *p = layout_pool(t, pool);
	enum ledger_result r = LEDGER_OK;
	uint32_t s;

	if (!enter(t))
		return LEDGER_BUSY;
	s = t->free_head;
	if (atomic_load_explicit(&p->used, memory_order_relaxed) >=
	    atomic_load_explicit(&p->limit, memory_order_relaxed))
		r = LEDGER_POOL_FULL;
	else if (s == TABLE_NONE)
		r = LEDGER_TABLE_FULL;
	if (r == LEDGER_OK) {
		t->free_head = layout_slot(t, s)->next;
		layout_slot(t, s)->pool = pool;
		word_set(t, s, SLOT_RESERVED, self);
		atomic_fetch_add_explicit(&p->used, 1, memory_order_relaxed);
		*slot = s;
	}
	lock_drop(&t->lock);
	return r;
}

void
ledger_opened(
    struct table *t, struct table_self self, uint32_t slot, const struct ledger_backend *b)
{
	ENSURE(owned(t, slot, self) && slot_state(word_get(t, slot)) == SLOT_RESERVED);
	*layout_facts(t, slot) = *b;
	layout_facts(t, slot)->pool = layout_slot(t, slot)->pool;
	word_set(t, slot, SLOT_BUSY, self);
}

void
ledger_idle(struct table *t, struct table_self self, uint32_t slot)
{
	ENSURE(owned(t, slot, self));
	word_set(t, slot, SLOT_IDLE, self);
}

void
ledger_busy(struct table *t, struct table_self self, uint32_t slot)
{
	ENSURE(owned(t, slot, self));
	word_set(t, slot, SLOT_BUSY, self);
}

enum ledger_result
ledger_free(struct table *t, struct table_self self, uint32_t slot)
{
	struct layout_slot *s = layout_slot(t, slot);

	if (!enter(t))
		return LEDGER_BUSY;
	ENSURE(owned(t, slot, self));
	memset(layout_facts(t, slot), 0, sizeof(struct ledger_backend));
	word_set(t, slot, SLOT_FREE, (struct table_self){0, 0});
	atomic_fetch_sub_explicit(&layout_pool(t, s->pool)->used, 1, memory_order_relaxed);
	s->next = t->free_head;
	t->free_head = slot;
	lock_drop(&t->lock);
	return LEDGER_OK;
}

/* --- hand-over
 * ----------------------------------------------------------------------------------------------------
 */

void
ledger_hand(struct table *t, struct table_self self, uint32_t slot, struct table_self to)
{
	struct layout_slot *s = layout_slot(t, slot);
	struct timespec ts;

	ENSURE(owned(t, slot, self));
	clock_gettime(CLOCK_MONOTONIC, &ts);
	atomic_store_explicit(
	    &s->giver, slot_pack(SLOT_FREE, self.worker, self.incarnation), memory_order_relaxed);
	atomic_store_explicit(
	    &s->handed_us, (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000, memory_order_relaxed);
	word_set(t, slot, SLOT_HANDED, to);
}

static bool
swap(struct table *t, uint32_t slot, uint64_t from, uint64_t to)
{
	return atomic_compare_exchange_strong_explicit(
	    &layout_slot(t, slot)->word, &from, to, memory_order_acq_rel, memory_order_acquire);
}

bool
ledger_adopt(struct table *t, struct table_self self, uint32_t slot)
{
	if (slot >= t->shape.slots)
		return false;
	return swap(t, slot, slot_pack(SLOT_HANDED, self.worker, self.incarnation),
	    slot_pack(SLOT_BUSY, self.worker, self.incarnation));
}

bool
ledger_take_back(struct table *t, struct table_self self, uint32_t slot, struct table_self to)
{
	return swap(t, slot, slot_pack(SLOT_HANDED, to.worker, to.incarnation),
	    slot_pack(SLOT_BUSY, self.worker, self.incarnation));
}

uint64_t
ledger_word(const struct table *t, uint32_t slot)
{
	return word_get(t, slot);
}

uint64_t
ledger_read(const struct table *t, uint32_t slot, struct ledger_backend *b)
{
	uint64_t w = word_get(t, slot);

	if (b != NULL) {
		*b = *layout_facts(t, slot);
		b->pool = layout_slot(t, slot)->pool;
	}
	return w;
}

/* --- orphans
 * ---------------------------------------------------------------------------------------------------------
 */

static bool
dead(const struct table *t, uint64_t word)
{
	return table_worker_live(t, slot_owner(word)) != slot_incarnation(word);
}

static bool
orphaned(const struct table *t, const struct layout_slot *s, uint64_t word, int64_t now_us)
{
	if (slot_state(word) == SLOT_FREE)
		return false;
	if (dead(t, word))
		return true;
	return slot_state(word) == SLOT_HANDED &&
	       dead(t, atomic_load_explicit(&s->giver, memory_order_relaxed)) &&
	       now_us - atomic_load_explicit(&s->handed_us, memory_order_relaxed) >
		   LEDGER_HANDED_US;
}

uint32_t
ledger_claim_orphan(
    struct table *t, struct table_self self, int64_t now_us, uint32_t *from, enum slot_state *was)
{
	uint32_t i;

	for (i = *from; i < t->shape.slots; i++) {
		uint64_t word = word_get(t, i);
		if (!orphaned(t, layout_slot(t, i), word, now_us))
			continue;
		if (!swap(t, i, word, slot_pack(SLOT_COOLING, self.worker, self.incarnation)))
			continue;
		*was = slot_state(word);
		*from = i + 1;
		return i;
	}
	*from = t->shape.slots;
	return TABLE_NONE;
}

void
ledger_health(const struct table *t, struct ledger_health *h)
{
	h->repairs = atomic_load_explicit(&t->repairs, memory_order_relaxed);
	h->stalls = atomic_load_explicit(&t->stalls, memory_order_relaxed);
}

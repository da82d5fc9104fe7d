/*
 * repair: see repair.h. Works from the words only; a second run, or a run over a sound table,
 * changes nothing.
 */
#include "shm/repair.h"

#include "conf/log.h"
#include "shm/layout.h"

static uint64_t
word_of(const struct table *t, uint32_t s)
{
	return atomic_load_explicit(&layout_slot(t, s)->word, memory_order_acquire);
}

void
repair_rebuild(struct table *t)
{
	uint32_t i;

	for (i = 0; i < t->shape.pools; i++)
		atomic_store_explicit(&layout_pool(t, i)->used, 0, memory_order_relaxed);
	t->free_head = TABLE_NONE;
	for (i = t->shape.slots; i-- > 0;) {
		struct layout_slot *s = layout_slot(t, i);
		if (slot_state(word_of(t, i)) == SLOT_FREE) {
			s->next = t->free_head;
			t->free_head = i;
		} else if (s->pool < t->shape.pools) {
			atomic_fetch_add_explicit(
			    &layout_pool(t, s->pool)->used, 1, memory_order_relaxed);
		}
	}
}

static int
check_free_list(struct table *t, FILE *err)
{
	uint32_t i = t->free_head, seen = 0, nfree = 0, s;
	int bad = 0;

	for (s = 0; s < t->shape.slots; s++)
		nfree += slot_state(word_of(t, s)) == SLOT_FREE;
	while (i != TABLE_NONE && seen <= t->shape.slots) {
		if (i >= t->shape.slots || slot_state(word_of(t, i)) != SLOT_FREE) {
			bad++;
			if (err != NULL)
				fprintf(err, "free list: slot %u is not free\n", i);
			break;
		}
		seen++;
		i = layout_slot(t, i)->next;
	}
	if (bad == 0 && seen != nfree) {
		bad++;
		if (err != NULL)
			fprintf(err, "free list: %u slots, %u are free\n", seen, nfree);
	}
	return bad;
}

static int
check_pools(struct table *t, FILE *err)
{
	uint32_t p, s;
	int bad = 0;

	for (p = 0; p < t->shape.pools; p++) {
		uint32_t n = 0, used = atomic_load_explicit(
				    &layout_pool(t, p)->used, memory_order_relaxed);
		for (s = 0; s < t->shape.slots; s++)
			n += slot_state(word_of(t, s)) != SLOT_FREE && layout_slot(t, s)->pool == p;
		if (n == used)
			continue;
		bad++;
		if (err != NULL)
			fprintf(err, "pool %u: counted %u, has %u\n", p, used, n);
	}
	return bad;
}

int
repair_check(struct table *t, FILE *err)
{
	enum lock_result r = lock_take(&t->lock, LEDGER_WAIT_US);
	int bad;

	if (r == LOCK_BUSY)
		return -1;
	if (r == LOCK_REPAIR) {
		repair_rebuild(t);
		lock_repaired(&t->lock);
	}
	bad = check_free_list(t, err) + check_pools(t, err);
	lock_drop(&t->lock);
	return bad;
}

/*
 * repair: see repair.h. Called by whoever finds the mutex's holder dead (layout_lock), and by
 * tests.
 *
 * It reads only the truth (layout.h) and writes what is derived, from nothing, in the order slots,
 * groups, pools; besides, it finishes what a dead ledger_free had left to do: a free slot knows no
 * backend. A second run, or a run over a sound table, ends with the same numbers, and a reader of
 * a `used` never sees a count on its way up from zero: counts are made in `recount` and stored
 * once. Cost: entries below the high-water marks, plus the buckets.
 */
#include "shm/repair.h"

#include "conf/log.h"
#include "shm/budget.h"
#include "shm/layout.h"

static uint64_t
word_of(const struct table *t, uint32_t s)
{
	/* pairs with the releases of the word in ledger.c: the slot's pool is the word's */
	return atomic_load_explicit(&layout_slot(t, s)->word, memory_order_acquire);
}

static uint32_t
pool_of(const struct table *t, uint32_t s)
{
	return atomic_load_explicit(&layout_slot(t, s)->pool, memory_order_relaxed);
}

static bool
pool_in_use(const struct table *t, uint32_t p)
{
	return version_is_whole(version_seen(&layout_pool(t, p)->names_version));
}

static uint32_t
slots_high(const struct table *t)
{
	/* pairs with the release in slot_unused (ledger.c) */
	return atomic_load_explicit(&t->slots_high, memory_order_acquire);
}

static uint32_t
pools_high(const struct table *t)
{
	/* pairs with the release in pool_unused (ledger_pool.c) */
	return atomic_load_explicit(&t->pools_high, memory_order_acquire);
}

static uint32_t
groups_high(const struct table *t)
{
	/* pairs with the release in group_unused (ledger_group.c) */
	return atomic_load_explicit(&t->groups_high, memory_order_acquire);
}

static bool
group_in_use(const struct table *t, uint32_t g)
{
	return version_is_whole(version_seen(&layout_group(t, g)->name_version));
}

static uint32_t
hash(const struct table *t, const void *bytes, size_t len)
{
	uint64_t h = t->hash_seed, word;
	size_t i;

	for (i = 0; i < len; i += sizeof(word)) {
		memcpy(&word, (const char *)bytes + i, sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return (uint32_t)(h >> 32);
}

uint32_t
layout_bucket_of(const struct table *t, const struct layout_names *names)
{
	return hash(t, names, sizeof(*names)) & (t->buckets - 1);
}

uint32_t
layout_group_bucket_of(const struct table *t, const struct layout_group_name *name)
{
	return hash(t, name, sizeof(*name)) & (t->group_buckets - 1);
}

/* --- rebuilding --- */

static void
recount_pools(struct table *t)
{
	uint32_t np = pools_high(t), ns = slots_high(t), i, p;

	for (p = 0; p < np; p++)
		layout_pool(t, p)->recount = 0;
	for (i = 0; i < ns; i++)
		if (slot_state(word_of(t, i)) != SLOT_FREE && (p = pool_of(t, i)) < np)
			layout_pool(t, p)->recount++;
}

/* The slot is free and we hold the mutex: nobody else may write its version. */
static void
forget(struct layout_slot *s)
{
	if (version_is_whole(version_seen(&s->known)))
		version_break(&s->known);
}

/* Lowest index first, so that the used slots stay together. */
static void
rebuild_free_slots(struct table *t)
{
	uint32_t i;

	t->free_slots = 0;
	for (i = slots_high(t); i-- > 0;) {
		if (slot_state(word_of(t, i)) != SLOT_FREE)
			continue;
		forget(layout_slot(t, i));
		layout_slot(t, i)->next = t->free_slots;
		t->free_slots = i + 1;
	}
}

/* Their chains only: what belongs to them is counted with the pools. */
static void
rebuild_groups(struct table *t)
{
	struct layout_group_name name;
	struct layout_group *g;
	uint32_t i, *head;

	t->free_groups = 0;
	for (i = 0; i < t->group_buckets; i++)
		if (*layout_group_bucket(t, i) != 0)
			*layout_group_bucket(t, i) = 0;
	for (i = groups_high(t); i-- > 0;) {
		g = layout_group(t, i);
		g->recount = g->pools = 0;
		head = &t->free_groups;
		if (group_in_use(t, i)) {
			layout_get(&name, g->name, sizeof(name));
			head = layout_group_bucket(t, layout_group_bucket_of(t, &name));
		}
		g->next = *head;
		*head = i + 1;
	}
}

/* A pool that has names has its groups, for these were made first and last as long. */
static void
rebuild_belonging(struct table *t, uint32_t pool, const struct layout_names *names)
{
	const struct layout_pool *p = layout_pool(t, pool);
	uint32_t group[LEDGER_GROUPS];
	enum ledger_group k;

	group[LEDGER_DB] = layout_group_find(t, LEDGER_DB, names->db);
	group[LEDGER_USER] = layout_group_find(t, LEDGER_USER, names->user);
	ENSURE(group[LEDGER_DB] != TABLE_NONE && group[LEDGER_USER] != TABLE_NONE);
	layout_group_join(t, pool, group);
	for (k = 0; k < LEDGER_GROUPS; k++)
		layout_group(t, group[k])->recount += p->recount;
}

static void
rebuild_pools(struct table *t)
{
	struct layout_names names;
	struct layout_pool *p;
	uint32_t i, *head;

	t->free_pools = 0;
	for (i = 0; i < t->buckets; i++)
		if (*layout_bucket(t, i) != 0)
			*layout_bucket(t, i) = 0;
	for (i = pools_high(t); i-- > 0;) {
		p = layout_pool(t, i);
		atomic_store_explicit(&p->used, p->recount, memory_order_relaxed);
		if (layout_budget(t) != NULL)
			budget_used(layout_budget(t), i, p->recount);
		head = &t->free_pools;
		if (pool_in_use(t, i)) {
			layout_get(&names, p->names, sizeof(names));
			head = layout_bucket(t, layout_bucket_of(t, &names));
			rebuild_belonging(t, i, &names);
		}
		p->next = *head;
		*head = i + 1;
	}
	for (i = groups_high(t); i-- > 0;)
		atomic_store_explicit(
		    &layout_group(t, i)->used, layout_group(t, i)->recount, memory_order_relaxed);
}

void
repair_rebuild(struct table *t)
{
	recount_pools(t);
	rebuild_free_slots(t);
	rebuild_groups(t);
	rebuild_pools(t);
}

/* --- the mutex --- */

static struct ledger_health met;

void
ledger_health_met(struct ledger_health *h)
{
	*h = met;
	met = (struct ledger_health){0};
}

bool
layout_lock(struct table *t)
{
	switch (lock_take(&t->lock, LEDGER_WAIT_US)) {
	case LOCK_REPAIR:
		repair_rebuild(t);
		atomic_fetch_add_explicit(&t->repairs, 1, memory_order_relaxed);
		met.repairs++;
		lock_repaired(&t->lock);
		return true;
	case LOCK_OK:
		return true;
	case LOCK_BUSY:
		break;
	}
	atomic_fetch_add_explicit(&t->stalls, 1, memory_order_relaxed);
	met.stalls++;
	return false;
}

void
layout_unlock(struct table *t)
{
	lock_drop(&t->lock);
}

/* --- checking: nothing is printed under the mutex, hence the notes --- */

#define NOTES 32

struct note {
	const char *what;
	uint32_t index, have, want;
};

struct notes {
	struct note n[NOTES];
	int count; /* all of them, also those that found no room */
};

static void
note(struct notes *ns, const char *what, uint32_t index, uint32_t have, uint32_t want)
{
	if (ns->count < NOTES)
		ns->n[ns->count] = (struct note){what, index, have, want};
	ns->count++;
}

static void
check_slots(const struct table *t, struct notes *ns)
{
	uint32_t i, p;

	for (i = 0; i < slots_high(t); i++) {
		enum slot_state state = slot_state(word_of(t, i));
		uint64_t known = version_seen(&layout_slot(t, i)->known);
		p = pool_of(t, i);
		if (state >= SLOT_STATES)
			note(ns, "slot: its state is none", i, state, SLOT_STATES);
		if (state == SLOT_FREE && version_is_whole(known))
			note(ns, "slot: free, yet a backend is known", i, 1, 0);
		if (state != SLOT_FREE && (p >= pools_high(t) || !pool_in_use(t, p)))
			note(ns, "slot: its pool is not in use", i, p, pools_high(t));
	}
}

static bool
slot_unused(const struct table *t, uint32_t i)
{
	return slot_state(word_of(t, i)) == SLOT_FREE;
}

static bool
pool_unused(const struct table *t, uint32_t i)
{
	return !pool_in_use(t, i);
}

static bool
group_unused(const struct table *t, uint32_t i)
{
	return !group_in_use(t, i);
}

static uint32_t
slot_next(const struct table *t, uint32_t i)
{
	return layout_slot(t, i)->next;
}

static uint32_t
pool_next(const struct table *t, uint32_t i)
{
	return layout_pool(t, i)->next;
}

static uint32_t
group_next(const struct table *t, uint32_t i)
{
	return layout_group(t, i)->next;
}

/* A list that ends has no entry twice; so right members and the right length are enough. */
static void
check_free(const struct table *t, struct notes *ns, const char *what, uint32_t head, uint32_t high,
    bool (*unused)(const struct table *, uint32_t),
    uint32_t (*next)(const struct table *, uint32_t))
{
	uint32_t nfree = 0, seen = 0, i;

	for (i = 0; i < high; i++)
		nfree += unused(t, i);
	for (i = head; i != 0 && seen <= nfree; i = next(t, i - 1)) {
		seen++;
		if (i > high || !unused(t, i - 1)) {
			note(ns, what, i - 1, seen, nfree);
			return;
		}
	}
	if (seen != nfree)
		note(ns, what, TABLE_NONE, seen, nfree);
}

/* Every pool in use stands in the chain of its names, and the chains hold nothing else. */
static void
check_chains(const struct table *t, struct notes *ns)
{
	uint32_t in_use = 0, seen = 0, b, i;
	struct layout_names names;

	for (i = 0; i < pools_high(t); i++)
		in_use += pool_in_use(t, i);
	for (b = 0; b < t->buckets; b++) {
		for (i = *layout_bucket(t, b); i != 0; i = layout_pool(t, i - 1)->next) {
			if (i > pools_high(t) || !pool_in_use(t, i - 1) || ++seen > in_use) {
				note(ns, "chains: one entry does not belong", i - 1, seen, in_use);
				return;
			}
			layout_get(&names, layout_pool(t, i - 1)->names, sizeof(names));
			if (layout_bucket_of(t, &names) != b)
				note(ns, "chains: an entry stands in the wrong one", i - 1, b, 0);
		}
	}
	if (seen != in_use)
		note(ns, "chains: wrong number", 0, seen, in_use);
}

/* Every group in use stands in the chain of its name: found by it. */
static void
check_group_chains(const struct table *t, struct notes *ns)
{
	struct layout_group_name name;
	uint32_t i;

	for (i = 0; i < groups_high(t); i++) {
		if (!group_in_use(t, i))
			continue;
		layout_get(&name, layout_group(t, i)->name, sizeof(name));
		if (layout_group_find(t, (enum ledger_group)name.kind, name.name) != i)
			note(ns, "group: not found by its name", i, 0, 1);
	}
}

static void
check_counts(struct table *t, struct notes *ns)
{
	uint32_t p, used;

	recount_pools(t);
	for (p = 0; p < pools_high(t); p++) {
		used = atomic_load_explicit(&layout_pool(t, p)->used, memory_order_relaxed);
		if (used != layout_pool(t, p)->recount)
			note(ns, "pool: wrong count", p, used, layout_pool(t, p)->recount);
	}
}

/* After check_counts, which has counted the pools anew. */
static void
check_group_counts(const struct table *t, struct notes *ns)
{
	uint32_t g, p, used, slots, pools;
	enum ledger_group k;

	for (g = 0; g < groups_high(t); g++) {
		for (slots = pools = p = 0; p < pools_high(t); p++)
			for (k = 0; k < LEDGER_GROUPS; k++)
				if (pool_in_use(t, p) && ledger_pool_group(t, p, k) == g) {
					pools++;
					slots += layout_pool(t, p)->recount;
				}
		used = ledger_group_used(t, g);
		if (group_in_use(t, g) && used != slots)
			note(ns, "group: wrong count", g, used, slots);
		if (group_in_use(t, g) && layout_group(t, g)->pools != pools)
			note(ns, "group: wrong number of pools", g, layout_group(t, g)->pools,
			    pools);
	}
}

/* The other generations are told of each pool what we count, under its names. */
static void
check_told(const struct table *t, struct notes *ns)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	struct layout_names names;
	uint32_t p, told;
	bool named;

	for (p = 0; layout_budget(t) != NULL && p < pools_high(t); p++) {
		named = budget_told(layout_budget(t), p, db, user, &told);
		if (told != ledger_pool_used(t, p))
			note(ns, "pool: others are told a wrong count", p, told,
			    ledger_pool_used(t, p));
		if (!pool_in_use(t, p))
			continue;
		layout_get(&names, layout_pool(t, p)->names, sizeof(names));
		if (!named || strcmp(db, names.db) != 0 || strcmp(user, names.user) != 0)
			note(ns, "pool: others are told wrong names", p, named, 1);
	}
}

int
repair_check(struct table *t, FILE *err)
{
	struct notes ns = {.count = 0};
	int i;

	if (!layout_lock(t))
		return -1;
	check_slots(t, &ns);
	check_free(t, &ns, "free slots", t->free_slots, slots_high(t), slot_unused, slot_next);
	check_free(t, &ns, "free pools", t->free_pools, pools_high(t), pool_unused, pool_next);
	check_free(t, &ns, "free groups", t->free_groups, groups_high(t), group_unused, group_next);
	check_chains(t, &ns);
	check_group_chains(t, &ns);
	check_counts(t, &ns);
	check_group_counts(t, &ns);
	check_told(t, &ns);
	layout_unlock(t);
	for (i = 0; err != NULL && i < ns.count && i < NOTES; i++)
		(void)fprintf(err, "%s: index %u, have %u, want %u\n", ns.n[i].what, ns.n[i].index,
		    ns.n[i].have, ns.n[i].want);
	return ns.count;
}

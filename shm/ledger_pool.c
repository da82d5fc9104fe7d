/*
 * ledger_pool: the pool entries of the ledger (see ledger.h): who is attached, and finding, making
 * and reusing an entry.
 *
 * An entry is in use while the version of its names is odd. It is found by the hash of its names,
 * and stays with its welcome and its statistics when the last worker has left, until another pool
 * finds no unused entry: then one is reclaimed that has no slot and that no living worker is
 * attached to. Its names are taken back first and the new ones published last, so that a death in
 * between leaves an unused entry.
 *
 * On failure: LEDGER_BUSY and nothing changed; a detach too many panics.
 */
#include "shm/ledger.h"

#include <string.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "shm/budget.h"
#include "shm/layout.h"
#include "shm/stats.h"

/* --- who is attached --- */

static uint64_t
attach_pack(uint32_t incarnation, uint32_t count)
{
	return (uint64_t)incarnation << 32 | count;
}

uint32_t
layout_attach_count(const struct table *t, struct table_self self, uint32_t p)
{
	uint64_t a;

	if (p >= t->shape.pools)
		return 0;
	a = atomic_load_explicit(layout_attach(t, p, self.worker), memory_order_relaxed);
	return a >> 32 == self.incarnation ? (uint32_t)a : 0;
}

static void
attach_set(struct table *t, struct table_self self, uint32_t p, uint32_t count)
{
	/* pairs with the load in pool_attached: who finds us gone finds what we wrote */
	atomic_store_explicit(layout_attach(t, p, self.worker),
	    count > 0 ? attach_pack(self.incarnation, count) : 0, memory_order_release);
}

static bool
pool_attached(const struct table *t, uint32_t p)
{
	uint32_t w, incarnation;

	for (w = 0; w < t->shape.workers; w++) {
		/* pairs with attach_set */
		incarnation =
		    (uint32_t)(atomic_load_explicit(layout_attach(t, p, w), memory_order_acquire) >>
			       32);
		if (incarnation != 0 && incarnation == table_worker_live(t, w))
			return true;
	}
	return false;
}

/* --- finding and making an entry, under the mutex --- */

static void
names_pack(struct layout_names *names, const char *db, const char *user)
{
	memset(names, 0, sizeof(*names));
	strlcpy(names->db, db, sizeof(names->db));
	strlcpy(names->user, user, sizeof(names->user));
}

static bool
names_equal(const struct layout_pool *p, const struct layout_names *names)
{
	struct layout_names have;

	layout_get(&have, p->names, sizeof(have));
	return memcmp(&have, names, sizeof(have)) == 0;
}

static uint32_t
pool_find(const struct table *t, const struct layout_names *names)
{
	uint32_t i = *layout_bucket(t, layout_bucket_of(t, names));

	while (i != 0 && !names_equal(layout_pool(t, i - 1), names))
		i = layout_pool(t, i - 1)->next;
	return i == 0 ? TABLE_NONE : i - 1;
}

/* An entry that was never used, or that a death has left without names. */
static uint32_t
pool_unused(struct table *t)
{
	uint32_t p = t->free_pools, high;

	if (p != 0) {
		t->free_pools = layout_pool(t, p - 1)->next;
		return p - 1;
	}
	high = atomic_load_explicit(&t->pools_high, memory_order_relaxed);
	if (high == t->shape.pools)
		return TABLE_NONE;
	/* pairs with pools_high in repair.c */
	atomic_store_explicit(&t->pools_high, high + 1, memory_order_release);
	return high;
}

static void
pool_unlink(struct table *t, uint32_t p)
{
	struct layout_names names;
	uint32_t *at;

	layout_get(&names, layout_pool(t, p)->names, sizeof(names));
	at = layout_bucket(t, layout_bucket_of(t, &names));
	while (*at != 0 && *at != p + 1)
		at = &layout_pool(t, *at - 1)->next;
	if (*at != 0)
		*at = layout_pool(t, p)->next;
}

/* An entry in use that nobody needs, of the next LAYOUT_LOOK. */
static uint32_t
pool_reclaim(struct table *t, struct layout_look *look)
{
	uint32_t i, p;

	for (i = 0; i < LAYOUT_LOOK && look->pools < t->shape.pools; i++, look->pools++) {
		p = t->reclaim_hand++ % t->shape.pools;
		if (atomic_load_explicit(&layout_pool(t, p)->used, memory_order_relaxed) > 0 ||
		    pool_attached(t, p))
			continue;
		pool_unlink(t, p);
		layout_group_part(t, p);
		return p;
	}
	return TABLE_NONE;
}

/* Gives an entry that nobody uses these names. Until they are whole it is nobody's. */
static void
pool_name(struct table *t, struct stats *stats, uint32_t p, const struct layout_names *names)
{
	struct layout_pool *lp = layout_pool(t, p);
	uint32_t *head = layout_bucket(t, layout_bucket_of(t, names)), w;

	version_break(&lp->names_version);
	layout_put(lp->names, names, sizeof(*names));
	table_welcome_drop(t, p);
	for (w = 0; w < t->shape.workers; w++)
		atomic_store_explicit(layout_attach(t, p, w), 0, memory_order_relaxed);
	if (stats != NULL)
		stats_pool_name(stats, p, names->db, names->user);
	if (layout_budget(t) != NULL)
		budget_name(layout_budget(t), p, names->db, names->user);
	version_whole(&lp->names_version);
	lp->next = *head;
	*head = p + 1;
}

/* Those of its database and its user. The first is held while the second is made, which may have
 * to reuse one. */
static bool
pool_groups(struct table *t, const struct layout_names *names, uint32_t group[LEDGER_GROUPS],
    struct layout_look *look)
{
	group[LEDGER_DB] = layout_group_entry(t, LEDGER_DB, names->db, look);
	if (group[LEDGER_DB] == TABLE_NONE)
		return false;
	layout_group(t, group[LEDGER_DB])->pools++;
	group[LEDGER_USER] = layout_group_entry(t, LEDGER_USER, names->user, look);
	layout_group(t, group[LEDGER_DB])->pools--;
	return group[LEDGER_USER] != TABLE_NONE;
}

static uint32_t
pool_entry(struct table *t, struct stats *stats, const struct layout_names *names,
    struct layout_look *look)
{
	uint32_t p = pool_find(t, names), group[LEDGER_GROUPS];

	if (p != TABLE_NONE)
		return p;
	/* They come first and the names last: a pool that has names has its groups. */
	if (!pool_groups(t, names, group, look))
		return TABLE_NONE;
	p = pool_unused(t);
	if (p == TABLE_NONE)
		p = pool_reclaim(t, look);
	if (p == TABLE_NONE)
		return TABLE_NONE;
	pool_name(t, stats, p, names);
	layout_group_join(t, p, group);
	return p;
}

/* --- what others call --- */

enum ledger_result
ledger_attach(struct table *t, struct stats *stats, struct table_self self, const char *db,
    const char *user, uint32_t *pool)
{
	struct layout_names names;
	struct layout_look look = {0, 0};
	uint32_t p;

	names_pack(&names, db, user);
	do {
		if (!layout_lock(t))
			return LEDGER_BUSY;
		p = pool_entry(t, stats, &names, &look);
		if (p != TABLE_NONE)
			attach_set(t, self, p, layout_attach_count(t, self, p) + 1);
		layout_unlock(t);
	} while (p == TABLE_NONE && look.pools < t->shape.pools && look.groups < t->groups);
	*pool = p;
	return p == TABLE_NONE ? LEDGER_TABLE_FULL : LEDGER_OK;
}

void
ledger_detach(struct table *t, struct table_self self, uint32_t pool)
{
	uint32_t count = layout_attach_count(t, self, pool);

	ENSURE(count > 0);
	attach_set(t, self, pool, count - 1);
}

bool
ledger_pool_name(const struct table *t, uint32_t pool, char *db, char *user)
{
	const struct layout_pool *p = layout_pool(t, pool);
	struct layout_names names;
	uint64_t seen;
	int i;

	if (pool >= t->shape.pools)
		return false;
	for (i = 0; i < LAYOUT_RETRIES; i++) {
		seen = version_seen(&p->names_version);
		if (!version_is_whole(seen))
			return false;
		layout_get(&names, p->names, sizeof(names));
		if (!version_same(&p->names_version, seen))
			continue;
		memcpy(db, names.db, sizeof(names.db));
		memcpy(user, names.user, sizeof(names.user));
		return true;
	}
	return false;
}

uint32_t
ledger_pool_used(const struct table *t, uint32_t pool)
{
	return atomic_load_explicit(&layout_pool(t, pool)->used, memory_order_relaxed);
}

uint32_t
ledger_pools(const struct table *t)
{
	/* pairs with pool_unused */
	return atomic_load_explicit(&t->pools_high, memory_order_acquire);
}

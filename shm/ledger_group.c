/*
 * ledger_group: what several pools share (see ledger.h): a group is a database or a user as such.
 * It counts the slots of all its pools, for max_db_connections and max_user_connections, and the
 * clients of each worker, for the limits of clients. Called by ledger.c and ledger_pool.c under the
 * mutex, by workers without it where a comment says so.
 *
 * An entry is in use while the version of its name is odd. It stays until another name finds no
 * unused entry: then one is reclaimed that no pool belongs to and that no living worker has a
 * client in. Clients are counted in cells of one writer each, stamped with its incarnation, so that
 * a worker's death needs no clearing up.
 *
 * On failure: no room is told to the caller, nothing is changed.
 */
#include <string.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "shm/layout.h"

/* --- entries, under the mutex ----------------------------------------------------------------- */

static void
name_pack(struct layout_group_name *n, enum ledger_group kind, const char *name)
{
	memset(n, 0, sizeof(*n));
	strlcpy(n->name, name, sizeof(n->name));
	n->kind = kind;
}

static uint32_t
group_find(const struct table *t, const struct layout_group_name *name)
{
	uint32_t i = *layout_group_bucket(t, layout_group_bucket_of(t, name));
	struct layout_group_name have;

	for (; i != 0; i = layout_group(t, i - 1)->next) {
		layout_get(&have, layout_group(t, i - 1)->name, sizeof(have));
		if (memcmp(&have, name, sizeof(have)) == 0)
			return i - 1;
	}
	return TABLE_NONE;
}

uint32_t
layout_group_find(const struct table *t, enum ledger_group kind, const char *name)
{
	struct layout_group_name n;

	name_pack(&n, kind, name);
	return group_find(t, &n);
}

/* Clients of living workers. */
static uint32_t
group_members(const struct table *t, uint32_t g)
{
	uint32_t w, n = 0;

	for (w = 0; w < t->shape.workers; w++) {
		uint64_t cell = atomic_load_explicit(layout_members(t, g, w), memory_order_relaxed);
		if (cell >> 32 != 0 && cell >> 32 == table_worker_live(t, w))
			n += (uint32_t)cell;
	}
	return n;
}

static void
group_unlink(struct table *t, uint32_t g)
{
	struct layout_group_name name;
	uint32_t *at;

	layout_get(&name, layout_group(t, g)->name, sizeof(name));
	at = layout_group_bucket(t, layout_group_bucket_of(t, &name));
	while (*at != 0 && *at != g + 1)
		at = &layout_group(t, *at - 1)->next;
	if (*at != 0)
		*at = layout_group(t, g)->next;
}

/* An entry in use that nobody needs. */
static uint32_t
group_reclaim(struct table *t, struct layout_look *look)
{
	uint32_t i, g;

	for (i = 0; i < LAYOUT_LOOK && look->groups < t->groups; i++, look->groups++) {
		g = t->group_hand++ % t->groups;
		if (layout_group(t, g)->pools > 0 || group_members(t, g) > 0)
			continue;
		group_unlink(t, g);
		return g;
	}
	return TABLE_NONE;
}

static uint32_t
group_unused(struct table *t)
{
	uint32_t g = t->free_groups, high;

	if (g != 0) {
		t->free_groups = layout_group(t, g - 1)->next;
		return g - 1;
	}
	high = atomic_load_explicit(&t->groups_high, memory_order_relaxed);
	if (high == t->groups)
		return TABLE_NONE;
	/* pairs with groups_high in repair.c */
	atomic_store_explicit(&t->groups_high, high + 1, memory_order_release);
	return high;
}

/* Gives an entry that nobody uses this name. Until it is whole it is nobody's. */
static void
group_name(struct table *t, uint32_t g, const struct layout_group_name *name)
{
	struct layout_group *lg = layout_group(t, g);
	uint32_t *head = layout_group_bucket(t, layout_group_bucket_of(t, name)), w;

	version_break(&lg->name_version);
	layout_put(lg->name, name, sizeof(*name));
	for (w = 0; w < t->shape.workers; w++)
		atomic_store_explicit(layout_members(t, g, w), 0, memory_order_relaxed);
	atomic_store_explicit(&lg->hungry, 0, memory_order_relaxed);
	atomic_store_explicit(&lg->used, 0, memory_order_relaxed);
	lg->pools = 0;
	version_whole(&lg->name_version);
	lg->next = *head;
	*head = g + 1;
}

uint32_t
layout_group_entry(
    struct table *t, enum ledger_group kind, const char *name, struct layout_look *look)
{
	struct layout_group_name n;
	uint32_t g;

	name_pack(&n, kind, name);
	g = group_find(t, &n);
	if (g != TABLE_NONE)
		return g;
	g = group_unused(t);
	if (g == TABLE_NONE)
		g = group_reclaim(t, look);
	if (g != TABLE_NONE)
		group_name(t, g, &n);
	return g;
}

/* --- pools and their slots, under the mutex --------------------------------------------------- */

void
layout_group_join(struct table *t, uint32_t pool, const uint32_t group[LEDGER_GROUPS])
{
	enum ledger_group k;

	for (k = 0; k < LEDGER_GROUPS; k++) {
		atomic_store_explicit(
		    &layout_pool(t, pool)->group[k], group[k] + 1, memory_order_relaxed);
		layout_group(t, group[k])->pools++;
	}
}

void
layout_group_part(struct table *t, uint32_t pool)
{
	uint32_t g;
	enum ledger_group k;

	for (k = 0; k < LEDGER_GROUPS; k++) {
		g = ledger_pool_group(t, pool, k);
		if (g != TABLE_NONE)
			layout_group(t, g)->pools--;
		atomic_store_explicit(&layout_pool(t, pool)->group[k], 0, memory_order_relaxed);
	}
}

void
layout_group_count(struct table *t, uint32_t pool, int by)
{
	_Atomic uint32_t *used;
	uint32_t g;
	enum ledger_group k;

	for (k = 0; k < LEDGER_GROUPS; k++) {
		g = ledger_pool_group(t, pool, k);
		if (g == TABLE_NONE)
			continue;
		used = &layout_group(t, g)->used;
		atomic_store_explicit(used,
		    atomic_load_explicit(used, memory_order_relaxed) + (uint32_t)by,
		    memory_order_relaxed);
	}
}

/* --- what others call, without the mutex ------------------------------------------------------ */

uint32_t
ledger_pool_group(const struct table *t, uint32_t pool, enum ledger_group kind)
{
	/* index + 1: fresh memory says "none" */
	return atomic_load_explicit(&layout_pool(t, pool)->group[kind], memory_order_relaxed) - 1;
}

uint32_t
ledger_group_used(const struct table *t, uint32_t group)
{
	return group < t->groups
		   ? atomic_load_explicit(&layout_group(t, group)->used, memory_order_relaxed)
		   : 0;
}

enum ledger_result
ledger_room(const struct table *t, uint32_t pool, const struct ledger_limits *limits)
{
	static const enum ledger_result full[LEDGER_GROUPS] = {LEDGER_DB_FULL, LEDGER_USER_FULL};
	enum ledger_group k;

	if (ledger_pool_used(t, pool) >= limits->pool)
		return LEDGER_POOL_FULL;
	for (k = 0; k < LEDGER_GROUPS; k++)
		if (limits->group[k] != 0 &&
		    ledger_group_used(t, ledger_pool_group(t, pool, k)) >= limits->group[k])
			return full[k];
	return LEDGER_OK;
}

uint32_t
ledger_surplus(const struct table *t, uint32_t pool, const struct ledger_limits *limits)
{
	uint32_t used = ledger_pool_used(t, pool), n;
	enum ledger_group k;

	n = used > limits->pool ? used - limits->pool : 0;
	for (k = 0; k < LEDGER_GROUPS; k++) {
		used = ledger_group_used(t, ledger_pool_group(t, pool, k));
		if (limits->group[k] != 0 && used > limits->group[k] && used - limits->group[k] > n)
			n = used - limits->group[k];
	}
	return n;
}

int64_t
ledger_hungry(const struct table *t, uint32_t group)
{
	return group < t->groups
		   ? atomic_load_explicit(&layout_group(t, group)->hungry, memory_order_relaxed)
		   : 0;
}

void
ledger_hungry_put(struct table *t, uint32_t group, int64_t since)
{
	_Atomic int64_t *hungry;
	int64_t seen;

	if (group >= t->groups)
		return;
	hungry = &layout_group(t, group)->hungry;
	seen = atomic_load_explicit(hungry, memory_order_relaxed);
	while (
	    (seen == 0 || seen > since) && !atomic_compare_exchange_weak_explicit(hungry, &seen,
					       since, memory_order_relaxed, memory_order_relaxed))
		;
}

void
ledger_hungry_drop(struct table *t, uint32_t group, int64_t seen, int64_t since)
{
	if (group < t->groups)
		(void)atomic_compare_exchange_strong_explicit(&layout_group(t, group)->hungry,
		    &seen, since, memory_order_relaxed, memory_order_relaxed);
}

int64_t
ledger_pool_fed(const struct table *t, uint32_t pool)
{
	return atomic_load_explicit(&layout_pool(t, pool)->fed, memory_order_relaxed);
}

void
ledger_pool_feed(struct table *t, uint32_t pool, int64_t now)
{
	atomic_store_explicit(&layout_pool(t, pool)->fed, now, memory_order_relaxed);
}

/* --- clients ---------------------------------------------------------------------------------- */

static uint32_t
own_members(const struct table *t, struct table_self self, uint32_t g)
{
	uint64_t cell =
	    atomic_load_explicit(layout_members(t, g, self.worker), memory_order_relaxed);

	return cell >> 32 == self.incarnation ? (uint32_t)cell : 0;
}

static void
own_members_set(struct table *t, struct table_self self, uint32_t g, uint32_t n)
{
	atomic_store_explicit(layout_members(t, g, self.worker),
	    (uint64_t)self.incarnation << 32 | n, memory_order_relaxed);
}

enum ledger_result
ledger_client_enter(struct table *t, struct table_self self, enum ledger_group kind,
    const char *name, uint32_t limit, uint32_t *group)
{
	struct layout_look look = {0, 0};
	enum ledger_result r = LEDGER_OK;
	uint32_t g;

	do {
		if (!layout_lock(t))
			return LEDGER_BUSY;
		g = layout_group_entry(t, kind, name, &look);
		if (g == TABLE_NONE)
			r = LEDGER_TABLE_FULL;
		else if (group_members(t, g) >= limit)
			r = kind == LEDGER_DB ? LEDGER_DB_FULL : LEDGER_USER_FULL;
		else {
			own_members_set(t, self, g, own_members(t, self, g) + 1);
			r = LEDGER_OK;
		}
		layout_unlock(t);
	} while (g == TABLE_NONE && look.groups < t->groups);
	*group = g;
	return g == TABLE_NONE ? LEDGER_TABLE_FULL : r;
}

void
ledger_client_leave(struct table *t, struct table_self self, uint32_t group)
{
	uint32_t n = own_members(t, self, group);

	ENSURE(n > 0);
	own_members_set(t, self, group, n - 1);
}

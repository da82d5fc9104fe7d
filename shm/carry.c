/*
 * carry: see carry.h. Called by worker/steward_carry.c. Owns the mapping of the other segment and,
 * of each row, what was carried over so far.
 *
 * A number that shrinks (a pool's place there was given to another) starts anew.
 */
#include "shm/carry.h"

#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

#define SILENT_US 10000000 /* of its master: it was killed */

#define WORKER_WORDS (sizeof(struct stats_worker) / sizeof(uint64_t))
#define POOL_WORDS   (sizeof(struct stats_pool) / sizeof(uint64_t))
#define TIME_WORDS   (sizeof(struct stats_times) / sizeof(uint64_t))

struct carry_pool {
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	uint32_t ours;
	uint64_t counts[POOL_WORDS], times[TIME_WORDS];
};

struct carry {
	struct stats *from;
	uint64_t worker[WORKER_WORDS];
	struct carry_pool **pools; /* NULL = never seen */
};

typedef _Atomic uint64_t word;

struct carry *
carry_open(const char *path, char *why, size_t why_size)
{
	struct carry *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->from = stats_open(path, why, why_size);
	c->pools = c->from == NULL ? NULL : calloc(stats_pools(c->from), sizeof(*c->pools));
	if (c->pools != NULL)
		return c;
	if (c->from != NULL)
		stats_close(c->from);
	free(c);
	return NULL;
}

void
carry_close(struct carry *c)
{
	uint32_t p, n = stats_pools(c->from);

	for (p = 0; p < n; p++)
		free(c->pools[p]);
	free(c->pools);
	stats_close(c->from);
	free(c);
}

bool
carry_ended(const struct carry *c, int64_t now)
{
	return stats_state(c->from) == STATS_STOPPED ||
	       now - stats_master_heartbeat(c->from) > SILENT_US;
}

static void
add(word *to, uint64_t sum, uint64_t *before)
{
	if (sum < *before)
		*before = 0;
	if (sum > *before)
		stats_add(to, sum - *before);
	*before = sum;
}

static bool
is_carried(const struct stats_field *f)
{
	return f->counter && strcmp(f->name, "restarts") != 0 && strcmp(f->name, "loop_turns") != 0;
}

static void
carry_workers(struct carry *c, struct stats *to, uint32_t w)
{
	word *ours = (word *)(void *)stats_worker(to, w);
	size_t i;
	uint32_t v;

	for (i = 0; i < stats_nworker_fields; i++) {
		uint64_t sum = 0;
		if (!is_carried(&stats_worker_fields[i]))
			continue;
		for (v = 0; v < stats_workers(c->from); v++)
			sum += stats_get(&((word *)(void *)stats_worker(c->from, v))[i]);
		add(&ours[i], sum, &c->worker[i]);
	}
}

static struct carry_pool *
pool_seen(struct carry *c, uint32_t p, uint32_t (*pool_of)(const char *db, const char *user))
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	struct carry_pool *seen = c->pools[p];

	if (!stats_pool_names(c->from, p, db, user))
		return NULL;
	if (seen == NULL || strcmp(seen->db, db) != 0 || strcmp(seen->user, user) != 0) {
		free(seen);
		seen = c->pools[p] = calloc(1, sizeof(*seen));
		if (seen == NULL)
			return NULL;
		memcpy(seen->db, db, sizeof(db));
		memcpy(seen->user, user, sizeof(user));
		seen->ours = UINT32_MAX;
	}
	if (seen->ours == UINT32_MAX) /* perhaps the table was busy */
		seen->ours = pool_of(db, user);
	return seen->ours == UINT32_MAX ? NULL : seen;
}

static void
carry_pool(struct carry *c, uint32_t p, struct carry_pool *seen, struct stats *to, uint32_t w)
{
	word *counts = (word *)(void *)stats_pool(to, seen->ours, w);
	word *times = (word *)(void *)stats_times(to, seen->ours, w);
	uint32_t v, n = stats_workers(c->from);
	size_t i;

	for (i = 0; i < stats_npool_fields; i++) {
		uint64_t sum = 0;
		for (v = 0; stats_pool_fields[i].counter && v < n; v++)
			sum += stats_get(&((word *)(void *)stats_pool(c->from, p, v))[i]);
		if (stats_pool_fields[i].counter)
			add(&counts[i], sum, &seen->counts[i]);
	}
	for (i = 0; i < TIME_WORDS; i++) {
		uint64_t sum = 0;
		for (v = 0; v < n; v++)
			sum += stats_get(&((word *)(void *)stats_times(c->from, p, v))[i]);
		add(&times[i], sum, &seen->times[i]);
	}
}

void
carry_over(struct carry *c, struct stats *to, uint32_t w,
    uint32_t (*pool_of)(const char *db, const char *user))
{
	uint32_t p, n = stats_pools(c->from);

	carry_workers(c, to, w);
	for (p = 0; p < n; p++) {
		struct carry_pool *seen = pool_seen(c, p, pool_of);
		if (seen != NULL)
			carry_pool(c, p, seen, to, w);
	}
}

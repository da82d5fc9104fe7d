/*
 * stat_get: one value by its name, for scripts.
 *
 * Called by stat.c. Names:
 *
 *   state, health, master_pid, master_life, uptime_us, workers, pools      of the instance
 *   FIELD                            a worker's or a pool's field, summed over all rows
 *   worker.N.FIELD, steward.FIELD    one row; FIELD may also be "life"
 *   pool.DB.USER.FIELD               one pool, summed over the workers
 *
 * Database and user names may hold dots: a pool's name is compared as a whole. All known names are
 * walked once; the walk finds the value, or else the name that is nearest in spelling.
 */
#include "master/stat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GET_NAME_SIZE 256

struct search {
	const struct stat_view *view;
	const char *wanted;
	char *value;
	size_t size;
	bool found;
	char nearest[GET_NAME_SIZE];
	size_t distance;
};

/* Levenshtein's distance of the names' beginnings, one row at a time. */
static size_t
spelling_distance(const char *a, const char *b)
{
	size_t row[GET_NAME_SIZE + 1], i, j, above, diagonal, best;
	const size_t n = strnlen(b, GET_NAME_SIZE);

	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 0; i < GET_NAME_SIZE && a[i] != '\0'; i++) {
		diagonal = row[0];
		row[0] = i + 1;
		for (j = 0; j < n; j++) {
			above = row[j + 1];
			best = diagonal + (a[i] != b[j]);
			if (above + 1 < best)
				best = above + 1;
			if (row[j] + 1 < best)
				best = row[j] + 1;
			row[j + 1] = best;
			diagonal = above;
		}
	}
	return row[n];
}

/* True if `name` is the wanted one; else it is a candidate for the nearest. */
static bool
offer(struct search *s, const char *name)
{
	size_t distance;

	if (s->found)
		return false;
	if (strcmp(name, s->wanted) == 0) {
		s->found = true;
		return true;
	}
	distance = spelling_distance(s->wanted, name);
	if (distance < s->distance) {
		s->distance = distance;
		(void)snprintf(s->nearest, sizeof s->nearest, "%s", name);
	}
	return false;
}

static void
put_number(struct search *s, uint64_t value)
{
	(void)snprintf(s->value, s->size, "%" PRIu64, value);
}

static void
offer_text(struct search *s, const char *name, const char *text)
{
	if (offer(s, name))
		(void)snprintf(s->value, s->size, "%s", text);
}

static void
offer_number(struct search *s, const char *name, uint64_t value)
{
	if (offer(s, name))
		put_number(s, value);
}

/* Numbers that mean something when added up; a pid or a point in time does not. */
static bool
is_summable(const struct stats_field *field)
{
	if (strcmp(field->name, "incarnation") == 0)
		return false;
	return field->counter || strcmp(field->unit, "count") == 0 ||
	       strcmp(field->unit, "bytes") == 0;
}

static void
walk_sums(struct search *s)
{
	const struct stat_view *v = s->view;
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	uint64_t sum;
	uint32_t i;
	size_t f;

	for (f = 0; f < stats_nworker_fields; f++) {
		if (!is_summable(&stats_worker_fields[f]) || !offer(s, stats_worker_fields[f].name))
			continue;
		for (sum = 0, i = 0; i < v->nchildren; i++)
			sum += stat_worker_value(v, i, f);
		put_number(s, sum);
	}
	for (f = 0; f < stats_npool_fields; f++) {
		if (!is_summable(&stats_pool_fields[f]) || !offer(s, stats_pool_fields[f].name))
			continue;
		for (sum = 0, i = 0; i < stats_pools(v->stats); i++)
			if (stat_pool_named(v, i, db, user))
				sum += stat_pool_value(v, i, f);
		put_number(s, sum);
	}
}

static void
walk_worker(struct search *s, uint32_t w)
{
	char name[GET_NAME_SIZE], prefix[32] = "steward";
	size_t f;

	if (w + 1 < s->view->nchildren)
		(void)snprintf(prefix, sizeof prefix, "worker.%u", w);
	(void)snprintf(name, sizeof name, "%s.life", prefix);
	offer_text(s, name, stat_life_name(s->view->lives[w]));
	for (f = 0; f < stats_nworker_fields; f++) {
		(void)snprintf(name, sizeof name, "%s.%s", prefix, stats_worker_fields[f].name);
		offer_number(s, name, stat_worker_value(s->view, w, f));
	}
}

static void
walk_pool(struct search *s, uint32_t pool)
{
	char name[GET_NAME_SIZE], db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	size_t f;

	if (!stat_pool_named(s->view, pool, db, user))
		return;
	for (f = 0; f < stats_npool_fields; f++) {
		(void)snprintf(
		    name, sizeof name, "pool.%s.%s.%s", db, user, stats_pool_fields[f].name);
		offer_number(s, name, stat_pool_value(s->view, pool, f));
	}
}

static void
walk_instance(struct search *s)
{
	static const char *const states[] = {"unknown", "booting", "ready", "stopping", "stopped"};
	const struct stat_view *v = s->view;
	const unsigned int state = (unsigned int)stats_state(v->stats);

	offer_text(
	    s, "state", state < sizeof states / sizeof states[0] ? states[state] : "unknown");
	offer_text(s, "health", stat_health_name(v->health));
	offer_number(s, "master_pid", (uint64_t)stats_master_pid(v->stats));
	offer_text(s, "master_life", stat_life_name(v->master));
	offer_number(s, "uptime_us", (uint64_t)v->uptime_us);
	offer_number(s, "workers", stat_workers(v));
}

static uint64_t
count_pools(const struct stat_view *v)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	uint64_t n = 0;
	uint32_t p;

	for (p = 0; p < stats_pools(v->stats); p++)
		n += stat_pool_named(v, p, db, user);
	return n;
}

enum stat_found
stat_get(const struct stat_view *v, const char *name, char *value, size_t size)
{
	struct search s = {
	    .view = v, .wanted = name, .value = value, .size = size, .distance = SIZE_MAX};
	uint32_t i;

	walk_instance(&s);
	offer_number(&s, "pools", count_pools(v));
	walk_sums(&s);
	for (i = 0; i < v->nchildren && !s.found; i++)
		walk_worker(&s, i);
	for (i = 0; i < stats_pools(v->stats) && !s.found; i++)
		walk_pool(&s, i);
	if (s.found)
		return STAT_FOUND;
	(void)snprintf(value, size, "%s", s.nearest);
	return STAT_UNKNOWN;
}

/*
 * stat_pools: `pgdrove stat --pools`: each pool over all workers, and beneath it what each worker
 * has of it: who is idle, busy, waiting, and what has happened to its backends and by which limits.
 *
 * Called by stat.c. Plain text, fixed columns; names that are too long widen their row only.
 */
#include "master/stat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FIELD(name) (offsetof(struct stats_pool, name) / sizeof(uint64_t))

static const struct column {
	const char *title;
	size_t field;
	int width;
} columns[] = {
    {"cl_idle", FIELD(cl_idle), 7},
    {"cl_act", FIELD(cl_active), 6},
    {"cl_wait", FIELD(cl_waiting), 7},
    {"idle", FIELD(sv_idle), 5},
    {"busy", FIELD(sv_active), 5},
    {"login", FIELD(sv_login), 5},
    {"opened", FIELD(sv_opened), 8},
    {"closed", FIELD(sv_closed), 8},
    {"failed", FIELD(sv_failed), 7},
    {"given", FIELD(sv_given), 9},
    {"taken", FIELD(sv_received), 9},
    {"evicted", FIELD(sv_evicted), 7},
    {"yielded", FIELD(sv_yielded), 7},
    {"checked", FIELD(sv_checked), 8},
    {"dead", FIELD(sv_check_failed), 5},
    {"t_wait", FIELD(wait_timeouts), 6},
    {"t_query", FIELD(query_timeouts), 7},
    {"t_xact", FIELD(xact_timeouts), 6},
    {"t_pause", FIELD(idle_xact_timeouts), 7},
    {"t_idle", FIELD(cl_idle_timeouts), 6},
    {"t_conn", FIELD(sv_connect_timeouts), 6},
};

#define ALL	UINT32_MAX /* workers */
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static void
show_head(FILE *out)
{
	size_t i;

	(void)fprintf(out, "%-33s %9s", "pool, worker", "wait ms");
	for (i = 0; i < COLUMNS; i++)
		(void)fprintf(out, " %*s", columns[i].width, columns[i].title);
	(void)fputc('\n', out);
}

/* Worker `w` of the pool, ALL = all of them. */
static uint64_t
value(const struct stat_view *v, uint32_t p, uint32_t w, size_t field)
{
	const _Atomic uint64_t *row;

	if (w == ALL)
		return stat_pool_value(v, p, field);
	row = (const _Atomic uint64_t *)(const void *)stats_pool(v->stats, p, w);
	return stats_get(row + field);
}

static void
show_row(const struct stat_view *v, uint32_t p, uint32_t w, const char *name, FILE *out)
{
	uint64_t since = value(v, p, w, FIELD(oldest_wait_us));
	size_t i;

	(void)fprintf(out, "%-33s %9.1f", name,
	    since == 0 || (int64_t)since > v->now_us ? 0.0
						     : (double)(v->now_us - (int64_t)since) / 1e3);
	for (i = 0; i < COLUMNS; i++)
		(void)fprintf(
		    out, " %*" PRIu64, columns[i].width, value(v, p, w, columns[i].field));
	(void)fputc('\n', out);
}

static bool
worker_has_any(const struct stat_view *v, uint32_t p, uint32_t w)
{
	size_t i;

	for (i = 0; i < COLUMNS; i++)
		if (value(v, p, w, columns[i].field) != 0)
			return true;
	return false;
}

void
stat_show_pools(const struct stat_view *v, FILE *out)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE], name[2 * CONF_NAME_SIZE];
	uint32_t p, w;

	show_head(out);
	for (p = 0; p < stats_pools(v->stats); p++) {
		if (!stat_pool_named(v, p, db, user))
			continue;
		stat_disarm(db);
		stat_disarm(user);
		(void)snprintf(name, sizeof name, "%s/%s", db, user);
		show_row(v, p, ALL, name, out);
		for (w = 0; w + 1 < v->nchildren; w++) {
			(void)snprintf(name, sizeof name, "  worker %u", w);
			if (worker_has_any(v, p, w))
				show_row(v, p, w, name, out);
		}
	}
}

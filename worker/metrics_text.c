/*
 * metrics_text: the statistics in Prometheus' text format. Called by metrics.c; made from the field
 * tables, so that a new field is a new metric.
 *
 * Names: pgdrove_worker_FIELD{worker="0"} and pgdrove_pool_FIELD{database, user}, the pool's summed
 * over the workers; a counter ends in _total; times are seconds. A gauge of kind "us" is a point in
 * time in the segment and an age here: seconds since then, 0 = there is nothing; of several workers
 * the greatest age.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/log.h"
#include "proto/utf8.h"
#include "shm/ledger.h"
#include "worker/loop.h"
#include "worker/metrics.h"
#include "worker/state.h"

/* Fields of one metric with a label: errors_08 is pgdrove_pool_errors_total{class="08"}. */
static const struct {
	const char *prefix, *label, *help;
} families[] = {
    {"errors_", "class", "Errors told to clients, by class of SQLSTATE"},
    {"pins_", "reason", "Times a client was bound to its backend, by reason"},
};
#define FAMILIES (sizeof(families) / sizeof(families[0]))

struct labels {
	uint32_t pool;
	char *text; /* database="...",user="..." */
};

static struct labels *pools;
static size_t npools;

/* --- labels ----------------------------------------------------------------------------------- */

static void
put_label(FILE *out, const char *name, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;
	size_t n;

	fprintf(out, "%s=\"", name);
	while (*s != '\0') {
		n = utf8_length(s);
		if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if (*s == '\n')
			fputs("\\n", out);
		else if (n == 0)
			fputs("\xef\xbf\xbd", out); /* U+FFFD */
		else
			fwrite(s, 1, n, out);
		s += n == 0 ? 1 : n;
	}
	fputc('"', out);
}

static char *
label_text(const char *db, const char *user)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		fatal("labels");
	put_label(out, "database", db);
	fputc(',', out);
	put_label(out, "user", user);
	if (fclose(out) == EOF)
		fatal("labels");
	return text;
}

/* The pools that have names now. */
static void
pools_take(void)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	uint32_t p, n = ledger_pools(wk->table);

	pools = calloc((size_t)n + 1, sizeof(*pools));
	if (pools == NULL)
		fatal("pools");
	for (p = 0, npools = 0; p < n; p++)
		if (stats_pool_names(wk->stats, p, db, user))
			pools[npools++] = (struct labels){p, label_text(db, user)};
}

static void
pools_drop(void)
{
	while (npools > 0)
		free(pools[--npools].text);
	free(pools);
	pools = NULL;
}

/* --- fields ----------------------------------------------------------------------------------- */

static bool
is_age(const struct stats_field *f)
{
	return !f->counter && strcmp(f->unit, "us") == 0;
}

/* HELP, TYPE, and the name into `name`. */
static void
put_head(FILE *out, const char *scope, const struct stats_field *f, char *name, size_t size)
{
	size_t n = strlen(f->name);
	bool us = strcmp(f->unit, "us") == 0;

	if (us && n > 3 && strcmp(f->name + n - 3, "_us") == 0)
		n -= 3;
	snprintf(name, size, "pgdrove_%s_%.*s%s%s", scope, (int)n, f->name, us ? "_seconds" : "",
	    f->counter ? "_total" : "");
	fprintf(out, "# HELP %s %s%s\n# TYPE %s %s\n", name, is_age(f) ? "Seconds since: " : "",
	    f->help, name, f->counter ? "counter" : "gauge");
}

static void
put_value(FILE *out, const struct stats_field *f, uint64_t v)
{
	if (strcmp(f->unit, "us") != 0)
		fprintf(out, "%" PRIu64 "\n", v);
	else
		fprintf(out, "%" PRIu64 ".%06" PRIu64 "\n", v / 1000000, v % 1000000);
}

static uint64_t
age(uint64_t since)
{
	return since == 0 || (int64_t)since > loop_now() ? 0 : (uint64_t)loop_now() - since;
}

static uint64_t
worker_value(uint32_t w, size_t i)
{
	const _Atomic uint64_t *row = (const void *)stats_worker(wk->stats, w);
	uint64_t v = stats_get(&row[i]);

	return is_age(&stats_worker_fields[i]) ? age(v) : v;
}

static uint64_t
pool_value(uint32_t pool, size_t i)
{
	uint64_t sum = 0, v;
	uint32_t w;

	for (w = 0; w < stats_workers(wk->stats); w++) {
		const _Atomic uint64_t *row = (const void *)stats_pool(wk->stats, pool, w);
		v = stats_get(&row[i]);
		if (!is_age(&stats_pool_fields[i]))
			sum += v;
		else if (age(v) > sum)
			sum = age(v);
	}
	return sum;
}

static void
put_workers(FILE *out)
{
	char name[96];
	uint32_t w;
	size_t i;

	for (i = 0; i < stats_nworker_fields; i++) {
		put_head(out, "worker", &stats_worker_fields[i], name, sizeof(name));
		for (w = 0; w < stats_workers(wk->stats); w++) {
			if (stats_get(&stats_worker(wk->stats, w)->incarnation) == 0)
				continue; /* never lived */
			if (w == wk->boot->nworkers)
				fprintf(out, "%s{worker=\"steward\"} ", name);
			else
				fprintf(out, "%s{worker=\"%u\"} ", name, w);
			put_value(out, &stats_worker_fields[i], worker_value(w, i));
		}
	}
}

/* The family that a field of a pool belongs to, or FAMILIES. */
static size_t
family_of(const struct stats_field *f)
{
	size_t k = 0;

	while (
	    k < FAMILIES && strncmp(f->name, families[k].prefix, strlen(families[k].prefix)) != 0)
		k++;
	return k;
}

static void
put_pools(FILE *out)
{
	char name[96];
	size_t i, p;

	for (i = 0; i < stats_npool_fields; i++) {
		if (family_of(&stats_pool_fields[i]) != FAMILIES)
			continue;
		put_head(out, "pool", &stats_pool_fields[i], name, sizeof(name));
		for (p = 0; p < npools; p++) {
			fprintf(out, "%s{%s} ", name, pools[p].text);
			put_value(out, &stats_pool_fields[i], pool_value(pools[p].pool, i));
		}
	}
}

static void
put_family(FILE *out, size_t k)
{
	const size_t n = strlen(families[k].prefix);
	char name[64];
	size_t i, p;

	snprintf(name, sizeof(name), "pgdrove_pool_%stotal", families[k].prefix);
	fprintf(out, "# HELP %s %s\n# TYPE %s counter\n", name, families[k].help, name);
	for (i = 0; i < stats_npool_fields; i++) {
		const struct stats_field *f = &stats_pool_fields[i];
		for (p = 0; family_of(f) == k && p < npools; p++)
			fprintf(out, "%s{%s,%s=\"%s\"} %" PRIu64 "\n", name, pools[p].text,
			    families[k].label, f->name + n, pool_value(pools[p].pool, i));
	}
}

/* --- histograms ------------------------------------------------------------------------------- */

static void
put_histogram(FILE *out, const char *name, const struct labels *l, size_t i)
{
	uint64_t count = 0, sum = 0, bound = STATS_BUCKET_US;
	uint32_t w;
	int k;

	for (k = 0; k < STATS_BUCKETS; k++, bound *= 2) {
		for (w = 0; w < stats_workers(wk->stats); w++) {
			const struct stats_time *t =
			    (const void *)stats_times(wk->stats, l->pool, w);
			count += stats_get(&t[i].count[k]);
			if (k == 0)
				sum += stats_get(&t[i].sum_us);
		}
		if (k < STATS_BUCKETS - 1)
			fprintf(out, "%s_bucket{%s,le=\"%" PRIu64 ".%06" PRIu64 "\"} %" PRIu64 "\n",
			    name, l->text, bound / 1000000, bound % 1000000, count);
	}
	fprintf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, l->text, count);
	fprintf(out, "%s_sum{%s} %" PRIu64 ".%06" PRIu64 "\n", name, l->text, sum / 1000000,
	    sum % 1000000);
	fprintf(out, "%s_count{%s} %" PRIu64 "\n", name, l->text, count);
}

static void
put_histograms(FILE *out)
{
	char name[96];
	size_t i, p;

	for (i = 0; i < stats_ntime_fields; i++) {
		const struct stats_field *f = &stats_time_fields[i];
		snprintf(name, sizeof(name), "pgdrove_pool_%s_duration_seconds", f->name);
		fprintf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, f->help, name);
		for (p = 0; p < npools; p++)
			put_histogram(out, name, &pools[p], i);
	}
}

/* --- all of it -------------------------------------------------------------------------------- */

static void
put_instance(FILE *out)
{
	int64_t start = stats_start_time(wk->stats);

	fprintf(out,
	    "# HELP pgdrove_info The program\n# TYPE pgdrove_info gauge\n"
	    "pgdrove_info{version=\"%s\"} 1\n",
	    PGDROVE_VERSION);
	fprintf(out,
	    "# HELP pgdrove_state 1 starting, 2 serving, 3 stopping, 4 stopped\n"
	    "# TYPE pgdrove_state gauge\npgdrove_state %d\n",
	    (int)stats_state(wk->stats));
	fprintf(out,
	    "# HELP pgdrove_start_time_seconds When the instance was started, Unix time\n"
	    "# TYPE pgdrove_start_time_seconds gauge\npgdrove_start_time_seconds %" PRId64
	    ".%06" PRId64 "\n",
	    start / 1000000, start % 1000000);
	fprintf(out,
	    "# HELP pgdrove_pools Pools in use\n# TYPE pgdrove_pools gauge\n"
	    "pgdrove_pools %zu\n",
	    npools);
}

char *
metrics_text(size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);
	size_t k;

	if (out == NULL)
		return NULL;
	pools_take();
	put_instance(out);
	put_workers(out);
	put_pools(out);
	for (k = 0; k < FAMILIES; k++)
		put_family(out, k);
	put_histograms(out);
	pools_drop();
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/*
 * stat_json: every number of the segment as one JSON object, made from the field tables.
 *
 * Called by stat.c. Numbers are plain decimal integers; names are escaped byte by byte, and bytes
 * that are no valid UTF-8 become U+FFFD, so that the output is always JSON.
 */
#include "master/stat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/utf8.h"

static void
put_string(const char *text, FILE *out)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n;

	(void)fputc('"', out);
	while (*s != '\0') {
		n = utf8_length(s);
		if (n == 0) {
			(void)fputs("\\ufffd", out);
			s++;
		} else if (*s == '"' || *s == '\\') {
			(void)fprintf(out, "\\%c", *s++);
		} else if (*s < 0x20) {
			(void)fprintf(out, "\\u%04x", *s++);
		} else {
			(void)fwrite(s, 1, n, out);
			s += n;
		}
	}
	(void)fputc('"', out);
}

static void
put_pair(const char *key, const char *text, FILE *out)
{
	(void)fprintf(out, "\"%s\": ", key);
	put_string(text, out);
}

static void
put_head(const struct stat_view *v, FILE *out)
{
	(void)fputs("{\n  ", out);
	put_pair("segment", v->path, out);
	(void)fprintf(out, ",\n  \"layout\": %d,\n  ", STATS_VERSION);
	put_pair("health", stat_health_name(v->health), out);
	(void)fprintf(out, ",\n  \"state\": %d,\n  \"master\": {\"pid\": %d, ",
	    (int)stats_state(v->stats), (int)stats_master_pid(v->stats));
	put_pair("life", stat_life_name(v->master), out);
	(void)fprintf(out, ", \"heartbeat_us\": %" PRId64 "},\n", stats_master_heartbeat(v->stats));
	(void)fprintf(out, "  \"now_us\": %" PRId64 ",\n", v->now_us);
	(void)fprintf(out, "  \"start_time_us\": %" PRId64 ",\n", stats_start_time(v->stats));
	(void)fprintf(out, "  \"uptime_us\": %" PRId64 ",\n", v->uptime_us);
}

static void
put_worker(const struct stat_view *v, uint32_t w, FILE *out)
{
	size_t f;

	(void)fprintf(out, "%s\n    {\"worker\": %u, \"steward\": %s, ", w > 0 ? "," : "", w,
	    w + 1 == v->nchildren ? "true" : "false");
	put_pair("life", stat_life_name(v->lives[w]), out);
	for (f = 0; f < stats_nworker_fields; f++)
		(void)fprintf(out, ", \"%s\": %" PRIu64, stats_worker_fields[f].name,
		    stat_worker_value(v, w, f));
	(void)fputc('}', out);
}

static void
put_pool(const struct stat_view *v, uint32_t p, const char *db, const char *user, FILE *out)
{
	size_t f;

	(void)fprintf(out, "{\"pool\": %u, ", p);
	put_pair("database", db, out);
	(void)fputs(", ", out);
	put_pair("user", user, out);
	for (f = 0; f < stats_npool_fields; f++)
		(void)fprintf(
		    out, ", \"%s\": %" PRIu64, stats_pool_fields[f].name, stat_pool_value(v, p, f));
	(void)fputc('}', out);
}

void
stat_json(const struct stat_view *v, FILE *out)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	const char *comma = "";
	uint32_t w, p;

	put_head(v, out);
	(void)fputs("  \"workers\": [", out);
	for (w = 0; w < v->nchildren; w++)
		if (stat_worker_known(v, w))
			put_worker(v, w, out);
	(void)fputs("\n  ],\n  \"pools\": [", out);
	for (p = 0; p < stats_pools(v->stats); p++) {
		if (!stat_pool_named(v, p, db, user))
			continue;
		(void)fprintf(out, "%s\n    ", comma);
		put_pool(v, p, db, user, out);
		comma = ",";
	}
	(void)fprintf(out, "%s]\n}\n", comma[0] != '\0' ? "\n  " : "");
}

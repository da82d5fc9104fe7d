/*
 * slow: see slow.h. A backend keeps the beginning of the last text it was sent, in memory of its
 * own, from the first one on after the option was set. A text that speaks of a password is not
 * kept: secrets are never logged.
 */
#include "worker/slow.h"

#include <bsd/string.h>
#include <stdlib.h>
#include <string.h>

#include "conf/hint.h"
#include "worker/client.h"
#include "worker/loop.h"
#include "worker/objects.h"
#include "worker/worker.h"

#define TEXT_SIZE 256

COLD void
slow_keep(struct backend *b, const char *sql, size_t len)
{
	size_t n = len < TEXT_SIZE - 1 ? len : TEXT_SIZE - 1;

	if (b->sql == NULL && (b->sql = malloc(TEXT_SIZE)) == NULL)
		return;
	memcpy(b->sql, sql, n);
	b->sql[n] = '\0';
	if (strcasestr(b->sql, "password") != NULL)
		(void)strlcpy(b->sql, "(speaks of a password)", TEXT_SIZE);
}

static void
tell(const struct backend *b, const char *what, int64_t us, const char *sql)
{
	const struct log_pair pairs[] = {{"event", "slow", 0}, {"what", what, 0},
	    {"database", b->pool->db, 0}, {"user", b->pool->user, 0},
	    {"backend_pid", NULL, b->facts.pid}, {"duration_us", NULL, us},
	    {"sql", sql == NULL ? "" : sql, 0}, {NULL, NULL, 0}};

	log_pairs(pairs, "%s: slow %s: %lld.%03lld ms on backend pid %d%s%s",
	    client_name(b->client), what, (long long)(us / 1000), (long long)(us % 1000),
	    (int)b->facts.pid, sql == NULL ? "" : ": ", sql == NULL ? "" : sql);
}

COLD void
slow_look(struct backend *b, char status)
{
	const int64_t limit = wk->conf->log_min_duration_us, now = loop_now();

	if (b->client == NULL || b->own)
		return;
	if (now - b->query_us >= limit)
		tell(b, "query", now - b->query_us, b->sql);
	/* of one query only, the line above says all */
	if (status == 'I' && b->xact_us < b->query_us && now - b->xact_us >= limit)
		tell(b, "transaction", now - b->xact_us, NULL);
}

/*
 * console_statements: the prepared statements that follow clients in transaction and statement
 * mode, as this worker knows them, and as rows of SHOW STATEMENTS. See console_gather.h.
 *
 * A worker tells each statement once, with how many clients of its own have it by a name and on how
 * many of its backends it is prepared; the name on the servers is the same in all workers, so their
 * records are added up by it.
 */
#include <stdlib.h>
#include <string.h>
#include <bsd/string.h>

#include "worker/client.h"
#include "worker/console_gather.h"
#include "worker/console_sheet.h"
#include "worker/pool.h"
#include "worker/statements.h"

#define TEXT_MAX 1024

struct known {
	char name[STATEMENT_NAME_SIZE];
	uint32_t clients, servers;
	uint32_t len;	     /* of the text */
	char text[TEXT_MAX]; /* its beginning; "" = a backend's, of which no client here knows */
};

/* A name of a client's (`stmt`), or what a backend has. */
struct use {
	const uint8_t *digest;
	struct statement *stmt;
};

/* --- telling ---------------------------------------------------------------------------------- */

static void
add_use(struct gather_list *uses, const uint8_t *digest, struct statement *stmt)
{
	struct use *u = gather_add(uses, sizeof(*u));

	u->digest = digest;
	u->stmt = stmt;
}

static void
add_client(struct client *c, void *uses)
{
	const struct stmt_name *n;
	uint32_t i;

	for (i = 0; c->names != NULL && i < c->names->size; i++)
		for (n = c->names->buckets[i]; n != NULL; n = n->next)
			if (n->stmt != NULL) {
				(void)statement_name(n->stmt); /* makes the digest */
				add_use(uses, n->stmt->digest, n->stmt);
			}
}

static struct gather_list *collecting;

static void
add_backends(const struct backend_queue *queue)
{
	const struct backend *b;
	const struct prep *p;

	TAILQ_FOREACH (b, queue, list)
		TAILQ_FOREACH (p, &b->prepared.lru, lru)
			if (p->there)
				add_use(collecting, p->digest, NULL);
}

static void
add_pool(struct pool *p)
{
	add_backends(&p->idle);
	add_backends(&p->held);
}

static int
by_digest(const void *a, const void *b)
{
	return memcmp(
	    ((const struct use *)a)->digest, ((const struct use *)b)->digest, STATEMENT_DIGEST);
}

static void
count_use(struct known *k, const struct use *u)
{
	k->servers += u->stmt == NULL;
	k->clients += u->stmt != NULL;
	if (u->stmt == NULL || k->text[0] != '\0')
		return;
	(void)strlcpy(k->text, statement_text(u->stmt), sizeof(k->text));
	k->len = (uint32_t)strlen(statement_text(u->stmt));
}

static void
collect(struct gather_list *l)
{
	struct gather_list uses = {NULL, 0, 0};
	const struct use *u;
	struct known *k = NULL;
	size_t i;

	collecting = &uses;
	clients_each(add_client, &uses);
	pools_each(add_pool);
	collecting = NULL;
	if (uses.n > 0)
		qsort(uses.v, uses.n, sizeof(*u), by_digest);
	for (i = 0; i < uses.n; i++) {
		u = (const struct use *)uses.v + i;
		if (i == 0 || by_digest(u - 1, u) != 0) {
			k = gather_add(l, sizeof(*k));
			statement_digest_name(u->digest, k->name);
		}
		count_use(k, u);
	}
	free(uses.v);
}

/* --- rows ------------------------------------------------------------------------------------- */

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct known *)a)->name, ((const struct known *)b)->name);
}

static void
put_row(struct sheet *s, const struct known *k)
{
	sheet_text(s, k->name);
	sheet_number(s, k->clients);
	sheet_number(s, k->servers);
	sheet_number(s, k->len);
	sheet_text(s, k->text[0] == '\0' ? NULL : k->text);
}

/* Records of one name become one. */
static void
fill(struct gather_list *l, struct sheet *s, const char *show)
{
	struct known *k = l->v, *sum = k;
	size_t i;

	(void)show;
	if (l->n == 0)
		return;
	qsort(k, l->n, sizeof(*k), by_name);
	for (i = 1; i < l->n; i++) {
		if (strcmp(sum->name, k[i].name) != 0) {
			put_row(s, sum);
			sum = &k[i];
			continue;
		}
		sum->clients += k[i].clients;
		sum->servers += k[i].servers;
		if (sum->text[0] == '\0') {
			memcpy(sum->text, k[i].text, sizeof(sum->text));
			sum->len = k[i].len;
		}
	}
	put_row(s, sum);
}

const struct gather_kind gather_statements = {sizeof(struct known), collect, fill};

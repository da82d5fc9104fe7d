/*
 * statements_backend: which statements a backend has prepared. See statements.h.
 *
 * Kept by digest, so that what a handed-over backend has is known before this worker has seen the
 * texts. An entry that is not `there` is one whose Parse failed or that is being closed; it goes
 * when nothing is under way about it.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/log.h"
#include "proto/wire.h"
#include "worker/state.h"
#include "worker/statements.h"

#define BUCKETS 256U

void
prepared_init(struct prepared *p)
{
	memset(p, 0, sizeof(*p));
	TAILQ_INIT(&p->lru);
}

/* Digests are random enough to be their own hash. */
static struct prep **
bucket(struct prepared *p, const uint8_t *digest)
{
	return &p->buckets[digest[0] & (BUCKETS - 1)];
}

struct prep *
prep_find(struct prepared *p, const uint8_t *digest)
{
	struct prep *e;

	if (p->buckets == NULL)
		return NULL;
	for (e = *bucket(p, digest); e != NULL; e = e->next)
		if (memcmp(e->digest, digest, STATEMENT_DIGEST) == 0)
			return e;
	return NULL;
}

struct prep *
prep_add(struct prepared *p, const uint8_t *digest)
{
	struct prep *e = calloc(1, sizeof(*e)), **at;

	if (p->buckets == NULL)
		p->buckets = calloc(BUCKETS, sizeof(struct prep *));
	if (e == NULL || p->buckets == NULL)
		fatal("prepared statements");
	memcpy(e->digest, digest, STATEMENT_DIGEST);
	at = bucket(p, digest);
	e->next = *at;
	*at = e;
	TAILQ_INSERT_HEAD(&p->lru, e, lru);
	p->n++;
	return e;
}

void
prep_used(struct prepared *p, struct prep *e)
{
	if (e == TAILQ_FIRST(&p->lru))
		return;
	TAILQ_REMOVE(&p->lru, e, lru);
	TAILQ_INSERT_HEAD(&p->lru, e, lru);
}

void
prep_remove(struct prepared *p, struct prep *e)
{
	struct prep **at = bucket(p, e->digest);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	TAILQ_REMOVE(&p->lru, e, lru);
	p->n--;
	free(e);
}

struct prep *
prep_oldest(struct prepared *p)
{
	struct prep *e;

	TAILQ_FOREACH_REVERSE(e, &p->lru, prep_lru, lru)
	if (e->pending == 0)
		return e;
	return NULL;
}

void
prepared_clear(struct prepared *p)
{
	struct prep *e, *next;

	TAILQ_FOREACH_SAFE (e, &p->lru, lru, next)
		if (e->pending == 0)
			prep_remove(p, e);
}

void
prepared_fini(struct prepared *p)
{
	struct prep *e;

	while ((e = TAILQ_FIRST(&p->lru)) != NULL)
		prep_remove(p, e);
	free(p->buckets);
	p->buckets = NULL;
	prepared_unnamed(p, NULL);
}

void
prepared_unnamed(struct prepared *p, struct statement *s)
{
	if (s != NULL)
		statement_hold(s);
	statement_drop(p->unnamed);
	p->unnamed = s;
}

void
prepared_left(struct prepared *p)
{
	if (p->unnamed != NULL && p->unnamed->len > STATEMENT_LONG && p->unnamed_pending == 0)
		prepared_unnamed(p, NULL);
}

void
prepared_came(struct prepared *p, uint32_t group)
{
	p->tenure = group;
	if (p->unnamed_doubtful)
		prepared_unnamed(p, NULL);
	p->unnamed_doubtful = false;
}

void
prepared_drop_unnamed(struct prepared *p, uint32_t group)
{
	/* In the same group an error before it keeps it from being run. */
	p->unnamed_dropped = p->unnamed_dropped || group != p->unnamed_group;
	prepared_unnamed(p, NULL);
}

void
prep_name(const struct prep *e, char *out)
{
	statement_digest_name(e->digest, out);
}

void
prepared_taint(struct prepared *p, uint32_t group)
{
	struct prep *e;

	TAILQ_FOREACH (e, &p->lru, lru)
		if ((int32_t)(e->parsed - group) >= 0)
			e->tainted = true;
	p->unnamed_doubtful = true;
}

void
prepared_pack(const struct prepared *p, struct wire_out *w)
{
	const struct prep *e;

	TAILQ_FOREACH (e, &p->lru, lru) {
		wire_bytes(w, e->digest, STATEMENT_DIGEST);
		wire_byte(w, e->tainted);
		wire_int32(w, (uint32_t)(e->since >> 32));
		wire_int32(w, (uint32_t)e->since);
	}
}

bool
prepared_unpack(struct prepared *p, const uint8_t *bytes, size_t len)
{
	struct wire_in in;

	wire_read(&in, bytes, len);
	while (in.left > 0) {
		const uint8_t *digest = wire_get_bytes(&in, STATEMENT_DIGEST);
		bool tainted = wire_get_byte(&in) != 0;
		uint64_t since = (uint64_t)wire_get_int32(&in) << 32;
		struct prep *e;
		since |= wire_get_int32(&in);
		if (in.failed || prep_find(p, digest) != NULL)
			return false;
		e = prep_add(p, digest);
		TAILQ_REMOVE(&p->lru, e, lru); /* packed latest first */
		TAILQ_INSERT_TAIL(&p->lru, e, lru);
		e->there = true;
		e->tainted = tainted;
		e->since = since;
		e->parsed = UINT32_MAX; /* before the first group here */
	}
	return true;
}

uint64_t
ddl_generation(void)
{
	/* Later than all that a generation before us may have said (client_move.c). */
	uint64_t sum = (uint64_t)wk->boot->generation << 40;
	uint32_t w;

	for (w = 0; w < wk->boot->nworkers; w++)
		sum += stats_get(&stats_worker(wk->stats, w)->ddl_seen);
	return sum;
}

void
ddl_happened(void)
{
	stats_add(&wk->row->ddl_seen, 1);
}

/*
 * statements: the texts. See statements.h. Called by gate.c and statements_*.c.
 *
 * A hash table of reference-counted statements. Those nobody holds any more stay in a bounded list,
 * so that a client which prepares the same again and again costs no memory being made and freed;
 * the unnamed statement of the extended protocol is such a case. The table's hash is keyed, so that
 * nobody can choose texts that fall together; entries are compared as a whole. No memory is fatal:
 * the master starts a successor.
 */
#include "worker/statements.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/stdlib.h>

#include "conf/log.h"

#define SPARE_MAX   512	     /* statements nobody holds */
#define SPARE_BYTES 4194304U /* of text in them */
#define SPARE_LARGE 65536U   /* longer ones are not kept */

TAILQ_HEAD(spare_list, statement);

static struct {
	struct statement **buckets;
	size_t size, n; /* size is a power of two */
	uint64_t key[2];
	struct spare_list spare; /* latest first */
	size_t nspare, spare_bytes;
} store;

void
statements_init(void)
{
	if (store.buckets != NULL)
		return;
	store.size = 1024;
	store.buckets = calloc(store.size, sizeof(struct statement *));
	if (store.buckets == NULL)
		fatal("statements");
	arc4random_buf(store.key, sizeof(store.key));
	TAILQ_INIT(&store.spare);
}

static uint64_t
mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Of the body and of the settings' addresses: equal values have one address (params.h). */
static uint64_t
hash_of(const struct params *settings, const uint8_t *body, size_t len)
{
	uint64_t h = store.key[0] ^ len, word;
	int i;

	for (; len >= 8; body += 8, len -= 8) {
		memcpy(&word, body, 8);
		h = mix(h ^ word, store.key[1] | 1);
	}
	word = 0;
	memcpy(&word, body, len);
	h = mix(h ^ word, store.key[1] | 1);
	for (i = 0; i < PARAMS_N; i++)
		if (params_parses(i))
			h = mix(h ^ (uintptr_t)settings->v[i], store.key[1] | 1);
	return mix(h ^ (uintptr_t)settings->set, store.key[1] | 1);
}

bool
statement_fits(const struct statement *s, const struct params *settings)
{
	int i;

	for (i = 0; i < PARAMS_N; i++)
		if (params_parses(i) && s->settings.v[i] != settings->v[i])
			return false;
	return s->settings.set == settings->set;
}

static void
grow(void)
{
	size_t size = store.size * 2, i;
	struct statement **bigger = calloc(size, sizeof(struct statement *)), *s;

	if (bigger == NULL)
		return; /* slower, no less right */
	for (i = 0; i < store.size; i++) {
		while ((s = store.buckets[i]) != NULL) {
			store.buckets[i] = s->next;
			s->next = bigger[s->hash & (size - 1)];
			bigger[s->hash & (size - 1)] = s;
		}
	}
	free(store.buckets);
	store.buckets = bigger;
	store.size = size;
}

static struct statement *
find(uint64_t hash, const struct params *settings, const uint8_t *body, size_t len)
{
	struct statement *s;

	for (s = store.buckets[hash & (store.size - 1)]; s != NULL; s = s->next)
		if (s->hash == hash && s->len == len && statement_fits(s, settings) &&
		    memcmp(s->body, body, len) == 0)
			return s;
	return NULL;
}

static void
spare_remove(struct statement *s)
{
	TAILQ_REMOVE(&store.spare, s, spare);
	store.nspare--;
	store.spare_bytes -= s->len;
}

/* Where its body is to be: behind it as a copy, or where it is. */
static struct statement *
statement_new(const uint8_t *body, size_t len, void **memory)
{
	struct statement *s = calloc(1, sizeof(*s) + (*memory == NULL ? len : 0));

	if (s == NULL)
		fatal("statement");
	s->len = (uint32_t)len;
	s->body = *memory == NULL ? memcpy(s + 1, body, len) : body;
	s->memory = *memory;
	*memory = NULL;
	return s;
}

/* Its Parse takes a snapshot (PostgreSQL's analyze_requires_snapshot). That of CREATE TABLE AS
 * does, too, but it is not told from other CREATEs. */
static bool
looks_into_tables(enum sql_class first)
{
	switch ((int)first) {
	case SQL_SELECT:
	case SQL_WITH:
	case SQL_VALUES:
	case SQL_TABLE:
	case SQL_INSERT:
	case SQL_UPDATE:
	case SQL_DELETE:
	case SQL_MERGE:
	case SQL_DECLARE:
	case SQL_EXPLAIN:
		return true;
	default:
		return false;
	}
}

struct statement *
statement_get(const struct params *settings, const uint8_t *body, size_t len)
{
	void *memory = NULL;

	return statement_get_in(settings, body, len, &memory);
}

struct statement *
statement_get_in(const struct params *settings, const uint8_t *body, size_t len, void **memory)
{
	uint64_t hash = hash_of(settings, body, len);
	struct statement *s = find(hash, settings, body, len);
	enum sql_class first;
	int i;

	if (s != NULL) {
		statement_hold(s);
		return s;
	}
	s = statement_new(body, len, memory);
	s->hash = hash;
	s->refs = 1;
	s->forgets = sql_forgets((const char *)body, strnlen((const char *)body, len));
	for (i = 0; i < PARAMS_N; i++)
		if (params_parses(i))
			params_share(&s->settings, i, settings->v[i]);
	s->settings.set = gucs_hold(settings->set);
	s->note = session_note_of(settings, body, strnlen((const char *)body, len), &first);
	s->looks = looks_into_tables(first);
	s->sets_transaction = first == SQL_SET_TRANSACTION;
	if (store.n >= store.size)
		grow();
	s->next = store.buckets[hash & (store.size - 1)];
	store.buckets[hash & (store.size - 1)] = s;
	store.n++;
	return s;
}

void
statement_hold(struct statement *s)
{
	if (s->refs++ == 0)
		spare_remove(s);
}

static void
statement_free(struct statement *s)
{
	struct statement **at = &store.buckets[s->hash & (store.size - 1)];

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	store.n--;
	params_fini(&s->settings);
	session_note_free(s->note);
	free(s->memory);
	free(s->described.types);
	free(s);
}

void
statement_drop(struct statement *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	if (s->len > SPARE_LARGE) {
		statement_free(s);
		return;
	}
	TAILQ_INSERT_HEAD(&store.spare, s, spare);
	store.nspare++;
	store.spare_bytes += s->len;
	while (store.nspare > SPARE_MAX || store.spare_bytes > SPARE_BYTES) {
		s = TAILQ_LAST(&store.spare, spare_list);
		spare_remove(s);
		statement_free(s);
	}
}

void
description_set(struct description *d, const uint8_t *types, size_t len)
{
	free(d->types);
	d->types = malloc(len);
	if (d->types == NULL)
		fatal("statement");
	memcpy(d->types, types, len);
	d->len = (uint32_t)len;
	d->rows = true;
}

void
statement_described(
    struct statement *s, uint64_t pool, uint64_t since, const uint8_t *types, size_t len)
{
	struct description *d = &s->described;

	if (since == DDL_PRIVATE)
		return;
	if (d->types == NULL || d->lent || d->pool != pool || d->len != len ||
	    memcmp(d->types, types, len) != 0) {
		description_set(d, types, len);
		d->lent = false;
		d->pool = pool;
		d->from = d->to = since;
	}
	d->from = since < d->from ? since : d->from;
	d->to = since > d->to ? since : d->to;
	d->rows = true;
}

void
statement_described_as(struct statement *to, const struct statement *s)
{
	struct description *d = &to->described;

	if (d->types != NULL || s->described.types == NULL)
		return;
	*d = s->described;
	d->types = NULL;
	description_set(d, s->described.types, s->described.len);
	d->rows = s->described.rows;
	d->lent = true;
}

bool
statement_is_described(const struct statement *s, uint64_t pool, uint64_t since)
{
	const struct description *d = &s->described;

	return d->types != NULL && d->pool == pool && d->from <= since && since <= d->to;
}

const char *
statement_text(const struct statement *s)
{
	return (const char *)s->body;
}

void
statement_digest_name(const uint8_t *digest, char *out)
{
	static const char hex[] = "0123456789abcdef";
	size_t i, n = strlen(STATEMENT_PREFIX);

	memcpy(out, STATEMENT_PREFIX, n);
	for (i = 0; i < STATEMENT_DIGEST; i++) {
		out[n++] = hex[digest[i] >> 4];
		out[n++] = hex[digest[i] & 15];
	}
	out[n] = '\0';
}

/*
 * The name: hashed is what every worker knows alike, never an address. A strong hash, since two
 * clients whose statements fall together would run each other's.
 */
static void
make_name(struct statement *s)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t full[EVP_MAX_MD_SIZE];
	bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	size_t set_len;
	const char *set = gucs_bytes(s->settings.set, &set_len);
	int i;

	for (i = 0; i < PARAMS_N; i++) {
		const char *v = s->settings.v[i] == NULL ? "" : s->settings.v[i];
		ok = ok && EVP_DigestUpdate(md, v, strlen(v) + 1) == 1;
	}
	ok = ok && EVP_DigestUpdate(md, &set_len, sizeof(set_len)) == 1 &&
	     EVP_DigestUpdate(md, set_len == 0 ? "" : set, set_len) == 1;
	ok = ok && EVP_DigestUpdate(md, s->body, s->len) == 1 &&
	     EVP_DigestFinal_ex(md, full, NULL) == 1;
	EVP_MD_CTX_free(md);
	if (!ok)
		fatalx("SHA-256 is not to be had");
	memcpy(s->digest, full, sizeof(s->digest));
	statement_digest_name(s->digest, s->name);
	s->named = true;
}

const char *
statement_name(struct statement *s)
{
	if (!s->named)
		make_name(s);
	return s->name;
}

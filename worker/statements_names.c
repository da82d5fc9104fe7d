/*
 * statements_names: what a client calls its prepared statements. See statements.h.
 *
 * The names are PostgreSQL's: cut at 63 bytes as it does. An entry whose statement is NULL is one
 * that is being closed, or prepared without success so far; it goes when nothing is under way about
 * it. Requests under way hold their entry, which may outlive its client.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/log.h"
#include "worker/objects.h"
#include "worker/statements.h"

#define NAME_MAX_BYTES 63U /* NAMEDATALEN - 1 */
#define BUCKETS_FIRST  16U

bool
sql_forgets(const char *text, size_t len)
{
	const char *p, *end = text + len;

	for (p = text; end - p >= 7; p++)
		if ((*p | 32) == 'd' &&
		    (strncasecmp(p, "discard", 7) == 0 ||
			(end - p >= 10 && strncasecmp(p, "deallocate", 10) == 0)))
			return true;
	return false;
}

struct stmt_names *
names_of(struct client *c)
{
	if (c->names != NULL)
		return c->names;
	c->names = calloc(1, sizeof(*c->names));
	if (c->names == NULL)
		fatal("names of statements");
	return c->names;
}

static size_t
cut(size_t len)
{
	return len < NAME_MAX_BYTES ? len : NAME_MAX_BYTES;
}

static uint32_t
hash_of(const char *text, size_t len)
{
	uint32_t h = 2166136261U;
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ (uint8_t)text[i]) * 16777619U;
	return h;
}

struct stmt_name *
name_find(struct stmt_names *names, const char *text, size_t len)
{
	struct stmt_name *n;
	uint32_t hash;

	len = cut(len);
	if (names->size == 0)
		return NULL;
	hash = hash_of(text, len);
	for (n = names->buckets[hash & (names->size - 1)]; n != NULL; n = n->next)
		if (n->hash == hash && memcmp(n->text, text, len) == 0 && n->text[len] == '\0')
			return n;
	return NULL;
}

static void
grow(struct stmt_names *names)
{
	uint32_t size = names->size == 0 ? BUCKETS_FIRST : names->size * 2, i;
	struct stmt_name **bigger = calloc(size, sizeof(struct stmt_name *)), *n;

	if (bigger == NULL)
		fatal("names of statements");
	for (i = 0; i < names->size; i++) {
		while ((n = names->buckets[i]) != NULL) {
			names->buckets[i] = n->next;
			n->next = bigger[n->hash & (size - 1)];
			bigger[n->hash & (size - 1)] = n;
		}
	}
	free(names->buckets);
	names->buckets = bigger;
	names->size = size;
}

static struct stmt_name *
name_new(const char *text, size_t len)
{
	struct stmt_name *n = calloc(1, sizeof(*n) + NAME_MAX_BYTES + 1);

	if (n == NULL)
		fatal("name of a statement");
	n->refs = 1;
	memcpy(n->text, text, len);
	n->hash = hash_of(n->text, len);
	return n;
}

struct stmt_name *
name_add(struct stmt_names *names, const char *text, size_t len)
{
	struct stmt_name *n = name_new(text, cut(len));

	if (names->n >= names->size)
		grow(names);
	n->next = names->buckets[n->hash & (names->size - 1)];
	names->buckets[n->hash & (names->size - 1)] = n;
	names->n++;
	return n;
}

struct stmt_name *
name_unnamed(struct stmt_names *names)
{
	if (names->unnamed == NULL)
		names->unnamed = name_new("", 0);
	return names->unnamed;
}

static void
forget_told(struct stmt_name *n)
{
	if (n->told == NULL)
		return;
	statement_drop(n->told->of);
	free(n->told->description.types);
	free(n->told);
	n->told = NULL;
}

void
name_drop(struct stmt_name *n)
{
	if (--n->refs > 0)
		return;
	statement_drop(n->stmt);
	forget_told(n);
	free(n);
}

struct description *
name_told(const struct stmt_name *n, const struct statement *s)
{
	return n->told != NULL && n->told->of == s ? &n->told->description : NULL;
}

const struct description *
description_of(const struct statement *s, const struct stmt_name *n, uint64_t pool, uint64_t since)
{
	if (statement_is_described(s, pool, since))
		return &s->described;
	return n == NULL ? NULL : name_told(n, s);
}

void
name_described(struct stmt_name *n, struct statement *s, const uint8_t *types, size_t len)
{
	statement_hold(s);
	forget_told(n);
	n->told = calloc(1, sizeof(*n->told));
	if (n->told == NULL)
		fatal("statement");
	n->told->of = s;
	description_set(&n->told->description, types, len);
}

void
name_settled(struct client *c, struct stmt_name *n)
{
	struct stmt_name **at;

	if (n->pending > 0 || n->stmt != NULL || n == c->names->unnamed)
		return;
	at = &c->names->buckets[n->hash & (c->names->size - 1)];
	while (*at != NULL && *at != n)
		at = &(*at)->next;
	if (*at == NULL)
		return;
	*at = n->next;
	c->names->n--;
	name_drop(n);
}

void
names_clear(struct client *c)
{
	struct stmt_name *n, *next;
	uint32_t i;

	for (i = 0; c->names != NULL && i < c->names->size; i++) {
		for (n = c->names->buckets[i]; n != NULL; n = next) {
			next = n->next;
			if (n->pending > 0)
				continue;
			statement_drop(n->stmt);
			n->stmt = NULL;
			name_settled(c, n);
		}
	}
}

bool
names_own(const struct client *c)
{
	const struct stmt_name *n;
	uint32_t i;

	for (i = 0; c->names != NULL && i < c->names->size; i++)
		for (n = c->names->buckets[i]; n != NULL; n = n->next)
			if (n->own)
				return true;
	return false;
}

bool
names_listed_execute(const struct client *c)
{
	const struct stmt_name *n;
	uint32_t i;

	for (i = 0; c->names != NULL && i < c->names->size; i++)
		for (n = c->names->buckets[i]; n != NULL; n = n->next)
			if (n->listed && n->stmt != NULL && n->stmt->note != NULL &&
			    n->stmt->note->executes)
				return true;
	return false;
}

bool
names_listed(struct client *c, bool keep)
{
	struct stmt_name *n, *next;
	bool left = false;
	uint32_t i;

	for (i = 0; c->names != NULL && i < c->names->size; i++) {
		for (n = c->names->buckets[i]; n != NULL; n = next) {
			next = n->next;
			if (!n->own)
				continue;
			left = left || n->listed;
			n->own = keep;
			n->stand_in = keep && n->stand_in;
			if (n->listed) {
				n->listed = false;
				continue;
			}
			statement_drop(n->stmt);
			n->stmt = NULL;
			name_settled(c, n);
		}
	}
	return left;
}

void
names_free(struct client *c)
{
	struct stmt_names *names = c->names;
	struct stmt_name *n;
	uint32_t i;

	if (names == NULL)
		return;
	for (i = 0; i < names->size; i++) {
		while ((n = names->buckets[i]) != NULL) {
			names->buckets[i] = n->next;
			name_drop(n);
		}
	}
	free(names->buckets);
	if (names->unnamed != NULL)
		name_drop(names->unnamed);
	free(names);
	c->names = NULL;
}

/*
 * gucs: see gucs.h. A set is its own serial form, name\0value\0... in order of name, in a red-black
 * tree by those bytes. Changing one copies it: that is done when a client says SET, not per
 * transaction.
 */
#include "worker/gucs.h"

#include <stdlib.h>
#include <string.h>
#include <bsd/sys/tree.h>

#include "conf/log.h"

struct gucs {
	RB_ENTRY(gucs) entry;
	uint32_t refs;
	size_t len;
	char bytes[];
};

RB_HEAD(gucs_tree, gucs);

static struct gucs_tree sets = RB_INITIALIZER(&sets);

static int
gucs_cmp(const struct gucs *a, const struct gucs *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->bytes, b->bytes, a->len);
}

RB_PROTOTYPE(gucs_tree, gucs, entry, gucs_cmp)
RB_GENERATE(gucs_tree, gucs, entry, gucs_cmp)

static struct gucs *mutable(const struct gucs *g)
{
	return (struct gucs *)(uintptr_t)g;
}

const struct gucs *
gucs_hold(const struct gucs *g)
{
	if (g != NULL)
		mutable(g)->refs++;
	return g;
}

void
gucs_drop(const struct gucs *g)
{
	if (g == NULL || --mutable(g)->refs > 0)
		return;
	RB_REMOVE(gucs_tree, &sets, mutable(g));
	free(mutable(g));
}

static struct gucs *
gucs_new(size_t len)
{
	struct gucs *g = malloc(sizeof(*g) + len);

	if (g == NULL)
		fatal("settings");
	g->refs = 1;
	g->len = 0;
	return g;
}

static const struct gucs *
intern(struct gucs *g)
{
	struct gucs *old = g->len == 0 ? NULL : RB_INSERT(gucs_tree, &sets, g);

	if (g->len > 0 && old == NULL)
		return g;
	free(g);
	return gucs_hold(old);
}

static void
append(struct gucs *g, const char *text)
{
	size_t n = strlen(text) + 1;

	memcpy(g->bytes + g->len, text, n);
	g->len += n;
}

bool
gucs_next(const struct gucs *g, size_t *at, const char **name, const char **value)
{
	if (g == NULL || *at >= g->len)
		return false;
	*name = g->bytes + *at;
	*value = *name + strlen(*name) + 1;
	*at = (size_t)(*value - g->bytes) + strlen(*value) + 1;
	return true;
}

const char *
gucs_get(const struct gucs *g, const char *name)
{
	const char *n, *v;
	size_t at = 0;

	while (gucs_next(g, &at, &n, &v))
		if (strcmp(n, name) == 0)
			return v;
	return NULL;
}

const struct gucs *
gucs_put(const struct gucs *old, const char *name, const char *value)
{
	const char *had = gucs_get(old, name), *n, *v;
	size_t at = 0;
	struct gucs *g;

	if (had == NULL ? value == NULL : value != NULL && strcmp(had, value) == 0)
		return old;
	g = gucs_new(
	    (old == NULL ? 0 : old->len) + strlen(name) + (value == NULL ? 0 : strlen(value)) + 2);
	while (gucs_next(old, &at, &n, &v)) {
		int order = strcmp(n, name);
		if (order > 0 && value != NULL) {
			append(g, name);
			append(g, value);
			value = NULL;
		}
		if (order != 0) {
			append(g, n);
			append(g, v);
		}
	}
	if (value != NULL) {
		append(g, name);
		append(g, value);
	}
	gucs_drop(old);
	return intern(g);
}

const char *
gucs_bytes(const struct gucs *g, size_t *len)
{
	*len = g == NULL ? 0 : g->len;
	return g == NULL ? NULL : g->bytes;
}

bool
gucs_is_ascii(const struct gucs *g)
{
	size_t i;

	for (i = 0; g != NULL && i < g->len; i++)
		if (((unsigned char)g->bytes[i] & 0x80) != 0)
			return false;
	return true;
}

bool
gucs_of(const char *bytes, size_t len, const struct gucs **out)
{
	const char *last = NULL, *name, *value;
	size_t at = 0, i, ends = 0;
	struct gucs *g;

	for (i = 0; i < len; i++)
		ends += bytes[i] == '\0';
	if ((len > 0 && bytes[len - 1] != '\0') || ends % 2 != 0) /* whole pairs only */
		return false;
	g = gucs_new(len);
	memcpy(g->bytes, bytes, len);
	g->len = len;
	while (gucs_next(g, &at, &name, &value)) {
		if (last != NULL && strcmp(last, name) >= 0) {
			free(g);
			return false;
		}
		last = name;
	}
	*out = intern(g);
	return true;
}

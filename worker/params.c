/*
 * params: see params.h. The intern table is a red-black tree of reference-counted strings; its size
 * follows the number of different values in use.
 */
#include "worker/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <bsd/sys/tree.h>

#include "proto/wire.h"

static const char *const names[PARAMS_N] = {"client_encoding", "DateStyle", "TimeZone",
    "standard_conforming_strings", "application_name", "IntervalStyle"};

struct atom {
	RB_ENTRY(atom) entry;
	uint32_t refs;
	char text[];
};

RB_HEAD(atoms, atom);

static struct atoms atoms = RB_INITIALIZER(&atoms);

static const char *
atom_text(const struct atom *a)
{
	return a->text;
}

static int
atom_cmp(const struct atom *a, const struct atom *b)
{
	return strcmp(atom_text(a), atom_text(b));
}

RB_PROTOTYPE(atoms, atom, entry, atom_cmp)
RB_GENERATE(atoms, atom, entry, atom_cmp)

static struct atom *
atom_of(const char *text)
{
	return (struct atom *)(void *)((char *)(uintptr_t)text - offsetof(struct atom, text));
}

static const char *
intern(const char *text)
{
	size_t len = strlen(text) + 1;
	struct atom *a = malloc(sizeof(*a) + len), *old;

	if (a == NULL)
		return NULL;
	a->refs = 1;
	memcpy(a->text, text, len);
	old = RB_INSERT(atoms, &atoms, a);
	if (old == NULL)
		return a->text;
	free(a);
	old->refs++;
	return old->text;
}

static void
release(const char *text)
{
	struct atom *a;

	if (text == NULL)
		return;
	a = atom_of(text);
	if (--a->refs > 0)
		return;
	RB_REMOVE(atoms, &atoms, a);
	free(a);
}

int
params_index(const char *name)
{
	int i;

	for (i = 0; i < PARAMS_N; i++)
		if (strcasecmp(name, names[i]) == 0)
			return i;
	return -1;
}

const char *
params_name(int i)
{
	return names[i];
}

bool
params_set(struct params *p, int i, const char *value)
{
	const char *text;

	if (p->v[i] != NULL && strcmp(p->v[i], value) == 0)
		return true;
	text = intern(value);
	if (text == NULL)
		return false;
	release(p->v[i]);
	p->v[i] = text;
	return true;
}

bool
params_parses(int i)
{
	return i != 4; /* application_name */
}

void
params_share(struct params *dst, int i, const char *text)
{
	if (text != NULL)
		atom_of(text)->refs++;
	release(dst->v[i]);
	dst->v[i] = text;
}

void
params_default(struct params *dst, const struct params *src)
{
	int i;

	for (i = 0; i < PARAMS_N; i++)
		if (dst->v[i] == NULL)
			params_share(dst, i, src->v[i]);
}

void
params_copy(struct params *dst, const struct params *src)
{
	int i;

	for (i = 0; i < PARAMS_N; i++)
		params_share(dst, i, src->v[i]);
}

void
params_fini(struct params *p)
{
	int i;

	for (i = 0; i < PARAMS_N; i++)
		release(p->v[i]);
	memset(p, 0, sizeof(*p));
}

bool
params_match(const struct params *want, const struct params *have)
{
	int i;

	for (i = 0; i < PARAMS_N; i++)
		if (want->v[i] != NULL && want->v[i] != have->v[i])
			return false;
	return true;
}

char *
params_sql(const struct params *want, const struct params *have)
{
	size_t size = 1, len = 0;
	char *sql;
	int i;

	for (i = 0; i < PARAMS_N; i++)
		if (want->v[i] != NULL && want->v[i] != have->v[i])
			size += 4 * strlen(want->v[i]) + strlen(names[i]) + 16;
	sql = malloc(size);
	if (sql == NULL)
		return NULL;
	sql[0] = '\0';
	for (i = 0; i < PARAMS_N; i++) {
		if (want->v[i] == NULL || want->v[i] == have->v[i])
			continue;
		len += (size_t)snprintf(sql + len, size - len, "SET %s TO ", names[i]);
		len += wire_quote_literal(want->v[i], sql + len, size - len);
		len += (size_t)snprintf(sql + len, size - len, ";");
	}
	return sql;
}

void
params_pack(const struct params *p, struct wire_out *w)
{
	int i;

	for (i = 0; i < PARAMS_N; i++) {
		if (p->v[i] == NULL)
			continue;
		wire_string(w, names[i]);
		wire_string(w, p->v[i]);
	}
}

bool
params_unpack(struct params *p, const uint8_t *bytes, size_t len)
{
	struct wire_in in;

	wire_read(&in, bytes, len);
	while (in.left > 0) {
		const char *name = wire_get_string(&in), *value = wire_get_string(&in);
		int i = name == NULL || value == NULL ? -1 : params_index(name);
		if (i == -1 || !params_set(p, i, value))
			return false;
	}
	return true;
}

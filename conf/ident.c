/*
 * ident: see ident.h. Called by load.c, and by the workers when a rule names a map. Regular
 * expressions are POSIX extended ones; they match anywhere unless they say ^ and $, as in
 * PostgreSQL.
 */
#include "conf/ident.h"

#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/pattern.h"
#include "conf/tokens.h"

enum name_kind { NAME_EXACT, NAME_REGEX, NAME_ALL };

struct name {
	enum name_kind kind;
	char *text;
	regex_t regex;
};

struct entry {
	char *map;
	struct name system, user;
};

struct ident {
	struct entry *entries;
	size_t n;
};

static char *
copy(const char *text)
{
	char *s = strdup(text);

	if (s == NULL)
		fatal("configuration");
	return s;
}

/* NULL, or what is wrong with it. */
static const char *
name_init(struct name *n, const struct token *t, bool all)
{
	const char *wrong;
	bool regex = !t->quoted && t->text[0] == '/';

	n->kind = NAME_EXACT;
	n->text = copy(t->text);
	if (all && !t->quoted && strcmp(t->text, "all") == 0)
		n->kind = NAME_ALL;
	if (!regex)
		return NULL;
	wrong = pattern_compile(&n->regex, t->text + 1, 0);
	if (wrong == NULL)
		n->kind = NAME_REGEX;
	return wrong;
}

static void
name_fini(struct name *n)
{
	if (n->kind == NAME_REGEX)
		regfree(&n->regex);
	free(n->text);
}

static const char *
take_line(void *arg, const struct line *l)
{
	struct ident *x = arg;
	const char *wrong;
	struct entry *e;
	size_t i;

	if (l->n != 3)
		return "expected three fields: map, system name, user";
	for (i = 0; i < l->n; i++)
		if (l->v[i].n != 1)
			return "expected one name in each field";
	x->entries = reallocarray(x->entries, x->n + 1, sizeof(*x->entries));
	if (x->entries == NULL)
		fatal("configuration");
	e = &x->entries[x->n++];
	memset(e, 0, sizeof(*e));
	e->map = copy(l->v[0].v[0].text);
	wrong = name_init(&e->system, &l->v[1].v[0], false);
	if (wrong == NULL)
		wrong = name_init(&e->user, &l->v[2].v[0], true);
	if (wrong != NULL)
		return wrong;
	if (e->user.kind == NAME_EXACT && l->v[2].v[0].text[0] == '+' && !l->v[2].v[0].quoted)
		return "membership of a role (+role) cannot be known here";
	return NULL;
}

static struct ident *
ident_new(void)
{
	struct ident *x = calloc(1, sizeof(*x));

	if (x == NULL)
		fatal("configuration");
	return x;
}

struct ident *
ident_parse(const char *text, size_t len, const char *path, FILE *err)
{
	struct ident *x = ident_new();

	if (tokens_parse(text, len, path, NULL, err, take_line, x) == 0)
		return x;
	ident_free(x);
	return NULL;
}

struct ident *
ident_load(const char *path, struct files *files, FILE *err)
{
	struct ident *x = ident_new();

	if (tokens_load(path, files, err, take_line, x) == 0)
		return x;
	ident_free(x);
	return NULL;
}

void
ident_free(struct ident *x)
{
	if (x == NULL)
		return;
	while (x->n > 0) {
		struct entry *e = &x->entries[--x->n];
		free(e->map);
		name_fini(&e->system);
		name_fini(&e->user);
	}
	free(x->entries);
	free(x);
}

bool
ident_has(const struct ident *x, const char *map)
{
	size_t i;

	for (i = 0; i < x->n; i++)
		if (strcmp(x->entries[i].map, map) == 0)
			return true;
	return false;
}

/* --- matching --------------------------------------------------------------------------------- */

/* The user's pattern with \1 replaced by what the system name's first group has matched. False: it
 * is too long for a user. */
static bool
expand(const char *pattern, const char *system, const regmatch_t *group, char *out, size_t size)
{
	const char *at = strstr(pattern, "\\1");
	int len = group->rm_so == -1 ? 0 : (int)(group->rm_eo - group->rm_so), n;

	if (at == NULL)
		n = snprintf(out, size, "%s", pattern);
	else
		n = snprintf(out, size, "%.*s%.*s%s", (int)(at - pattern), pattern, len,
		    len == 0 ? "" : system + group->rm_so, at + 2);
	return n >= 0 && (size_t)n < size;
}

static bool
entry_allows(const struct entry *e, const char *system, const char *user)
{
	regmatch_t groups[2] = {{.rm_so = -1}, {.rm_so = -1}};
	char wanted[CONF_NAME_SIZE];

	if (e->system.kind == NAME_REGEX) {
		if (regexec(&e->system.regex, system, 2, groups, 0) != 0)
			return false;
	} else if (strcmp(e->system.text, system) != 0) {
		return false;
	}
	switch (e->user.kind) {
	case NAME_ALL:
		return true;
	case NAME_REGEX:
		return regexec(&e->user.regex, user, 0, NULL, 0) == 0;
	case NAME_EXACT:
		break;
	}
	if (e->system.kind != NAME_REGEX)
		return strcmp(e->user.text, user) == 0;
	return expand(e->user.text, system, &groups[1], wanted, sizeof(wanted)) &&
	       strcmp(wanted, user) == 0;
}

bool
ident_allows(const struct ident *x, const char *map, const char *system, const char *user)
{
	size_t i;

	for (i = 0; i < x->n; i++)
		if (strcmp(x->entries[i].map, map) == 0 &&
		    entry_allows(&x->entries[i], system, user))
			return true;
	return false;
}

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

#include "conf/log.h"
#include "proto/wire.h"

/* The order is params_spell's and params_parses' too. */
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
		if (((name[0] ^ names[i][0]) & 0x5f) == 0 && strcasecmp(name, names[i]) == 0)
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
	p->lasting &= (uint8_t) ~(1U << i);
	p->apart &= (uint8_t) ~(1U << i);
	return true;
}

void
params_begin(struct params *p)
{
	int i;

	for (i = 0; i < PARAMS_N; i++)
		if (p->v[i] != NULL)
			p->lasting |= (uint8_t)(1U << i);
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
	gucs_hold(src->set);
	gucs_drop(dst->set);
	dst->set = src->set;
	dst->tainted = src->tainted;
}

void
params_fini(struct params *p)
{
	int i;

	for (i = 0; i < PARAMS_N; i++)
		release(p->v[i]);
	gucs_drop(p->set);
	memset(p, 0, sizeof(*p));
}

/* --- DateStyle (PostgreSQL: check_datestyle): one word of style, one of order, in any order ------
 */

struct date_style {
	const char *style, *order;
};

/* False: no such word, or a second one of its kind. */
static bool
date_style_word(struct date_style *d, const char *w, size_t len)
{
	static const struct {
		const char *word;
		bool begins; /* a word that only begins so will do */
		const char *style, *order;
	} known[] = {{"iso", false, "ISO", NULL}, {"sql", false, "SQL", NULL},
	    {"german", false, "German", NULL}, {"postgres", true, "Postgres", NULL},
	    {"ymd", false, NULL, "YMD"}, {"dmy", false, NULL, "DMY"}, {"euro", true, NULL, "DMY"},
	    {"mdy", false, NULL, "MDY"}, {"us", false, NULL, "MDY"},
	    {"noneuro", true, NULL, "MDY"}};
	size_t i, n;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		n = strlen(known[i].word);
		if (strncasecmp(w, known[i].word, n) != 0 || len < n ||
		    (len > n && !known[i].begins))
			continue;
		if ((known[i].style != NULL ? d->style : d->order) != NULL)
			return false;
		if (known[i].style != NULL)
			d->style = known[i].style;
		else
			d->order = known[i].order;
		return true;
	}
	return false;
}

static bool
date_style_read(struct date_style *d, const char *text)
{
	static const char between[] = " \t\n\r\f\v";

	for (;;) {
		size_t len;
		text += strspn(text, between);
		len = strcspn(text, " \t\n\r\f\v,");
		if (!date_style_word(d, text, len))
			return false;
		text += len;
		text += strspn(text, between);
		if (*text == '\0')
			return true;
		if (*text++ != ',')
			return false;
	}
}

void
params_spell(struct params *p, const struct params *defaults)
{
	static const int datestyle = 1;
	struct date_style said = {NULL, NULL}, usual = {NULL, NULL};
	char text[32];

	if (p->v[datestyle] == NULL || defaults->v[datestyle] == NULL ||
	    !date_style_read(&said, p->v[datestyle]) ||
	    !date_style_read(&usual, defaults->v[datestyle]))
		return;
	if (said.style == NULL)
		said.style = usual.style;
	if (said.order == NULL)
		said.order = strcmp(said.style, "German") == 0 ? "DMY" : usual.order;
	if (said.style == NULL || said.order == NULL)
		return;
	snprintf(text, sizeof(text), "%s, %s", said.style, said.order);
	if (!params_set(p, datestyle, text))
		fatal("settings");
}

/* More may be set there than we know of, and not for this client. */
static bool
is_unsure(const struct params *want, const struct params *have)
{
	return have->tainted || (have->caller != 0 && have->caller != want->caller);
}

bool
params_match(const struct params *want, const struct params *have)
{
	return !is_unsure(want, have) && (want->apart & ~have->apart) == 0 &&
	       params_agree(want, have);
}

bool
params_agree(const struct params *want, const struct params *have)
{
	int i;

	if (want->set != have->set)
		return false;
	for (i = 0; i < PARAMS_N; i++)
		if (want->v[i] != NULL && want->v[i] != have->v[i])
			return false;
	return true;
}

void
params_put(struct params *p, const char *name, const char *value)
{
	p->set = gucs_put(p->set, name, value);
}

/* --- the query that makes one the other ------------------------------------------------------- */

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static const char *const identity[] = {"role", "session_authorization"};
#define IDENTITIES (sizeof(identity) / sizeof(identity[0]))

bool
params_is_identity(const char *name)
{
	size_t i;

	for (i = 0; i < IDENTITIES; i++)
		if (strcmp(name, identity[i]) == 0)
			return true;
	return false;
}

bool
params_has_identity(const struct gucs *g)
{
	size_t i;

	for (i = 0; i < IDENTITIES; i++)
		if (gucs_get(g, identity[i]) != NULL)
			return true;
	return false;
}

void
params_keep_identity(struct params *p, const struct gucs *was)
{
	size_t i;

	for (i = 0; i < IDENTITIES; i++)
		params_put(p, identity[i], gucs_get(was, identity[i]));
}

void
params_put_literal(FILE *f, const char *value)
{
	size_t size = 4 * strlen(value) + 4;
	char *text = malloc(size);

	if (text == NULL)
		fatal("settings");
	(void)wire_quote_literal(value, text, size);
	fputs(text, f);
	free(text);
}

static bool
is_ascii(const char *text)
{
	while (*text != '\0' && (unsigned char)*text < 0x80)
		text++;
	return *text == '\0';
}

/*
 * The whole query is read in the encoding that the backend has before it, which may be another
 * client's: what is not ASCII goes as the bytes of the encoding it has in this client's session.
 */
static void
put_text(FILE *f, const char *text, const char *encoding)
{
	const char *p;

	if (is_ascii(text) || encoding == NULL) {
		params_put_literal(f, text);
		return;
	}
	fputs("pg_catalog.convert_from(pg_catalog.decode('", f);
	for (p = text; *p != '\0'; p++)
		fprintf(f, "%02x", (unsigned char)*p);
	fputs("','hex'),", f);
	params_put_literal(f, encoding);
	fputc(')', f);
}

static void
put_call(FILE *f, const struct params *want, const char *name, const char *value, int *n)
{
	const char *encoding = want->v[params_index("client_encoding")];

	fputs((*n)++ == 0 ? "SELECT pg_catalog.set_config(" : ",pg_catalog.set_config(", f);
	put_text(f, name, encoding);
	fputc(',', f);
	put_text(f, value, encoding);
	fputs(",false)", f);
}

/* RESET a."b": names may be of any form. */
static void
put_reset(FILE *f, const char *name)
{
	fputs("RESET \"", f);
	for (; *name != '\0'; name++)
		fputs(*name == '.' ? "\".\"" : *name == '"' ? "\"\"" : (char[]){*name, '\0'}, f);
	fputs("\";", f);
}

/* The same bytes mean something else in another encoding. */
static bool
same_setting(const struct params *want, const struct params *have, const char *name)
{
	const char *value = gucs_get(want->set, name);
	int encoding = params_index("client_encoding");

	return same(value, gucs_get(have->set, name)) &&
	       (value == NULL || is_ascii(value) || want->v[encoding] == have->v[encoding]);
}

static bool
others_differ(const struct params *want, const struct params *have)
{
	const char *name, *value;
	size_t at = 0;

	while (gucs_next(want->set, &at, &name, &value))
		if (!params_is_identity(name) && !same_setting(want, have, name))
			return true;
	at = 0;
	while (gucs_next(have->set, &at, &name, &value))
		if (!params_is_identity(name) && gucs_get(want->set, name) == NULL)
			return true;
	return false;
}

/* Who one is goes and comes back: the role may not be allowed to change the others. */
static bool
identity_anew(const struct params *want, const struct params *have)
{
	return is_unsure(want, have) || !same_setting(want, have, "session_authorization") ||
	       (params_has_identity(have->set) && others_differ(want, have));
}

/* Who one is, first: whoever set the others may be somebody else. */
static void
put_resets(FILE *f, const struct params *want, const struct params *have, bool anew)
{
	const char *name, *value;
	size_t at = 0;

	if (is_unsure(want, have)) {
		fputs("RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;", f);
		return;
	}
	if (anew)
		fputs("RESET SESSION AUTHORIZATION;RESET ROLE;", f);
	else if (!same_setting(want, have, "role"))
		fputs("RESET ROLE;", f);
	while (gucs_next(have->set, &at, &name, &value))
		if (!params_is_identity(name) && gucs_get(want->set, name) == NULL)
			put_reset(f, name);
}

/* Does the backend have this value behind what put_resets has put, and in the way it is wanted? */
static bool
stands(const struct params *want, const struct params *have, int i)
{
	bool all = is_unsure(want, have), apart = !all && (have->apart >> i & 1) != 0;

	return want->v[i] == have->v[i] && (!all || (have->lasting >> i & 1) != 0) &&
	       (apart || (want->apart >> i & 1) == 0);
}

static void
put_sets(FILE *f, const struct params *want, const struct params *have)
{
	const char *name, *value;
	bool all = is_unsure(want, have);
	size_t at = 0;
	int n = 0, i;

	for (i = 0; i < PARAMS_N; i++) {
		if (want->v[i] == NULL || stands(want, have, i))
			continue;
		fprintf(f, "SET %s TO ", names[i]);
		params_put_literal(f, want->v[i]);
		fputc(';', f);
	}
	while (gucs_next(want->set, &at, &name, &value))
		if (!params_is_identity(name) && (all || !same_setting(want, have, name)))
			put_call(f, want, name, value, &n);
	if (n > 0)
		fputc(';', f);
}

static void
put_identity(FILE *f, const struct params *want, const struct params *have, bool anew)
{
	const char *as = gucs_get(want->set, "session_authorization");
	const char *role = gucs_get(want->set, "role");
	int n = 0;

	if (as != NULL && anew)
		put_call(f, want, "session_authorization", as, &n);
	if (n > 0)
		fputc(';', f);
	n = 0;
	if (role != NULL && (anew || !same_setting(want, have, "role")))
		put_call(f, want, "role", role, &n);
}

/* What another has left there by a right that this one lacks: RESET of it would be refused, RESET
 * ALL never is (and takes back what this one's functions have set). */
static bool
needs_reset_all(const struct params *want, const struct params *have)
{
	const char *name, *value;
	size_t at = 0;

	if (have->caller != 0 && have->caller == want->caller)
		return false;
	while (gucs_next(have->set, &at, &name, &value))
		if (!params_is_identity(name) && !gucs_anybody(name) &&
		    gucs_get(want->set, name) == NULL)
			return true;
	return false;
}

char *
params_sql(const struct params *want, const struct params *have)
{
	struct params known = *have; /* borrowed */
	char *sql = NULL;
	size_t len;
	FILE *f = open_memstream(&sql, &len);
	bool anew;

	if (f == NULL)
		fatal("settings");
	known.tainted = have->tainted || needs_reset_all(want, have);
	anew = identity_anew(want, &known);
	put_resets(f, want, &known, anew);
	put_sets(f, want, &known);
	put_identity(f, want, &known, anew);
	if (fclose(f) != 0)
		fatal("settings");
	return sql;
}

void
params_became(struct params *have, const struct params *want)
{
	gucs_hold(want->set);
	gucs_drop(have->set);
	have->set = want->set;
	have->tainted = false;
	have->apart = want->apart;
	if (have->caller != want->caller) /* what it calls now was sent behind it */
		have->caller = 0;
}

/* --- packed: tainted (bit 0) and lasting (the others), then the reported ones up to an empty name,
 * then the set -------------------------------------------------------------------------------- */

_Static_assert(PARAMS_N < 8, "lasting and tainted are one byte");

void
params_pack(const struct params *p, struct wire_out *w)
{
	size_t len;
	const char *set = gucs_bytes(p->set, &len);
	int i;

	wire_byte(w, (uint8_t)(p->lasting << 1 | (p->tainted || p->caller != 0)));
	for (i = 0; i < PARAMS_N; i++) {
		if (p->v[i] == NULL)
			continue;
		wire_string(w, names[i]);
		wire_string(w, p->v[i]);
	}
	wire_byte(w, 0);
	wire_bytes(w, set, len);
}

bool
params_unpack(struct params *p, const uint8_t *bytes, size_t len)
{
	struct wire_in in;
	const char *name;
	uint8_t first;

	wire_read(&in, bytes, len);
	first = wire_get_byte(&in);
	p->tainted = first & 1;
	while ((name = wire_get_string(&in)) != NULL && name[0] != '\0') {
		const char *value = wire_get_string(&in);
		int i = value == NULL ? -1 : params_index(name);
		if (i == -1 || !params_set(p, i, value))
			return false;
	}
	p->lasting = first >> 1;
	return name != NULL && gucs_of((const char *)in.p, in.left, &p->set);
}

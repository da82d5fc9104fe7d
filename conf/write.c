/*
 * write: a configuration as text that loads to an equal one; and what two of them differ in. Called
 * by the master, who publishes a checked configuration to its workers as text, and by
 * `pgdrove convert`.
 *
 * Only what is not as by default is written. Secrets are written in clear: mind where it goes.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/option.h"
#include "conf/tls.h"
#include "conf/units.h"

/* --- one option ------------------------------------------------------------------------------- */

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool
option_same(const struct option *o, const void *a, const void *b)
{
	const char *x = (const char *)a + o->offset, *y = (const char *)b + o->offset;

	switch (o->kind) {
	case OPTION_STRING:
	case OPTION_SECRET:
		return same_text(*(char *const *)(const void *)x, *(char *const *)(const void *)y);
	case OPTION_BOOL:
		return memcmp(x, y, sizeof(bool)) == 0;
	case OPTION_PORT:
		return memcmp(x, y, sizeof(uint16_t)) == 0;
	case OPTION_TIME:
	case OPTION_SIZE:
		return memcmp(x, y, sizeof(int64_t)) == 0;
	case OPTION_MODE:
	case OPTION_INT:
	case OPTION_ENUM:
		return memcmp(x, y, sizeof(int)) == 0;
	}
	return false;
}

bool
option_table_same(const struct option *table, const void *a, const void *b)
{
	while (table->name != NULL && option_same(table, a, b))
		table++;
	return table->name == NULL;
}

void
option_put_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text != '\0'; text++)
		if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else if ((unsigned char)*text < ' ')
			fprintf(out, "\\x%02x", (unsigned char)*text);
		else
			fputc(*text, out);
	fputc('"', out);
}

static void
put_word(FILE *out, const char *words, int n)
{
	while (n-- > 0) {
		words += strcspn(words, " ");
		words += *words == ' ';
	}
	fprintf(out, "\"%.*s\"", (int)strcspn(words, " "), words);
}

static void
put_value(FILE *out, const struct option *o, const void *at)
{
	char buf[UNITS_SIZE];

	switch (o->kind) {
	case OPTION_STRING:
	case OPTION_SECRET:
		option_put_text(out, *(char *const *)at);
		break;
	case OPTION_BOOL:
		fputs(*(const bool *)at ? "true" : "false", out);
		break;
	case OPTION_PORT:
		fprintf(out, "%u", *(const uint16_t *)at);
		break;
	case OPTION_MODE:
		fprintf(out, "\"%04o\"", *(const unsigned int *)at);
		break;
	case OPTION_TIME:
		fprintf(out, "\"%s\"", conf_format_time(buf, *(const int64_t *)at));
		break;
	case OPTION_SIZE:
		fprintf(out, "\"%s\"", conf_format_size(buf, *(const int64_t *)at));
		break;
	case OPTION_INT:
		fprintf(out, "%d", *(const int *)at);
		break;
	case OPTION_ENUM:
		put_word(out, o->words, *(const int *)at);
		break;
	}
}

/* Without its quotes. */
static void
put_bare(FILE *out, const struct option *o, const void *at)
{
	char buf[UNITS_SIZE];
	const char *words = o->words;
	int n;

	if (o->kind == OPTION_TIME) {
		fputs(conf_format_time(buf, *(const int64_t *)at), out);
	} else if (o->kind == OPTION_SIZE) {
		fputs(conf_format_size(buf, *(const int64_t *)at), out);
	} else {
		for (n = *(const int *)at; n > 0; n--) {
			words += strcspn(words, " ");
			words += *words == ' ';
		}
		fprintf(out, "%.*s", (int)strcspn(words, " "), words);
	}
}

static bool
is_absent(const struct option *o, const void *at)
{
	return (o->kind == OPTION_STRING || o->kind == OPTION_SECRET) && *(char *const *)at == NULL;
}

static void
show_value(const struct option *o, const void *base, char *text, size_t size)
{
	const void *at = (const char *)base + o->offset;
	FILE *out = fmemopen(text, size, "w");

	text[0] = '\0';
	if (out == NULL)
		return;
	if ((o->kind == OPTION_STRING || o->kind == OPTION_SECRET) && *(char *const *)at != NULL)
		fputs(o->kind == OPTION_SECRET ? "****" : *(char *const *)at, out);
	else if (o->kind == OPTION_ENUM || o->kind == OPTION_TIME || o->kind == OPTION_SIZE)
		put_bare(out, o, at);
	else if (o->kind != OPTION_STRING && o->kind != OPTION_SECRET)
		put_value(out, o, at);
	fclose(out);
	text[size - 1] = '\0';
}

void
option_show(const struct option *o, const struct conf *c, char *now, size_t now_size, char *def,
    size_t def_size)
{
	struct conf *plain = calloc(1, sizeof(*plain));

	if (plain == NULL)
		fatal("configuration");
	option_defaults(option_globals, plain);
	show_value(o, c, now, now_size);
	show_value(o, plain, def, def_size);
	option_free(option_globals, plain);
	free(plain);
}

/* What differs from the defaults, `before` and `after` each. */
static void
put_table(FILE *out, const struct option *table, const void *base, size_t size,
    const struct option *but, const char *before, const char *after)
{
	void *plain = calloc(1, size);
	const struct option *o;

	if (plain == NULL)
		fatal("configuration");
	option_defaults(table, plain);
	for (o = table; o->name != NULL; o++) {
		const void *at = (const char *)base + o->offset;
		if (o == but || option_same(o, base, plain) || is_absent(o, at))
			continue;
		fprintf(out, "%s%s = ", before, o->name);
		put_value(out, o, at);
		fputs(after, out);
	}
	option_free(table, plain);
	free(plain);
}

/* --- all of it -------------------------------------------------------------------------------- */

static void
put_list(FILE *out, const char *name, const struct option *members, const void *items, size_t size,
    size_t n)
{
	size_t i;

	fprintf(out, "%s = (", name);
	for (i = 0; i < n; i++) {
		fputs(i == 0 ? "\n  {" : ",\n  {", out);
		put_table(out, members, (const char *)items + i * size, size, NULL, " ", ";");
		fputs(" }", out);
	}
	fputs("\n);\n", out);
}

static int
write_all(const struct conf *c, const struct option *but, FILE *out)
{
	put_table(out, option_globals, c, sizeof(*c), but, "", ";\n");
	put_list(out, "listen", option_listen, c->listen, sizeof(*c->listen), c->nlisten);
	put_list(
	    out, "databases", option_database, c->databases, sizeof(*c->databases), c->ndatabases);
	put_list(out, "users", option_user, c->users, sizeof(*c->users), c->nusers);
	return fflush(out) == EOF || ferror(out) ? -1 : 0;
}

int
conf_write(const struct conf *c, FILE *out)
{
	return write_all(c, NULL, out);
}

void
conf_write_with(const struct conf *c, const struct option *o, const char *value, FILE *out)
{
	bool bare = o->kind == OPTION_INT || o->kind == OPTION_BOOL;

	if (bare && (value[0] == '\0' || strspn(value, "-0123456789") != strlen(value)) &&
	    strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		bare = false; /* it is refused with a better word as a text */
	fprintf(out, "%s = ", o->name);
	if (bare && o->kind == OPTION_BOOL && strspn(value, "01") == strlen(value))
		fputs(value[0] == '1' ? "true" : "false", out);
	else if (bare)
		fputs(value, out);
	else
		option_put_text(out, value);
	fputs(";\n", out);
	(void)write_all(c, o, out);
}

bool
conf_database_same(const struct conf_database *a, const struct conf_database *b)
{
	return option_table_same(option_database, a, b);
}

/* FNV-1a: it has to tell apart, not to withstand. */
static uint64_t
mix(uint64_t h, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	while (n-- > 0)
		h = (h ^ *p++) * 1099511628211ULL;
	return h;
}

uint64_t
conf_destination(const struct conf_database *d)
{
	const char *const texts[] = {d->host, d->ports, d->dbname, d->user, d->connect_query};
	uint64_t h = mix(14695981039346656037ULL, &d->port, sizeof(d->port));
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		h = texts[i] == NULL ? mix(h, "\1", 2) : mix(h, texts[i], strlen(texts[i]) + 1);
	if (d->tls != NULL)
		h = mix(h, d->tls->id, sizeof(d->tls->id));
	return h == 0 ? 1 : h;
}

struct conf_database *
conf_database_copy(const struct conf_database *d)
{
	struct conf_database *copy = malloc(sizeof(*copy));
	const struct option *o;

	if (copy == NULL)
		fatal("configuration");
	*copy = *d;
	copy->tls = tls_ctx_ref(d->tls);
	for (o = option_database; o->name != NULL; o++) {
		char **text = (char **)(void *)((char *)copy + o->offset);
		if (o->kind == OPTION_SECRET)
			*text = NULL;
		else if (o->kind == OPTION_STRING && *text != NULL)
			*text = option_copy(*text);
	}
	return copy;
}

void
conf_database_free(struct conf_database *d)
{
	option_free(option_database, d);
	tls_ctx_unref(d->tls);
	free(d);
}

/* --- what cannot change while we run ------------------------------------------------------------
 */

static void
take_over(const struct option *o, struct conf *to, const struct conf *from)
{
	char *x = (char *)to + o->offset;
	const char *y = (const char *)from + o->offset;

	if (o->kind == OPTION_STRING) {
		free(*(char **)(void *)x);
		*(char **)(void *)x = option_copy(*(char *const *)(const void *)y);
	} else {
		ENSURE(o->kind == OPTION_INT || o->kind == OPTION_SIZE);
		memcpy(x, y, o->kind == OPTION_INT ? sizeof(int) : sizeof(int64_t));
	}
}

/* What the shared memory and the process are made by. */
static const char *const fixed[] = {"max_workers", "user", "run_dir", "pid_file", "log_file",
    "max_client_conn", "max_backends", "max_pools", "pkt_buf", NULL};

bool
conf_has_option(const char *name)
{
	return option_find(option_globals, name) != NULL;
}

bool
conf_is_fixed(const char *name)
{
	const char *const *f;

	for (f = fixed; *f != NULL; f++)
		if (strcmp(*f, name) == 0)
			return true;
	return false;
}

void
conf_keep_fixed(struct conf *next, const struct conf *now, void (*tell)(const char *name))
{
	const char *const *name;

	for (name = fixed; *name != NULL; name++) {
		const struct option *o = option_find(option_globals, *name);
		ENSURE(o != NULL);
		if (option_same(o, next, now))
			continue;
		tell(*name);
		take_over(o, next, now);
	}
}

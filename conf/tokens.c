/*
 * tokens: see tokens.h. Called by hba.c and ident.c. A line lives during the call of fn; its tokens
 * point into one copy of the line's text, or of an @file's.
 */
#include "conf/tokens.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "conf/files.h"
#include "conf/log.h"

#define DEPTH_MAX 10

struct text {
	char *bytes;
	struct text *next;
};

/* A line being read. */
struct reader {
	const char *path;    /* of the file at the top */
	struct files *files; /* what @files are read through */
	struct line line;
	size_t tokens;
	struct text *texts; /* what the tokens point into */
	char wrong[160];    /* "" = nothing so far */
};

static void *
grow(void *v, size_t n, size_t size)
{
	/* a power of two at a time */
	if (n > 0 && (n & (n - 1)) != 0)
		return v;
	v = reallocarray(v, n == 0 ? 1 : 2 * n, size);
	if (v == NULL)
		fatal("configuration");
	return v;
}

static char *
keep_text(struct reader *r, const char *bytes, size_t len)
{
	struct text *t = malloc(sizeof(*t));

	if (t == NULL || (t->bytes = malloc(len + 1)) == NULL)
		fatal("configuration");
	memcpy(t->bytes, bytes, len);
	t->bytes[len] = '\0';
	t->next = r->texts;
	r->texts = t;
	return t->bytes;
}

static void
line_free(struct reader *r)
{
	struct text *t;

	while (r->line.n > 0)
		free(r->line.v[--r->line.n].v);
	free(r->line.v);
	r->line.v = NULL;
	r->tokens = 0;
	while ((t = r->texts) != NULL) {
		r->texts = t->next;
		free(t->bytes);
		free(t);
	}
}

static void
wrong(struct reader *r, const char *what, const char *which)
{
	if (r->wrong[0] == '\0')
		snprintf(r->wrong, sizeof(r->wrong), "%s%s", what, which);
}

/* --- files ------------------------------------------------------------------------------------ */

/* NAME relative to the directory of the file that names it; malloc'd. */
static char *
beside(const char *path, const char *name)
{
	char *copy = strdup(path), *out = NULL;

	if (copy == NULL || (name[0] == '/' ? asprintf(&out, "%s", name)
					    : asprintf(&out, "%s/%s", dirname(copy), name)) == -1)
		fatal("configuration");
	free(copy);
	return out;
}

/* --- tokens ----------------------------------------------------------------------------------- */

static void take_list(struct reader *, char **at, struct field *, const char *path, int depth);

static void
add_token(struct reader *r, struct field *f, char *text, bool quoted)
{
	if (++r->tokens > TOKENS_MAX) {
		wrong(r, "too many words in one line", "");
		return;
	}
	f->v = grow(f->v, f->n, sizeof(*f->v));
	f->v[f->n++] = (struct token){.text = text, .quoted = quoted};
}

/* Every token of the file becomes one of the field. */
static void
add_file(struct reader *r, struct field *f, const char *from, const char *name, int depth)
{
	const char *text;
	char *path, *at;
	size_t len;

	if (from == NULL || r->files == NULL || depth >= DEPTH_MAX) {
		wrong(r, "@ files are nested too deep: @", name);
		return;
	}
	path = beside(from, name);
	text = files_get(r->files, path, &len);
	if (text == NULL) {
		wrong(r, "cannot read @", name);
	} else if (memchr(text, '\0', len) != NULL) {
		wrong(r, "a zero byte in @", name);
	} else {
		at = keep_text(r, text, strlen(text));
		while (r->wrong[0] == '\0' && *(at += strspn(at, " \t\r\n,")) != '\0') {
			if (*at == '#')
				at += strcspn(at, "\n");
			else
				take_list(r, &at, f, path, depth + 1);
		}
	}
	free(path);
}

/* One token at *at, where something stands: ended in place. The character after it is returned,
 * since the end may be written over it. */
static char
take_token(struct reader *r, char **at, struct token *t)
{
	char *from = *at, *to = *at, end;
	bool in_quotes = false;

	t->text = to;
	t->quoted = *from == '"';
	for (; *from != '\0' && *from != '\n'; from++) {
		if (*from == '"' && in_quotes && from[1] == '"') {
			*to++ = '"';
			from++;
		} else if (*from == '"') {
			in_quotes = !in_quotes;
		} else if (!in_quotes && strchr(" \t\r,#", *from) != NULL) {
			break;
		} else {
			*to++ = *from;
		}
	}
	if (in_quotes)
		wrong(r, "a quote is not closed", "");
	end = *from;
	*at = from;
	*to = '\0';
	return end;
}

/* A list: tokens with commas between them, blanks allowed after a comma. In an @file, one may end a
 * line. */
static void
take_list(struct reader *r, char **at, struct field *f, const char *path, int depth)
{
	struct token t;
	char end;

	do {
		char *start = *at;
		end = take_token(r, at, &t);
		if (start == *at) { /* a comma where a word should be */
			wrong(r, "a word is missing before the comma", "");
			return;
		}
		if (end != '\0')
			(*at)++;
		if (!t.quoted && t.text[0] == '@' && t.text[1] != '\0')
			add_file(r, f, path, t.text + 1, depth);
		else
			add_token(r, f, t.text, t.quoted);
		if (end == '#') { /* the comment goes on */
			*at += strcspn(*at, "\n");
			return;
		}
		if (end == ',')
			*at += strspn(*at, " \t\r");
	} while (end == ',' && r->wrong[0] == '\0' && **at != '\0' && **at != '#' && **at != '\n');
	if (end == ',' && depth == 0 && r->wrong[0] == '\0')
		wrong(r, "a word is missing after the comma", "");
}

/* --- lines ------------------------------------------------------------------------------------ */

static void
take_fields(struct reader *r, char *at)
{
	while (r->wrong[0] == '\0' && *(at += strspn(at, " \t\r")) != '\0' && *at != '#') {
		r->line.v = grow(r->line.v, r->line.n, sizeof(*r->line.v));
		r->line.v[r->line.n++] = (struct field){.v = NULL};
		take_list(r, &at, &r->line.v[r->line.n - 1], r->path, 0);
		if (r->wrong[0] == '\0' && r->line.v[r->line.n - 1].n == 0)
			wrong(r, "an @ file names nobody", "");
	}
}

/* Joins lines that end in a backslash. Returns what follows; *lines says how many there were. */
static const char *
join_lines(const char *s, const char *end, char *out, size_t *len, int *lines)
{
	*len = 0;
	*lines = 0;
	while (s < end) {
		const char *nl = memchr(s, '\n', (size_t)(end - s));
		size_t n = (size_t)((nl == NULL ? end : nl) - s);
		size_t keep = n > 0 && s[n - 1] == '\r' ? n - 1 : n;
		bool on = keep > 0 && s[keep - 1] == '\\';
		memcpy(out + *len, s, keep - on);
		*len += keep - on;
		s += n + (nl != NULL);
		++*lines;
		if (!on)
			break;
	}
	return s;
}

static int
one_line(struct reader *r, const char *bytes, size_t len, FILE *err, tokens_fn *fn, void *arg)
{
	const char *bad;

	r->wrong[0] = '\0';
	if (memchr(bytes, '\0', len) != NULL)
		wrong(r, "a zero byte in the line", "");
	else
		take_fields(r, keep_text(r, bytes, len));
	bad = r->wrong[0] != '\0' ? r->wrong : r->line.n > 0 ? fn(arg, &r->line) : NULL;
	if (bad != NULL)
		fprintf(err, "%s:%d: %s\n", r->path == NULL ? "-" : r->path, r->line.number, bad);
	line_free(r);
	return bad != NULL;
}

int
tokens_parse(const char *text, size_t len, const char *path, struct files *files, FILE *err,
    tokens_fn *fn, void *arg)
{
	struct reader r = {.path = path, .files = files};
	const char *s = text, *end = text + len;
	char *joined = malloc(len + 1);
	int errors = 0, lines, number = 1;
	size_t n;

	if (joined == NULL)
		fatal("configuration");
	while (s < end) {
		s = join_lines(s, end, joined, &n, &lines);
		r.line.number = number;
		errors += one_line(&r, joined, n, err, fn, arg);
		number += lines;
	}
	free(joined);
	return errors;
}

int
tokens_load(const char *path, struct files *files, FILE *err, tokens_fn *fn, void *arg)
{
	size_t len;
	const char *text = files_get(files, path, &len);

	if (text == NULL) {
		fprintf(err, "%s:1: cannot read: %s\n", path, strerror(errno));
		return 1;
	}
	return tokens_parse(text, len, path, files, err, fn, arg);
}

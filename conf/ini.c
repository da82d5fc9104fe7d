/*
 * ini: see ini.h. Called by pgbouncer.c. Owns the text of one line at a time; what fn is given is
 * valid during the call only.
 */
#include "conf/ini.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/option.h"

#define INCLUDE_DEPTH 10

struct reader {
	const char *file;
	FILE *err;
	ini_fn *fn;
	void *arg;
	char *section;
	int line;
	int errors;
	int depth;
};

/* --- text ------------------------------------------------------------------------------------- */

/* Without the blanks around it; `text` is changed. */
static char *
trim(char *text)
{
	size_t n;

	while (isspace((unsigned char)*text))
		text++;
	n = strlen(text);
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	text[n] = '\0';
	return text;
}

static bool
says_nothing(const char *line)
{
	return *line == '\0' || *line == ';' || *line == '#';
}

static void
complain(struct reader *r, const char *what)
{
	fprintf(r->err, "%s:%d: %s\n", r->file, r->line, what);
	r->errors++;
}

/* Takes "a ""quoted"" text" or 'one' at *p and moves *p behind it; it is unquoted in place. NULL =
 * it does not end. */
static char *
take_quoted(char **p)
{
	char quote = **p, *to = *p, *text = *p, *from = *p + 1;

	for (; *from != '\0'; from++) {
		if (*from == quote && from[1] != quote) {
			*p = from + 1;
			*to = '\0';
			return text;
		}
		from += *from == quote;
		*to++ = *from;
	}
	return NULL;
}

/* A plain word at *p, ended by a blank or by `end`. Its end is not marked yet: the caller needs
 * what stands there. */
static size_t
word_length(const char *p, char end)
{
	size_t n = 0;

	while (p[n] != '\0' && p[n] != end && !isspace((unsigned char)p[n]))
		n++;
	return n;
}

/* --- lines ------------------------------------------------------------------------------------ */

static void read_file(struct reader *, const char *path);

static void
include(struct reader *r, const char *path)
{
	struct reader inner = *r;

	if (++inner.depth > INCLUDE_DEPTH) {
		complain(r, "%include is nested too deeply");
		return;
	}
	inner.errors = 0;
	read_file(&inner, path);
	r->errors += inner.errors;
	r->section = inner.section;
}

static void
set_section(struct reader *r, char *line)
{
	char *end = strchr(line, ']');

	if (end == NULL || *trim(end + 1) != '\0') {
		complain(r, "expected [section]");
		return;
	}
	*end = '\0';
	free(r->section);
	r->section = option_copy(trim(line + 1));
}

static void
read_pair(struct reader *r, char *line)
{
	char *key = line, *p = line, *value;

	if (*p == '"') {
		key = take_quoted(&p);
		if (key == NULL) {
			complain(r, "the quoted name does not end");
			return;
		}
		while (isspace((unsigned char)*p))
			p++;
	} else {
		p = strchr(p, '=');
	}
	if (p == NULL || *p != '=') {
		complain(r, "expected NAME = VALUE");
		return;
	}
	*p = '\0';
	value = trim(p + 1);
	if (r->section == NULL) {
		complain(r, "stands before the first [section]");
		return;
	}
	r->fn(r->arg, &(struct ini_item){
			  r->section, *line == '"' ? key : trim(key), value, r->file, r->line});
}

static void
read_line(struct reader *r, char *line)
{
	if (says_nothing(line))
		return;
	if (*line == '[')
		set_section(r, line);
	else if (strncmp(line, "%include", 8) == 0 && isspace((unsigned char)line[8]))
		include(r, trim(line + 8));
	else if (*line == '%')
		complain(r, "unknown directive; %include FILE is the only one");
	else
		read_pair(r, line);
}

static void
read_file(struct reader *r, const char *path)
{
	FILE *in = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (in == NULL) {
		if (r->file == NULL)
			fprintf(r->err, "%s: cannot read: %s\n", path, strerror(errno));
		else
			fprintf(r->err, "%s:%d: cannot read %s: %s\n", r->file, r->line, path,
			    strerror(errno));
		r->errors++;
		return;
	}
	r->file = path;
	for (r->line = 1; getline(&line, &size, in) != -1; r->line++)
		read_line(r, trim(line));
	if (ferror(in))
		complain(r, "cannot read on");
	free(line);
	fclose(in);
}

int
ini_load(const char *path, FILE *err, ini_fn *fn, void *arg)
{
	struct reader r = {.err = err, .fn = fn, .arg = arg};

	read_file(&r, path);
	free(r.section);
	return r.errors;
}

bool
ini_is(const char *path)
{
	FILE *in = fopen(path, "re");
	char *line = NULL;
	const char *text;
	size_t size = 0;
	bool is = false;
	struct stat st;

	if (in == NULL)
		return false;
	if (fstat(fileno(in), &st) == -1 || !S_ISREG(st.st_mode)) { /* a pipe is read once only */
		fclose(in);
		return false;
	}
	while (getline(&line, &size, in) != -1) {
		text = trim(line);
		if (says_nothing(text))
			continue;
		is = *text == '[' || strncmp(text, "%include", 8) == 0;
		break;
	}
	free(line);
	fclose(in);
	return is;
}

/* --- pairs within a value --------------------------------------------------------------------- */

/* The value at *p; NULL = a quote that does not end. */
static char *
take_value(char **p)
{
	char *text = *p;
	size_t n;

	if (*text == '\'')
		return take_quoted(p);
	n = word_length(text, '\0');
	*p += n;
	if (**p != '\0')
		*(*p)++ = '\0';
	return text;
}

int
ini_pairs(const struct ini_item *item, FILE *err, ini_fn *fn, void *arg)
{
	char *copy = option_copy(item->value), *p = copy;
	const char *wrong = NULL;

	while (wrong == NULL && *(p += strspn(p, " \t")) != '\0') {
		char *key = p, *end = p + word_length(p, '='), *value;
		p = end + strspn(end, " \t");
		if (*p != '=' || end == key) {
			wrong = "expected NAME=VALUE pairs separated by blanks";
			break;
		}
		p++;
		*end = '\0';
		p += strspn(p, " \t");
		value = take_value(&p);
		if (value == NULL)
			wrong = "a quoted value does not end";
		else
			fn(arg,
			    &(struct ini_item){item->section, key, value, item->file, item->line});
	}
	if (wrong != NULL)
		fprintf(err, "%s:%d: %s: %s\n", item->file, item->line, item->key, wrong);
	free(copy);
	return wrong != NULL;
}

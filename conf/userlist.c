/*
 * userlist: see userlist.h. Called by load.c, with the rest of the configuration.
 *
 * The file's bytes stay where they were read, in a vault; names and secrets are ended in place and
 * pointed to. 10,000 users take about 2 MB and a few milliseconds. Of two lines with one name the
 * last counts.
 */
#include "conf/userlist.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/files.h"
#include "conf/vault.h"

struct user {
	const char *name;
	const char *secret;
};

struct userlist {
	struct vault *vault;
	struct user *users;
	size_t n, room;
	uint32_t *index; /* by hash: number of the user + 1, 0 = nobody */
	size_t slots;	 /* a power of two, more than n */
};

/* --- look-up ---------------------------------------------------------------------------------- */

static size_t
hash_name(const char *name)
{
	uint64_t h = 14695981039346656037U; /* FNV-1a */

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 1099511628211U;
	return (size_t)(h ^ h >> 32);
}

/* Where the name stands, or would. */
static uint32_t *
find(const struct userlist *l, const char *name)
{
	size_t i = hash_name(name) & (l->slots - 1);

	while (l->index[i] != 0 && strcmp(l->users[l->index[i] - 1].name, name) != 0)
		i = (i + 1) & (l->slots - 1);
	return &l->index[i];
}

const char *
userlist_secret(const struct userlist *l, const char *user)
{
	uint32_t n = l->slots == 0 ? 0 : *find(l, user);

	return n == 0 ? NULL : l->users[n - 1].secret;
}

size_t
userlist_count(const struct userlist *l)
{
	return l->n;
}

void
userlist_kinds(const struct userlist *l, struct kinds *k)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		kinds_add(k, l->users[i].secret);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void
add(struct userlist *l, const char *name, const char *secret)
{
	uint32_t *at = find(l, name);

	if (*at == 0) {
		l->users[l->n].name = name;
		*at = (uint32_t)++l->n;
	}
	l->users[*at - 1].secret = secret;
}

static char *
skip_blanks(char *s)
{
	return s + strspn(s, " \t\r");
}

/* "text" at *s: ended in place, *s moved behind it. NULL if it is none. */
static char *
take_quoted(char **s)
{
	char *from = *s, *to, *start;

	if (*from != '"')
		return NULL;
	start = to = ++from;
	for (;;) {
		size_t n = strcspn(from, "\"");
		if (to != from)
			memmove(to, from, n);
		to += n;
		from += n;
		if (*from == '\0')
			return NULL;
		if (from[1] != '"')
			break;
		*to++ = '"';
		from += 2;
	}
	*s = from + 1;
	*to = '\0';
	return start;
}

/* NULL, or what is wrong with the line. */
static const char *
take_line(struct userlist *l, char *s)
{
	char *name, *secret;

	s = skip_blanks(s);
	if (*s == '\0' || *s == ';' || *s == '#')
		return NULL;
	name = take_quoted(&s);
	if (name == NULL)
		return "expected \"name\" \"secret\", both in double quotes";
	if (name[0] == '\0')
		return "the name is empty";
	if (strlen(name) >= CONF_NAME_SIZE)
		return "the name is longer than 63 bytes";
	s = skip_blanks(s);
	secret = take_quoted(&s);
	if (secret == NULL)
		return "expected a secret in double quotes after the name";
	add(l, name, secret);
	return NULL;
}

/* Room for as many users as there are lines. */
static void
make_room(struct userlist *l, const char *text, size_t len)
{
	const char *s = text, *end = text + len;
	size_t lines = 1;

	while (s < end && (s = memchr(s, '\n', (size_t)(end - s))) != NULL) {
		lines++;
		s++;
	}
	for (l->slots = 16; l->slots < 2 * lines;)
		l->slots *= 2;
	l->users = calloc(lines, sizeof(*l->users));
	l->index = calloc(l->slots, sizeof(*l->index));
	if (l->users == NULL || l->index == NULL)
		fatal("auth_file");
}

/* `text` is in the vault and has a zero byte behind it. Returns how many errors there were. */
static int
parse(struct userlist *l, char *text, size_t len, const char *path, FILE *err)
{
	char *s = text, *end = text + len;
	int line, errors = 0;

	make_room(l, text, len);
	for (line = 1; s < end; line++) {
		char *nl = memchr(s, '\n', (size_t)(end - s)), *stop = nl == NULL ? end : nl;
		const char *wrong;
		*stop = '\0';
		wrong = memchr(s, '\0', (size_t)(stop - s)) != NULL ? "a zero byte in the line"
								    : take_line(l, s);
		if (wrong != NULL) {
			fprintf(err, "%s:%d: auth_file: %s\n", path, line, wrong);
			errors++;
		}
		s = stop + 1;
	}
	return errors;
}

static struct userlist *
list_new(void)
{
	struct userlist *l = calloc(1, sizeof(*l));

	if (l == NULL)
		fatal("auth_file");
	l->vault = vault_new();
	return l;
}

struct userlist *
userlist_parse(const char *text, size_t len, const char *path, FILE *err)
{
	struct userlist *l = list_new();
	char *copy = vault_take(l->vault, len + 1);

	memcpy(copy, text, len);
	if (parse(l, copy, len, path, err) == 0)
		return l;
	userlist_free(l);
	return NULL;
}

struct userlist *
userlist_load(const char *path, struct files *files, FILE *err)
{
	size_t len;
	const char *text = files_get(files, path, &len);

	if (text != NULL)
		return userlist_parse(text, len, path, err);
	fprintf(err, "%s: auth_file: cannot read: %s\n", path, strerror(errno));
	return NULL;
}

void
userlist_free(struct userlist *l)
{
	if (l == NULL)
		return;
	vault_free(l->vault);
	free(l->users);
	free(l->index);
	free(l);
}

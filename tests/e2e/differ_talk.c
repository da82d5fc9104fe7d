/*
 * differ_talk: see differ.h. Text to messages, answers to text. Pure bookkeeping beside raw.c; a
 * line that is no message ends the program: it was made or kept wrong.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e/differ.h"

#define PATIENCE_MS    30000
#define LINE_MAX_BYTES 8192
#define VALUES_MAX     16
#define FIRST_OWN_OID  16384 /* objects below it are alike everywhere */

/* --- a line to a message ---------------------------------------------------------------------- */

struct line {
	char text[LINE_MAX_BYTES];
	char *rest; /* of what is not read yet */
};

static _Noreturn void
bad_line(const char *why, const char *line)
{
	printf("FAIL differ: %s: %s\n", why, line);
	exit(1);
}

/* Takes one line; blanks before it go, `@` and escapes are replaced, but not \s. NULL: no more. */
static const char *
line_read(struct line *l, const char *text, int slot)
{
	size_t n = 0;

	while (*text == ' ')
		text++;
	if (*text == '\0')
		return NULL;
	for (; *text != '\0' && *text != '\n'; text++) {
		if (n > sizeof(l->text) - 16)
			bad_line("too long", l->text);
		if (*text == '@')
			n += (size_t)snprintf(l->text + n, 16, "%d", slot);
		else if (text[0] == '\\' && text[1] == 'n')
			l->text[n++] = '\n', text++;
		else
			l->text[n++] = *text;
	}
	l->text[n] = '\0';
	l->rest = l->text + (n > 0) + (n > 1 && l->text[1] == ' ');
	return *text == '\n' ? text + 1 : text;
}

/* Blanks within words of a line are written \\s. */
static const char *
spaced(char *w)
{
	char *s;

	while ((s = strstr(w, "\\s")) != NULL) {
		*s = ' ';
		memmove(s + 1, s + 2, strlen(s + 2) + 1);
	}
	return w;
}

/* The next word, "" if there is none. */
static char *
word(struct line *l)
{
	char *w = l->rest;
	size_t n = strcspn(w, " ");

	l->rest = w + n + (w[n] == ' ');
	w[n] = '\0';
	return w;
}

static const char *
name(struct line *l)
{
	const char *w = word(l);

	return strcmp(w, "-") == 0 ? "" : w;
}

static int
number(struct line *l)
{
	return atoi(word(l));
}

/* Cuts a message that was begun at `start` (type and length word) to its length. */
static void
end_msg(struct bytes *b, size_t start)
{
	uint32_t len = htonl((uint32_t)(b->len - start - 1));

	memcpy(b->p + start + 1, &len, sizeof(len));
}

static void
put16(struct bytes *b, int v)
{
	uint8_t half[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	put(b, half, sizeof(half));
}

static void
put_hex(struct bytes *b, const char *hex)
{
	unsigned int byte;

	put32(b, (uint32_t)strlen(hex) / 2);
	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		put(b, &(uint8_t){(uint8_t)byte}, 1);
}

static void
put_big(struct bytes *b, size_t n)
{
	char *xs = malloc(n + 1);

	if (xs == NULL)
		abort();
	memset(xs, 'x', n);
	put32(b, (uint32_t)n);
	put(b, xs, n);
	free(xs);
}

static void
put_value(struct bytes *b, char *w)
{
	if (strcmp(w, "null") == 0) {
		put32(b, UINT32_MAX);
	} else if (strncmp(w, "x:", 2) == 0) {
		put_hex(b, w + 2);
	} else if (strncmp(w, "big:", 4) == 0) {
		put_big(b, (size_t)atol(w + 4));
	} else if (strncmp(w, "t:", 2) == 0) {
		(void)spaced(w);
		put32(b, (uint32_t)strlen(w + 2));
		put(b, w + 2, strlen(w + 2));
	} else {
		bad_line("no value", w);
	}
}

/* How many there are, then all that is left of the line. */
static void
put_values(struct bytes *b, struct line *l)
{
	size_t count_at = b->len;
	int n = 0;

	put16(b, 0);
	for (; *l->rest != '\0'; n++)
		put_value(b, word(l));
	b->p[count_at + 1] = (uint8_t)n;
}

static void
put_parse(struct bytes *b, struct line *l)
{
	const char *stmt = name(l), *oids = word(l);
	size_t start = b->len, count_at;
	int n = 0;

	put_msg(b, 'P', "ss", stmt, l->rest);
	count_at = b->len;
	put16(b, 0);
	for (; oids != NULL && *oids != '-'; n++) {
		put32(b, (uint32_t)atoi(oids));
		oids = strchr(oids, ',');
		if (oids != NULL)
			oids++;
		else
			oids = "-";
	}
	b->p[count_at + 1] = (uint8_t)n;
	end_msg(b, start);
}

static void
put_bind(struct bytes *b, struct line *l)
{
	const char *portal = name(l), *stmt = name(l);
	int pf = number(l), rf = number(l);
	size_t start = b->len;

	put_msg(b, 'B', "sshh", portal, stmt, 1, pf);
	put_values(b, l);
	put16(b, 1);
	put16(b, rf);
	end_msg(b, start);
}

static void
put_call(struct bytes *b, struct line *l)
{
	size_t start = b->len;
	int oid = number(l), rf = number(l);

	put_msg(b, 'F', "ihh", oid, 1, 0);
	put_values(b, l);
	put16(b, rf);
	end_msg(b, start);
}

static void
put_line(struct bytes *b, struct line *l)
{
	char type = l->text[0], *w;

	switch (type) {
	case 'Q':
		put_msg(b, type, "s", l->rest);
		break;
	case 'P':
		put_parse(b, l);
		break;
	case 'B':
		put_bind(b, l);
		break;
	case 'D':
	case 'C':
		w = word(l);
		put_msg(b, type, "bs", w[0], name(l));
		break;
	case 'E':
		w = word(l);
		put_msg(b, type, "si", strcmp(w, "-") == 0 ? "" : w, number(l));
		break;
	case 'F':
		put_call(b, l);
		break;
	case 'd':
		put_msg(b, type, "tb", l->rest, '\n');
		break;
	case 'f':
		put_msg(b, type, "s", l->rest);
		break;
	case 'c':
	case 'S':
	case 'H':
		put_msg(b, type, "");
		break;
	default:
		bad_line("no message", l->text);
	}
}

#define MARK "ZIZIZIZ" /* what answers a Sync and three empty Queries */

/* --- steps ------------------------------------------------------------------------------------ */

/* What is sent in one go, and how the end of its answers is known. */
struct stage {
	struct bytes send;
	enum {
		UNTIL_READY, /* as many ReadyForQuery as `count` */
		UNTIL_MARK,  /* not foreseeable: Sync and empty Queries follow */
		UNTIL_COPY,  /* CopyInResponse or what stands for it */
		UNTIL_FLUSH  /* the answer to the last message before Flush */
	} until;
	int count;
	int sent[128]; /* messages since the last Sync, by type */
	char last;     /* the last message but for Flush */
	bool open;     /* messages of the extended protocol without a Sync yet */
};

static void
stage_add(struct stage *st, struct line *l)
{
	char type = l->text[0];

	put_line(&st->send, l);
	if (strchr("dcf", type) != NULL || (st->open && (type == 'Q' || type == 'F')))
		st->until = UNTIL_MARK;
	st->count += type == 'S' || type == 'Q' || type == 'F';
	if (type == 'S')
		memset(st->sent, 0, sizeof(st->sent));
	st->sent[(int)type]++;
	st->open = type != 'S' && (st->open || strchr("PBDECH", type) != NULL);
	if (type != 'H')
		st->last = type;
}

/* The step is whole; `end` is what stands behind its `>`. */
static void
stage_end(struct stage *st, char end)
{
	int i;

	if (end == 'G')
		st->until = UNTIL_COPY;
	else if (st->open && st->send.p[st->send.len - 5] == 'H' && st->until == UNTIL_READY)
		st->until = UNTIL_FLUSH;
	else if (st->open)
		st->until = UNTIL_MARK;
	if (st->until == UNTIL_MARK) {
		put_msg(&st->send, 'S', "");
		for (i = 0; i < 3; i++)
			put_msg(&st->send, 'Q', "s", "");
		st->open = false;
	}
}

/* Reads one step of the text. NULL: there is none. */
static const char *
stage_read(struct stage *st, const char *text, int slot)
{
	struct line l;
	const char *next;
	char end = '\0';

	st->send.len = 0;
	st->count = 0;
	st->until = UNTIL_READY;
	memset(st->sent, 0, sizeof(st->sent));
	while ((next = line_read(&l, text, slot)) != NULL) {
		text = next;
		if (l.text[0] == '>' && st->send.len > 0) {
			end = l.text[1];
			break;
		}
		if (strchr("U#>", l.text[0]) == NULL)
			stage_add(st, &l);
	}
	if (st->send.len == 0)
		return NULL;
	stage_end(st, end);
	return text;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Short ones in full, long ones by length and hash. */
static void
note_bytes(struct bytes *out, const uint8_t *p, size_t len)
{
	uint64_t hash = 14695981039346656037U;
	size_t i, shown = len < 400 ? len : 60;

	for (i = 0; i < shown; i++)
		if (isgraph(p[i]) || p[i] == ' ')
			put(out, p + i, 1);
		else
			note(out, "\\%02x", p[i]);
	if (shown == len)
		return;
	for (i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 1099511628211U;
	note(out, "... %zu bytes, hash %016llx", len, (unsigned long long)hash);
}

/* All but the place in the server's source. */
static void
note_error(struct bytes *out, const struct msg *m)
{
	const uint8_t *p = m->body, *end = p + m->len;

	while (p < end && *p != 0) {
		const uint8_t *nul = memchr(p, 0, (size_t)(end - p));
		if (nul == NULL)
			break;
		if (strchr("FLR", *p) == NULL) {
			note_bytes(out, p, (size_t)(nul - p));
			put(out, "|", 1);
		}
		p = nul + 1;
	}
}

/* Object ids of what the conversation made are told by their order of appearance only. */
struct oids {
	uint32_t seen[32];
	int n;
};

static void
hide_oid(struct oids *o, uint8_t *p)
{
	uint32_t oid;
	int i;

	memcpy(&oid, p, 4);
	if (ntohl(oid) < FIRST_OWN_OID)
		return;
	for (i = 0; i < o->n && o->seen[i] != oid; i++)
		;
	if (i == o->n && o->n < 32)
		o->seen[o->n++] = oid;
	p[0] = 'O';
	p[1] = (uint8_t)i;
	p[2] = p[3] = 0;
}

static void
note_columns(struct bytes *out, const struct msg *m, struct oids *o)
{
	uint8_t copy[4096];
	size_t at = 2;

	if (m->len > sizeof(copy)) {
		note_bytes(out, m->body, m->len);
		return;
	}
	memcpy(copy, m->body, m->len);
	while (at < m->len) {
		at += strlen((char *)copy + at) + 1;
		hide_oid(o, copy + at);
		at += 18;
	}
	note_bytes(out, copy, m->len);
}

/* Settings that are reported together come in an order that tells of the server's past: the last
 * line moves up to its place among them. */
static void
sort_report(struct bytes *out, size_t at)
{
	size_t len = out->len - at, before, name; /* up to the end of its name */
	uint8_t *line = malloc(len);

	if (line == NULL)
		abort();
	memcpy(line, out->p + at, len);
	name = (size_t)((uint8_t *)memchr(line, '\\', len) - line);
	while (at > 0) {
		for (before = at - 1; before > 0 && out->p[before - 1] != '\n'; before--)
			;
		if (memcmp(out->p + before, "S ", 2) != 0 ||
		    memcmp(out->p + before, line, name + 1) <= 0)
			break; /* of one setting, the last is what it has */
		memmove(out->p + before + len, out->p + before, at - before);
		memcpy(out->p + before, line, len);
		at = before;
	}
	free(line);
}

static void
note_answer(struct bytes *out, const struct msg *m, struct oids *o)
{
	size_t at = out->len;

	put(out, &m->type, 1);
	put(out, " ", 1);
	if (m->type == 'E' || m->type == 'N')
		note_error(out, m);
	else if (m->type == 'T')
		note_columns(out, m, o);
	else if (m->type == 'A')
		note_bytes(out, m->body + 4, m->len - 4);
	else
		note_bytes(out, m->body, m->len);
	put(out, "\n", 1);
	if (m->type == 'S')
		sort_report(out, at);
}

/* What has come of one step's answers. */
struct heard {
	int of[128];		     /* how many of each type */
	char last[sizeof(MARK) - 1]; /* types, without what may come at any time */
	bool skipping; /* an error: nothing more comes before the next ReadyForQuery */
};

static bool
flush_answered(const struct stage *st, const struct heard *h)
{
	int n = st->sent[(int)st->last];

	switch (st->last) {
	case 'P':
		return h->of['1'] >= n;
	case 'B':
		return h->of['2'] >= n;
	case 'C':
		return h->of['3'] >= n;
	case 'D':
		return h->of['T'] + h->of['n'] >= n;
	default:
		return h->of['C'] + h->of['s'] + h->of['I'] + h->of['G'] >= n;
	}
}

static bool
stage_answered(const struct stage *st, const struct heard *h)
{
	switch (st->until) {
	case UNTIL_MARK:
		return memcmp(h->last, MARK, sizeof(h->last)) == 0;
	case UNTIL_COPY:
		return h->skipping || h->of['G'] + h->of['Z'] > 0;
	case UNTIL_FLUSH:
		return h->of['Z'] >= st->count && (h->skipping || flush_answered(st, h));
	case UNTIL_READY:
		break;
	}
	return h->of['Z'] >= st->count;
}

static void
hear(struct heard *h, char type)
{
	h->of[(int)type & 127]++;
	if (type == 'Z') {
		h->skipping = false;
		h->of['1'] = h->of['2'] = h->of['3'] = h->of['T'] = h->of['n'] = h->of['C'] = 0;
		h->of['s'] = h->of['I'] = 0;
	} else if (type == 'E') {
		h->skipping = true;
	}
	if (strchr("SNA", type) == NULL) {
		memmove(h->last, h->last + 1, sizeof(h->last) - 1);
		h->last[sizeof(h->last) - 1] = type;
	}
}

/* Reads the answers of one step. False: the connection is of no use any more, which is noted. */
static bool
stage_answers(
    struct raw *r, struct bytes *out, const struct stage *st, struct oids *o, struct heard *h)
{
	struct msg m;

	while (!stage_answered(st, h)) {
		if (!raw_heard(r, &m, out, PATIENCE_MS))
			return false;
		note_answer(out, &m, o);
		hear(h, m.type);
	}
	return true;
}

bool
differ_talk(const char *text, int slot, struct raw *r, struct bytes *out)
{
	struct stage st = {0};
	struct oids oids = {0};
	struct heard h = {0};
	bool alive = true;

	while (alive && (text = stage_read(&st, text, slot)) != NULL) {
		h = (struct heard){.skipping = h.skipping};
		(void)raw_send(r, st.send.p, st.send.len);
		alive = stage_answers(r, out, &st, &oids, &h);
		note(out, ">\n");
	}
	if (alive && r->in.len != r->at) {
		note(out, "-- more came than expected\n");
		alive = false;
	}
	bytes_free(&st.send);
	return alive;
}

void
differ_babble(const char *text, int slot, struct raw *r, size_t limit)
{
	struct stage st = {0};

	while (limit > 0 && (text = stage_read(&st, text, slot)) != NULL) {
		size_t n = st.send.len < limit ? st.send.len : limit;
		if (!raw_send(r, st.send.p, n))
			break;
		limit -= n;
	}
	bytes_free(&st.send);
}

static void
put_login(struct bytes *b, const char *text, const struct target *t)
{
	struct bytes pairs = {0};
	struct line l;
	const char *parts[] = {"user", t->user, "database", t->db};
	size_t i;
	const char *w;

	for (i = 0; i < 4; i++)
		put(&pairs, parts[i], strlen(parts[i]) + 1);
	if (text[0] == 'U') {
		(void)line_read(&l, text, 0);
		while (*(w = spaced(word(&l))) != '\0')
			put(&pairs, w, strlen(w) + 1);
	}
	put(&pairs, "", 1);
	put_msg(b, 0, "ir", 196608, pairs.p, pairs.len);
	bytes_free(&pairs);
}

bool
differ_login(const char *text, const struct target *t, struct raw *r, struct bytes *out)
{
	struct bytes b = {0};
	struct oids none = {0};
	struct msg m = {0};
	bool told = text[0] == 'U';

	if (!raw_open(r, t)) {
		note(out, "-- no connection\n");
		return false;
	}
	put_login(&b, text, t);
	(void)raw_put(r, &b);
	bytes_free(&b);
	while (raw_next(r, &m, PATIENCE_MS) == RAW_MSG && m.type != 'Z')
		if (m.type == 'E' || (told && m.type == 'S'))
			note_answer(out, &m, &none);
	if (m.type != 'Z')
		note(out, "-- no login\n");
	return m.type == 'Z';
}

/*
 * sql_plain: the short cut before the scanner, for the texts that most clients send all day: one
 * SELECT, UPDATE or DELETE that calls nothing. It says no on any doubt: brackets (functions), a
 * semicolon before the end, and what makes an ordinary statement do something to its session:
 * SELECT INTO may make a temporary table, pg_settings can be updated.
 *
 * These are looked for everywhere, in strings, comments and names too: how the text is quoted can
 * hide them from PostgreSQL, never from us. (All of them are below 0x40 or words of ASCII, so that
 * no encoding's second byte is one. A name's Unicode escapes begin with U&: the & is doubt enough.)
 *
 * 16 bytes at a time, by vectors of GNU C, whose comparisons give 0 or 255 in each place. The
 * scanner takes fifty times as many instructions.
 */
#include "proto/sql.h"

#include <string.h>

#define BLOCK 16U
/* A word that ends in a block may begin so much before it: INTO. */
#define BEFORE 3U

typedef uint8_t block __attribute__((vector_size(BLOCK)));

static block
all(uint8_t c)
{
	return (block){c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c};
}

static block
load(const uint8_t *p)
{
	block v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static bool
any(block v)
{
	uint64_t half[2];

	memcpy(half, &v, sizeof(half));
	return (half[0] | half[1]) != 0;
}

static block
is(block v, uint8_t c)
{
	return (block)(v == all(c));
}

/* What ends in a block; BEFORE bytes before it can be read. */
static inline __attribute__((always_inline)) block
doubts(const uint8_t *p)
{
	const block case_bit = all(0x20);
	block v = load(p), l0 = v | case_bit, l1 = load(p - 1) | case_bit;
	block l2 = load(p - 2) | case_bit, l3 = load(p - 3) | case_bit;
	block into = is(l3, 'i') & is(l2, 'n') & is(l1, 't') & is(l0, 'o');
	block pg = is(l2, 'p') & is(l1, 'g') & is(v, '_');

	return into | pg | is(v, '(') | is(v, ';') | is(v, '&');
}

/* Without white space and a semicolon at its end. */
static const uint8_t *
text_end(const uint8_t *p, const uint8_t *end)
{
	while (end > p && (end[-1] == ' ' || end[-1] == '\n'))
		end--;
	return end > p && end[-1] == ';' ? end - 1 : end;
}

/* Either case. */
static bool
begins(const uint8_t *p, const char *word)
{
	uint64_t text, wanted, bits = 0x2020202020202020U;

	memcpy(&text, p, sizeof(text));
	memcpy(&wanted, word, sizeof(wanted));
	/* The eighth byte is whatever comes; a blank and what has its bit set are one. */
	memset((uint8_t *)&bits + 7, 0xff, 1);
	return (text | bits) == (wanted | bits) && (p[6] == ' ');
}

/* The same of a text that is shorter than what is read for a block. */
static bool
short_plain(const uint8_t *p, size_t len)
{
	uint8_t text[BEFORE + 2 * BLOCK];

	memset(text, ' ', sizeof(text));
	memcpy(text + BEFORE, p, len);
	return !any(doubts(text + BEFORE) | doubts(text + BEFORE + BLOCK));
}

bool
sql_is_plain(const void *text, size_t len)
{
	const uint8_t *p = text, *end = p + len;
	block found = all(0);

	if (len < 8 || (!begins(p, "select ") && !begins(p, "update ") && !begins(p, "delete ")))
		return false;
	end = text_end(p, end);
	if (end - p < (ptrdiff_t)(BEFORE + BLOCK))
		return short_plain(p, (size_t)(end - p));
	for (p += sizeof("select"); end - p >= (ptrdiff_t)BLOCK; p += BLOCK)
		found |= doubts(p);
	return !any(found | doubts(end - BLOCK)); /* some of it for the second time */
}

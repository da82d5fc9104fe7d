/*
 * sql_plain: the short cut before the scanner, for the texts that most clients send all day: one
 * SELECT, UPDATE or DELETE of words, quoted or not, numbers and operators. It says no on any doubt:
 * brackets (functions), strings, comments, dollars, bytes above ASCII, and what makes an ordinary
 * statement do something to its session: SELECT INTO may make a temporary table, pg_settings can be
 * updated.
 *
 * 16 bytes at a time, by vectors of GNU C, whose comparisons give 0 or 255 in each place. The
 * scanner takes twenty times as many instructions.
 */
#include "proto/sql.h"

#include <string.h>

#define BLOCK 16U
/* A block's words may reach beyond it by so much: INTO. */
#define BEYOND 3U

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

static block
is_between(block v, uint8_t from, uint8_t to)
{
	return (block)(v - all(from) <= all((uint8_t)(to - from)));
}

/* Letters, digits, _ and white space; ! " % * + , - . / : < = > */
static block
is_harmless(block v, block lower)
{
	return is_between(lower, 'a', 'z') | is_between(v, '0', ':') | is(v, '_') |
	       is_between(v, ' ', '"') | is_between(v, '\t', '\r') | is_between(v, '*', '/') |
	       is_between(v, '<', '>') | is(v, '%');
}

/* All of a block and what begins in it; BLOCK + BEYOND bytes can be read. */
static bool
block_plain(const uint8_t *p)
{
	const block case_bit = all(0x20);
	block v = load(p), l0 = v | case_bit, l1 = load(p + 1) | case_bit;
	block l2 = load(p + 2) | case_bit, l3 = load(p + 3) | case_bit;
	block into = is(l0, 'i') & is(l1, 'n') & is(l2, 't') & is(l3, 'o');
	block pg = is(l0, 'p') & is(l1, 'g') & is(l2, '_' | 0x20);
	block comment = (is(v, '-') & is(l1, '-')) | (is(v, '/') & is(l1, '*'));

	return !any(into | pg | comment | ~is_harmless(v, l0));
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

bool
sql_is_plain(const void *text, size_t len)
{
	const uint8_t *p = text, *end = p + len;
	uint8_t rest[2 * BLOCK + BEYOND];
	size_t left;

	if (len < 8 || (!begins(p, "select ") && !begins(p, "update ") && !begins(p, "delete ")))
		return false;
	end = text_end(p, end);
	for (p += 6; (size_t)(end - p) >= BLOCK + BEYOND; p += BLOCK)
		if (!block_plain(p))
			return false;
	left = (size_t)(end - p);
	memset(rest, ' ', sizeof(rest));
	memcpy(rest, p, left);
	return block_plain(rest) && (left <= BLOCK || block_plain(rest + BLOCK));
}

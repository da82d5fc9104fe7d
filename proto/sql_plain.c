/*
 * sql_plain: the short cut before the scanner, for the texts that most clients send all day: one
 * SELECT, UPDATE or DELETE of words, numbers and operators. It says no on any doubt: brackets
 * (functions), quotes, comments, dollars, bytes above ASCII, and the few words that make an
 * ordinary statement do something to its session. A fifth of the scanner's instructions.
 */
#include "proto/sql.h"

#include <string.h>

enum { NEVER, BETWEEN, IN_WORD };

/* What a byte may be in a plain text; constant once filled. */
static uint8_t kind_of[256];

static void
fill(void)
{
	static const char between[] = " \t\n\r\f,.=<>*+%";
	size_t i;
	int c;

	for (i = 0; i < sizeof(between) - 1; i++)
		kind_of[(uint8_t)between[i]] = BETWEEN;
	for (c = 'a'; c <= 'z'; c++)
		kind_of[c] = kind_of[c - 'a' + 'A'] = IN_WORD;
	for (c = '0'; c <= '9'; c++)
		kind_of[c] = BETWEEN; /* a word may follow at once: 1into */
	kind_of['_'] = IN_WORD;
}

/* Both may be read for four bytes; `word` in lower case. '_' stays what it is. */
static bool
begins(const uint8_t *p, const char *word, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i]) != (uint8_t)word[i])
			return false;
	return true;
}

/* SELECT INTO may make a temporary table; pg_settings can be updated. */
static bool
matters(const uint8_t *p, const uint8_t *end)
{
	if (end - p < 4)
		return false;
	return (*p | 0x20) == 'i' ? begins(p, "into", 4)
				  : (*p | 0x20) == 'p' && begins(p, "pg_", 3);
}

static bool
only_spaces(const uint8_t *p, const uint8_t *end)
{
	while (p < end && (*p == ' ' || *p == '\n'))
		p++;
	return p == end;
}

bool
sql_is_plain(const void *text, size_t len)
{
	const uint8_t *p = text, *end = p + len;
	uint8_t before = BETWEEN;

	if (len < 8)
		return false;
	if (!begins(p, "select ", 7) && !begins(p, "update ", 7) && !begins(p, "delete ", 7))
		return false;
	if (kind_of['a'] == NEVER)
		fill();
	for (; p < end; p++) {
		uint8_t kind = kind_of[*p];
		if (kind == NEVER)
			return *p == ';' && only_spaces(p + 1, end);
		if (kind > before && matters(p, end))
			return false;
		before = kind;
	}
	return true;
}

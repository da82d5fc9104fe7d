/*
 * suggest: "did you mean ...?" for the loader's messages. Owns nothing, cannot fail.
 *
 * The distance counts letters added, dropped, changed, and neighbours swapped (optimal string
 * alignment), ignoring case. Near means at most a third of the word, and never more than three:
 * beyond that a guess misleads more often than it helps.
 */
#include "conf/suggest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define WORD_MAX 48

static bool
same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static unsigned int
least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* Both words are at most WORD_MAX long. Three rows of the table are enough. */
static unsigned int
distance(const char *a, const char *b)
{
	unsigned int rows[3][WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned int *now = rows[i % 3], *up = rows[(i + 2) % 3], *upup = rows[(i + 1) % 3];

		now[0] = (unsigned int)i;
		for (size_t j = 1; j <= lb; j++) {
			now[j] = up[j - 1] + !same(a[i - 1], b[j - 1]);
			now[j] = least(now[j], least(up[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
				now[j] = least(now[j], upup[j - 2] + 1);
		}
	}
	return rows[la % 3][lb];
}

const char *
conf_suggest(const char *word, const char *const *words)
{
	size_t len = strnlen(word, WORD_MAX + 1);
	unsigned int limit = least((unsigned int)len / 3, 3), best = limit + 1;
	const char *found = NULL;

	if (len > WORD_MAX)
		return NULL;
	for (; *words != NULL; words++) {
		unsigned int d;

		if (strlen(*words) > WORD_MAX)
			continue;
		d = distance(word, *words);
		if (d < best) {
			best = d;
			found = *words;
		}
	}
	return found;
}

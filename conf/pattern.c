/*
 * pattern: see pattern.h. Called by hba.c and ident.c.
 *
 * What an expression costs is estimated before it is compiled. An atom costs 1, a group what is in
 * it; a repetition multiplies what it repeats, since the compiler makes copies of it. Worse are
 * loops over what may be empty, "(a*)+": the compiler's time doubles with each, so they are counted
 * by themselves. Not a parser: what is malformed is found by regcomp itself.
 */
#include "conf/pattern.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 32  /* of groups */
#define COST  500 /* of the whole; a few milliseconds */
#define LOOPS 8

struct atom {
	unsigned long cost, loops;
	bool empty; /* it may match nothing */
};

struct level {
	struct atom sum, last; /* of all its atoms; the last one's part of it */
	bool rest_empty;       /* the alternative up to the last atom may match nothing */
	bool other_empty;      /* one of the alternatives before */
};

struct estimate {
	struct level levels[DEPTH];
	size_t depth;
};

static const struct level fresh = {.rest_empty = true, .last.empty = true};

static void
add(struct level *l, struct atom a)
{
	l->rest_empty &= l->last.empty;
	l->last = a;
	l->sum.cost += a.cost;
	l->sum.loops += a.loops;
}

static bool
may_be_empty(const struct level *l)
{
	return l->other_empty || (l->rest_empty && l->last.empty);
}

static void
next_alternative(struct level *l)
{
	l->other_empty = may_be_empty(l);
	l->rest_empty = true;
	l->last = (struct atom){1, 0, true};
}

/* Behind the bracket expression that begins at s; its end if it has none. */
static const char *
skip_bracket(const char *s)
{
	s++;
	s += *s == '^';
	s += *s == ']';
	while (*s != '\0' && *s != ']') {
		char close[3] = {s[1], ']', '\0'};
		const char *end = NULL;

		if (*s == '[' && (s[1] == ':' || s[1] == '.' || s[1] == '='))
			end = strstr(s + 2, close);
		s = end == NULL ? s + 1 : end + 2;
	}
	return s + (*s == ']');
}

/* {m,n} at s: the larger number, the smaller one in *least. *s is moved behind it. */
static unsigned long
interval(const char **s, unsigned long *least)
{
	unsigned long most;
	char *end;

	if (!isdigit((unsigned char)**s) && **s != ',')
		return 1;
	most = *least = **s == ',' ? 0 : strtoul(*s, &end, 10);
	if (**s == ',')
		end = (char *)(uintptr_t)*s;
	if (*end == ',')
		most = strtoul(end + 1, &end, 10);
	*s = end + (*end == '}');
	return most > *least ? most : *least;
}

/* The repetition at s; *s is moved behind it. False: it is too much. */
static bool
repeat(struct level *l, const char **s)
{
	char op = *(*s)++;
	unsigned long least = op == '+', times = op == '+' ? 2 : 1;
	struct atom a = l->last;

	if (op == '{')
		times = interval(s, &least) + 1;
	if (times > COST)
		return false;
	a.loops = a.loops * times + (a.empty && op != '?');
	a.cost = a.cost * (times > 1 ? times : 2);
	a.empty |= least == 0;
	l->sum.cost += a.cost - l->last.cost;
	l->sum.loops += a.loops - l->last.loops;
	l->last = a;
	return true;
}

static const char *
escape(struct level *l, const char **s)
{
	char c = (*s)[1];

	if (isdigit((unsigned char)c))
		return "the regular expression has a back reference";
	*s += 1 + (c != '\0');
	add(l, (struct atom){1, 0, c != '\0' && strchr("bB<>`'", c) != NULL});
	return NULL;
}

static const char *
open_group(struct estimate *e)
{
	if (e->depth + 1 == DEPTH)
		return "the regular expression has too many groups within each other";
	e->levels[++e->depth] = fresh;
	return NULL;
}

static void
close_group(struct estimate *e)
{
	const struct level *l = &e->levels[e->depth];

	if (e->depth > 0)
		add(&e->levels[--e->depth],
		    (struct atom){l->sum.cost + 1, l->sum.loops, may_be_empty(l)});
}

/* One step of the estimate. NULL, or why the expression is refused. */
static const char *
step(struct estimate *e, const char **s)
{
	static const char much[] = "the regular expression repeats too much";
	struct level *l = &e->levels[e->depth];
	const char *why = NULL;

	switch (**s) {
	case '\\':
		return escape(l, s);
	case '[':
		*s = skip_bracket(*s);
		add(l, (struct atom){1, 0, false});
		return NULL;
	case '*':
	case '+':
	case '?':
	case '{':
		return repeat(l, s) && l->sum.cost <= COST && l->sum.loops <= LOOPS ? NULL : much;
	case '(':
		why = open_group(e);
		break;
	case ')':
		close_group(e);
		break;
	case '|':
		next_alternative(l);
		break;
	default:
		add(l, (struct atom){1, 0, **s == '^' || **s == '$'});
	}
	++*s;
	return why == NULL && (l->sum.cost > COST || l->sum.loops > LOOPS) ? much : why;
}

const char *
pattern_compile(regex_t *regex, const char *text, int flags)
{
	struct estimate e = {.depth = 0};
	const char *why = NULL, *s = text;

	e.levels[0] = fresh;

	if (text[0] == '\0')
		return "the regular expression is empty";
	if (strlen(text) > PATTERN_LENGTH)
		return "the regular expression is longer than 512 bytes";
	while (*s != '\0' && why == NULL)
		why = step(&e, &s);
	if (why == NULL && regcomp(regex, text, REG_EXTENDED | flags) != 0)
		why = "the regular expression is broken";
	return why;
}

/*
 * fuzz_sql: any bytes as SQL, whole and in pieces, in each mode.
 *
 * Traps when the pieces give something else than the whole, a fact points outside of its text, or a
 * text said to be plain has facts.
 */
#include "proto/sql.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void
check(const struct sql_facts *f, size_t size)
{
	uint32_t i, last = 0;

	for (i = 0; i < f->n; i++) {
		const struct sql_fact *fact = &f->v[i];
		HOLDS(fact->index >= last && fact->index < f->nstatements);
		last = fact->index;
		HOLDS(fact->at <= fact->end && fact->end <= size);
		HOLDS(
		    fact->name == SQL_NONE || fact->name + strlen(sql_name(f, fact)) < f->text_len);
		HOLDS(fact->value == SQL_NONE ||
		      fact->value + strlen(sql_value(f, fact)) < f->text_len);
		HOLDS(fact->name_at == SQL_NONE ||
		      (fact->name_at < fact->name_end && fact->name_end <= size));
		HOLDS(fact->body_at == SQL_NONE || fact->body_at <= size);
	}
}

static void
same(const struct sql_facts *a, const struct sql_facts *b)
{
	uint32_t i;

	HOLDS(a->nstatements == b->nstatements && a->flags == b->flags && a->n == b->n);
	HOLDS(a->class == b->class && a->text_len == b->text_len);
	HOLDS(a->text_len == 0 || memcmp(a->text, b->text, a->text_len) == 0);
	for (i = 0; i < a->n; i++)
		HOLDS(memcmp(&a->v[i], &b->v[i], sizeof(a->v[i])) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sql_scan whole, cut;
	static bool ready;
	unsigned int mode;
	size_t step, at;

	if (!ready) {
		sql_init(&whole);
		sql_init(&cut);
		ready = true;
	}
	if (size == 0 || memchr(data + 1, 0, size - 1) != NULL)
		return 0;
	mode = data[0] & 3U;
	step = data[0] / 4U + 1;
	data++;
	size--;
	sql_begin(&whole, mode);
	sql_feed(&whole, data, size);
	check(sql_end(&whole), size);
	if (sql_is_plain(data, size)) /* a quote that has no end is PostgreSQL's to refuse */
		HOLDS(whole.facts.n == 0 && whole.facts.nstatements == 1 &&
		      (whole.facts.flags & (SQL_F_CALLS | SQL_F_SESSION)) == 0);
	sql_begin(&cut, mode);
	for (at = 0; at < size; at += step)
		sql_feed(&cut, data + at, size - at < step ? size - at : step);
	same(&whole.facts, sql_end(&cut));
	return 0;
}

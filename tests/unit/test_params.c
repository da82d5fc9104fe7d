/*
 * test_params: settings that follow a client: how DateStyle is spelled, what makes two alike, the
 * query that makes one the other, the packed form.
 */
#include "worker/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/wire.h"

static void
set(struct params *p, const char *name, const char *value)
{
	assert_true(params_set(p, params_index(name), value));
}

/* As PostgreSQL 15 answers `set datestyle to ...; show datestyle` where `usual` was in force. */
static void
date_styles(void **state)
{
	static const struct {
		const char *said, *usual, *spelled;
	} cases[] = {{"ISO", "ISO, MDY", "ISO, MDY"}, {"iso", "SQL, DMY", "ISO, DMY"},
	    {"German", "ISO, MDY", "German, DMY"}, {"german, mdy", "ISO, DMY", "German, MDY"},
	    {"MDY, German", "ISO, DMY", "German, MDY"}, {"dmy", "ISO, MDY", "ISO, DMY"},
	    {"euro", "SQL, MDY", "SQL, DMY"}, {"European", "SQL, MDY", "SQL, DMY"},
	    {"US", "SQL, DMY", "SQL, MDY"}, {"noneuropean", "ISO, DMY", "ISO, MDY"},
	    {"postgresql", "ISO, YMD", "Postgres, YMD"}, {" sql ,ymd", "ISO, MDY", "SQL, YMD"},
	    /* what it would refuse, or we do not know, stays as it is */
	    {"ISO, SQL", "ISO, MDY", "ISO, SQL"}, {"dmy, mdy", "ISO, MDY", "dmy, mdy"},
	    {"nonsense", "ISO, MDY", "nonsense"}, {"ISO,", "ISO, MDY", "ISO,"},
	    {"default", "ISO, MDY", "default"}};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct params p = {0}, usual = {0};
		set(&p, "datestyle", cases[i].said);
		set(&usual, "DateStyle", cases[i].usual);
		params_spell(&p, &usual);
		assert_string_equal(p.v[params_index("DateStyle")], cases[i].spelled);
		params_fini(&p);
		params_fini(&usual);
	}
}

static void
nothing_to_spell(void **state)
{
	struct params p = {0}, usual = {0};

	(void)state;
	params_spell(&p, &usual);
	set(&p, "DateStyle", "iso");
	params_spell(&p, &usual); /* the usual one is not known */
	assert_string_equal(p.v[params_index("DateStyle")], "iso");
	params_fini(&p);
}

static void
match(void **state)
{
	struct params want = {0}, have = {0};

	(void)state;
	set(&have, "TimeZone", "UTC");
	assert_true(params_match(&want, &have)); /* any will do */
	set(&want, "TimeZone", "Asia/Tokyo");
	assert_false(params_match(&want, &have));
	set(&have, "TimeZone", "Asia/Tokyo");
	assert_true(params_match(&want, &have));
	params_put(&have, "work_mem", "7MB");
	assert_false(params_match(&want, &have));
	params_put(&want, "work_mem", "7MB");
	assert_true(params_match(&want, &have));
	have.tainted = true;
	assert_false(params_match(&want, &have));
	params_became(&have, &want);
	assert_true(params_match(&want, &have));
	have.caller = want.caller = 7;
	assert_true(params_match(&want, &have));
	params_became(&have, &want);
	assert_int_equal(have.caller, 7);
	want.caller = 8;
	assert_false(params_match(&want, &have));
	params_became(&have, &want);
	assert_true(params_match(&want, &have));
	params_fini(&want);
	params_fini(&have);
}

static void
assert_sql(const struct params *want, const struct params *have, const char *text)
{
	char *sql = params_sql(want, have);

	assert_string_equal(sql, text);
	free(sql);
}

/* What is not its login's value has to be SET even where it is in force; once. */
static void
apart(void **state)
{
	struct params want = {0}, have = {0};

	(void)state;
	set(&want, "TimeZone", "UTC");
	set(&have, "TimeZone", "UTC");
	want.apart = (uint8_t)(1U << params_index("TimeZone"));
	assert_false(params_match(&want, &have));
	assert_sql(&want, &have, "SET TimeZone TO 'UTC';");
	params_became(&have, &want);
	assert_true(params_match(&want, &have));
	assert_sql(&want, &have, "");
	have.tainted = true; /* RESET ALL comes first */
	params_begin(&have);
	assert_sql(&want, &have,
	    "RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;SET TimeZone TO 'UTC';");
	set(&have, "TimeZone", "Asia/Tokyo"); /* as the server reports */
	set(&have, "TimeZone", "UTC");
	have.tainted = false;
	assert_false(params_match(&want, &have));
	params_fini(&want);
	params_fini(&have);
}

/* Who one is, is taken back first and set last. */
static void
sql(void **state)
{
	struct params want = {0}, have = {0};

	(void)state;
	params_put(&have, "work_mem", "7MB");
	assert_sql(&want, &have, "RESET \"work_mem\";");
	params_put(&have, "a.b", "1");
	assert_sql(&want, &have, "RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;");
	params_put(&want, "a.b", "it's");
	assert_sql(
	    &want, &have, "RESET \"work_mem\";SELECT pg_catalog.set_config('a.b','it''s',false);");
	params_put(&have, "role", "r1");
	params_put(&want, "role", "r2");
	set(&want, "TimeZone", "UTC");
	assert_sql(&want, &have,
	    "RESET SESSION AUTHORIZATION;RESET ROLE;RESET \"work_mem\";SET TimeZone TO 'UTC';"
	    "SELECT pg_catalog.set_config('a.b','it''s',false);"
	    "SELECT pg_catalog.set_config('role','r2',false)");
	have.tainted = true;
	set(&have, "TimeZone", "UTC");
	params_put(&want, "a.b", NULL);
	assert_sql(&want, &have,
	    "RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;SET TimeZone TO 'UTC';"
	    "SELECT pg_catalog.set_config('role','r2',false)");
	have.tainted = false;
	params_put(&want, "role", "r1");
	have.caller = want.caller = 7;
	assert_sql(&want, &have,
	    "RESET SESSION AUTHORIZATION;RESET ROLE;RESET \"a\".\"b\";RESET "
	    "\"work_mem\";SELECT pg_catalog.set_config('role','r1',false)");
	have.caller = 8;
	assert_sql(&want, &have,
	    "RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;SET TimeZone TO 'UTC';"
	    "SELECT pg_catalog.set_config('role','r1',false)");
	params_fini(&want);
	params_fini(&have);
}

#define ALL "RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;"

/* Behind RESET ALL only that is set which it may have changed. */
static void
sql_of_lasting(void **state)
{
	struct params want = {0}, have = {0};

	(void)state;
	set(&have, "TimeZone", "UTC");
	set(&have, "IntervalStyle", "postgres");
	params_begin(&have);
	set(&want, "TimeZone", "UTC");
	set(&want, "IntervalStyle", "postgres");
	set(&have, "TimeZone", "UTC"); /* as it was */
	have.tainted = true;
	assert_sql(&want, &have, ALL);
	set(&want, "TimeZone", "Asia/Tokyo");
	assert_sql(&want, &have, ALL "SET TimeZone TO 'Asia/Tokyo';");
	set(&have, "TimeZone", "Asia/Tokyo");
	assert_sql(&want, &have, ALL "SET TimeZone TO 'Asia/Tokyo';");
	set(&have, "TimeZone", "UTC"); /* back, but who knows what RESET ALL gives by now */
	set(&want, "TimeZone", "UTC");
	assert_sql(&want, &have, ALL "SET TimeZone TO 'UTC';");
	params_fini(&want);
	params_fini(&have);
}

static void
packed(void **state)
{
	struct params p = {0}, q = {0};
	uint8_t bytes[256];
	struct wire_out w;
	size_t n;

	(void)state;
	set(&p, "TimeZone", "UTC");
	params_put(&p, "work_mem", "7MB");
	params_begin(&p);
	p.tainted = true;
	wire_init(&w, bytes, sizeof(bytes));
	params_pack(&p, &w);
	assert_false(w.failed);
	assert_true(params_unpack(&q, bytes, w.len));
	assert_true(q.tainted);
	assert_int_equal(q.lasting, p.lasting);
	assert_ptr_equal(q.v[params_index("TimeZone")], p.v[params_index("TimeZone")]);
	assert_ptr_equal(q.set, p.set);
	params_fini(&q);
	p.tainted = false;
	p.caller = 7;
	wire_init(&w, bytes, sizeof(bytes));
	params_pack(&p, &w);
	assert_true(params_unpack(&q, bytes, w.len));
	assert_true(q.tainted && q.caller == 0);
	params_fini(&q);
	for (n = 0; n < w.len; n++) { /* a piece of it is refused, or is another whole one */
		(void)params_unpack(&q, bytes, n);
		params_fini(&q);
	}
	params_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(date_styles),
	    cmocka_unit_test(nothing_to_spell), cmocka_unit_test(match), cmocka_unit_test(apart),
	    cmocka_unit_test(sql), cmocka_unit_test(sql_of_lasting), cmocka_unit_test(packed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

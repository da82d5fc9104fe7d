/* test_userlist: PgBouncer's userlist.txt, its quotes and comments, errors by line, and a big one.
 */
#include "conf/userlist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static char *errors;

static struct userlist *
parse(const char *text)
{
	size_t n;
	FILE *err;
	struct userlist *l;

	free(errors);
	err = open_memstream(&errors, &n);
	assert_non_null(err);
	l = userlist_parse(text, strlen(text), "f", err);
	fclose(err);
	return l;
}

static void
users(void **state)
{
	struct userlist *l =
	    parse("; comment\n\n\"a\" \"1\"\r\n  \"b\"\t\"x\"\"y\" rest \"more\"\n# other\n"
		  "\"q\"\"q\" \"\"\"\"\n\"empty\" \"\"\n\"a\" \"2\"");

	(void)state;
	assert_non_null(l);
	assert_string_equal(errors, "");
	assert_int_equal(userlist_count(l), 4);
	assert_string_equal(userlist_secret(l, "a"), "2");
	assert_string_equal(userlist_secret(l, "b"), "x\"y");
	assert_string_equal(userlist_secret(l, "q\"q"), "\"");
	assert_string_equal(userlist_secret(l, "empty"), "");
	assert_null(userlist_secret(l, "c"));
	assert_null(userlist_secret(l, ""));
	userlist_free(l);
	l = parse("");
	assert_non_null(l);
	assert_null(userlist_secret(l, "a"));
	userlist_free(l);
}

/* A mock has the iterations of those who exist, each as often. */
static void
mock_iterations(void **state)
{
	struct userlist *l =
	    parse("\"v\" \"SCRAM-SHA-256$4096:x\"\n\"w\" \"SCRAM-SHA-256$10000:x\"\n"
		  "\"x\" \"SCRAM-SHA-256$4096:x\"\n\"p\" \"plain\"\n\"e\" \"\"\n");
	struct kinds k = {.n = 0};
	int seen[3] = {0};

	(void)state;
	assert_int_equal(kinds_iterations(&k, 77, 12345), 77);
	userlist_kinds(l, &k);
	assert_int_equal(k.n, 2);
	assert_int_equal(k.plain, 1);
	for (uint64_t seed = 0; seed < 400; seed++) {
		uint32_t n = kinds_iterations(&k, 77, seed);
		assert_true(n == 4096 || n == 10000 || n == 77);
		seen[n == 4096 ? 0 : n == 10000 ? 1 : 2]++;
	}
	assert_int_equal(seen[0], 200);
	assert_int_equal(seen[1], 100);
	assert_int_equal(seen[2], 100);
	for (int i = 1; i < 100; i++) {
		char text[32];
		snprintf(text, sizeof(text), "SCRAM-SHA-256$%d:x", i);
		kinds_add(&k, text);
	}
	assert_int_equal(k.n, KINDS_MAX);
	userlist_free(l);
}

static void
wrong_lines(void **state)
{
	char longest[200] = "\n\"";

	(void)state;
	assert_null(parse("\"a\" \"b\"\na b\n\"c\"\n\"d\" \"e\n"));
	assert_non_null(strstr(errors, "f:2: auth_file: expected \"name\""));
	assert_non_null(strstr(errors, "f:3: auth_file: expected a secret"));
	assert_non_null(strstr(errors, "f:4: auth_file: expected a secret"));
	assert_null(parse("\"\" \"b\""));
	memset(longest + 2, 'x', 64);
	strcat(longest, "\" \"s\"");
	assert_null(parse(longest));
	assert_non_null(strstr(errors, "f:2: auth_file: the name is longer"));
}

/* 10,000 users: each is found, and a reload must not take long. The limit is generous: sanitizers
 * and a busy machine. */
static void
ten_thousand(void **state)
{
	char *text = malloc(10000 * 160), *at = text, name[32];
	struct timespec a, b;
	struct userlist *l;
	int i;

	(void)state;
	for (i = 0; i < 10000; i++)
		at += sprintf(at,
		    "\"user_%d\" "
		    "\"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZk"
		    "BFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl%04d\"\n",
		    i, i);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	l = parse(text);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	print_message("%.1f ms\n",
	    (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6);
	assert_non_null(l);
	assert_int_equal(userlist_count(l), 10000);
	for (i = 0; i < 10000; i++) {
		sprintf(name, "user_%d", i);
		assert_int_equal(
		    atoi(userlist_secret(l, name) + strlen(userlist_secret(l, name)) - 4), i);
	}
	assert_true((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < 100);
	userlist_free(l);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(users),
	    cmocka_unit_test(mock_iterations),
	    cmocka_unit_test(wrong_lines),
	    cmocka_unit_test(ten_thousand),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	free(errors);
	return rc;
}

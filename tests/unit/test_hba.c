/*
 * test_hba: rules of pg_hba.conf and maps of pg_ident.conf: what fits whom, what is refused, and
 * with which line.
 */
#include "conf/files.h"
#include "conf/hba.h"
#include "conf/ident.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char *errors;
static struct hba *rules;
static struct ident *maps;

static FILE *
errors_open(void)
{
	static size_t n;
	FILE *err;

	free(errors);
	errors = NULL;
	err = open_memstream(&errors, &n);
	assert_non_null(err);
	return err;
}

static void
load_rules(const char *text)
{
	FILE *err = errors_open();

	hba_free(rules);
	rules = hba_parse(text, strlen(text), "hba", err);
	fclose(err);
}

static void
load_maps(const char *text)
{
	FILE *err = errors_open();

	ident_free(maps);
	maps = ident_parse(text, strlen(text), "ident", err);
	fclose(err);
}

/* The line of the rule for a client; `from` NULL = a Unix socket. 0 = none. */
static int
line_of(const char *db, const char *user, const char *from, bool tls)
{
	struct hba_client c = {.local = from == NULL, .tls = tls, .db = db, .user = user};
	const struct hba_rule *r;
	char mapped[80];

	if (from != NULL && strchr(from, ':') == NULL) {
		snprintf(mapped, sizeof(mapped), "::ffff:%s", from);
		from = mapped;
	}
	if (from != NULL)
		assert_int_equal(inet_pton(AF_INET6, from, &c.addr), 1);
	assert_non_null(rules);
	r = hba_match(rules, &c);
	return r == NULL ? 0 : r->line;
}

static void
first_rule_decides(void **state)
{
	(void)state;
	load_rules("# type db user address method\n"
		   "local all postgres peer map=admins\n"	       /* 2 */
		   "local all all md5\n"			       /* 3 */
		   "hostssl all all 10.0.0.0/8 scram-sha-256\n"	       /* 4 */
		   "hostnossl secret all 0.0.0.0/0 reject\n"	       /* 5 */
		   "host sameuser all 192.168.1.0 255.255.255.0 md5\n" /* 6 */
		   "host \"all\" a,b, c 127.0.0.1/32 trust # tail\n"   /* 7 */
		   "host app,\"s p\" all ::1/128 md5\n"		       /* 8 */
		   "host all \\\n all \\\n 2001:db8::/33 md5\n"	       /* 9 to 11 */
		   "host all root all reject\n"			       /* 12 */
		   "hostssl all all 12.0.0.0/8 scram-sha-256-plus\n"); /* 13 */
	assert_string_equal(errors, "");
	assert_int_equal(line_of("x", "postgres", NULL, false), 2);
	assert_int_equal(line_of("x", "joe", NULL, false), 3);
	assert_int_equal(line_of("x", "joe", "10.255.0.1", true), 4);
	assert_int_equal(line_of("x", "joe", "10.255.0.1", false), 0);
	assert_int_equal(line_of("secret", "joe", "10.255.0.1", false), 5);
	assert_int_equal(line_of("secret", "joe", "11.0.0.1", true), 0);
	assert_int_equal(line_of("joe", "joe", "192.168.1.255", false), 6);
	assert_int_equal(line_of("joe", "joe", "192.168.2.1", false), 0);
	assert_int_equal(line_of("app", "joe", "192.168.1.1", false), 0);
	assert_int_equal(line_of("all", "c", "127.0.0.1", false), 7);
	assert_int_equal(line_of("app", "c", "127.0.0.1", false), 0); /* "all" is a name */
	assert_int_equal(line_of("s p", "c", "::1", false), 8);
	assert_int_equal(line_of("x", "c", "2001:db8:7fff::1", false), 9);
	assert_int_equal(line_of("x", "c", "2001:db8:8000::1", false), 0);
	assert_int_equal(line_of("x", "root", "1.2.3.4", false), 12);
	assert_int_equal(line_of("x", "root", "5::", true), 12);
	assert_int_equal(line_of("x", "joe", "12.0.0.1", true), 13);
	/* IPv4 is not in ::/0 */
	load_rules("host all all ::/0 md5\n");
	assert_int_equal(line_of("x", "y", "1.2.3.4", false), 0);
	assert_int_equal(line_of("x", "y", "5::", false), 1);
}

static void
names(void **state)
{
	struct hba_client walsender = {.local = true, .replication = true, .db = "", .user = "joe"};

	(void)state;
	load_rules("local \"/^shop_[0-9]+$\" all md5\nlocal /^shop_[0-9]+$ all md5\n"
		   "local all /^(a|b)$ md5\nlocal replication all md5\n");
	assert_int_equal(line_of("shop_12", "x", NULL, false), 2);
	assert_int_equal(line_of("shop_x", "x", NULL, false), 0);
	assert_int_equal(line_of("/^shop_[0-9]+$", "x", NULL, false), 1);
	assert_int_equal(line_of("x", "b", NULL, false), 3);
	assert_int_equal(line_of("replication", "joe", NULL, false), 0);
	assert_int_equal(hba_match(rules, &walsender)->line, 4);
	load_rules("host all all samehost md5\n");
	assert_int_equal(line_of("x", "y", "127.0.0.1", false), 1);
	assert_int_equal(line_of("x", "y", "127.0.0.2", false), 0);
	load_rules("host all all samenet md5\n");
	assert_int_equal(line_of("x", "y", "127.0.0.2", false), 1);
	assert_int_equal(line_of("x", "y", "203.0.113.9", false), 0);
}

static void
options(void **state)
{
	const struct hba_client c = {.tls = true, .db = "a", .user = "b"};
	const struct hba_rule *r;

	(void)state;
	load_rules(
	    "hostssl all all all cert map=\"my map\" clientname=DN clientcert=verify-full\n");
	r = hba_match(rules, &c);
	assert_non_null(r);
	assert_int_equal(r->method, AUTH_CERT);
	assert_string_equal(r->map, "my map");
	assert_true(r->clientname_dn);
	assert_int_equal(r->clientcert, HBA_CERT_VERIFY_FULL);
}

/* A bad line refuses the whole file, and is told. */
static void
refused(void **state)
{
	static const char *const bad[] = {"remote all all md5", "local all", "local all all",
	    "host all all md5", "host all all 1.2.3.4 md5", "host all all 1.2.3.4/33 md5",
	    "host all all 1.2.3.4/ md5", "host all all ::1/129 md5",
	    "host all all ::1 255.0.0.0 md5", "host all all example.org md5",
	    "host all all all gss", "host all all all peer", "local all all cert",
	    "local all all md5 map=x", "local all all peer map",
	    "local all all md5 clientcert=verify-ca", "hostssl all all all md5 clientcert=no",
	    "hostssl all all all md5 clientname=UID", "local samerole all md5",
	    "local all +staff md5", "local all /( md5", "local all / md5", "local all, all md5,",
	    "local ,all all md5", "local all \"x md5", "local all @/nowhere/at/all md5"};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "local all all trust\n\n%s\n", bad[i]);
		load_rules(text);
		if (rules != NULL)
			fail_msg("accepted: %s", bad[i]);
		assert_ptr_equal(strstr(errors, "hba:3: "), errors);
	}
}

static void
files(void **state)
{
	struct files *files;
	char dir[] = "/tmp/test_hba.XXXXXX", path[64], list[64], more[64];
	FILE *f, *err = errors_open();

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/hba", dir);
	snprintf(list, sizeof(list), "%s/list", dir);
	snprintf(more, sizeof(more), "%s/more", dir);
	f = fopen(path, "w");
	fputs("local @list all md5\n", f);
	fclose(f);
	f = fopen(list, "w");
	fputs("# which\none, two\nthree @more # and\n", f);
	fclose(f);
	f = fopen(more, "w");
	fputs("\"fo ur\"", f);
	fclose(f);
	hba_free(rules);
	files = files_new();
	rules = hba_load(path, files, err);
	files_free(files);
	fclose(err);
	assert_string_equal(errors, "");
	assert_int_equal(line_of("two", "x", NULL, false), 1);
	assert_int_equal(line_of("three", "x", NULL, false), 1);
	assert_int_equal(line_of("fo ur", "x", NULL, false), 1);
	assert_int_equal(line_of("which", "x", NULL, false), 0);
	f = fopen(more, "w"); /* a circle */
	fputs("@list", f);
	fclose(f);
	err = errors_open();
	hba_free(rules);
	files = files_new();
	rules = hba_load(path, files, err);
	files_free(files);
	fclose(err);
	assert_null(rules);
	assert_non_null(strstr(errors, "nested too deep"));
	unlink(path);
	unlink(list);
	unlink(more);
	rmdir(dir);
}

static void
ident_maps(void **state)
{
	(void)state;
	load_maps("# map system user\n"
		  "m root postgres\n"
		  "m /^(.*)@example\\.org$ \\1\n"
		  "m /^svc- /^app_[a-z]+$\n"
		  "m boss all\n"
		  "m \"all\" \"all\"\n"
		  "n root \"x y\"\n");
	assert_string_equal(errors, "");
	assert_true(ident_has(maps, "m"));
	assert_false(ident_has(maps, "o"));
	assert_true(ident_allows(maps, "m", "root", "postgres"));
	assert_false(ident_allows(maps, "m", "root", "root"));
	assert_false(ident_allows(maps, "n", "root", "postgres"));
	assert_true(ident_allows(maps, "n", "root", "x y"));
	assert_true(ident_allows(maps, "m", "joe@example.org", "joe"));
	assert_false(ident_allows(maps, "m", "joe@example.org", "jim"));
	assert_false(ident_allows(maps, "m", "joe@example.orgs", "joe"));
	assert_true(ident_allows(maps, "m", "svc-1", "app_x"));
	assert_false(ident_allows(maps, "m", "svc-1", "app_1"));
	assert_true(ident_allows(maps, "m", "boss", "anybody"));
	assert_false(ident_allows(maps, "m", "all", "anybody"));
	assert_true(ident_allows(maps, "m", "all", "all"));
	load_maps("m root\n");
	assert_null(maps);
	assert_string_equal(errors, "ident:1: expected three fields: map, system name, user\n");
	load_maps("m root a,b\n");
	assert_null(maps);
	load_maps("m /( a\n");
	assert_null(maps);
	load_maps("m root +staff\n");
	assert_null(maps);
}

/* What regcomp would take minutes and gigabytes for is refused, with the line. */
static void
dear_patterns(void **state)
{
	static const struct {
		const char *pattern, *why; /* NULL: it is good */
	} cases[] = {{"^app_[a-z0-9]+$", NULL}, {"^(.*)@example\\.org$", NULL},
	    {"^[][:alnum:]_]{1,63}$", NULL}, {"((((a))))*b?c+d{2,5}", NULL}, {"a{,3}\\{2\\}", NULL},
	    {"[*+?{]{200}", NULL}, {"a?b?c?d?e?f?g?h?i?j?k?l?m?n?o?p?", NULL},
	    {"((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+", "repeats too much"},
	    {"(a{1,100}){1,100}", "repeats too much"}, {"a{3000}", "repeats too much"},
	    {"a{1,99999999999999999999}", "repeats too much"},
	    {"a*************", "repeats too much"}, {"(a|b)\\1", "back reference"},
	    {"(", "is broken"}, {"[a", "is broken"},
	    {"((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))",
		"too many groups"}};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(
		    text, sizeof(text), "# one\nlocal \"x\",/%s all trust\n", cases[i].pattern);
		if (strchr(cases[i].pattern, ',') != NULL) /* a list's separator: only in quotes */
			snprintf(text, sizeof(text), "# one\nlocal all all trust\n");
		load_rules(text);
		load_maps("");
		snprintf(text, sizeof(text), "# one\nm \"x\" x\nm /%s x\n", cases[i].pattern);
		load_maps(text);
		if (cases[i].why == NULL || strchr(cases[i].pattern, ',') != NULL)
			continue;
		if (rules != NULL || maps != NULL)
			fail_msg("accepted: %s", cases[i].pattern);
		if (strstr(errors, "ident:3: ") != errors || strstr(errors, cases[i].why) == NULL)
			fail_msg("%s: %s", cases[i].pattern, errors);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(first_rule_decides),
	    cmocka_unit_test(names),
	    cmocka_unit_test(options),
	    cmocka_unit_test(refused),
	    cmocka_unit_test(files),
	    cmocka_unit_test(ident_maps),
	    cmocka_unit_test(dear_patterns),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	hba_free(rules);
	ident_free(maps);
	free(errors);
	return rc;
}

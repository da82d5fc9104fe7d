/* conf: the reference file, every kind of error with its line, units. Runs from the repository's
 * root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"

static struct conf *
load(const char *text, char **errors)
{
	char path[] = "/tmp/pgdrove-test-conf.XXXXXX";
	int fd = mkstemp(path);
	size_t size;
	FILE *err = open_memstream(errors, &size);
	struct conf *c;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	c = conf_load(path, err);
	fclose(err);
	close(fd);
	unlink(path);
	return c;
}

static void
test_reference(void **state)
{
	struct conf *c = conf_load("conf/pgdrove.conf", stderr);

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->max_client_conn, 1000);
	assert_int_equal(c->worker_timeout_us, 10000000);
	assert_int_equal(c->pkt_buf_bytes, 16384);
	assert_int_equal(c->nlisten, 1);
	assert_string_equal(conf_database(c, "app")->dbname, "app");
	assert_null(conf_database(c, "other"));
	assert_string_equal(conf_user(c, "alice")->password, "secret");
	conf_free(c);
}

static void
test_errors(void **state)
{
	char *errors;
	struct conf *c = load("workers = 99;\n"
			      "pool_sise = 3;\n"
			      "pool_mode = \"often\";\n"
			      "query_wait_timeout = \"5 parsecs\";\n"
			      "databases = ( { name = \"a\"; port = 0; },\n"
			      " { name = \"a\"; hots = \"x\"; } );\n",
	    &errors);

	(void)state;
	assert_null(c);
	assert_non_null(strstr(errors, ":1: workers: 99 is out of range: 0 to 64"));
	assert_non_null(
	    strstr(errors, ":2: pool_sise: unknown option, did you mean \"pool_size\"?"));
	assert_non_null(strstr(errors, ":3: pool_mode: expected one of"));
	assert_non_null(strstr(errors, ":4: query_wait_timeout: expected a time"));
	assert_non_null(strstr(errors, ":5: databases[0].port: 0 is out of range"));
	assert_non_null(
	    strstr(errors, ":6: databases[1].hots: unknown option, did you mean \"host\"?"));
	assert_non_null(strstr(errors, ":6: databases[1].name: \"a\" stands in line 5 too"));
	free(errors);
	assert_null(load("workers = ;\n", &errors));
	assert_non_null(strstr(errors, ":1: syntax error"));
	free(errors);
}

static void
test_units(void **state)
{
	int64_t v;

	(void)state;
	assert_int_equal(conf_parse_time("500ms", &v), 0);
	assert_int_equal(v, 500000);
	assert_int_equal(conf_parse_time("5min", &v), 0);
	assert_int_equal(v, 300000000);
	assert_int_equal(conf_parse_time("-1", &v), -1);
	assert_int_equal(conf_parse_time("1 fortnight", &v), -1);
	assert_int_equal(conf_parse_size("16kB", &v), 0);
	assert_int_equal(v, 16384);
	assert_int_equal(conf_parse_size("x", &v), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference),
	    cmocka_unit_test(test_errors), cmocka_unit_test(test_units)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

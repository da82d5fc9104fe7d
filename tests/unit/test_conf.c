/* conf: the reference file, every kind of error with its line, units. Runs from the repository's
 * root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bsd/string.h>

#include "conf/files.h"
#include "conf/option.h"

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

static struct conf *
written(const struct conf *c)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size), *in;
	struct conf *again;

	assert_int_equal(conf_write(c, out), 0);
	fclose(out);
	in = fmemopen(text, size, "r");
	again = conf_read(in, "written", stderr);
	fclose(in);
	free(text);
	assert_non_null(again);
	return again;
}

static void
all_same(const struct conf *a, const struct conf *b)
{
	size_t i;

	assert_true(option_table_same(option_globals, a, b));
	assert_int_equal(a->nlisten, b->nlisten);
	for (i = 0; i < a->nlisten; i++)
		assert_true(option_table_same(option_listen, &a->listen[i], &b->listen[i]));
	assert_int_equal(a->ndatabases, b->ndatabases);
	for (i = 0; i < a->ndatabases; i++)
		assert_true(conf_database_same(&a->databases[i], &b->databases[i]));
	assert_int_equal(a->nusers, b->nusers);
	for (i = 0; i < a->nusers; i++)
		assert_true(option_table_same(option_user, &a->users[i], &b->users[i]));
}

static void
test_written(void **state)
{
	char *errors;
	struct conf *c, *again;

	(void)state;
	c = load(
	    "pool_mode = \"statement\"; query_wait_timeout = \"1500us\"; pkt_buf = \"32kB\";\n"
	    "log_connections = false; max_client_conn = 77; fairness_window = \"0\";\n"
	    "server_reset_query = \"select '\\\"\\\\\\n\\x01\\xc3\\xa4'\";\n"
	    "listen = ( { path = \"@x\"; mode = \"0700\"; }, { host = \"*\"; port = 7; } );\n"
	    "databases = ( { name = \"*\"; pool_mode = \"session\"; password = \"\\\"\\\\\"; },"
	    " { name = \"b\"; query_wait_timeout = 0; max_db_connections = 3; } );\n"
	    "users = ( { name = \"u\"; query_timeout = \"3s\"; }, { name = \"v\"; } );\n",
	    &errors);
	assert_string_equal(errors, "");
	free(errors);
	again = written(c);
	all_same(c, again);
	again->databases[1].max_db_connections++;
	assert_false(conf_database_same(&c->databases[1], &again->databases[1]));
	conf_free(again);
	conf_free(c);
	c = conf_load("conf/pgdrove.conf", stderr);
	again = written(c);
	all_same(c, again);
	conf_free(again);
	conf_free(c);
}

static char told[128];

static void
tell(const char *name)
{
	strlcat(told, name, sizeof(told));
	strlcat(told, " ", sizeof(told));
}

static void
test_fixed(void **state)
{
	static const char more[] = "databases = ( { name = \"a\"; } ); run_dir = \"/a\";";
	static const char less[] = "databases = ( { name = \"a\"; } ); run_dir = \"/b\";"
				   "max_pools = 5; pkt_buf = 8192; pool_size = 3;";
	char *errors;
	struct conf *now, *next;

	(void)state;
	now = load(more, &errors);
	free(errors);
	next = load(less, &errors);
	free(errors);
	conf_keep_fixed(next, now, tell);
	assert_string_equal(told, "run_dir pid_file max_pools pkt_buf ");
	assert_string_equal(next->run_dir, "/a");
	assert_int_equal(next->max_pools, 1024);
	assert_int_equal(next->pkt_buf_bytes, 16384);
	assert_int_equal(next->pool_size, 3);
	conf_free(now);
	conf_free(next);
}

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* What was published comes through with everything it names, and is not read from the disk again.
 */
static void
published(void **state)
{
	char dir[] = "/tmp/test_conf.XXXXXX", text[512], path[64], list[64], hba[64], more[64];
	struct files *files = files_new();
	struct conf *c, *again;
	bool known;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/conf", dir);
	snprintf(list, sizeof(list), "%s/list", dir);
	snprintf(hba, sizeof(hba), "%s/hba", dir);
	snprintf(more, sizeof(more), "%s/more", dir);
	snprintf(text, sizeof(text),
	    "auth_file = \"%s\"; auth_type = \"hba\"; auth_hba_file = \"%s\"; pool_size = 7;"
	    "databases = ( { name = \"a\"; password = \"se\\\"cret\"; } );",
	    list, hba);
	write_file(path, text);
	write_file(list, "\"eve\" \"apple\"\n");
	write_file(hba, "local all @more trust\n");
	write_file(more, "eve\n");
	c = conf_load_through(path, files, stderr);
	assert_non_null(c);
	fd = files_publish(files, c);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, "x", 1), -1); /* sealed */
	files_free(files);
	unlink(list);
	unlink(hba);
	unlink(more);
	again = conf_receive(fd, path, stderr);
	assert_non_null(again);
	close(fd);
	all_same(c, again);
	assert_string_equal(conf_secret(again, "eve", &known), "apple");
	assert_non_null(again->hba);
	assert_true(conf_destination(&c->databases[0]) == conf_destination(&again->databases[0]));
	again->databases[0].port++;
	assert_true(conf_destination(&c->databases[0]) != conf_destination(&again->databases[0]));
	conf_free(c);
	conf_free(again);
	unlink(path);
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference),
	    cmocka_unit_test(published), cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_units), cmocka_unit_test(test_written),
	    cmocka_unit_test(test_fixed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

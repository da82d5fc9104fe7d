/* pgbouncer: a file means here what it means there; every error with its line; every option of
 * tests/unit/pgbouncer.ini loads. Runs from the repository's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/option.h"
#include "conf/pgbouncer.h"

static char path[] = "/tmp/pgdrove-test-ini.XXXXXX";

static struct conf *
load(const char *text, char **errors)
{
	size_t size;
	FILE *err = open_memstream(errors, &size), *out;
	struct conf *c;
	int fd;

	strcpy(path + sizeof(path) - 7, "XXXXXX");
	fd = mkstemp(path);
	out = fdopen(fd, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	c = conf_load(path, err);
	fclose(err);
	unlink(path);
	return c;
}

static void
test_meaning(void **state)
{
	char *errors;
	struct conf *c = load("; a comment\n"
			      "[databases]\n"
			      "app = host=/tmp port=5433 dbname='my app' password='it''s' "
			      "pool_size=5 datestyle='ISO, MDY' connect_query = 'select 1'\n"
			      "\"a \"\"b\"\" = c\" = host=10.0.0.1\n"
			      "* =\n"
			      "[users]\n"
			      "bob = pool_mode=statement max_user_connections=3\n"
			      "[pgbouncer]\n"
			      "listen_addr = 127.0.0.1, ::1\n"
			      "listen_port = 7000\n"
			      "listen_port = 7001\n"
			      "unix_socket_dir =\n"
			      "auth_type = plain\n"
			      "pool_mode = transaction\n"
			      "default_pool_size = 0\n"
			      "server_lifetime = 0\n"
			      "server_idle_timeout = 0.5\n"
			      "tcp_user_timeout = 500\n"
			      "tcp_keepalive = off\n"
			      "so_reuseport = 1\n"
			      "pidfile = /x/y/p.pid\n",
	    &errors);

	(void)state;
	assert_string_equal(errors, "");
	free(errors);
	assert_non_null(c);
	assert_int_equal(c->nlisten, 2);
	assert_string_equal(c->listen[1].host, "::1");
	assert_int_equal(c->listen[1].port, 7001);
	assert_int_equal(c->auth_type, AUTH_PASSWORD);
	assert_int_equal(c->pool_mode, POOL_TRANSACTION);
	assert_int_equal(c->pool_size, 100000);
	assert_int_equal(c->server_lifetime_us, 1);
	assert_int_equal(c->server_idle_timeout_us, 500000);
	assert_int_equal(c->tcp_user_timeout_us, 500000);
	assert_false(c->tcp_keepalive);
	assert_string_equal(c->run_dir, "/x/y");
	assert_string_equal(c->pid_file, "/x/y/p.pid");
	/* its defaults, not ours */
	assert_int_equal(c->max_client_conn, 100);
	assert_int_equal(c->server_login_retry_us, 15000000);
	assert_int_equal(c->ndatabases, 3);
	assert_string_equal(c->databases[0].dbname, "my app");
	assert_string_equal(c->databases[0].password, "it's");
	assert_string_equal(c->databases[0].connect_query, "SET datestyle TO 'ISO, MDY';select 1");
	assert_int_equal(c->databases[0].line, 3);
	assert_string_equal(c->databases[1].name, "a \"b\" = c");
	assert_int_equal(c->databases[2].host[0], '/');
	assert_int_equal(c->users[0].pool_mode, POOL_STATEMENT);
	assert_non_null(strstr(c->notes, ":20: so_reuseport has no meaning here"));
	conf_free(c);
}

static void
test_errors(void **state)
{
	char *errors;

	(void)state;
	assert_null(load("[databases]\n"
			 "x = port=abc hots=1\n"
			 "y = host='a\n"
			 "[pgbouncer]\n"
			 "pool_sise = 2\n"
			 "auth_type = foo\n"
			 "server_idle_timeout = 5 parsec\n"
			 "max_client_conn = 99999999999\n"
			 "tcp_keepalive = maybe\n"
			 "[foo]\n"
			 "a = b\n"
			 "junk\n"
			 "%include /nonexistent\n",
	    &errors));
	assert_non_null(strstr(errors, ":2: port: expected a whole number"));
	assert_non_null(strstr(errors, ":2: hots: unknown option, did you mean \"host\"?"));
	assert_non_null(strstr(errors, ":3: y: a quoted value does not end"));
	assert_non_null(
	    strstr(errors, ":5: pool_sise: unknown option, did you mean \"pool_size\"?"));
	assert_non_null(strstr(errors, ":6: auth_type: expected one of"));
	assert_non_null(strstr(errors, ":7: server_idle_timeout: expected a time"));
	assert_non_null(strstr(errors, ":8: max_client_conn: 99999999999 is out of range"));
	assert_non_null(strstr(errors, ":9: tcp_keepalive: expected 0 or 1"));
	assert_non_null(strstr(errors, ":11: foo: unknown section"));
	assert_non_null(strstr(errors, ":12: expected NAME = VALUE"));
	assert_non_null(strstr(errors, ":13: cannot read /nonexistent"));
	free(errors);
}

/* The file names every option that PgBouncer has; it is written in our format and read again. */
static void
test_every_option(void **state)
{
	struct conf *c = conf_load("tests/unit/pgbouncer.ini", stderr), *again;
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size), *in;

	(void)state;
	assert_non_null(c);
	assert_int_equal(conf_write(c, out), 0);
	fclose(out);
	in = fmemopen(text, size, "r");
	again = conf_read(in, "written", stderr);
	assert_non_null(again);
	assert_true(option_table_same(option_globals, c, again));
	fclose(in);
	free(text);
	conf_free(again);
	conf_free(c);
}

/* No fate that our own table of options would overrule or that names an option we do not have. */
static void
test_fates(void **state)
{
	const char *name, *becomes, *note;
	size_t i;

	(void)state;
	for (i = 0; (name = pgbouncer_fate(i, &becomes, &note)) != NULL; i++) {
		if (becomes == NULL)
			assert_non_null(note);
		if (becomes == NULL || becomes[0] != '\0')
			assert_null(option_find(option_globals, name));
		if (becomes != NULL && becomes[0] != '\0')
			assert_true(option_find(option_globals, becomes) != NULL);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_meaning),
	    cmocka_unit_test(test_errors), cmocka_unit_test(test_every_option),
	    cmocka_unit_test(test_fates)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

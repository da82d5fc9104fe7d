/*
 * test_hosts: what workers know of servers together (shm/hosts): pauses, who may try when, how many
 * at once; and the lists of hosts in the configuration (conf/hosts).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "conf/hosts.h"
#include "shm/hosts.h"

#define SECOND 1000000LL
#define LIMIT  (2 * SECOND)
#define PROBE  (2 * SECOND)

/* --- shm/hosts -------------------------------------------------------------------------------- */

static void
entries(void **state)
{
	struct hosts *h = hosts_create(3, HOSTS_MOST);
	uint32_t a, b, i;
	char name[32];

	(void)state;
	assert_non_null(h);
	a = hosts_find(h, "db1:5432");
	b = hosts_find(h, "db1:5433");
	assert_int_not_equal(a, b);
	assert_int_equal(hosts_find(h, "db1:5432"), a);
	for (i = 0; i < 254; i++) {
		snprintf(name, sizeof(name), "h%u:1", i);
		assert_int_not_equal(hosts_find(h, name), HOSTS_NONE);
	}
	assert_int_equal(hosts_find(h, "one too many"), HOSTS_NONE);
	assert_int_equal(hosts_find(h, "h253:1"), hosts_find(h, "h253:1"));
	assert_int_equal(hosts_find(h, "db1:5433"), b);
	hosts_destroy(h);
}

/* What has no entry works as if nothing had ever failed. */
static void
no_entry(void **state)
{
	struct hosts *h = hosts_create(1, HOSTS_MOST);
	struct hosts_pause pause;

	(void)state;
	hosts_failed(h, HOSTS_NONE, SECOND, LIMIT, 1);
	hosts_full(h, HOSTS_NONE);
	hosts_worked(h, HOSTS_NONE);
	assert_true(hosts_ready(h, HOSTS_NONE, SECOND));
	assert_true(hosts_try(h, HOSTS_NONE, SECOND, PROBE));
	assert_false(hosts_down(h, HOSTS_NONE, &pause));
	assert_int_equal(hosts_turn(h, HOSTS_NONE), 0);
	assert_int_equal(hosts_width(h, HOSTS_NONE), UINT32_MAX);
	assert_true(hosts_latest(h, HOSTS_NONE, hosts_start(h, HOSTS_NONE, 0)));
	hosts_end(h, HOSTS_NONE, 0);
	assert_int_equal(hosts_connecting_of(h, HOSTS_NONE, 0), 0);
	hosts_destroy(h);
}

static void
turns(void **state)
{
	struct hosts *h = hosts_create(1, HOSTS_MOST);
	uint32_t a = hosts_find(h, "a,b"), i;

	(void)state;
	for (i = 0; i < 5; i++)
		assert_int_equal(hosts_turn(h, a), i);
	assert_int_equal(hosts_turn(h, hosts_find(h, "c,d")), 0);
	hosts_destroy(h);
}

static void
pauses_grow(void **state)
{
	int64_t full = HOSTS_PAUSE_US;
	uint64_t n;

	(void)state;
	for (n = 1; n < 80; n++) {
		int64_t pause = hosts_pause_us(n, LIMIT);
		assert_in_range(pause, full - full / 4, full);
		full = full * 2 > LIMIT ? LIMIT : full * 2;
	}
	assert_int_equal(hosts_pause_us(1, 0), 0);
}

/* A failure closes the host to all; after the pause one may try, until its word or its time. */
static void
one_tries(void **state)
{
	struct hosts *h = hosts_create(2, HOSTS_MOST);
	uint32_t a = hosts_find(h, "a:1");
	struct hosts_pause pause;
	int64_t now = 100 * SECOND;

	(void)state;
	assert_true(hosts_try(h, a, now, PROBE));
	assert_true(hosts_try(h, a, now, PROBE)); /* it works: any number */
	assert_false(hosts_down(h, a, &pause));
	hosts_failed(h, a, now, LIMIT, 111);
	assert_true(hosts_down(h, a, &pause));
	assert_int_equal(pause.down_us, now);
	assert_int_equal(pause.reason, 111);
	assert_in_range(pause.until_us, now + HOSTS_PAUSE_US * 3 / 4, now + HOSTS_PAUSE_US);
	assert_false(hosts_ready(h, a, pause.until_us - 1));
	assert_false(hosts_try(h, a, pause.until_us - 1, PROBE));

	now = pause.until_us;
	assert_true(hosts_ready(h, a, now));
	assert_true(hosts_try(h, a, now, PROBE));
	assert_false(hosts_ready(h, a, now));
	assert_false(hosts_try(h, a, now + PROBE - 1, PROBE));
	assert_true(hosts_try(h, a, now + PROBE, PROBE)); /* the first has said nothing */
	hosts_answered(h, a);
	assert_false(hosts_down(h, a, &pause));
	assert_true(hosts_try(h, a, now, PROBE));
	assert_true(hosts_try(h, a, now, PROBE));
	hosts_destroy(h);
}

static void
failures_in_a_row(void **state)
{
	struct hosts *h = hosts_create(2, HOSTS_MOST);
	uint32_t a = hosts_find(h, "a:1");
	struct hosts_pause pause;
	int64_t now = 100 * SECOND, before;

	(void)state;
	hosts_failed(h, a, now, LIMIT, 1);
	assert_true(hosts_down(h, a, &pause));
	before = pause.until_us;
	hosts_failed(h, a, now + 1, LIMIT, 2); /* it had begun before the first had failed */
	assert_true(hosts_down(h, a, &pause));
	assert_int_equal(pause.until_us, before);
	assert_int_equal(pause.reason, 1);

	hosts_failed(h, a, before, LIMIT, 3);
	assert_true(hosts_down(h, a, &pause));
	assert_in_range(
	    pause.until_us, before + HOSTS_PAUSE_US * 6 / 4, before + HOSTS_PAUSE_US * 2);
	assert_int_equal(pause.down_us, now);
	assert_int_equal(pause.reason, 3);

	before = pause.until_us + 61 * SECOND; /* so long ago that it is another fault */
	hosts_failed(h, a, before, LIMIT, 4);
	assert_true(hosts_down(h, a, &pause));
	assert_int_equal(pause.down_us, before);
	assert_in_range(pause.until_us, before, before + HOSTS_PAUSE_US);

	hosts_worked(h, a);
	assert_false(hosts_down(h, a, &pause));
	hosts_failed(h, a, now, 0, 5); /* server_login_retry = 0: no pause */
	assert_false(hosts_down(h, a, &pause));
	hosts_destroy(h);
}

/* No place: one at a time, then twice as many with each that works. */
static void
width(void **state)
{
	struct hosts *h = hosts_create(2, HOSTS_MOST);
	uint32_t a = hosts_find(h, "a:1"), b = hosts_find(h, "b:1");
	struct hosts_pause pause;

	(void)state;
	assert_int_equal(hosts_width(h, a), UINT32_MAX);
	hosts_worked(h, a);
	assert_int_equal(hosts_width(h, a), UINT32_MAX);
	hosts_failed(h, a, SECOND, LIMIT, 1);
	hosts_full(h, a);
	assert_false(hosts_down(h, a, &pause)); /* it has answered */
	assert_int_equal(hosts_width(h, a), 1);
	assert_int_equal(hosts_width(h, b), UINT32_MAX);
	hosts_answered(h, a); /* a refusal is no proof of a place */
	assert_int_equal(hosts_width(h, a), 1);
	hosts_worked(h, a);
	assert_int_equal(hosts_width(h, a), 2);
	hosts_worked(h, a);
	assert_int_equal(hosts_width(h, a), 4);
	hosts_full(h, a);
	assert_int_equal(hosts_width(h, a), 1);
	hosts_worked(h, a);
	hosts_worked(h, a);
	hosts_worked(h, a);
	assert_int_equal(hosts_width(h, a), 8);
	hosts_worked(h, a);
	assert_int_equal(hosts_width(h, a), UINT32_MAX);
	hosts_destroy(h);
}

static void
on_their_way(void **state)
{
	struct hosts *h = hosts_create(2, HOSTS_MOST);
	uint32_t a = hosts_find(h, "a:1");
	uint64_t first, second;

	(void)state;
	first = hosts_start(h, a, 0);
	assert_true(hosts_latest(h, a, first));
	second = hosts_start(h, a, 1);
	assert_false(hosts_latest(h, a, first));
	assert_true(hosts_latest(h, a, second));
	hosts_start(h, a, 1);
	assert_int_equal(hosts_connecting_of(h, a, 0), 1);
	assert_int_equal(hosts_connecting_of(h, a, 1), 2);
	hosts_end(h, a, 1);
	assert_int_equal(hosts_connecting_of(h, a, 1), 1);
	assert_false(hosts_latest(h, a, second)); /* an end is no beginning, nor its undoing */
	hosts_worker_start(h, 1);		  /* it has died */
	assert_int_equal(hosts_connecting_of(h, a, 1), 0);
	assert_int_equal(hosts_connecting_of(h, a, 0), 1);
	hosts_destroy(h);
}

/* Who found too many on their way is told of the next end, once. */
static void
wanting(void **state)
{
	struct hosts *h = hosts_create(3, HOSTS_MOST);
	uint32_t a = hosts_find(h, "a:1"), b = hosts_find(h, "b:1");

	(void)state;
	assert_int_equal(hosts_wanted(h, a), 0);
	hosts_want(h, a, 2);
	hosts_want(h, a, 0);
	hosts_want(h, a, 2);
	hosts_want(h, b, 1);
	hosts_want(h, HOSTS_NONE, 1);
	assert_int_equal(hosts_wanted(h, a), 1 << 2 | 1 << 0);
	assert_int_equal(hosts_wanted(h, a), 0);
	assert_int_equal(hosts_wanted(h, b), 1 << 1);
	assert_int_equal(hosts_wanted(h, HOSTS_NONE), 0);
	hosts_destroy(h);
}

/* Of processes that try at the same moment after a pause, one may; of those that begin at the same
 * moment, no two think that they are alone. */
#define PROCESSES 4
#define ROUNDS	  2000

static void
race(struct hosts *h, const char *what, uint32_t worker, int out)
{
	uint32_t w, others, won = 0, round, host;
	char name[32];
	uint64_t n;

	for (round = 0; round < ROUNDS; round++) {
		snprintf(name, sizeof(name), "%s%u", what, round % 100);
		host = hosts_find(h, name);
		if (strcmp(what, "try") == 0) {
			won += hosts_try(h, host, 1000 * SECOND, PROBE);
			continue;
		}
		n = hosts_start(h, host, worker);
		for (w = 0, others = 0; w < PROCESSES; w++)
			others += w != worker && hosts_connecting_of(h, host, w) > 0;
		won += others == 0 && hosts_latest(h, host, n);
	}
	_exit(write(out, &won, sizeof(won)) != (ssize_t)sizeof(won));
}

static uint32_t
race_all(struct hosts *h, const char *what)
{
	uint32_t sum = 0, won, w;
	int fds[2], status;

	assert_int_equal(pipe(fds), 0);
	for (w = 0; w < PROCESSES; w++)
		if (fork() == 0)
			race(h, what, w, fds[1]);
	for (w = 0; w < PROCESSES; w++) {
		assert_int_equal(read(fds[0], &won, sizeof(won)), sizeof(won));
		sum += won;
		assert_true(wait(&status) > 0 && status == 0);
	}
	close(fds[0]);
	close(fds[1]);
	return sum;
}

static void
races(void **state)
{
	struct hosts *h = hosts_create(PROCESSES, HOSTS_MOST);
	char name[32];
	int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "try%d", i);
		hosts_failed(h, hosts_find(h, name), SECOND, LIMIT, 1);
	}
	assert_int_equal(race_all(h, "try"), 100);
	/* Nobody ends, so whoever was alone was the first of all. */
	assert_in_range(race_all(h, "start"), 0, 100 * (ROUNDS / 100));
	hosts_destroy(h);
}

/* --- conf/hosts ------------------------------------------------------------------------------- */

static struct conf_database
database(const char *host, const char *ports)
{
	return (struct conf_database){.host = (char *)(uintptr_t)host,
	    .ports = (char *)(uintptr_t)ports,
	    .port = 5432,
	    .load_balance_hosts = -1};
}

static void
lists(void **state)
{
	struct conf_database d = database(" db1 ,\tdb2,/run/pg , ::1", NULL);
	static const char *const names[] = {"db1", "db2", "/run/pg", "::1"};
	char name[CONF_HOST_SIZE];
	const char *key;
	uint16_t port;
	size_t i;

	(void)state;
	assert_null(conf_hosts_wrong(&d, &key));
	assert_int_equal(conf_hosts(&d), 4);
	for (i = 0; i < 4; i++) {
		assert_true(conf_host(&d, i, name, &port));
		assert_string_equal(name, names[i]);
		assert_int_equal(port, 5432);
	}
	assert_false(conf_host(&d, 4, name, &port));

	d = database("a,b,c", "1, 65535 ,07");
	assert_null(conf_hosts_wrong(&d, &key));
	assert_true(conf_host(&d, 0, name, &port) && port == 1);
	assert_true(conf_host(&d, 1, name, &port) && port == 65535);
	assert_true(conf_host(&d, 2, name, &port) && port == 7);
}

static void
wrong_lists(void **state)
{
	static const struct {
		const char *host, *ports, *key;
	} wrong[] = {
	    {"", NULL, "host"},
	    {" ", NULL, "host"},
	    {"a,,b", NULL, "host"},
	    {"a,", NULL, "host"},
	    {",a", NULL, "host"},
	    {"1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", NULL, "host"},
	    {"a,b", "1", "ports"},
	    {"a", "1,2", "ports"},
	    {"a,b", "1,", "ports"},
	    {"a", "0", "ports"},
	    {"a", "65536", "ports"},
	    {"a", "5432x", "ports"},
	    {"a", "-1", "ports"},
	    {"a", "", "ports"},
	    {"a", "99999999999999999999", "ports"},
	};
	char longest[CONF_HOST_SIZE + 1], name[CONF_HOST_SIZE];
	struct conf_database d;
	const char *key;
	uint16_t port;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		d = database(wrong[i].host, wrong[i].ports);
		assert_non_null(conf_hosts_wrong(&d, &key));
		assert_string_equal(key, wrong[i].key);
	}
	memset(longest, 'x', sizeof(longest));
	longest[CONF_HOST_SIZE] = '\0';
	d = database(longest, NULL);
	assert_non_null(conf_hosts_wrong(&d, &key));
	assert_false(conf_host(&d, 0, name, &port));
	longest[CONF_HOST_SIZE - 1] = '\0';
	assert_null(conf_hosts_wrong(&d, &key));
	assert_true(conf_host(&d, 0, name, &port));
	assert_string_equal(name, longest);
}

static void
balance(void **state)
{
	struct conf c = {.load_balance_hosts = BALANCE_RANDOM};
	struct conf_database d = database("a,b", NULL);

	(void)state;
	assert_int_equal(conf_load_balance(&c, &d), BALANCE_RANDOM);
	d.load_balance_hosts = BALANCE_DISABLE;
	assert_int_equal(conf_load_balance(&c, &d), BALANCE_DISABLE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries),
	    cmocka_unit_test(no_entry),
	    cmocka_unit_test(turns),
	    cmocka_unit_test(pauses_grow),
	    cmocka_unit_test(one_tries),
	    cmocka_unit_test(failures_in_a_row),
	    cmocka_unit_test(width),
	    cmocka_unit_test(on_their_way),
	    cmocka_unit_test(wanting),
	    cmocka_unit_test(races),
	    cmocka_unit_test(lists),
	    cmocka_unit_test(wrong_lists),
	    cmocka_unit_test(balance),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

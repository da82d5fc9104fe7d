/* test_carry: the counters of one generation go on in the next (shm/carry): once, never less, and
 * nothing but counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "shm/carry.h"

#define SECOND	1000000LL
#define STEWARD 2 /* the last of theirs, and of ours: whose rows take it */

static char dir[] = "/tmp/pgdrove-test-carry-XXXXXX", old_path[sizeof(dir) + 16],
	    new_path[sizeof(dir) + 16];
static struct stats *old, *new;
static struct carry *carry;
static bool table_busy;

static int
begin(void **state)
{
	char why[256];

	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(old_path, sizeof(old_path), "%s/old", dir);
	(void)snprintf(new_path, sizeof(new_path), "%s/new", dir);
	old = stats_create(old_path, 3, 4);
	new = stats_create(new_path, 3, 6);
	carry = old == NULL ? NULL : carry_open(old_path, why, sizeof(why));
	return new == NULL || carry == NULL ? -1 : 0;
}

static int
end(void **state)
{
	(void)state;
	carry_close(carry);
	stats_close(old);
	stats_close(new);
	(void)unlink(old_path);
	(void)unlink(new_path);
	(void)rmdir(dir);
	(void)strcpy(dir + strlen(dir) - 6, "XXXXXX");
	table_busy = false;
	return 0;
}

/* Ours stand in another order. */
static uint32_t
pool_of(const char *db, const char *user)
{
	assert_string_equal(user, "alice");
	if (table_busy)
		return UINT32_MAX;
	return strcmp(db, "app") == 0 ? 5 : strcmp(db, "other") == 0 ? 1 : UINT32_MAX;
}

static void
go(void)
{
	carry_over(carry, new, STEWARD, pool_of);
}

static uint64_t
got(uint32_t pool)
{
	return stats_get(&stats_pool(new, pool, STEWARD)->xact_count);
}

static void
workers(void **state)
{
	(void)state;
	stats_add(&stats_worker(old, 0)->accepts, 3);
	stats_add(&stats_worker(old, 1)->accepts, 4);
	stats_set(&stats_worker(old, 0)->clients, 7);	 /* a gauge */
	stats_add(&stats_worker(old, 1)->restarts, 2);	 /* of its processes */
	stats_add(&stats_worker(old, 1)->loop_turns, 9); /* who reads it compares it */
	stats_add(&stats_worker(new, STEWARD)->accepts, 10);
	go();
	assert_int_equal(stats_get(&stats_worker(new, STEWARD)->accepts), 17);
	assert_int_equal(stats_get(&stats_worker(new, STEWARD)->clients), 0);
	assert_int_equal(stats_get(&stats_worker(new, STEWARD)->restarts), 0);
	assert_int_equal(stats_get(&stats_worker(new, STEWARD)->loop_turns), 0);
	assert_int_equal(stats_get(&stats_worker(new, 0)->accepts), 0);
	go();
	assert_int_equal(stats_get(&stats_worker(new, STEWARD)->accepts), 17);
	stats_add(&stats_worker(old, 2)->accepts, 5);
	go();
	assert_int_equal(stats_get(&stats_worker(new, STEWARD)->accepts), 22);
}

static void
pools(void **state)
{
	(void)state;
	stats_pool_name(old, 0, "app", "alice");
	stats_pool_name(old, 2, "other", "alice");
	stats_pool_name(old, 3, "gone", "alice"); /* not ours */
	stats_add(&stats_pool(old, 0, 0)->xact_count, 3);
	stats_add(&stats_pool(old, 0, 2)->xact_count, 4);
	stats_set(&stats_pool(old, 0, 1)->sv_idle, 6);
	stats_took(&stats_times(old, 0, 1)->wait, 1000);
	stats_add(&stats_pool(old, 2, 1)->xact_count, 5);
	stats_add(&stats_pool(old, 3, 1)->xact_count, 100);
	go();
	go();
	assert_int_equal(got(5), 7);
	assert_int_equal(got(1), 5);
	assert_int_equal(stats_get(&stats_pool(new, 5, STEWARD)->sv_idle), 0);
	assert_int_equal(stats_get(&stats_times(new, 5, STEWARD)->wait.sum_us), 1000);
	stats_add(&stats_pool(old, 0, 1)->xact_count, 1);
	stats_took(&stats_times(old, 0, 0)->wait, 500);
	go();
	assert_int_equal(got(5), 8);
	assert_int_equal(stats_get(&stats_times(new, 5, STEWARD)->wait.sum_us), 1500);
}

/* Its place there is given to another pool, whose counts begin at zero. */
static void
pool_replaced(void **state)
{
	(void)state;
	stats_pool_name(old, 0, "app", "alice");
	stats_add(&stats_pool(old, 0, 0)->xact_count, 30);
	go();
	stats_pool_name(old, 0, "other", "alice");
	stats_add(&stats_pool(old, 0, 0)->xact_count, 2);
	go();
	assert_int_equal(got(5), 30);
	assert_int_equal(got(1), 2);
	stats_pool_name(old, 0, "app", "alice");
	stats_add(&stats_pool(old, 0, 0)->xact_count, 1);
	go();
	assert_int_equal(got(5), 31);
	assert_int_equal(got(1), 2);
}

/* The table of pools is busy now, and has it the next time: nothing is lost. */
static void
pool_later(void **state)
{
	(void)state;
	stats_pool_name(old, 0, "app", "alice");
	stats_add(&stats_pool(old, 0, 0)->xact_count, 30);
	table_busy = true;
	go();
	assert_int_equal(got(5), 0);
	table_busy = false;
	go();
	assert_int_equal(got(5), 30);
}

static void
ended(void **state)
{
	(void)state;
	stats_master_beat(old, 100 * SECOND);
	stats_set_state(old, STATS_READY);
	assert_false(carry_ended(carry, 101 * SECOND));
	assert_false(carry_ended(carry, 109 * SECOND));
	assert_true(carry_ended(carry, 111 * SECOND)); /* its master was killed */
	stats_set_state(old, STATS_STOPPED);
	assert_true(carry_ended(carry, 101 * SECOND));
}

static void
no_segment(void **state)
{
	char why[256] = "";

	(void)state;
	assert_null(carry_open("/nonexistent/stats", why, sizeof(why)));
	assert_string_not_equal(why, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(workers, begin, end),
	    cmocka_unit_test_setup_teardown(pools, begin, end),
	    cmocka_unit_test_setup_teardown(pool_replaced, begin, end),
	    cmocka_unit_test_setup_teardown(pool_later, begin, end),
	    cmocka_unit_test_setup_teardown(ended, begin, end),
	    cmocka_unit_test(no_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

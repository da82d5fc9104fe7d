/*
 * test_master_stat: `pgdrove stat` over a segment made here: judgement, names, JSON.
 */
#include "master/stat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "master/master.h"

#define SEC	      1000000LL
#define TEST_CHILDREN 3

struct fixture {
	char dir[32];
	char *path;
	struct stats *stats;
	struct stat_view view;
};

/* Two workers and a steward that are all this very process, so that they are alive. */
static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	char why[128];
	uint32_t w;

	assert_non_null(f);
	strcpy(f->dir, "/tmp/pgdrove-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->path = conf_stats_path(f->dir);
	f->stats = stats_create(f->path, TEST_CHILDREN, 4);
	assert_non_null(f->stats);
	for (w = 0; w < TEST_CHILDREN; w++) {
		stats_set(&stats_worker(f->stats, w)->pid, (uint64_t)getpid());
		stats_set(&stats_worker(f->stats, w)->state, STATS_SERVING);
		stats_set(&stats_worker(f->stats, w)->heartbeat_us, (uint64_t)master_now_us());
		stats_set(&stats_worker(f->stats, w)->clients, 10 + w);
	}
	stats_set_state(f->stats, STATS_READY);
	stats_master_beat(f->stats, master_now_us());
	stats_pool_name(f->stats, 1, "shop.eu", "al\"ice\n");
	stats_add(&stats_pool(f->stats, 1, 0)->xact_count, 5);
	stats_add(&stats_pool(f->stats, 1, 1)->xact_count, 7);
	stats_set(&stats_pool(f->stats, 1, 0)->oldest_wait_us, 900);
	stats_set(&stats_pool(f->stats, 1, 1)->oldest_wait_us, 300);
	assert_true(stat_open(&f->view, f->path, 10 * SEC, why, sizeof why));
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	stat_close(&f->view);
	stats_close(f->stats);
	(void)unlink(f->path);
	(void)rmdir(f->dir);
	free(f->path);
	free(f);
	return 0;
}

static void
judge_again(struct fixture *f)
{
	char why[128];

	stat_close(&f->view);
	assert_true(stat_open(&f->view, f->path, 10 * SEC, why, sizeof why));
}

static void
value_is(struct fixture *f, const char *name, const char *want)
{
	char value[512];

	assert_int_equal(stat_get(&f->view, name, value, sizeof value), STAT_FOUND);
	assert_string_equal(value, want);
}

static void
lives_are_judged(void **state)
{
	(void)state;
	assert_int_equal(stat_judge(0, STATS_SERVING, 'S', 0, SEC), LIFE_DOWN);
	assert_int_equal(stat_judge(1, STATS_DOWN, 'S', 0, SEC), LIFE_DOWN);
	assert_int_equal(stat_judge(1, STATS_SERVING, 0, 0, SEC), LIFE_DEAD);
	assert_int_equal(stat_judge(1, STATS_SERVING, 'Z', 0, SEC), LIFE_DEAD);
	assert_int_equal(stat_judge(1, STATS_SERVING, 'T', 9 * SEC, SEC), LIFE_STOPPED);
	assert_int_equal(stat_judge(1, STATS_SERVING, 'R', SEC + 1, SEC), LIFE_LATE);
	assert_int_equal(stat_judge(1, STATS_SERVING, 'R', SEC, SEC), LIFE_SERVING);
	assert_int_equal(stat_judge(1, STATS_STARTING, 'S', 0, SEC), LIFE_STARTING);
	assert_int_equal(stat_judge(1, STATS_DRAINING, 'D', 0, SEC), LIFE_DRAINING);
	assert_int_equal(stat_judge(0, STATS_UNUSED, 0, 0, SEC), LIFE_UNUSED);
	assert_int_equal(stat_judge(1, STATS_SURPLUS, 'S', 0, SEC), LIFE_SURPLUS);
	assert_int_equal(stat_judge(1, STATS_SURPLUS, 0, 0, SEC), LIFE_DEAD);
}

static void
health_follows_the_worst(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->view.health, STAT_HEALTHY);
	stats_set(&stats_worker(f->stats, 1)->state, STATS_SURPLUS);
	judge_again(f);
	assert_int_equal(f->view.health, STAT_HEALTHY);
	value_is(f, "workers", "1");
	stats_set(&stats_worker(f->stats, 1)->state, STATS_UNUSED);
	judge_again(f);
	assert_int_equal(f->view.health, STAT_HEALTHY);
	stats_set(&stats_worker(f->stats, 1)->state, STATS_SERVING);
	stats_set(&stats_worker(f->stats, 1)->heartbeat_us, 1);
	judge_again(f);
	assert_int_equal(f->view.lives[1], LIFE_LATE);
	assert_int_equal(f->view.health, STAT_DEGRADED);
	stats_worker_gone(f->stats, 1);
	judge_again(f);
	assert_int_equal(f->view.lives[1], LIFE_DOWN);
	assert_int_equal(f->view.health, STAT_DEGRADED);
	stats_set_state(f->stats, STATS_STOPPED);
	judge_again(f);
	assert_int_equal(f->view.health, STAT_NOT_RUNNING);
}

static void
values_by_name(void **state)
{
	struct fixture *f = *state;

	value_is(f, "clients", "33");
	value_is(f, "worker.1.clients", "11");
	value_is(f, "steward.clients", "12");
	value_is(f, "worker.0.life", "serving");
	value_is(f, "workers", "2");
	value_is(f, "pools", "1");
	value_is(f, "state", "ready");
	value_is(f, "health", "healthy");
	value_is(f, "xact_count", "12");
	value_is(f, "pool.shop.eu.al\"ice\n.xact_count", "12");
	/* a point in time is not summed */
	value_is(f, "pool.shop.eu.al\"ice\n.oldest_wait_us", "300");
}

static void
nearest_is(struct fixture *f, const char *name, const char *want)
{
	char value[512];

	assert_int_equal(stat_get(&f->view, name, value, sizeof value), STAT_UNKNOWN);
	assert_string_equal(value, want);
}

static void
unknown_names_get_the_nearest(void **state)
{
	struct fixture *f = *state;
	char *big, value[512];

	nearest_is(f, "client", "clients");
	nearest_is(f, "worker.1.client", "worker.1.clients");
	nearest_is(f, "worker.2.clients", "worker.0.clients");
	nearest_is(f, "stat", "state");
	big = calloc(1, 100001);
	assert_non_null(big);
	memset(big, 'x', 100000);
	/* whatever is nearest to that, it comes soon and in bounds */
	assert_int_equal(stat_get(&f->view, big, value, sizeof value), STAT_UNKNOWN);
	free(big);
}

static void
json_escapes_names(void **state)
{
	struct fixture *f = *state;
	char *text = NULL;
	size_t size;
	FILE *out;

	stats_pool_name(f->stats, 2, "bad\xff", "d\xc3\xa9j\xc3\xa0");
	out = open_memstream(&text, &size);
	assert_non_null(out);
	stat_json(&f->view, out);
	assert_int_equal(fclose(out), 0);
	assert_non_null(strstr(text, "\"database\": \"shop.eu\", \"user\": \"al\\\"ice\\u000a\""));
	assert_non_null(strstr(text, "\"bad\\ufffd\", \"user\": \"d\xc3\xa9j\xc3\xa0\""));
	assert_non_null(strstr(text, "\"xact_count\": 12"));
	free(text);
}

static void
table_disarms_names(void **state)
{
	struct fixture *f = *state;
	char *text = NULL;
	size_t size;
	FILE *out;

	out = open_memstream(&text, &size);
	assert_non_null(out);
	stat_show(&f->view, out);
	assert_int_equal(fclose(out), 0);
	assert_non_null(strstr(text, "al\"ice?"));
	free(text);
}

static void
no_segment_is_told(void **state)
{
	struct stat_view view;
	char why[128] = "";

	(void)state;
	assert_false(stat_open(&view, "/nonexistent/x", SEC, why, sizeof why));
	assert_true(strlen(why) > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lives_are_judged),
	    cmocka_unit_test_setup_teardown(health_follows_the_worst, setup, teardown),
	    cmocka_unit_test_setup_teardown(values_by_name, setup, teardown),
	    cmocka_unit_test_setup_teardown(unknown_names_get_the_nearest, setup, teardown),
	    cmocka_unit_test_setup_teardown(json_escapes_names, setup, teardown),
	    cmocka_unit_test_setup_teardown(table_disarms_names, setup, teardown),
	    cmocka_unit_test(no_segment_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

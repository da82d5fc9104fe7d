/*
 * test_loop: the loop's deadlines. It sleeps until the alarm, which is set for the next one only: a
 * deadline that comes in later but is due sooner, and one that was taken back, must move it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/timerfd.h>

#include "worker/loop.h"

static struct loop_source knock;
static struct timer far, near, gone, last;
static int knocks;
static bool far_rang, near_rang, gone_rang, last_rang;

static void
before_wait(void)
{
}

static void
knock_in(long ms)
{
	struct itimerspec t = {.it_value.tv_nsec = ms * 1000000};

	assert_int_equal(timerfd_settime(knock.fd, 0, &t, NULL), 0);
}

static void
rings_far(struct timer *t)
{
	(void)t;
	far_rang = true;
	loop_stop();
}

static void
rings_gone(struct timer *t)
{
	(void)t;
	gone_rang = true;
}

static void
rings_last(struct timer *t)
{
	assert_true(loop_now() >= t->at_us);
	last_rang = true;
	loop_stop();
}

static void
rings_near(struct timer *t)
{
	assert_true(loop_now() >= t->at_us);
	near_rang = true;
	timer_set(&gone, loop_now() + 2000000, rings_gone);
	timer_set(&last, loop_now() + 2100000, rings_last);
	knock_in(20);
}

static void
knocked(struct loop_source *s, uint32_t events)
{
	(void)s;
	(void)events;
	if (++knocks == 1)
		timer_set(&near, loop_now() + 20000, rings_near); /* the alarm is set for far */
	else
		timer_stop(&gone); /* ... for gone */
}

static void
test_deadlines(void **state)
{
	(void)state;
	loop_init(before_wait);
	knock = (struct loop_source){timerfd_create(CLOCK_MONOTONIC, 0), .fn = knocked};
	assert_int_equal(loop_add(&knock, EPOLLIN | EPOLLET), 0);
	timer_set(&far, loop_now() + 30000000, rings_far);
	knock_in(20);
	loop_run();
	assert_int_equal(knocks, 2);
	assert_true(near_rang);
	assert_true(last_rang);
	assert_false(gone_rang);
	assert_false(far_rang);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_deadlines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

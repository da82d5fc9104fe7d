/* test_share: who takes a connection, and to whom it is passed on. */
#include "worker/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define N(peers) (sizeof(peers) / sizeof((peers)[0]))

static void
even_ones_take(void **state)
{
	struct share_peer p[] = {{100, true}, {101, true}, {99, true}, {100, true}};
	size_t w;

	(void)state;
	for (w = 0; w < N(p); w++)
		assert_false(share_above(p, N(p), w));
}

static void
slack_is_two_or_a_32nd(void **state)
{
	struct share_peer few[] = {{3, true}, {0, true}}, many[] = {{824, true}, {776, true}};

	(void)state;
	assert_false(share_above(few, 2, 0));
	few[0].clients = 5;
	assert_true(share_above(few, 2, 0));
	assert_false(share_above(many, 2, 0)); /* 800 + 25 */
	many[0].clients = 828;
	assert_true(share_above(many, 2, 0));
}

/* One was killed: those who are left are above the new average until it has its share. */
static void
a_successor_is_needy(void **state)
{
	struct share_peer p[] = {{100, true}, {100, true}, {0, true}, {100, true}};
	size_t w;

	(void)state;
	for (w = 0; w < N(p); w++)
		assert_int_equal(share_above(p, N(p), w), w != 2);
	assert_int_equal(share_neediest(p, N(p), 0), 2);
	assert_int_equal(share_neediest(p, N(p), 3), 2);
}

static void
who_hangs_counts_for_nothing(void **state)
{
	struct share_peer p[] = {{100, true}, {100, true}, {0, false}, {100, true}};

	(void)state;
	assert_false(share_above(p, N(p), 0));
	p[0].clients = 110;
	assert_true(share_above(p, N(p), 0));
	assert_int_equal(share_neediest(p, N(p), 0), 1);
}

static void
nobody_to_pass_it_on_to(void **state)
{
	struct share_peer p[] = {{100, true}, {0, false}}, alone[] = {{7, true}},
			  low[] = {{0, true}, {9, true}};

	(void)state;
	assert_false(share_above(p, N(p), 0));
	assert_int_equal(share_neediest(p, N(p), 0), N(p));
	assert_false(share_above(alone, 1, 0));
	assert_int_equal(share_neediest(alone, 1, 0), 1);
	/* The only other one is above its own share. */
	assert_int_equal(share_neediest(low, N(low), 0), N(low));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(even_ones_take),
	    cmocka_unit_test(slack_is_two_or_a_32nd),
	    cmocka_unit_test(a_successor_is_needy),
	    cmocka_unit_test(who_hangs_counts_for_nothing),
	    cmocka_unit_test(nobody_to_pass_it_on_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

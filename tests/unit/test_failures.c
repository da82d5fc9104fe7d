/* test_failures: failed logins by address: counted, forgotten with time, pushed out by others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "shm/failures.h"

#define SECOND 1000000LL

static void
ipv4(uint8_t addr[16], uint32_t n)
{
	memset(addr, 0, 16);
	addr[10] = addr[11] = 0xff;
	memcpy(addr + 12, &n, 4);
}

static void
limit_and_time(void **state)
{
	struct failures *f = failures_create();
	uint8_t a[16], b[16];
	int64_t now = 1000 * SECOND;
	int i;

	(void)state;
	assert_non_null(f);
	ipv4(a, 1);
	ipv4(b, 2);
	for (i = 0; i < 6; i++) {
		assert_int_equal(failures_wait(f, a, now, 6), 0);
		failures_add(f, a, now, 6);
	}
	assert_int_equal(failures_wait(f, a, now, 6), 10 * SECOND);
	assert_int_equal(failures_wait(f, b, now, 6), 0);
	assert_int_equal(failures_wait(f, a, now + 10 * SECOND, 6), 0);
	failures_add(f, a, now + 10 * SECOND, 6);
	assert_int_equal(failures_wait(f, a, now + 10 * SECOND, 6), 10 * SECOND);
	assert_int_equal(failures_wait(f, a, now + 100 * SECOND, 6), 0);
	failures_destroy(f);
}

static void
networks(void **state)
{
	struct failures *f = failures_create();
	uint8_t a[16] = {0x20, 1, 0xd, 0xb8}, b[16] = {0x20, 1, 0xd, 0xb8}, c[16] = {0x20, 1};

	(void)state;
	a[15] = 1;
	b[8] = 7; /* the same network of 64 bits */
	failures_add(f, a, SECOND, 1);
	assert_true(failures_wait(f, b, SECOND, 1) > 0);
	assert_int_equal(failures_wait(f, c, SECOND, 1), 0);
	failures_destroy(f);
}

/* A million addresses: memory stays, and one that has just failed is known. */
static void
many(void **state)
{
	struct failures *f = failures_create();
	uint8_t a[16];
	uint32_t n;

	(void)state;
	for (n = 0; n < 1000000; n++) {
		ipv4(a, n);
		failures_add(f, a, SECOND + n, 1);
		assert_true(failures_wait(f, a, SECOND + n, 1) > 0);
	}
	failures_destroy(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(limit_and_time),
	    cmocka_unit_test(networks),
	    cmocka_unit_test(many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_ctlmsg: what is sent is what is accepted, and nothing else is.
 */
#include "proto/ctlmsg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define FIXED offsetof(struct ctlmsg, payload)

static void
init_fills_header(void **state)
{
	struct ctlmsg m;

	(void)state;
	memset(&m, 0xAA, sizeof(m));
	ctlmsg_init(&m, CTL_ASK, 3, 17);
	assert_int_equal(m.type, CTL_ASK);
	assert_int_equal(m.from, 3);
	assert_int_equal(m.from_incarnation, 17);
	assert_int_equal(m.to_incarnation, 0);
	assert_int_equal(m.arg32, 0);
	assert_int_equal(m.arg64, 0);
	assert_int_equal(m.payload_len, 0);
	assert_int_equal(ctlmsg_size(&m), FIXED);
}

static void
every_type_and_size_round_trips(void **state)
{
	struct ctlmsg m;
	struct ctlmsg got;

	(void)state;
	for (int type = CTL_READY; type < CTL_TYPES; type++) {
		ctlmsg_init(&m, (enum ctlmsg_type)type, 1, 1);
		assert_true(ctlmsg_valid(&m, ctlmsg_size(&m)));
	}
	ctlmsg_init(&m, CTL_GIVE, UINT32_MAX, 9);
	memset(m.payload, 'p', sizeof(m.payload));
	for (uint32_t n = 0; n <= sizeof(m.payload); n++) {
		m.payload_len = n;
		assert_int_equal(ctlmsg_size(&m), FIXED + n);
		/* What a datagram carries is enough to be valid on the other side. */
		memset(&got, 0, sizeof(got));
		memcpy(&got, &m, ctlmsg_size(&m));
		assert_true(ctlmsg_valid(&got, FIXED + n));
		assert_false(ctlmsg_valid(&got, FIXED + n - 1));
		assert_false(ctlmsg_valid(&got, FIXED + n + 1));
	}
	assert_memory_equal(got.payload, m.payload, sizeof(m.payload));
}

static void
wrong_headers_refused(void **state)
{
	struct ctlmsg m;
	struct ctlmsg bad;

	(void)state;
	ctlmsg_init(&m, CTL_WAKE, 0, 1);
	for (size_t n = 0; n < FIXED; n++)
		assert_false(ctlmsg_valid(&m, n));
	assert_false(ctlmsg_valid(&m, sizeof(m)));
	bad = m;
	bad.magic ^= 1;
	assert_false(ctlmsg_valid(&bad, FIXED));
	bad = m;
	bad.version++;
	assert_false(ctlmsg_valid(&bad, FIXED));
	bad = m;
	bad.type = 0;
	assert_false(ctlmsg_valid(&bad, FIXED));
	bad.type = CTL_TYPES;
	assert_false(ctlmsg_valid(&bad, FIXED));
	bad.type = UINT16_MAX;
	assert_false(ctlmsg_valid(&bad, FIXED));
}

/* A payload_len past the payload is neither sent nor believed, whatever it adds up to. */
static void
payload_len_that_lies(void **state)
{
	static const uint32_t lies[] = {65537, 65540, 1U << 31, UINT32_MAX - 36, UINT32_MAX};
	struct ctlmsg m;

	(void)state;
	ctlmsg_init(&m, CTL_CANCEL, 0, 1);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		m.payload_len = lies[i];
		assert_int_equal(ctlmsg_size(&m), FIXED + sizeof(m.payload));
		assert_false(ctlmsg_valid(&m, ctlmsg_size(&m)));
		assert_false(ctlmsg_valid(&m, FIXED + (size_t)lies[i]));
		assert_false(ctlmsg_valid(&m, FIXED + lies[i]));
	}
}

static void
names(void **state)
{
	(void)state;
	assert_string_equal(ctlmsg_name(CTL_READY), "READY");
	assert_string_equal(ctlmsg_name(CTL_CANCELED), "CANCELED");
	for (int a = CTL_READY; a < CTL_TYPES; a++)
		for (int b = a + 1; b <= CTL_TYPES; b++)
			assert_string_not_equal(
			    ctlmsg_name((enum ctlmsg_type)a), ctlmsg_name((enum ctlmsg_type)b));
	assert_string_equal(ctlmsg_name((enum ctlmsg_type)0), "unknown");
	assert_string_equal(ctlmsg_name(CTL_TYPES), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(init_fills_header),
	    cmocka_unit_test(every_type_and_size_round_trips),
	    cmocka_unit_test(wrong_headers_refused),
	    cmocka_unit_test(payload_len_that_lies),
	    cmocka_unit_test(names),
	};

	return cmocka_run_group_tests_name("ctlmsg", tests, NULL, NULL);
}

/*
 * test_move: what is packed is what is read; a record that is cut, of another version or with an
 * unknown field is refused as a whole.
 */
#include "proto/move.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static size_t
make_client(uint8_t *out, size_t size)
{
	struct move_client c = {.db = "app",
	    .pool_user = "svc",
	    .user = "alice",
	    .pid = 4711,
	    .long_key = true,
	    .settled = true,
	    .port = 1234,
	    .born_us = 5,
	    .active_us = -6,
	    .secret = "s3cret",
	    .linked = true,
	    .pins = 0x81,
	    .dirty = true,
	    .scram = {.salt = "salt", .salt_len = 4, .iterations = 4096}};
	struct move_statement s = {.name = "st1", .since = 1ULL << 40};
	struct wire_out w;
	size_t at;

	memset(c.key, 0x5a, sizeof(c.key));
	wire_init(&w, out, size);
	move_put_client(&w, &c);
	move_text(&w, MOVE_PARAMS, "params");
	move_text(&w, MOVE_START, "start");
	move_text(&w, MOVE_TOLD_FIRST, "first");
	move_text(&w, MOVE_TOLD_LAST, "last");
	at = move_put_statement(&w, &s);
	wire_int32(&w, 2);
	wire_bytes(&w, "st", 2);
	wire_int32(&w, 11);
	wire_bytes(&w, "select 1\0\0\0", 11);
	move_field_end(&w, at);
	at = move_field(&w, MOVE_INPUT);
	wire_bytes(&w, "Q\0\0", 3);
	move_field_end(&w, at);
	assert_false(w.failed);
	return w.len;
}

static void
client_round_trips(void **state)
{
	uint8_t bytes[1024];
	size_t n = make_client(bytes, sizeof(bytes)), at = 0;
	struct move_client c;
	struct move_statement s;

	(void)state;
	assert_true(move_get_client(&c, bytes, n));
	assert_string_equal(c.db, "app");
	assert_string_equal(c.pool_user, "svc");
	assert_string_equal(c.user, "alice");
	assert_string_equal(c.secret, "s3cret");
	assert_int_equal(c.pid, 4711);
	assert_true(c.long_key && c.settled && !c.is_unix);
	assert_int_equal(c.port, 1234);
	assert_int_equal(c.born_us, 5);
	assert_int_equal(c.active_us, -6);
	assert_int_equal(c.scram.iterations, 4096);
	assert_int_equal(c.scram.salt_len, 4);
	assert_int_equal(c.input.len, 3);
	assert_string_equal((const char *)c.told_first.p, "first");
	assert_string_equal((const char *)c.told_last.p, "last");
	assert_true(c.linked && c.dirty && !c.spoiled);
	assert_int_equal(c.pins, 0x81);
	assert_true(move_statement(&c, &at, &s));
	assert_string_equal(s.name, "st1");
	assert_int_equal(s.since, 1ULL << 40);
	assert_int_equal(s.settings.len, 2);
	assert_int_equal(s.body.len, 11);
	assert_false(move_statement(&c, &at, &s));
}

static void
cut_or_strange_is_refused(void **state)
{
	uint8_t bytes[1024];
	size_t n = make_client(bytes, sizeof(bytes)), i;
	struct move_client c;
	struct move_backend b;
	struct wire_out w;

	(void)state;
	for (i = 0; i < n; i++) { /* whole fields may be missing at the end, but not the needed */
		bool ok = move_get_client(&c, bytes, i);
		assert_true(!ok || (c.params.p != NULL && c.start.p != NULL));
	}
	assert_false(move_get_backend(&b, bytes, n));
	bytes[5]++; /* the version */
	assert_false(move_get_client(&c, bytes, n));
	bytes[5]--;
	wire_init(&w, bytes + n, sizeof(bytes) - n);
	move_text(&w, (enum move_tag)(MOVE_MAY_SKIP | 99), "later");
	assert_true(move_get_client(&c, bytes, n + w.len));
	wire_init(&w, bytes + n, sizeof(bytes) - n);
	move_text(&w, (enum move_tag)99, "later");
	assert_false(move_get_client(&c, bytes, n + w.len));
}

static void
backend_round_trips(void **state)
{
	struct move_backend b = {.db = "app",
				.pool_user = "svc",
				.pid = 99,
				.key = "key",
				.key_len = 3,
				.addr = "address",
				.addr_len = 7,
				.opened_us = 17,
				.dest = UINT64_MAX},
			    got;
	uint8_t bytes[512];
	struct wire_out w;

	(void)state;
	wire_init(&w, bytes, sizeof(bytes));
	move_put_backend(&w, &b);
	assert_false(move_get_backend(&got, bytes, w.len)); /* no facts */
	move_text(&w, MOVE_FACTS, "facts");
	assert_true(move_get_backend(&got, bytes, w.len));
	assert_int_equal(got.pid, 99);
	assert_int_equal(got.key_len, 3);
	assert_int_equal(got.addr_len, 7);
	assert_int_equal(got.opened_us, 17);
	assert_true(got.dest == UINT64_MAX);
	assert_memory_equal(got.addr, "address", 7);
	assert_false(move_get_backend(&got, bytes, w.len - 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(client_round_trips),
	    cmocka_unit_test(cut_or_strange_is_refused),
	    cmocka_unit_test(backend_round_trips),
	};

	return cmocka_run_group_tests_name("move", tests, NULL, NULL);
}

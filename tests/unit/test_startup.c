/*
 * test_startup: first packets, good, broken and hostile, and the options string.
 *
 * Every packet is parsed from a heap block of exactly its size, so that ASan sees a byte too many.
 */
#include "proto/startup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LAYOUT "invalid startup packet layout: expected terminator as last byte"
#define LENGTH "invalid length of startup packet"

static struct startup s;
static uint8_t *packet; /* the last one parsed: s points into it */

/* Parses exactly n bytes. */
static enum startup_kind
parse(const void *bytes, size_t n)
{
	free(packet);
	packet = malloc(n > 0 ? n : 1);
	assert_non_null(packet);
	if (n > 0)
		memcpy(packet, bytes, n);
	return startup_parse(packet, n, &s);
}

/* Parses code and body under a length word that is right. */
static enum startup_kind
parse_packet(uint32_t code, const void *body, size_t n)
{
	static uint8_t bytes[WIRE_STARTUP_MAX + 16];
	struct wire_out out;

	wire_init(&out, bytes, sizeof(bytes));
	wire_begin(&out, 0);
	wire_int32(&out, code);
	wire_bytes(&out, body, n);
	wire_end(&out);
	assert_false(out.failed);
	return parse(bytes, out.len);
}

/* A literal's last NUL is the packet's terminator. */
#define SESSION(code, body) parse_packet(code, body, sizeof(body))

static void
assert_bad(enum startup_kind kind, const char *sqlstate, const char *error)
{
	assert_int_equal(kind, STARTUP_BAD);
	assert_string_equal(s.sqlstate, sqlstate);
	assert_string_equal(s.error, error);
}

static void
session_plain(void **state)
{
	(void)state;
	assert_int_equal(
	    SESSION(WIRE_PROTO_3_0,
		"user\0alice\0database\0app\0application_name\0psql\0client_encoding\0UTF8\0"),
	    STARTUP_SESSION);
	assert_int_equal(s.protocol, WIRE_PROTO_3_0);
	assert_string_equal(s.user, "alice");
	assert_string_equal(s.database, "app");
	assert_int_equal(s.replication, REPLICATION_NONE);
	assert_null(s.options);
	assert_false(s.negotiate);
	assert_int_equal(s.nparams, 2);
	assert_string_equal(s.params[0].name, "application_name");
	assert_string_equal(s.params[0].value, "psql");
	assert_string_equal(s.params[1].name, "client_encoding");
	assert_string_equal(s.params[1].value, "UTF8");
}

static void
session_special_params(void **state)
{
	(void)state;
	assert_int_equal(
	    SESSION(WIRE_PROTO_3_2, "replication\0database\0options\0-c a=b\0user\0u\0"),
	    STARTUP_SESSION);
	assert_int_equal(s.replication, REPLICATION_LOGICAL);
	assert_string_equal(s.options, "-c a=b");
	assert_string_equal(s.database, "u");
	assert_int_equal(s.nparams, 0);
	assert_false(s.negotiate);
	/* Empty values are values; an empty database is the user's. */
	assert_int_equal(
	    SESSION(WIRE_PROTO_3_0, "user\0u\0database\0\0search_path\0\0"), STARTUP_SESSION);
	assert_string_equal(s.database, "u");
	assert_int_equal(s.nparams, 1);
	assert_string_equal(s.params[0].value, "");
}

static void
session_replication(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		enum startup_replication kind;
	} good[] = {{"database", REPLICATION_LOGICAL}, {"true", REPLICATION_PHYSICAL},
	    {"T", REPLICATION_PHYSICAL}, {"yes", REPLICATION_PHYSICAL},
	    {"on", REPLICATION_PHYSICAL}, {"1", REPLICATION_PHYSICAL}, {"false", REPLICATION_NONE},
	    {"No", REPLICATION_NONE}, {"of", REPLICATION_NONE}, {"0", REPLICATION_NONE}};
	static const char *const bad[] = {"", "o", "Database", "truely", "2", "10"};
	char params[64];
	size_t i;
	int n;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		n = snprintf(params, sizeof(params), "user%cu%creplication%c%s%c", 0, 0, 0,
		    good[i].value, 0);
		assert_int_equal(
		    parse_packet(WIRE_PROTO_3_0, params, (size_t)n + 1), STARTUP_SESSION);
		assert_int_equal(s.replication, good[i].kind);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		n = snprintf(
		    params, sizeof(params), "user%cu%creplication%c%s%c", 0, 0, 0, bad[i], 0);
		assert_int_equal(parse_packet(WIRE_PROTO_3_0, params, (size_t)n + 1), STARTUP_BAD);
		assert_string_equal(s.sqlstate, "22023");
	}
}

static void
session_duplicates(void **state)
{
	(void)state;
	assert_int_equal(
	    SESSION(WIRE_PROTO_3_0, "user\0a\0user\0b\0database\0c\0database\0d\0x\0001\0x\0002\0"),
	    STARTUP_SESSION);
	assert_string_equal(s.user, "b");
	assert_string_equal(s.database, "d");
	assert_int_equal(s.nparams, 2);
	assert_string_equal(s.params[0].value, "1");
	assert_string_equal(s.params[1].value, "2");
}

static void
session_long_names_kept(void **state)
{
	char body[256];
	int n = snprintf(body, sizeof(body), "user%c%0100d%cdatabase%c%0100d%c", 0, 1, 0, 0, 2, 0);

	(void)state;
	assert_int_equal(parse_packet(WIRE_PROTO_3_0, body, (size_t)n + 1), STARTUP_SESSION);
	assert_int_equal(strlen(s.user), 100);
	assert_int_equal(strlen(s.database), 100);
}

static void
session_without_user(void **state)
{
	const char *error = "no PostgreSQL user name specified in startup packet";

	(void)state;
	assert_bad(SESSION(WIRE_PROTO_3_0, ""), "28000", error);
	assert_bad(SESSION(WIRE_PROTO_3_0, "user\0\0"), "28000", error);
	assert_null(s.user);
	assert_bad(SESSION(WIRE_PROTO_3_0, "database\0d\0"), "28000", error);
	assert_bad(SESSION(WIRE_PROTO_3_0, "user\0u\0user\0\0"), "28000", error);
}

static void
layout_errors(void **state)
{
	(void)state;
	assert_bad(parse_packet(WIRE_PROTO_3_0, "", 0), "08P01", LAYOUT);
	assert_bad(parse_packet(WIRE_PROTO_3_0, "u", 1), "08P01", LAYOUT);
	assert_bad(parse_packet(WIRE_PROTO_3_0, "user", 4), "08P01", LAYOUT);
	assert_bad(parse_packet(WIRE_PROTO_3_0, "user", 5), "08P01", LAYOUT);
	assert_bad(parse_packet(WIRE_PROTO_3_0, "user\0u", 6), "08P01", LAYOUT);
	assert_bad(parse_packet(WIRE_PROTO_3_0, "user\0u", 7), "08P01", LAYOUT);
	assert_bad(parse_packet(WIRE_PROTO_3_0, "user\0u\0\0", 9), "08P01", LAYOUT);
	assert_bad(parse_packet(WIRE_PROTO_3_0, "user\0u\0\0x", 9), "08P01", LAYOUT);
	assert_bad(parse_packet(WIRE_PROTO_3_0, "\0user\0u\0\0", 9), "08P01", LAYOUT);
	/* PostgreSQL lets a single character pass for the terminator; we do not. */
	assert_bad(parse_packet(WIRE_PROTO_3_0, "user\0u\0x", 8), "08P01", LAYOUT);
}

static void
too_many_params(void **state)
{
	static const char *const names[] = {"x", "_pq_.x"};
	char body[4096];
	struct wire_out out;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		for (int n = STARTUP_MAX_PARAMS; n <= STARTUP_MAX_PARAMS + 1; n++) {
			wire_init(&out, body, sizeof(body));
			wire_bytes(&out, "user\0u", 7);
			for (int i = 0; i < n; i++) {
				wire_string(&out, names[k]);
				wire_string(&out, "v");
			}
			wire_byte(&out, 0);
			assert_false(out.failed);
			if (n == STARTUP_MAX_PARAMS)
				assert_int_equal(
				    parse_packet(WIRE_PROTO_3_0, body, out.len), STARTUP_SESSION);
			else
				assert_bad(parse_packet(WIRE_PROTO_3_0, body, out.len), "08P01",
				    "too many parameters in startup packet");
		}
	}
}

static void
versions(void **state)
{
	(void)state;
	assert_bad(SESSION(0x00020000, "user\0u\0"), "0A000",
	    "unsupported frontend protocol 2.0: server supports 3.0 to 3.2");
	assert_bad(SESSION(0x00040001, "user\0u\0"), "0A000",
	    "unsupported frontend protocol 4.1: server supports 3.0 to 3.2");
	assert_bad(SESSION(0xFFFFFFFF, "user\0u\0"), "0A000",
	    "unsupported frontend protocol 65535.65535: server supports 3.0 to 3.2");
	assert_bad(SESSION(0, "user\0u\0"), "0A000",
	    "unsupported frontend protocol 0.0: server supports 3.0 to 3.2");
	/* The neighbours of the request codes are just versions. */
	assert_bad(SESSION(WIRE_CODE_GSSENC + 1, "user\0u\0"), "0A000",
	    "unsupported frontend protocol 1234.5681: server supports 3.0 to 3.2");
	for (uint32_t minor = 0; minor <= 4; minor++) {
		assert_int_equal(SESSION(WIRE_PROTO_3_0 + minor, "user\0u\0"), STARTUP_SESSION);
		assert_int_equal(s.negotiate, minor > 2);
	}
}

/* Checks the answer to s: a version and the names given. */
static void
assert_negotiates(uint32_t version, uint32_t n, const char *const *names)
{
	uint8_t buf[256];
	struct wire_out out;
	struct wire_in in;
	uint8_t type;
	uint32_t len;

	assert_true(s.negotiate);
	wire_init(&out, buf, sizeof(buf));
	startup_negotiate(&out, &s);
	assert_false(out.failed);
	assert_int_equal(wire_header(buf, out.len, sizeof(buf), &type, &len), WIRE_OK);
	assert_int_equal(type, 'v');
	assert_int_equal(len, out.len);
	wire_read(&in, buf + WIRE_HEADER, len - WIRE_HEADER);
	assert_int_equal(wire_get_int32(&in), version);
	assert_int_equal(wire_get_int32(&in), n);
	for (uint32_t i = 0; i < n; i++)
		assert_string_equal(wire_get_string(&in), names[i]);
	assert_int_equal(in.left, 0);
}

static void
negotiation(void **state)
{
	static const char *const names[] = {"_pq_.one", "_pq_.two"};

	(void)state;
	assert_int_equal(SESSION(0x0003270F, "user\0u\0"), STARTUP_SESSION);
	assert_negotiates(WIRE_PROTO_3_2, 0, NULL);
	/* Never a higher version than was asked for. */
	assert_int_equal(SESSION(WIRE_PROTO_3_0, "_pq_.one\0001\0user\0u\0_pq_.two\0002\0a\0b\0"),
	    STARTUP_SESSION);
	assert_int_equal(s.npq, 2);
	assert_int_equal(s.nparams, 1);
	assert_negotiates(WIRE_PROTO_3_0, 2, names);
	assert_int_equal(SESSION(0x00030003, "_pq_.one\0001\0user\0u\0"), STARTUP_SESSION);
	assert_negotiates(WIRE_PROTO_3_2, 1, names);
	/* The prefix is case sensitive and needs its dot. */
	assert_int_equal(SESSION(WIRE_PROTO_3_0, "user\0u\0_pq_x\0001\0"), STARTUP_SESSION);
	assert_false(s.negotiate);
}

static void
requests(void **state)
{
	(void)state;
	assert_int_equal(parse_packet(WIRE_CODE_SSL, NULL, 0), STARTUP_SSL);
	assert_int_equal(s.len, 8);
	assert_int_equal(parse_packet(WIRE_CODE_GSSENC, NULL, 0), STARTUP_GSSENC);
	assert_int_equal(s.len, 8);
	assert_bad(parse_packet(WIRE_CODE_SSL, "", 1), "08P01", LENGTH);
	assert_bad(parse_packet(WIRE_CODE_GSSENC, "", 1), "08P01", LENGTH);
	/* What follows a complete packet is not ours to read, but does not disturb. */
	assert_int_equal(parse("\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x08", 12), STARTUP_SSL);
	assert_int_equal(s.len, 8);
}

static void
cancel_lengths(void **state)
{
	static const uint8_t key[257] = {0xFF, 0xFF, 0xFF, 0xFE, 'k', 'e', 'y', '!'};

	(void)state;
	for (size_t n = 0; n <= sizeof(key) - 4; n++) {
		enum startup_kind kind = parse_packet(WIRE_CODE_CANCEL, key, 4 + n);

		if (n < 4) {
			assert_bad(
			    kind, "08P01", "invalid length of cancel key in cancel request packet");
			continue;
		}
		assert_int_equal(kind, STARTUP_CANCEL);
		assert_int_equal(s.cancel_pid, -2);
		assert_int_equal(s.cancel_key_len, n);
		assert_memory_equal(s.cancel_key, key + 4, n);
		assert_ptr_equal(s.cancel_key, packet + 12);
	}
	for (size_t n = 0; n < 4; n++)
		assert_bad(parse_packet(WIRE_CODE_CANCEL, key, n), "08P01",
		    "invalid length of cancel request packet");
}

static void
cancel_key_longest(void **state)
{
	static const uint8_t body[4 + 257];

	(void)state;
	assert_int_equal(parse_packet(WIRE_CODE_CANCEL, body, 4 + 256), STARTUP_CANCEL);
	assert_int_equal(s.cancel_key_len, 256);
	assert_bad(parse_packet(WIRE_CODE_CANCEL, body, 4 + 257), "08P01",
	    "invalid length of cancel key in cancel request packet");
}

static void
lengths(void **state)
{
	static uint8_t bytes[WIRE_STARTUP_MAX] = {0, 0, 0x27, 0x10, 0, 3, 0, 0};
	static const uint32_t bad[] = {0, 1, 4, 7, 10001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
	uint8_t word[4];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		wire_put32(word, bad[i]);
		assert_bad(parse(word, 4), "08P01", LENGTH);
	}
	wire_put32(word, 8);
	assert_int_equal(parse(word, 4), STARTUP_MORE);
	/* The longest: user\0 and a name that fills the packet. */
	memset(bytes + 8, 'u', sizeof(bytes) - 8);
	memcpy(bytes + 8, "user", 5);
	memset(bytes + sizeof(bytes) - 2, 0, 2);
	assert_int_equal(parse(bytes, 4), STARTUP_MORE);
	assert_int_equal(s.len, WIRE_STARTUP_MAX);
	assert_int_equal(parse(bytes, sizeof(bytes) - 1), STARTUP_MORE);
	assert_int_equal(parse(bytes, sizeof(bytes)), STARTUP_SESSION);
	assert_int_equal(strlen(s.user), WIRE_STARTUP_MAX - 8 - 5 - 2);
}

static void
garbage_refused_at_once(void **state)
{
	(void)state;
	assert_bad(parse("\x16\x03\x01\x02", 4), "08P01", LENGTH);
	assert_bad(parse("GET / HTTP/1.1\r\n\r\n", 18), "08P01", LENGTH);
	assert_bad(parse("GET ", 4), "08P01", LENGTH);
	assert_bad(parse("SSH-", 4), "08P01", LENGTH);
	assert_bad(parse("\xff\xff\xff\xff", 4), "08P01", LENGTH);
	/* One byte can be enough. */
	assert_bad(parse("\x16", 1), "08P01", LENGTH);
	assert_bad(parse("\0\x01", 2), "08P01", LENGTH);
	assert_bad(parse("\0\0\x28", 3), "08P01", LENGTH);
	assert_int_equal(parse("\0\0\x27", 3), STARTUP_MORE);
}

/* However the bytes drip in, the outcome is the one of the whole packet. */
static void
slow_drip(void **state)
{
	static const char body[] = "\0\0\0\x20\0\3\0\0user\0alice\0a\0b\0c\0d\0e\0f\0";

	(void)state;
	assert_int_equal(sizeof(body), 0x20);
	for (size_t n = 0; n < sizeof(body); n++) {
		assert_int_equal(parse(body, n), STARTUP_MORE);
		assert_int_equal(s.len, n < 4 ? 8 : 0x20);
	}
	assert_int_equal(parse(body, sizeof(body)), STARTUP_SESSION);
	assert_int_equal(s.nparams, 3);
}

static char seen[256];

static int
note(void *arg, const char *name, const char *value)
{
	size_t used = strlen(seen);

	snprintf(seen + used, sizeof(seen) - used, "[%s=%s]", name, value);
	return arg != NULL && strcmp(arg, name) == 0;
}

static const char *
walk(const char *options)
{
	seen[0] = '\0';
	return startup_options(options, note, NULL) == 0 ? seen : NULL;
}

static void
options_good(void **state)
{
	(void)state;
	assert_string_equal(walk(""), "");
	assert_string_equal(walk(" \t\r\n\v\f "), "");
	assert_string_equal(walk("-c a=b"), "[a=b]");
	assert_string_equal(walk("-ca=b"), "[a=b]");
	assert_string_equal(walk("--a=b"), "[a=b]");
	assert_string_equal(walk("  -c  a=b\t--c=d -ce=f  "), "[a=b][c=d][e=f]");
	assert_string_equal(walk("--search-path=a-b"), "[search_path=a-b]");
	assert_string_equal(walk("-c statement-timeout=5"), "[statement_timeout=5]");
	assert_string_equal(walk("-c a="), "[a=]");
	assert_string_equal(walk("-c a=b=c"), "[a=b=c]");
	assert_string_equal(walk("-c -c=d"), "[_c=d]");
	assert_string_equal(walk("-c a='b"), "[a='b]");
}

static void
options_escapes(void **state)
{
	(void)state;
	assert_string_equal(walk("-c search_path=a,\\ b"), "[search_path=a, b]");
	assert_string_equal(walk("-c a=\\\\"), "[a=\\]");
	assert_string_equal(walk("-c a=\\\\\\ b -cc=d"), "[a=\\ b][c=d]");
	assert_string_equal(walk("-c a=\\b"), "[a=b]");
	assert_string_equal(walk("-c\\ a=b"), "[ a=b]");
	assert_string_equal(walk("-c a=b\\"), "[a=b]");
	assert_string_equal(walk("\\-\\c a=b"), "[a=b]");
}

static void
options_bad(void **state)
{
	static const char *const bad[] = {"x", "-", "--", "-c", "-c ", "-c a", "-ca", "--a", "--=b",
	    "-c =b", "-c=b", "-d 5", "-B 5", "a=b", "\\", "-c a=b x", "-- a=b", "-c \\"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (walk(bad[i]) != NULL)
			fail_msg("accepted: %s", bad[i]);
	/* What came before the error has been told. */
	assert_null(walk("-c a=b x"));
	assert_string_equal(seen, "[a=b]");
}

static void
options_stop_and_size(void **state)
{
	static char longest[WIRE_STARTUP_MAX + 1];

	(void)state;
	seen[0] = '\0';
	assert_int_equal(startup_options("-ca=1 -cb=2 -cc=3", note, seen + 200), 0);
	strcpy(seen + 200, "b");
	seen[0] = '\0';
	assert_int_equal(startup_options("-ca=1 -cb=2 -cc=3", note, seen + 200), -1);
	assert_string_equal(seen, "[a=1][b=2]");
	memset(longest, 'x', WIRE_STARTUP_MAX);
	memcpy(longest, "-ca=", 4);
	assert_int_equal(startup_options(longest, note, NULL), -1);
	longest[WIRE_STARTUP_MAX - 1] = '\0';
	seen[0] = '\0';
	assert_int_equal(startup_options(longest, note, NULL), 0);
}

static int
release(void **state)
{
	(void)state;
	free(packet);
	packet = NULL;
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(session_plain),
	    cmocka_unit_test(session_special_params),
	    cmocka_unit_test(session_replication),
	    cmocka_unit_test(session_duplicates),
	    cmocka_unit_test(session_long_names_kept),
	    cmocka_unit_test(session_without_user),
	    cmocka_unit_test(layout_errors),
	    cmocka_unit_test(too_many_params),
	    cmocka_unit_test(versions),
	    cmocka_unit_test(negotiation),
	    cmocka_unit_test(requests),
	    cmocka_unit_test(cancel_lengths),
	    cmocka_unit_test(cancel_key_longest),
	    cmocka_unit_test(lengths),
	    cmocka_unit_test(garbage_refused_at_once),
	    cmocka_unit_test(slow_drip),
	    cmocka_unit_test(options_good),
	    cmocka_unit_test(options_escapes),
	    cmocka_unit_test(options_bad),
	    cmocka_unit_test(options_stop_and_size),
	};

	return cmocka_run_group_tests_name("startup", tests, NULL, release);
}

/*
 * test_wire: framing, the writer at every size that is too small, the reader at every body that is
 * too short, and quoting.
 */
#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
integers(void **state)
{
	static const uint32_t values[] = {
	    0, 1, 0x7F, 0x80, 0xFF00, 0x7FFFFFFF, 0x80000000, 0x01020304, 0xFFFFFFFF};
	uint8_t bytes[4];

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		wire_put32(bytes, values[i]);
		assert_int_equal(wire_get32(bytes), values[i]);
	}
	wire_put32(bytes, 0x01020304);
	assert_memory_equal(bytes, "\1\2\3\4", 4);
}

static void
header_lengths(void **state)
{
	/* length word, max, what is expected */
	static const struct {
		uint32_t length;
		uint32_t max;
		enum wire_result result;
	} cases[] = {
	    {0, 100, WIRE_BAD},
	    {3, 100, WIRE_BAD},
	    {4, 100, WIRE_OK},
	    {99, 100, WIRE_OK},
	    {100, 100, WIRE_BAD},
	    {4, 5, WIRE_OK},
	    {4, 4, WIRE_BAD},
	    {4, 0, WIRE_BAD},
	    {0x7FFFFFFF, 0x40000000, WIRE_BAD},
	    {0x80000000, 0x7FFFFFFF, WIRE_BAD},
	    {0xFFFFFFFF, 0xFFFFFFFF, WIRE_BAD},
	    {0xFFFFFFFE, 0xFFFFFFFF, WIRE_OK},
	};
	uint8_t bytes[5] = {'Q'};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t type = 0;
		uint32_t len = 0;

		wire_put32(bytes + 1, cases[i].length);
		assert_int_equal(wire_header(bytes, 5, cases[i].max, &type, &len), cases[i].result);
		assert_int_equal(type, cases[i].result == WIRE_OK ? 'Q' : 0);
		assert_int_equal(len, cases[i].result == WIRE_OK ? cases[i].length + 1 : 0);
		for (size_t n = 0; n < 5; n++)
			assert_int_equal(
			    wire_header(bytes, n, cases[i].max, &type, &len), WIRE_MORE);
	}
	assert_int_equal(wire_header(NULL, 0, 100, bytes, &(uint32_t){0}), WIRE_MORE);
}

static void
types(void **state)
{
	static const char frontend[] = "QPBDECSHFXdcf";
	static const char backend[] = "RKSNEZTDCI123ntsAGHWVdcv";

	(void)state;
	for (int c = 0; c < 256; c++) {
		assert_int_equal(wire_frontend_type((uint8_t)c), c != 0 && strchr(frontend, c));
		assert_int_equal(wire_backend_type((uint8_t)c), c != 0 && strchr(backend, c));
	}
}

#define STREAM_MESSAGES 12

/* Messages of random types and lengths; returns the stream's length. */
static size_t
random_stream(uint8_t *bytes, size_t size, unsigned seed)
{
	struct wire_out out;

	srandom(seed);
	wire_init(&out, bytes, size);
	for (int i = 0; i < STREAM_MESSAGES; i++) {
		wire_begin(&out, (uint8_t)(1 + random() % 255));
		for (long n = random() % (random() % 4 == 0 ? 40 : 3); n > 0; n--)
			wire_byte(&out, (uint8_t)random());
		wire_end(&out);
	}
	assert_false(out.failed);
	return out.len;
}

struct frames {
	uint8_t type[STREAM_MESSAGES];
	uint32_t len[STREAM_MESSAGES];
	size_t n;
};

/*
 * A receiver to whom the stream comes in pieces [0,a) [a,b) [b,len): what is not a whole message
 * stays in its buffer, a heap block of just that size.
 */
static void
receive(const uint8_t *bytes, const size_t ends[3], struct frames *f)
{
	size_t start = 0;

	f->n = 0;
	for (int piece = 0; piece < 3; piece++) {
		size_t have = ends[piece] - start;
		uint8_t *buf = malloc(have > 0 ? have : 1);
		size_t used = 0;
		uint8_t type;
		uint32_t len;

		assert_non_null(buf);
		memcpy(buf, bytes + start, have);
		while (wire_header(buf + used, have - used, 1024, &type, &len) == WIRE_OK &&
		       len <= have - used) {
			assert_true(f->n < STREAM_MESSAGES);
			f->type[f->n] = type;
			f->len[f->n++] = len;
			used += len;
		}
		free(buf);
		start += used;
	}
	assert_int_equal(start, ends[2]);
}

/* Wherever the network cuts a stream in three, the frames are the same. */
static void
frames_do_not_depend_on_splits(void **state)
{
	uint8_t bytes[1024];
	struct frames whole;
	struct frames cut;

	(void)state;
	memset(&whole, 0, sizeof(whole));
	memset(&cut, 0, sizeof(cut));
	for (unsigned seed = 1; seed <= 8; seed++) {
		size_t len = random_stream(bytes, sizeof(bytes), seed);

		receive(bytes, (size_t[]){len, len, len}, &whole);
		assert_int_equal(whole.n, STREAM_MESSAGES);
		for (size_t a = 0; a <= len; a++)
			for (size_t b = a; b <= len; b++) {
				receive(bytes, (size_t[]){a, b, len}, &cut);
				assert_memory_equal(&cut, &whole, sizeof(whole));
			}
	}
}

static void
writer_frames(void **state)
{
	static const uint8_t expected[] = {'x', 0, 0, 0, 16, 7, 1, 2, 1, 2, 3, 4, 'a', 'b', 0, 'z',
	    'z', 'S', 0, 0, 0, 4, 0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f};
	uint8_t buf[64];
	struct wire_out out;

	(void)state;
	wire_init(&out, buf, sizeof(buf));
	wire_begin(&out, 'x');
	wire_byte(&out, 7);
	wire_int16(&out, 0x0102);
	wire_int32(&out, 0x01020304);
	wire_string(&out, "ab");
	wire_bytes(&out, "zz", 2);
	wire_bytes(&out, NULL, 0);
	wire_end(&out);
	wire_begin(&out, 'S');
	wire_end(&out);
	wire_begin(&out, 0);
	wire_int32(&out, WIRE_CODE_SSL);
	wire_end(&out);
	assert_false(out.failed);
	assert_int_equal(out.len, sizeof(expected));
	assert_memory_equal(buf, expected, sizeof(expected));
}

/* One of each; what they amount to. */
static void
write_all(struct wire_out *out)
{
	static const struct wire_error e = {"ERROR", "08P01", "m", NULL, NULL};

	wire_ready(out, 'I');
	wire_parameter(out, "TimeZone", "UTC");
	wire_query(out, "select 1");
	wire_error(out, &e);
	wire_cancel(out, -2, (const uint8_t *)"key!", 4);
}

static void
whole_messages(void **state)
{
	static const char expected[] = "Z\0\0\0\5I"
				       "S\0\0\0\x11TimeZone\0UTC\0"
				       "Q\0\0\0\x0dselect 1\0"
				       "E\0\0\0\x1dSERROR\0VERROR\0C08P01\0Mm\0\0"
				       "\0\0\0\x10\x04\xd2\x16\x2e\xff\xff\xff\xfekey!";
	uint8_t buf[128];
	struct wire_out out;

	(void)state;
	wire_init(&out, buf, sizeof(buf));
	write_all(&out);
	assert_false(out.failed);
	assert_int_equal(out.len, sizeof(expected) - 1);
	assert_memory_equal(buf, expected, sizeof(expected) - 1);
}

/* At every size the failure is noticed, nothing is written past it, and len ends a message. */
static void
writer_without_room(void **state)
{
	static const size_t borders[] = {0, 6, 24, 38, 68, 84};
	struct wire_out out;

	(void)state;
	for (size_t size = 0; size <= 90; size++) {
		uint8_t *buf = malloc(size > 0 ? size : 1);
		size_t border = 0;

		assert_non_null(buf);
		wire_init(&out, buf, size);
		write_all(&out);
		assert_int_equal(out.failed, size < 84);
		while (border + 1 < COUNT(borders) && borders[border + 1] <= size)
			border++;
		/* The error can do without its one character of text. */
		if (size == 67)
			assert_int_equal(out.len, 67);
		else
			assert_int_equal(out.len, borders[border]);
		free(buf);
	}
	wire_init(&out, NULL, 0);
	write_all(&out);
	assert_true(out.failed);
	assert_int_equal(out.len, 0);
}

static void
failure_sticks(void **state)
{
	uint8_t buf[8];
	struct wire_out out;

	(void)state;
	wire_init(&out, buf, sizeof(buf));
	wire_string(&out, "too long a text");
	assert_true(out.failed);
	assert_int_equal(out.len, 0);
	wire_byte(&out, 1);
	assert_int_equal(out.len, 0);
	wire_int16(&out, 1);
	wire_int32(&out, 1);
	wire_ready(&out, 'I');
	assert_int_equal(out.len, 0);
}

static const char long_text[] = "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x98 end";

/* Is it UTF-8 to its end? Enough of a check for long_text's characters. */
static bool
utf8_whole(const char *s)
{
	while (*s != '\0') {
		uint8_t c = (uint8_t)*s++;
		int tail = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;

		if (tail == 0 && c >= 0x80)
			return false;
		for (; tail > 0; tail--)
			if (((uint8_t)*s++ & 0xC0) != 0x80)
				return false;
	}
	return true;
}

/* One error in exactly `size` bytes, the invariants checked. */
static void
check_error_in(size_t size, const struct wire_error *e)
{
	uint8_t *buf = malloc(size > 0 ? size : 1);
	struct wire_out out;
	const char *message;
	const char *detail;
	const char *hint;
	const void *body;
	uint8_t type;
	uint32_t len;

	assert_non_null(buf);
	wire_init(&out, buf, size);
	wire_error(&out, e);
	if (out.failed) {
		assert_int_equal(out.len, 0);
		assert_true(size < 5 + 14 + 7 + 2 + 1);
		free(buf);
		return;
	}
	assert_int_equal(wire_header(buf, out.len, UINT32_MAX, &type, &len), WIRE_OK);
	assert_int_equal(len, out.len);
	body = buf + WIRE_HEADER;
	len -= WIRE_HEADER;
	message = wire_error_field(body, len, 'M');
	detail = wire_error_field(body, len, 'D');
	hint = wire_error_field(body, len, 'H');
	assert_non_null(message);
	assert_true(utf8_whole(message));
	assert_int_equal(strncmp(message, e->message, strlen(message)), 0);
	/* A shortened text means that detail and hint are gone, a hint that all is there. */
	if (strlen(message) < strlen(e->message)) {
		assert_null(detail);
		assert_true(size - out.len <= 3);
	}
	if (detail == NULL)
		assert_null(hint);
	else
		assert_string_equal(detail, e->detail);
	if (hint != NULL)
		assert_string_equal(hint, e->hint);
	free(buf);
}

static void
error_at_every_size(void **state)
{
	const struct wire_error e = {"ERROR", "08P01", long_text, "the detail", "hint"};

	(void)state;
	for (size_t size = 0; size < 100; size++)
		check_error_in(size, &e);
}

static void
error_drops_in_order(void **state)
{
	struct wire_error e = {"ERROR", "08P01", "message", "detail", "hint"};
	uint8_t buf[128];
	struct wire_out out;
	size_t all;

	(void)state;
	wire_init(&out, buf, sizeof(buf));
	wire_notice(&out, &e);
	assert_int_equal(buf[0], 'N');
	all = out.len;
	assert_string_equal(wire_error_field(buf + 5, all - 5, 'H'), "hint");
	wire_init(&out, buf, all - 1);
	wire_notice(&out, &e);
	assert_int_equal(out.len, all - strlen("Hhint") - 1);
	assert_null(wire_error_field(buf + 5, out.len - 5, 'H'));
	assert_string_equal(wire_error_field(buf + 5, out.len - 5, 'D'), "detail");
	wire_init(&out, buf, out.len - 1);
	wire_notice(&out, &e);
	assert_null(wire_error_field(buf + 5, out.len - 5, 'D'));
	assert_string_equal(wire_error_field(buf + 5, out.len - 5, 'M'), "message");
	/* A hint alone is kept when it fits. */
	e.detail = NULL;
	wire_init(&out, buf, sizeof(buf));
	wire_notice(&out, &e);
	assert_string_equal(wire_error_field(buf + 5, out.len - 5, 'H'), "hint");
}

/* Latin-1 or noise in a text is cut where it must be, not thrown away. */
static void
error_text_not_utf8(void **state)
{
	const struct wire_error e = {
	    "ERROR", "08P01", "\x80\x81\x82\x83\x84\x85\x86\x87", NULL, NULL};
	uint8_t buf[29 + 6];
	struct wire_out out;

	(void)state;
	wire_init(&out, buf, sizeof(buf));
	wire_error(&out, &e);
	assert_false(out.failed);
	assert_int_equal(out.len, sizeof(buf));
}

static void
reader(void **state)
{
	static const uint8_t body[] = {7, 1, 2, 1, 2, 3, 4, 'a', 'b', 0, 0, 'z', 'z'};
	struct wire_in in;

	(void)state;
	wire_read(&in, body, sizeof(body));
	assert_int_equal(wire_get_byte(&in), 7);
	assert_int_equal(wire_get_int16(&in), 0x0102);
	assert_int_equal(wire_get_int32(&in), 0x01020304);
	assert_string_equal(wire_get_string(&in), "ab");
	assert_string_equal(wire_get_string(&in), "");
	assert_ptr_equal(wire_get_bytes(&in, 2), body + 11);
	assert_false(in.failed);
	assert_int_equal(in.left, 0);
	assert_non_null(wire_get_bytes(&in, 0));
	assert_false(in.failed);
	assert_null(wire_get_string(&in));
	assert_true(in.failed);
}

static void
reader_past_end(void **state)
{
	static const uint8_t body[] = {1, 2, 3, 'x'};
	struct wire_in in;

	(void)state;
	wire_read(&in, body, 3);
	assert_int_equal(wire_get_int32(&in), 0);
	assert_true(in.failed);
	/* Once failed, what would fit is not read either. */
	assert_int_equal(wire_get_byte(&in), 0);
	assert_int_equal(wire_get_int16(&in), 0);
	assert_null(wire_get_bytes(&in, 0));
	wire_read(&in, body, 1);
	assert_int_equal(wire_get_int16(&in), 0);
	assert_true(in.failed);
	wire_read(&in, body, 0);
	assert_int_equal(wire_get_byte(&in), 0);
	assert_true(in.failed);
	wire_read(&in, body, 4);
	assert_null(wire_get_string(&in));
	assert_true(in.failed);
	wire_read(&in, body, 4);
	assert_null(wire_get_bytes(&in, SIZE_MAX));
	wire_read(&in, NULL, 0);
	assert_null(wire_get_string(&in));
}

static void
error_fields(void **state)
{
	static const char body[] = "SERROR\0C42P01\0Mno\0D\0MLATER\0";
	char *cut;

	(void)state;
	assert_string_equal(wire_error_field(body, sizeof(body), 'S'), "ERROR");
	assert_string_equal(wire_error_field(body, sizeof(body), 'C'), "42P01");
	assert_string_equal(wire_error_field(body, sizeof(body), 'M'), "no");
	assert_string_equal(wire_error_field(body, sizeof(body), 'D'), "");
	assert_null(wire_error_field(body, sizeof(body), 'H'));
	assert_null(wire_error_field(body, sizeof(body), '\0'));
	assert_null(wire_error_field("\0Mx\0", 4, 'M'));
	assert_true(wire_error_is(body, sizeof(body), "42P01"));
	assert_true(wire_error_is(body, sizeof(body), "42"));
	assert_false(wire_error_is(body, sizeof(body), "42P02"));
	assert_false(wire_error_is("SERROR\0", 8, "42"));
	assert_null(wire_error_field(NULL, 0, 'M'));
	/* Cut anywhere, a field is found only when its NUL is there. */
	for (size_t n = 0; n <= sizeof(body); n++) {
		cut = malloc(n > 0 ? n : 1);
		assert_non_null(cut);
		memcpy(cut, body, n);
		assert_int_equal(wire_error_field(cut, n, 'C') != NULL, n >= 14);
		assert_null(wire_error_field(cut, n, 'H'));
		free(cut);
	}
}

static void
quoting(void **state)
{
	static const struct {
		const char *value;
		const char *quoted;
	} cases[] = {
	    {"", "''"},
	    {"abc", "'abc'"},
	    {"O'Neil", "'O''Neil'"},
	    {"'", "''''"},
	    {"\\", "E'\\\\'"},
	    {"a\\b'c", "E'a\\\\b''c'"},
	    {"\\'", "E'\\\\'''"},
	    {"\xc3\xa9", "'\xc3\xa9'"},
	    /* In SJIS 95 5C is one character: doubling would free the quote. */
	    {"\x95\\'", "E'\x95\\134'''"},
	    {"\x95\\\\", "E'\x95\\134\\\\'"},
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t n = strlen(cases[i].quoted);

		memset(out, '#', sizeof(out));
		assert_int_equal(wire_quote_literal(cases[i].value, out, sizeof(out)), n);
		assert_string_equal(out, cases[i].quoted);
		assert_int_equal(wire_quote_literal(cases[i].value, out, n + 1), n);
		for (size_t size = 0; size <= n; size++) {
			memset(out, '#', sizeof(out));
			assert_int_equal(wire_quote_literal(cases[i].value, out, size), 0);
			assert_int_equal(out[size], '#');
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(integers),
	    cmocka_unit_test(header_lengths),
	    cmocka_unit_test(types),
	    cmocka_unit_test(frames_do_not_depend_on_splits),
	    cmocka_unit_test(writer_frames),
	    cmocka_unit_test(whole_messages),
	    cmocka_unit_test(writer_without_room),
	    cmocka_unit_test(failure_sticks),
	    cmocka_unit_test(error_at_every_size),
	    cmocka_unit_test(error_drops_in_order),
	    cmocka_unit_test(error_text_not_utf8),
	    cmocka_unit_test(reader),
	    cmocka_unit_test(reader_past_end),
	    cmocka_unit_test(error_fields),
	    cmocka_unit_test(quoting),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}

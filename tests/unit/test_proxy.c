/* test_proxy: headers of the PROXY protocol: whole, in pieces, broken. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "proto/proxy.h"

static enum proxy_result
line(const char *text, struct proxy *x)
{
	return proxy_parse((const uint8_t *)text, strlen(text), x);
}

static const char *
address(const struct proxy *x)
{
	static char text[INET6_ADDRSTRLEN];

	return inet_ntop(AF_INET6, &x->addr, text, sizeof(text));
}

/* Every beginning of it is PROXY_MORE, and what follows it does not matter. */
static void
in_pieces(const void *bytes, size_t len)
{
	uint8_t more[256];
	struct proxy x;
	size_t n;

	for (n = 0; n < len; n++)
		assert_int_equal(proxy_parse(bytes, n, &x), PROXY_MORE);
	memcpy(more, bytes, len);
	memset(more + len, 'x', 10);
	assert_int_equal(proxy_parse(more, len + 10, &x), PROXY_OK);
	assert_int_equal(x.len, len);
}

static void
version_1(void **state)
{
	static const char v4[] = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 5432\r\n";
	static const char v6[] = "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n";
	struct proxy x;

	(void)state;
	assert_int_equal(line(v4, &x), PROXY_OK);
	assert_true(x.known);
	assert_string_equal(address(&x), "::ffff:192.0.2.1");
	assert_int_equal(x.port, 56324);
	in_pieces(v4, strlen(v4));
	assert_int_equal(line(v6, &x), PROXY_OK);
	assert_string_equal(address(&x), "2001:db8::1");
	assert_int_equal(x.port, 1);
	in_pieces(v6, strlen(v6));
	assert_int_equal(line("PROXY UNKNOWN\r\n", &x), PROXY_OK);
	assert_false(x.known);
	assert_int_equal(line("PROXY UNKNOWN ffff::1 whatever\r\n", &x), PROXY_OK);
	assert_false(x.known);
}

static void
version_1_broken(void **state)
{
	static const char *const broken[] = {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 5432\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 56324 5432 1\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.2 +6324 5432\r\n",
	    "PROXY TCP4 192.0.2.1  198.51.100.2 56324 5432\r\n",
	    "PROXY TCP4 192.0.2 198.51.100.2 56324 5432\r\n",
	    "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
	    "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY \r\n", "PROXY\r\n",
	    "proxy UNKNOWN\r\n",
	    "PROXY UNKNOWN "
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
	    NULL};
	struct proxy x;
	int i;

	(void)state;
	for (i = 0; broken[i] != NULL; i++)
		assert_int_equal(line(broken[i], &x), PROXY_BAD);
	assert_int_equal(proxy_parse((const uint8_t *)"PROXY UNKNOWN\0\r\n", 16, &x), PROXY_BAD);
}

static void
version_2(void **state)
{
	uint8_t v4[] =
	    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0e\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x15"
	    "\x38\x04\0"; /* and the beginning of a TLV */
	uint8_t v6[16 + 36] = "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24";
	const size_t len = 16 + 14;
	struct proxy x;

	(void)state;
	assert_int_equal(proxy_parse(v4, len, &x), PROXY_OK);
	assert_true(x.known);
	assert_string_equal(address(&x), "::ffff:192.0.2.1");
	assert_int_equal(x.port, 56324);
	in_pieces(v4, len);
	v4[12] = 0x20; /* LOCAL */
	assert_int_equal(proxy_parse(v4, len, &x), PROXY_OK);
	assert_false(x.known);
	assert_int_equal(x.len, len);
	v4[12] = 0x22; /* no such command */
	assert_int_equal(proxy_parse(v4, len, &x), PROXY_BAD);
	v4[12] = 0x11; /* no such version */
	assert_int_equal(proxy_parse(v4, len, &x), PROXY_BAD);
	v4[12] = 0x21;
	v4[13] = 0x31; /* a Unix socket */
	assert_int_equal(proxy_parse(v4, len, &x), PROXY_OK);
	assert_false(x.known);
	v4[13] = 0x11;
	v4[15] = 11; /* too short for IPv4 */
	assert_int_equal(proxy_parse(v4, len, &x), PROXY_BAD);
	v4[14] = 0xff; /* longer than any */
	assert_int_equal(proxy_parse(v4, len, &x), PROXY_BAD);
	memcpy(v6 + 16, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
	v6[48] = 0x10;
	assert_int_equal(proxy_parse(v6, sizeof(v6), &x), PROXY_OK);
	assert_string_equal(address(&x), "2001:db8::1");
	assert_int_equal(x.port, 4096);
	in_pieces(v6, sizeof(v6));
}

static void
no_header(void **state)
{
	static const uint8_t startup[] = {0, 0, 0, 8, 4, 210, 22, 47};
	struct proxy x;

	(void)state;
	assert_int_equal(proxy_parse(startup, 1, &x), PROXY_BAD);
	assert_int_equal(proxy_parse(startup, sizeof(startup), &x), PROXY_BAD);
	assert_int_equal(proxy_parse((const uint8_t *)"\r\n\r\nx", 5, &x), PROXY_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(version_1),
	    cmocka_unit_test(version_1_broken),
	    cmocka_unit_test(version_2),
	    cmocka_unit_test(no_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

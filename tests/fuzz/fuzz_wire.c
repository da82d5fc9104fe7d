/*
 * fuzz_wire: any bytes as a stream of messages, as an error's body and as a text to send.
 *
 * Traps when a frame reaches past the maximum, a reader leaves its body, or a writer makes
 * something that is not one whole message.
 */
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define MAX 4096U

static void
read_body(const uint8_t *body, size_t len)
{
	static const char fields[] = "SVCMDHPpqWscdtnFLR";
	struct wire_in in;
	const char *s;

	for (size_t i = 0; i < sizeof(fields); i++) {
		s = wire_error_field(body, len, fields[i]);
		HOLDS(s == NULL || (const uint8_t *)s + strlen(s) < body + len);
	}
	wire_read(&in, body, len);
	while (!in.failed) {
		(void)wire_get_bytes(&in, wire_get_byte(&in) % 4);
		s = wire_get_string(&in);
		HOLDS(s == NULL || (const uint8_t *)s + strlen(s) < body + len);
		(void)wire_get_int16(&in);
		(void)wire_get_int32(&in);
		HOLDS(in.left <= len);
	}
}

static void
frames(const uint8_t *data, size_t size)
{
	size_t used = 0;
	uint32_t len;
	uint8_t type;

	while (wire_header(data + used, size - used, MAX, &type, &len) == WIRE_OK) {
		HOLDS(len >= WIRE_HEADER && len <= MAX);
		(void)wire_frontend_type(type);
		(void)wire_backend_type(type);
		if (len > size - used)
			break;
		read_body(data + used + WIRE_HEADER, len - WIRE_HEADER);
		used += len;
	}
}

/* An error made of these texts in this much room is one whole message or nothing. */
static void
write_error(const char *message, const char *detail, const char *hint, size_t room)
{
	const struct wire_error e = {"FATAL", "08P01", message, detail, hint};
	struct wire_out out;
	uint8_t *buf = malloc(room > 0 ? room : 1);
	const char *got;
	uint32_t len;
	uint8_t type;

	HOLDS(buf != NULL);
	wire_init(&out, buf, room);
	wire_error(&out, &e);
	HOLDS(out.len <= room && out.failed == (out.len == 0));
	if (!out.failed) {
		HOLDS(wire_header(buf, out.len, UINT32_MAX, &type, &len) == WIRE_OK);
		HOLDS(type == 'E' && len == out.len && buf[len - 1] == 0);
		got = wire_error_field(buf + WIRE_HEADER, len - WIRE_HEADER, 'M');
		HOLDS(got != NULL && strncmp(got, message, strlen(got)) == 0);
	}
	free(buf);
}

/* What is quoted can be read back, and ends where it should. */
static void
quote(const char *value, size_t room)
{
	char *out = malloc(room > 0 ? room : 1);
	size_t n;
	const char *s;

	HOLDS(out != NULL);
	n = wire_quote_literal(value, out, room);
	HOLDS(n < room || n == 0);
	if (n > 0) {
		HOLDS(out[n] == '\0' && strlen(out) == n);
		s = out + (*out == 'E');
		HOLDS(*s++ == '\'');
		for (; *value != '\0'; value++) {
			size_t step = *value == '\'' ? 2 : 1;

			if (*value == '\\')
				step = s[1] == '\\' ? 2 : strlen("\\134");
			HOLDS(*s == *value);
			s += step;
		}
		HOLDS(strcmp(s, "'") == 0);
	}
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	size_t room = size > 0 ? data[0] : 0;
	const char *second;

	HOLDS(text != NULL);
	frames(data, size);
	read_body(data, size);
	memcpy(text, data, size);
	text[size] = '\0';
	second = strlen(text) < size ? text + strlen(text) + 1 : NULL;
	write_error(text, second, second, room);
	write_error(text, NULL, second, room);
	quote(text, room);
	quote(text, 4 * size + 4);
	free(text);
	return 0;
}

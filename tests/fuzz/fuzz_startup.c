/*
 * fuzz_startup: any bytes as a client's first packet and as an options string.
 *
 * Traps when a string points outside the packet, when a longer prefix changes its mind about a
 * verdict, or when the answer to a session is not one whole message.
 */
#include "proto/startup.h"
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct packet {
	const uint8_t *p;
	size_t len;
};

/* NULL, or a string that ends inside the packet's body. */
static void
inside(const struct packet *k, const char *s)
{
	const uint8_t *u = (const uint8_t *)s;

	if (s == NULL)
		return;
	HOLDS(u >= k->p + 8 && u < k->p + k->len);
	HOLDS(memchr(u, 0, (size_t)(k->p + k->len - u)) != NULL);
}

static int
setting(void *arg, const char *name, const char *value)
{
	size_t *total = arg;

	HOLDS(*name != '\0' && strchr(name, '-') == NULL && strchr(name, '=') == NULL);
	*total += strlen(name) + strlen(value);
	return 0;
}

static void
options(const char *text)
{
	size_t total = 0;

	(void)startup_options(text, setting, &total);
	HOLDS(total <= strlen(text));
}

static void
session(const struct packet *k, const struct startup *s)
{
	static uint8_t buf[2 * WIRE_STARTUP_MAX];
	struct wire_out out;
	uint32_t len;
	uint8_t type;

	HOLDS(s->user != NULL && *s->user != '\0');
	HOLDS(s->database != NULL && *s->database != '\0');
	HOLDS(s->nparams <= STARTUP_MAX_PARAMS && s->npq <= STARTUP_MAX_PARAMS);
	HOLDS(s->negotiate || s->npq == 0);
	inside(k, s->user);
	inside(k, s->database);
	inside(k, s->replication_asked);
	inside(k, s->options);
	for (size_t i = 0; i < s->nparams; i++) {
		inside(k, s->params[i].name);
		inside(k, s->params[i].value);
		HOLDS(*s->params[i].name != '\0');
	}
	for (size_t i = 0; i < s->npq; i++)
		inside(k, s->pq_options[i]);
	if (s->options != NULL)
		options(s->options);
	wire_init(&out, buf, sizeof(buf));
	startup_negotiate(&out, s);
	HOLDS(!out.failed && wire_header(buf, out.len, sizeof(buf), &type, &len) == WIRE_OK);
	HOLDS(type == 'v' && len == out.len);
}

static enum startup_kind
parse(const uint8_t *data, size_t size)
{
	struct startup s;
	struct packet k = {data, size};
	enum startup_kind kind = startup_parse(data, size, &s);

	if (kind == STARTUP_BAD) {
		HOLDS(strlen(s.sqlstate) == 5 && *s.error != '\0');
		return kind;
	}
	HOLDS(s.len >= 8 && s.len <= WIRE_STARTUP_MAX);
	HOLDS((kind == STARTUP_MORE) == (s.len > size));
	if (kind == STARTUP_MORE)
		return kind;
	k.len = s.len;
	if (kind == STARTUP_CANCEL) {
		HOLDS(s.cancel_key == data + 12 && s.cancel_key_len + 12 == s.len);
		HOLDS(s.cancel_key_len >= 4 && s.cancel_key_len <= 256);
	}
	if (kind == STARTUP_SESSION)
		session(&k, &s);
	return kind;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum startup_kind before = STARTUP_MORE;
	enum startup_kind now;
	size_t step = size / 16 + 1;
	char *text = malloc(size + 1);

	HOLDS(text != NULL);
	/* Every prefix lives in a block of its own, so that ASan guards its end. */
	for (size_t n = 0; n <= size; n += n < 16 ? 1 : step) {
		uint8_t *prefix = malloc(n > 0 ? n : 1);

		HOLDS(prefix != NULL);
		if (n > 0)
			memcpy(prefix, data, n);
		now = parse(prefix, n);
		HOLDS(before == STARTUP_MORE || now == before);
		before = now;
		free(prefix);
	}
	now = parse(data, size);
	HOLDS(before == STARTUP_MORE || now == before);
	memcpy(text, data, size);
	text[size] = '\0';
	options(text);
	free(text);
	return 0;
}

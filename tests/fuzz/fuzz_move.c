/*
 * fuzz_move: any bytes as the record of a client or a backend that another generation hands over.
 *
 * Traps when what is believed is not whole: names that are none, bytes outside the record.
 */
#include "proto/move.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static volatile uint8_t sum;

static void
inside(const uint8_t *data, size_t size, const struct move_bytes *b)
{
	size_t i;

	HOLDS(b->p == NULL || (b->p >= data && b->len <= size && b->p + b->len <= data + size));
	for (i = 0; b->p != NULL && i < b->len; i++)
		sum ^= b->p[i];
}

static void
is_name(const char *text)
{
	HOLDS(text[0] != '\0' && strlen(text) < MOVE_NAME_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct move_client c;
	struct move_backend b;
	struct move_statement s;
	size_t at = 0;

	if (move_get_client(&c, data, size)) {
		is_name(c.db);
		is_name(c.pool_user);
		is_name(c.user);
		HOLDS(c.pid > 0 && c.scram.salt_len <= sizeof(c.scram.salt));
		inside(data, size, &c.params);
		inside(data, size, &c.start);
		inside(data, size, &c.input);
		while (move_statement(&c, &at, &s)) {
			HOLDS(strlen(s.name) < MOVE_NAME_MAX && s.body.len >= 3);
			inside(data, size, &s.settings);
			inside(data, size, &s.body);
		}
	}
	if (move_get_backend(&b, data, size)) {
		is_name(b.db);
		is_name(b.pool_user);
		HOLDS(b.key_len <= sizeof(b.key) && b.addr_len <= sizeof(b.addr));
		inside(data, size, &b.facts);
	}
	return 0;
}

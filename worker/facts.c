/*
 * facts: see facts.h. Called by pool_share.c and backend.c. A record of an unknown kind means that
 * something about the connection is not known here, so that it must not be used.
 */
#include "worker/facts.h"

#include "proto/wire.h"

/* Writes the record's head; its length is filled in by record_end. */
static size_t
record_begin(struct wire_out *w, enum fact tag)
{
	wire_int16(w, (uint16_t)tag);
	wire_int32(w, 0);
	return w->len;
}

static void
record_end(struct wire_out *w, size_t start)
{
	if (!w->failed)
		wire_put32(w->base + start - 4, (uint32_t)(w->len - start));
}

void
facts_put(const struct backend *b, struct wire_out *w)
{
	size_t start = record_begin(w, FACT_PARAMS);

	params_pack(&b->params, w);
	record_end(w, start);
	start = record_begin(w, FACT_PREPARED);
	prepared_pack(&b->prepared, w);
	record_end(w, start);
}

size_t
facts_pack(const struct backend *b, uint8_t *out, size_t size)
{
	struct wire_out w;

	wire_init(&w, out, size);
	facts_put(b, &w);
	return w.failed ? 0 : w.len;
}

static bool
record(struct backend *b, enum fact tag, const uint8_t *p, size_t len)
{
	switch (tag) {
	case FACT_PARAMS:
		return params_unpack(&b->params, p, len);
	case FACT_PREPARED:
		return prepared_unpack(&b->prepared, p, len);
	}
	return false;
}

bool
facts_unpack(struct backend *b, const uint8_t *bytes, size_t len)
{
	struct wire_in in;

	wire_read(&in, bytes, len);
	while (in.left > 0) {
		uint16_t tag = wire_get_int16(&in);
		uint32_t n = wire_get_int32(&in);
		const uint8_t *p = wire_get_bytes(&in, n);
		if (in.failed || !record(b, (enum fact)tag, p, n))
			return false;
	}
	return true;
}

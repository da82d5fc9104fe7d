/*
 * fuzz_expect: any order of requests and answers through the queue of what is owed, and any bytes
 * as the inner fields of an extended protocol message.
 *
 * Traps when an entry is settled twice or never, the counts do not add up, or a field leaves its
 * message.
 */
#include <string.h>

#include "proto/extended.h"
#include "worker/expect.h"
#include "tests/fuzz/fuzz.h"

static size_t pushed, settled;

static void
settle(struct expect *x, const struct expect_entry *e, enum expect_end end)
{
	(void)x;
	HOLDS(e->op == 1);
	HOLDS(end == EXPECT_DONE || end == EXPECT_FAILED || end == EXPECT_SKIPPED);
	settled++;
}

static void
queue(const uint8_t *data, size_t size)
{
	static const char sent[] = "PBDCESQFdcfH", got[] = "123tTnCIsEZGHDdcNSAVW";
	struct expect x;
	size_t i;

	pushed = settled = 0;
	expect_init(&x, settle);
	for (i = 0; i < size; i++) {
		if (data[i] < 128) {
			struct expect_entry e = {
			    .type = (uint8_t)sent[data[i] % (sizeof(sent) - 1)], .op = 1};
			if (strchr("dcfH", e.type) != NULL || expect_ignored(&x)) {
				HOLDS(expect_sent(&x, e.type));
				continue;
			}
			if (data[i] >= 64)
				e.flags = data[i] >= 96 ? EXPECT_OURS : EXPECT_AS_PARSE;
			HOLDS(expect_push(&x, &e));
			pushed++;
		} else if (expect_got(&x, (uint8_t)got[(data[i] - 128U) % (sizeof(got) - 1)]) ==
			   EXPECT_BAD) {
			break;
		}
		HOLDS(x.sent_ends - x.got_ends == x.ends && x.ends <= x.len);
		HOLDS(expect_empty(&x) == (x.len == 0 && !x.skipping));
	}
	expect_fini(&x);
	HOLDS(settled <= pushed);
}

static void
inside(struct extended_text t, size_t len)
{
	HOLDS((size_t)t.at + t.len < len || (t.at == 0 && t.len == 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t types[] = "PBDCEQ";
	struct extended x;
	size_t avail;

	queue(data, size);
	for (size_t i = 0; i < sizeof(types) - 1; i++) {
		for (avail = 0; avail <= size; avail += 1 + size / 16) {
			if (extended_read(types[i], data, avail, size, &x) != EXTENDED_OK)
				continue;
			inside(x.portal, avail);
			inside(x.statement, avail);
			inside(x.sql, avail);
		}
	}
	return 0;
}

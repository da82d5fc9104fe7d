/* ledger_fixture: a small table for the tests of the ledger, with a pool of worker 0's. */
#ifndef UNIT_LEDGER_FIXTURE_H
#define UNIT_LEDGER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/unit/table_fixture.h"

#define STEWARD (WORKERS - 1)
#define SLOTS	12
#define POOLS	300 /* more than one hold of the mutex looks at */
#define LATE	(LEDGER_HANDED_US + 1)

static const struct ledger_limits wide = {.pool = SLOTS};
static uint32_t pool;

static inline int64_t
now_us(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static inline uint32_t
attach(uint32_t w, const char *db)
{
	uint32_t p;

	assert_int_equal(ledger_attach(table, NULL, self[w], db, "alice", &p), LEDGER_OK);
	return p;
}

static inline int
table_make(void **state)
{
	const struct table_shape shape = {
	    .workers = WORKERS, .slots = SLOTS, .pools = POOLS, .clients = 4};

	(void)state;
	if (table_begin(&shape) == -1)
		return -1;
	pool = attach(0, "app");
	return 0;
}

static inline void
restart(uint32_t w)
{
	table_worker_gone(table, w);
	self[w].incarnation = table_worker_start(table, w);
}

static inline const struct ledger_backend *
facts(int32_t pid)
{
	static struct ledger_backend b;

	memset(&b, 0, sizeof(b));
	b.pool = pool;
	b.pid = pid;
	b.key_len = 4;
	memcpy(b.key, &pid, sizeof(pid));
	b.opened_us = pid;
	return &b;
}

static inline uint32_t
reserve(uint32_t w)
{
	uint32_t slot;

	if (layout_attach_count(table, self[w], pool) == 0)
		(void)attach(w, "app");
	assert_int_equal(ledger_reserve(table, self[w], pool, &wide, &slot), LEDGER_OK);
	return slot;
}

static inline uint32_t
open_busy(uint32_t w, int32_t pid)
{
	uint32_t slot = reserve(w);

	ledger_opened(table, self[w], slot, facts(pid));
	return slot;
}

static inline void
expect_word(uint32_t slot, enum slot_state state, uint32_t w)
{
	assert_int_equal(
	    ledger_word(table, slot), slot_pack(state, self[w].worker, self[w].incarnation));
}

static inline uint32_t
claim(int64_t now, enum slot_state *was)
{
	uint32_t from = 0, slot = ledger_claim_orphan(table, self[STEWARD], now, &from, was);

	assert_true(slot == TABLE_NONE || from == slot + 1);
	return slot;
}

/* Fills all entries but `pool` and leaves them; then one more name needs one of them. */
static inline void
fill_pools(uint32_t w)
{
	char name[16];
	uint32_t i;

	for (i = 1; i < POOLS; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		(void)attach(w, name);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, table_make, table_end_sound)

#endif

/* ledger: races for a slot in flight, and readers that meet a writer. */
#include "tests/unit/ledger_fixture.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 3000

static pthread_barrier_t gate;
static _Atomic uint32_t flying, winners;
static _Atomic bool over;

static void *
race_adopt(void *arg)
{
	(void)arg;
	for (;;) {
		(void)pthread_barrier_wait(&gate);
		if (over)
			return NULL;
		atomic_fetch_add(&winners, ledger_adopt(table, self[1], flying));
		(void)pthread_barrier_wait(&gate);
	}
}

static void *
race_claim(void *arg)
{
	enum slot_state was;

	(void)arg;
	for (;;) {
		(void)pthread_barrier_wait(&gate);
		if (over)
			return NULL;
		atomic_fetch_add(&winners, claim(INT64_MAX, &was) == flying);
		(void)pthread_barrier_wait(&gate);
	}
}

/* A slot in flight has one who gets it, whoever tries at the same moment: giver, receiver (who is
 * believed dead here, so that the steward may, too), steward. */
static void
one_wins(void **state)
{
	uint32_t i, won[SLOT_STATES] = {0};
	pthread_t threads[2];

	(void)state;
	over = false;
	assert_int_equal(pthread_barrier_init(&gate, NULL, 3), 0);
	assert_int_equal(pthread_create(&threads[0], NULL, race_adopt, NULL), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, race_claim, NULL), 0);
	table_worker_gone(table, 1);
	for (i = 0; i < ROUNDS; i++) {
		uint64_t word;
		flying = open_busy(0, 1);
		winners = 0;
		ledger_hand(table, self[0], flying, self[1]);
		(void)pthread_barrier_wait(&gate);
		atomic_fetch_add(&winners, ledger_take_back(table, self[0], flying, self[1]));
		(void)pthread_barrier_wait(&gate);
		word = ledger_word(table, flying);
		/* the steward may claim from the adopter at once, who is dead to him: two won */
		assert_true(winners == 1 || (winners == 2 && slot_state(word) == SLOT_COOLING));
		won[slot_state(word)]++;
		assert_int_equal(ledger_free(table, self[slot_owner(word)], flying), LEDGER_OK);
	}
	over = true;
	(void)pthread_barrier_wait(&gate);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(pthread_barrier_destroy(&gate), 0);
	assert_int_equal(ledger_pool_used(table, pool), 0);
}

static void *
churn_slot(void *arg)
{
	uint32_t i, slot, *pools = arg;

	for (i = 0; !over; i++) {
		if (ledger_reserve(table, self[0], pools[i & 1], &wide, &slot) != LEDGER_OK)
			continue;
		ledger_opened(table, self[0], slot, facts((int32_t)(pools[i & 1] + 1)));
		ledger_idle(table, self[0], slot);
		while (ledger_free(table, self[0], slot) != LEDGER_OK)
			;
	}
	return NULL;
}

/* Half a second, and longer while nothing was seen: a busy machine may run one thread only. */
static bool
race_on(int64_t start, uint64_t got)
{
	int64_t took = now_us() - start;

	return took < 500000 || (got == 0 && took < 60000000);
}

/* The facts a reader gets are of the pool it gets: pid = pool + 1 in this test. */
static void
facts_are_of_one_backend(void **state)
{
	uint32_t pools[2] = {pool, attach(0, "other")};
	struct ledger_backend b;
	uint64_t word, got = 0;
	pthread_t thread;
	int64_t start = now_us();

	(void)state;
	over = false;
	assert_int_equal(pthread_create(&thread, NULL, churn_slot, pools), 0);
	while (race_on(start, got)) {
		word = ledger_read(table, 0, &b);
		if (slot_state(word) == SLOT_FREE) {
			assert_int_equal(b.pool, TABLE_NONE);
			continue;
		}
		assert_true(b.pool == pools[0] || b.pool == pools[1]);
		if (b.pid == 0) {
			assert_int_equal(slot_state(word), SLOT_RESERVED);
			continue;
		}
		assert_int_equal(b.pid, b.pool + 1);
		assert_int_equal(b.opened_us, b.pid);
		assert_memory_equal(b.key, &b.pid, sizeof(b.pid));
		got++;
	}
	over = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(got > 0);
}

static void *
churn_names(void *arg)
{
	uint32_t i, p;
	char name[CONF_NAME_SIZE];

	(void)arg;
	for (i = 0; !over; i++) {
		memset(name, 'a' + (int)(i % 26), sizeof(name));
		name[10 + i % 50] = '\0';
		if (ledger_attach(table, NULL, self[0], name, name, &p) == LEDGER_OK)
			ledger_detach(table, self[0], p);
	}
	return NULL;
}

static void
names_are_of_one_pool(void **state)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	uint64_t got = 0;
	pthread_t thread;
	int64_t start = now_us();

	(void)state;
	fill_pools(1);
	ledger_detach(table, self[0], pool); /* the only entry that may change its names */
	over = false;
	assert_int_equal(pthread_create(&thread, NULL, churn_names, NULL), 0);
	while (race_on(start, got))
		if (ledger_pool_name(table, pool, db, user)) {
			assert_string_equal(db, strcmp(user, "alice") == 0 ? "app" : user);
			assert_int_equal(db[0], strcmp(db, "app") == 0 ? 'a' : db[strlen(db) - 1]);
			got++;
		}
	over = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(got > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(one_wins),
	    TEST(facts_are_of_one_backend),
	    TEST(names_are_of_one_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

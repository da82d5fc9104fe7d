/* ledger: limits, states, what stale incarnations may not do, pools that change their names. */
#include "tests/unit/ledger_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/stats.h"

/* --- pools --- */

static void
attached_twice(void **state)
{
	uint32_t i, p, other = attach(1, "other");

	(void)state;
	assert_int_equal(attach(0, "app"), pool);
	assert_int_equal(attach(1, "app"), pool);
	assert_int_not_equal(other, pool);
	for (i = 2; i < POOLS; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "n%u", i);
		(void)attach(2, name);
	}
	assert_int_equal(
	    ledger_attach(table, NULL, self[2], "one more", "x", &p), LEDGER_TABLE_FULL);
	assert_int_equal(p, TABLE_NONE);
	ledger_detach(table, self[0], pool);
	ledger_detach(table, self[1], pool);
	assert_int_equal(ledger_attach(table, NULL, self[2], "one more", "x", &p),
	    LEDGER_TABLE_FULL); /* worker 0 is attached once still */
	ledger_detach(table, self[0], pool);
	assert_int_equal(ledger_attach(table, NULL, self[2], "one more", "x", &p), LEDGER_OK);
	assert_int_equal(p, pool);
}

static void
found_by_both_names(void **state)
{
	uint32_t p, long_name;
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE], longest[CONF_NAME_SIZE];

	(void)state;
	assert_int_equal(ledger_attach(table, NULL, self[0], "app", "bob", &p), LEDGER_OK);
	assert_int_not_equal(p, pool);
	assert_int_equal(ledger_attach(table, NULL, self[0], "appa", "lice", &p), LEDGER_OK);
	assert_int_not_equal(p, pool);
	memset(longest, 'd', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	long_name = attach(0, longest);
	assert_int_equal(attach(1, longest), long_name);
	assert_true(ledger_pool_name(table, long_name, db, user));
	assert_string_equal(db, longest);
	assert_string_equal(user, "alice");
	assert_false(ledger_pool_name(table, POOLS - 1, db, user));
	assert_false(ledger_pool_name(table, POOLS, db, user));
}

static void
reuse_waits_for_slots(void **state)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE], buf[TABLE_WELCOME_BYTES];
	uint32_t slot = open_busy(0, 1), p, from = 0;
	enum slot_state was;

	(void)state;
	fill_pools(1);
	assert_int_equal(table_welcome_put(table, pool, "Shello", 6), 0);
	table_worker_gone(table, 0); /* its attach counts for nothing, its slot for one */
	assert_int_equal(ledger_attach(table, NULL, self[2], "new", "x", &p), LEDGER_TABLE_FULL);
	assert_int_equal(ledger_claim_orphan(table, self[STEWARD], 0, &from, &was), slot);
	assert_int_equal(ledger_attach(table, NULL, self[2], "new", "x", &p), LEDGER_TABLE_FULL);
	assert_true(ledger_pool_name(table, pool, db, user));
	assert_string_equal(db, "app");
	assert_int_equal(ledger_free(table, self[STEWARD], slot), LEDGER_OK);
	assert_int_equal(ledger_attach(table, NULL, self[2], "new", "x", &p), LEDGER_OK);
	assert_int_equal(p, pool);
	assert_true(ledger_pool_name(table, pool, db, user));
	assert_string_equal(db, "new");
	assert_string_equal(user, "x");
	assert_int_equal(table_welcome_get(table, pool, buf), 0); /* it was the other pool's */
	self[0].incarnation = table_worker_start(table, 0);
	assert_int_equal(layout_attach_count(table, self[0], pool), 0);
	assert_int_equal(ledger_attach(table, NULL, self[0], "app", "alice", &p),
	    LEDGER_TABLE_FULL); /* nobody finds it by its old names */
}

static void
successors_are_not_attached(void **state)
{
	uint32_t p;

	(void)state;
	assert_int_equal(attach(0, "app"), pool);
	fill_pools(1);
	restart(0);
	assert_int_equal(layout_attach_count(table, self[0], pool), 0);
	assert_int_equal(attach(0, "app"), pool);
	assert_int_equal(layout_attach_count(table, self[0], pool), 1);
	ledger_detach(table, self[0], pool);
	assert_int_equal(ledger_attach(table, NULL, self[2], "new", "x", &p), LEDGER_OK);
	assert_int_equal(p, pool);
}

static void
names_reach_the_statistics(void **state)
{
	char path[] = "/tmp/pgdrove-test-ledger-XXXXXX", db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	int fd = mkstemp(path);
	struct stats *stats;
	uint32_t p, again;

	(void)state;
	assert_int_not_equal(fd, -1);
	(void)close(fd);
	stats = stats_create(path, WORKERS, POOLS);
	assert_non_null(stats);
	assert_int_equal(ledger_attach(table, stats, self[0], "s", "t", &p), LEDGER_OK);
	assert_true(stats_pool_names(stats, p, db, user));
	assert_string_equal(db, "s");
	stats_add(&stats_pool(stats, p, 0)->xact_count, 5);
	assert_int_equal(ledger_attach(table, stats, self[1], "s", "t", &again), LEDGER_OK);
	assert_int_equal(again, p);
	assert_int_equal(stats_get(&stats_pool(stats, p, 0)->xact_count), 5);
	ledger_detach(table, self[0], p);
	ledger_detach(table, self[1], p);
	(void)attach(2, "f0");
	{
		uint32_t i;
		char name[16];
		for (i = 3; i < POOLS; i++) {
			(void)snprintf(name, sizeof(name), "f%u", i);
			(void)attach(2, name);
		}
	}
	assert_int_equal(ledger_attach(table, stats, self[2], "u", "v", &again), LEDGER_OK);
	assert_int_equal(again, p);
	assert_true(stats_pool_names(stats, p, db, user));
	assert_string_equal(db, "u");
	assert_int_equal(stats_get(&stats_pool(stats, p, 0)->xact_count), 0);
	stats_close(stats);
	(void)unlink(path);
}

/* --- slots --- */

static enum ledger_result
upto(uint32_t w, uint32_t limit, uint32_t *slot)
{
	return ledger_reserve(table, self[w], pool, &(struct ledger_limits){.pool = limit}, slot);
}

static void
limits(void **state)
{
	uint32_t slot, other, i;

	(void)state;
	other = attach(0, "other");
	(void)attach(1, "app");
	for (i = 0; i < 3; i++)
		assert_int_equal(upto(0, 3, &slot), LEDGER_OK);
	assert_int_equal(upto(0, 3, &slot), LEDGER_POOL_FULL);
	assert_int_equal(ledger_pool_used(table, pool), 3);
	assert_int_equal(upto(1, 4, &slot), LEDGER_OK); /* over all workers */
	assert_int_equal(upto(1, 4, &slot), LEDGER_POOL_FULL);
	assert_int_equal(ledger_pool_used(table, pool), 4);
	assert_int_equal(upto(1, 2, &slot), LEDGER_POOL_FULL); /* lowered: nothing is taken away */
	for (i = 4; i < SLOTS; i++)
		assert_int_equal(ledger_reserve(table, self[0], other, &wide, &slot), LEDGER_OK);
	assert_int_equal(ledger_reserve(table, self[0], other, &wide, &slot), LEDGER_TABLE_FULL);
	assert_int_equal(ledger_free(table, self[0], slot), LEDGER_OK);
	assert_int_equal(ledger_reserve(table, self[0], other, &wide, &i), LEDGER_OK);
	assert_int_equal(i, slot);
	assert_int_equal(ledger_pool_used(table, other), SLOTS - 4);
}

static void
one_life(void **state)
{
	struct ledger_backend b;
	uint32_t slot = reserve(0);

	(void)state;
	expect_word(slot, SLOT_RESERVED, 0);
	assert_int_equal(ledger_read(table, slot, &b), ledger_word(table, slot));
	assert_int_equal(b.pid, 0);
	assert_int_equal(b.pool, pool);
	ledger_opened(table, self[0], slot, facts(77));
	expect_word(slot, SLOT_BUSY, 0);
	(void)ledger_read(table, slot, &b);
	assert_memory_equal(&b, facts(77), sizeof(b));
	ledger_idle(table, self[0], slot);
	expect_word(slot, SLOT_IDLE, 0);
	ledger_busy(table, self[0], slot);
	expect_word(slot, SLOT_BUSY, 0);
	assert_int_equal(ledger_free(table, self[0], slot), LEDGER_OK);
	assert_int_equal(ledger_read(table, slot, &b), 0);
	assert_int_equal(b.pid, 0);
	assert_int_equal(b.pool, TABLE_NONE);
	assert_int_equal(ledger_pool_used(table, pool), 0);
	assert_int_equal(atomic_load(&layout_facts(table, slot)->words[1]), 0); /* the key */
	assert_int_equal(reserve(0), slot);
	(void)ledger_read(table, slot, &b);
	assert_int_equal(b.pid, 0); /* nothing of its predecessor's */
	assert_int_equal(ledger_read(table, SLOTS, &b), 0);
	assert_int_equal(ledger_word(table, SLOTS), 0);
}

/* --- what panics --- */

static uint32_t victim;

static void
idle_when_idle(void)
{
	ledger_idle(table, self[0], victim);
	ledger_idle(table, self[0], victim);
}

static void
busy_when_busy(void)
{
	ledger_busy(table, self[0], victim);
}

static void
opened_twice(void)
{
	ledger_opened(table, self[0], victim, facts(1));
}

static void
foreign_free(void)
{
	(void)ledger_free(table, self[1], victim);
}

static void
foreign_idle(void)
{
	ledger_idle(table, self[1], victim);
}

static void
predecessors_free(void)
{
	restart(0);
	(void)ledger_free(table, self[0], victim);
}

static void
free_in_flight(void)
{
	ledger_hand(table, self[0], victim, self[0]);
	(void)ledger_free(table, self[0], victim);
}

static void
hand_reserved(void)
{
	ledger_hand(table, self[0], reserve(0), self[1]);
}

static void
hand_to_nobody(void)
{
	ledger_hand(table, self[0], victim, (struct table_self){1, 0});
}

static void
free_the_free(void)
{
	(void)ledger_free(table, (struct table_self){0, 0}, SLOTS - 1);
}

static void
free_beyond(void)
{
	(void)ledger_free(table, self[0], SLOTS);
}

static void
reserve_unattached(void)
{
	uint32_t slot;

	(void)ledger_reserve(table, self[2], pool, &wide, &slot);
}

static void
detach_too_often(void)
{
	ledger_detach(table, self[2], pool);
}

static void
misuse_panics(void **state)
{
	static void (*const misuses[])(void) = {idle_when_idle, busy_when_busy, opened_twice,
	    foreign_free, foreign_idle, predecessors_free, free_in_flight, hand_reserved,
	    hand_to_nobody, free_the_free, free_beyond, reserve_unattached, detach_too_often};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++) {
		int status;
		pid_t pid;
		assert_int_equal(table_end_sound(NULL), 0);
		assert_int_equal(table_make(NULL), 0);
		victim = open_busy(0, 1);
		pid = fork();
		assert_int_not_equal(pid, -1);
		if (pid == 0) {
			int null = open("/dev/null", O_WRONLY);
			if (null != -1)
				(void)dup2(null, STDERR_FILENO);
			misuses[i]();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
			fail_msg("misuse %zu was let pass", i);
	}
}

/* --- hand-over --- */

static void
handed_and_adopted(void **state)
{
	struct table_self before = self[1];
	struct ledger_backend b;
	uint32_t slot = open_busy(0, 5);

	(void)state;
	ledger_idle(table, self[0], slot);
	ledger_hand(table, self[0], slot, self[1]);
	expect_word(slot, SLOT_HANDED, 1);
	assert_false(ledger_adopt(table, self[0], slot));
	assert_false(ledger_adopt(table, self[2], slot));
	assert_true(ledger_adopt(table, self[1], slot));
	expect_word(slot, SLOT_BUSY, 1);
	assert_false(ledger_adopt(table, self[1], slot)); /* once */
	assert_false(ledger_take_back(table, self[0], slot, self[1]));
	(void)ledger_read(table, slot, &b);
	assert_int_equal(b.pid, 5);
	assert_int_equal(ledger_pool_used(table, pool), 1);

	ledger_hand(table, self[1], slot, self[0]);
	assert_true(ledger_take_back(table, self[1], slot, self[0]));
	expect_word(slot, SLOT_BUSY, 1);
	assert_false(ledger_adopt(table, self[0], slot));

	ledger_idle(table, self[1], slot);
	ledger_busy(table, self[1], slot);
	ledger_hand(table, self[1], slot, self[0]);
	restart(0); /* the successor is another */
	assert_false(ledger_adopt(table, self[0], slot));
	restart(1);
	assert_false(ledger_take_back(table, before, slot, self[0]));
	assert_false(ledger_adopt(table, self[0], SLOTS));
}

static void
works_when_logged_in(void **state)
{
	enum slot_state was;
	uint32_t from = 0, slot = reserve(0), other = attach(0, "other");

	(void)state;
	assert_false(ledger_pool_works(table, pool));
	ledger_opened(table, self[0], slot, facts(7));
	assert_true(ledger_pool_works(table, pool));
	assert_false(ledger_pool_works(table, other));
	ledger_idle(table, self[0], slot);
	assert_true(ledger_pool_works(table, pool));
	ledger_hand(table, self[0], slot, self[1]);
	assert_true(ledger_pool_works(table, pool));
	assert_true(ledger_adopt(table, self[1], slot));
	table_worker_gone(table, 1);
	assert_int_equal(ledger_claim_orphan(table, self[STEWARD], now_us(), &from, &was), slot);
	assert_false(ledger_pool_works(table, pool));
	assert_int_equal(ledger_free(table, self[STEWARD], slot), LEDGER_OK);
	assert_false(ledger_pool_works(table, pool));
}

static void
orphans_of_every_state(void **state)
{
	uint32_t reserved, idle, busy, alive, from = 0, n = 0, slot;
	enum slot_state was, seen[SLOTS] = {SLOT_FREE};
	struct ledger_backend b;

	(void)state;
	reserved = reserve(0);
	idle = open_busy(0, 1);
	ledger_idle(table, self[0], idle);
	busy = open_busy(0, 2);
	alive = open_busy(1, 3);
	assert_int_equal(claim(INT64_MAX, &was), TABLE_NONE);
	restart(0);
	while ((slot = ledger_claim_orphan(table, self[STEWARD], 0, &from, &was)) != TABLE_NONE) {
		seen[slot] = was;
		n++;
		expect_word(slot, SLOT_COOLING, STEWARD);
	}
	assert_int_equal(n, 3);
	assert_int_equal(seen[reserved], SLOT_RESERVED);
	assert_int_equal(seen[idle], SLOT_IDLE);
	assert_int_equal(seen[busy], SLOT_BUSY);
	expect_word(alive, SLOT_BUSY, 1);
	assert_int_equal(ledger_pool_used(table, pool), 4); /* counted till PostgreSQL let go */
	(void)ledger_read(table, busy, &b);
	assert_int_equal(b.pid, 2);
	restart(STEWARD);
	assert_int_equal(claim(0, &was), reserved);
	assert_int_equal(was, SLOT_COOLING);
	assert_int_equal(ledger_free(table, self[STEWARD], reserved), LEDGER_OK);
	assert_int_equal(ledger_pool_used(table, pool), 3);
}

static void
orphans_in_flight(void **state)
{
	uint32_t slot = open_busy(0, 1);
	enum slot_state was;
	int64_t t;

	(void)state;
	ledger_hand(table, self[0], slot, self[1]);
	t = now_us();
	assert_int_equal(claim(t + 5 * LATE, &was), TABLE_NONE); /* both live */
	restart(0);
	assert_int_equal(claim(t, &was), TABLE_NONE); /* the receiver may have its message */
	assert_true(ledger_adopt(table, self[1], slot));
	ledger_hand(table, self[1], slot, self[2]);
	t = now_us();
	table_worker_gone(table, 2);
	assert_int_equal(claim(t, &was), TABLE_NONE); /* the giver may take it back */
	assert_true(ledger_take_back(table, self[1], slot, self[2]));
	ledger_hand(table, self[1], slot, self[2]);
	assert_int_equal(claim(t + 2 * LATE, &was), slot);
	assert_int_equal(was, SLOT_HANDED);
	assert_false(ledger_take_back(table, self[1], slot, self[2]));
	assert_int_equal(ledger_free(table, self[STEWARD], slot), LEDGER_OK);

	slot = open_busy(1, 2);
	self[2].incarnation = table_worker_start(table, 2);
	ledger_hand(table, self[1], slot, self[2]);
	table_worker_gone(table, 1);
	table_worker_gone(table, 2);
	assert_int_equal(claim(0, &was), slot); /* nobody is left to finish it */
}

/* A receiver that has no file descriptor left gets the message without the connection. */
static void
orphans_lost_in_flight(void **state)
{
	uint32_t slot = open_busy(0, 1);
	enum slot_state was;
	int64_t t = now_us();

	(void)state;
	ledger_hand(table, self[0], slot, self[1]);
	assert_int_equal(claim(t + LEDGER_LOST_US, &was), TABLE_NONE);
	assert_int_equal(claim(now_us() + LEDGER_LOST_US + 1, &was), slot);
	assert_false(ledger_adopt(table, self[1], slot)); /* it comes after all: too late */
	expect_word(slot, SLOT_COOLING, STEWARD);
	assert_int_equal(ledger_free(table, self[STEWARD], slot), LEDGER_OK);
}

/* --- the mutex --- */

static void
busy_changes_nothing(void **state)
{
	struct ledger_health h;
	uint32_t slot = open_busy(0, 1);
	int status;
	pid_t pid;

	(void)state;
	assert_true(layout_lock(table));
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		uint32_t s, p;
		bool ok = ledger_free(table, self[0], slot) == LEDGER_BUSY &&
			  ledger_reserve(table, self[0], pool, &wide, &s) == LEDGER_BUSY &&
			  ledger_attach(table, NULL, self[0], "x", "y", &p) == LEDGER_BUSY &&
			  repair_check(table, NULL) == -1;
		ledger_idle(table, self[0], slot); /* the transaction path needs no lock */
		ledger_busy(table, self[0], slot);
		ledger_hand(table, self[0], slot, self[1]);
		_exit(ok && ledger_adopt(table, self[1], slot) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	layout_unlock(table);
	ledger_health(table, &h);
	assert_int_equal(h.stalls, 4);
	assert_int_equal(h.repairs, 0);
	assert_int_equal(ledger_pool_used(table, pool), 1);
	expect_word(slot, SLOT_BUSY, 1);
}

static void
a_death_is_repaired(void **state)
{
	struct ledger_health h;
	uint32_t slot = open_busy(0, 1), i, s;
	pid_t pid;

	(void)state;
	(void)attach(0, "other");
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		(void)layout_lock(table);
		table->free_slots = slot + 1; /* all that is derived is nonsense */
		table->free_pools = 1;
		for (i = 0; i < table->buckets; i++)
			*layout_bucket(table, i) = 1;
		for (i = 0; i < POOLS; i++)
			layout_pool(table, i)->used = 99;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(ledger_reserve(table, self[0], pool, &wide, &s), LEDGER_OK);
	assert_int_not_equal(s, slot);
	assert_int_equal(ledger_pool_used(table, pool), 2);
	assert_int_equal(attach(1, "app"), pool);
	ledger_health(table, &h);
	assert_int_equal(h.repairs, 1);
	ledger_health_met(&h);
	assert_int_equal(h.repairs, 1);
	ledger_health_met(&h);
	assert_int_equal(h.repairs, 0);
	repair_rebuild(table); /* harmless over a sound table */
	assert_int_equal(repair_check(table, stderr), 0);
}

/* The check has eyes. */
static void
check_finds_damage(void **state)
{
	uint32_t slot = open_busy(0, 1), freed = open_busy(0, 2);

	(void)state;
	assert_int_equal(ledger_free(table, self[0], freed), LEDGER_OK);
	layout_pool(table, pool)->used++;
	assert_int_equal(repair_check(table, NULL), 1);
	layout_pool(table, pool)->used--;
	table->free_slots = slot + 1;
	assert_int_equal(repair_check(table, NULL), 1);
	table->free_slots = 0;
	assert_int_equal(repair_check(table, NULL), 1);
	table->free_slots = freed + 1;
	table->free_pools = pool + 1;
	assert_int_equal(repair_check(table, NULL), 1);
	table->free_pools = 0;
	version_break(&layout_pool(table, pool)->names_version);
	assert_true(repair_check(table, NULL) > 1);
	version_whole(&layout_pool(table, pool)->names_version);
	version_whole(&layout_slot(table, freed)->known);
	assert_int_equal(repair_check(table, NULL), 1);
	repair_rebuild(table);
	assert_int_equal(repair_check(table, stderr), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(attached_twice),
	    TEST(found_by_both_names),
	    TEST(reuse_waits_for_slots),
	    TEST(successors_are_not_attached),
	    TEST(names_reach_the_statistics),
	    TEST(limits),
	    TEST(one_life),
	    TEST(misuse_panics),
	    TEST(handed_and_adopted),
	    TEST(works_when_logged_in),
	    TEST(orphans_of_every_state),
	    TEST(orphans_in_flight),
	    TEST(orphans_lost_in_flight),
	    TEST(busy_changes_nothing),
	    TEST(a_death_is_repaired),
	    TEST(check_finds_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* ledger_group: limits that pools share, clients counted per group, entries that change their
 * names, and the order among those who want a place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define WORKERS 3
#include "tests/unit/table_fixture.h"

#define POOLS 4

static uint32_t alice, bob, other; /* app/alice, app/bob, other/alice */

static uint32_t
attach(const char *db, const char *user)
{
	uint32_t p;

	assert_int_equal(ledger_attach(table, NULL, self[0], db, user, &p), LEDGER_OK);
	return p;
}

static int
table_make(void **state)
{
	const struct table_shape shape = {
	    .workers = WORKERS, .slots = 20, .pools = POOLS, .clients = 4};

	(void)state;
	if (table_begin(&shape) == -1)
		return -1;
	alice = attach("app", "alice");
	bob = attach("app", "bob");
	other = attach("other", "alice");
	return 0;
}

static enum ledger_result
reserve(uint32_t pool, uint32_t db, uint32_t user, uint32_t *slot)
{
	const struct ledger_limits limits = {.pool = 10, .group = {db, user}};
	enum ledger_result room = ledger_room(table, pool, &limits);
	enum ledger_result r = ledger_reserve(table, self[0], pool, &limits, slot);

	assert_int_equal(r, room); /* nobody else is here */
	return r;
}

static uint32_t
used(uint32_t pool, enum ledger_group kind)
{
	return ledger_group_used(table, ledger_pool_group(table, pool, kind));
}

static void
busy(uint32_t slot)
{
	ledger_opened(table, self[0], slot, &(struct ledger_backend){.pid = 1});
}

static void
a_database_has_a_limit(void **state)
{
	uint32_t a, s;

	(void)state;
	assert_int_equal(reserve(alice, 2, 0, &a), LEDGER_OK);
	assert_int_equal(reserve(bob, 2, 0, &s), LEDGER_OK);
	assert_int_equal(reserve(alice, 2, 0, &s), LEDGER_DB_FULL);
	assert_int_equal(reserve(bob, 2, 0, &s), LEDGER_DB_FULL);
	assert_int_equal(reserve(other, 2, 0, &s), LEDGER_OK); /* of another database */
	assert_int_equal(used(alice, LEDGER_DB), 2);
	assert_int_equal(used(other, LEDGER_DB), 1);
	assert_int_equal(ledger_free(table, self[0], a), LEDGER_OK);
	assert_int_equal(used(bob, LEDGER_DB), 1);
	assert_int_equal(reserve(bob, 2, 0, &s), LEDGER_OK);
	assert_int_equal(reserve(bob, 0, 0, &s), LEDGER_OK); /* no limit */
}

/* Of those who would free too many, each is told when it is enough. */
static void
what_is_above_a_lowered_limit_goes(void **state)
{
	const struct ledger_limits db = {.pool = 10, .group = {2, 0}}, user = {10, {0, 1}},
				   own = {.pool = 1};
	uint32_t a, b, c, d;

	(void)state;
	assert_int_equal(reserve(alice, 0, 0, &a), LEDGER_OK);
	assert_int_equal(reserve(bob, 0, 0, &b), LEDGER_OK);
	assert_int_equal(reserve(bob, 0, 0, &c), LEDGER_OK);
	assert_int_equal(reserve(other, 0, 0, &d), LEDGER_OK);
	busy(a);
	busy(b);
	busy(c);
	busy(d);
	assert_int_equal(ledger_surplus(table, alice, &db), 1);
	assert_int_equal(ledger_surplus(table, other, &db), 0);
	assert_false(ledger_free_surplus(table, self[0], d, &db));
	assert_true(ledger_free_surplus(table, self[0], a, &db));
	assert_int_equal(slot_state(ledger_word(table, a)), SLOT_FREE);
	assert_false(ledger_free_surplus(table, self[0], b, &db));
	assert_int_equal(used(bob, LEDGER_DB), 2);
	assert_false(ledger_free_surplus(table, self[0], d, &user));
	assert_int_equal(ledger_surplus(table, bob, &own), 1);
	assert_true(ledger_free_surplus(table, self[0], c, &own));
	assert_false(ledger_free_surplus(table, self[0], b, &own));
}

static void
a_user_has_a_limit(void **state)
{
	uint32_t s;

	(void)state;
	assert_int_equal(reserve(alice, 0, 2, &s), LEDGER_OK);
	assert_int_equal(reserve(other, 0, 2, &s), LEDGER_OK);
	assert_int_equal(reserve(alice, 0, 2, &s), LEDGER_USER_FULL);
	assert_int_equal(reserve(other, 0, 2, &s), LEDGER_USER_FULL);
	assert_int_equal(reserve(bob, 0, 2, &s), LEDGER_OK);
	assert_int_equal(used(alice, LEDGER_USER), 2);
}

/* A user called as a database is another group. */
static void
kinds_are_apart(void **state)
{
	uint32_t p, q;

	(void)state;
	p = attach("alice", "app");
	q = ledger_pool_group(table, p, LEDGER_DB);
	assert_int_not_equal(q, ledger_pool_group(table, alice, LEDGER_USER));
	assert_int_not_equal(
	    ledger_pool_group(table, p, LEDGER_USER), ledger_pool_group(table, alice, LEDGER_DB));
}

static void
pools_counts_follow_their_names(void **state)
{
	uint32_t s, p, i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(reserve(other, 0, 0, &s), LEDGER_OK);
	ledger_detach(table, self[0], bob);
	ledger_detach(table, self[0], alice);
	(void)attach("fourth", "x");
	p = attach("fifth", "alice"); /* in place of app/alice or app/bob */
	assert_true(p == alice || p == bob);
	assert_int_equal(used(p, LEDGER_USER), 3);
	assert_int_equal(used(p, LEDGER_DB), 0);
}

static void
clients_have_limits(void **state)
{
	uint32_t g, h, k;

	(void)state;
	for (k = 0; k < 3; k++)
		assert_int_equal(
		    ledger_client_enter(table, self[k], LEDGER_DB, "app", 3, &g), LEDGER_OK);
	assert_int_equal(
	    ledger_client_enter(table, self[0], LEDGER_DB, "app", 3, &h), LEDGER_DB_FULL);
	assert_int_equal(g, ledger_pool_group(table, alice, LEDGER_DB));
	ledger_client_leave(table, self[1], g);
	assert_int_equal(ledger_client_enter(table, self[0], LEDGER_DB, "app", 3, &h), LEDGER_OK);
	table_worker_gone(table, 2); /* and its client with it */
	assert_int_equal(ledger_client_enter(table, self[1], LEDGER_DB, "app", 3, &h), LEDGER_OK);
	self[2].incarnation = table_worker_start(table, 2);
	assert_int_equal(
	    ledger_client_enter(table, self[2], LEDGER_DB, "app", 3, &h), LEDGER_DB_FULL);
	assert_int_equal(ledger_client_enter(table, self[2], LEDGER_USER, "zoe", 1, &h), LEDGER_OK);
	assert_int_equal(
	    ledger_client_enter(table, self[0], LEDGER_USER, "zoe", 1, &k), LEDGER_USER_FULL);
}

/* Groups that nobody needs any more are used again, those in use are not. */
static void
entries_are_reused(void **state)
{
	uint32_t g, first = TABLE_NONE, i, kept;
	char name[16];

	(void)state;
	assert_int_equal(
	    ledger_client_enter(table, self[1], LEDGER_USER, "kept", 9, &kept), LEDGER_OK);
	for (i = 0; i < table->groups * 3; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		assert_int_equal(
		    ledger_client_enter(table, self[0], LEDGER_USER, name, 1, &g), LEDGER_OK);
		assert_int_not_equal(g, kept);
		ledger_client_leave(table, self[0], g);
		if (i == 0)
			first = g;
	}
	assert_int_not_equal(first, TABLE_NONE);
	assert_int_equal(
	    ledger_client_enter(table, self[1], LEDGER_USER, "kept", 9, &g), LEDGER_OK);
	assert_int_equal(g, kept);
	assert_int_equal(used(alice, LEDGER_USER), 0);
	while (ledger_client_enter(table, self[0], LEDGER_USER, name, 9, &g) == LEDGER_OK)
		snprintf(name, sizeof(name), "v%u", i++);
	assert_int_equal(
	    ledger_client_enter(table, self[0], LEDGER_USER, name, 9, &g), LEDGER_TABLE_FULL);
}

static void
the_hungriest_is_known(void **state)
{
	uint32_t g = ledger_pool_group(table, alice, LEDGER_DB);

	(void)state;
	assert_int_equal(ledger_hungry(table, g), 0);
	ledger_hungry_put(table, g, 500);
	ledger_hungry_put(table, g, 700);
	assert_int_equal(ledger_hungry(table, g), 500);
	ledger_hungry_put(table, g, 300);
	ledger_hungry_drop(table, g, 500, 0); /* has changed meanwhile */
	assert_int_equal(ledger_hungry(table, g), 300);
	ledger_hungry_drop(table, g, 300, 700);
	assert_int_equal(ledger_hungry(table, g), 700);
	ledger_hungry_put(table, TABLE_NONE, 1);
	assert_int_equal(ledger_hungry(table, TABLE_NONE), 0);
}

static void
a_rebuild_changes_nothing(void **state)
{
	uint32_t s, g;

	(void)state;
	assert_int_equal(reserve(alice, 0, 0, &s), LEDGER_OK);
	assert_int_equal(reserve(bob, 0, 0, &s), LEDGER_OK);
	assert_int_equal(ledger_client_enter(table, self[1], LEDGER_USER, "bob", 9, &g), LEDGER_OK);
	repair_rebuild(table);
	assert_int_equal(used(alice, LEDGER_DB), 2);
	assert_int_equal(used(alice, LEDGER_USER), 1);
	assert_int_equal(g, ledger_pool_group(table, bob, LEDGER_USER));
	assert_int_equal(
	    ledger_client_enter(table, self[1], LEDGER_USER, "bob", 1, &s), LEDGER_USER_FULL);
}

static void
check_finds_damage(void **state)
{
	uint32_t g = ledger_pool_group(table, alice, LEDGER_DB);

	(void)state;
	layout_group(table, g)->used++;
	assert_int_equal(repair_check(table, NULL), 1);
	layout_group(table, g)->used--;
	layout_group(table, g)->pools++;
	assert_int_equal(repair_check(table, NULL), 1);
	layout_group(table, g)->pools--;
	table->free_groups = g + 1;
	assert_int_equal(repair_check(table, NULL), 1);
	table->free_groups = 0;
	*layout_group_bucket(table, 0) = *layout_group_bucket(table, 1) = 0;
	repair_rebuild(table);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, table_make, table_end_sound)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_database_has_a_limit),
	    TEST(what_is_above_a_lowered_limit_goes),
	    TEST(a_user_has_a_limit),
	    TEST(kinds_are_apart),
	    TEST(pools_counts_follow_their_names),
	    TEST(clients_have_limits),
	    TEST(entries_are_reused),
	    TEST(the_hungriest_is_known),
	    TEST(a_rebuild_changes_nothing),
	    TEST(check_finds_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

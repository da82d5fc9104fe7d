/* table: shapes, incarnations, client rows up to the exact limit and cancel keys, welcomes that a
 * reader never sees torn. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/table_fixture.h"

#define CLIENTS 300

static int
table_make(void **state)
{
	const struct table_shape shape = {
	    .workers = WORKERS, .slots = 4, .pools = 2, .clients = CLIENTS};

	(void)state;
	return table_begin(&shape);
}

static int
table_unmake(void **state)
{
	(void)state;
	table_destroy(table);
	return 0;
}

struct taken {
	uint32_t row;
	int32_t pid;
	uint8_t key[TABLE_CLIENT_KEY];
};

static struct taken
take(uint32_t w)
{
	struct taken c;

	c.row = table_client_take(table, self[w], &c.pid, c.key);
	return c;
}

static bool
finds(const struct taken *c, size_t len)
{
	struct table_self owner;
	uint32_t row;

	return table_client_find(table, c->pid, c->key, len, &owner, &row) && row == c->row;
}

/* Every free row can be had: how many are there? All are given back. */
static uint32_t
count_free(uint32_t w)
{
	static uint32_t rows[CLIENTS + 1];
	uint32_t n = 0, i;

	while ((rows[n] = take(w).row) != TABLE_NONE)
		n++;
	for (i = 0; i < n; i++)
		table_client_give(table, self[w], rows[i]);
	return n;
}

/* --- shapes and workers --- */

static void
impossible_shapes(void **state)
{
	static const struct table_shape shapes[] = {
	    {0, 1, 1, 1},
	    {1, 0, 1, 1},
	    {1, 1, 0, 1},
	    {1, 1, 1, 0},
	    {1, 1, 1, (1U << 24) + 1},
	    {1, 1U << 24, 1, 1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		errno = 0;
		assert_null(table_create(&shapes[i]));
		assert_int_equal(errno, EINVAL);
	}
}

/* What loops over workers look at: the steward does not count, and nobody is forgotten. */
static void
high_water(void **state)
{
	const struct table_shape shape = {.workers = 5, .slots = 1, .pools = 1, .clients = 1};
	struct table *t = table_create(&shape);

	(void)state;
	assert_non_null(t);
	assert_int_equal(table_workers_high(t), 0);
	(void)table_worker_start(t, 4);
	assert_int_equal(table_workers_high(t), 0);
	(void)table_worker_start(t, 1);
	assert_int_equal(table_workers_high(t), 2);
	(void)table_worker_start(t, 0);
	table_worker_gone(t, 1);
	assert_int_equal(table_workers_high(t), 2);
	table_destroy(t);
}

static void
largest_shape(void **state)
{
	const struct table_shape shape = {
	    .workers = 65, .slots = 100000, .pools = 65535, .clients = 1000000};
	struct table *t = table_create(&shape);
	struct table_self me;
	struct taken c;

	(void)state;
	assert_non_null(t);
	me = (struct table_self){64, table_worker_start(t, 64)};
	c.row = table_client_take(t, me, &c.pid, c.key);
	assert_true(c.row < shape.clients);
	assert_int_equal(table_shape(t)->pools, 65535);
	assert_int_equal(repair_check(t, stderr), 0);
	table_destroy(t);
}

static void
incarnations(void **state)
{
	uint32_t first = self[1].incarnation, second;

	(void)state;
	assert_int_not_equal(first, 0);
	assert_int_equal(table_worker_live(table, 1), first);
	table_worker_gone(table, 1);
	assert_int_equal(table_worker_live(table, 1), 0);
	second = table_worker_start(table, 1);
	assert_int_not_equal(second, first);
	assert_int_equal(table_worker_live(table, 1), second);
	assert_int_equal(table_worker_live(table, WORKERS), 0);
	layout_worker(table, 1)->last = UINT32_MAX;
	assert_int_equal(table_worker_start(table, 1), 1); /* never 0 */
}

/* --- client rows --- */

static void
limit_is_exact(void **state)
{
	static struct taken c[CLIENTS];
	static bool seen[CLIENTS];
	uint32_t i;

	(void)state;
	for (i = 0; i < CLIENTS; i++) {
		c[i] = take(i % WORKERS);
		assert_true(c[i].row < CLIENTS);
		assert_false(seen[c[i].row]);
		assert_true(c[i].pid > 0);
		seen[c[i].row] = true;
	}
	for (i = 0; i < WORKERS; i++)
		assert_int_equal(take(i).row, TABLE_NONE);
	for (i = 0; i < CLIENTS; i++)
		assert_true(finds(&c[i], TABLE_CLIENT_KEY));
	table_client_give(table, self[1], c[1].row); /* worker 1's row is to be had by worker 3 */
	assert_int_equal(take(3).row, c[1].row);
	assert_int_equal(take(1).row, TABLE_NONE);
}

static void
workers_begin_apart(void **state)
{
	struct taken a = take(0), b = take(1), again;

	(void)state;
	assert_int_not_equal(a.row / LAYOUT_CHUNK, b.row / LAYOUT_CHUNK);
	table_client_give(table, self[0], a.row);
	again = take(0);
	assert_int_equal(again.row / LAYOUT_CHUNK, a.row / LAYOUT_CHUNK); /* its chunk is kept */
	assert_int_not_equal(again.row, a.row);				  /* ... and rotated */
}

static void
find_wants_all_of_it(void **state)
{
	struct taken c = take(2), bad;
	struct table_self owner;
	uint8_t key[TABLE_CLIENT_KEY];
	uint32_t row;
	size_t i;

	(void)state;
	assert_true(table_client_find(table, c.pid, c.key, TABLE_CLIENT_KEY, &owner, &row));
	assert_int_equal(owner.worker, 2);
	assert_int_equal(owner.incarnation, self[2].incarnation);
	assert_int_equal(row, c.row);
	assert_true(finds(&c, 4));
	for (i = 0; i <= TABLE_CLIENT_KEY + 1; i++)
		if (i != 4 && i != TABLE_CLIENT_KEY)
			assert_false(table_client_find(table, c.pid, c.key, i, &owner, &row));
	for (i = 0; i < TABLE_CLIENT_KEY; i++) {
		bad = c;
		bad.key[i] ^= 1;
		assert_false(finds(&bad, TABLE_CLIENT_KEY));
		assert_int_equal(finds(&bad, 4), i >= 4);
	}
	for (i = 0; i < 32; i++) {
		bad = c;
		bad.pid = (int32_t)((uint32_t)c.pid ^ 1U << i); /* also numbers below zero */
		assert_false(finds(&bad, TABLE_CLIENT_KEY));
	}
	bad = c;
	bad.pid = 0;
	assert_false(finds(&bad, 4));
	table_client_key(table, c.row, key);
	assert_memory_equal(key, c.key, sizeof(key));
}

static void
keys_end_with_their_client(void **state)
{
	static const uint8_t nothing[TABLE_CLIENT_KEY];
	struct taken c = take(0), next;
	uint8_t key[TABLE_CLIENT_KEY];

	(void)state;
	table_client_give(table, self[0], c.row);
	assert_false(finds(&c, TABLE_CLIENT_KEY));
	assert_false(finds(&c, 4));
	table_client_key(table, c.row, key);
	assert_memory_equal(key, nothing, sizeof(key)); /* the secret is gone from memory */
	do
		next = take(0);
	while (next.row != c.row);
	assert_false(finds(&c, 4)); /* the row's next client is another */
	assert_false(finds(&c, TABLE_CLIENT_KEY));
	assert_true(finds(&next, 4));
	table_worker_gone(table, 0);
	assert_false(finds(&next, 4)); /* nobody is there to act on it */
	(void)table_worker_start(table, 0);
	assert_false(finds(&next, 4)); /* nor is the successor */
}

static void
sweep_frees_the_dead(void **state)
{
	struct taken alive = take(1), last = take(0);
	uint32_t i;

	(void)state;
	for (i = 0; i < 99; i++)
		last = take(0);
	assert_int_equal(table_client_sweep(table), 0);
	table_worker_gone(table, 0);
	self[0].incarnation = table_worker_start(table, 0);
	assert_int_equal(take(0).row == TABLE_NONE, false);
	assert_int_equal(table_client_sweep(table), 100);
	assert_int_equal(table_client_sweep(table), 0);
	assert_false(finds(&last, 4));
	assert_true(finds(&alive, 4));
	assert_int_equal(count_free(2), CLIENTS - 2);
}

/* What a death between bit and word leaves behind, put there by hand. */
static void
sweep_mends_the_hints(void **state)
{
	struct taken mine = take(0), dead;
	uint32_t chunk;

	(void)state;
	for (chunk = 0; chunk < layout_chunks(table); chunk++)
		atomic_store(layout_busy(table, chunk), UINT64_MAX);
	assert_int_equal(take(0).row, TABLE_NONE);
	assert_int_equal(table_client_sweep(table), 0);
	assert_int_equal(count_free(1), CLIENTS - 1);

	for (chunk = 0; chunk < layout_chunks(table); chunk++)
		atomic_store(layout_busy(table, chunk), 0);
	assert_int_equal(count_free(1), CLIENTS - 1); /* a taken row is not taken again */
	assert_true(finds(&mine, 4));

	dead = take(3);
	table_worker_gone(table, 3);
	atomic_store(layout_busy(table, dead.row / LAYOUT_CHUNK), 0);
	assert_int_equal(table_client_sweep(table), 0); /* it looks at busy rows only */
	assert_int_equal(count_free(1), CLIENTS - 1);	/* but a taker may have it */
}

static _Atomic uint32_t owners[CLIENTS], holding;

static void *
take_and_give(void *arg)
{
	struct table_self me = *(struct table_self *)arg;
	uint32_t rows[CLIENTS], n = 0, i;
	uint8_t key[TABLE_CLIENT_KEY];
	int32_t pid;

	for (i = 0; i < 3000; i++) {
		uint32_t row = layout_client_take(
		    table, me, &(struct layout_secret){.number = i, .key = {1}}, &pid);
		if (row != TABLE_NONE) {
			assert_int_equal(atomic_fetch_add(&owners[row], 1), 0);
			assert_true(atomic_fetch_add(&holding, 1) < CLIENTS);
			table_client_key(table, row, key);
			rows[n++] = row;
		}
		while (n > 0 && (row == TABLE_NONE || n > 200)) {
			row = rows[--n];
			assert_int_equal(atomic_fetch_sub(&owners[row], 1), 1);
			atomic_fetch_sub(&holding, 1);
			table_client_give(table, me, row);
		}
		if (i % 64 == 0)
			(void)table_client_sweep(table);
	}
	while (n > 0) {
		atomic_fetch_sub(&owners[rows[--n]], 1);
		atomic_fetch_sub(&holding, 1);
		table_client_give(table, me, rows[n]);
	}
	return NULL;
}

static void
limit_holds_in_a_crowd(void **state)
{
	pthread_t threads[WORKERS];
	uint32_t w;

	(void)state;
	for (w = 0; w < WORKERS; w++)
		assert_int_equal(pthread_create(&threads[w], NULL, take_and_give, &self[w]), 0);
	for (w = 0; w < WORKERS; w++)
		assert_int_equal(pthread_join(threads[w], NULL), 0);
	assert_int_equal(holding, 0);
	assert_int_equal(count_free(0), CLIENTS); /* and no hint hides a row: nobody died */
}

/* --- welcomes --- */

static void
welcome_keeps_the_last(void **state)
{
	char big[TABLE_WELCOME_BYTES + 1], buf[TABLE_WELCOME_BYTES];
	uint64_t head;

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_int_equal(table_welcome_get(table, 0, buf), 0);
	assert_int_equal(table_welcome_put(table, 0, "Sone", 4), 0);
	assert_int_equal(table_welcome_get(table, 0, buf), 4);
	assert_memory_equal(buf, "Sone", 4);
	assert_int_equal(table_welcome_get(table, 1, buf), 0);
	head = atomic_load(&layout_welcome(table, 0)->head);
	assert_int_equal(table_welcome_put(table, 0, "Sone", 4), 0);
	assert_int_equal(atomic_load(&layout_welcome(table, 0)->head), head); /* nothing to do */
	assert_int_equal(table_welcome_put(table, 0, "Sother", 6), 0);
	assert_int_equal(table_welcome_get(table, 0, buf), 6);
	assert_memory_equal(buf, "Sother", 6);
	assert_int_equal(table_welcome_put(table, 0, big, TABLE_WELCOME_BYTES), 0);
	assert_int_equal(table_welcome_get(table, 0, buf), TABLE_WELCOME_BYTES);
	assert_memory_equal(buf, big, sizeof(buf));
	errno = 0;
	assert_int_equal(table_welcome_put(table, 0, big, sizeof(big)), -1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(table_welcome_put(table, 0, big, 0), -1);
	assert_int_equal(table_welcome_get(table, 0, buf), TABLE_WELCOME_BYTES);
	table_welcome_drop(table, 0);
	table_welcome_drop(table, 0);
	assert_int_equal(table_welcome_get(table, 0, buf), 0);
	assert_int_equal(table_welcome_put(table, 0, "Sone", 4), 0);
	assert_int_equal(table_welcome_get(table, 0, buf), 4);
}

static void
welcome_busy(void **state)
{
	char buf[TABLE_WELCOME_BYTES];
	pid_t pid;

	(void)state;
	assert_int_equal(table_welcome_put(table, 0, "Sone", 4), 0);
	assert_true(layout_lock(table));
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (table_welcome_put(table, 0, "Stwo", 4) != -1 || errno != EBUSY)
			_exit(1);
		_exit(table_welcome_get(table, 0, buf) == 4 ? 0 : 2);
	}
	{
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	layout_unlock(table);
	assert_int_equal(table_welcome_get(table, 0, buf), 4);
	assert_memory_equal(buf, "Sone", 4);
}

/* Writers in two processes put welcomes of one letter each, as fast as they can. */
_Noreturn static void
write_letters(char letter)
{
	char bytes[TABLE_WELCOME_BYTES];

	for (;; letter = letter == 'z' ? 'a' : (char)(letter + 1)) {
		memset(bytes, letter, sizeof(bytes));
		(void)table_welcome_put(
		    table, 0, bytes, sizeof(bytes) - 8 * (size_t)(letter - 'a'));
		if (letter == 'q')
			table_welcome_drop(table, 0);
	}
}

static void
check_letters(const char *buf, size_t len)
{
	size_t i;

	assert_int_equal(len, TABLE_WELCOME_BYTES - 8 * (size_t)(buf[0] - 'a'));
	for (i = 1; i < len; i++)
		if (buf[i] != buf[0])
			fail_msg("torn at %zu: %c among %c", i, buf[i], buf[0]);
}

static void
welcome_is_never_torn(void **state)
{
	char buf[TABLE_WELCOME_BYTES];
	pid_t writers[2];
	time_t end = time(NULL) + 2;
	long whole = 0;
	size_t len;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		writers[i] = fork();
		assert_int_not_equal(writers[i], -1);
		if (writers[i] == 0)
			write_letters(i == 0 ? 'a' : 'm');
	}
	while (time(NULL) < end)
		if ((len = table_welcome_get(table, 0, buf)) > 0) {
			check_letters(buf, len);
			whole++;
		}
	for (i = 0; i < 2; i++) { /* and the death of a writer leaves it whole */
		assert_int_equal(kill(writers[i], SIGKILL), 0);
		assert_int_equal(waitpid(writers[i], NULL, 0), writers[i]);
		if ((len = table_welcome_get(table, 0, buf)) > 0)
			check_letters(buf, len);
	}
	assert_true(whole > 100);
	assert_int_equal(repair_check(table, stderr), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, table_make, table_unmake)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(impossible_shapes),
	    cmocka_unit_test(largest_shape),
	    TEST(incarnations),
	    TEST(limit_is_exact),
	    TEST(workers_begin_apart),
	    TEST(high_water),
	    TEST(find_wants_all_of_it),
	    TEST(keys_end_with_their_client),
	    TEST(sweep_frees_the_dead),
	    TEST(sweep_mends_the_hints),
	    TEST(limit_holds_in_a_crowd),
	    TEST(welcome_keeps_the_last),
	    TEST(welcome_busy),
	    TEST(welcome_is_never_torn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * sweep: kill -9 after every instruction of the ledger's operations, and of the repair, by
 * single-stepping a child. The survivor must find a table without violations. The negative control
 * skips the rebuild and must find some.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/layout.h"
#include "shm/repair.h"

static const struct table_shape shape = {.workers = 3, .slots = 6, .pools = 3, .clients = 4};
static struct table *table;
static struct table_self self;
static uint32_t pool;

static void
op_reserve_free(void)
{
	struct ledger_backend b = {.pid = 1};
	uint32_t s;

	(void)ledger_reserve(table, self, pool, &s);
	ledger_opened(table, self, s, &b);
	ledger_idle(table, self, s);
	ledger_busy(table, self, s);
	(void)ledger_free(table, self, s);
}

static void
op_hand(void)
{
	struct table_self to = {1, table_worker_live(table, 1)};
	uint32_t s;

	(void)ledger_reserve(table, self, pool, &s);
	ledger_hand(table, self, s, to);
	(void)ledger_take_back(table, self, s, to);
	ledger_hand(table, self, s, self);
	(void)ledger_adopt(table, self, s);
	(void)ledger_free(table, self, s);
}

static void
op_attach(void)
{
	uint32_t p;

	(void)ledger_attach(table, self, "other", "user", 4, &p);
	(void)ledger_detach(table, self, p);
}

static void
op_client(void)
{
	uint8_t key[TABLE_CLIENT_KEY];
	int32_t pid;
	uint32_t row = table_client_take(table, self, &pid, key);

	table_client_give(table, self, row);
	(void)table_welcome_put(table, pool, "Sxxxx", 5);
}

static void
op_repair(void)
{
	repair_rebuild(table);
}

static void
child(void (*op)(void))
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	op();
	raise(SIGSTOP);
	_exit(0);
}

/* Runs op for `steps` instructions and kills. False when it had ended before. */
static bool
kill_at(void (*op)(void), long steps)
{
	bool ended = false;
	int status;
	long i;
	pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0)
		child(op);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (i = 0; i < steps && !ended; i++) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSTOPPED(status));
		ended = WSTOPSIG(status) == SIGSTOP;
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) == pid && !WIFSIGNALED(status) && !WIFEXITED(status))
		;
	return !ended;
}

static void
fresh(void)
{
	table = table_create(&shape);
	assert_non_null(table);
	self = (struct table_self){0, table_worker_start(table, 0)};
	(void)table_worker_start(table, 1);
	(void)table_worker_start(table, 2);
	assert_int_equal(ledger_attach(table, self, "app", "alice", 4, &pool), LEDGER_OK);
}

/* The survivor: check, clear up after the dead, and everything is there again. */
static void
recover(void)
{
	struct table_self steward = {2, table_worker_live(table, 2)};
	uint32_t from = 0, slot, i;
	enum slot_state was;

	assert_int_equal(repair_check(table, stderr), 0);
	table_worker_gone(table, 0);
	table_worker_gone(table, 1);
	while ((slot = ledger_claim_orphan(table, steward, INT64_MAX, &from, &was)) != TABLE_NONE)
		assert_int_equal(ledger_free(table, steward, slot), LEDGER_OK);
	(void)table_client_sweep(table);
	assert_int_equal(ledger_pool_used(table, pool), 0);
	assert_int_equal(ledger_attach(table, steward, "app", "alice", 4, &pool), LEDGER_OK);
	for (i = 0; i < 4; i++)
		assert_int_equal(ledger_reserve(table, steward, pool, &slot), LEDGER_OK);
	assert_int_equal(ledger_reserve(table, steward, pool, &slot), LEDGER_POOL_FULL);
	assert_int_equal(repair_check(table, stderr), 0);
}

/* Every n-th instruction is a kill point: SWEEP_STRIDE=1 for all of them (minutes), more for a
 * quick run. */
#define STRIDE stride

static long stride = 10;

/* The stride for an operation: a long one (random numbers are made inside) gets no more than POINTS
 * kill points. */
#define POINTS 100

static long
stride_of(void (*op)(void))
{
	long n = 0;
	int status;
	pid_t pid;

	fresh();
	if ((pid = fork()) == 0)
		child(op);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	do {
		n++;
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	} while (WSTOPSIG(status) != SIGSTOP);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	table_destroy(table);
	return n / POINTS > stride && stride > 1 ? n / POINTS : stride;
}

static void
sweep(const char *name, void (*op)(void))
{
	long k, step = stride_of(op);

	for (k = 0;; k += step) {
		bool killed;
		fresh();
		killed = kill_at(op, k);
		recover();
		table_destroy(table);
		if (!killed)
			break;
	}
	printf("%s: %ld instructions, one kill each %ld, 0 violations\n", name, k, step);
}

static void
test_reserve(void **state)
{
	(void)state;
	sweep("reserve..free", op_reserve_free);
}

static void
test_hand(void **state)
{
	(void)state;
	sweep("hand, adopt", op_hand);
}

static void
test_attach(void **state)
{
	(void)state;
	sweep("attach, detach", op_attach);
}

static void
test_client(void **state)
{
	(void)state;
	sweep("client row, welcome", op_client);
}

/* The repairer dies too: the next one holds the mutex again and repairs. */
static void
op_repair_locked(void)
{
	(void)lock_take(&table->lock, 1000);
	op_repair();
	lock_repaired(&table->lock);
	lock_drop(&table->lock);
}

static void
op_die_inside(void)
{
	uint32_t s;

	(void)ledger_reserve(table, self, pool, &s);
	(void)lock_take(&table->lock, 1000);
	table->free_head = 5;
	atomic_store(&layout_pool(table, pool)->used, 77);
	raise(SIGKILL);
}

static void
test_repair(void **state)
{
	long k;
	bool killed = true;

	(void)state;
	for (k = 0; killed; k += STRIDE) {
		pid_t pid;
		fresh();
		if ((pid = fork()) == 0)
			op_die_inside();
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		killed = kill_at(op_repair_locked, k);
		recover();
		table_destroy(table);
	}
	printf("repair: %ld instructions, 0 violations\n", k);
}

static void
test_negative_control(void **state)
{
	long k, found = 0;
	bool killed = true;

	(void)state;
	for (k = 0; killed; k += STRIDE) {
		fresh();
		killed = kill_at(op_reserve_free, k);
		if (lock_take(&table->lock, 1000) == LOCK_REPAIR)
			lock_repaired(&table->lock); /* and no rebuild */
		lock_drop(&table->lock);
		found += repair_check(table, NULL) > 0;
		table_destroy(table);
	}
	printf("without the rebuild: %ld violations\n", found);
	assert_true(found > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_reserve),
	    cmocka_unit_test(test_hand), cmocka_unit_test(test_attach),
	    cmocka_unit_test(test_client), cmocka_unit_test(test_repair),
	    cmocka_unit_test(test_negative_control)};

	if (getenv("SWEEP_STRIDE") != NULL && atol(getenv("SWEEP_STRIDE")) > 0)
		stride = atol(getenv("SWEEP_STRIDE"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

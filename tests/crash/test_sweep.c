/*
 * sweep: kill -9 after every instruction of every operation of the ledger and the table, of the
 * repair and of what is told to, or taken from, another generation, by single-stepping a child. The
 * survivor must then find a table without violations, and after the steward's clearing up
 * everything must be there again.
 *
 * An operation is split in what comes before (done by the parent under the same identity) and the
 * part that is swept, so that each is short and can be swept at every instruction. The negative
 * control skips the rebuild and must find violations: the sweep has teeth.
 *
 * SWEEP_STRIDE=1 kills at every instruction, n at every n-th; without it about POINTS of each
 * operation, evenly spread, which keeps scripts/check short.
 */
#include <setjmp.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/budget.h"
#include "shm/carry.h"
#include "shm/layout.h"
#include "shm/repair.h"
#include "shm/stats.h"

#define LIMIT  4
#define POINTS 80

static const struct ledger_limits limits = {.pool = LIMIT, .group = {LIMIT, LIMIT + 1}};
static const struct table_shape shape = {.workers = 3, .slots = 6, .pools = 3, .clients = 66};
static struct table *table;
static struct stats *stats;
static struct table_self self, other, steward;
static uint32_t pool, slot, row;
static long stride; /* 0: as fits POINTS */
static struct budget *budget;
static char dir[] = "/tmp/pgdrove-sweep-XXXXXX", stats_path[sizeof(dir) + 16],
	    elder_path[sizeof(dir) + 16];

struct op {
	const char *name;
	void (*before)(void); /* may be NULL */
	void (*run)(void);
};

/* --- what comes before ------------------------------------------------------------------------ */

static void
reserved(void)
{
	assert_int_equal(ledger_reserve(table, self, pool, &limits, &slot), LEDGER_OK);
}

static void
busy(void)
{
	struct ledger_backend b = {.pid = 1, .pool = pool, .key_len = 4, .key = {1, 2, 3, 4}};

	reserved();
	ledger_opened(table, self, slot, &b);
}

static void
idle(void)
{
	busy();
	ledger_idle(table, self, slot);
}

static void
handed_to_other(void)
{
	idle();
	ledger_hand(table, self, slot, other);
}

static void
handed_to_self(void)
{
	idle();
	ledger_hand(table, self, slot, self);
}

/* Two orphans of a worker that has died, and the sweeping process is the steward. */
static void
orphaned(void)
{
	struct table_self was = other;

	assert_int_equal(ledger_attach(table, NULL, other, "app", "alice", &pool), LEDGER_OK);
	assert_int_equal(ledger_reserve(table, was, pool, &limits, &slot), LEDGER_OK);
	assert_int_equal(ledger_reserve(table, was, pool, &limits, &slot), LEDGER_OK);
	table_worker_gone(table, was.worker);
}

static void
all_pools_named(void)
{
	uint32_t p;

	assert_int_equal(ledger_attach(table, stats, self, "b", "u", &p), LEDGER_OK);
	stats_add(&stats_pool(stats, p, 0)->xact_count, 7);
	ledger_detach(table, self, p);
	assert_int_equal(ledger_attach(table, stats, self, "c", "u", &p), LEDGER_OK);
	stats_add(&stats_pool(stats, p, 0)->xact_count, 7);
	ledger_detach(table, self, p);
}

static const struct layout_secret secret = {.number = 12345, .key = {1, 2, 3, 4, 5, 6, 7, 8}};

static void
take_row(void)
{
	int32_t pid;

	row = layout_client_take(table, self, &secret, &pid);
}

static void
dead_rows(void)
{
	int32_t pid;
	int i;

	for (i = 0; i < 3; i++)
		assert_true(layout_client_take(table, other, &secret, &pid) != TABLE_NONE);
	table_worker_gone(table, other.worker);
}

static void
welcomed(void)
{
	assert_int_equal(table_welcome_put(table, pool, "Sxxxx", 5), 0);
}

/* The last holder died in ledger_free, before the slot had forgotten, and with everything derived
 * in ruins. */
static void
ruined(void)
{
	uint32_t i;
	pid_t pid;

	idle();
	assert_int_equal(ledger_free(table, self, slot), LEDGER_OK);
	busy();
	if ((pid = fork()) == 0) {
		(void)lock_take(&table->lock, 1000);
		atomic_store(&layout_slot(table, slot)->word, 0);
		table->free_slots = 5;
		table->free_pools = 2;
		for (i = 0; i < table->buckets; i++)
			*layout_bucket(table, i) = 3;
		for (i = 0; i < table->group_buckets; i++)
			*layout_group_bucket(table, i) = 2;
		table->free_groups = 3;
		atomic_store(&layout_pool(table, pool)->used, 77);
		atomic_store(&layout_pool(table, pool)->group[LEDGER_DB], 2);
		atomic_store(&layout_group(table, 0)->used, 78);
		layout_group(table, 1)->pools = 5;
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static uint32_t group;

static void
entered(void)
{
	assert_int_equal(
	    ledger_client_enter(table, self, LEDGER_USER, "carol", 3, &group), LEDGER_OK);
}

static void
run_client_enter(void)
{
	(void)ledger_client_enter(table, self, LEDGER_USER, "carol", 3, &group);
}

static void
run_client_leave(void)
{
	ledger_client_leave(table, self, group);
}

/* --- what is swept ---------------------------------------------------------------------------- */

static void
run_opened(void)
{
	struct ledger_backend b = {.pid = 1, .pool = pool, .key_len = 4, .key = {1, 2, 3, 4}};

	ledger_opened(table, self, slot, &b);
}

static void
run_reserve(void)
{
	(void)ledger_reserve(table, self, pool, &limits, &slot);
}

static void
run_idle(void)
{
	ledger_idle(table, self, slot);
}

static void
run_busy(void)
{
	ledger_busy(table, self, slot);
}

static void
run_free(void)
{
	(void)ledger_free(table, self, slot);
}

static void
run_free_surplus(void)
{
	(void)ledger_free_surplus(table, self, slot, &(struct ledger_limits){0});
}

static void
run_hand(void)
{
	ledger_hand(table, self, slot, other);
}

static void
run_adopt(void)
{
	(void)ledger_adopt(table, self, slot);
}

static void
run_take_back(void)
{
	(void)ledger_take_back(table, self, slot, other);
}

static void
run_claim(void)
{
	uint32_t from = 0, s;
	enum slot_state was;

	while ((s = ledger_claim_orphan(table, self, INT64_MAX, &from, &was)) != TABLE_NONE)
		(void)ledger_free(table, self, s);
}

static void
run_attach_new(void)
{
	uint32_t p;

	(void)ledger_attach(table, stats, self, "other", "user", &p);
}

static void
run_attach_again(void)
{
	uint32_t p;

	(void)ledger_attach(table, stats, self, "app", "alice", &p);
}

static void
run_detach(void)
{
	ledger_detach(table, self, pool);
}

static void
run_client_give(void)
{
	table_client_give(table, self, row);
}

static void
run_client_sweep(void)
{
	(void)table_client_sweep(table);
}

static void
run_welcome_put(void)
{
	(void)table_welcome_put(table, pool, "Syyyyyy", 7);
}

static void
run_welcome_drop(void)
{
	table_welcome_drop(table, pool);
}

static void
run_worker_start(void)
{
	(void)table_worker_start(table, other.worker);
}

static void
run_worker_gone(void)
{
	table_worker_gone(table, other.worker);
}

/* --- the counters of the generation before us ------------------------------------------------- */

#define COUNTED 7

static struct stats *elder;
static struct carry *carry;

static void
elder_counted(void)
{
	char why[256];

	elder = stats_create(elder_path, shape.workers, shape.pools);
	assert_non_null(elder);
	stats_pool_name(elder, 2, "app", "alice");
	stats_add(&stats_pool(elder, 2, 1)->xact_count, COUNTED);
	stats_add(&stats_worker(elder, 0)->accepts, COUNTED);
	carry = carry_open(elder_path, why, sizeof(why));
	assert_non_null(carry);
}

static uint32_t
our_pool(const char *db, const char *user)
{
	(void)db;
	(void)user;
	return pool;
}

static void
run_carry(void)
{
	carry_over(carry, stats, steward.worker, our_pool);
}

/* The whole or nothing of each counter, and never twice: who is started anew carries nothing. */
static void
carried_once(void)
{
	uint64_t accepts = stats_get(&stats_worker(stats, steward.worker)->accepts),
		 xacts = stats_get(&stats_pool(stats, pool, steward.worker)->xact_count);

	assert_true(accepts == 0 || accepts == COUNTED);
	assert_true(xacts == 0 || xacts == COUNTED);
	assert_int_equal(stats_get(&stats_worker(stats, self.worker)->accepts), 0);
	if (elder == NULL)
		return;
	carry_close(carry);
	stats_close(elder);
	elder = NULL;
}

static void
run_repair(void)
{
	if (layout_lock(table))
		layout_unlock(table);
}

/* --- the machine ------------------------------------------------------------------------------ */

static void
child(void (*run)(void))
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	run();
	raise(SIGSTOP);
	_exit(0);
}

/* Runs for at most `steps` instructions and kills; how many there were. */
static long
run_steps(void (*run)(void), long steps)
{
	int status;
	long i;
	pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0)
		child(run);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (i = 0; i < steps; i++) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) == SIGSTOP)
			break;
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) == pid && !WIFSIGNALED(status) && !WIFEXITED(status))
		;
	return i;
}

/* False when it had ended before. */
static bool
kill_at(void (*run)(void), long steps)
{
	return run_steps(run, steps) == steps;
}

static long
count(void (*run)(void))
{
	return run_steps(run, LONG_MAX);
}

static void
fresh(const struct op *op)
{
	table = table_create(&shape);
	assert_non_null(table);
	stats = stats_create(stats_path, shape.workers, shape.pools);
	assert_non_null(stats);
	budget = budget_create(dir, shape.pools);
	assert_non_null(budget);
	ledger_publish(table, budget);
	self = (struct table_self){0, table_worker_start(table, 0)};
	other = (struct table_self){1, table_worker_start(table, 1)};
	steward = (struct table_self){2, table_worker_start(table, 2)};
	assert_int_equal(ledger_attach(table, stats, self, "app", "alice", &pool), LEDGER_OK);
	if (op->before != NULL)
		op->before();
}

static void
stale(void)
{
	table_destroy(table);
	stats_close(stats);
	budget_destroy(budget);
}

/* All rows can be had again, each once. */
static void
all_rows_there(void)
{
	int32_t pid;
	uint32_t i;

	for (i = 0; i < shape.clients; i++)
		assert_true(layout_client_take(table, steward, &secret, &pid) != TABLE_NONE);
	assert_true(layout_client_take(table, steward, &secret, &pid) == TABLE_NONE);
}

/* The welcome is an old one, the new one, or none: never a mixture. */
static void
welcome_whole(void)
{
	char buf[TABLE_WELCOME_BYTES];
	size_t len = table_welcome_get(table, pool, buf);

	assert_true(len == 0 || (len == 5 && memcmp(buf, "Sxxxx", 5) == 0) ||
		    (len == 7 && memcmp(buf, "Syyyyyy", 7) == 0));
}

/* A pool that has names has them in the statistics, too, and other names start from zero. */
static void
names_agree(void)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE], their_db[CONF_NAME_SIZE],
	    their_user[CONF_NAME_SIZE];
	uint32_t p;

	for (p = 0; p < shape.pools; p++) {
		if (!ledger_pool_name(table, p, db, user))
			continue;
		assert_true(stats_pool_names(stats, p, their_db, their_user));
		assert_string_equal(db, their_db);
		assert_string_equal(user, their_user);
		if (strcmp(db, "other") == 0)
			assert_int_equal(stats_get(&stats_pool(stats, p, 0)->xact_count), 0);
	}
}

/* Of every backend all is known, or nothing; of a free slot's nothing. */
static void
facts_whole(void)
{
	static const uint8_t key[] = {1, 2, 3, 4};
	struct ledger_backend b;
	uint64_t word;
	uint32_t s;

	for (s = 0; s < shape.slots; s++) {
		word = ledger_read(table, s, &b);
		assert_true(slot_state(word) != SLOT_FREE || b.pid == 0);
		assert_int_equal(b.key_len, b.pid == 0 ? 0 : sizeof(key));
		if (b.pid != 0)
			assert_memory_equal(b.key, key, sizeof(key));
	}
}

/* The survivor: check, clear up after the dead, and everything is there again. */
static void
recover(void)
{
	uint32_t from = 0, s, i, p;
	enum slot_state was;

	carried_once();
	welcome_whole();
	facts_whole();
	assert_int_equal(repair_check(table, stderr), 0);
	facts_whole();
	names_agree();
	table_worker_gone(table, 0);
	table_worker_gone(table, 1);
	while ((s = ledger_claim_orphan(table, steward, INT64_MAX, &from, &was)) != TABLE_NONE)
		assert_int_equal(ledger_free(table, steward, s), LEDGER_OK);
	(void)table_client_sweep(table);
	all_rows_there();
	assert_int_equal(ledger_attach(table, stats, steward, "app", "alice", &p), LEDGER_OK);
	assert_int_equal(ledger_pool_used(table, p), 0);
	assert_int_equal(ledger_group_used(table, ledger_pool_group(table, p, LEDGER_DB)), 0);
	for (i = 0; i < 3; i++) /* a dead worker's clients count for nothing */
		assert_int_equal(
		    ledger_client_enter(table, steward, LEDGER_USER, "carol", 3, &s), LEDGER_OK);
	assert_int_equal(
	    ledger_client_enter(table, steward, LEDGER_USER, "carol", 3, &s), LEDGER_USER_FULL);
	for (i = 0; i < LIMIT; i++)
		assert_int_equal(ledger_reserve(table, steward, p, &limits, &s), LEDGER_OK);
	assert_int_equal(ledger_reserve(table, steward, p, &limits, &s), LEDGER_POOL_FULL);
	assert_int_equal(ledger_attach(table, stats, steward, "x", "y", &p), LEDGER_OK);
	assert_int_equal(ledger_attach(table, stats, steward, "x", "z", &p), LEDGER_OK);
	assert_int_equal(ledger_attach(table, stats, steward, "x", "v", &p), LEDGER_TABLE_FULL);
	assert_int_equal(repair_check(table, stderr), 0);
	names_agree();
}

static const struct op ops[] = {
    {"reserve", NULL, run_reserve},
    {"opened", reserved, run_opened},
    {"idle", busy, run_idle},
    {"busy", idle, run_busy},
    {"hand", idle, run_hand},
    {"adopt", handed_to_self, run_adopt},
    {"take_back", handed_to_other, run_take_back},
    {"free", idle, run_free},
    {"free_surplus", busy, run_free_surplus},
    {"claim_orphan, free", orphaned, run_claim},
    {"attach, a new pool", NULL, run_attach_new},
    {"attach, a pool that is there", NULL, run_attach_again},
    {"attach, reusing a pool", all_pools_named, run_attach_new},
    {"detach", NULL, run_detach},
    {"client_enter, a new group", NULL, run_client_enter},
    {"client_enter, a group that is there", entered, run_client_enter},
    {"client_leave", entered, run_client_leave},
    {"client_take", NULL, take_row},
    {"client_give", take_row, run_client_give},
    {"client_sweep", dead_rows, run_client_sweep},
    {"welcome_put, the first", NULL, run_welcome_put},
    {"welcome_put, another", welcomed, run_welcome_put},
    {"welcome_drop", welcomed, run_welcome_drop},
    {"worker_start", NULL, run_worker_start},
    {"worker_gone", NULL, run_worker_gone},
    {"carry_over", elder_counted, run_carry},
    {"repair", ruined, run_repair},
};

/* Instructions from kill point to kill point. */
static long
step_of(const struct op *op)
{
	long n = 0;

	if (stride > 0)
		return stride;
	fresh(op);
	n = count(op->run);
	stale();
	return n / POINTS + 1;
}

static void
test_op(void **state)
{
	const struct op *op = *state;
	long k, holding = 0, step = step_of(op);
	struct ledger_health health;
	bool killed = true;

	for (k = 0; killed; k += step) {
		fresh(op);
		killed = kill_at(op->run, k);
		recover();
		ledger_health(table, &health);
		holding += health.repairs > 0;
		stale();
	}
	printf("%s: %ld instructions, a kill each %ld, %ld of them holding the mutex\n", op->name,
	    k - step, step, holding);
}

static void
test_negative_control(void **state)
{
	const struct op *op = &ops[0];
	long k, found = 0, step = step_of(op);
	bool killed = true;

	(void)state;
	for (k = 0; killed; k += step) {
		fresh(op);
		killed = kill_at(op->run, k);
		if (lock_take(&table->lock, 1000) == LOCK_REPAIR)
			lock_repaired(&table->lock); /* and no rebuild */
		lock_drop(&table->lock);
		found += repair_check(table, NULL) > 0;
		stale();
	}
	printf("without the rebuild: violations at %ld points\n", found);
	assert_true(found > 0);
}

#define NOPS (sizeof(ops) / sizeof(ops[0]))

int
main(void)
{
	struct CMUnitTest tests[NOPS + 1];
	size_t i;
	int failed;

	if (mkdtemp(dir) == NULL)
		return 1;
	(void)snprintf(stats_path, sizeof(stats_path), "%s/stats", dir);
	(void)snprintf(elder_path, sizeof(elder_path), "%s/elder", dir);
	if (getenv("SWEEP_STRIDE") != NULL && atol(getenv("SWEEP_STRIDE")) > 0)
		stride = atol(getenv("SWEEP_STRIDE"));
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < NOPS; i++)
		tests[i] = (struct CMUnitTest){.name = ops[i].name,
		    .test_func = test_op,
		    .initial_state = (void *)(uintptr_t)&ops[i]};
	tests[NOPS] = (struct CMUnitTest)cmocka_unit_test(test_negative_control);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(stats_path);
	(void)unlink(elder_path);
	(void)rmdir(dir);
	return failed;
}

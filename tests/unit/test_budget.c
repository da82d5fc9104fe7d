/*
 * test_budget: what generations tell each other of their backends (shm/budget). Each generation is
 * a process here, as it is in life: the files bear its pid, and their locks end with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/budget.h"

#define POOLS  8
#define SECOND 1000000LL
#define ROUNDS 400

static char dir[] = "/tmp/pgdrove-test-budget-XXXXXX";

static int
dir_make(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static unsigned int
files(void)
{
	unsigned int n = 0;
	struct dirent *e;
	DIR *d = opendir(dir);

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		n += strncmp(e->d_name, "budget.", 7) == 0;
	(void)closedir(d);
	return n;
}

/* What the dead have left goes with the next start. */
static int
dir_unmake(void **state)
{
	struct budget *b = budget_create(dir, POOLS);

	(void)state;
	if (b == NULL)
		return -1;
	budget_destroy(b);
	return rmdir(dir);
}

/* --- another generation ----------------------------------------------------------------------- */

/* What it does: one step for each byte that is written to it, which it answers with another. */
struct other {
	pid_t pid;
	int to, from;
};

static void
other_live(int from, int to, void (*step)(struct budget *, char))
{
	struct budget *b = budget_create(dir, POOLS);
	char what = 'c';

	if (b == NULL || write(to, &what, 1) != 1)
		_exit(1);
	while (read(from, &what, 1) == 1) {
		step(b, what);
		if (write(to, &what, 1) != 1)
			break;
	}
	_exit(0);
}

static void
other_answers(const struct other *o)
{
	char c;

	assert_int_equal(read(o->from, &c, 1), 1);
}

static struct other
other_start(void (*step)(struct budget *, char))
{
	int to[2], from[2];
	struct other o;

	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	o.pid = fork();
	assert_int_not_equal(o.pid, -1);
	if (o.pid == 0) {
		(void)close(to[1]);
		other_live(to[0], from[1], step);
	}
	(void)close(to[0]);
	(void)close(from[1]);
	o.to = to[1];
	o.from = from[0];
	other_answers(&o);
	return o;
}

static void
other_do(const struct other *o, char what)
{
	assert_int_equal(write(o->to, &what, 1), 1);
	other_answers(o);
}

/* Its file stays. */
static void
other_end(const struct other *o)
{
	assert_int_equal(kill(o->pid, SIGKILL), 0);
	(void)close(o->to);
	(void)close(o->from);
	assert_int_equal(waitpid(o->pid, NULL, 0), o->pid);
}

/* --- sums ------------------------------------------------------------------------------------- */

static void
sum_is(const struct budget *b, const char *db, const char *user, uint32_t pool, uint32_t of_db,
    uint32_t of_user)
{
	struct budget_sum sum;

	budget_others(b, db, user, &sum);
	assert_int_equal(sum.pool, pool);
	assert_int_equal(sum.group[LEDGER_DB], of_db);
	assert_int_equal(sum.group[LEDGER_USER], of_user);
}

static void
step_pools(struct budget *b, char what)
{
	if (what == '3') {
		budget_name(b, 0, "app", "alice");
		budget_used(b, 0, 3);
		budget_name(b, 2, "app", "bob");
		budget_used(b, 2, 4);
		budget_name(b, 7, "other", "alice");
		budget_used(b, 7, 5);
	} else if (what == '2') {
		budget_used(b, 0, 2);
	} else if (what == 'n') { /* the place of a pool is another's now */
		budget_used(b, 2, 0);
		budget_name(b, 2, "third", "carol");
		budget_used(b, 2, 1);
	}
}

static void
alone(void **state)
{
	struct budget *b = budget_create(dir, POOLS);

	(void)state;
	assert_non_null(b);
	budget_name(b, 0, "app", "alice");
	budget_used(b, 0, 3);
	assert_false(budget_shared(b));
	sum_is(b, "app", "alice", 0, 0, 0); /* its own is not another's */
	budget_destroy(b);
	assert_int_equal(files(), 0);
}

static void
sums(void **state)
{
	struct other old = other_start(step_pools), older;
	struct budget *b = budget_create(dir, POOLS);

	(void)state;
	assert_non_null(b);
	assert_true(budget_shared(b));
	sum_is(b, "app", "alice", 0, 0, 0);
	other_do(&old, '3');
	sum_is(b, "app", "alice", 3, 7, 8);
	sum_is(b, "app", "bob", 4, 7, 4);
	sum_is(b, "other", "bob", 0, 5, 4);
	sum_is(b, "none", "none", 0, 0, 0);
	other_do(&old, '2');
	sum_is(b, "app", "alice", 2, 6, 7);
	other_do(&old, 'n');
	sum_is(b, "app", "bob", 0, 2, 0);
	sum_is(b, "third", "carol", 1, 1, 1);

	/* One that comes later is seen as soon as it says so; all are added up. */
	older = other_start(step_pools);
	assert_true(budget_shared(b));
	other_do(&older, '3');
	sum_is(b, "app", "alice", 5, 9, 15);
	other_end(&old);
	budget_prune(b);
	assert_true(budget_shared(b));
	sum_is(b, "app", "alice", 3, 7, 8);
	other_end(&older);
	budget_prune(b);
	assert_false(budget_shared(b));
	sum_is(b, "app", "alice", 0, 0, 0);
	budget_destroy(b);
}

/* Files of the dead go at the next start; what is no such file is left alone, and out. */
static void
of_the_dead(void **state)
{
	struct other old = other_start(step_pools), living;
	char path[sizeof(dir) + 32];
	struct budget *b;
	int fd;

	(void)state;
	other_do(&old, '3');
	other_end(&old);
	assert_true(files() > 0);
	living = other_start(step_pools);
	assert_int_equal(files(), 1);
	(void)snprintf(path, sizeof(path), "%s/budget.garbage", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, "garbage", 7), 7);
	assert_int_equal(fcntl(fd, F_SETFD, 0), 0);
	assert_int_equal(lockf(fd, F_LOCK, 0), 0);
	b = budget_create(dir, POOLS);
	assert_non_null(b);
	assert_true(budget_shared(b));
	other_do(&living, '3');
	sum_is(b, "app", "alice", 3, 7, 8);
	other_end(&living);
	budget_destroy(b);
	(void)close(fd);
	(void)unlink(path);
	b = budget_create(dir, POOLS);
	assert_non_null(b);
	assert_int_equal(files(), 1);
	budget_destroy(b);
}

/* --- hunger ----------------------------------------------------------------------------------- */

static void
step_hungry(struct budget *b, char what)
{
	(void)what;
	budget_name(b, 1, "app", "alice");
	budget_hungry(b, 1, 10 * SECOND);
}

static void
hunger(void **state)
{
	static const bool none[LEDGER_GROUPS] = {false, false},
			  by_db[LEDGER_GROUPS] = {true, false},
			  by_user[LEDGER_GROUPS] = {false, true};
	struct other old = other_start(step_hungry);
	struct budget *b = budget_create(dir, POOLS);
	int64_t now = 10 * SECOND + SECOND / 4;

	(void)state;
	assert_non_null(b);
	assert_true(budget_shared(b));
	assert_false(budget_wanted(b, "app", "alice", none, now));
	other_do(&old, 'h');
	assert_true(budget_wanted(b, "app", "alice", none, now));
	assert_false(budget_wanted(b, "app", "bob", none, now));
	assert_true(budget_wanted(b, "app", "bob", by_db, now));
	assert_false(budget_wanted(b, "app", "bob", by_user, now));
	assert_false(budget_wanted(b, "other", "alice", by_db, now));
	assert_true(budget_wanted(b, "other", "alice", by_user, now));
	assert_false(budget_wanted(b, "app", "alice", none, now + SECOND)); /* said long ago */
	other_end(&old);
	budget_destroy(b);
}

/* --- the last place --------------------------------------------------------------------------- */

/* Two generations want the last place at the same moment, again and again: each counts its own and
 * looks at the other's then. At least one must see the other. */
static struct race {
	pthread_barrier_t line;
	_Atomic uint32_t seen[2];
} * race;

static void
race_run(struct budget *b, int me)
{
	struct budget_sum sum;
	int i;

	budget_name(b, 0, "app", "alice");
	(void)budget_shared(b);
	for (i = 0; i < ROUNDS; i++) {
		(void)pthread_barrier_wait(&race->line);
		budget_used(b, 0, 1);
		budget_others(b, "app", "alice", &sum);
		atomic_store(&race->seen[me], sum.pool);
		(void)pthread_barrier_wait(&race->line);
		if (me == 0)
			assert_true(atomic_load(&race->seen[0]) + atomic_load(&race->seen[1]) > 0);
		budget_used(b, 0, 0);
	}
}

static void
step_race(struct budget *b, char what)
{
	(void)what;
	race_run(b, 1);
}

static void
last_place(void **state)
{
	pthread_barrierattr_t attr;
	struct other old;
	struct budget *b;

	(void)state;
	race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(race != MAP_FAILED);
	assert_int_equal(pthread_barrierattr_init(&attr), 0);
	assert_int_equal(pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED), 0);
	assert_int_equal(pthread_barrier_init(&race->line, &attr, 2), 0);
	old = other_start(step_race);
	b = budget_create(dir, POOLS);
	assert_non_null(b);
	assert_int_equal(write(old.to, "r", 1), 1);
	race_run(b, 0);
	other_answers(&old);
	other_end(&old);
	budget_destroy(b);
	(void)munmap(race, sizeof(*race));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(alone),
	    cmocka_unit_test(sums),
	    cmocka_unit_test(of_the_dead),
	    cmocka_unit_test(hunger),
	    cmocka_unit_test(last_place),
	};

	return cmocka_run_group_tests(tests, dir_make, dir_unmake);
}

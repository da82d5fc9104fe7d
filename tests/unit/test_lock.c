/* lock: what its takers are told, when the holder lives, hangs or dies; and that misuse panics. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/lock.h"

#define MS 1000

static struct lock *lock;

static int64_t
now_us(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int
lock_make(void **state)
{
	(void)state;
	lock = mmap(NULL, sizeof(*lock), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return lock == MAP_FAILED ? -1 : lock_init(lock);
}

static int
lock_unmake(void **state)
{
	(void)state;
	return munmap(lock, sizeof(*lock));
}

/* Runs fn in a child and returns how it ended. */
static int
in_child(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);
		if (null != -1)
			(void)dup2(null, STDERR_FILENO);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
take(void)
{
	(void)lock_take(lock, 0);
}

static void
take_and_repair(void)
{
	(void)lock_take(lock, 0);
	lock_repaired(lock);
}

static void
expect_good(void)
{
	assert_int_equal(lock_take(lock, 0), LOCK_OK);
	lock_drop(lock);
}

/* A child that holds the mutex until it is killed. */
static pid_t
holder_start(void)
{
	int pipe_fds[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		take();
		if (write(pipe_fds[1], &byte, 1) == 1)
			for (;;)
				(void)pause();
		_exit(1);
	}
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	return pid;
}

static void
holder_kill(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
taken_and_dropped(void **state)
{
	(void)state;
	expect_good();
	assert_int_equal(lock_take(lock, 10 * MS), LOCK_OK);
	lock_drop(lock);
}

static void
busy_within_the_bound(void **state)
{
	pid_t holder = holder_start();
	int64_t start = now_us();

	(void)state;
	assert_int_equal(lock_take(lock, 0), LOCK_BUSY);
	assert_true(now_us() - start < 10000 * MS); /* a busy machine takes its time */
	start = now_us();
	assert_int_equal(lock_take(lock, 30 * MS), LOCK_BUSY);
	assert_true(now_us() - start >= 30 * MS);
	assert_true(now_us() - start < 10000 * MS);
	start = now_us();
	assert_int_equal(lock_take(lock, 1010 * MS), LOCK_BUSY); /* more than a second */
	assert_true(now_us() - start >= 1010 * MS);
	holder_kill(holder);
}

static void
told_of_a_death(void **state)
{
	(void)state;
	assert_true(WIFEXITED(in_child(take)));
	assert_int_equal(lock_take(lock, 0), LOCK_REPAIR); /* held: a second try would hang us */
	lock_repaired(lock);
	lock_drop(lock);
	expect_good();
}

static void
told_while_waiting(void **state)
{
	pid_t holder = holder_start(), killer = fork();
	enum lock_result r;

	(void)state;
	assert_int_not_equal(killer, -1);
	if (killer == 0) {
		(void)usleep(20 * MS);
		(void)kill(holder, SIGKILL);
		_exit(0);
	}
	r = lock_take(lock, 5000 * MS);
	assert_int_equal(r, LOCK_REPAIR);
	lock_repaired(lock);
	lock_drop(lock);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	assert_int_equal(waitpid(killer, NULL, 0), killer);
}

static void
repairer_dies_too(void **state)
{
	(void)state;
	(void)in_child(take);
	(void)in_child(take);		 /* before it repaired */
	(void)in_child(take_and_repair); /* after that, and holding it */
	assert_int_equal(lock_take(lock, 0), LOCK_REPAIR);
	lock_repaired(lock);
	lock_drop(lock);
	expect_good();
}

/* Our code never does it; if it did, nobody may hang for it. */
static void
dropped_unrepaired(void **state)
{
	(void)state;
	(void)in_child(take);
	assert_int_equal(lock_take(lock, 0), LOCK_REPAIR);
	lock_drop(lock);
	assert_int_equal(lock_take(lock, 0), LOCK_BUSY);
}

static void
take_twice(void)
{
	take();
	(void)lock_take(lock, 10 * MS);
	(void)lock_take(lock, 10 * MS);
}

static void
drop(void)
{
	lock_drop(lock);
}

static void
repair_sound(void)
{
	take();
	lock_repaired(lock);
}

static void
misuse_panics(void **state)
{
	int status;

	(void)state;
	status = in_child(drop);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	status = in_child(repair_sound);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	status = in_child(take_twice);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void
selftest(void **state)
{
	(void)state;
	assert_int_equal(lock_selftest(), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* it leaves no child */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(taken_and_dropped, lock_make, lock_unmake),
	    cmocka_unit_test_setup_teardown(busy_within_the_bound, lock_make, lock_unmake),
	    cmocka_unit_test_setup_teardown(told_of_a_death, lock_make, lock_unmake),
	    cmocka_unit_test_setup_teardown(told_while_waiting, lock_make, lock_unmake),
	    cmocka_unit_test_setup_teardown(repairer_dies_too, lock_make, lock_unmake),
	    cmocka_unit_test_setup_teardown(dropped_unrepaired, lock_make, lock_unmake),
	    cmocka_unit_test_setup_teardown(misuse_panics, lock_make, lock_unmake),
	    cmocka_unit_test(selftest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

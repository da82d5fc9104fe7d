/*
 * lock: see lock.h. Called by shm/ only.
 *
 * The kernel knows who holds a robust mutex by a list that glibc keeps inside the mutexes
 * themselves; hence it is made before the first fork and never unmapped or remapped while somebody
 * may hold it, and the workers come from a plain fork. trylock may answer EOWNERDEAD too, and then
 * it holds the mutex: taking that for "busy" would lock everybody out for ever.
 *
 * On failure: misuse (taken twice, dropped by another) is our bug and panics. ENOTRECOVERABLE
 * cannot come from this code, since it always repairs before it drops; should it come, nobody can
 * ever take the mutex again, and BUSY lets the sessions that need it not go on living.
 */
#include "shm/lock.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conf/log.h"

#define SELFTEST_WAIT_US 1000000

int
lock_init(struct lock *l)
{
	pthread_mutexattr_t attr;
	int rc = pthread_mutexattr_init(&attr);

	if (rc != 0) {
		errno = rc;
		return -1;
	}
	rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (rc == 0)
		rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (rc == 0)
		rc = pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	if (rc == 0)
		rc = pthread_mutex_init(&l->mutex, &attr);
	(void)pthread_mutexattr_destroy(&attr);
	if (rc == 0)
		return 0;
	errno = rc;
	return -1;
}

static enum lock_result
lock_answer(int rc)
{
	switch (rc) {
	case 0:
		return LOCK_OK;
	case EOWNERDEAD: /* held, also when trylock says so */
		return LOCK_REPAIR;
	case EBUSY:
	case ETIMEDOUT:
	case ENOTRECOVERABLE:
		return LOCK_BUSY;
	default: /* EDEADLK: taken twice */
		panic("table mutex: error %d", rc);
	}
}

enum lock_result
lock_take(struct lock *l, uint32_t wait_us)
{
	struct timespec until;
	int rc = pthread_mutex_trylock(&l->mutex);

	if (rc != EBUSY || wait_us == 0)
		return lock_answer(rc);
	ENSURE(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
	until.tv_nsec += (long)(wait_us % 1000000) * 1000;
	until.tv_sec += wait_us / 1000000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return lock_answer(pthread_mutex_clocklock(&l->mutex, CLOCK_MONOTONIC, &until));
}

void
lock_repaired(struct lock *l)
{
	int rc = pthread_mutex_consistent(&l->mutex);

	if (rc != 0)
		panic("table mutex: consistent: error %d", rc);
}

void
lock_drop(struct lock *l)
{
	int rc = pthread_mutex_unlock(&l->mutex);

	if (rc != 0)
		panic("table mutex: unlock: error %d", rc);
}

_Noreturn static void
die_holding(struct lock *l)
{
	(void)lock_take(l, 0);
	(void)kill(getpid(), SIGKILL);
	_exit(1);
}

/* A child has died holding it: do we learn of it, and is the mutex good afterwards? */
static int
selftest_check(struct lock *l)
{
	enum lock_result r = lock_take(l, SELFTEST_WAIT_US);

	if (r == LOCK_BUSY)
		return -1;
	if (r == LOCK_REPAIR)
		lock_repaired(l);
	lock_drop(l);
	if (r != LOCK_REPAIR || lock_take(l, 0) != LOCK_OK)
		return -1;
	lock_drop(l);
	return 0;
}

int
lock_selftest(void)
{
	struct lock *l =
	    mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int rc = -1;
	pid_t pid;

	if (l == MAP_FAILED)
		return -1;
	if (lock_init(l) == 0 && (pid = fork()) != -1) {
		if (pid == 0)
			die_holding(l);
		while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
			;
		rc = selftest_check(l);
	}
	(void)munmap(l, sizeof(*l));
	return rc;
}

/*
 * lock: see lock.h. Robust, process-shared, error-checking; never remapped (glibc keeps addresses
 * of held ones).
 */
#include "shm/lock.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conf/log.h"

int
lock_init(struct lock *l)
{
	pthread_mutexattr_t attr;
	int rc = pthread_mutexattr_init(&attr);

	if (rc == 0)
		rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (rc == 0)
		rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (rc == 0)
		rc = pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	if (rc == 0)
		rc = pthread_mutex_init(&l->mutex, &attr);
	(void)pthread_mutexattr_destroy(&attr);
	errno = rc;
	return rc == 0 ? 0 : -1;
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
		return LOCK_BUSY;
	default:
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
	clock_gettime(CLOCK_MONOTONIC, &until);
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

int
lock_selftest(void)
{
	struct lock *l =
	    mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	enum lock_result r = LOCK_BUSY;
	pid_t pid;

	if (l == MAP_FAILED)
		return -1;
	if (lock_init(l) == 0 && (pid = fork()) != -1) {
		if (pid == 0) {
			(void)lock_take(l, 0);
			(void)kill(getpid(), SIGKILL);
			_exit(1);
		}
		while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
			;
		r = lock_take(l, 1000000);
		if (r == LOCK_REPAIR)
			lock_repaired(l);
		if (r != LOCK_BUSY)
			lock_drop(l);
	}
	(void)munmap(l, sizeof(*l));
	return r == LOCK_REPAIR ? 0 : -1;
}

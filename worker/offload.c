/*
 * offload: see offload.h. Called by keys.c and client_peer.c; started by the first job.
 *
 * One thread and not many: what it does costs CPU that the loops of all workers need more. It has a
 * lower priority than the loop, blocks all signals and never sees shared memory. Finished jobs come
 * back through a list and an eventfd.
 */
#include "worker/offload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conf/log.h"
#include "worker/loop.h"

#define NICENESS 10

TAILQ_HEAD(job_queue, job);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct job_queue todo = TAILQ_HEAD_INITIALIZER(todo);
static struct job_queue finished = TAILQ_HEAD_INITIALIZER(finished);
static struct loop_source wake = {.fd = -1};

static void
locked(bool take)
{
	int rc = take ? pthread_mutex_lock(&mutex) : pthread_mutex_unlock(&mutex);

	ENSURE(rc == 0);
}

static void *
helper(void *arg)
{
	const uint64_t one = 1;
	struct job *j;

	(void)arg;
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
	locked(true);
	for (;;) {
		while ((j = TAILQ_FIRST(&todo)) == NULL)
			(void)pthread_cond_wait(&more, &mutex);
		TAILQ_REMOVE(&todo, j, entry);
		locked(false);
		j->work(j);
		locked(true);
		TAILQ_INSERT_TAIL(&finished, j, entry);
		while (write(wake.fd, &one, sizeof(one)) == -1 && errno == EINTR)
			;
	}
	return NULL;
}

static void
jobs_done(struct loop_source *s, uint32_t events)
{
	struct job_queue ready = TAILQ_HEAD_INITIALIZER(ready);
	struct job *j;
	uint64_t n;

	(void)events;
	if (read(s->fd, &n, sizeof(n)) == -1 && errno != EAGAIN)
		log_warn("helper thread");
	locked(true);
	TAILQ_CONCAT(&ready, &finished, entry);
	locked(false);
	while ((j = TAILQ_FIRST(&ready)) != NULL) {
		TAILQ_REMOVE(&ready, j, entry);
		j->done(j);
	}
}

static void
start(void)
{
	pthread_t thread;
	sigset_t all, old;
	int rc;

	wake = (struct loop_source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .fn = jobs_done};
	if (wake.fd == -1 || loop_add(&wake, EPOLLIN) == -1)
		fatal("helper thread");
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&thread, NULL, helper, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0) {
		errno = rc;
		fatal("helper thread");
	}
	(void)pthread_detach(thread);
}

void
offload(struct job *j)
{
	if (wake.fd == -1)
		start();
	locked(true);
	TAILQ_INSERT_TAIL(&todo, j, entry);
	(void)pthread_cond_signal(&more);
	locked(false);
}

/*
 * reap: collects dead children and owns the back-off clock.
 *
 * Called by master.c. The clock: whoever lived 10 s is replaced at once; whoever died sooner makes
 * its successor wait 0.1 s, doubling up to 30 s; a life of 60 s forgets the past. So a crash costs
 * nothing, and a worker that dies at every start costs little.
 */
#include "master/reap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "conf/log.h"
#include "worker/worker.h"

int64_t
reap_delay(struct reap_backoff *b, int64_t lived_us)
{
	int64_t delay;

	if (lived_us >= REAP_RESET_US)
		b->next_us = 0;
	if (lived_us >= REAP_PROVEN_US)
		return 0;
	delay = b->next_us > 0 ? b->next_us : REAP_FIRST_US;
	b->next_us = delay * 2 < REAP_LONGEST_US ? delay * 2 : REAP_LONGEST_US;
	return delay;
}

void
reap_describe(int status, char *buf, size_t size)
{
	int code;

	if (WIFSIGNALED(status)) {
		code = WTERMSIG(status);
		(void)snprintf(buf, size, "was killed by signal %d (%s)%s", code, strsignal(code),
		    WCOREDUMP(status) ? ", core dumped" : "");
		return;
	}
	if (!WIFEXITED(status)) {
		(void)snprintf(buf, size, "changed state (status 0x%x)", (unsigned int)status);
		return;
	}
	code = WEXITSTATUS(status);
	if (code == 0)
		(void)snprintf(buf, size, "left");
	else if (code == WORKER_EXIT_CONFIG)
		(void)snprintf(buf, size,
		    "exited with status %d: it cannot run with this "
		    "configuration or on this machine",
		    code);
	else
		(void)snprintf(buf, size, "exited with status %d", code);
}

pid_t
reap_next(int *status)
{
	pid_t pid;

	do
		pid = waitpid(-1, status, WNOHANG);
	while (pid == -1 && errno == EINTR);
	if (pid == -1 && errno != ECHILD)
		log_warn("waitpid");
	return pid > 0 ? pid : 0;
}

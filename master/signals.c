/*
 * signals: blocks the signals the master understands and reads them from a signalfd.
 *
 * Called by master.c (open, read) and spawn.c (reset, in the child). SIGPIPE is ignored: writes
 * report EPIPE instead. Errors go back to the caller.
 */
#include "master/signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const struct {
	int signo;
	const char *name;
} known[] = {
    {SIGTERM, "SIGTERM"},
    {SIGINT, "SIGINT"},
    {SIGQUIT, "SIGQUIT"},
    {SIGHUP, "SIGHUP"},
    {SIGUSR1, "SIGUSR1"},
    {SIGUSR2, "SIGUSR2"},
    {SIGCHLD, "SIGCHLD"},
};

int
signals_open(void)
{
	sigset_t set;
	size_t i;

	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGCHLD, SIG_DFL) == SIG_ERR)
		return -1;
	(void)sigemptyset(&set);
	for (i = 0; i < sizeof known / sizeof known[0]; i++)
		(void)sigaddset(&set, known[i].signo);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int
signals_read(int fd, struct signals_event *event)
{
	struct signalfd_siginfo info;
	ssize_t n;

	do
		n = read(fd, &info, sizeof info);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return errno == EAGAIN ? 0 : -1;
	event->signo = (int)info.ssi_signo;
	event->pid = (pid_t)info.ssi_pid;
	event->uid = info.ssi_uid;
	return 1;
}

int
signals_reset(void)
{
	/* A terminal or a service manager sends these to the whole group: the master alone acts,
	 * and tells the others in order. Without this ^C or `systemctl stop` would cut all
	 * sessions. */
	static const int for_master[] = {
	    SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
	sigset_t none;
	size_t i;
	int signo;

	for (signo = 1; signo < NSIG; signo++) {
		if (signo == SIGKILL || signo == SIGSTOP)
			continue;
		/* glibc keeps a few real-time signals for itself: EINVAL for those. */
		if (signal(signo, SIG_DFL) == SIG_ERR && errno != EINVAL)
			return -1;
	}
	for (i = 0; i < sizeof for_master / sizeof for_master[0]; i++)
		if (signal(for_master[i], SIG_IGN) == SIG_ERR)
			return -1;
	(void)sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

const char *
signals_name(int signo)
{
	size_t i;

	for (i = 0; i < sizeof known / sizeof known[0]; i++)
		if (known[i].signo == signo)
			return known[i].name;
	return "unknown signal";
}

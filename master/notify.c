/*
 * notify: sd_notify(3) without libsystemd: one datagram of KEY=VALUE lines per event.
 *
 * Called by master.c. Owns nothing: a socket is opened per message, so no child inherits one. A
 * message that cannot be sent is a debug line; serving does not depend on it.
 */
#include "master/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conf/log.h"

int
notify_address(const char *text, struct sockaddr_un *addr, socklen_t *len)
{
	size_t n = strlen(text);

	memset(addr, 0, sizeof *addr);
	addr->sun_family = AF_UNIX;
	if ((text[0] != '/' && text[0] != '@') || n < 2 || n >= sizeof addr->sun_path)
		return -1;
	memcpy(addr->sun_path, text, n);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (text[0] == '@')
		addr->sun_path[0] = '\0'; /* abstract: the length says where the name ends */
	else
		*len += 1;
	return 0;
}

size_t
notify_message(char *buf, size_t size, const char *state, pid_t pid, const char *status)
{
	char main_pid[32] = "";
	size_t n, i;
	int rc;

	if (pid != 0)
		(void)snprintf(main_pid, sizeof main_pid, "MAINPID=%d\n", (int)pid);
	rc = snprintf(buf, size, "%s%s%s%s", state != NULL ? state : "", state != NULL ? "\n" : "",
	    main_pid, status != NULL ? "STATUS=" : "");
	if (rc < 0)
		return 0;
	n = (size_t)rc < size ? (size_t)rc : size - 1;
	for (i = 0; status != NULL && status[i] != '\0' && n + 1 < size; i++)
		buf[n++] = status[i] == '\n' ? ' ' : status[i];
	buf[n] = '\0';
	return n;
}

/* WATCHDOG_PID names whom the service manager means; half the interval leaves room for a delay. */
static int64_t
watchdog_interval(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	long long us;

	if (usec == NULL || (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid()))
		return 0;
	us = strtoll(usec, NULL, 10);
	return us >= 2 ? us / 2 : 0;
}

void
notify_init(struct notify *nt)
{
	const char *path = getenv("NOTIFY_SOCKET");

	memset(nt, 0, sizeof *nt);
	if (path != NULL && path[0] != '\0') {
		nt->enabled = notify_address(path, &nt->addr, &nt->addr_len) == 0;
		if (!nt->enabled)
			log_warnx("NOTIFY_SOCKET is not usable: %s", path);
	}
	nt->watchdog_us = nt->enabled ? watchdog_interval() : 0;
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
}

static void
notify_send(const struct notify *nt, const char *state, pid_t pid, const char *status)
{
	char buf[512];
	size_t n;
	int fd;

	if (!nt->enabled)
		return;
	n = notify_message(buf, sizeof buf, state, pid, status);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1 || sendto(fd, buf, n, MSG_NOSIGNAL, (const struct sockaddr *)&nt->addr,
			    nt->addr_len) == -1)
		log_debug("notify: cannot send: %s", strerror(errno));
	if (fd != -1)
		(void)close(fd);
}

void
notify_ready(const struct notify *nt, const char *status)
{
	notify_send(nt, "READY=1", getpid(), status);
}

/* For Type=notify-reload, which wants to know when. */
void
notify_reloading(const struct notify *nt)
{
	char state[64];
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1)
		return;
	(void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
	notify_send(nt, state, 0, "reloading");
}

void
notify_status(const struct notify *nt, const char *status)
{
	notify_send(nt, NULL, 0, status);
}

void
notify_stopping(const struct notify *nt, const char *status)
{
	notify_send(nt, "STOPPING=1", 0, status);
}

void
notify_mainpid(const struct notify *nt, pid_t pid)
{
	notify_send(nt, NULL, pid, NULL);
}

void
notify_restore(const struct notify *nt)
{
	char path[sizeof nt->addr.sun_path + 2], usec[32];
	bool abstract = nt->addr.sun_path[0] == '\0';

	if (!nt->enabled)
		return;
	(void)snprintf(path, sizeof path, "%s%.*s", abstract ? "@" : "",
	    (int)(sizeof nt->addr.sun_path - 1), nt->addr.sun_path + abstract);
	(void)setenv("NOTIFY_SOCKET", path, 1);
	(void)snprintf(usec, sizeof usec, "%lld", (long long)nt->watchdog_us * 2);
	if (nt->watchdog_us != 0)
		(void)setenv("WATCHDOG_USEC", usec, 1);
}

void
notify_watchdog(const struct notify *nt)
{
	notify_send(nt, "WATCHDOG=1", 0, NULL);
}

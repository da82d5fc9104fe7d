/*
 * watch: the heartbeat watch.
 *
 * Called by master.c on every tick. A worker whose heartbeat is older than worker_timeout gets
 * SIGABRT, so that it leaves a core, and SIGKILL 2 s later: a stopped process does not act on the
 * first. One that is writing its core when the 2 s are over is given WATCH_CORE_US more.
 * Its death is then seen by reap.c like any other.
 */
#include "master/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/log.h"

#define WATCH_KILL_US  2000000
#define WATCH_CORE_US  10000000
#define WATCH_SLACK_US 1000000

bool
watch_is_silent(
    int64_t now_us, int64_t started_us, int64_t from_us, int64_t beat_us, int64_t timeout_us)
{
	int64_t last = started_us > from_us ? started_us : from_us;

	if (beat_us > last && beat_us <= now_us + WATCH_SLACK_US)
		last = beat_us;
	return now_us - last > timeout_us;
}

static void
abort_child(struct master *m, struct child *child, const char *reason)
{
	if (child->kill_us != 0 || child->pid == 0)
		return;
	log_warnx("%s (pid %d) %s: aborting it", child->name, (int)child->pid, reason);
	child->kill_us = m->now_us + WATCH_KILL_US;
	if (kill(child->pid, SIGABRT) == -1)
		log_warn("cannot signal %s", child->name);
}

/* The kernel says so in /proc/PID/status. */
static bool
is_dumping_core(pid_t pid)
{
	char path[64], text[4096];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return false;
	n = read(fd, text, sizeof text - 1);
	(void)close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return strstr(text, "CoreDumping:\t1") != NULL;
}

static void
finish(struct master *m, struct child *child)
{
	if (m->now_us < child->kill_us)
		return;
	if (m->now_us < child->kill_us + WATCH_CORE_US && is_dumping_core(child->pid))
		return;
	log_warnx("%s (pid %d) is still there: killing it", child->name, (int)child->pid);
	if (kill(child->pid, SIGKILL) == -1)
		log_warn("cannot kill %s", child->name);
	child->kill_us = m->now_us + WATCH_CORE_US; /* say it again if even that takes so long */
}

void
watch_children(struct master *m)
{
	const int64_t timeout_us = m->conf->worker_timeout_us;
	struct child *child;
	char reason[64];
	int64_t beat;
	uint32_t w;

	for (w = 0; w < m->nchildren; w++) {
		child = &m->children[w];
		if (child->pid == 0)
			continue;
		if (child->kill_us != 0) {
			finish(m, child);
			continue;
		}
		if (child->lost_us != 0 && m->now_us - child->lost_us > WATCH_KILL_US)
			abort_child(m, child, "has closed its control socket");
		beat = (int64_t)stats_get(&stats_worker(m->kit.stats, w)->heartbeat_us);
		if (!watch_is_silent(
			m->now_us, child->started_us, m->watch_from_us, beat, timeout_us))
			continue;
		(void)snprintf(reason, sizeof reason, "gave no sign of life for %" PRId64 " ms",
		    timeout_us / 1000);
		abort_child(m, child, reason);
	}
}

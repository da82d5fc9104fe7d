/*
 * limits: descriptors, CPUs and the out-of-memory killer.
 *
 * Called by master.c before the first fork and by spawn.c in each child. Nothing here fails a
 * start: what cannot be had is said in one line, or ignored where the header says so.
 */
#include "master/limits.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conf/log.h"

/* Epoll, log, control socket, inbox, name look-ups, cancel connections, and some air. */
#define LIMITS_MARGIN  128
#define LIMITS_OOM_ADJ (-900)
#define LIMITS_WORKERS 64 /* as in conf/options.def */

static bool oom_changed;
static int oom_before;

static int
cpus(void)
{
	cpu_set_t set;
	int n;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		n = CPU_COUNT(&set);
	else
		n = (int)sysconf(_SC_NPROCESSORS_ONLN); /* more than 1024 CPUs */
	return n < 1 ? 1 : n;
}

static uint32_t
at_most(int n)
{
	return n < LIMITS_WORKERS ? (uint32_t)n : LIMITS_WORKERS;
}

uint32_t
limits_workers(const struct conf *conf)
{
	return at_most(conf->workers > 0 ? conf->workers : cpus());
}

uint32_t
limits_places(const struct conf *conf)
{
	const uint32_t least = limits_workers(conf);
	const uint32_t places = at_most(conf->max_workers > 0 ? conf->max_workers : 2 * cpus());

	return places > least ? places : least;
}

void
limits_raise_nofile(const struct conf *conf, uint32_t nworkers)
{
	struct rlimit limit;
	rlim_t need;

	/* Any one worker may come to hold everything. */
	need = (rlim_t)conf->max_client_conn + (rlim_t)conf->max_backends + (rlim_t)conf->nlisten +
	       nworkers + LIMITS_MARGIN;
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1) {
		log_warn("cannot read the limit of open files");
		return;
	}
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
		log_warn("cannot raise the limit of open files");
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < need)
		log_warnx("max_client_conn and max_backends need %llu open files per process, the "
			  "limit is %llu: raise it (ulimit -Hn, LimitNOFILE)",
		    (unsigned long long)need, (unsigned long long)limit.rlim_cur);
}

static int
write_oom(int adj)
{
	char text[16];
	int fd, n;
	ssize_t done;

	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	n = snprintf(text, sizeof text, "%d", adj);
	done = write(fd, text, (size_t)n);
	(void)close(fd);
	return done == n ? 0 : -1;
}

void
limits_oom_protect(void)
{
	char text[16];
	ssize_t n;
	int fd;

	fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return;
	n = read(fd, text, sizeof text - 1);
	(void)close(fd);
	if (n <= 0)
		return;
	text[n] = '\0';
	oom_before = (int)strtol(text, NULL, 10);
	oom_changed = oom_before > LIMITS_OOM_ADJ && write_oom(LIMITS_OOM_ADJ) == 0;
}

void
limits_oom_restore(void)
{
	if (oom_changed && write_oom(oom_before) == -1)
		log_debug("cannot reset oom_score_adj");
}

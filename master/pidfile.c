/*
 * pidfile: the locks that keep a second instance out.
 *
 * Called by master.c, and by spawn.c in each child. Two locks, both flock(2): the pid file's, and
 * one on run_dir itself, because two instances with different pid files would still share the
 * statistics segment. A lock ends with its process; a left-over file without one means nothing.
 */
#include "master/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <bsd/libutil.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "conf/log.h"
#include "master/inherit.h"
#include "shm/stats.h"

/* Who holds run_dir? Its statistics segment says so. 0 = unknown. */
static int
holder_of(const char *run_dir)
{
	struct stats *stats;
	char ignored[256];
	char *path;
	int pid = 0;

	path = conf_stats_path(run_dir);
	if (path == NULL)
		return 0;
	stats = stats_open(path, ignored, sizeof ignored);
	if (stats != NULL) {
		pid = stats_master_pid(stats);
		stats_close(stats);
	}
	free(path);
	return pid;
}

static int
lock_dir(struct pidfile *pf, const char *run_dir, struct why *why)
{
	pf->dir_fd = inherit_dir_fd();
	if (pf->dir_fd != -1)
		return 0; /* locked: the lock is on the open directory */
	pf->dir_fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pf->dir_fd == -1)
		return why_set(why, "run_dir %s: %s", run_dir, strerror(errno));
	if (flock(pf->dir_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return why_set(why, "cannot lock run_dir %s: %s", run_dir, strerror(errno));
	return why_set(
	    why, "another pgdrove is running with run_dir %s, pid %d", run_dir, holder_of(run_dir));
}

static int
lock_file(struct pidfile *pf, const char *path, struct privs *privs, struct why *why)
{
	pid_t other = 0;
	int saved;

	if (privs_enter(privs, path, why) == -1)
		return -1;
	pf->file = pidfile_open(path, 0644, &other);
	saved = errno;
	if (pf->file != NULL && privs_own(privs, path) == -1)
		log_warn("cannot give %s to %s", path, privs->user);
	privs_leave(privs);
	if (pf->file != NULL)
		return 0;
	if (saved == EEXIST || saved == EAGAIN)
		return why_set(
		    why, "another pgdrove is running, pid %d (pid file %s)", (int)other, path);
	return why_set(why, "pid file %s: %s", path, strerror(saved));
}

void
pidfile_give_up(struct pidfile *pf)
{
	if (pf->file != NULL && pidfile_remove(pf->file) == -1)
		log_warn("cannot remove the pid file");
	pf->file = NULL;
}

int
pidfile_again(struct pidfile *pf, const struct conf *conf, struct privs *privs, struct why *why)
{
	if (lock_file(pf, conf->pid_file, privs, why) == -1)
		return -1;
	if (pidfile_write(pf->file) == 0)
		return 0;
	return why_set(why, "pid file %s: %s", conf->pid_file, strerror(errno));
}

int
pidfile_acquire(struct pidfile *pf, const struct conf *conf, struct privs *privs, struct why *why)
{
	char *path = NULL;
	int rc = -1;

	pf->file = NULL;
	pf->dir_fd = -1;
	if (conf->pid_file[0] != '\0')
		path = strdup(conf->pid_file);
	else if (asprintf(&path, "%s/pgdrove.pid", conf->run_dir) == -1)
		path = NULL;
	if (path == NULL)
		return why_set(why, "out of memory");
	/* The file first: it knows the other's pid at any time. */
	if (lock_file(pf, path, privs, why) == 0 && lock_dir(pf, conf->run_dir, why) == 0)
		rc = 0;
	if (rc == 0 && pidfile_write(pf->file) == -1)
		rc = why_set(why, "pid file %s: %s", path, strerror(errno));
	if (rc == -1)
		pidfile_release(pf);
	free(path);
	return rc;
}

void
pidfile_release(struct pidfile *pf)
{
	if (pf->file != NULL && pidfile_remove(pf->file) == -1)
		log_warn("cannot remove the pid file");
	pf->file = NULL;
	pidfile_forget(pf);
}

void
pidfile_forget(struct pidfile *pf)
{
	if (pf->file != NULL)
		(void)pidfile_close(pf->file);
	pf->file = NULL;
	if (pf->dir_fd != -1)
		(void)close(pf->dir_fd);
	pf->dir_fd = -1;
}

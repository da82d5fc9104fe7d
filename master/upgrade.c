/*
 * upgrade: see upgrade.h. Called by master.c (signal, pipe, clock) and children.c (deaths).
 *
 * What is handed over stands in one environment variable (inherit.h). The lock on run_dir is on the
 * open file and so goes over by itself. The pid file is given up before the start and taken again
 * if nothing comes of it. The statistics of the new master come into their place when it serves.
 *
 * On failure: one line in the log, the new master is killed (its workers leave when they miss it),
 * and this one goes on as if nothing had been.
 */
#include "master/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/log.h"
#include "master/inherit.h"
#include "master/master.h"
#include "master/reap.h"
#include "master/retire.h"
#include "master/signals.h"
#include "proto/move.h"

#define CHECK_US 30000000

static char **args; /* a copy: setproctitle writes over the original */
static char binary[PATH_MAX];

void
upgrade_remember(int argc, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", binary, sizeof binary - 1);
	int i;

	binary[n < 0 ? 0 : n] = '\0';
	args = calloc((size_t)argc + 2, sizeof *args); /* one more for -t */
	for (i = 0; args != NULL && i < argc; i++)
		args[i] = strdup(argv[i]);
}

/* --- children -----------------------------------------------------------------------------------
 */

/* In the child. */
static _Noreturn void
exec_binary(char *const *argv)
{
	if (signals_reset() == -1)
		fatal("upgrade: signals");
	(void)signal(SIGTERM, SIG_DFL); /* ignored ones stay so over an exec */
	(void)signal(SIGINT, SIG_DFL);
	(void)execv(binary, argv);
	fatal("upgrade: cannot run %s", binary);
}

static void
give_up(struct master *m, const char *why)
{
	log_warnx("upgrade: not done, everything stays as it is: %s", why);
	m->upgrade.state = UPGRADE_NONE;
	m->upgrade.deadline_us = 0;
	if (m->upgrade.fd != -1)
		(void)close(m->upgrade.fd);
	if (m->upgrade.elder_fd != -1)
		(void)close(m->upgrade.elder_fd);
	m->upgrade.fd = m->upgrade.elder_fd = -1;
}

static void
kill_new(struct master *m)
{
	if (m->upgrade.pid > 0 && kill(m->upgrade.pid, SIGKILL) == -1)
		log_warn("upgrade: cannot kill pid %d", (int)m->upgrade.pid);
}

/* The new master is dead: what it had taken is ours again. */
static void
take_back(struct master *m)
{
	struct why why = {.text = ""};

	m->upgrade.pid = 0;
	if (pidfile_again(&m->pidfile, m->conf, &m->privs, &why) == -1)
		log_warnx("upgrade: %s", why.text);
}

/* --- check --------------------------------------------------------------------------------------
 */

void
upgrade_start(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	char **argv, **p;

	if (m->state != MASTER_RUN || !m->ready) {
		log_warnx("upgrade: refused: %s", m->ready ? "stopping" : "still starting");
		return;
	}
	if (u->state != UPGRADE_NONE || u->pid != 0) {
		log_warnx("upgrade: refused: another one is under way");
		return;
	}
	log_info("upgrade: checking %s", binary);
	u->pid = fork();
	if (u->pid == -1) {
		u->pid = 0;
		log_warn("upgrade: cannot fork");
		return;
	}
	if (u->pid == 0) {
		argv = args;
		for (p = argv; *p != NULL; p++)
			;
		memmove(argv + 2, argv + 1, (size_t)(p - argv - 1) * sizeof *argv);
		argv[1] = strdup("-t");
		exec_binary(argv);
	}
	u->state = UPGRADE_CHECKING;
	u->fd = -1;
	u->deadline_us = m->now_us + CHECK_US;
}

/* --- start --------------------------------------------------------------------------------------
 */

/* PAUSE, DISABLE, SUSPEND: so that the new master says the same of its databases. */
static void
put_admin(const char *db, unsigned int flags, void *out)
{
	if (strpbrk(db, "\t\n") == NULL)
		(void)fprintf(out, "admin\t%u\t%s\n", flags, db);
}

/* The text for the new master; the descriptors survive its exec. */
static char *
make_env(const struct master *m, int ready_fd, int elder_fd)
{
	char *text = NULL;
	size_t size, i;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		fatal("upgrade");
	(void)fprintf(out, "ready\t%d\n", ready_fd);
	(void)fcntl(ready_fd, F_SETFD, 0);
	(void)fprintf(out, "elder\t%d\n", elder_fd);
	(void)fcntl(elder_fd, F_SETFD, 0);
	(void)fprintf(out, "generation\t%u\n", m->kit.generation + 1);
	(void)fprintf(out, "layout\t%u\t%u\t%u\n", INHERIT_LAYOUT);
	admin_each(m->kit.admin, put_admin, out);
	(void)fprintf(out, "dir\t%d\n", m->pidfile.dir_fd);
	(void)fcntl(m->pidfile.dir_fd, F_SETFD, 0);
	for (i = 0; i < m->listeners.n; i++) {
		const struct listener *l = &m->listeners.items[i];
		(void)fprintf(out, "listen\t%d\t%s\t%s\t%s\n", m->listeners.fds[i], l->key, l->name,
		    l->path == NULL ? "" : l->path);
		(void)fcntl(m->listeners.fds[i], F_SETFD, 0);
	}
	if (fclose(out) == EOF || text == NULL)
		fatal("upgrade");
	return text;
}

static void
start_new(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	int fds[2], pair[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1) {
		give_up(m, strerror(errno));
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1) {
		(void)close(fds[0]);
		(void)close(fds[1]);
		give_up(m, strerror(errno));
		return;
	}
	pidfile_give_up(&m->pidfile);
	u->pid = fork();
	if (u->pid == 0) {
		if (setenv(INHERIT_ENV, make_env(m, fds[1], pair[1]), 1) == -1)
			fatal("upgrade");
		notify_restore(&m->notify);
		exec_binary(args);
	}
	(void)close(fds[1]);
	(void)close(pair[1]);
	u->fd = fds[0];
	u->elder_fd = pair[0];
	if (u->pid == -1) {
		give_up(m, "cannot fork");
		take_back(m);
		return;
	}
	log_info("upgrade: the new master starts, pid %d", (int)u->pid);
	u->state = UPGRADE_STARTING;
	u->deadline_us = m->now_us + m->conf->upgrade_start_timeout_us;
}

void
upgrade_reaped(struct master *m, pid_t pid, int status)
{
	struct upgrade *u = &m->upgrade;
	char how[160], why[200];

	if (pid != u->pid) {
		log_info("a child that is none of ours, pid %d, has ended", (int)pid);
		return;
	}
	reap_describe(status, how, sizeof how);
	if (u->state == UPGRADE_CHECKING) {
		u->pid = 0;
		if (m->state == MASTER_RUN && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
			start_new(m);
			return;
		}
		(void)snprintf(why, sizeof why, "the check (-t) %s", how);
		give_up(m, why);
		return;
	}
	if (u->state == UPGRADE_DONE) {
		log_warnx("upgrade: the new master %s", how);
		u->pid = 0;
		return;
	}
	if (u->state == UPGRADE_STARTING) {
		(void)snprintf(why, sizeof why, "the new master %s", how);
		give_up(m, why);
	}
	take_back(m);
}

/* --- commit, or not -----------------------------------------------------------------------------
 */

static void
commit(struct master *m)
{
	struct upgrade *u = &m->upgrade;

	u->state = UPGRADE_DONE;
	u->deadline_us = 0;
	(void)close(u->fd);
	u->fd = -1;
	log_info("upgrade: pid %d serves; this generation stays for those who are connected",
	    (int)u->pid);
	notify_mainpid(&m->notify, u->pid);
	m->notify.enabled = false; /* the new master's business from here on */
	m->notify.watchdog_us = 0;
	listen_disown(&m->listeners);
	retire_begin(m);
}

void
upgrade_read(struct master *m)
{
	char text[256];
	ssize_t n = read(m->upgrade.fd, text, sizeof text - 1);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	text[n < 0 ? 0 : n] = '\0';
	if (text[0] == '+' && m->state == MASTER_RUN) {
		commit(m);
		return;
	}
	give_up(m, n > 0 ? text : "the new master ended before it served");
	kill_new(m);
}

void
upgrade_check_deadline(struct master *m)
{
	struct upgrade *u = &m->upgrade;

	if (u->deadline_us == 0 || m->now_us < u->deadline_us)
		return;
	if (u->state == UPGRADE_STARTING)
		give_up(m, "the new master does not serve in time");
	u->deadline_us = 0;
	kill_new(m);
}

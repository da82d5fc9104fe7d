/*
 * boot: opens what an instance needs before it forks.
 *
 * Called by master.c. The order matters: who we shall be, then the log (so that errors have a
 * place), run_dir, the locks (so that a second instance touches nothing), the listeners, and only
 * then, as the unprivileged account, shared memory. Every failure is one line for the operator.
 */
#include "master/boot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/log.h"
#include "master/inherit.h"
#include "master/limits.h"
#include "master/signals.h"
#include "worker/worker.h"

static int
open_log(struct master *m, struct why *why)
{
	const char *path = m->conf->log_file;
	int rc;

	conf_log(m->conf);
	if (path[0] == '\0')
		return log_open(NULL);
	if (privs_enter(&m->privs, path, why) == -1)
		return -1;
	rc = log_open(path);
	if (rc == 0 && privs_own(&m->privs, path) == -1)
		log_warn("cannot give %s to %s", path, m->privs.user);
	privs_leave(&m->privs);
	return rc == 0 ? 0 : why_set(why, "log_file %s: %s", path, strerror(errno));
}

/* Only a directory of our own making is given away: run_dir could name /run itself. Whether it can
 * be written is asked now, while nothing is open that would stay behind. */
static int
make_run_dir(struct master *m, struct why *why)
{
	const char *dir = m->conf->run_dir;

	if (mkdir(dir, 0755) == 0 && privs_own(&m->privs, dir) == -1)
		return why_set(
		    why, "cannot give run_dir %s to %s: %s", dir, m->privs.user, strerror(errno));
	if (privs_may_write(&m->privs, dir))
		return 0;
	return why_set(why, "run_dir %s cannot be written by %s: %s", dir,
	    m->privs.drop ? m->privs.user : "us", strerror(errno));
}

/* While another generation serves, ours stand beside. */
static void
next_name(char **path)
{
	char *next;

	if (asprintf(&next, "%s.next", *path) == -1)
		fatal("statistics segment");
	free(*path);
	*path = next;
}

static int
make_stats(struct master *m, struct why *why)
{
	char *path;

	path = conf_stats_path(m->conf->run_dir);
	if (path == NULL)
		return why_set(why, "out of memory");
	if (inherit_any())
		next_name(&path);
	m->kit.stats = stats_create(path, m->nchildren, (uint32_t)m->conf->max_pools);
	if (m->kit.stats == NULL)
		(void)why_set(why, "statistics segment %s: %s", path, strerror(errno));
	free(path);
	return m->kit.stats != NULL ? 0 : -1;
}

static int
make_table(struct master *m, struct why *why)
{
	const struct table_shape shape = {
	    .workers = m->nchildren,
	    .slots = (uint32_t)m->conf->max_backends,
	    .pools = (uint32_t)m->conf->max_pools,
	    .clients = (uint32_t)m->conf->max_client_conn,
	};

	m->kit.table = table_create(&shape);
	if (m->kit.table != NULL)
		return 0;
	if (errno == ENOTRECOVERABLE)
		return why_set(why, "robust mutexes do not work on this system: refusing to run");
	return why_set(why, "shared table: %s", strerror(errno));
}

/* Counted for the generations before and after us. */
static int
make_budget(struct master *m, struct why *why)
{
	m->kit.budget = budget_create(m->conf->run_dir, (uint32_t)m->conf->max_pools);
	if (m->kit.budget == NULL)
		return why_set(why, "run_dir %s: %s", m->conf->run_dir, strerror(errno));
	ledger_publish(m->kit.table, m->kit.budget);
	return 0;
}

static void
say_again(const char *db, unsigned int flags, void *admin)
{
	if (admin_change(admin, db, flags, 0) == -1)
		log_warnx("no room to keep what was said of database %s", db);
}

/* Keys are small; a pool needs one or two, a user of SCRAM one. What auth_query found is of use for
 * seconds only. */
static int
make_secrets(struct master *m, struct why *why)
{
	m->kit.secrets = secrets_create(2 * (uint32_t)m->conf->max_pools + 4096, SECRETS_VALUE);
	m->kit.lookups = secrets_create(4096, LOOKUP_BYTES);
	m->kit.admin = admin_create();
	m->kit.failures = failures_create();
	if (m->kit.secrets != NULL && m->kit.lookups != NULL && m->kit.admin != NULL &&
	    m->kit.failures != NULL) {
		inherit_admin(say_again, m->kit.admin);
		return 0;
	}
	return why_set(why, "shared keys: %s", strerror(errno));
}

static int
make_hosts(struct master *m, struct why *why)
{
	m->kit.hosts = hosts_create(m->nchildren, HOSTS_MOST);
	m->kit.logins = hosts_create(m->nchildren, (uint32_t)m->conf->max_pools);
	return m->kit.hosts != NULL && m->kit.logins != NULL
		   ? 0
		   : why_set(why, "shared hosts: %s", strerror(errno));
}

static int
make_children(struct master *m, struct why *why)
{
	struct child *child;
	uint32_t w;

	m->children = calloc(m->nchildren, sizeof *m->children);
	if (m->children == NULL)
		return why_set(why, "out of memory");
	for (w = 0; w < m->nchildren; w++) {
		child = &m->children[w];
		child->control_fd = -1;
		child->steward = w == m->nworkers;
		child->wanted = child->steward;
		if (!child->steward)
			stats_set(&stats_worker(m->kit.stats, w)->state, STATS_UNUSED);
		if (child->steward)
			(void)snprintf(child->name, sizeof child->name, "steward");
		else
			(void)snprintf(child->name, sizeof child->name, "worker %u", w);
	}
	if (spawn_inboxes(&m->kit) == -1)
		return why_set(why, "inboxes: %s", strerror(errno));
	return 0;
}

static void
fill_kit(struct master *m)
{
	m->kit.conf = m->conf;
	m->kit.nworkers = m->nworkers;
	m->kit.listeners = &m->listeners;
	m->kit.reload = &m->reload;
	m->kit.upgrade = &m->upgrade;
	m->kit.elder_fd = inherit_elder_fd();
	m->kit.generation = inherit_generation();
	m->reload.in_force = m->reload.serial = 1;
	m->kit.pidfile = &m->pidfile;
	m->kit.signal_fd = m->signal_fd;
	m->kit.ready_fd = m->ready_fd;
}

int
boot_begin(struct master *m, struct why *why)
{
	if (inherit_is_older(why))
		return -1;
	if (privs_lookup(&m->privs, m->conf->user, why) == -1 || open_log(m, why) == -1 ||
	    make_run_dir(m, why) == -1 ||
	    pidfile_acquire(&m->pidfile, m->conf, &m->privs, why) == -1)
		return -1;
	conf_warn(m->conf);
	if (inherit_is_foreign())
		log_warnx("upgrade: the generation before us speaks another version of messages: "
			  "nobody moves, its clients stay until upgrade_timeout");
	m->nworkers = limits_places(m->conf);
	m->nwanted = limits_workers(m->conf);
	m->nchildren = m->nworkers + 1;
	limits_raise_nofile(m->conf, m->nworkers);
	limits_oom_protect();
	if (listen_open(&m->listeners, m->conf, &m->privs, why) == -1 ||
	    privs_drop(&m->privs, why) == -1)
		return -1;
	m->signal_fd = signals_open();
	if (m->signal_fd == -1)
		return why_set(why, "signalfd: %s", strerror(errno));
	fill_kit(m);
	if (make_table(m, why) == -1 || make_budget(m, why) == -1 || make_stats(m, why) == -1 ||
	    make_secrets(m, why) == -1 || make_hosts(m, why) == -1)
		return -1;
	return make_children(m, why);
}

void
boot_end(struct master *m)
{
	listen_close(&m->listeners);
	pidfile_release(&m->pidfile);
	spawn_close_inboxes(&m->kit);
	free(m->children);
	m->children = NULL;
	if (m->kit.secrets != NULL)
		secrets_destroy(m->kit.secrets);
	m->kit.secrets = NULL;
	if (m->kit.hosts != NULL)
		hosts_destroy(m->kit.hosts);
	m->kit.hosts = NULL;
	if (m->kit.logins != NULL)
		hosts_destroy(m->kit.logins);
	m->kit.logins = NULL;
	if (m->kit.lookups != NULL)
		secrets_destroy(m->kit.lookups);
	m->kit.lookups = NULL;
	if (m->kit.failures != NULL)
		failures_destroy(m->kit.failures);
	m->kit.failures = NULL;
	if (m->kit.budget != NULL)
		budget_destroy(m->kit.budget);
	m->kit.budget = NULL;
	if (m->kit.stats != NULL)
		stats_close(m->kit.stats);
	m->kit.stats = NULL;
	if (m->signal_fd != -1)
		(void)close(m->signal_fd);
	m->signal_fd = -1;
}

/*
 * spawn: forks a worker into its slot.
 *
 * Called by master.c at the start and after every death. Owns the inboxes: one socket pair per
 * worker index, made once and kept by the master for good, so that a backend in flight to a worker
 * that dies is found by its successor. A fork that fails leaves the slot empty; the caller tries
 * again by the back-off clock.
 *
 * The child closes everything that is not its own. That is no tidiness: a lock lives as long as any
 * copy of its descriptor, and a control socket must report EOF when the master dies.
 */
#include "master/spawn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/log.h"
#include "master/limits.h"
#include "master/signals.h"
#include "worker/worker.h"

#define SPAWN_INBOX_BYTES (1 << 20)
#define SPAWN_PAIR_TYPE	  (SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC)

/* The kernel cuts it to net.core.wmem_max; a smaller inbox is full sooner and nothing worse. */
static void
widen(int fd)
{
	static const int bytes = SPAWN_INBOX_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) == -1)
		log_warn("cannot widen an inbox");
}

int
spawn_inboxes(struct spawn_kit *kit)
{
	uint32_t w, n = kit->nworkers + 1;
	int pair[2];

	kit->inbox_fds = calloc(n, sizeof *kit->inbox_fds);
	kit->inbox_peers = calloc(n, sizeof *kit->inbox_peers);
	if (kit->inbox_fds == NULL || kit->inbox_peers == NULL)
		return -1;
	for (w = 0; w < n; w++)
		kit->inbox_fds[w] = kit->inbox_peers[w] = -1;
	for (w = 0; w < n; w++) {
		if (socketpair(AF_UNIX, SPAWN_PAIR_TYPE, 0, pair) == -1)
			return -1;
		widen(pair[0]);
		widen(pair[1]);
		kit->inbox_fds[w] = pair[0];
		kit->inbox_peers[w] = pair[1];
	}
	return 0;
}

void
spawn_close_inboxes(struct spawn_kit *kit)
{
	uint32_t w;

	for (w = 0; kit->inbox_fds != NULL && kit->inbox_peers != NULL && w <= kit->nworkers; w++) {
		if (kit->inbox_fds[w] == -1)
			break;
		(void)close(kit->inbox_fds[w]);
		(void)close(kit->inbox_peers[w]);
	}
	free(kit->inbox_fds);
	free(kit->inbox_peers);
	kit->inbox_fds = kit->inbox_peers = NULL;
}

/* In the child: what belongs to the master and to the siblings. */
static void
close_foreign(const struct spawn_kit *kit, const struct child *children, uint32_t w)
{
	uint32_t i;
	size_t l;

	for (i = 0; i <= kit->nworkers; i++) {
		if (children[i].control_fd != -1)
			(void)close(children[i].control_fd);
		if (i != w)
			(void)close(kit->inbox_fds[i]);
	}
	for (l = 0; l < kit->reload->listeners.n; l++)
		if (!listen_has(kit->listeners, kit->reload->listeners.items[l].id))
			(void)close(kit->reload->listeners.fds[l]);
	if (kit->reload->state == RELOAD_PREPARING)
		(void)close(kit->reload->fd);
	for (l = 0; children[w].steward && l < kit->listeners->n; l++)
		(void)close(kit->listeners->fds[l]);
	if (kit->upgrade->fd != -1)
		(void)close(kit->upgrade->fd);
	if (kit->upgrade->elder_fd != -1)
		(void)close(kit->upgrade->elder_fd);
	pidfile_forget(kit->pidfile);
	(void)close(kit->signal_fd);
	if (kit->ready_fd != -1)
		(void)close(kit->ready_fd);
}

static const uint32_t *
listener_ids(const struct listen_set *set)
{
	uint32_t *ids = calloc(set->n, sizeof *ids);
	size_t l;

	if (ids == NULL)
		fatal("listeners");
	for (l = 0; l < set->n; l++)
		ids[l] = set->items[l].id;
	return ids;
}

static _Noreturn void
become_worker(const struct spawn_kit *kit, const struct child *children, uint32_t w, int control)
{
	const bool steward = children[w].steward;
	const struct worker_boot boot = {
	    .conf = kit->conf,
	    .conf_serial = kit->reload->in_force,
	    .table = kit->table,
	    .stats = kit->stats,
	    .secrets = kit->secrets,
	    .hosts = kit->hosts,
	    .logins = kit->logins,
	    .lookups = kit->lookups,
	    .admin = kit->admin,
	    .failures = kit->failures,
	    .budget = kit->budget,
	    .self = {.worker = w, .incarnation = children[w].incarnation},
	    .nworkers = kit->nworkers,
	    .accepts = kit->accepts,
	    .generation = kit->generation,
	    .elder_fd = kit->elder_fd,
	    .steward = steward,
	    .control_fd = control,
	    .listen_ids = steward ? NULL : listener_ids(kit->listeners),
	    .listen_fds = steward ? NULL : kit->listeners->fds,
	    .listen_confs = steward ? NULL : kit->listeners->confs,
	    .nlisten = steward ? 0 : kit->listeners->n,
	    .inbox_fd = kit->inbox_fds[w],
	    .inbox_peers = kit->inbox_peers,
	};

	if (signals_reset() == -1)
		fatal("cannot reset the signals");
	log_set_name(children[w].name);
	close_foreign(kit, children, w);
	limits_oom_restore();
	stats_set(&stats_worker(kit->stats, w)->pid, (uint64_t)getpid());
	worker_main(&boot);
}

/* The row is ours as long as nobody lives in the slot: what the worker starts from. */
static void
prepare_row(const struct spawn_kit *kit, uint32_t w, const struct child *child)
{
	struct stats_worker *row = stats_worker(kit->stats, w);

	stats_set(&row->incarnation, child->incarnation);
	stats_set(&row->started_us, (uint64_t)child->started_us);
	stats_set(&row->state, STATS_STARTING);
}

/* The fork did not happen: nobody lives here. */
static void
undo(const struct spawn_kit *kit, struct child *child, uint32_t w, const int *pair)
{
	const int saved = errno;

	(void)close(pair[0]);
	(void)close(pair[1]);
	child->control_fd = -1;
	table_worker_gone(kit->table, w);
	stats_worker_gone(kit->stats, w);
	errno = saved;
}

int
spawn_worker(const struct spawn_kit *kit, struct child *children, uint32_t w, int64_t now_us)
{
	struct child *child = &children[w];
	int pair[2];
	pid_t pid;

	ENSURE(child->pid == 0 && child->control_fd == -1);
	if (socketpair(AF_UNIX, SPAWN_PAIR_TYPE, 0, pair) == -1)
		return -1;
	child->control_fd = pair[0];
	child->incarnation = table_worker_start(kit->table, w);
	child->started_us = now_us;
	child->ready = false;
	child->respawn_us = 0;
	child->kill_us = 0;
	child->lost_us = 0;
	child->told = 0;
	child->owes = 0;
	prepare_row(kit, w, child);
	pid = fork();
	if (pid == -1) {
		undo(kit, child, w, pair);
		return -1;
	}
	if (pid == 0)
		become_worker(kit, children, w, pair[1]);
	(void)close(pair[1]);
	child->pid = pid;
	return 0;
}

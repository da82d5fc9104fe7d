/*
 * children: births and deaths of the workers and the steward.
 *
 * Called by master.c. A death is announced to all that live: they look after what the dead one had,
 * and try to accept, which also cures a wake-up that died with it. In RUN a successor is planned by
 * the back-off clock; a fork that fails is planned again. Nothing here ends the master.
 */
#include "master/children.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/log.h"
#include "master/command.h"
#include "master/control.h"
#include "master/reload.h"
#include "worker/worker.h"

uint32_t
children_count(const struct master *m, bool only_ready)
{
	uint32_t w, n = 0;

	for (w = 0; w < m->nworkers; w++)
		if (only_ready)
			n += m->children[w].wanted && m->children[w].ready;
		else
			n += m->children[w].pid != 0;
	return n;
}

static void
start(struct master *m, uint32_t w)
{
	struct child *child = &m->children[w];
	int64_t pause;

	if (spawn_worker(&m->kit, m->children, w, m->now_us) == 0) {
		log_info("%s started, pid %d", child->name, (int)child->pid);
		reload_newcomer(m, w);
		return;
	}
	pause = reap_delay(&child->backoff, 0);
	child->respawn_us = m->now_us + pause;
	log_warn("cannot start %s, next try in %.1f s", child->name, (double)pause / 1e6);
}

void
children_start_due(struct master *m)
{
	uint32_t w;

	for (w = 0; w < m->nchildren; w++)
		if (m->children[w].respawn_us != 0 && m->now_us >= m->children[w].respawn_us)
			start(m, w);
}

/* --- how many --------------------------------------------------------------------------------- */

/* A place that nobody has, for one more; NULL: those who leave must have left first. */
static struct child *
free_place(struct master *m)
{
	uint32_t w;

	for (w = 0; w < m->nworkers; w++)
		if (!m->children[w].wanted && m->children[w].pid == 0)
			return &m->children[w];
	return NULL;
}

static void
place_fill(struct master *m, struct child *child)
{
	child->wanted = true;
	child->failed = child->served = child->retired = false;
	child->backoff = (struct reap_backoff){.next_us = 0};
	child->respawn_us = m->now_us;
	stats_set(&stats_worker(m->kit.stats, (uint32_t)(child - m->children))->state, STATS_DOWN);
}

static void
place_empty(struct master *m, uint32_t w)
{
	struct child *child = &m->children[w];

	child->wanted = false;
	child->respawn_us = 0;
	child->surplus = child->pid != 0;
	if (!child->surplus)
		stats_set(&stats_worker(m->kit.stats, w)->state, STATS_UNUSED);
	else if (!control_send(child, CTL_DRAIN, CTL_DRAIN_SURPLUS, 0))
		child->surplus = false; /* the next turn tries again */
	else
		log_info("%s is too many: it leaves when its clients have", child->name);
}

void
children_resize(struct master *m)
{
	struct child *place;
	uint32_t w, n = 0;

	for (w = 0; w < m->nworkers; w++) {
		place = &m->children[w];
		n += place->wanted;
		if (!place->wanted && place->pid != 0 && !place->surplus)
			place_empty(m, w);
	}
	for (; n < m->nwanted && (place = free_place(m)) != NULL; n++)
		place_fill(m, place);
	for (w = m->nworkers; w-- > 0 && n > m->nwanted;)
		if (m->children[w].wanted) {
			place_empty(m, w);
			n--;
		}
}

/* --- deaths ----------------------------------------------------------------------------------- */

/* Nobody believes the dead process from here on. */
static void
bury(struct master *m, uint32_t w)
{
	struct child *child = &m->children[w];

	child->pid = 0;
	child->ready = false;
	child->kill_us = 0;
	child->lost_us = 0;
	if (child->control_fd != -1)
		(void)close(child->control_fd);
	child->control_fd = -1;
	table_worker_gone(m->kit.table, w);
	stats_worker_gone(m->kit.stats, w);
	child->owes = 0;
	command_child_gone(m, w);
	control_broadcast(m, CTL_DEATH, w, child->incarnation);
}

static void
plan_successor(struct master *m, uint32_t w, int64_t lived_us, const char *how)
{
	struct child *child = &m->children[w];
	int64_t pause;

	if (child->retired) {
		log_warnx("%s %s after %.1f s; it is not started again", child->name, how,
		    (double)lived_us / 1e6);
		return;
	}
	stats_add(&stats_worker(m->kit.stats, w)->restarts, 1);
	pause = reap_delay(&child->backoff, lived_us);
	child->respawn_us = m->now_us + pause;
	if (pause == 0)
		log_warnx("%s %s after %.1f s; replacing it at once", child->name, how,
		    (double)lived_us / 1e6);
	else
		log_warnx("%s %s after %.1f s; replacing it in %.1f s", child->name, how,
		    (double)lived_us / 1e6, (double)pause / 1e6);
}

static void
handle_death(struct master *m, uint32_t w, int status)
{
	struct child *child = &m->children[w];
	char how[160];

	reap_describe(status, how, sizeof how);
	bury(m, w);
	if (m->state != MASTER_RUN) {
		log_info("%s %s", child->name, how);
		return;
	}
	if (!child->wanted) {
		log_info("%s %s; its place is free", child->name, how);
		stats_set(&stats_worker(m->kit.stats, w)->state, STATS_UNUSED);
		return;
	}
	child->failed = true;
	child->retired = WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_CONFIG;
	plan_successor(m, w, m->now_us - child->started_us, how);
	/* Rather a worker than the steward: it is what a failed start is explained by. */
	if (!child->steward || child->retired || m->last_death[0] == '\0')
		(void)snprintf(m->last_death, sizeof m->last_death, "%s %s", child->name, how);
}

void
children_reap(struct master *m)
{
	int status;
	pid_t pid;
	uint32_t w;

	while ((pid = reap_next(&status)) != 0) {
		for (w = 0; w < m->nchildren && m->children[w].pid != pid; w++)
			;
		if (w < m->nchildren)
			handle_death(m, w, status);
		else
			upgrade_reaped(m, pid, status);
	}
}

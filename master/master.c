/*
 * master: the supervisor's loop.
 *
 * Called by main.c. One poll(2) over the signalfd and the control sockets; its timeout is the one
 * timer. States: RUN (everybody is kept alive), DRAINING (SIGTERM: workers finish and leave until
 * the deadline), STOPPING (everybody leaves now; SIGKILL after 5 s). The steward leaves last: it
 * cancels what dead workers left at PostgreSQL.
 *
 * On failure: a start that fails says why and exits 1. Afterwards only a broken invariant or a
 * broken poll(2) ends the master early; the workers then see EOF on their control sockets, drain
 * and leave, so that no orphan keeps a port.
 */
#include "master/master.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conf/log.h"
#include "master/boot.h"
#include "master/children.h"
#include "master/control.h"
#include "master/inherit.h"
#include "master/retire.h"
#include "master/signals.h"
#include "master/watch.h"

#define MASTER_TICK_US	  1000000
#define MASTER_MIN_US	  100000
#define MASTER_KILL_US	  5000000  /* between "leave now" and SIGKILL */
#define MASTER_SUSPEND_US 1000000  /* a sleep longer than planned by so much was no sleep */
#define MASTER_BOOT_US	  30000000 /* a launcher waits so long for everybody */

int64_t
master_now_us(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1)
		panic("no monotonic clock");
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* --- orders to the children ------------------------------------------------------------------ */

/* Tells everybody the order in force who was not told yet. The steward's turn is last. */
static void
send_orders(struct master *m)
{
	enum ctlmsg_type type;
	struct child *child;
	bool last;
	uint32_t w;

	last = children_count(m, false) == 0;
	for (w = 0; w < m->nchildren; w++) {
		child = &m->children[w];
		type = m->state == MASTER_STOPPING || child->steward ? CTL_STOP : CTL_DRAIN;
		if (child->pid == 0 || child->told == type || (child->steward && !last))
			continue;
		if (control_send_with(child, type, (uint32_t)m->retiring, (uint64_t)m->stop_us,
			NULL, 0, m->retiring == CTL_DRAIN_UPGRADE ? m->upgrade.elder_fd : -1))
			child->told = type;
	}
	if (!last || m->state != MASTER_DRAINING)
		return;
	/* Only the steward is left: it has nothing to finish. */
	m->state = MASTER_STOPPING;
	m->stop_us = m->now_us + MASTER_KILL_US;
}

/* --- states ---------------------------------------------------------------------------------- */

static void
set_state(struct master *m, enum master_state to)
{
	static const bool edge[3][3] = {
	    [MASTER_RUN] = {[MASTER_DRAINING] = true, [MASTER_STOPPING] = true},
	    [MASTER_DRAINING] = {[MASTER_STOPPING] = true},
	};

	ENSURE(edge[m->state][to]);
	m->state = to;
}

/* Nobody new from here on. */
static void
leave_run(struct master *m)
{
	uint32_t w;

	if (m->state != MASTER_RUN)
		return;
	reload_abandon(m);
	listen_close(&m->listeners);
	stats_set_state(m->kit.stats, STATS_STOPPING);
	notify_stopping(&m->notify, "stopping");
	for (w = 0; w < m->nchildren; w++)
		m->children[w].respawn_us = 0;
}

static void
begin_drain(struct master *m)
{
	leave_run(m);
	set_state(m, MASTER_DRAINING);
	m->stop_us = m->now_us + m->conf->shutdown_timeout_us;
	setproctitle("master (draining)");
	send_orders(m);
}

static void
retire(struct master *m, enum ctlmsg_drain how, int64_t until_us)
{
	m->retiring = how;
	leave_run(m);
	set_state(m, MASTER_DRAINING);
	m->stop_us = until_us;
	setproctitle("master (retired)");
	send_orders(m);
}

void
retire_begin(struct master *m)
{
	retire(m, CTL_DRAIN_UPGRADE, m->now_us + m->conf->upgrade_timeout_us);
}

void
retire_alone(struct master *m)
{
	if (m->state == MASTER_RUN)
		retire(m, CTL_DRAIN_ALONE, INT64_MAX);
}

/* upgrade_timeout is over: those who are still here leave at their transactions' border. */
static void
end_retirement(struct master *m)
{
	uint32_t w;

	log_warnx("upgrade_timeout is over: clients that are left shall leave");
	m->retiring = CTL_DRAIN_NOW;
	m->stop_us = m->now_us + m->conf->shutdown_timeout_us;
	for (w = 0; w < m->nchildren; w++)
		m->children[w].told = 0;
	send_orders(m);
}

static void
begin_stop(struct master *m)
{
	if (m->state == MASTER_STOPPING)
		return;
	leave_run(m);
	set_state(m, MASTER_STOPPING);
	m->stop_us = m->now_us + MASTER_KILL_US;
	setproctitle("master (stopping)");
	send_orders(m);
}

/* The one line an operator needs, wherever he looks: log, terminal, launcher. */
static void
report_failure(const struct master *m, const char *reason)
{
	log_warnx("start failed: %s", reason);
	if (m->ready_fd != -1) {
		if (write(m->ready_fd, reason, strlen(reason)) == -1)
			log_warn("cannot tell the launcher");
	} else if (m->conf->log_file[0] != '\0')
		(void)fprintf(stderr, "pgdrove: start failed: %s\n", reason);
}

/* No hope for the start: everybody leaves and the exit code is 1. */
static void
fail_start(struct master *m, const char *reason)
{
	if (m->state == MASTER_STOPPING)
		return;
	report_failure(m, reason);
	m->exit_code = 1;
	begin_stop(m);
}

/* --- readiness ------------------------------------------------------------------------------- */

static void
show_status(struct master *m)
{
	char text[sizeof m->status];
	uint32_t n;

	if (m->state != MASTER_RUN)
		return;
	n = children_count(m, true);
	(void)snprintf(text, sizeof text, "%s: %u of %u workers serve%s",
	    m->ready ? "serving" : "starting", n, m->nwanted,
	    m->children[m->nworkers].ready ? "" : ", no steward");
	if (strcmp(text, m->status) == 0)
		return;
	(void)snprintf(m->status, sizeof m->status, "%s", text);
	notify_status(&m->notify, text);
}

/* What the master before us still had: its place in the statistics (the steward takes it), the
 * socket files, and from here on the connections. */
static void
take_over(struct master *m)
{
	if (!inherit_any())
		return;
	listen_own(&m->listeners);
	m->kit.accepts = true;
	control_broadcast(m, CTL_SERVE, 0, 0);
}

/* Readiness is honest: everybody, at the same time. */
static void
check_ready(struct master *m)
{
	const char *plural = m->nwanted == 1 ? "" : "s";

	if (m->ready || m->state != MASTER_RUN || !m->children[m->nworkers].ready ||
	    children_count(m, true) != m->nwanted)
		return;
	m->ready = true;
	take_over(m);
	stats_set_state(m->kit.stats, STATS_READY);
	show_status(m);
	notify_ready(&m->notify, m->status);
	log_info("ready: %u worker%s and the steward serve", m->nwanted, plural);
	if (m->ready_fd == -1)
		return;
	if (write(m->ready_fd, "+", 1) != 1)
		log_warn("cannot tell the launcher");
	(void)close(m->ready_fd);
	m->ready_fd = m->kit.ready_fd = -1;
}

/* During the start: is there still hope, after the last death? */
static void
check_boot(struct master *m)
{
	char reason[sizeof m->last_death + 32];
	uint32_t w;
	bool retired = false, hope = false;

	if (m->ready || m->state != MASTER_RUN)
		return;
	for (w = 0; w < m->nchildren; w++)
		retired |= m->children[w].retired;
	for (w = 0; w < m->nworkers; w++)
		hope |= m->children[w].wanted && (m->children[w].served || !m->children[w].failed);
	if (!hope) {
		(void)snprintf(reason, sizeof reason, "no worker could start; %s", m->last_death);
		fail_start(m, reason);
	} else if (retired && m->ready_fd != -1) {
		/* A launcher was promised everybody. */
		fail_start(m, m->last_death);
	}
}

static void
check_boot_deadline(struct master *m)
{
	char reason[128];

	if (m->boot_deadline_us == 0 || m->ready || m->now_us < m->boot_deadline_us)
		return;
	m->boot_deadline_us = 0;
	(void)snprintf(reason, sizeof reason, "after %d s only %u of %u workers serve%s",
	    MASTER_BOOT_US / 1000000, children_count(m, true), m->nwanted,
	    m->children[m->nworkers].ready ? "" : " and the steward does not");
	fail_start(m, reason);
}

/* --- events ---------------------------------------------------------------------------------- */

static void
reopen_logs(struct master *m)
{
	if (log_reopen() == -1)
		log_warn("cannot reopen the log; the old file stays in use");
	control_broadcast(m, CTL_REOPEN, 0, 0);
}

static void
handle_signal(struct master *m, const struct signals_event *event)
{
	if (event->signo == SIGCHLD)
		return; /* the loop reaps after every turn: signals of one kind are merged */
	log_info("%s from pid %d (uid %u)", signals_name(event->signo), (int)event->pid,
	    (unsigned int)event->uid);
	switch (event->signo) {
	case SIGTERM:
		if (m->state == MASTER_RUN)
			begin_drain(m);
		else
			begin_stop(m);
		break;
	case SIGINT:
	case SIGQUIT:
		begin_stop(m);
		break;
	case SIGUSR1:
		reopen_logs(m);
		break;
	case SIGHUP:
		reload_start(m);
		break;
	case SIGUSR2:
		upgrade_start(m);
		break;
	default:
		break;
	}
}

static void
read_signals(struct master *m)
{
	struct signals_event event;
	int rc;

	while ((rc = signals_read(m->signal_fd, &event)) == 1)
		handle_signal(m, &event);
	if (rc == -1)
		fatal("signalfd");
}

/* --- the loop -------------------------------------------------------------------------------- */

static void
sooner(int64_t *when, int64_t other)
{
	if (other != 0 && other < *when)
		*when = other;
}

/* When there is something to do even if nothing happens. */
static int64_t
next_wake(const struct master *m)
{
	int64_t when = m->now_us + m->tick_us;
	uint32_t w;

	for (w = 0; w < m->nchildren; w++) {
		sooner(&when, m->children[w].respawn_us);
		sooner(&when, m->children[w].kill_us);
	}
	sooner(&when, m->reload.deadline_us);
	sooner(&when, m->upgrade.deadline_us);
	if (m->state != MASTER_RUN)
		sooner(&when, m->stop_us);
	return when > m->now_us ? when : m->now_us + 1000;
}

/* The master itself was stopped or starved: the workers' silence proves nothing then. */
static void
notice_suspension(struct master *m)
{
	if (m->now_us - m->planned_us < MASTER_SUSPEND_US)
		return;
	log_warnx(
	    "the master itself was held up for %.1f s", (double)(m->now_us - m->planned_us) / 1e6);
	m->watch_from_us = m->now_us;
}

/* DRAINING ends by the deadline, STOPPING by SIGKILL. */
static void
check_deadline(struct master *m)
{
	uint32_t w;

	if (m->state == MASTER_RUN || m->now_us < m->stop_us)
		return;
	if (m->retiring != CTL_DRAIN_NOW) {
		end_retirement(m);
		return;
	}
	if (m->state == MASTER_DRAINING) {
		log_warnx("shutdown_timeout is over: the workers that are left shall leave now");
		begin_stop(m);
		return;
	}
	for (w = 0; w < m->nchildren; w++) {
		if (m->children[w].pid == 0)
			continue;
		log_warnx("%s did not leave: killing it", m->children[w].name);
		if (kill(m->children[w].pid, SIGKILL) == -1)
			log_warn("cannot kill %s", m->children[w].name);
	}
	m->stop_us = m->now_us + MASTER_KILL_US;
}

static void
wait_events(struct master *m)
{
	struct pollfd fds[2 + 65]; /* conf allows 64 workers; and the steward */
	uint32_t w;
	int rc;

	ENSURE(m->nchildren + 1 < sizeof fds / sizeof fds[0]);
	fds[0] = (struct pollfd){.fd = m->signal_fd, .events = POLLIN};
	for (w = 0; w < m->nchildren; w++)
		fds[1 + w] = (struct pollfd){.fd = m->children[w].control_fd, .events = POLLIN};
	fds[1 + m->nchildren] = (struct pollfd){.fd = m->upgrade.fd, .events = POLLIN};
	m->planned_us = next_wake(m);
	rc = poll(fds, 2 + m->nchildren, (int)((m->planned_us - m->now_us + 999) / 1000));
	m->now_us = master_now_us();
	if (rc == -1 && errno != EINTR)
		fatal("poll");
	if (rc <= 0)
		return;
	for (w = 0; w < m->nchildren; w++)
		if (fds[1 + w].revents != 0 && control_read(m, w))
			check_ready(m);
	if (fds[1 + m->nchildren].revents != 0)
		upgrade_read(m);
	if (fds[0].revents != 0)
		read_signals(m);
}

static void
turn(struct master *m)
{
	wait_events(m);
	notice_suspension(m);
	children_reap(m);
	check_boot(m);
	children_start_due(m);
	watch_children(m);
	check_boot_deadline(m);
	check_deadline(m);
	reload_go_on(m);
	if (m->state == MASTER_RUN && m->reload.state == RELOAD_NONE)
		children_resize(m);
	upgrade_check_deadline(m);
	if (m->state != MASTER_RUN)
		send_orders(m);
	show_status(m);
	stats_master_beat(m->kit.stats, m->now_us);
	if (m->notify.watchdog_us != 0 && m->now_us >= m->watchdog_us) {
		notify_watchdog(&m->notify);
		m->watchdog_us = m->now_us + m->tick_us / 2;
	}
}

static bool
is_over(const struct master *m)
{
	return m->state != MASTER_RUN && children_count(m, false) == 0 &&
	       m->children[m->nworkers].pid == 0;
}

static int64_t
choose_tick(const struct master *m)
{
	int64_t tick = MASTER_TICK_US;

	if (m->conf->worker_timeout_us / 4 < tick)
		tick = m->conf->worker_timeout_us / 4;
	sooner(&tick, m->notify.watchdog_us);
	return tick > MASTER_MIN_US ? tick : MASTER_MIN_US;
}

static void
supervise(struct master *m)
{
	m->now_us = m->watch_from_us = master_now_us();
	m->tick_us = choose_tick(m);
	m->kit.accepts = !inherit_any();
	if (m->ready_fd != -1)
		m->boot_deadline_us = m->now_us + MASTER_BOOT_US;
	stats_master_beat(m->kit.stats, m->now_us);
	log_info("pgdrove %s starts %u workers on %zu listening sockets", PGDROVE_VERSION,
	    m->nwanted, m->listeners.n);
	m->children[m->nworkers].respawn_us = m->now_us;
	children_resize(m);
	children_start_due(m);
	while (!is_over(m))
		turn(m);
	stats_set_state(m->kit.stats, STATS_STOPPED);
	stats_master_beat(m->kit.stats, master_now_us());
	log_info("stopped");
}

int
master_run(struct conf *conf, int ready_fd)
{
	struct master m = {.conf = conf,
	    .ready_fd = ready_fd,
	    .signal_fd = -1,
	    .upgrade = {.fd = -1, .elder_fd = -1},
	    .pidfile = {.dir_fd = -1},
	    .state = MASTER_RUN};
	struct why why = {.text = ""};

	log_set_name("master");
	notify_init(&m.notify);
	if (boot_begin(&m, &why) == -1) {
		m.exit_code = 1;
		report_failure(&m, why.text);
	} else {
		setproctitle("master");
		supervise(&m);
	}
	reload_abandon(&m);
	boot_end(&m);
	conf_free(m.conf);
	return m.exit_code;
}

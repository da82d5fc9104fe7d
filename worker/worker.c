/*
 * worker: the process's life: set-up, messages of the master, heartbeat, draining, the end. See
 * worker.h.
 *
 * States (shown in the statistics): starting, serving, draining. Draining ends when the last client
 * is gone or at the deadline; then the backends get a moment for their goodbye. The master's death
 * (EOF on the control socket) drains too: nobody would restart us.
 */
#include "worker/worker.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bsd/unistd.h>

#include "conf/log.h"
#include "proto/ctlmsg.h"
#include "worker/accept.h"
#include "worker/adopt.h"
#include "worker/client.h"
#include "worker/command.h"
#include "worker/console.h"
#include "worker/elder.h"
#include "worker/handover.h"
#include "worker/inbox.h"
#include "worker/metrics.h"
#include "worker/pool.h"
#include "worker/reload.h"
#include "worker/resolve.h"
#include "worker/statements.h"
#include "worker/steward.h"

#define LONG_BYTES 262144
#define BEAT_US	   1000000
#define GOODBYE_US 1000000

static struct worker me;
struct worker *wk = &me;

static struct loop_source control = {.fd = -1};
static struct timer beat_timer, drain_timer, end_timer;

static void
worker_title(void)
{
	const char *how = wk->draining ? " draining" : wk->retired ? " retired" : "";

	if (wk->boot->steward)
		setproctitle("steward%s", how);
	else
		setproctitle("worker %u%s (%u clients, %u backends)", wk->self.worker, how,
		    client_count(), (unsigned int)stats_get(&wk->row->backends));
}

static void
before_wait(void)
{
	stats_set(&wk->row->heartbeat_us, (uint64_t)loop_now());
	stats_set(&wk->row->loop_turns, loop_turns());
	stats_set(&wk->row->buffers, buf_used());
}

uint32_t
worker_serving(uint32_t k)
{
	uint32_t w, n = 0, high = table_workers_high(wk->table);

	for (w = 0; w < high; w++)
		n += stats_get(&stats_worker(wk->stats, w)->state) == STATS_SERVING;
	for (w = 0, k = n == 0 ? 0 : k % n; w < high; w++)
		if (stats_get(&stats_worker(wk->stats, w)->state) == STATS_SERVING && k-- == 0)
			return w;
	return TABLE_NONE;
}

/* Is there a worker that serves by its own account, and gives no sign of life? */
static bool
peer_hangs(void)
{
	uint32_t w;

	for (w = 0; w < table_workers_high(wk->table); w++) {
		struct stats_worker *row = stats_worker(wk->stats, w);
		if (stats_get(&row->state) == STATS_SERVING &&
		    loop_now() - (int64_t)stats_get(&row->heartbeat_us) > 2 * BEAT_US)
			return true;
	}
	return false;
}

/* The exclusive wake-up for a new connection may have gone to one that hangs: until the master has
 * replaced it, everybody looks for connections by the clock. */
static void
beat(struct timer *t)
{
	int64_t next = BEAT_US;
	struct ledger_health ledger;
	struct log_counts log;

	ledger_health_met(&ledger);
	stats_add(&wk->row->ledger_stalls, ledger.stalls);
	stats_add(&wk->row->ledger_repairs, ledger.repairs);
	log_tick(&log);
	stats_add(&wk->row->log_dropped, log.dropped);
	stats_add(&wk->row->log_repeats, log.repeats);
	resolve_count();
	worker_title();
	if (!wk->boot->steward && !wk->draining && peer_hangs()) {
		accept_poke();
		next = BEAT_US / 20;
	}
	timer_set(t, loop_now() + next, beat);
}

/* --- leaving
 * ------------------------------------------------------------------------------------------------
 */

static void
end_now(struct timer *t)
{
	(void)t;
	loop_stop();
}

void
worker_check_done(void)
{
	if ((!wk->draining && !wk->retired) || client_count() > 0)
		return;
	if (handover_busy())
		return;
	wk->draining = true;
	if (!timer_armed(&end_timer)) {
		timer_set(&end_timer, loop_now() + GOODBYE_US, end_now);
		pool_close_idle();
	}
	if (stats_get(&wk->row->backends) == 0)
		timer_set(&end_timer, loop_now(), end_now);
}

static void
drain_over(struct timer *t)
{
	(void)t;
	client_drain(true);
}

/* Nobody new; those who are here are served until they leave, or are taken over. */
static void
retire(enum ctlmsg_drain how)
{
	wk->retired = true;
	stats_set(&wk->row->state, how == CTL_DRAIN_SURPLUS ? STATS_SURPLUS : STATS_DRAINING);
	accept_stop();
	worker_title();
	pool_generation_watch();
	if (how != CTL_DRAIN_ALONE)
		handover_start(how == CTL_DRAIN_SURPLUS ? TO_SIBLINGS : TO_YOUNGER);
	worker_check_done();
}

static void
drain(int64_t deadline_us)
{
	if (!wk->draining) {
		wk->draining = true;
		stats_set(&wk->row->state, STATS_DRAINING);
		accept_stop();
		metrics_stop();
		worker_title();
	}
	timer_set(&drain_timer, deadline_us, drain_over);
	client_drain(false);
	worker_check_done();
}

/* --- the master's messages
 * -------------------------------------------------------------------------------------- */

static void
control_message(const struct ctlmsg *m, int fd)
{
	switch ((enum ctlmsg_type)m->type) {
	case CTL_SERVE:
		if (wk->boot->steward)
			steward_publish();
		else if (!wk->draining && !wk->retired)
			accept_start();
		break;
	case CTL_DRAIN:
		if (m->arg32 != CTL_DRAIN_NOW && fd != -1) {
			elder_open(fd);
			fd = -1;
		}
		if (m->arg32 != CTL_DRAIN_NOW)
			retire((enum ctlmsg_drain)m->arg32);
		else
			drain((int64_t)m->arg64);
		break;
	case CTL_STOP:
		handover_stop();
		drain(loop_now());
		break;
	case CTL_REOPEN:
		if (log_reopen() == -1)
			log_warn("cannot reopen the log");
		break;
	case CTL_DEATH:
		if (wk->boot->steward) {
			steward_death();
		} else {
			accept_poke();
			pool_kick_all();
		}
		break;
	case CTL_CONF:
		reload_conf(m->arg64, fd);
		return;
	case CTL_LISTENER:
		reload_listener(m->arg64, m->arg32, fd);
		return;
	case CTL_SWITCH:
		reload_switch(m->arg64, m->payload, m->payload_len);
		break;
	case CTL_FORGET:
		reload_forget(m->arg64);
		break;
	case CTL_DO:
		command_do((enum ctlmsg_verb)m->arg32, m->arg64, m->payload, m->payload_len);
		break;
	case CTL_ANSWER:
		console_answer(m->arg64, m->arg32 == 0 ? NULL : m->payload, m->payload_len);
		break;
	case CTL_COMMAND:
	case CTL_DONE:
	case CTL_TELL:
	case CTL_TOLD:
	case CTL_PREPARED:
	case CTL_SWITCHED:
	case CTL_READY:
	case CTL_GIVE:
	case CTL_ASK:
	case CTL_WAKE:
	case CTL_CANCEL:
	case CTL_CANCELED:
	case CTL_EVICT:
	case CTL_LANE:
	case CTL_LANE_READY:
	case CTL_RECORD:
	case CTL_MOVE:
	case CTL_TAKEN:
	case CTL_HELD:
	case CTL_ACCEPT:
	case CTL_TYPES:
		log_warnx("unexpected message %s from the master",
		    ctlmsg_name((enum ctlmsg_type)m->type));
		break;
	}
	if (fd != -1)
		close(fd);
}

static void
control_event(struct loop_source *s, uint32_t events)
{
	struct ctlmsg m;
	ssize_t n;
	int fd;

	(void)events;
	while ((n = inbox_receive(s->fd, &m, &fd)) > 0)
		if (ctlmsg_valid(&m, (size_t)n))
			control_message(&m, fd);
		else if (fd != -1)
			close(fd);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	log_warnx("the master is gone: draining");
	loop_del(s);
	close(s->fd);
	s->fd = -1;
	drain(loop_now() + wk->conf->shutdown_timeout_us);
}

static void
say_ready(void)
{
	struct ctlmsg m;

	ctlmsg_init(&m, CTL_READY, wk->self.worker, wk->self.incarnation);
	if (send(wk->boot->control_fd, &m, ctlmsg_size(&m), MSG_NOSIGNAL) == -1)
		log_warn("cannot tell the master that we serve");
}

/* --- life
 * ----------------------------------------------------------------------------------------------------------
 */

static void
set_up(const struct worker_boot *boot)
{
	char name[32];

	me = (struct worker){.boot = boot,
	    .conf = boot->conf,
	    .table = boot->table,
	    .stats = boot->stats,
	    .row = stats_worker(boot->stats, boot->self.worker),
	    .self = boot->self};
	if (boot->steward)
		snprintf(name, sizeof(name), "steward");
	else
		snprintf(name, sizeof(name), "worker %u", boot->self.worker);
	log_set_name(name);
	log_limit_repeats();
	loop_init(before_wait);
	buf_init((size_t)boot->conf->pkt_buf_bytes);
	/* Long texts go back to the system when they are freed; malloc would learn to keep them. */
	(void)mallopt(M_MMAP_THRESHOLD, LONG_BYTES);
	client_tables_init();
	hosts_worker_start(wk->boot->hosts, wk->self.worker);
	pools_init();
	statements_init();
	stats_set(&me.row->pid, (uint64_t)getpid());
	stats_set(&me.row->incarnation, boot->self.incarnation);
	stats_set(&me.row->conf, boot->conf_serial);
	stats_set(&me.row->started_us, (uint64_t)loop_now());
	stats_set(&me.row->heartbeat_us, (uint64_t)loop_now());
	stats_set(&me.row->state, STATS_STARTING);
}

void
worker_main(const struct worker_boot *boot)
{
	set_up(boot);
	control = (struct loop_source){.fd = boot->control_fd, .fn = control_event};
	if (loop_add(&control, EPOLLIN) == -1)
		fatal("control socket");
	inbox_open();
	if (boot->steward) {
		steward_start();
		steward_carry_start();
		metrics_start();
	} else if (boot->accepts) {
		accept_start();
	}
	if (!boot->steward) {
		adopt_start();
		pool_generation_watch();
	}
	stats_set(&me.row->state, STATS_SERVING);
	beat(&beat_timer);
	say_ready();
	loop_run();
	log_debug("leaving");
	exit(0);
}

/*
 * accept: see accept.h. A listener is taken out of epoll and put back after each accept, so that
 * the next exclusive wake-up goes to somebody else. A worker above its share stops listening and
 * looks again after GATE_US; the bound is above the average, so at least one worker always listens.
 */
#include "worker/accept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/log.h"
#include "worker/client.h"
#include "worker/loop.h"
#include "worker/state.h"

#define GATE_US	  20000
#define LATE_US	  3000000 /* a worker silent for so long is left out of the average */
#define NO_FDS_US 200000

struct listener {
	struct loop_source src;
	size_t conf; /* of conf->listen */
	bool added;
};

static struct listener *listeners;
static size_t nlisteners;
static struct timer gate;

static bool
above_share(void)
{
	uint64_t own = stats_get(&wk->row->clients), sum = 0, n = 0, slack, w;

	for (w = 0; w < wk->boot->nworkers; w++) {
		struct stats_worker *row = stats_worker(wk->stats, (uint32_t)w);
		if (stats_get(&row->state) != STATS_SERVING ||
		    loop_now() - (int64_t)stats_get(&row->heartbeat_us) > LATE_US)
			continue;
		sum += stats_get(&row->clients);
		n++;
	}
	if (n < 2)
		return false;
	slack = sum / n / 32;
	return own * n > sum + n * (slack < 2 ? 2 : slack);
}

static void
listeners_set(bool on)
{
	size_t i;

	for (i = 0; i < nlisteners; i++) {
		struct listener *l = &listeners[i];
		if (l->added == on || l->src.fd == -1)
			continue;
		if (on && loop_add(&l->src, EPOLLIN | EPOLLEXCLUSIVE) == -1)
			fatal("listener");
		if (!on)
			loop_del(&l->src);
		l->added = on;
	}
}

static int
accept_one(struct listener *l)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	int fd = accept4(l->src.fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd == -1)
		return -1;
	stats_add(&wk->row->accepts, 1);
	client_accepted(fd, &addr, &wk->conf->listen[l->conf]);
	return 0;
}

/*
 * The exclusive wake-up that closed the gate woke nobody else. A connection that still waits after
 * GATE_US would wait for ever: it is taken now, share or not.
 */
static void
gate_open(struct timer *t)
{
	size_t i;

	(void)t;
	for (i = 0; i < nlisteners; i++)
		if (listeners[i].src.fd != -1)
			(void)accept_one(&listeners[i]);
	listeners_set(true);
}

static void
gate_close(int64_t us)
{
	listeners_set(false);
	timer_set(&gate, loop_now() + us, gate_open);
}

static void
listener_event(struct loop_source *s, uint32_t events)
{
	struct listener *l = LOOP_CONTAINER(s, struct listener, src);

	(void)events;
	if (above_share()) {
		gate_close(GATE_US);
		return;
	}
	if (accept_one(l) == -1) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			log_warn("cannot accept a client");
			gate_close(NO_FDS_US);
		}
		return;
	}
	if (l->added) {
		loop_del(s);
		if (loop_add(s, EPOLLIN | EPOLLEXCLUSIVE) == -1)
			fatal("listener");
	}
}

void
accept_start(void)
{
	size_t i;

	nlisteners = wk->boot->nlisten;
	listeners = calloc(nlisteners, sizeof(*listeners));
	if (listeners == NULL)
		fatal("listeners");
	for (i = 0; i < nlisteners; i++)
		listeners[i] =
		    (struct listener){.src = {.fd = wk->boot->listen_fds[i], .fn = listener_event},
			.conf = wk->boot->listen_confs[i]};
	listeners_set(true);
}

void
accept_poke(void)
{
	size_t i;

	for (i = 0; i < nlisteners; i++)
		if (listeners[i].added)
			listener_event(&listeners[i].src, 0);
}

void
accept_stop(void)
{
	size_t i;

	timer_stop(&gate);
	listeners_set(false);
	for (i = 0; i < nlisteners; i++) {
		if (listeners[i].src.fd != -1)
			close(listeners[i].src.fd);
		listeners[i].src.fd = -1;
	}
}

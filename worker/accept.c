/*
 * accept: see accept.h. A listener is taken out of epoll and put back after each accept, so that
 * the next exclusive wake-up goes to somebody else, if there is one. A worker above its share stops
 * listening and looks again after GATE_US; the bound is above the average, so at least one worker
 * always listens.
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
	bool pending; /* of a reload that is not in force yet */
	uint32_t id;
	LIST_ENTRY(listener) entry;
};

static LIST_HEAD(listener_list, listener) listeners = LIST_HEAD_INITIALIZER(listeners);
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
	struct listener *l;

	LIST_FOREACH (l, &listeners, entry) {
		if (l->added == on || l->src.fd == -1 || l->pending)
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
	struct listener *l;

	(void)t;
	LIST_FOREACH (l, &listeners, entry)
		if (l->src.fd != -1 && !l->pending)
			(void)accept_one(l);
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
	if (l->added && wk->boot->nworkers > 1) {
		loop_del(s);
		if (loop_add(s, EPOLLIN | EPOLLEXCLUSIVE) == -1)
			fatal("listener");
	}
}

static void
add(uint32_t id, int fd, size_t conf, bool pending)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		fatal("listeners");
	l->src = (struct loop_source){.fd = fd, .fn = listener_event};
	l->id = id;
	l->conf = conf;
	l->pending = pending;
	LIST_INSERT_HEAD(&listeners, l, entry);
}

static void
drop(struct listener *l)
{
	if (l->added)
		loop_del(&l->src);
	if (l->src.fd != -1)
		close(l->src.fd);
	l->src.fd = -1;
	LIST_REMOVE(l, entry);
	loop_free_later(l);
}

void
accept_start(void)
{
	size_t i;

	for (i = 0; i < wk->boot->nlisten; i++)
		add(wk->boot->listen_ids[i], wk->boot->listen_fds[i], wk->boot->listen_confs[i],
		    false);
	listeners_set(true);
}

void
accept_poke(void)
{
	struct listener *l;

	LIST_FOREACH (l, &listeners, entry)
		if (l->added)
			listener_event(&l->src, 0);
}

void
accept_stop(void)
{
	struct listener *l, *next;

	timer_stop(&gate);
	LIST_FOREACH_SAFE(l, &listeners, entry, next)
	drop(l);
}

/* --- reload ----------------------------------------------------------------------------------- */

void
accept_add(uint32_t id, int fd)
{
	if (wk->draining)
		close(fd);
	else
		add(id, fd, 0, true);
}

/* Its place in the configuration; false: it is in force no more. */
static bool
find_place(const uint8_t *places, size_t n, struct listener *l)
{
	uint32_t x[2];

	for (; n > 0; n--, places += sizeof(x)) {
		memcpy(x, places, sizeof(x));
		if (x[0] != l->id)
			continue;
		l->conf = x[1];
		return true;
	}
	return false;
}

void
accept_switch(const uint8_t *places, size_t n)
{
	struct listener *l, *next;

	LIST_FOREACH_SAFE(l, &listeners, entry, next)
	{
		l->pending = false;
		if (!find_place(places, n, l))
			drop(l);
	}
	if (!timer_armed(&gate))
		listeners_set(true);
}

void
accept_forget(void)
{
	struct listener *l, *next;

	LIST_FOREACH_SAFE(l, &listeners, entry, next)
	if (l->pending)
		drop(l);
}

/*
 * accept: see accept.h. A listener is taken out of epoll and put back after each accept, so that
 * the next exclusive wake-up goes to somebody else, if there is one. A worker above its share
 * (share.h) stops listening and looks again after GATE_US; the bound is above the average, so at
 * least one worker always listens. The wake-up that it got woke nobody else: it asks the worker
 * with the fewest clients to look, and again as long as a connection waits. One that is still there
 * after PASSES such looks is taken, share or not: whoever should have come for it hangs.
 */
#include "worker/accept.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/log.h"
#include "worker/client.h"
#include "worker/inbox.h"
#include "worker/loop.h"
#include "worker/share.h"
#include "worker/state.h"

#define GATE_US 20000
#define PASSES                                                                                     \
	50 /* a second: a worker that is alive has had its turn by then, on a busy machine too */
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
static int passes; /* since the gate was closed */

static size_t
look_at_peers(struct share_peer peers[SHARE_PEERS_MAX])
{
	size_t n = table_workers_high(wk->table), w;

	ENSURE(n <= SHARE_PEERS_MAX);
	for (w = 0; w < n; w++) {
		struct stats_worker *row = stats_worker(wk->stats, (uint32_t)w);
		peers[w].clients = stats_get(&row->clients);
		peers[w].serves = stats_get(&row->state) == STATS_SERVING &&
				  loop_now() - (int64_t)stats_get(&row->heartbeat_us) <= LATE_US;
	}
	return n;
}

static bool
above_share(void)
{
	struct share_peer peers[SHARE_PEERS_MAX];
	size_t n = look_at_peers(peers);

	return share_above(peers, n, wk->self.worker);
}

/* False: there is nobody to pass it on to. */
static bool
pass_on(void)
{
	struct share_peer peers[SHARE_PEERS_MAX];
	size_t n = look_at_peers(peers), to = share_neediest(peers, n, wk->self.worker);

	return to < n && inbox_send((uint32_t)to, CTL_ACCEPT, 0, 0);
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

static bool
waits(const struct listener *l)
{
	struct pollfd p = {.fd = l->src.fd, .events = POLLIN};

	return l->src.fd != -1 && !l->pending && poll(&p, 1, 0) == 1;
}

static bool
somebody_waits(void)
{
	struct listener *l;

	LIST_FOREACH (l, &listeners, entry)
		if (waits(l))
			return true;
	return false;
}

static void
gate_open(struct timer *t)
{
	struct listener *l;

	if (passes < PASSES && above_share() && somebody_waits() && pass_on()) {
		passes++;
		timer_set(t, loop_now() + GATE_US, gate_open);
		return;
	}
	LIST_FOREACH (l, &listeners, entry)
		if (waits(l))
			(void)accept_one(l);
	listeners_set(true);
}

static void
gate_close(int64_t us)
{
	passes = 0;
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
		(void)pass_on();
		return;
	}
	if (accept_one(l) == -1) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			log_warn("cannot accept a client");
			gate_close(NO_FDS_US);
		}
		return;
	}
	if (l->added && table_workers_high(wk->table) > 1) {
		loop_del(s);
		if (loop_add(s, EPOLLIN | EPOLLEXCLUSIVE) == -1)
			fatal("listener");
	}
}

/* Its own setting, and what clients inherit of it. */
static void
tune_listener(const struct listener *l)
{
	if (!l->pending && wk->conf->listen[l->conf].path == NULL)
		conn_tune_listener(l->src.fd);
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
	tune_listener(l);
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
accept_asked(void)
{
	if (timer_armed(&gate) && !above_share()) {
		timer_stop(&gate);
		listeners_set(true);
	}
	accept_poke();
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
	if (wk->draining || wk->retired)
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
		if (find_place(places, n, l))
			tune_listener(l);
		else
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

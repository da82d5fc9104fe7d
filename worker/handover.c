/*
 * handover: see handover.h. Called by worker.c, relay.c and pool_queue.c.
 *
 * Lanes. A worker of the elder makes a socket pair and offers one end of it to the younger
 * generation (CTL_LANE on the pair that elder.h is about), or to a sibling, in its inbox. A worker
 * of the younger that takes it says so (CTL_LANE_READY); then records go one way, each with its
 * socket, and answers the other way. The first answer tells how many workers there are: a lane is
 * offered to LANES of them, so that clients spread.
 *
 * One owner. The socket of what is on its way stays open here, and nobody reads or writes it until
 * the answer has come: "taken" (the receiver said so before it touched the socket: we forget it) or
 * "not taken" (it stays here for good). A lane that ends is the receiver's death: what it had not
 * answered by then it cannot have touched, so all of that is ours again. The answers it gave before
 * are read first. A receiver that hangs is waited for, until its master replaces it.
 */
#include "worker/handover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/log.h"
#include "conf/strongbox.h"
#include "proto/ctlmsg.h"
#include "proto/move.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/client_move.h"
#include "worker/elder.h"
#include "worker/inbox.h"
#include "worker/pool.h"

#define LANES	    8
#define WINDOW	    32	    /* records on their way in one lane */
#define TICK_US	    50000   /* looks for clients and backends that can go */
#define ANSWER_US   2000000 /* an offer that nobody took is made again */
#define OFFERS	    20	    /* ... so often in a row */
#define PATIENCE_US 5000000 /* with no client left: so long are idle backends kept for the next */

struct move {
	uint64_t id;
	struct client *client;	 /* with the backend it is linked with, if any */
	struct backend *backend; /* ... or one alone */
	TAILQ_ENTRY(move) entry;
};

static struct lane {
	struct loop_source src;
	bool ready;
	bool closing;	 /* nothing more by this one */
	uint32_t target; /* of the workers there: worker_serving */
	uint32_t offers; /* not answered, in a row */
	int64_t again_us;
	uint32_t nmoves;
	TAILQ_HEAD(, move) moves;
} lanes[LANES];

static enum handover_to where;
static bool stopped;
static uint32_t nlanes, next_lane;
static uint64_t last_id;
static int64_t idle_since_us; /* no client is left since then; 0 = there are */
static struct timer tick_timer;

static void lane_event(struct loop_source *, uint32_t);
static void tick(struct timer *);

static void
look_soon(void)
{
	if (tick_timer.at_us > loop_now() || !timer_armed(&tick_timer))
		timer_set(&tick_timer, loop_now(), tick);
}

/* --- what comes back, what is gone -------------------------------------------------------------
 */

static void
move_end(struct lane *l, struct move *m, bool taken, bool for_good)
{
	struct client *c = m->client;
	struct backend *b = m->backend;

	TAILQ_REMOVE(&l->moves, m, entry);
	l->nmoves--;
	free(m);
	if (taken && c != NULL)
		stats_add(&wk->row->clients_given, 1);
	if (taken && (c == NULL || c->backend != NULL))
		stats_add(&wk->row->backends_given, 1);
	if (c != NULL && taken)
		client_moved(c);
	else if (c != NULL)
		client_stays(c, for_good);
	else if (taken)
		backend_moved(b);
	else
		backend_stays(b, for_good);
}

static void
lane_close(struct lane *l)
{
	struct move *m;

	if (l->src.fd == -1)
		return;
	loop_del(&l->src);
	close(l->src.fd);
	l->src.fd = -1;
	l->ready = false;
	while ((m = TAILQ_FIRST(&l->moves)) != NULL)
		move_end(l, m, false, false); /* another worker may take it */
}

/* --- lanes ------------------------------------------------------------------------------------ */

static bool
sibling_send(const struct ctlmsg *m, int fd)
{
	uint32_t w = worker_serving(m->arg32);

	return w != TABLE_NONE && inbox_send_fd(w, CTL_LANE, m->arg32, 1, fd);
}

static void
lane_offer(struct lane *l)
{
	struct ctlmsg m;
	int pair[2];

	l->again_us = loop_now() + ANSWER_US;
	l->offers++;
	l->closing = false;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == -1)
		return;
	ctlmsg_init(&m, CTL_LANE, wk->self.worker, wk->self.incarnation);
	m.arg32 = l->target;
	l->src = (struct loop_source){.fd = pair[0], .fn = lane_event};
	if (loop_add(&l->src, EPOLLIN) == -1) {
		close(pair[0]);
		l->src.fd = -1;
	} else if (!(where == TO_SIBLINGS ? sibling_send(&m, pair[1]) : elder_send(&m, pair[1]))) {
		lane_close(l);
	}
	close(pair[1]);
}

/* It leads to one who takes nobody any more, or to siblings, and an upgrade has come: when all
 * answers are here it is offered to another. */
static void
lane_turn(struct lane *l)
{
	if (!l->closing || l->nmoves > 0)
		return;
	lane_close(l);
	l->offers = 0;
	l->again_us = loop_now() + TICK_US;
}

static void
lane_init(uint32_t target)
{
	struct lane *l = &lanes[nlanes++];

	l->src.fd = -1;
	l->target = target;
	TAILQ_INIT(&l->moves);
	lane_offer(l);
}

static void
lane_ready(struct lane *l, const struct ctlmsg *m)
{
	uint32_t workers = m->arg32, k;

	if (m->arg64 != MOVE_VERSION) {
		log_warnx("the new generation speaks another version of records: nobody moves");
		lane_close(l);
		l->offers = OFFERS;
		return;
	}
	l->ready = true;
	l->offers = 0;
	for (k = 1; nlanes < LANES && k < workers && nlanes < workers; k++)
		lane_init(l->target + k);
	look_soon();
}

static void
lane_answer(struct lane *l, const struct ctlmsg *m)
{
	struct move *x;

	TAILQ_FOREACH (x, &l->moves, entry)
		if (x->id == m->arg64)
			break;
	if (x == NULL)
		return;
	l->closing |= m->arg32 == 2;
	move_end(l, x, m->arg32 == 1, !l->closing);
	lane_turn(l);
	if (l->nmoves <= WINDOW / 2)
		look_soon();
}

static void
lane_event(struct loop_source *s, uint32_t events)
{
	struct lane *l = LOOP_CONTAINER(s, struct lane, src);
	struct ctlmsg m;
	ssize_t n;

	(void)events;
	while (s->fd != -1 && (n = recv(s->fd, &m, sizeof(m), MSG_DONTWAIT)) != -1) {
		if (n == 0) {
			lane_close(l);
			l->again_us = loop_now() + TICK_US;
			break;
		}
		if (!ctlmsg_valid(&m, (size_t)n))
			continue;
		if (m.type == CTL_LANE_READY && !l->ready)
			lane_ready(l, &m);
		else if (m.type == CTL_TAKEN)
			lane_answer(l, &m);
	}
	if (s->fd != -1 && errno != EAGAIN && errno != EINTR)
		lane_close(l);
	worker_check_done();
}

/* One with room, in turn; NULL = none. */
static struct lane *
lane_free(void)
{
	uint32_t i;

	for (i = 0; i < nlanes; i++) {
		struct lane *l = &lanes[next_lane++ % nlanes];
		if (l->ready && !l->closing && l->nmoves < WINDOW)
			return l;
	}
	return NULL;
}

/* --- sending ---------------------------------------------------------------------------------- */

/* A record longer than a message: it lies in a memfd that the next message speaks of. */
static bool
send_long(struct lane *l, const uint8_t *record, size_t len)
{
	int fd = memfd_create("session", MFD_CLOEXEC);
	struct ctlmsg m;
	bool sent = false;

	if (fd == -1)
		return false;
	ctlmsg_init(&m, CTL_RECORD, wk->self.worker, wk->self.incarnation);
	m.arg64 = len;
	if (write(fd, record, len) == (ssize_t)len)
		sent = inbox_post(l->src.fd, &m, fd);
	close(fd);
	return sent;
}

static bool
lane_send(struct lane *l, enum ctlmsg_type type, uint64_t id, enum move_kind kind,
    const uint8_t *record, size_t len, int fd)
{
	struct ctlmsg m;
	bool sent;

	if (len > sizeof(m.payload) && !send_long(l, record, len))
		return false;
	ctlmsg_init(&m, type, wk->self.worker, wk->self.incarnation);
	m.arg32 = kind;
	m.arg64 = id;
	if (len <= sizeof(m.payload)) {
		memcpy(m.payload, record, len);
		m.payload_len = (uint32_t)len;
	}
	sent = inbox_post(l->src.fd, &m, fd);
	explicit_bzero(m.payload, m.payload_len);
	return sent;
}

static bool
send_client(struct lane *l, uint64_t id, struct client *c)
{
	size_t len;
	uint8_t *record = client_pack(c, &len);
	bool sent;

	c->refused = (uint8_t)(record == NULL ? where : TO_NOBODY); /* too long, and will be */
	if (record == NULL)
		return false;
	sent = lane_send(l, CTL_MOVE, id, MOVE_CLIENT, record, len, c->conn.src.fd);
	strongbox_put(record);
	return sent;
}

static bool
send_backend(struct lane *l, enum ctlmsg_type type, uint64_t id, const struct backend *b)
{
	size_t len;
	uint8_t *record = backend_pack(b, &len);
	bool sent;

	if (record == NULL)
		return false;
	sent = lane_send(l, type, id, MOVE_BACKEND, record, len, b->conn.src.fd);
	strongbox_put(record);
	return sent;
}

static bool
give(struct client *c, struct backend *b)
{
	struct lane *l = lane_free();
	struct move *m;
	bool sent;

	if (l == NULL)
		return false;
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		fatal("hand-over");
	*m = (struct move){.id = ++last_id, .client = c, .backend = b};
	if (c == NULL)
		sent = send_backend(l, CTL_MOVE, m->id, b);
	else /* a backend sent in vain is closed there, untouched */
		sent = (c->backend == NULL || send_backend(l, CTL_HELD, m->id, c->backend)) &&
		       send_client(l, m->id, c);
	if (!sent) {
		free(m);
		return false;
	}
	TAILQ_INSERT_TAIL(&l->moves, m, entry);
	l->nmoves++;
	return true;
}

bool
handover_client(struct client *c)
{
	if (where == TO_NOBODY || stopped)
		return false;
	if (c->backend != NULL)
		conn_trim(&c->backend->conn);
	if (!client_may_move(c) || !give(c, NULL))
		return false;
	client_moving(c);
	return true;
}

/* Backends that are not kept by a client each. */
static uint64_t
shared(const struct pool *p)
{
	if (p->mode == POOL_SESSION)
		return p->nbackends - stats_get(&p->row->cl_active);
	return p->nbackends - p->nown - stats_get(&p->row->cl_pinned);
}

bool
handover_spare(const struct pool *p)
{
	return shared(p) > 1 || wk->draining || pool_wanted_elsewhere(p) ||
	       stats_get(&p->row->cl_idle) + stats_get(&p->row->cl_active) +
		       stats_get(&p->row->cl_waiting) + p->nlogins ==
		   0;
}

bool
handover_backend(struct backend *b)
{
	static uint32_t next_sibling;
	uint32_t w;

	if (where == TO_NOBODY || stopped || b->state != BACKEND_ACTIVE ||
	    !handover_spare(b->pool) || b->conn.in != NULL || b->conn.out != NULL ||
	    b->conn.tls != NULL || b->conn.hup)
		return false;
	if (where == TO_SIBLINGS) { /* within one table it keeps its slot */
		w = worker_serving(next_sibling++);
		return w != TABLE_NONE && pool_give(b, w);
	}
	if (!give(NULL, b))
		return false;
	backend_set_state(b, BACKEND_MOVING);
	return true;
}

bool
handover_can(const struct backend *b)
{
	uint32_t i;

	if (where == TO_NOBODY || stopped || b->conn.tls != NULL)
		return false;
	for (i = 0; i < nlanes; i++)
		if (lanes[i].ready || lanes[i].offers <= 1)
			return true;
	return where == TO_SIBLINGS;
}

/* --- looking for what can go ------------------------------------------------------------------ */

/* In the queue, though nobody here is going to serve it: the pool is on hold, or has no backend. It
 * waits there instead. */
static void
look_at_waiter(struct client *c)
{
	if (!client_may_move(c) || lane_free() == NULL || (!c->pool->hold && shared(c->pool) > 0))
		return;
	pool_unqueue(c->pool, c);
	if (!handover_client(c))
		loop_again(&c->conn.src);
}

static void
look_at_client(struct client *c, void *arg)
{
	(void)arg;
	if (c->state == CLIENT_WAITING)
		look_at_waiter(c);
	else
		(void)handover_client(c);
}

static void
look_at_pool(struct pool *p)
{
	struct backend *b, *next;

	TAILQ_FOREACH_SAFE (b, &p->idle, list, next) {
		if (!TAILQ_EMPTY(&p->waiting) || !handover_spare(p) || lane_free() == NULL)
			return;
		if (b->conn.tls != NULL)
			continue;
		pool_take(p, b);
		if (!handover_backend(b))
			pool_put_idle(p, b);
	}
}

static bool
any_lane(void)
{
	uint32_t i;

	for (i = 0; i < nlanes; i++)
		if (lanes[i].src.fd != -1 || lanes[i].offers < OFFERS)
			return true;
	return false;
}

static void
tick(struct timer *t)
{
	uint32_t i;

	timer_set(t, loop_now() + TICK_US, tick);
	for (i = 0; i < nlanes; i++) {
		if (lanes[i].ready || lanes[i].offers >= OFFERS || loop_now() < lanes[i].again_us)
			continue;
		lane_close(&lanes[i]);
		lane_offer(&lanes[i]);
	}
	if (lane_free() == NULL) {
		worker_check_done();
		return;
	}
	clients_each(look_at_client, NULL);
	pools_each(look_at_pool);
	worker_check_done();
}

enum handover_to
handover_where(void)
{
	return where;
}

bool
handover_busy(void)
{
	uint32_t i;

	if (where == TO_NOBODY)
		return false;
	for (i = 0; i < nlanes; i++)
		if (lanes[i].nmoves > 0)
			return true;
	if (idle_since_us == 0)
		idle_since_us = loop_now();
	return !stopped && stats_get(&wk->row->backends_idle) > 0 && any_lane() &&
	       loop_now() - idle_since_us < PATIENCE_US;
}

void
handover_stop(void)
{
	stopped = true;
}

void
handover_start(enum handover_to to)
{
	uint32_t i;

	if (where >= to)
		return;
	where = to;
	for (i = 0; i < nlanes; i++) {
		lanes[i].closing = true;
		lane_turn(&lanes[i]);
	}
	if (nlanes == 0)
		lane_init(wk->self.worker);
	timer_set(&tick_timer, loop_now() + TICK_US, tick);
}

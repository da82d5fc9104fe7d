/*
 * adopt: see adopt.h. Called by worker.c and inbox.c.
 *
 * A record is believed as a whole or refused (proto/move.h); what it describes is made ready before
 * the elder is told that it is ours, and its socket is touched after that. If the elder cannot be
 * told, it is dropped untouched and the lane closed: the elder goes on with it.
 */
#include "worker/adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/log.h"
#include "proto/ctlmsg.h"
#include "proto/move.h"
#include "worker/backend.h"
#include "worker/client_move.h"
#include "worker/inbox.h"
#include "worker/loop.h"
#include "worker/pool.h"
#include "worker/state.h"

#define PER_TURN 16

struct lane {
	struct loop_source src;
	bool sibling;	 /* the other end is a worker of our own generation */
	uint8_t *record; /* of the next message: mapped; NULL = in the message itself */
	size_t record_len;
	uint64_t held_id; /* whose backend that is */
	struct backend *held;
};

static struct loop_source offers = {.fd = -1};

static void
forget_record(struct lane *l)
{
	if (l->record != NULL)
		(void)munmap(l->record, l->record_len);
	l->record = NULL;
}

/* Untouched: it is the elder's again. */
static void
drop_held(struct lane *l)
{
	if (l->held != NULL)
		backend_moved(l->held);
	l->held = NULL;
}

static void
lane_close(struct lane *l)
{
	drop_held(l);
	forget_record(l);
	loop_del(&l->src);
	close(l->src.fd);
	l->src.fd = -1;
	loop_free_later(l);
}

static bool
answer(const struct lane *l, enum ctlmsg_type type, uint32_t arg32, uint64_t arg64)
{
	struct ctlmsg m;

	ctlmsg_init(&m, type, wk->self.worker, wk->self.incarnation);
	m.arg32 = arg32;
	m.arg64 = arg64;
	return inbox_post(l->src.fd, &m, -1);
}

/* The elder has written it and closed its end; a copy, since nothing seals it. */
static void
take_record(struct lane *l, uint64_t len, int fd)
{
	struct stat sb;
	uint8_t *map;

	forget_record(l);
	if (fd == -1 || len == 0 || len > MOVE_RECORD_MAX || fstat(fd, &sb) == -1 ||
	    sb.st_size != (off_t)len)
		return;
	map = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (map == MAP_FAILED)
		return;
	(void)madvise(map, len, MADV_DONTDUMP);
	l->record = map;
	l->record_len = len;
}

/* --- what comes ------------------------------------------------------------------------------- */

/* False: the lane is of no use any more. */
static bool
take_client(struct lane *l, uint64_t id, const uint8_t *record, size_t len, int fd)
{
	struct backend *b = l->held_id == id ? l->held : NULL;
	struct client *c = client_unpack(record, len, fd, b);

	if (c == NULL) {
		close(fd);
		return answer(l, CTL_TAKEN, 0, id);
	}
	if (b != NULL)
		l->held = NULL;
	if (!answer(l, CTL_TAKEN, 1, id)) {
		client_undo(c);
		return false;
	}
	stats_add(&wk->row->clients_received, 1);
	if (b != NULL)
		stats_add(&wk->row->backends_received, 1);
	client_adopted(c);
	return true;
}

static bool
take_backend(struct lane *l, uint64_t id, const uint8_t *record, size_t len, int fd)
{
	struct backend *b = backend_unpack(record, len, fd, l->sibling);

	if (b == NULL) {
		close(fd);
		return answer(l, CTL_TAKEN, 0, id);
	}
	if (!answer(l, CTL_TAKEN, 1, id)) {
		backend_moved(b);
		return false;
	}
	stats_add(&wk->row->backends_received, 1);
	pool_release(b);
	return true;
}

static bool
take(struct lane *l, const struct ctlmsg *m, int fd)
{
	const uint8_t *record = l->record != NULL ? l->record : m->payload;
	size_t len = l->record != NULL ? l->record_len : m->payload_len;
	bool on;

	if (fd == -1 || wk->draining || wk->retired) {
		if (fd != -1)
			close(fd);
		on = answer(l, CTL_TAKEN, fd == -1 ? 0 : 2, m->arg64);
	} else if (m->arg32 == MOVE_CLIENT) {
		on = take_client(l, m->arg64, record, len, fd);
	} else {
		on = take_backend(l, m->arg64, record, len, fd);
	}
	drop_held(l); /* unless the client has it */
	return on;
}

/* The backend that the next client keeps. */
static void
take_held(struct lane *l, const struct ctlmsg *m, int fd)
{
	drop_held(l);
	l->held_id = m->arg64;
	if (fd == -1 || wk->draining || wk->retired)
		return;
	if (l->record != NULL)
		l->held = backend_unpack(l->record, l->record_len, fd, l->sibling);
	else
		l->held = backend_unpack(m->payload, m->payload_len, fd, l->sibling);
}

static bool
lane_message(struct lane *l, const struct ctlmsg *m, int fd)
{
	bool on = true;

	if (m->type == CTL_RECORD) {
		take_record(l, m->arg64, fd);
	} else if (m->type == CTL_MOVE) {
		on = take(l, m, fd);
		fd = -1;
	} else if (m->type == CTL_HELD) {
		take_held(l, m, fd);
		if (l->held != NULL)
			fd = -1;
	}
	if (m->type != CTL_RECORD)
		forget_record(l);
	if (fd != -1)
		close(fd);
	return on;
}

static void
lane_event(struct loop_source *s, uint32_t events)
{
	struct lane *l = LOOP_CONTAINER(s, struct lane, src);
	struct ctlmsg m;
	bool on = true;
	int i, fd;

	(void)events;
	for (i = 0; on && i < PER_TURN; i++) {
		ssize_t n = inbox_receive(s->fd, &m, &fd);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		on = n > 0;
		if (n > 0 && ctlmsg_valid(&m, (size_t)n))
			on = lane_message(l, &m, fd);
		else if (fd != -1)
			close(fd);
		explicit_bzero(
		    m.payload, n > 0 && (m.type == CTL_MOVE || m.type == CTL_HELD) ? (size_t)n : 0);
	}
	if (!on)
		lane_close(l);
}

/* --- offers ----------------------------------------------------------------------------------- */

void
adopt_lane(int fd, bool sibling)
{
	struct lane *l = fd == -1 ? NULL : calloc(1, sizeof(*l));

	if (l == NULL) {
		if (fd != -1)
			close(fd);
		return;
	}
	l->src = (struct loop_source){.fd = fd, .fn = lane_event};
	l->sibling = sibling;
	if (loop_add(&l->src, EPOLLIN) == -1) {
		close(fd);
		free(l);
	} else if (!answer(l, CTL_LANE_READY, table_workers_high(wk->table), MOVE_VERSION)) {
		lane_close(l);
	}
}

static void
offers_event(struct loop_source *s, uint32_t events)
{
	struct ctlmsg m;
	int fd = -1;
	ssize_t n = inbox_receive(s->fd, &m, &fd);

	if (n > 0 && ctlmsg_valid(&m, (size_t)n) && m.type == CTL_LANE && fd != -1) {
		uint32_t target = worker_serving(m.arg32);
		if (target == wk->self.worker) {
			adopt_lane(fd, false);
			fd = -1;
		} else if (target != TABLE_NONE) {
			(void)inbox_send_fd(target, CTL_LANE, target, 0, fd);
		}
	}
	if (fd != -1)
		close(fd);
	if (n == 0 || (n == -1 && (events & (EPOLLHUP | EPOLLERR)) != 0))
		loop_del(s); /* the fd stays: elder.c finds that nobody is there */
}

void
adopt_start(void)
{
	if (wk->boot->elder_fd == -1)
		return;
	offers = (struct loop_source){.fd = wk->boot->elder_fd, .fn = offers_event};
	if (loop_add(&offers, EPOLLIN | EPOLLEXCLUSIVE) == -1)
		log_warn("hand-over of the generation before us");
}

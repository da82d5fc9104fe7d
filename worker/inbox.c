/*
 * inbox: see inbox.h. Receives what others send to this worker index; a message for a predecessor
 * (other incarnation) is dropped and its fd closed: the slot that came with it is then the
 * steward's to clear up.
 */
#include "worker/inbox.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "conf/log.h"
#include "worker/accept.h"
#include "worker/adopt.h"
#include "worker/cancel.h"
#include "worker/console_gather.h"
#include "worker/loop.h"
#include "worker/pool.h"
#include "worker/state.h"

#define MESSAGES_PER_TURN 64

static struct loop_source inbox = {.fd = -1};

bool
inbox_post(int to, const struct ctlmsg *m, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {(void *)(uintptr_t)m, ctlmsg_size(m)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd != -1) {
		struct cmsghdr *cm;
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &fd, sizeof(int));
	}
	return sendmsg(to, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) != -1;
}

static bool
post(uint32_t worker, struct ctlmsg *m, int fd)
{
	if (m->to_incarnation == 0)
		m->to_incarnation = table_worker_live(wk->table, worker);
	return m->to_incarnation != 0 && inbox_post(wk->boot->inbox_peers[worker], m, fd);
}

bool
inbox_send(uint32_t worker, enum ctlmsg_type type, uint32_t arg32, uint64_t arg64)
{
	return inbox_send_fd(worker, type, arg32, arg64, -1);
}

void
inbox_wake_all(uint32_t pool)
{
	uint32_t w;

	for (w = 0; w < wk->boot->nworkers; w++)
		(void)inbox_send(w, CTL_WAKE, pool, 0);
}

bool
inbox_send_fd(uint32_t worker, enum ctlmsg_type type, uint32_t arg32, uint64_t arg64, int fd)
{
	struct ctlmsg m;

	ctlmsg_init(&m, type, wk->self.worker, wk->self.incarnation);
	m.arg32 = arg32;
	m.arg64 = arg64;
	return post(worker, &m, fd);
}

bool
inbox_give(
    uint32_t worker, uint32_t incarnation, uint32_t slot, int fd, const uint8_t *facts, size_t len)
{
	struct ctlmsg m;

	ctlmsg_init(&m, CTL_GIVE, wk->self.worker, wk->self.incarnation);
	if (len > sizeof(m.payload))
		return false;
	m.to_incarnation = incarnation;
	m.arg32 = slot;
	memcpy(m.payload, facts, len);
	m.payload_len = (uint32_t)len;
	return post(worker, &m, fd);
}

bool
inbox_cancel(struct table_self to, int32_t pid, const uint8_t *key, size_t len, uint64_t ticket)
{
	struct ctlmsg m;
	bool sent;

	ctlmsg_init(&m, CTL_CANCEL, wk->self.worker, wk->self.incarnation);
	m.to_incarnation = to.incarnation;
	m.arg32 = (uint32_t)pid;
	m.arg64 = ticket;
	ENSURE(len <= sizeof(m.payload));
	memcpy(m.payload, key, len);
	m.payload_len = (uint32_t)len;
	sent = post(to.worker, &m, -1);
	explicit_bzero(m.payload, len);
	return sent;
}

static int
fd_of(struct msghdr *msg)
{
	struct cmsghdr *cm = CMSG_FIRSTHDR(msg);
	int fd = -1;

	if (cm != NULL && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(cm), sizeof(fd));
	return fd;
}

static void
deliver(const struct ctlmsg *m, int fd)
{
	struct cancel_ack ack = {m->from, m->from_incarnation, m->arg64};

	switch ((enum ctlmsg_type)m->type) {
	case CTL_GIVE: /* without its fd if we have none left */
		pool_received(m->arg32, fd, m->payload, m->payload_len);
		return;
	case CTL_ASK:
		pool_asked(m->arg32, m->from, (uint32_t)m->arg64);
		break;
	case CTL_WAKE:
		pool_woken(m->arg32);
		break;
	case CTL_ACCEPT:
		accept_asked();
		break;
	case CTL_CANCEL:
		cancel_asked((int32_t)m->arg32, m->payload, m->payload_len, &ack);
		break;
	case CTL_CANCELED:
		cancel_acked(m->arg64);
		break;
	case CTL_EVICT:
		pool_evicted(m->arg32);
		break;
	case CTL_TELL:
		console_tell(m->from, m->arg32, m->arg64);
		break;
	case CTL_TOLD:
		console_told(m->arg64, fd);
		return;
	case CTL_LANE:
		adopt_lane(fd, m->arg64 != 0);
		return;
	case CTL_LANE_READY:
	case CTL_RECORD:
	case CTL_MOVE:
	case CTL_TAKEN:
	case CTL_HELD:
	case CTL_READY:
	case CTL_DRAIN:
	case CTL_STOP:
	case CTL_REOPEN:
	case CTL_DEATH:
	case CTL_CONF:
	case CTL_LISTENER:
	case CTL_PREPARED:
	case CTL_SWITCH:
	case CTL_SWITCHED:
	case CTL_FORGET:
	case CTL_SERVE:
	case CTL_COMMAND:
	case CTL_DO:
	case CTL_DONE:
	case CTL_ANSWER:
	case CTL_TYPES:
		log_warnx(
		    "unexpected message %s in the inbox", ctlmsg_name((enum ctlmsg_type)m->type));
		break;
	}
	if (fd != -1)
		close(fd);
}

ssize_t
inbox_receive(int from, struct ctlmsg *m, int *fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {m, sizeof(*m)};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(from, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd = n <= 0 ? -1 : fd_of(&msg);
	return n;
}

static void
inbox_event(struct loop_source *s, uint32_t events)
{
	struct ctlmsg m;
	int i, fd;

	(void)events;
	for (i = 0; i < MESSAGES_PER_TURN; i++) {
		ssize_t n = inbox_receive(s->fd, &m, &fd);
		if (n <= 0)
			return;
		if (ctlmsg_valid(&m, (size_t)n) && m.to_incarnation == wk->self.incarnation &&
		    m.from < wk->boot->nworkers + 1)
			deliver(&m, fd);
		else if (fd != -1)
			close(fd);
	}
}

void
inbox_open(void)
{
	inbox = (struct loop_source){.fd = wk->boot->inbox_fd, .fn = inbox_event};
	if (loop_add(&inbox, EPOLLIN) == -1)
		fatal("inbox");
}

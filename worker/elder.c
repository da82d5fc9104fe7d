/*
 * elder: see elder.h. Called by worker.c (CTL_DRAIN) and cancel.c.
 *
 * One SOCK_SEQPACKET pair between two generations, made by the elder's master; every worker of the
 * younger writes to it, every worker of the elder reads. Nothing is answered: who cancels does not
 * learn whether it hit. A generation that was itself the younger passes on what it does not know,
 * so that keys work through any number of upgrades. The elder's end closes with its last process.
 */
#include "worker/elder.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/log.h"
#include "proto/ctlmsg.h"
#include "worker/cancel.h"
#include "worker/inbox.h"
#include "worker/loop.h"
#include "worker/state.h"

static struct loop_source younger = {.fd = -1};

void
elder_pass(int32_t pid, const uint8_t *key, size_t len)
{
	struct ctlmsg m;

	if (wk->boot->elder_fd == -1 || len > sizeof(m.payload))
		return;
	ctlmsg_init(&m, CTL_CANCEL, wk->self.worker, wk->self.incarnation);
	m.arg32 = (uint32_t)pid;
	memcpy(m.payload, key, len);
	m.payload_len = (uint32_t)len;
	if (send(wk->boot->elder_fd, &m, ctlmsg_size(&m), MSG_DONTWAIT | MSG_NOSIGNAL) == -1)
		log_debug("the generation before us is gone");
	explicit_bzero(m.payload, len);
}

bool
elder_send(const struct ctlmsg *m, int fd)
{
	return younger.fd != -1 && inbox_post(younger.fd, m, fd);
}

static void
cancel(int32_t pid, const uint8_t *key, size_t len)
{
	static const struct cancel_ack nobody = {.worker = TABLE_NONE};
	struct table_self owner;
	uint32_t row;

	stats_add(&wk->row->cancel_requests, 1);
	if (!table_client_find(wk->table, pid, key, len, &owner, &row))
		elder_pass(pid, key, len);
	else if (owner.worker == wk->self.worker)
		cancel_asked(pid, key, len, &nobody);
	else
		(void)inbox_cancel(owner, pid, key, len, 0);
}

static void
younger_event(struct loop_source *s, uint32_t events)
{
	struct ctlmsg m;
	ssize_t n = recv(s->fd, &m, sizeof(m), MSG_DONTWAIT);

	if (n > 0 && ctlmsg_valid(&m, (size_t)n) && m.type == CTL_CANCEL)
		cancel((int32_t)m.arg32, m.payload, m.payload_len);
	explicit_bzero(&m, sizeof(m));
	if (n != 0 && (events & (EPOLLHUP | EPOLLERR)) == 0)
		return;
	loop_del(s); /* the younger generation is gone */
	close(s->fd);
	s->fd = -1;
}

void
elder_open(int fd)
{
	if (younger.fd != -1) {
		close(fd);
		return;
	}
	younger = (struct loop_source){.fd = fd, .fn = younger_event};
	if (loop_add(&younger, EPOLLIN | EPOLLEXCLUSIVE) == -1)
		log_warn("cancel requests of the new generation");
}

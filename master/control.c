/*
 * control: messages between the master and its children.
 *
 * Called by master.c. Nothing blocks and nothing is believed: a worker may be mad, so what it sends
 * is checked, bounded per turn, and ignored with a line in the log if it makes no sense. A socket
 * that is at its end is closed here; the death itself is reap.c's and watch.c's business.
 */
#include "master/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/log.h"
#include "master/command.h"
#include "master/reload.h"

#define CONTROL_BATCH 16 /* messages of one worker per turn */

bool
control_send(struct child *child, enum ctlmsg_type type, uint32_t arg32, uint64_t arg64)
{
	return control_send_with(child, type, arg32, arg64, NULL, 0, -1);
}

bool
control_send_with(struct child *child, enum ctlmsg_type type, uint32_t arg32, uint64_t arg64,
    const void *payload, size_t len, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} rights;
	struct ctlmsg msg;
	struct iovec iov = {&msg, 0};
	struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};

	if (child->pid == 0 || child->control_fd == -1)
		return true;
	ctlmsg_init(&msg, type, UINT32_MAX, 0);
	ENSURE(len <= sizeof msg.payload);
	msg.to_incarnation = child->incarnation;
	msg.arg32 = arg32;
	msg.arg64 = arg64;
	if (len > 0)
		memcpy(msg.payload, payload, len);
	msg.payload_len = (uint32_t)len;
	iov.iov_len = ctlmsg_size(&msg);
	if (fd != -1) {
		memset(&rights, 0, sizeof rights);
		hdr.msg_control = rights.bytes;
		hdr.msg_controllen = sizeof rights.bytes;
		CMSG_FIRSTHDR(&hdr)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&hdr)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&hdr)->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&hdr)), &fd, sizeof fd);
	}
	if (sendmsg(child->control_fd, &hdr, MSG_NOSIGNAL) != -1)
		return true;
	if (errno == EPIPE || errno == ECONNRESET)
		return true; /* it is dying */
	log_warn("cannot send %s to %s", ctlmsg_name(type), child->name);
	return false;
}

void
control_broadcast(struct master *m, enum ctlmsg_type type, uint32_t arg32, uint64_t arg64)
{
	uint32_t w;

	for (w = 0; w < m->nchildren; w++)
		(void)control_send(&m->children[w], type, arg32, arg64);
}

/* True if the message made the child ready. */
static bool
handle(struct master *m, uint32_t w, const struct ctlmsg *msg)
{
	struct child *child = &m->children[w];

	if (msg->from != w || msg->from_incarnation != child->incarnation) {
		log_warnx("%s sent a message in another's name: ignored", child->name);
		return false;
	}
	if (msg->type == CTL_PREPARED || msg->type == CTL_SWITCHED) {
		reload_heard(m, w, msg);
		return false;
	}
	if (msg->type == CTL_COMMAND || msg->type == CTL_DONE) {
		command_heard(m, w, msg);
		return false;
	}
	if (msg->type != CTL_READY) {
		log_warnx("%s sent an unexpected %s: ignored", child->name,
		    ctlmsg_name((enum ctlmsg_type)msg->type));
		return false;
	}
	if (child->ready)
		return false;
	child->ready = child->served = true;
	log_info("%s serves, %.0f ms after its start", child->name,
	    (double)(m->now_us - child->started_us) / 1e3);
	return true;
}

bool
control_read(struct master *m, uint32_t w)
{
	struct child *child = &m->children[w];
	bool ready = false;
	struct ctlmsg msg;
	ssize_t n;
	int i;

	for (i = 0; i < CONTROL_BATCH; i++) {
		n = recv(child->control_fd, &msg, sizeof msg, 0);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return ready;
		if (n <= 0)
			break;
		if (!ctlmsg_valid(&msg, (size_t)n))
			log_warnx("%s sent a malformed message: ignored", child->name);
		else if (handle(m, w, &msg))
			ready = true;
	}
	if (i == CONTROL_BATCH)
		return ready;
	(void)close(child->control_fd);
	child->control_fd = -1;
	child->lost_us = m->now_us;
	return ready;
}

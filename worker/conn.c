/*
 * conn: sockets and buffers. See conn.h for the rules.
 *
 * Called by client, backend, relay, cancel. Owns its fd and its buffers. Failures are returned,
 * never logged: the caller knows whose connection it is. With TLS, receiving and sending are
 * tls.c's, which gathers by the same functions.
 */
#include "worker/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "conf/hint.h"
#include "conf/log.h"
#include "proto/wire.h"
#include "worker/state.h"
#include "worker/tls.h"

#define JOIN_MAX 1024U

/* 0 leaves the system's value. */
static void
tune(int fd, int level, int option, int64_t value)
{
	int v = (int)value;

	if (v > 0 && setsockopt(fd, level, option, &v, sizeof(v)) == -1)
		log_debug("setsockopt %d: %s", option, strerror(errno));
}

/* What few ask for. */
static void
tune_times(int fd)
{
	const struct conf *c = wk->conf;

	tune(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, c->tcp_user_timeout_us / 1000);
	if (!c->tcp_keepalive)
		return;
	tune(fd, IPPROTO_TCP, TCP_KEEPIDLE, c->tcp_keepidle_us / 1000000);
	tune(fd, IPPROTO_TCP, TCP_KEEPINTVL, c->tcp_keepintvl_us / 1000000);
	tune(fd, IPPROTO_TCP, TCP_KEEPCNT, c->tcp_keepcnt);
}

void
conn_tune_listener(int fd)
{
	const int on = 1, keepalive = wk->conf->tcp_keepalive;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keepalive, sizeof(keepalive)) == -1)
		log_warn("setsockopt of a listener");
}

int
conn_adopt(struct conn *c, int fd, bool is_unix, void (*fn)(struct loop_source *, uint32_t))
{
	uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET | (is_unix ? 0 : EPOLLOUT);

	memset(c, 0, sizeof(*c));
	c->src.fd = fd;
	c->src.fn = fn;
	c->is_unix = is_unix;
	c->armed_out = !is_unix;
	if (loop_add(&c->src, events) == 0)
		return 0;
	c->src.fd = -1;
	return -1;
}

int
conn_open(struct conn *c, int fd, bool is_unix, void (*fn)(struct loop_source *, uint32_t))
{
	if (!is_unix)
		tune_times(fd);
	return conn_adopt(c, fd, is_unix, fn);
}

int
conn_connect(struct conn *c, const struct sockaddr_storage *to, socklen_t len,
    void (*fn)(struct loop_source *, uint32_t))
{
	bool is_unix = to->ss_family == AF_UNIX;
	int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), saved;

	if (fd == -1)
		return -1;
	if (!is_unix) {
		tune(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		tune(fd, SOL_SOCKET, SO_KEEPALIVE, wk->conf->tcp_keepalive);
	}
	if ((connect(fd, (const struct sockaddr *)to, len) == -1 && errno != EINPROGRESS) ||
	    conn_open(c, fd, is_unix, fn) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	c->blocked = true; /* until EPOLLOUT says that we are connected */
	if (is_unix)
		conn_block(c);
	return 0;
}

int
conn_detach(struct conn *c)
{
	int fd = c->src.fd;

	ENSURE(c->in == NULL && c->out == NULL && c->tls == NULL);
	loop_del(&c->src);
	c->src.fd = -1;
	return fd;
}

void
conn_shutdown(struct conn *c)
{
	if (c->tls != NULL)
		tls_bye(c);
	if (c->raw == NULL)
		(void)shutdown(c->src.fd, SHUT_WR);
}

void
conn_close(struct conn *c)
{
	if (c->tls != NULL)
		tls_close(c);
	chain_free(&c->in);
	chain_free(&c->out);
	chain_free(&c->raw);
	if (c->src.fd == -1)
		return;
	loop_del(&c->src);
	close(c->src.fd);
	c->src.fd = -1;
}

bool
conn_note(struct conn *c, uint32_t events)
{
	bool writable;

	if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
		c->readable = true;
		c->dry = false;
	}
	if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
		c->hup = true;
	writable = c->blocked && (c->hup || (events & EPOLLOUT) != 0);
	if (writable)
		c->blocked = false;
	return writable;
}

void
conn_trim(struct conn *c)
{
	struct buf *b = c->in;

	if (b == NULL)
		return;
	if (b->head == b->tail) {
		c->in = NULL;
		buf_put(b);
	} else if (b->tail == buf_cap() && b->head > 0) {
		memmove(b->data, b->data + b->head, b->tail - b->head);
		b->fwd -= b->head;
		b->tail -= b->head;
		b->head = 0;
	}
}

void
conn_forget_input(struct conn *c)
{
	if (c->in != NULL)
		c->in->head = c->in->fwd = c->in->tail;
	conn_trim(c);
}

const char *
conn_why(const struct conn *c)
{
	if (errno == 0)
		return "the other side closed the connection";
	return errno == EPROTO && c->tls != NULL ? tls_error() : strerror(errno);
}

bool
conn_can_recv(const struct conn *c)
{
	return c->readable && (c->in == NULL || c->in->tail < buf_cap());
}

int
conn_recv(struct conn *c)
{
	struct buf *b;
	size_t room;
	ssize_t n;

	if (c->tls != NULL)
		return tls_recv(c);
	if (c->in == NULL)
		c->in = buf_get();
	b = c->in;
	room = buf_cap() - b->tail;
	if (room == 0)
		return 0;
	do
		n = recv(c->src.fd, b->data + b->tail, room, 0);
	while (n == -1 && errno == EINTR);
	if (n > 0) {
		b->tail += (uint32_t)n;
		if ((size_t)n < room && !c->hup)
			c->readable = false;
		return (int)n;
	}
	c->readable = false;
	if (n == -1 && errno == EAGAIN) {
		conn_trim(c);
		return 0;
	}
	if (n == 0)
		errno = 0;
	return -1;
}

void
conn_put(struct conn *c, const void *bytes, size_t n)
{
	chain_put(&c->out, bytes, n);
}

void
conn_put_from(
    struct conn *c, const void *bytes, size_t n, void (*release)(void *owner), void *owner)
{
	if (n > 0)
		chain_put_from(&c->out, bytes, n, release, owner);
	else
		release(owner);
}

void
conn_put_header(struct conn *c, uint8_t type, size_t body_len)
{
	uint8_t head[WIRE_HEADER] = {type};

	wire_put32(head + 1, (uint32_t)(body_len + 4));
	conn_put(c, head, sizeof(head));
}

void
conn_put_parameter(struct conn *c, const char *name, const char *value)
{
	size_t n = strlen(name) + 1, v = strlen(value) + 1;

	conn_put_header(c, 'S', n + v);
	conn_put(c, name, n);
	conn_put(c, value, v);
}

void
conn_put_approved(struct conn *dst, struct conn *src)
{
	struct buf *b = src->in;

	if (b == NULL || b->fwd == b->head)
		return;
	conn_put(dst, b->data + b->head, b->fwd - b->head);
	b->head = b->fwd;
}

void
conn_put_rest(struct conn *dst, struct conn *src)
{
	conn_put_approved(dst, src);
	conn_trim(src);
}

size_t
conn_gather(struct conn *dst, struct conn *src, struct iovec *iov, int *count)
{
	size_t total = 0;
	struct buf *b;
	int i = 0;

	for (b = dst->out; b != NULL && i < CONN_IOV - 1; b = b->next, i++) {
		iov[i] = (struct iovec){b->data + b->head, b->tail - b->head};
		total += iov[i].iov_len;
	}
	if (b == NULL && src != NULL && src->in != NULL && src->in->fwd > src->in->head) {
		iov[i] =
		    (struct iovec){src->in->data + src->in->head, src->in->fwd - src->in->head};
		total += iov[i++].iov_len;
	}
	*count = i;
	return total;
}

void
conn_gathered_sent(struct conn *dst, struct conn *src, size_t n)
{
	size_t rest = chain_drop(&dst->out, n);

	if (rest > 0)
		src->in->head += (uint32_t)rest;
}

void
conn_block(struct conn *c)
{
	c->blocked = true;
	if (c->armed_out)
		return;
	c->armed_out = true;
	(void)loop_mod(&c->src, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

/* A short rest is copied behind what was put: that costs less than a second piece does in sendmsg.
 */
static void
join(struct conn *dst, struct conn *src)
{
	struct buf *out = dst->out, *in = src == NULL ? NULL : src->in;

	if (out == NULL || out->next != NULL || in == NULL || in->fwd == in->head ||
	    in->fwd - in->head > JOIN_MAX || in->fwd - in->head > buf_room(out))
		return;
	conn_put(dst, in->data + in->head, in->fwd - in->head);
	in->head = in->fwd;
}

static enum conn_sent
send_gathered(struct conn *dst, struct conn *src, uint64_t *sent)
{
	struct iovec iov[CONN_IOV];
	struct msghdr msg = {.msg_iov = iov};
	size_t total;
	ssize_t n;
	int count;

	join(dst, src);
	while ((total = conn_gather(dst, src, iov, &count)) > 0) {
		if (count == 1) {
			n = send(dst->src.fd, iov[0].iov_base, total, MSG_NOSIGNAL);
		} else {
			msg.msg_iovlen = (size_t)count;
			n = sendmsg(dst->src.fd, &msg, MSG_NOSIGNAL);
		}
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno != EAGAIN)
			return CONN_BROKEN;
		if (n > 0) {
			conn_gathered_sent(dst, src, (size_t)n);
			if (sent != NULL)
				*sent += (uint64_t)n;
		}
		if (n == -1 || (size_t)n < total) {
			conn_block(dst);
			return CONN_BLOCKED;
		}
	}
	if (src != NULL)
		conn_trim(src);
	return CONN_SENT;
}

/* What was approved, with nothing of ours ahead of it, in one call. CONN_BLOCKED: not all of it. */
static enum conn_sent
send_straight(struct conn *dst, struct buf *in, uint64_t *sent)
{
	uint32_t len = in->fwd - in->head;
	ssize_t n = len == 0 ? 0 : send(dst->src.fd, in->data + in->head, len, MSG_NOSIGNAL);

	if (unlikely(n == -1))
		return errno == EAGAIN || errno == EINTR ? CONN_BLOCKED : CONN_BROKEN;
	in->head += (uint32_t)n;
	if (sent != NULL)
		*sent += (uint64_t)n;
	return n == (ssize_t)len ? CONN_SENT : CONN_BLOCKED;
}

enum conn_sent
conn_send(struct conn *dst, struct conn *src, uint64_t *sent)
{
	enum conn_sent r = dst->out == NULL ? CONN_SENT : CONN_BLOCKED;

	if (unlikely(dst->blocked))
		return CONN_BLOCKED;
	if (unlikely(dst->tls != NULL))
		return tls_send(dst, src, sent);
	if (dst->out == NULL && src != NULL && src->in != NULL)
		r = send_straight(dst, src->in, sent);
	if (unlikely(r == CONN_BLOCKED))
		return send_gathered(dst, src, sent);
	if (src != NULL)
		conn_trim(src);
	return r;
}

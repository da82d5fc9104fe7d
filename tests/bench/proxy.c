/*
 * proxy: the floor that scripts/bench measures against. An idealised transaction pooler that does
 * the kernel's calls and nothing else: recv client, send backend, recv backend, send client.
 *
 * Every socket is registered once, edge-triggered; a client's bytes stay in the kernel until it has
 * a backend, so there is no read that finds nothing. Free backends are a stack (the warmest serves
 * next), waiting clients a queue. Backends log in by trust; a client's startup packet is answered
 * with the welcome that the first backend got.
 *
 * It knows only what the benchmark needs: one database and user, no pipelines, messages that fit
 * the socket buffers. It ends with a line on standard error when something else turns up.
 *
 * Run by scripts/bench: proxy [-s] [-b BACKENDS] [-n PROCESSES] -l PORT -p PGPORT -U USER -d DB.
 * -s: session mode, a client keeps its backend until it leaves.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>

#define BUFFER_SIZE  16384
#define EVENTS	     64
#define HEADER_SIZE  5	       /* type byte and length word */
#define CODE_SSL     80877103U /* SSLRequest */
#define CODE_GSSENC  80877104U /* GSSENCRequest */
#define MSG_READY    'Z'
#define MSG_GOODBYE  'X'
#define PROTOCOL_3_0 196608U

enum kind { LISTENER, CLIENT, BACKEND };

struct conn {
	enum kind kind;
	int fd;
	struct conn *peer; /* whom it is linked to now */
	STAILQ_ENTRY(conn) link;
	bool welcomed; /* client: its startup packet was answered */
	bool waiting;  /* client: in the queue */
	/* backend: where the byte stream stands */
	unsigned char header[HEADER_SIZE + 1]; /* ReadyForQuery's status is the sixth byte */
	size_t nheader;
	size_t left; /* bytes of the message still to come */
	bool ready;  /* the last whole message was ReadyForQuery 'I' */
};

STAILQ_HEAD(conn_queue, conn);

static struct {
	uint16_t listen_port;
	uint16_t pg_port;
	const char *user;
	const char *dbname;
	int nbackends;
	int processes;
	bool session;
} opt = {.nbackends = 16, .processes = 1};

static int epfd;
static struct conn **idle; /* the stack of free backends */
static int nidle;
static struct conn_queue waiting = STAILQ_HEAD_INITIALIZER(waiting);
static struct conn_queue dead = STAILQ_HEAD_INITIALIZER(dead); /* freed after the turn's events */
static char welcome[BUFFER_SIZE];
static size_t nwelcome;
static char buffer[BUFFER_SIZE];

static uint32_t
get_u32(const void *p)
{
	uint32_t n;

	memcpy(&n, p, sizeof n);
	return ntohl(n);
}

static struct conn *
conn_new(enum kind kind, int fd)
{
	struct conn *c = calloc(1, sizeof *c);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	if (c == NULL)
		err(1, "calloc");
	if (kind != LISTENER)
		ev.events |= EPOLLET;
	c->kind = kind;
	c->fd = fd;
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) == -1)
		err(1, "epoll_ctl");
	return c;
}

static void
send_all(int fd, const char *data, size_t n)
{
	ssize_t done = send(fd, data, n, MSG_NOSIGNAL);

	if (done == -1 && (errno == EPIPE || errno == ECONNRESET))
		return; /* the next recv says so too */
	if (done == -1)
		err(1, "send");
	if ((size_t)done != n)
		errx(1, "a socket buffer is full: this proxy is for small messages only");
}

static void
set_nodelay(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == -1)
		err(1, "TCP_NODELAY");
}

/* Follows the backend's stream through one chunk and notes whether it ends in ReadyForQuery 'I'. */
static void
backend_follow(struct conn *b, const char *p, size_t n)
{
	size_t take;

	while (n > 0) {
		if (b->nheader < HEADER_SIZE) {
			b->header[b->nheader++] = (unsigned char)*p++;
			n--;
			if (b->nheader < HEADER_SIZE)
				continue;
			b->left = get_u32(b->header + 1) - (HEADER_SIZE - 1);
		}
		take = n < b->left ? n : b->left;
		if (take > 0)
			b->header[HEADER_SIZE] = (unsigned char)p[take - 1];
		p += take;
		n -= take;
		b->left -= take;
		if (b->left > 0)
			break;
		b->ready = b->header[0] == MSG_READY && b->header[HEADER_SIZE] == 'I';
		b->nheader = 0;
	}
	if (b->nheader > 0)
		b->ready = false;
}

/* Blocking login by trust. The first one records what PostgreSQL said, for the clients. */
static struct conn *
backend_open(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
	    .sin_port = htons(opt.pg_port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char packet[256];
	struct conn *b;
	uint32_t word;
	size_t nread = 0, len;
	ssize_t n;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || connect(fd, (struct sockaddr *)&sin, sizeof sin) == -1)
		err(1, "connect to PostgreSQL");
	set_nodelay(fd);
	len = 8 + (size_t)snprintf(packet + 8, sizeof packet - 8, "user%c%s%cdatabase%c%s%c", 0,
		      opt.user, 0, 0, opt.dbname, 0);
	packet[len++] = '\0';
	word = htonl((uint32_t)len);
	memcpy(packet, &word, sizeof word);
	word = htonl(PROTOCOL_3_0);
	memcpy(packet + 4, &word, sizeof word);
	send_all(fd, packet, len);
	b = conn_new(BACKEND, fd);
	while (!b->ready) {
		n = recv(fd, buffer + nread, sizeof buffer - nread, 0);
		if (n <= 0 || buffer[0] != 'R' || get_u32(buffer + 5) != 0)
			errx(1, "PostgreSQL did not let %s in by trust", opt.user);
		backend_follow(b, buffer + nread, (size_t)n);
		nread += (size_t)n;
	}
	if (nwelcome == 0) {
		memcpy(welcome, buffer, nread);
		nwelcome = nread;
	}
	if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1)
		err(1, "fcntl");
	return b;
}

static void client_read(struct conn *);

static void
conn_close(struct conn *c)
{
	if (c->waiting)
		STAILQ_REMOVE(&waiting, c, conn, link);
	close(c->fd);
	c->fd = -1;
	STAILQ_INSERT_TAIL(&dead, c, link);
}

/* A backend is free: the longest waiter reads now, else it goes on the stack. */
static void
backend_release(struct conn *b)
{
	struct conn *c;

	if (b->peer != NULL)
		b->peer->peer = NULL;
	b->peer = NULL;
	idle[nidle++] = b;
	while (nidle > 0 && (c = STAILQ_FIRST(&waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&waiting, link);
		c->waiting = false;
		client_read(c);
	}
}

static void
client_leave(struct conn *c)
{
	struct conn *b = c->peer;

	c->peer = NULL;
	conn_close(c);
	if (b == NULL)
		return;
	b->peer = NULL;
	if (b->ready && !opt.session) {
		backend_release(b);
		return;
	}
	conn_close(b); /* its session holds the client's state */
	backend_release(backend_open());
}

static void
client_startup(struct conn *c)
{
	ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
	uint32_t code;

	if (n < 8 || (size_t)n < get_u32(buffer)) {
		client_leave(c);
		return;
	}
	code = get_u32(buffer + 4);
	if (code == CODE_SSL || code == CODE_GSSENC) {
		send_all(c->fd, "N", 1);
	} else if (code >> 16 == PROTOCOL_3_0 >> 16) {
		c->welcomed = true;
		send_all(c->fd, welcome, nwelcome);
	} else {
		client_leave(c);
	}
}

/* The client has bytes in the kernel. Without a backend they stay there. */
static void
client_read(struct conn *c)
{
	ssize_t n;

	if (!c->welcomed) {
		client_startup(c);
		return;
	}
	if (c->peer == NULL && nidle == 0) {
		if (!c->waiting)
			STAILQ_INSERT_TAIL(&waiting, c, link);
		c->waiting = true;
		return;
	}
	if (c->peer == NULL) {
		c->peer = idle[--nidle];
		c->peer->peer = c;
	}
	do {
		n = recv(c->fd, buffer, sizeof buffer, 0);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0 || buffer[0] == MSG_GOODBYE) {
			client_leave(c);
			return;
		}
		c->peer->ready = false;
		send_all(c->peer->fd, buffer, (size_t)n);
	} while ((size_t)n == sizeof buffer);
}

static void
backend_read(struct conn *b)
{
	ssize_t n;

	do {
		n = recv(b->fd, buffer, sizeof buffer, 0);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0)
			errx(1, "PostgreSQL closed a connection");
		backend_follow(b, buffer, (size_t)n);
		if (b->peer != NULL)
			send_all(b->peer->fd, buffer, (size_t)n);
	} while ((size_t)n == sizeof buffer);
	if (b->ready && b->peer != NULL && !opt.session)
		backend_release(b);
}

static void
client_accept(struct conn *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd == -1 && (errno == EAGAIN || errno == ECONNABORTED))
		return;
	if (fd == -1)
		err(1, "accept");
	set_nodelay(fd);
	(void)conn_new(CLIENT, fd);
}

static void
listener_open(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
	    .sin_port = htons(opt.listen_port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == -1 ||
	    bind(fd, (struct sockaddr *)&sin, sizeof sin) == -1 || listen(fd, 1024) == -1)
		err(1, "listen on port %d", opt.listen_port);
	(void)conn_new(LISTENER, fd);
}

/* Connections closed in this turn may still stand in its list of events: freed when it is done. */
static void
dead_free(void)
{
	struct conn *c;

	while ((c = STAILQ_FIRST(&dead)) != NULL) {
		STAILQ_REMOVE_HEAD(&dead, link);
		free(c);
	}
}

static _Noreturn void
serve(void)
{
	struct epoll_event ev[EVENTS];
	struct conn *c;
	int i, n;

	if ((epfd = epoll_create1(EPOLL_CLOEXEC)) == -1)
		err(1, "epoll_create1");
	if ((idle = calloc((size_t)opt.nbackends, sizeof *idle)) == NULL)
		err(1, "calloc");
	for (i = 0; i < opt.nbackends; i++)
		idle[nidle++] = backend_open();
	listener_open();
	for (;;) {
		n = epoll_wait(epfd, ev, EVENTS, -1);
		if (n == -1 && errno != EINTR)
			err(1, "epoll_wait");
		for (i = 0; i < n; i++) {
			c = ev[i].data.ptr;
			if (c->fd == -1)
				continue;
			if (c->kind == LISTENER)
				client_accept(c);
			else if (c->kind == CLIENT)
				client_read(c);
			else
				backend_read(c);
		}
		dead_free();
	}
}

static int
number(const char *text, int max)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || n < 1 || n > max)
		errx(2, "%s: not a number from 1 to %d", text, max);
	return (int)n;
}

int
main(int argc, char **argv)
{
	int c, i;

	while ((c = getopt(argc, argv, "sb:n:l:p:U:d:")) != -1) {
		switch (c) {
		case 's':
			opt.session = true;
			break;
		case 'b':
			opt.nbackends = number(optarg, 10000);
			break;
		case 'n':
			opt.processes = number(optarg, 64);
			break;
		case 'l':
			opt.listen_port = (uint16_t)number(optarg, UINT16_MAX);
			break;
		case 'p':
			opt.pg_port = (uint16_t)number(optarg, UINT16_MAX);
			break;
		case 'U':
			opt.user = optarg;
			break;
		case 'd':
			opt.dbname = optarg;
			break;
		default:
			return 2;
		}
	}
	if (opt.listen_port == 0 || opt.pg_port == 0 || opt.user == NULL || opt.dbname == NULL)
		errx(2, "usage: proxy [-s] [-b BACKENDS] [-n PROCESSES] -l PORT -p PGPORT -U USER "
			"-d DB");
	opt.nbackends = (opt.nbackends + opt.processes - 1) / opt.processes;
	for (i = 1; i < opt.processes; i++) {
		switch (fork()) {
		case -1:
			err(1, "fork");
		case 0:
			if (prctl(PR_SET_PDEATHSIG, SIGTERM) == -1)
				err(1, "prctl");
			serve();
		default:
			break;
		}
	}
	serve();
}

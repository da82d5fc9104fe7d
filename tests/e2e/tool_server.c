/*
 * tool_server: as much of a PostgreSQL as a pooler needs to log in, with slow logins and few
 * places, for the end-to-end tests in shell. It says how many logins it saw at once.
 *
 * On 127.0.0.1, on a port of its own, which it prints first. Driven over standard input:
 *
 *   places N    who logs in from now on, and finds that so many are there before it or beside it,
 *               is refused at the end of its login (53300); as at PostgreSQL, it holds a place
 *               until it has left, and that its client has gone is seen at the end of its login
 *   delay MS    how long a login takes, a query, and leaving after a refusal
 *   brief N     the next N logins are ended (57P01) in the same breath
 *   drop        ends all connections
 *   look        answered with "look MOST OPENED REFUSED": logins at once at most, and how logins
 *               ended, both since the last look
 *   end, EOF    the end
 *
 * Each query is answered with no row.
 */
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PEERS_MAX 256

enum state { STARTUP, LOGIN, READY, BUSY, LEAVING };

struct peer {
	int fd; /* 0 = none */
	enum state state;
	int64_t due_ms; /* LOGIN, BUSY, LEAVING */
	uint8_t in[8192];
	size_t len;
};

static struct peer peers[PEERS_MAX];
static int listener, places = PEERS_MAX, delay_ms, brief;
static struct {
	int most, opened, refused;
} seen;

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int
count(enum state first, enum state last)
{
	int i, n = 0;

	for (i = 0; i < PEERS_MAX; i++)
		n += peers[i].fd != 0 && peers[i].state >= first && peers[i].state <= last;
	return n;
}

static void
gone(struct peer *p)
{
	(void)close(p->fd);
	memset(p, 0, sizeof(*p));
}

static void
say(struct peer *p, const void *bytes, size_t len)
{
	if (send(p->fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
		gone(p);
}

static void
login_end(struct peer *p)
{
	static const char welcome[] = "R\0\0\0\10\0\0\0\0"
				      "S\0\0\0\26server_version\00015\0"
				      "S\0\0\0\31client_encoding\0UTF8\0"
				      "K\0\0\0\14\0\0\0\1\0\0\0\2"
				      "Z\0\0\0\5I",
			  full[] = "E\0\0\0\63SFATAL\0VFATAL\0C53300\0Mno place at this server\0",
			  ended[] = "E\0\0\0\46SFATAL\0VFATAL\0C57P01\0Mterminated\0";
	uint8_t both[sizeof(welcome) - 1 + sizeof(ended)];

	if (count(LOGIN, LEAVING) <= places) {
		seen.opened++;
		p->state = READY;
		memcpy(both, welcome, sizeof(welcome) - 1);
		memcpy(both + sizeof(welcome) - 1, ended, sizeof(ended));
		say(p, both, brief > 0 ? sizeof(both) : sizeof(welcome) - 1);
		if (brief > 0 && p->fd != 0) {
			brief--;
			gone(p);
		}
		return;
	}
	seen.refused++;
	p->state = LEAVING;
	p->due_ms = now_ms() + delay_ms;
	say(p, full, sizeof(full));
}

static void
query_end(struct peer *p)
{
	static const char done[] = "C\0\0\0\15SELECT 0\0Z\0\0\0\5I";

	p->state = READY;
	say(p, done, sizeof(done) - 1);
}

static bool
waits(const struct peer *p)
{
	return p->fd != 0 && (p->state == LOGIN || p->state == BUSY || p->state == LEAVING);
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void
startup(struct peer *p, uint32_t code)
{
	int n;

	if (code >> 16 == 1234) { /* TLS, GSSAPI, cancel */
		say(p, "N", 1);
		return;
	}
	p->state = LOGIN;
	p->due_ms = now_ms() + delay_ms;
	n = count(LOGIN, LOGIN);
	if (n > seen.most)
		seen.most = n;
}

static void
message(struct peer *p, uint8_t type)
{
	if (type == 'X') {
		gone(p);
	} else if (type == 'Q') {
		p->state = BUSY;
		p->due_ms = now_ms() + delay_ms;
	}
}

/* Takes the first message that is whole. False: there is none. */
static bool
message_take(struct peer *p)
{
	size_t head = p->state == STARTUP ? 0 : 1, len;

	if (p->fd == 0 || p->len < (head == 0 ? 8 : 5))
		return false;
	len = head + get32(p->in + head);
	if (len < 5 || len > sizeof(p->in)) {
		gone(p);
		return false;
	}
	if (p->len < len)
		return false;
	if (head == 0)
		startup(p, get32(p->in + 4));
	else
		message(p, p->in[0]);
	if (p->fd == 0)
		return false;
	p->len -= len;
	memmove(p->in, p->in + len, p->len);
	return true;
}

static void
received(struct peer *p)
{
	ssize_t n = read(p->fd, p->in + p->len, sizeof(p->in) - p->len);

	if (n <= 0) {
		gone(p);
		return;
	}
	p->len += (size_t)n;
	while (message_take(p))
		;
}

static void
arrived(void)
{
	int fd = accept(listener, NULL, NULL), i;

	for (i = 0; fd > 0 && i < PEERS_MAX; i++)
		if (peers[i].fd == 0) {
			peers[i].fd = fd;
			return;
		}
	errx(1, "no connection, or one too many");
}

static void
commanded(void)
{
	static char line[256];
	int n;

	if (fgets(line, sizeof(line), stdin) == NULL || strcmp(line, "end\n") == 0)
		exit(0);
	if (sscanf(line, "places %d", &n) == 1) {
		places = n;
	} else if (sscanf(line, "delay %d", &n) == 1) {
		delay_ms = n;
	} else if (sscanf(line, "brief %d", &n) == 1) {
		brief = n;
	} else if (strcmp(line, "drop\n") == 0) {
		for (n = 0; n < PEERS_MAX; n++)
			if (peers[n].fd != 0)
				gone(&peers[n]);
	} else {
		printf("look %d %d %d\n", seen.most, seen.opened, seen.refused);
		memset(&seen, 0, sizeof(seen));
		seen.most = count(LOGIN, LOGIN);
	}
}

/* What is due; returns the time until something is, in ms. */
static int
due(void)
{
	int64_t now = now_ms(), first = now + 1000;
	int i;

	for (i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &peers[i];
		if (waits(p) && p->due_ms <= now)
			(p->state == LOGIN ? login_end : p->state == BUSY ? query_end : gone)(p);
		if (waits(p) && p->due_ms < first)
			first = p->due_ms;
	}
	return first > now ? (int)(first - now) : 0;
}

static void
turn(void)
{
	static struct pollfd fds[PEERS_MAX + 2];
	int wait = due(), i;

	for (i = 0; i < PEERS_MAX; i++)
		fds[i] = (struct pollfd){.fd = peers[i].fd == 0 ? -1 : peers[i].fd,
		    .events = peers[i].state == LOGIN ? 0 : POLLIN};
	fds[i] = (struct pollfd){.fd = listener, .events = POLLIN};
	fds[i + 1] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
	if (poll(fds, PEERS_MAX + 2, wait) == -1)
		err(1, "poll");
	for (i = 0; i < PEERS_MAX; i++)
		if (fds[i].revents != 0)
			received(&peers[i]);
	if (fds[i].revents != 0)
		arrived();
	if (fds[i + 1].revents != 0)
		commanded();
}

int
main(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)setvbuf(stdin, NULL, _IONBF, 0);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listener == -1 || bind(listener, (void *)&a, sizeof(a)) == -1 ||
	    listen(listener, 128) == -1 || getsockname(listener, (void *)&a, &len) == -1)
		err(1, "listen");
	printf("port %u\n", ntohs(a.sin_port));
	for (;;)
		turn();
}

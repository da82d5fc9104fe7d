/*
 * storm: logins by SCRAM that fail, so many a second, for `scripts/bench --logins`.
 *
 * Speaks the protocol by itself: a client's PBKDF2 would cost more than all that is measured. One
 * login after the other; one that is late is made up for. On SIGTERM it prints how many were
 * refused, and ends.
 *
 * storm PORT RATE USER DB   (127.0.0.1; anything but a refusal at the end is an error)
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FIRST "n,,n=,r=abcdefghijklmnopqrstuvwx"

static volatile sig_atomic_t stopped;

static void
stop(int sig)
{
	(void)sig;
	stopped = 1;
}

static void
send_packet(int fd, char type, const void *body, size_t len)
{
	unsigned char msg[1024];
	uint32_t n = htonl((uint32_t)len + 4);
	size_t at = type != '\0';

	msg[0] = (unsigned char)type;
	memcpy(msg + at, &n, 4);
	memcpy(msg + at + 4, body, len);
	if (send(fd, msg, at + 4 + len, MSG_NOSIGNAL) == -1)
		err(1, "send");
}

/* One message: its type; the body into `body`, as text. */
static char
read_packet(int fd, char body[1024])
{
	unsigned char head[5];
	uint32_t len;

	if (recv(fd, head, 5, MSG_WAITALL) != 5)
		errx(1, "the pooler has closed the connection");
	memcpy(&len, head + 1, 4);
	len = ntohl(len) - 4;
	if (len >= 1024 || recv(fd, body, len, MSG_WAITALL) != (ssize_t)len)
		errx(1, "a message is too long");
	body[len] = '\0';
	return (char)head[0];
}

static void
send_startup(int fd, const char *user, const char *db)
{
	static const unsigned char version[4] = {0, 3, 0, 0};
	char body[256];
	int n;

	memcpy(body, version, 4);
	n = snprintf(body + 4, sizeof(body) - 5, "user%c%s%cdatabase%c%s%c", 0, user, 0, 0, db, 0);
	body[4 + n] = '\0';
	send_packet(fd, '\0', body, (size_t)n + 5);
}

static void
fail_once(uint16_t port, const char *user, const char *db)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	static const char mechanism[] = "SCRAM-SHA-256\0\0\0\0\x20" FIRST;
	char body[1024], final[1024];
	int fd = socket(AF_INET, SOCK_STREAM, 0), n;

	_Static_assert(sizeof(FIRST) - 1 == 0x20, "its length stands before it");
	if (fd == -1 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) == -1)
		err(1, "connect");
	send_startup(fd, user, db);
	if (read_packet(fd, body) != 'R')
		errx(1, "asked for no password");
	send_packet(fd, 'p', mechanism, sizeof(mechanism) - 1);
	if (read_packet(fd, body) != 'R' || strncmp(body + 4, "r=", 2) != 0)
		errx(1, "no SCRAM");
	n = snprintf(final, sizeof(final), "c=biws,%.*s,p=%.43s=", (int)strcspn(body + 4, ","),
	    body + 4, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	send_packet(fd, 'p', final, (size_t)n);
	if (read_packet(fd, body) != 'E')
		errx(1, "not refused");
	close(fd);
}

int
main(int argc, char **argv)
{
	struct timespec next;
	unsigned long count = 0;
	long gap_ns;

	if (argc != 5)
		errx(2, "usage: storm PORT RATE USER DB");
	gap_ns = 1000000000L / atol(argv[2]);
	signal(SIGTERM, stop);
	clock_gettime(CLOCK_MONOTONIC, &next);
	while (!stopped) {
		fail_once((uint16_t)atoi(argv[1]), argv[3], argv[4]);
		count++;
		next.tv_nsec += gap_ns;
		if (next.tv_nsec >= 1000000000L) {
			next.tv_nsec -= 1000000000L;
			next.tv_sec++;
		}
		(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	printf("%lu refused\n", count);
	return 0;
}

/*
 * idle: opens many client connections and lets them sit, for `scripts/bench --idle` and for tests
 * that need a crowd.
 *
 * It is driven over standard input and answers on standard output, one line each:
 *   (start)   logs COUNT clients in                  "connected COUNT"
 *   query     runs one `select 1` on each in turn    "queried COUNT"
 *   end or EOF: closes all and exits 0.
 *
 * Any refusal or lost connection is one line on standard error and exit 1.
 *
 * idle HOST PORT USER DB COUNT   (HOST numeric IPv4; clients log in by trust; a USER that ends in
 * '#' stands for another one each: name1, name2, ...)
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROTOCOL_3_0 196608U
#define HEADER_SIZE  5

static int *fds;
static int nfds;

static void
put_u32(unsigned char *p, uint32_t n)
{
	n = htonl(n);
	memcpy(p, &n, sizeof n);
}

static uint32_t
get_u32(const unsigned char *p)
{
	uint32_t n;

	memcpy(&n, p, sizeof n);
	return ntohl(n);
}

static void
read_all(int fd, unsigned char *p, size_t n)
{
	ssize_t got;

	while (n > 0) {
		got = recv(fd, p, n, 0);
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			err(1, "client %d", nfds);
		if (got == 0)
			errx(1, "client %d: the server closed the connection", nfds);
		p += got;
		n -= (size_t)got;
	}
}

/* Reads messages until ReadyForQuery; an ErrorResponse ends the program with its text. */
static void
read_until_ready(int fd)
{
	unsigned char header[HEADER_SIZE], body[8192];
	uint32_t len;

	do {
		read_all(fd, header, sizeof header);
		len = get_u32(header + 1) - 4;
		if (len > sizeof body - 1)
			errx(1, "client %d: a message of %u bytes", nfds, len);
		read_all(fd, body, len);
		body[len] = '\0';
		if (header[0] == 'E') {
			for (uint32_t i = 0; i < len; i++)
				if (body[i] == '\0')
					body[i] = ' ';
			errx(1, "client %d: %s", nfds, (char *)body);
		}
	} while (header[0] != 'Z');
}

static void
send_all(int fd, const unsigned char *p, size_t n)
{
	if (send(fd, p, n, MSG_NOSIGNAL) != (ssize_t)n)
		err(1, "client %d: send", nfds);
}

static void
client_open(const struct sockaddr_in *sin, const char *user, const char *dbname)
{
	unsigned char packet[512];
	char name[256];
	size_t len = strlen(user);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || connect(fd, (const struct sockaddr *)sin, sizeof *sin) == -1)
		err(1, "client %d: connect", nfds);
	if (len > 0 && user[len - 1] == '#')
		snprintf(name, sizeof name, "%.*s%d", (int)len - 1, user, nfds + 1);
	else
		snprintf(name, sizeof name, "%s", user);
	len = 8 + (size_t)snprintf((char *)packet + 8, sizeof packet - 9,
		      "user%c%s%cdatabase%c%s%c", 0, name, 0, 0, dbname, 0);
	packet[len++] = '\0';
	put_u32(packet, (uint32_t)len);
	put_u32(packet + 4, PROTOCOL_3_0);
	send_all(fd, packet, len);
	read_until_ready(fd);
	fds[nfds++] = fd;
}

static void
query_all(void)
{
	static const unsigned char query[] = {
	    'Q', 0, 0, 0, 13, 's', 'e', 'l', 'e', 'c', 't', ' ', '1', '\0'};

	for (int i = 0; i < nfds; i++) {
		send_all(fds[i], query, sizeof query);
		read_until_ready(fds[i]);
	}
	printf("queried %d\n", nfds);
}

static void
raise_fd_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		err(1, "getrlimit");
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) == -1)
		err(1, "setrlimit");
}

int
main(int argc, char **argv)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	char line[64];
	int count;

	if (argc != 6)
		errx(2, "usage: idle HOST PORT USER DB COUNT");
	sin.sin_port = htons((uint16_t)atoi(argv[2]));
	if (inet_pton(AF_INET, argv[1], &sin.sin_addr) != 1)
		errx(2, "%s: not an IPv4 address", argv[1]);
	if (strlen(argv[3]) + strlen(argv[4]) > 200)
		errx(2, "the user's and the database's names are too long");
	if ((count = atoi(argv[5])) < 1 || (fds = calloc((size_t)count, sizeof *fds)) == NULL)
		errx(2, "%s: not a number of clients", argv[5]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	raise_fd_limit();
	while (nfds < count)
		client_open(&sin, argv[3], argv[4]);
	printf("connected %d\n", nfds);
	while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "end\n") != 0)
		if (strcmp(line, "query\n") == 0)
			query_all();
	return 0;
}

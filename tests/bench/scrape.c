/*
 * scrape: asks for /metrics at a steady rate, as Prometheus would, until its standard input ends.
 * For scripts/bench --scrape. Prints "scrapes N bytes N mean_us N max_us N".
 *
 * scrape HOST PORT PER_SECOND
 */
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t
now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* One request on a connection of its own; the answer's length. */
static size_t
scrape(const struct sockaddr_in *to)
{
	static const char request[] = "GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n";
	static char answer[1 << 16];
	size_t total = 0;
	ssize_t n;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) == -1)
		err(1, "connect");
	if (write(fd, request, sizeof(request) - 1) != (ssize_t)sizeof(request) - 1)
		err(1, "write");
	while ((n = read(fd, answer, sizeof(answer))) > 0)
		total += (size_t)n;
	if (n == -1 || total < 1000)
		errx(1, "no answer");
	(void)close(fd);
	return total;
}

/* Sleeps until then; false: standard input has ended. */
static int
wait_until(int64_t then)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	int64_t left = then - now_us();

	return poll(&in, 1, left <= 0 ? 0 : (int)(left / 1000)) == 0;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	int64_t step, next, began, took, sum = 0, most = 0;
	size_t bytes = 0, n = 0;

	if (argc != 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		errx(2, "usage: scrape HOST PORT PER_SECOND");
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	step = 1000000 / atoi(argv[3]);
	for (next = now_us(); wait_until(next); next += step) {
		began = now_us();
		bytes = scrape(&to);
		took = now_us() - began;
		sum += took;
		most = took > most ? took : most;
		n++;
	}
	printf("scrapes %zu bytes %zu mean_us %lld max_us %lld\n", n, bytes,
	    (long long)(n == 0 ? 0 : sum / (int64_t)n), (long long)most);
	return 0;
}

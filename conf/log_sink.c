/*
 * log_sink: see log_sink.h.
 *
 * A file is opened for appending, and a line is one write(2): lines of several processes do not
 * mix. Standard error may be a pipe or a terminal that others share, so its flags are not ours to
 * change: it is opened a second time, without blocking, through /proc; where that is refused, it is
 * asked before each line whether it takes one. The system's log is a datagram socket: syslog(3)
 * would wait for it.
 *
 * On failure: the line is lost, counted, and errno kept. If only a part of a line went out (a disk
 * that fills up), the next one begins with a newline of its own.
 */
#include "conf/log_sink.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The system's log is tried again this often. */
#define SYSLOG_AGAIN_S 1

static struct {
	int fd;
	bool ask;  /* it may block: poll first */
	bool sock; /* send, not write */
	bool torn; /* the last line is not whole */
	char path[PATH_MAX];
	uint64_t lost;
	int error;
} sink = {.fd = STDERR_FILENO};

static struct {
	int fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "" = no */
	char ident[64];
	int facility;
	time_t tried; /* to connect, monotonic */
} sys = {.fd = -1};

/* --- files and standard error ----------------------------------------------------------------- */

static int
open_append(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

static int
open_stderr(bool *ask, bool *sock)
{
	struct stat st;
	int fd;

	*ask = *sock = false;
	if (fstat(STDERR_FILENO, &st) == -1 || S_ISREG(st.st_mode))
		return STDERR_FILENO;
	if ((*sock = S_ISSOCK(st.st_mode)))
		return STDERR_FILENO;
	fd = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	*ask = fd == -1;
	return fd == -1 ? STDERR_FILENO : fd;
}

static void
swap_fd(int fd, bool ask, bool sock)
{
	int old = sink.fd;

	sink.fd = fd;
	sink.ask = ask;
	sink.sock = sock;
	sink.torn = false;
	if (old != STDERR_FILENO && old != fd)
		(void)close(old); /* nothing is buffered there that could be lost */
}

int
log_sink_open(const char *path)
{
	bool ask = false, sock = false;
	int fd;

	if (strlen(path) >= sizeof(sink.path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = path[0] == '\0' ? open_stderr(&ask, &sock) : open_append(path);
	if (fd == -1)
		return -1;
	swap_fd(fd, ask, sock);
	memmove(sink.path, path, strlen(path) + 1);
	return 0;
}

int
log_sink_reopen(void)
{
	int fd;

	if (sink.path[0] == '\0')
		return 0;
	fd = open_append(sink.path);
	if (fd == -1)
		return -1;
	swap_fd(fd, false, false);
	return 0;
}

static void
lose(int error)
{
	sink.lost++;
	sink.error = error;
}

static void
write_file(const char *line, size_t len)
{
	struct iovec v[2] = {{(void *)(uintptr_t) "\n", 1}, {(void *)(uintptr_t)line, len}};
	struct iovec *first = sink.torn ? v : v + 1;
	const int n = sink.torn ? 2 : 1;
	struct pollfd p = {.fd = sink.fd, .events = POLLOUT};
	ssize_t r;

	if (sink.ask && poll(&p, 1, 0) != 1) {
		lose(EAGAIN);
		return;
	}
	do {
		if (sink.sock)
			r = sendmsg(sink.fd,
			    &(struct msghdr){.msg_iov = first, .msg_iovlen = (size_t)n},
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			r = writev(sink.fd, first, n);
	} while (r == -1 && errno == EINTR);
	if (r == -1) {
		lose(errno);
		return;
	}
	sink.torn = (size_t)r < len + (sink.torn ? 1 : 0);
	if (sink.torn)
		lose(ENOSPC);
}

/* --- the system's log ------------------------------------------------------------------------- */

static time_t
seconds(void)
{
	struct timespec now = {0, 0};

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec + 1; /* never 0 */
}

static void
close_syslog(void)
{
	if (sys.fd != -1)
		(void)close(sys.fd);
	sys.fd = -1;
}

void
log_sink_syslog(const char *socket_path, const char *ident, int facility)
{
	if (socket_path == NULL)
		socket_path = "";
	if (strcmp(socket_path, sys.path) != 0)
		close_syslog();
	sys.tried = 0;
	(void)strlcpy(sys.path, socket_path, sizeof(sys.path));
	(void)strlcpy(sys.ident, ident, sizeof(sys.ident));
	sys.facility = facility;
}

static bool
connect_syslog(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	time_t now = seconds();

	if (sys.tried != 0 && now - sys.tried < SYSLOG_AGAIN_S) {
		errno = ENOTCONN;
		return false;
	}
	sys.tried = now;
	(void)strlcpy(to.sun_path, sys.path, sizeof(to.sun_path));
	sys.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sys.fd == -1)
		return false;
	if (connect(sys.fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return true;
	close_syslog();
	return false;
}

/* RFC 3164 without a time: who receives it by a local socket sets its own. */
static void
write_syslog(const char *text, size_t len, int severity)
{
	char head[128];
	struct iovec v[2] = {{head, 0}, {(void *)(uintptr_t)text, len}};
	int n, again = 0;

	n = snprintf(head, sizeof(head), "<%d>%s[%d]: ", sys.facility * 8 + severity, sys.ident,
	    (int)getpid());
	v[0].iov_len = n < 0 ? 0 : (size_t)n;
	do {
		if (sys.fd == -1 && !connect_syslog())
			break;
		if (writev(sys.fd, v, 2) != -1)
			return;
		if (errno == EAGAIN || errno == EINTR)
			break;
		close_syslog(); /* it was started anew, perhaps */
		sys.tried = 0;
	} while (again++ == 0);
	lose(errno);
}

void
log_sink_write(const char *line, size_t len, size_t message, int severity)
{
	if (sys.path[0] != '\0')
		write_syslog(line + message, len - message - 1, severity);
	if (sys.path[0] == '\0' || sink.path[0] != '\0')
		write_file(line, len);
}

uint64_t
log_sink_lost(int *error)
{
	uint64_t n = sink.lost;

	*error = sink.error;
	sink.lost = 0;
	return n;
}

/*
 * log: writes lines. Used by every process; owns the log's fd, its path and the speaker's name.
 *
 * A line is built on the stack and goes out in one write(2) on an O_APPEND fd, so that lines of
 * several processes do not mix. Nothing here allocates, takes a lock or reads the time zone (times
 * are UTC), so a process that is out of memory can still say so.
 *
 * On failure: a line that cannot be written (disk full, reader gone) is dropped. There is nobody to
 * tell, and a pooler does not stop for its log. Control characters are escaped: text from clients
 * cannot forge a second line or drive a terminal.
 */
#include "conf/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 2048
#define NAME_SIZE 64

static struct {
	int fd;
	enum log_level level;
	char name[NAME_SIZE];
	char path[PATH_MAX]; /* "" = standard error */
} log_state = {STDERR_FILENO, LOG_LEVEL_INFO, "pgdrove", ""};

/* A line being built; `cut` once something did not fit. */
struct line {
	char bytes[LINE_SIZE];
	size_t len;
	bool cut;
};

/* Room for the mark of a cut line and the newline is always kept. */
static const char cut_mark[] = "...";
#define LINE_ROOM (LINE_SIZE - sizeof(cut_mark))

static void
line_put(struct line *line, const char *bytes, size_t n)
{
	if (line->cut || line->len + n > LINE_ROOM) {
		line->cut = true;
		return;
	}
	memcpy(line->bytes + line->len, bytes, n);
	line->len += n;
}

/* Puts text with its control characters escaped; an escape is never cut in two. */
static void
line_put_text(struct line *line, const char *text)
{
	static const char hex[] = "0123456789abcdef";

	for (const char *p = text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '\n')
			line_put(line, "\\n", 2);
		else if (c == '\t')
			line_put(line, "\\t", 2);
		else if (c == '\r')
			line_put(line, "\\r", 2);
		else if (c < 0x20 || c == 0x7f)
			line_put(line, (const char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
		else
			line_put(line, p, 1);
	}
}

static void
line_write(struct line *line, int fd)
{
	ssize_t n;

	if (line->cut) {
		memcpy(line->bytes + line->len, cut_mark, sizeof(cut_mark) - 1);
		line->len += sizeof(cut_mark) - 1;
	}
	line->bytes[line->len++] = '\n';
	do {
		n = write(fd, line->bytes, line->len);
	} while (n == -1 && errno == EINTR);
}

/*
 * Days since 1970-01-01 as a date. By hand because gmtime_r() may take a lock and read the time
 * zone file. Years are counted from March, so that the leap day comes last; an era is 400 years.
 */
static void
date_of_days(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468; /* since 0000-03-01 */
	int64_t era = z / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(yoe + era * 400 + (*month <= 2));
}

static void
line_put_head(struct line *line, const char *word)
{
	struct timespec now;
	char head[NAME_SIZE + 96];
	int year, month, day, n;
	int64_t secs;

	if (clock_gettime(CLOCK_REALTIME, &now) == -1)
		now = (struct timespec){0, 0};
	secs = now.tv_sec > 0 ? now.tv_sec : 0;
	date_of_days(secs / 86400, &year, &month, &day);
	n = snprintf(head, sizeof(head),
	    "%04d-%02d-%02d %02d:%02d:%02d.%03d UTC [%d] %s %s: ", year, month, day,
	    (int)(secs / 3600 % 24), (int)(secs / 60 % 60), (int)(secs % 60),
	    (int)(now.tv_nsec / 1000000), (int)getpid(), log_state.name, word);
	if (n > 0)
		line_put(line, head, strnlen(head, sizeof(head) - 1));
}

/* `error` is an errno to append, or 0. */
static void __attribute__((format(printf, 3, 0)))
write_line(const char *word, int error, const char *fmt, va_list ap)
{
	struct line line;
	char text[LINE_SIZE];
	const char *why;

	line.len = 0;
	line.cut = false;
	line_put_head(&line, word);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		line_put_text(&line, fmt);
	else
		line_put_text(&line, text);
	if (error != 0) {
		why = strerrordesc_np(error);
		line_put_text(&line, ": ");
		line_put_text(&line, why != NULL ? why : "unknown error");
	}
	line_write(&line, log_state.fd);
}

/* Log calls do not disturb errno: callers log first and return it afterwards. */
#define WRITE_LINE(word, error)                                                                    \
	do {                                                                                       \
		int saved = errno;                                                                 \
		va_list ap;                                                                        \
		va_start(ap, fmt);                                                                 \
		write_line((word), (error), fmt, ap);                                              \
		va_end(ap);                                                                        \
		errno = saved;                                                                     \
	} while (0)

static int
open_append(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

static void
swap_fd(int fd)
{
	int old = log_state.fd;

	log_state.fd = fd;
	if (old != STDERR_FILENO)
		(void)close(old); /* nothing is buffered there that could be lost */
}

int
log_open(const char *path)
{
	int fd = STDERR_FILENO;

	if (path == NULL)
		path = "";
	if (strlen(path) >= sizeof(log_state.path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (path[0] != '\0' && (fd = open_append(path)) == -1)
		return -1;
	swap_fd(fd);
	memmove(log_state.path, path, strlen(path) + 1);
	return 0;
}

int
log_reopen(void)
{
	int fd;

	if (log_state.path[0] == '\0')
		return 0;
	fd = open_append(log_state.path);
	if (fd == -1)
		return -1;
	swap_fd(fd);
	return 0;
}

void
log_set_level(enum log_level level)
{
	log_state.level = level;
}

void
log_set_name(const char *name)
{
	size_t n = strnlen(name, sizeof(log_state.name) - 1);

	memmove(log_state.name, name, n);
	log_state.name[n] = '\0';
}

bool
log_debugging(void)
{
	return log_state.level <= LOG_LEVEL_DEBUG;
}

void
log_debug(const char *fmt, ...)
{
	if (log_state.level <= LOG_LEVEL_DEBUG)
		WRITE_LINE("debug", 0);
}

void
log_info(const char *fmt, ...)
{
	if (log_state.level <= LOG_LEVEL_INFO)
		WRITE_LINE("info", 0);
}

void
log_warn(const char *fmt, ...)
{
	if (log_state.level <= LOG_LEVEL_WARNING)
		WRITE_LINE("warning", saved);
}

void
log_warnx(const char *fmt, ...)
{
	if (log_state.level <= LOG_LEVEL_WARNING)
		WRITE_LINE("warning", 0);
}

void
fatal(const char *fmt, ...)
{
	WRITE_LINE("fatal", saved);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	WRITE_LINE("fatal", 0);
	exit(1);
}

void
panic(const char *fmt, ...)
{
	WRITE_LINE("panic", 0);
	abort();
}

/*
 * log: makes lines and says who speaks. Used by every process; log_line.c builds a line on the
 * stack, log_sink.c brings it out without ever waiting. Nothing here allocates, takes a lock or
 * reads the time zone (times are UTC), so a process that is out of memory can still say so.
 *
 * Repeats: of lines from one place (its format string) a worker writes REPEAT_BURST at once and
 * then one every REPEAT_US; the others are counted, and once a second one line says how many there
 * were. What was asked for line by line (log_pairs) and panics are never held back.
 *
 * On failure: a line that cannot be written is dropped and counted; when the log works again, one
 * line says how many are missing.
 */
#include "conf/log.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "conf/log_line.h"
#include "conf/log_sink.h"

#define NAME_SIZE    64
#define REPEAT_BURST 50
#define REPEAT_US    200000
#define REPEAT_SITES 64

static struct {
	enum log_level level;
	enum log_format format;
	bool limit; /* repeats */
	char name[NAME_SIZE];
	struct log_counts counts; /* since log_take() */
	uint64_t missing;	  /* lines lost that no line has told of yet */
	int error;
} log_state = {.level = LOG_LEVEL_INFO, .name = "pgdrove"};

/* A place that writes lines, known by its format. */
struct site {
	const char *fmt;
	int64_t full_us; /* when its allowance is whole again */
	uint64_t held;	 /* lines not written since the last summary */
	char last[160];	 /* the last of them */
};

static struct site sites[REPEAT_SITES];

/* What a line is about. */
struct speech {
	const char *word;
	int severity;
	int error; /* errno to append, or 0 */
	const struct log_pair *pairs;
	bool all; /* none is held back as a repeat */
};

/* --- lines ------------------------------------------------------------------------------------ */

static void
put_string(struct log_line *line, const char *key, const char *text)
{
	log_line_put(line, ",\"", 2);
	log_line_put(line, key, strlen(key));
	log_line_put(line, "\":\"", 3);
	log_line_json(line, text);
	log_line_put(line, "\"", 1);
}

static void
put_number(struct log_line *line, const char *key, int64_t n)
{
	char text[96];

	snprintf(text, sizeof(text), ",\"%s\":%lld", key, (long long)n);
	log_line_put(line, text, strlen(text));
}

static const char *
error_text(int error)
{
	const char *why = strerrordesc_np(error);

	return why == NULL ? "unknown error" : why;
}

/* The text comes last, since it alone may be so long that it must be cut. */
static const char *
build_json(struct log_line *line, const struct speech *s, const char *text)
{
	log_line_put(line, "{\"time\":\"", 9);
	log_line_time(line, 'T');
	log_line_put(line, "Z\"", 2);
	put_string(line, "level", s->word);
	put_number(line, "pid", getpid());
	put_string(line, "process", log_state.name);
	for (const struct log_pair *p = s->pairs; p != NULL && p->key != NULL; p++)
		if (p->text != NULL)
			put_string(line, p->key, p->text);
		else
			put_number(line, p->key, p->number);
	if (s->error != 0)
		put_string(line, "error", error_text(s->error));
	log_line_put(line, ",\"message\":\"", 12);
	log_line_json(line, text);
	return "\"}";
}

static const char *
build_text(struct log_line *line, const struct speech *s, const char *text, size_t *message)
{
	char head[NAME_SIZE + 64];

	log_line_time(line, ' ');
	snprintf(head, sizeof(head), " UTC [%d] ", (int)getpid());
	log_line_put(line, head, strlen(head));
	*message = line->len;
	snprintf(head, sizeof(head), "%s %s: ", log_state.name, s->word);
	log_line_put(line, head, strlen(head));
	log_line_text(line, text);
	if (s->error != 0) {
		log_line_put(line, ": ", 2);
		log_line_text(line, error_text(s->error));
	}
	return "";
}

static void
write_text(const struct speech *s, const char *text)
{
	struct log_line line;
	size_t message = 0, len;
	uint64_t lost;
	const char *tail;

	log_line_init(&line);
	if (log_state.format == LOG_FORMAT_JSON)
		tail = build_json(&line, s, text);
	else
		tail = build_text(&line, s, text, &message);
	len = log_line_end(&line, tail);
	log_sink_write(line.bytes, len, message, s->severity);
	lost = log_sink_lost(&log_state.error);
	log_state.counts.dropped += lost;
	log_state.missing += lost;
}

static const struct speech warning = {.word = "warning", .severity = LOG_WARNING};

static void
tell_missing(void)
{
	char text[160];
	uint64_t n = log_state.missing;

	log_state.missing = 0;
	snprintf(text, sizeof(text), "%llu lines of the log could not be written: %s",
	    (unsigned long long)n,
	    log_state.error == EAGAIN ? "the reader does not read" : error_text(log_state.error));
	write_text(&warning, text);
	if (log_state.missing == 0)
		return;
	log_state.missing = n; /* still not; the telling itself does not count */
	log_state.counts.dropped--;
}

/* --- repeats ---------------------------------------------------------------------------------- */

static int64_t
now_us(void)
{
	struct timespec t = {0, 0};

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void
tell_held(struct site *site)
{
	char text[256];
	uint64_t n = site->held;

	site->held = 0;
	if (n == 0)
		return;
	snprintf(text, sizeof(text), "%llu more lines of this kind, the last: %s",
	    (unsigned long long)n, site->last);
	write_text(&warning, text);
}

/* Is the line held back? Sites share an entry by chance: then the older one is done with. */
static bool
hold(const char *fmt, const char *text)
{
	struct site *site = &sites[((uintptr_t)fmt >> 3) % REPEAT_SITES];
	int64_t now = now_us();

	if (site->fmt != fmt) {
		tell_held(site);
		*site = (struct site){.fmt = fmt};
	}
	if (site->full_us < now)
		site->full_us = now;
	if (site->full_us - now < (int64_t)REPEAT_BURST * REPEAT_US) {
		site->full_us += REPEAT_US;
		return false;
	}
	site->held++;
	log_state.counts.repeats++;
	(void)strlcpy(site->last, text, sizeof(site->last));
	return true;
}

void
log_limit_repeats(void)
{
	log_state.limit = true;
}

void
log_tick(struct log_counts *counts)
{
	size_t i;

	for (i = 0; i < REPEAT_SITES; i++)
		tell_held(&sites[i]);
	if (log_state.missing != 0)
		tell_missing();
	*counts = log_state.counts;
	log_state.counts = (struct log_counts){0, 0};
}

static void __attribute__((format(printf, 2, 0)))
speak(const struct speech *s, const char *fmt, va_list ap)
{
	char text[LOG_LINE_SIZE];

	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		snprintf(text, sizeof(text), "%s", fmt);
	if (log_state.limit && !s->all && s->severity > LOG_CRIT && hold(fmt, text))
		return;
	if (log_state.missing != 0 && !log_state.limit)
		tell_missing(); /* nobody calls log_tick() */
	write_text(s, text);
}

/* Log calls do not disturb errno: callers log first and return it afterwards. */
#define WRITE_LINE(...)                                                                            \
	do {                                                                                       \
		int saved = errno;                                                                 \
		va_list ap;                                                                        \
		va_start(ap, fmt);                                                                 \
		speak(&(struct speech){__VA_ARGS__}, fmt, ap);                                     \
		va_end(ap);                                                                        \
		errno = saved;                                                                     \
	} while (0)

/* --- targets ---------------------------------------------------------------------------------- */

int
log_open(const char *path)
{
	return log_sink_open(path == NULL ? "" : path);
}

int
log_reopen(void)
{
	return log_sink_reopen();
}

void
log_set_format(enum log_format format)
{
	log_state.format = format;
}

void
log_set_syslog(const char *socket_path, const char *ident, enum log_facility facility)
{
	static const int codes[] = {LOG_AUTH, LOG_AUTHPRIV, LOG_DAEMON, LOG_USER, LOG_LOCAL0,
	    LOG_LOCAL1, LOG_LOCAL2, LOG_LOCAL3, LOG_LOCAL4, LOG_LOCAL5, LOG_LOCAL6, LOG_LOCAL7};

	log_sink_syslog(socket_path, ident, LOG_FAC(codes[facility]));
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

void
log_debug(const char *fmt, ...)
{
	if (log_state.level <= LOG_LEVEL_DEBUG)
		WRITE_LINE("debug", LOG_DEBUG, 0, NULL, false);
}

void
log_info(const char *fmt, ...)
{
	if (log_state.level <= LOG_LEVEL_INFO)
		WRITE_LINE("info", LOG_INFO, 0, NULL, false);
}

void
log_pairs(const struct log_pair *pairs, const char *fmt, ...)
{
	if (log_state.level <= LOG_LEVEL_INFO)
		WRITE_LINE("info", LOG_INFO, 0, pairs, true);
}

void
log_pairs_limited(const struct log_pair *pairs, const char *fmt, ...)
{
	if (log_state.level <= LOG_LEVEL_INFO)
		WRITE_LINE("info", LOG_INFO, 0, pairs, false);
}

void
log_warn(const char *fmt, ...)
{
	if (log_state.level <= LOG_LEVEL_WARNING)
		WRITE_LINE("warning", LOG_WARNING, saved, NULL, false);
}

void
log_warnx(const char *fmt, ...)
{
	if (log_state.level <= LOG_LEVEL_WARNING)
		WRITE_LINE("warning", LOG_WARNING, 0, NULL, false);
}

void
fatal(const char *fmt, ...)
{
	WRITE_LINE("fatal", LOG_CRIT, saved, NULL, false);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	WRITE_LINE("fatal", LOG_CRIT, 0, NULL, false);
	exit(1);
}

void
panic(const char *fmt, ...)
{
	WRITE_LINE("panic", LOG_CRIT, 0, NULL, false);
	abort();
}

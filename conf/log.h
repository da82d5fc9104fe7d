/*
 * log: one line per event, one write(2) per line, and no waiting for whoever reads it.
 *
 * Lines go to stderr until log_open() names a file or log_set_syslog() the system's log. Several
 * processes append to the same file: O_APPEND and a single write keep lines whole. An `x` at the
 * end of a name means "no errno text".
 *
 * Three exits: log_warn (go on), fatal (the environment is wrong: exit 1), panic (our bug: abort
 * with a core). Bytes from the network must never reach panic.
 */
#ifndef CONF_LOG_H
#define CONF_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

/* Appends to `path` from now on; NULL or "" is stderr. 0, or -1 with errno and the old target kept.
 */
int log_open(const char *path);

/* Opens the same path again (after rotation). 0, or -1 with errno and the old file kept. */
int log_reopen(void);

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum log_facility {
	LOG_TO_AUTH,
	LOG_TO_AUTHPRIV,
	LOG_TO_DAEMON,
	LOG_TO_USER,
	LOG_TO_LOCAL0,
	LOG_TO_LOCAL7 = LOG_TO_LOCAL0 + 7
};

/* Text, or one JSON object (RFC 8259) a line. */
void log_set_format(enum log_format);

/* Lines also go to the system's log at this socket, and no longer to standard error; NULL: they do
 * not. */
#define LOG_SYSLOG_SOCKET "/dev/log"
void log_set_syslog(const char *socket_path, const char *ident, enum log_facility);

/* From now on lines that one place repeats too fast are counted instead; log_tick() must be called
 * about once a second. */
void log_limit_repeats(void);

struct log_counts {
	uint64_t dropped; /* lines that nobody took at once, or for which there was no room */
	uint64_t repeats; /* lines held back as repeats */
};

/* Sums up what was held back or lost; *counts is what came together since the last call. */
void log_tick(struct log_counts *counts);

/* What a machine wants to know of an event, in a JSON line beside the text: ends with {NULL}. Keys
 * are ours and need no escape. */
struct log_pair {
	const char *key;
	const char *text; /* or NULL: number */
	int64_t number;
};

/* Lines below `level` are dropped. */
void log_set_level(enum log_level level);

/* The word in every line that says who speaks: "master", "worker 2", "steward". Copied. */
void log_set_name(const char *name);

void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* At the level of log_info; never held back as a repeat. */
void log_pairs(const struct log_pair *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, but repeats are held back. */
void log_pairs_limited(const struct log_pair *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fatalx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* An invariant that stays on in release builds. */
#define ENSURE(cond)                                                                               \
	do {                                                                                       \
		if (!(cond))                                                                       \
			panic("%s:%d: %s: broken invariant: %s", __FILE__, __LINE__, __func__,     \
			    #cond);                                                                \
	} while (0)

#endif

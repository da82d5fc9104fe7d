/*
 * log: one line per event, one write(2) per line.
 *
 * Lines go to stderr until log_open() names a file. Several processes append to the same file:
 * O_APPEND and a single write keep lines whole. An `x` at the end of a name means "no errno text".
 *
 * Three exits: log_warn (go on), fatal (the environment is wrong: exit 1), panic (our bug: abort
 * with a core). Bytes from the network must never reach panic.
 */
#ifndef CONF_LOG_H
#define CONF_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

/* Appends to `path` from now on; NULL or "" is stderr. 0, or -1 with errno and the old target kept.
 */
int log_open(const char *path);

/* Opens the same path again (after rotation). 0, or -1 with errno and the old file kept. */
int log_reopen(void);

/* Lines below `level` are dropped. */
void log_set_level(enum log_level level);

/* The word in every line that says who speaks: "master", "worker 2", "steward". Copied. */
void log_set_name(const char *name);

/* True when a debug line would be written: guards arguments that cost something. */
bool log_debugging(void);

void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
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

/*
 * log_sink: where the lines of the log go. Used by log.c only; owns the fds.
 *
 * Nothing here waits for a reader: what a pipe, a terminal, a socket or a full disk does not take
 * at once is lost and counted.
 */
#ifndef CONF_LOG_SINK_H
#define CONF_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "" is standard error. 0, or -1 with errno and the old target kept. */
int log_sink_open(const char *path);
int log_sink_reopen(void);
/* Also to the datagram socket of the system's log; `socket_path` NULL: no more. `facility` is a
 * code of RFC 5424. Whether somebody listens there shows later. */
void log_sink_syslog(const char *socket_path, const char *ident, int facility);
/* A whole line with its newline; `message` is where its own head (time, level) ends: the system's
 * log writes its own. `severity` is RFC 5424's. */
void log_sink_write(const char *line, size_t len, size_t message, int severity);
/* How many lines were lost since the last call, for which reason last (errno). */
uint64_t log_sink_lost(int *error);

#endif

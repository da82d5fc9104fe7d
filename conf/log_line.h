/*
 * log_line: one line of the log being built, on the caller's stack. Used by log.c only. Nothing
 * here allocates. What does not fit is cut, and the cut is marked; an escape is never cut in two.
 */
#ifndef CONF_LOG_LINE_H
#define CONF_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Shorter than PIPE_BUF: a line goes into a pipe as a whole or not at all. */
#define LOG_LINE_SIZE 2048

struct log_line {
	char bytes[LOG_LINE_SIZE];
	size_t len;
	bool cut;
};

void log_line_init(struct log_line *);
void log_line_put(struct log_line *, const char *bytes, size_t n);
/* Text from anywhere with its control characters escaped: it cannot forge a second line or drive a
 * terminal. */
void log_line_text(struct log_line *, const char *text);
/* The same as the inside of a JSON string (RFC 8259, 7); what is not UTF-8 becomes U+FFFD. */
void log_line_json(struct log_line *, const char *text);
/* "2026-01-31 23:59:59.123", UTC; `t` stands between date and time. */
void log_line_time(struct log_line *, char t);
/* Marks a cut, adds `tail` (short) and the newline. Returns the whole length. */
size_t log_line_end(struct log_line *, const char *tail);

#endif

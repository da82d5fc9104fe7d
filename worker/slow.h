/*
 * slow: log_min_duration: a line for each query and each transaction that took long. Called by the
 * relay at ReadyForQuery and by the gate, which sees the texts. Costs nothing while the option is
 * 0.
 */
#ifndef WORKER_SLOW_H
#define WORKER_SLOW_H

#include <stddef.h>
#include <stdint.h>

struct backend;

/* What the backend is about to run, as far as it is known. Copied; not NUL-terminated. */
void slow_note(struct backend *, const char *sql, size_t len);
/* Its answer is whole, and so is the transaction if `status` is 'I': before query_us and xact_us
 * are cleared. */
void slow_ready(struct backend *, char status);

#endif

/*
 * slow: log_min_duration: a line for each query and each transaction that took long. Called by the
 * relay at ReadyForQuery and by the gate, which sees the texts. Costs nothing while the option is
 * 0.
 */
#ifndef WORKER_SLOW_H
#define WORKER_SLOW_H

#include <stddef.h>
#include <stdint.h>

#include "conf/hint.h"
#include "worker/state.h"

struct backend;

/* Copied; not NUL-terminated. */
void slow_keep(struct backend *, const char *sql, size_t len);
/* What the backend is about to run, as far as it is known. */
static inline void
slow_note(struct backend *b, const char *sql, size_t len)
{
	if (unlikely(wk->conf->log_min_duration_us != 0))
		slow_keep(b, sql, len);
}

void slow_look(struct backend *, char status);
/* Its answer is whole, and so is the transaction if `status` is 'I': before query_us and xact_us
 * are cleared. */
static inline void
slow_ready(struct backend *b, char status)
{
	if (unlikely(wk->conf->log_min_duration_us != 0))
		slow_look(b, status);
}

#endif

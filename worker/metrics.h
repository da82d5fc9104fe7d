/*
 * metrics: the statistics over HTTP for Prometheus (text format 0.0.4), served by the steward, who
 * reads the segment only: no worker is asked or woken.
 *
 *   /metrics   every number; worker/metrics_text.c
 *   /healthz   200 while the master beats
 *   /readyz    200 while a worker serves as well
 */
#ifndef WORKER_METRICS_H
#define WORKER_METRICS_H

#include <stddef.h>

struct conf;

/* The steward listens as metrics_listen says. A port that is taken is tried again every second. */
void metrics_start(void);
/* After a reload. */
void metrics_conf_changed(const struct conf *old);
/* The process leaves: another generation's steward takes over. */
void metrics_stop(void);

/* All metrics as text, malloc'd; NULL = no memory. */
char *metrics_text(size_t *len);

#endif

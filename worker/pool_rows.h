/*
 * pool_rows: a pool's rows in the statistics, one for each worker, and times in them: when
 * something began, 0 = it has not.
 */
#ifndef WORKER_POOL_ROWS_H
#define WORKER_POOL_ROWS_H

#include "worker/state.h"

/* The row of worker w in the pool of this index; NULL: there has been no worker w yet. */
static inline struct stats_pool *
pool_row(uint32_t index, uint32_t w)
{
	return w < table_workers_high(wk->table) ? stats_pool(wk->stats, index, w) : NULL;
}

/* Each row of the pool, our own included; `w` is whose it is. */
#define POOL_ROW_FOREACH(row, w, index) for ((w) = 0; ((row) = pool_row(index, w)) != NULL; (w)++)

/* The rows of the other workers. */
#define POOL_ROW_FOREACH_OTHER(row, w, index)                                                      \
	POOL_ROW_FOREACH (row, w, index)                                                           \
		if ((w) != wk->self.worker)

/* Since when the oldest client of that worker waits for this pool. */
static inline int64_t
pool_row_waits(const struct stats_pool *row)
{
	return (int64_t)stats_get(&row->oldest_wait_us);
}

static inline int64_t
pool_earlier(int64_t a, int64_t b)
{
	return b != 0 && (a == 0 || b < a) ? b : a;
}

#endif

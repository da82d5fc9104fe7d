/* table_fixture: a table whose workers, WORKERS of them, have all started. A test that wants
 * another number defines it before. */
#ifndef UNIT_TABLE_FIXTURE_H
#define UNIT_TABLE_FIXTURE_H

#include <stdio.h>

#include "shm/layout.h"
#include "shm/repair.h"

#ifndef WORKERS
#define WORKERS 4
#endif

static struct table *table;
static struct table_self self[WORKERS];

static inline int
table_begin(const struct table_shape *shape)
{
	uint32_t w;

	table = table_create(shape);
	if (table == NULL)
		return -1;
	for (w = 0; w < WORKERS; w++)
		self[w] = (struct table_self){w, table_worker_start(table, w)};
	return 0;
}

/* Whatever a test of the ledger has done, the table is sound after it. */
static inline int
table_end_sound(void **state)
{
	int bad = repair_check(table, stderr);

	(void)state;
	table_destroy(table);
	return bad;
}

#endif

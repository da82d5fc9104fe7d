/* console_show: what SHOW shows. One table, in console_show.c. */
#ifndef WORKER_CONSOLE_SHOW_H
#define WORKER_CONSOLE_SHOW_H

#include <stdbool.h>
#include <stdint.h>

struct gather_kind;
struct sheet;

struct show {
	const char *name; /* NULL ends the table */
	const char *columns;
	void (*fill)(struct sheet *);	  /* NULL: it is gathered */
	const struct gather_kind *gather; /* other workers are asked: console_gather.h */
};

/* NULL: there is no such thing. `name` in any case. */
const struct show *show_find(const char *name);
/* "CLIENTS|CONFIG|...", a static text. */
const char *show_names(void);

/* The pool `from` or the next one that is in use, and its names; false: there are no more. */
bool show_next_name(uint32_t *from, char *db, char *user);
/* ... of this database and user; NULL = of any. */
bool show_next_pool(uint32_t *from, const char *db, const char *user);

/* --- console_stats.c --- */

void show_stats(struct sheet *);
void show_stats_totals(struct sheet *);
void show_stats_averages(struct sheet *);
void show_totals(struct sheet *);

#endif

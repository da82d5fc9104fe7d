/* console_show: what SHOW shows. One table, in console_show.c. */
#ifndef WORKER_CONSOLE_SHOW_H
#define WORKER_CONSOLE_SHOW_H

#include <stdbool.h>

struct sheet;

struct show {
	const char *name; /* NULL ends the table */
	const char *columns;
	void (*fill)(struct sheet *); /* not for those that are gathered */
	bool gathers;		      /* other workers are asked: console_gather.c */
};

/* NULL: there is no such thing. `name` in any case. */
const struct show *show_find(const char *name);
/* "CLIENTS|CONFIG|...", a static text. */
const char *show_names(void);

#endif

/*
 * console_gather: see console_gather.h. Called by console_run.c, and by inbox.c with what others
 * ask and answer.
 *
 * A worker writes what it has as plain records, without formatting, into a memfd: that is a copy of
 * some hundred bytes each, and its loop goes on. The one that asked formats. All processes are the
 * same binary, so the records need no description; what comes is checked for its size all the same.
 */
#include "worker/console_gather.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bsd/sys/queue.h>

#include "conf/log.h"
#include "worker/console.h"
#include "worker/inbox.h"
#include "worker/loop.h"
#include "worker/state.h"

#define PATIENCE_US 1000000

/* Our sockets for this are ours alone, so what comes names a kind that there is, or none. */
static const struct gather_kind *const kinds[] = {&gather_who, &gather_statements, &gather_dns};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct gather {
	uint64_t ticket;
	const struct gather_kind *kind;
	uint32_t missing;
	struct gather_list list;
	struct timer timer;
	LIST_ENTRY(gather) entry;
};

static LIST_HEAD(gather_heads, gather) gathers = LIST_HEAD_INITIALIZER(gathers);

/* --- telling ---------------------------------------------------------------------------------- */

void *
gather_add(struct gather_list *l, size_t record)
{
	void *at;

	if (l->n == l->size) {
		l->size = l->size == 0 ? 64 : 2 * l->size;
		l->v = reallocarray(l->v, l->size, record);
		if (l->v == NULL)
			fatal("console");
	}
	at = (char *)l->v + l->n++ * record;
	memset(at, 0, record);
	return at;
}

void
console_tell(uint32_t to, uint32_t kind, uint64_t ticket)
{
	struct gather_list l = {NULL, 0, 0};
	size_t bytes;
	int fd;

	if (kind >= KINDS)
		return;
	fd = memfd_create("pgdrove.console", MFD_CLOEXEC);
	kinds[kind]->collect(&l);
	bytes = l.n * kinds[kind]->record;
	if (fd == -1 || (bytes > 0 && write(fd, l.v, bytes) != (ssize_t)bytes))
		log_warn("console: cannot tell what is here");
	else if (!inbox_send_fd(to, CTL_TOLD, kind, ticket, fd))
		log_debug("console: who asked is not there any more");
	if (fd != -1)
		close(fd);
	free(l.v);
}

/* --- asking ----------------------------------------------------------------------------------- */

static struct gather *
find(uint64_t ticket)
{
	struct gather *g;

	LIST_FOREACH (g, &gathers, entry)
		if (g->ticket == ticket)
			return g;
	return NULL;
}

static void
over(struct timer *t)
{
	console_gathered(LOOP_CONTAINER(t, struct gather, timer)->ticket);
}

void
gather_start(uint64_t ticket, const struct gather_kind *kind)
{
	struct gather *g = calloc(1, sizeof(*g));
	uint32_t w, k = 0;

	if (g == NULL)
		fatal("console");
	while (kinds[k] != kind)
		ENSURE(++k < KINDS);
	g->ticket = ticket;
	g->kind = kind;
	kind->collect(&g->list);
	LIST_INSERT_HEAD(&gathers, g, entry);
	for (w = 0; w < table_workers_high(wk->table); w++)
		if (w != wk->self.worker && inbox_send(w, CTL_TELL, k, ticket))
			g->missing++;
	timer_set(&g->timer, loop_now() + (g->missing == 0 ? 0 : PATIENCE_US), over);
}

static void
take(struct gather *g, int fd)
{
	const size_t record = g->kind->record;
	struct stat st;
	size_t n, i;
	char *told;

	if (fstat(fd, &st) == -1 || st.st_size % (off_t)record != 0 || st.st_size == 0)
		return;
	n = (size_t)st.st_size / record;
	told = reallocarray(NULL, n, record);
	if (told == NULL)
		fatal("console");
	if (pread(fd, told, (size_t)st.st_size, 0) == (ssize_t)st.st_size)
		for (i = 0; i < n; i++)
			memcpy(gather_add(&g->list, record), told + i * record, record);
	free(told);
}

void
console_told(uint64_t ticket, int fd)
{
	struct gather *g = find(ticket);

	if (g != NULL && fd != -1)
		take(g, fd);
	if (fd != -1)
		close(fd);
	if (g != NULL && --g->missing == 0)
		timer_set(&g->timer, loop_now(), over);
}

void
gather_forget(uint64_t ticket)
{
	struct gather *g = find(ticket);

	if (g == NULL)
		return;
	timer_stop(&g->timer);
	LIST_REMOVE(g, entry);
	free(g->list.v);
	free(g);
}

void
gather_fill(uint64_t ticket, struct sheet *s, const char *show)
{
	struct gather *g = find(ticket);

	if (g != NULL)
		g->kind->fill(&g->list, s, show);
	gather_forget(ticket);
}

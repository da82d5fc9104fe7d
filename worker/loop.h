/*
 * loop: one edge-triggered epoll loop and one timer heap per process.
 *
 * An object that wants events embeds a loop_source; the loop calls its fn with the epoll events. A
 * source that has more to do than its fair turn puts itself on the ready list with loop_again().
 * Memory that events of this turn may still point to is freed with loop_free_later().
 */
#ifndef WORKER_LOOP_H
#define WORKER_LOOP_H

#include <sys/epoll.h>
#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOP_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct loop_source {
	int fd; /* -1 = closed: pending events are dropped */
	bool queued;
	void (*fn)(struct loop_source *, uint32_t events);
	TAILQ_ENTRY(loop_source) again;
};

struct timer {
	int64_t at_us;
	uint32_t pos; /* place in the heap, 0 = not armed */
	void (*fn)(struct timer *);
};

/* Creates the epoll instance; exits on failure. `before_wait` is called once a turn, before
 * sleeping. */
void loop_init(void (*before_wait)(void));
void loop_run(void);
void loop_stop(void);

/* Monotonic microseconds, read once per turn. */
int64_t loop_now(void);
/* Turns so far. */
uint64_t loop_turns(void);

/* Registers source->fd (EPOLLET is not implied). 0 or -1 with errno. */
int loop_add(struct loop_source *, uint32_t events);
int loop_mod(struct loop_source *, uint32_t events);
/* Deregisters and takes the source off the ready list; does not close the fd. */
void loop_del(struct loop_source *);
/* Calls fn(source, 0) again in the next turn, after the events. */
void loop_again(struct loop_source *);

/* The processor fetches the first lines of an object that is wanted soon: they come while a system
 * call runs. What is behind its end does no harm. The loop does so for the source of the next
 * event. */
#define LOOP_LINE  64U /* a line of the cache */
#define LOOP_LINES 6U
static inline void
loop_soon(const void *object)
{
	const char *p = object;
	uint32_t i;

	for (i = 0; i < LOOP_LINES; i++)
		__builtin_prefetch(p + (size_t)i * LOOP_LINE);
}

/* Arms (or re-arms) at an absolute monotonic time. */
void timer_set(struct timer *, int64_t at_us, void (*fn)(struct timer *));
void timer_stop(struct timer *);
static inline bool
timer_armed(const struct timer *t)
{
	return t->pos != 0;
}

/* free(ptr) at the end of this turn. */
void loop_free_later(void *ptr);

#endif

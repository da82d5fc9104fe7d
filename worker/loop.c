/*
 * loop: epoll and timers. See loop.h.
 *
 * The heap is a plain binary heap of pointers, 1-based so that position 0 can mean "not armed".
 * Sleeping lasts until the next event; the next deadline is one, by a timerfd. An idle worker wakes
 * only for its heartbeat. Running out of memory here is fatal: the master starts a successor.
 */
#include "worker/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "conf/log.h"

#define EVENTS_PER_WAIT 256

/*
 * The alarm is set for the next deadline only if it would ring later than that; if it rings too
 * early, it is set anew. A timeout given to epoll_wait would be set and taken back for each sleep.
 *
 * It is never set for sooner than this. A timer that is due before the kernel's next tick makes it
 * set the clock's hardware: in a virtual machine an exit to the hypervisor, which cost a twelfth of
 * a transaction with 4 workers and 64 clients. Whoever has a deadline in the next few milliseconds
 * is served by the turn of the next event; if there is none, that much late.
 */
#define LEAST_US 5000

static struct {
	int epfd;
	bool stop;
	int64_t now_us;
	uint64_t turns;
	void (*before_wait)(void);
	struct loop_source alarm;
	int64_t alarm_us; /* when it rings, 0 = it is not set */
	TAILQ_HEAD(loop_again_head, loop_source) again;
	struct timer **heap;
	uint32_t heap_len, heap_size;
	void **later;
	size_t later_len, later_size;
} loop = {.epfd = -1};

static void
loop_read_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	loop.now_us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
loop_now(void)
{
	return loop.now_us;
}

uint64_t
loop_turns(void)
{
	return loop.turns;
}

void
loop_stop(void)
{
	loop.stop = true;
}

static int
loop_ctl(int op, struct loop_source *s, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};

	return epoll_ctl(loop.epfd, op, s->fd, &ev);
}

int
loop_add(struct loop_source *s, uint32_t events)
{
	return loop_ctl(EPOLL_CTL_ADD, s, events);
}

int
loop_mod(struct loop_source *s, uint32_t events)
{
	return loop_ctl(EPOLL_CTL_MOD, s, events);
}

void
loop_del(struct loop_source *s)
{
	if (s->queued) {
		TAILQ_REMOVE(&loop.again, s, again);
		s->queued = false;
	}
	if (s->fd != -1)
		(void)epoll_ctl(loop.epfd, EPOLL_CTL_DEL, s->fd, NULL);
}

void
loop_again(struct loop_source *s)
{
	if (s->queued)
		return;
	TAILQ_INSERT_TAIL(&loop.again, s, again);
	s->queued = true;
}

/* --- timers ----------------------------------------------------------------------------------- */

static void
heap_place(uint32_t pos, struct timer *t)
{
	loop.heap[pos] = t;
	t->pos = pos;
}

static void
heap_up(uint32_t pos, struct timer *t)
{
	while (pos > 1 && loop.heap[pos / 2]->at_us > t->at_us) {
		heap_place(pos, loop.heap[pos / 2]);
		pos /= 2;
	}
	heap_place(pos, t);
}

static void
heap_down(uint32_t pos, struct timer *t)
{
	for (;;) {
		uint32_t child = pos * 2;
		if (child > loop.heap_len)
			break;
		if (child < loop.heap_len && loop.heap[child + 1]->at_us < loop.heap[child]->at_us)
			child++;
		if (loop.heap[child]->at_us >= t->at_us)
			break;
		heap_place(pos, loop.heap[child]);
		pos = child;
	}
	heap_place(pos, t);
}

static void
heap_grow(void)
{
	uint32_t size = loop.heap_size == 0 ? 64 : loop.heap_size * 2;
	struct timer **heap = reallocarray(loop.heap, size, sizeof(*heap));

	if (heap == NULL)
		fatal("timer heap");
	loop.heap = heap;
	loop.heap_size = size;
}

void
timer_set(struct timer *t, int64_t at_us, void (*fn)(struct timer *))
{
	timer_stop(t);
	t->at_us = at_us;
	t->fn = fn;
	if (loop.heap_len + 2 > loop.heap_size)
		heap_grow();
	heap_up(++loop.heap_len, t);
}

void
timer_stop(struct timer *t)
{
	uint32_t pos = t->pos;
	struct timer *last;

	if (pos == 0)
		return;
	ENSURE(pos <= loop.heap_len && loop.heap[pos] == t);
	last = loop.heap[loop.heap_len--];
	t->pos = 0;
	if (last == t)
		return;
	if (pos > 1 && loop.heap[pos / 2]->at_us > last->at_us)
		heap_up(pos, last);
	else
		heap_down(pos, last);
}

static void
timers_run(void)
{
	while (loop.heap_len > 0 && loop.heap[1]->at_us <= loop.now_us) {
		struct timer *t = loop.heap[1];
		timer_stop(t);
		t->fn(t);
	}
}

static void
alarm_event(struct loop_source *s, uint32_t events)
{
	(void)s;
	(void)events;
	loop.alarm_us = 0;
}

static void
alarm_set(int64_t at)
{
	struct itimerspec t = {.it_value = {at / 1000000, at % 1000000 * 1000}};

	if (timerfd_settime(loop.alarm.fd, TFD_TIMER_ABSTIME, &t, NULL) == -1)
		fatal("timerfd_settime");
	loop.alarm_us = at;
}

/* The timeout for epoll_wait: none, unless there is something to do at once. */
static int
wait_ms(void)
{
	int64_t at, least = loop.now_us + LEAST_US;

	if (!TAILQ_EMPTY(&loop.again))
		return 0;
	if (loop.heap_len == 0)
		return -1;
	at = loop.heap[1]->at_us;
	if (at <= loop.now_us)
		return 0;
	if (at < least)
		at = least;
	if (loop.alarm_us == 0 || loop.alarm_us > at)
		alarm_set(at);
	return -1;
}

/* --- turns -------------------------------------------------------------------------------------
 */

void
loop_free_later(void *ptr)
{
	if (loop.later_len == loop.later_size) {
		size_t size = loop.later_size == 0 ? 64 : loop.later_size * 2;
		void **later = reallocarray(loop.later, size, sizeof(*later));
		if (later == NULL)
			fatal("deferred frees");
		loop.later = later;
		loop.later_size = size;
	}
	loop.later[loop.later_len++] = ptr;
}

static void
free_now(void)
{
	while (loop.later_len > 0)
		free(loop.later[--loop.later_len]);
}

/* Only the sources queued before this call run: those that queue themselves again wait for the next
 * turn. */
static void
again_run(void)
{
	struct loop_source *s, *last = TAILQ_LAST(&loop.again, loop_again_head);

	while (last != NULL && (s = TAILQ_FIRST(&loop.again)) != NULL) {
		TAILQ_REMOVE(&loop.again, s, again);
		s->queued = false;
		s->fn(s, 0);
		if (s == last)
			break;
	}
}

void
loop_init(void (*before_wait)(void))
{
	TAILQ_INIT(&loop.again);
	loop.before_wait = before_wait;
	loop.epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop.epfd == -1)
		fatal("epoll_create1");
	loop.alarm = (struct loop_source){
	    .fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), .fn = alarm_event};
	if (loop.alarm.fd == -1 || loop_add(&loop.alarm, EPOLLIN | EPOLLET) == -1)
		fatal("timerfd");
	loop_read_clock();
}

void
loop_run(void)
{
	struct epoll_event ev[EVENTS_PER_WAIT];
	int i, n;

	while (!loop.stop) {
		loop.before_wait();
		n = epoll_wait(loop.epfd, ev, EVENTS_PER_WAIT, wait_ms());
		if (n == -1 && errno != EINTR)
			fatal("epoll_wait");
		loop_read_clock();
		loop.turns++;
		timers_run();
		for (i = 0; i < n; i++) {
			struct loop_source *s = ev[i].data.ptr;
			if (i + 1 < n)
				loop_soon(ev[i + 1].data.ptr);
			if (s->fd != -1)
				s->fn(s, ev[i].events);
		}
		again_run();
		free_now();
	}
}

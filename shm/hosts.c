/*
 * hosts: see hosts.h. Made by the master, used by workers and steward (worker/target.c).
 */
#include "shm/hosts.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <bsd/stdlib.h>

#define FORGET_US 60000000 /* nobody has tried since its last pause: that was another fault */
#define WORKERS	  80	   /* 64 and the steward, in whole lines */

struct entry {
	_Alignas(64) _Atomic uint64_t name; /* a hash, 0 = unused; never changes afterwards */
	_Atomic int64_t retry_us;	    /* 0 = it works */
	_Atomic int64_t down_us;	    /* the first failure in a row */
	_Atomic int64_t probe_us;	    /* somebody tries it until then */
	_Atomic uint64_t failures;	    /* in a row */
	_Atomic int32_t reason;
	_Atomic uint32_t turn;
	_Atomic uint64_t started;			   /* connections, ever */
	_Atomic uint32_t width;				   /* 0 = no limit */
	_Atomic uint64_t wanted;			   /* a bit for each worker */
	_Alignas(64) _Atomic uint32_t connecting[WORKERS]; /* each written by its worker only */
};

struct hosts {
	uint64_t bytes;
	uint32_t n;
	struct entry entries[];
};

_Static_assert(sizeof(struct entry) == 448, "whole lines");

#define GET(word)	 atomic_load_explicit(&(word), memory_order_relaxed)
#define SET(word, value) atomic_store_explicit(&(word), (value), memory_order_relaxed)

struct hosts *
hosts_create(uint32_t workers, uint32_t entries)
{
	size_t bytes = sizeof(struct hosts) + entries * sizeof(struct entry);
	struct hosts *h;

	if (workers > WORKERS) {
		errno = EINVAL;
		return NULL;
	}
	h = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (h == MAP_FAILED)
		return NULL;
	h->bytes = bytes;
	h->n = entries;
	return h;
}

void
hosts_destroy(struct hosts *h)
{
	(void)munmap(h, h->bytes);
}

void
hosts_worker_start(struct hosts *h, uint32_t worker)
{
	uint32_t i;

	for (i = 0; i < h->n; i++)
		SET(h->entries[i].connecting[worker], 0);
}

/* --- entries ---------------------------------------------------------------------------------- */

/* FNV-1a, never 0. */
static uint64_t
hash(const char *name)
{
	uint64_t x = 14695981039346656037ULL;

	for (; *name != '\0'; name++)
		x = (x ^ (uint8_t)*name) * 1099511628211ULL;
	return x == 0 ? 1 : x;
}

uint32_t
hosts_find(struct hosts *h, const char *name)
{
	uint64_t id = hash(name), seen;
	uint32_t n, i;

	for (n = 0; n < h->n; n++) {
		i = (uint32_t)((id + n) % h->n);
		seen = GET(h->entries[i].name);
		if (seen == id)
			return i;
		/* The rest of an unused entry is zeroes: nothing is to be published with it. */
		if (seen == 0 &&
		    (atomic_compare_exchange_strong(&h->entries[i].name, &seen, id) || seen == id))
			return i;
	}
	return HOSTS_NONE;
}

uint32_t
hosts_turn(struct hosts *h, uint32_t host)
{
	return host == HOSTS_NONE
		   ? 0
		   : atomic_fetch_add_explicit(&h->entries[host].turn, 1, memory_order_relaxed);
}

/* --- failures --------------------------------------------------------------------------------- */

bool
hosts_ready(const struct hosts *h, uint32_t host, int64_t now_us)
{
	const struct entry *e = &h->entries[host];
	int64_t retry;

	if (host == HOSTS_NONE)
		return true;
	retry = GET(e->retry_us);
	return retry == 0 || (retry <= now_us && GET(e->probe_us) <= now_us);
}

bool
hosts_try(struct hosts *h, uint32_t host, int64_t now_us, int64_t probe_us)
{
	struct entry *e = &h->entries[host];
	int64_t until;

	if (!hosts_ready(h, host, now_us))
		return false;
	if (host == HOSTS_NONE || GET(e->retry_us) == 0)
		return true;
	until = GET(e->probe_us);
	return until <= now_us &&
	       atomic_compare_exchange_strong(&e->probe_us, &until, now_us + probe_us);
}

int64_t
hosts_pause_us(uint64_t n, int64_t limit_us)
{
	int64_t pause = (int64_t)HOSTS_PAUSE_US << (n > 16 ? 16 : n == 0 ? 0 : n - 1);

	if (pause > limit_us)
		pause = limit_us;
	return pause - pause / 4 * (int64_t)arc4random_uniform(1024) / 1024;
}

void
hosts_failed(struct hosts *h, uint32_t host, int64_t now_us, int64_t limit_us, int32_t reason)
{
	struct entry *e = &h->entries[host];
	int64_t retry;

	if (host == HOSTS_NONE || limit_us == 0)
		return;
	retry = GET(e->retry_us);
	if (retry != 0 && now_us - retry > FORGET_US)
		SET(e->failures, 0);
	if (retry > now_us || !atomic_compare_exchange_strong(&e->retry_us, &retry,
				  now_us + hosts_pause_us(GET(e->failures) + 1, limit_us)))
		return; /* another attempt that began when it was said to work */
	if (atomic_fetch_add_explicit(&e->failures, 1, memory_order_relaxed) == 0)
		SET(e->down_us, now_us);
	SET(e->reason, reason);
	SET(e->probe_us, 0);
}

static void
widen(struct entry *e)
{
	uint32_t width = GET(e->width);

	/* One that is refused meanwhile must not be lost: it makes the exchange fail. */
	if (width > 0)
		(void)atomic_compare_exchange_strong(
		    &e->width, &width, width * 2 >= HOSTS_WIDE ? 0 : width * 2);
}

void
hosts_answered(struct hosts *h, uint32_t host)
{
	struct entry *e = &h->entries[host];

	if (host == HOSTS_NONE || GET(e->retry_us) == 0)
		return;
	SET(e->failures, 0);
	SET(e->probe_us, 0);
	SET(e->retry_us, 0);
}

void
hosts_worked(struct hosts *h, uint32_t host)
{
	hosts_answered(h, host);
	if (host != HOSTS_NONE)
		widen(&h->entries[host]);
}

void
hosts_full(struct hosts *h, uint32_t host)
{
	hosts_answered(h, host);
	if (host != HOSTS_NONE)
		SET(h->entries[host].width, 1);
}

bool
hosts_down(const struct hosts *h, uint32_t host, struct hosts_pause *pause)
{
	if (host == HOSTS_NONE)
		return false;
	pause->until_us = GET(h->entries[host].retry_us);
	pause->down_us = GET(h->entries[host].down_us);
	pause->reason = GET(h->entries[host].reason);
	return pause->until_us != 0;
}

/* --- connections on their way ----------------------------------------------------------------- */

static void
connecting_add(struct entry *e, uint32_t worker, uint32_t by)
{
	SET(e->connecting[worker], GET(e->connecting[worker]) + by);
}

/* The count comes before the number, and the caller looks at the others' counts after both: of two
 * that begin together, at least one sees the other in its count, and the one that does not sees it
 * in the number later on. Hence no weaker order than the add's own. */
uint64_t
hosts_start(struct hosts *h, uint32_t host, uint32_t worker)
{
	if (host == HOSTS_NONE)
		return 0;
	connecting_add(&h->entries[host], worker, 1);
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_fetch_add(&h->entries[host].started, 1) + 1;
}

void
hosts_end(struct hosts *h, uint32_t host, uint32_t worker)
{
	if (host != HOSTS_NONE)
		connecting_add(&h->entries[host], worker, UINT32_MAX);
}

/* Sequentially consistent, here and in hosts_end's caller: of the count that falls and the word
 * that is said, at least one is seen by the other side. */
void
hosts_want(struct hosts *h, uint32_t host, uint32_t worker)
{
	if (host == HOSTS_NONE || worker >= 64)
		return;
	(void)atomic_fetch_or(&h->entries[host].wanted, 1ULL << worker);
	atomic_thread_fence(memory_order_seq_cst);
}

uint64_t
hosts_wanted(struct hosts *h, uint32_t host)
{
	if (host == HOSTS_NONE)
		return 0;
	atomic_thread_fence(memory_order_seq_cst);
	return GET(h->entries[host].wanted) == 0 ? 0 : atomic_exchange(&h->entries[host].wanted, 0);
}

bool
hosts_latest(const struct hosts *h, uint32_t host, uint64_t number)
{
	return host == HOSTS_NONE || atomic_load(&h->entries[host].started) == number;
}

uint32_t
hosts_connecting_of(const struct hosts *h, uint32_t host, uint32_t worker)
{
	return host == HOSTS_NONE ? 0 : GET(h->entries[host].connecting[worker]);
}

uint32_t
hosts_width(const struct hosts *h, uint32_t host)
{
	uint32_t width = host == HOSTS_NONE ? 0 : GET(h->entries[host].width);

	return width == 0 ? UINT32_MAX : width;
}

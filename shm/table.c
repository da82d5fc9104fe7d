/*
 * table: makes the mapping; worker entries, client rows and welcomes, all without the mutex. See
 * table.h.
 *
 * Client rows are taken by compare-and-swap on their word; the search starts at a place of its own
 * per worker, so that workers rarely meet. The number shown to a client is row + random upper bits,
 * and must match as a whole.
 */
#include "shm/table.h"

#include <errno.h>
#include <stdlib.h>
#include <bsd/stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include <sys/mman.h>

#include "conf/log.h"
#include "shm/layout.h"

static size_t
place(size_t *at, size_t size, size_t n)
{
	size_t off = (*at + LAYOUT_LINE - 1) / LAYOUT_LINE * LAYOUT_LINE;

	*at = off + size * n;
	return off;
}

static size_t
lay_out(struct table *t)
{
	const struct table_shape *s = &t->shape;
	size_t at = sizeof(*t);

	t->workers_off = place(&at, sizeof(struct layout_worker), s->workers);
	t->slots_off = place(&at, sizeof(struct layout_slot), s->slots);
	t->facts_off = place(&at, sizeof(struct ledger_backend), s->slots);
	t->pools_off = place(&at, sizeof(struct layout_pool), s->pools);
	t->attach_off = place(&at, sizeof(_Atomic uint32_t), (size_t)s->pools * s->workers);
	t->clients_off = place(&at, sizeof(struct layout_client), s->clients);
	return at;
}

struct table *
table_create(const struct table_shape *shape)
{
	struct table plan = {.shape = *shape}, *t;
	uint32_t i;

	if (lock_selftest() == -1) {
		errno = ENOTRECOVERABLE;
		return NULL;
	}
	plan.bytes = lay_out(&plan);
	t = mmap(NULL, plan.bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t == MAP_FAILED)
		return NULL;
	*t = plan;
	for (i = 0; i < shape->slots; i++)
		layout_slot(t, i)->next = i + 1 < shape->slots ? i + 1 : TABLE_NONE;
	t->free_head = shape->slots > 0 ? 0 : TABLE_NONE;
	if (lock_init(&t->lock) == 0)
		return t;
	(void)munmap(t, plan.bytes);
	return NULL;
}

void
table_destroy(struct table *t)
{
	(void)munmap(t, t->bytes);
}

const struct table_shape *
table_shape(const struct table *t)
{
	return &t->shape;
}

/* --- workers
 * -------------------------------------------------------------------------------------------- */

uint32_t
table_worker_start(struct table *t, uint32_t w)
{
	struct layout_worker *lw = layout_worker(t, w);

	if (++lw->last == 0)
		lw->last = 1;
	atomic_store_explicit(
	    &lw->live, lw->last, memory_order_release); /* pairs with table_worker_live */
	return lw->last;
}

void
table_worker_gone(struct table *t, uint32_t w)
{
	atomic_store_explicit(&layout_worker(t, w)->live, 0, memory_order_release);
}

uint32_t
table_worker_live(const struct table *t, uint32_t w)
{
	return w < t->shape.workers
		   ? atomic_load_explicit(&layout_worker(t, w)->live, memory_order_acquire)
		   : 0;
}

/* --- clients
 * ---------------------------------------------------------------------------------------------- */

#define CLIENT_TAKEN 1

static uint32_t
row_bits(const struct table *t)
{
	uint32_t bits = 1;

	while ((1U << bits) < t->shape.clients + 1)
		bits++;
	return bits;
}

static void
row_fill(struct table *t, uint32_t row, int32_t *pid, uint8_t *key)
{
	struct layout_client *c = layout_client(t, row);

	c->pid = (int32_t)(((arc4random() << row_bits(t)) | (row + 1)) & INT32_MAX);
	arc4random_buf(c->key, sizeof(c->key));
	*pid = c->pid;
	memcpy(key, c->key, sizeof(c->key));
}

uint32_t
table_client_take(struct table *t, struct table_self self, int32_t *pid, uint8_t *key)
{
	static uint32_t hint;
	uint32_t n = t->shape.clients, i, row;
	uint64_t mine = slot_pack((enum slot_state)CLIENT_TAKEN, self.worker, self.incarnation);

	if (hint == 0)
		hint = (uint32_t)((uint64_t)n * self.worker / (t->shape.workers + 1));
	for (i = 0; i < n; i++) {
		uint64_t nobody = 0;
		row = (hint + i) % n;
		if (atomic_load_explicit(&layout_client(t, row)->word, memory_order_relaxed) != 0)
			continue;
		if (!atomic_compare_exchange_strong_explicit(&layout_client(t, row)->word, &nobody,
			mine, memory_order_acq_rel, memory_order_relaxed))
			continue;
		row_fill(t, row, pid, key);
		hint = row + 1;
		return row;
	}
	return TABLE_NONE;
}

void
table_client_key(const struct table *t, uint32_t row, uint8_t key[TABLE_CLIENT_KEY])
{
	memcpy(key, layout_client(t, row)->key, TABLE_CLIENT_KEY);
}

void
table_client_give(struct table *t, struct table_self self, uint32_t row)
{
	struct layout_client *c = layout_client(t, row);
	uint64_t mine = slot_pack((enum slot_state)CLIENT_TAKEN, self.worker, self.incarnation);

	ENSURE(atomic_load_explicit(&c->word, memory_order_relaxed) == mine);
	memset(c->key, 0, sizeof(c->key));
	c->pid = 0;
	atomic_store_explicit(&c->word, 0, memory_order_release); /* pairs with the swap in take */
}

bool
table_client_find(const struct table *t, int32_t pid, const uint8_t *key, size_t len,
    struct table_self *owner, uint32_t *row)
{
	uint32_t r = ((uint32_t)pid & ((1U << row_bits(t)) - 1)) - 1;
	struct layout_client *c;
	uint64_t word;

	if (pid <= 0 || r >= t->shape.clients || (len != 4 && len != TABLE_CLIENT_KEY))
		return false;
	c = layout_client(t, r);
	word = atomic_load_explicit(&c->word, memory_order_acquire);
	if (word == 0 || c->pid != pid || CRYPTO_memcmp(c->key, key, len) != 0)
		return false;
	*owner = (struct table_self){slot_owner(word), slot_incarnation(word)};
	*row = r;
	return table_worker_live(t, owner->worker) == owner->incarnation;
}

uint32_t
table_client_sweep(struct table *t)
{
	uint32_t i, n = 0;

	for (i = 0; i < t->shape.clients; i++) {
		struct layout_client *c = layout_client(t, i);
		uint64_t word = atomic_load_explicit(&c->word, memory_order_acquire);
		if (word == 0 || table_worker_live(t, slot_owner(word)) == slot_incarnation(word))
			continue;
		if (atomic_compare_exchange_strong(&c->word, &word, 0))
			n++;
	}
	return n;
}

/* --- welcomes
 * --------------------------------------------------------------------------------------------------
 * Two buffers per pool and one word that says which is valid. A writer fills the other one and then
 * publishes; killed in between, nothing has changed. The contents are the same for every writer of
 * a pool in practice.
 */

int
table_welcome_put(struct table *t, uint32_t pool, const void *bytes, size_t len)
{
	struct layout_pool *p = layout_pool(t, pool);
	uint32_t now = atomic_load_explicit(&p->welcome, memory_order_acquire),
		 next = now == 1 ? 2 : 1;
	struct layout_welcome *w = &p->welcomes[next - 1];

	if (len > TABLE_WELCOME_BYTES || len == 0)
		return -1;
	if (now != 0 && p->welcomes[now - 1].len == len &&
	    memcmp(p->welcomes[now - 1].bytes, bytes, len) == 0)
		return 0;
	w->len = (uint32_t)len;
	memcpy(w->bytes, bytes, len);
	atomic_store_explicit(&p->welcome, next, memory_order_release); /* pairs with welcome_get */
	return 0;
}

size_t
table_welcome_get(const struct table *t, uint32_t pool, void *buf)
{
	const struct layout_pool *p = layout_pool(t, pool);
	uint32_t now = atomic_load_explicit(&p->welcome, memory_order_acquire);
	size_t len;

	if (now == 0)
		return 0;
	len = p->welcomes[now - 1].len;
	if (len > TABLE_WELCOME_BYTES)
		return 0;
	memcpy(buf, p->welcomes[now - 1].bytes, len);
	return len;
}

void
table_welcome_drop(struct table *t, uint32_t pool)
{
	atomic_store_explicit(&layout_pool(t, pool)->welcome, 0, memory_order_release);
}

/*
 * table: see table.h. Makes the mapping; worker entries, client rows and welcomes. Of all this only
 * storing a welcome takes the mutex.
 *
 * Client rows. The words are the truth: a row is taken by compare-and-swap of its word from free
 * (or from an owner who is dead) to TAKING, and LIVE is stored when number and key stand. The busy
 * bits are hints that save the search: a taker sets a row's bit before it swaps the word, a giver
 * clears the bit after it freed the word, and each then looks whether bit and word still agree,
 * since the other may have been between; as both steps are sequentially consistent, at least one of
 * the two sees the other. So without deaths a free row's bit is clear as soon as its giver is done.
 * A death in between leaves a bit that lies. Set over a free row: the sweep clears it. Clear over a
 * taken one: whoever tries that row finds the word taken and leaves the bit set.
 *
 * Rows are reused as late as a chunk allows and searched for from where the worker's last one was
 * taken; workers begin in different chunks, so that they rarely meet.
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

#define ROWS_MAX (1U << 24) /* leaves at least 6 random bits in the number shown to a client */

/* Its database, its user, and as many again for clients whose names are no pool's. */
#define GROUPS_PER_POOL 4

/* --- making --- */

static uint64_t
place(uint64_t *at, uint64_t size, uint64_t n)
{
	uint64_t off = (*at + LAYOUT_LINE - 1) / LAYOUT_LINE * LAYOUT_LINE;

	*at = off + size * n;
	return off;
}

static uint32_t
bits_for(uint32_t n)
{
	uint32_t bits = 1;

	while ((1U << bits) <= n)
		bits++;
	return bits;
}

static void
lay_out(struct table *t)
{
	const struct table_shape *s = &t->shape;
	uint64_t at = sizeof(*t);

	t->groups = s->pools * GROUPS_PER_POOL;
	t->buckets = 1U << bits_for(s->pools);
	t->group_buckets = 1U << bits_for(t->groups);
	t->row_bits = bits_for(s->clients);
	t->workers_off = place(&at, sizeof(struct layout_worker), s->workers);
	t->slots_off = place(&at, sizeof(struct layout_slot), s->slots);
	t->facts_off = place(&at, sizeof(struct layout_facts), s->slots);
	t->pools_off = place(&at, sizeof(struct layout_pool), s->pools);
	t->attach_off = place(&at, sizeof(_Atomic uint64_t), (uint64_t)s->pools * s->workers);
	t->buckets_off = place(&at, sizeof(uint32_t), t->buckets);
	t->groups_off = place(&at, sizeof(struct layout_group), t->groups);
	t->members_off = place(&at, sizeof(_Atomic uint64_t), (uint64_t)t->groups * s->workers);
	t->group_buckets_off = place(&at, sizeof(uint32_t), t->group_buckets);
	t->welcome_off = place(&at, sizeof(struct layout_welcome), s->pools);
	t->busy_off = place(&at, sizeof(_Atomic uint64_t), layout_chunks(t));
	t->words_off = place(&at, sizeof(_Atomic uint64_t), s->clients);
	t->clients_off = place(&at, sizeof(struct layout_client), s->clients);
	t->bytes = at;
}

static bool
shape_possible(const struct table_shape *s)
{
	return s->workers > 0 && s->workers < 1U << 24 && s->slots > 0 && s->slots < 1U << 24 &&
	       s->pools > 0 && s->pools < 1U << 20 && s->clients > 0 && s->clients <= ROWS_MAX;
}

struct table *
table_create(const struct table_shape *shape)
{
	struct table plan = {.shape = *shape}, *t;

	if (!shape_possible(shape)) {
		errno = EINVAL;
		return NULL;
	}
	if (lock_selftest() == -1) {
		errno = ENOTRECOVERABLE;
		return NULL;
	}
	lay_out(&plan);
	arc4random_buf(&plan.hash_seed, sizeof(plan.hash_seed));
	t = mmap(NULL, plan.bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t == MAP_FAILED)
		return NULL;
	*t = plan;
	if (lock_init(&t->lock) == 0)
		return t;
	table_destroy(t);
	return NULL;
}

void
table_destroy(struct table *t)
{
	int saved = errno;

	ENSURE(munmap(t, t->bytes) == 0);
	errno = saved;
}

const struct table_shape *
table_shape(const struct table *t)
{
	return &t->shape;
}

/* --- workers --- */

uint32_t
table_worker_start(struct table *t, uint32_t w)
{
	struct layout_worker *lw = layout_worker(t, w);
	uint64_t first = (uint64_t)layout_chunks(t) * w / t->shape.workers * LAYOUT_CHUNK;

	if (++lw->last == 0)
		lw->last = 1;
	if (w + 1 < t->shape.workers && w >= table_workers_high(t))
		atomic_store_explicit(&t->workers_high, w + 1, memory_order_relaxed);
	atomic_store_explicit(&lw->row, (uint32_t)first, memory_order_relaxed);
	/* pairs with table_worker_live */
	atomic_store_explicit(&lw->live, lw->last, memory_order_release);
	return lw->last;
}

void
table_worker_gone(struct table *t, uint32_t w)
{
	/* pairs with table_worker_live */
	atomic_store_explicit(&layout_worker(t, w)->live, 0, memory_order_release);
}

uint32_t
table_workers_high(const struct table *t)
{
	/* Who sees it late does not see the rows of a worker that has just come. */
	return atomic_load_explicit(&t->workers_high, memory_order_relaxed);
}

uint32_t
table_worker_live(const struct table *t, uint32_t w)
{
	if (w >= t->shape.workers)
		return 0;
	/* pairs with table_worker_start and table_worker_gone */
	return atomic_load_explicit(&layout_worker(t, w)->live, memory_order_acquire);
}

/* --- clients: rows --- */

static uint64_t
row_word(const struct table *t, uint32_t row)
{
	/* pairs with row_publish and row_free: number and key are those of the word */
	return atomic_load_explicit(layout_client_word(t, row), memory_order_acquire);
}

static uint64_t
row_pack(enum layout_row_state state, struct table_self self)
{
	return slot_pack((enum slot_state)state, self.worker, self.incarnation);
}

static bool
row_ownerless(const struct table *t, uint64_t word)
{
	return word == 0 || table_worker_live(t, slot_owner(word)) != slot_incarnation(word);
}

static uint64_t
row_bit(uint32_t row)
{
	return 1ULL << (row % LAYOUT_CHUNK);
}

/* The word was seen free: so says the bit, unless a taker was between. */
static void
row_unmark(struct table *t, uint32_t row)
{
	_Atomic uint64_t *busy = layout_busy(t, row / LAYOUT_CHUNK);

	/* sequentially consistent, against row_claim: see the head of this file */
	atomic_fetch_and(busy, ~row_bit(row));
	if (atomic_load(layout_client_word(t, row)) != 0)
		atomic_fetch_or(busy, row_bit(row));
}

/* The row's bit is set. True: the row is ours, TAKING. */
static bool
row_claim(struct table *t, struct table_self self, uint32_t row)
{
	_Atomic uint64_t *busy = layout_busy(t, row / LAYOUT_CHUNK);
	uint64_t word = row_word(t, row);

	if (!row_ownerless(t, word))
		return false;
	/* sequentially consistent, against row_unmark: see the head of this file */
	if (!atomic_compare_exchange_strong(
		layout_client_word(t, row), &word, row_pack(ROW_TAKING, self)))
		return false;
	if ((atomic_load(busy) & row_bit(row)) == 0)
		atomic_fetch_or(busy, row_bit(row));
	return true;
}

/* The bits of a chunk that stand for rows: the last chunk may be short. */
static uint64_t
chunk_rows(const struct table *t, uint32_t chunk)
{
	uint32_t rows = t->shape.clients - chunk * LAYOUT_CHUNK;

	return rows < LAYOUT_CHUNK ? (1ULL << rows) - 1 : UINT64_MAX;
}

/* Those of a chunk's rows whose bit is clear. */
static uint64_t
chunk_free(const struct table *t, uint32_t chunk)
{
	return ~atomic_load_explicit(layout_busy(t, chunk), memory_order_relaxed) &
	       chunk_rows(t, chunk);
}

/* Takes a row of the chunk, the first from bit `from` on if there is one; TABLE_NONE if all are
 * busy. Each turn sets a bit or sees one that another has set. */
static uint32_t
chunk_take(struct table *t, struct table_self self, uint32_t chunk, uint32_t from)
{
	uint64_t free, bit;
	uint32_t turn, row;

	for (turn = 0; turn < 2 * LAYOUT_CHUNK && (free = chunk_free(t, chunk)) != 0; turn++) {
		if ((free & UINT64_MAX << from) != 0)
			free &= UINT64_MAX << from;
		row = chunk * LAYOUT_CHUNK + (uint32_t)__builtin_ctzll(free);
		bit = row_bit(row);
		if ((atomic_fetch_or(layout_busy(t, chunk), bit) & bit) == 0 &&
		    row_claim(t, self, row))
			return row;
	}
	return TABLE_NONE;
}

static uint32_t
rows_search(struct table *t, struct table_self self)
{
	_Atomic uint32_t *hint = &layout_worker(t, self.worker)->row;
	uint32_t start = atomic_load_explicit(hint, memory_order_relaxed) % t->shape.clients;
	uint32_t n = layout_chunks(t), chunk = start / LAYOUT_CHUNK, from = start % LAYOUT_CHUNK;
	uint32_t i, row = TABLE_NONE;

	for (i = 0; i < n && row == TABLE_NONE; i++) {
		if (chunk_free(t, chunk) != 0)
			row = chunk_take(t, self, chunk, from);
		chunk = chunk + 1 < n ? chunk + 1 : 0;
		from = 0;
	}
	if (row == TABLE_NONE)
		return row;
	/* stay in the chunk: its last row's successor is its first */
	from = (row + 1) % LAYOUT_CHUNK;
	atomic_store_explicit(hint, row - row % LAYOUT_CHUNK + from, memory_order_relaxed);
	return row;
}

static void
row_publish(struct table *t, struct table_self self, uint32_t row)
{
	/* pairs with row_word */
	atomic_store_explicit(
	    layout_client_word(t, row), row_pack(ROW_LIVE, self), memory_order_release);
}

uint32_t
layout_client_take(
    struct table *t, struct table_self self, const struct layout_secret *secret, int32_t *pid)
{
	uint32_t row = rows_search(t, self);
	struct layout_client *c;

	if (row == TABLE_NONE)
		return row;
	c = layout_client(t, row);
	/* pairs with the fence in table_client_find: who sees a new key sees TAKING */
	atomic_thread_fence(memory_order_release);
	*pid = (int32_t)((secret->number << t->row_bits | (row + 1)) & INT32_MAX);
	atomic_store_explicit(&c->pid, *pid, memory_order_relaxed);
	layout_put(c->key, secret->key, sizeof(secret->key));
	row_publish(t, self, row);
	return row;
}

/* --- clients: what others call --- */

uint32_t
table_client_take(struct table *t, struct table_self self, int32_t *pid, uint8_t *key)
{
	struct layout_secret secret;
	uint32_t row;

	arc4random_buf(&secret, sizeof(secret));
	row = layout_client_take(t, self, &secret, pid);
	if (row != TABLE_NONE)
		memcpy(key, secret.key, sizeof(secret.key));
	explicit_bzero(&secret, sizeof(secret));
	return row;
}

/* The row that a number names; may be none of the table's. */
static uint32_t
row_named(const struct table *t, int32_t pid)
{
	return ((uint32_t)pid & ((1U << t->row_bits) - 1)) - 1;
}

uint32_t
table_client_adopt(
    struct table *t, struct table_self self, int32_t pid, const uint8_t key[TABLE_CLIENT_KEY])
{
	uint32_t row = row_named(t, pid);
	struct layout_client *c;

	if (row >= t->shape.clients ||
	    (atomic_fetch_or(layout_busy(t, row / LAYOUT_CHUNK), row_bit(row)) & row_bit(row)) !=
		0 ||
	    !row_claim(t, self, row)) {
		row = rows_search(t, self);
		if (row == TABLE_NONE)
			return row;
		/* before the row is published; who looks for the client comes later */
		atomic_store_explicit(&t->strays, 1, memory_order_relaxed);
	}
	c = layout_client(t, row);
	/* as in layout_client_take */
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&c->pid, pid, memory_order_relaxed);
	layout_put(c->key, key, TABLE_CLIENT_KEY);
	row_publish(t, self, row);
	return row;
}

void
table_client_key(const struct table *t, uint32_t row, uint8_t key[TABLE_CLIENT_KEY])
{
	layout_get(key, layout_client(t, row)->key, TABLE_CLIENT_KEY);
}

void
table_client_give(struct table *t, struct table_self self, uint32_t row)
{
	static const uint8_t nothing[TABLE_CLIENT_KEY];
	struct layout_client *c = layout_client(t, row);

	ENSURE(row < t->shape.clients && row_word(t, row) == row_pack(ROW_LIVE, self));
	atomic_store_explicit(
	    layout_client_word(t, row), row_pack(ROW_TAKING, self), memory_order_relaxed);
	/* pairs with the fence in table_client_find: who sees a wiped key sees TAKING */
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&c->pid, 0, memory_order_relaxed);
	layout_put(c->key, nothing, sizeof(nothing));
	/* sequentially consistent, against row_claim: see the head of this file */
	atomic_store(layout_client_word(t, row), 0);
	row_unmark(t, row);
}

static bool
row_matches(const struct table *t, uint32_t r, int32_t pid, const uint8_t *key, size_t len,
    struct table_self *owner)
{
	uint8_t theirs[TABLE_CLIENT_KEY];
	uint64_t word;
	bool same;

	word = row_word(t, r);
	if (slot_state(word) != (enum slot_state)ROW_LIVE || row_ownerless(t, word))
		return false;
	layout_get(theirs, layout_client(t, r)->key, sizeof(theirs));
	same = CRYPTO_memcmp(theirs, key, len) == 0;
	explicit_bzero(theirs, sizeof(theirs));
	same &= atomic_load_explicit(&layout_client(t, r)->pid, memory_order_relaxed) == pid;
	/* Pairs with the fences in take and give. If the row has been given and taken again by the
	 * same worker meanwhile, then what was compared is old, new, or a mixture that equals
	 * neither client's: the key of another client cannot match. */
	atomic_thread_fence(memory_order_acquire);
	if (!same || row_word(t, r) != word)
		return false;
	*owner = (struct table_self){slot_owner(word), slot_incarnation(word)};
	return true;
}

/* Clients that were adopted may be in any row: a look at each number. */
static bool
find_stray(const struct table *t, int32_t pid, const uint8_t *key, size_t len,
    struct table_self *owner, uint32_t *row)
{
	uint32_t chunk, r;
	uint64_t busy;

	for (chunk = 0; chunk < layout_chunks(t); chunk++) {
		busy = ~chunk_free(t, chunk) & chunk_rows(t, chunk);
		for (; busy != 0; busy &= busy - 1) {
			r = chunk * LAYOUT_CHUNK + (uint32_t)__builtin_ctzll(busy);
			if (atomic_load_explicit(&layout_client(t, r)->pid, memory_order_relaxed) ==
				pid &&
			    row_matches(t, r, pid, key, len, owner)) {
				*row = r;
				return true;
			}
		}
	}
	return false;
}

bool
table_client_find(const struct table *t, int32_t pid, const uint8_t *key, size_t len,
    struct table_self *owner, uint32_t *row)
{
	uint32_t r = row_named(t, pid);

	if (pid <= 0 || (len != 4 && len != TABLE_CLIENT_KEY))
		return false;
	*row = r;
	if (r < t->shape.clients && row_matches(t, r, pid, key, len, owner))
		return true;
	return atomic_load_explicit(&t->strays, memory_order_relaxed) != 0 &&
	       find_stray(t, pid, key, len, owner, row);
}

/* Makes word and bit of a row agree. True if it was a dead worker's. */
static bool
row_sweep(struct table *t, uint32_t row)
{
	uint64_t word = row_word(t, row);
	bool freed = false;

	if (!row_ownerless(t, word))
		return false;
	if (word != 0)
		freed = atomic_compare_exchange_strong(layout_client_word(t, row), &word, 0);
	if (word == 0 || freed)
		row_unmark(t, row);
	return freed;
}

uint32_t
table_client_sweep(struct table *t)
{
	uint32_t chunk, n = 0;
	uint64_t busy;

	for (chunk = 0; chunk < layout_chunks(t); chunk++) {
		busy = atomic_load_explicit(layout_busy(t, chunk), memory_order_relaxed) &
		       chunk_rows(t, chunk);
		for (; busy != 0; busy &= busy - 1)
			n += row_sweep(t, chunk * LAYOUT_CHUNK + (uint32_t)__builtin_ctzll(busy));
	}
	return n;
}

/* --- welcomes: layout.h says how they are stored --- */

static uint64_t
welcome_head(uint64_t version, size_t len, uint32_t buffer)
{
	return version << 24 | (uint64_t)len << 8 | buffer;
}

static size_t
welcome_len(uint64_t head)
{
	return head >> 8 & 0xffff;
}

static const _Atomic uint64_t *
welcome_words(const struct layout_welcome *w, uint64_t head)
{
	return w->words[head & 1];
}

/* A copy that was not overwritten meanwhile; false if it was. */
static bool
welcome_copy(const struct layout_welcome *w, void *buf, size_t *len)
{
	/* pairs with the swap in welcome_set */
	uint64_t head = atomic_load_explicit(&w->head, memory_order_acquire);

	*len = welcome_len(head);
	layout_get(buf, welcome_words(w, head), *len);
	/* pairs with the fence in table_welcome_put */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&w->head, memory_order_relaxed) == head;
}

/* Publishes length and buffer under the next version; a drop may come between. */
static void
welcome_set(struct layout_welcome *w, size_t len, uint32_t buffer)
{
	uint64_t head = atomic_load_explicit(&w->head, memory_order_relaxed);

	/* pairs with the load in welcome_copy */
	while (!atomic_compare_exchange_weak_explicit(&w->head, &head,
	    welcome_head((head >> 24) + 1, len, buffer), memory_order_release,
	    memory_order_relaxed))
		;
}

static bool
welcome_is(const struct layout_welcome *w, const void *bytes, size_t len)
{
	uint8_t have[TABLE_WELCOME_BYTES];
	size_t n;

	return welcome_copy(w, have, &n) && n == len && memcmp(have, bytes, len) == 0;
}

int
table_welcome_put(struct table *t, uint32_t pool, const void *bytes, size_t len)
{
	struct layout_welcome *w = layout_welcome(t, pool);
	uint32_t other;

	if (len == 0 || len > TABLE_WELCOME_BYTES) {
		errno = EMSGSIZE;
		return -1;
	}
	if (welcome_is(w, bytes, len))
		return 0;
	if (!layout_lock(t)) {
		errno = EBUSY;
		return -1;
	}
	other = (atomic_load_explicit(&w->head, memory_order_relaxed) & 1) == 0;
	/* pairs with the fence in welcome_copy: who sees a new byte sees that the head went on */
	atomic_thread_fence(memory_order_release);
	layout_put(w->words[other], bytes, len);
	welcome_set(w, len, other);
	layout_unlock(t);
	return 0;
}

size_t
table_welcome_get(const struct table *t, uint32_t pool, void *buf)
{
	const struct layout_welcome *w = layout_welcome(t, pool);
	size_t len;
	int i;

	for (i = 0; i < LAYOUT_RETRIES; i++)
		if (welcome_copy(w, buf, &len))
			return len;
	return 0;
}

void
table_welcome_drop(struct table *t, uint32_t pool)
{
	struct layout_welcome *w = layout_welcome(t, pool);

	welcome_set(w, 0, atomic_load_explicit(&w->head, memory_order_relaxed) & 1);
}

/*
 * buf: see buf.h. Called by conn, tls and who reads messages. No memory for a buffer is fatal: the
 * master starts a successor. Passwords and other people's rows pass through them: core dumps hold
 * none.
 */
#include "worker/buf.h"

#include <stdlib.h>
#include <string.h>

#include "conf/log.h"
#include "conf/strongbox.h"

#define BUF_KEEP 128 /* free buffers kept for reuse */

static struct {
	uint32_t cap;
	uint32_t used, nfree;
	struct buf *free;
} pool;

void
buf_init(size_t cap)
{
	pool.cap = (uint32_t)cap;
}

uint32_t
buf_cap(void)
{
	return pool.cap;
}

uint32_t
buf_used(void)
{
	return pool.used;
}

struct buf *
buf_get(void)
{
	struct buf *b = pool.free;

	if (b != NULL) {
		pool.free = b->next;
		pool.nfree--;
	} else {
		b = strongbox_take(sizeof(*b) + pool.cap);
		b->data = (uint8_t *)(b + 1);
	}
	b->next = NULL;
	b->head = b->fwd = b->tail = 0;
	pool.used++;
	return b;
}

void
buf_put(struct buf *b)
{
	if (b->release != NULL) {
		b->release(b->owner);
		free(b);
		return;
	}
	pool.used--;
	if (pool.nfree >= BUF_KEEP) {
		strongbox_put(b);
		return;
	}
	b->next = pool.free;
	pool.free = b;
	pool.nfree++;
}

uint32_t
buf_room(const struct buf *b)
{
	return b->release != NULL ? 0 : pool.cap - b->tail;
}

void
chain_put(struct buf **tail, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (*tail != NULL && (*tail)->next != NULL)
		tail = &(*tail)->next;
	while (n > 0) {
		size_t part;
		if (*tail != NULL && buf_room(*tail) == 0)
			tail = &(*tail)->next;
		if (*tail == NULL)
			*tail = buf_get();
		part = buf_room(*tail);
		if (part > n)
			part = n;
		memcpy((*tail)->data + (*tail)->tail, p, part);
		(*tail)->tail += (uint32_t)part;
		p += part;
		n -= part;
	}
}

void
chain_put_from(
    struct buf **tail, const void *bytes, size_t n, void (*release)(void *owner), void *owner)
{
	struct buf *b = calloc(1, sizeof(*b));

	if (b == NULL)
		fatal("a long message");
	b->data = (uint8_t *)(uintptr_t)bytes; /* nobody writes behind its tail */
	b->tail = (uint32_t)n;
	b->release = release;
	b->owner = owner;
	while (*tail != NULL)
		tail = &(*tail)->next;
	*tail = b;
}

size_t
chain_drop(struct buf **chain, size_t n)
{
	while (*chain != NULL) {
		struct buf *b = *chain;
		size_t have = b->tail - b->head;
		if (n < have) {
			b->head += (uint32_t)n;
			return 0;
		}
		n -= have;
		*chain = b->next;
		buf_put(b);
	}
	return n;
}

void
chain_free(struct buf **chain)
{
	while (*chain != NULL) {
		struct buf *next = (*chain)->next;
		buf_put(*chain);
		*chain = next;
	}
}

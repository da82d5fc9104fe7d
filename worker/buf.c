/*
 * buf: see buf.h. Called by conn, tls and who reads messages. No memory for a buffer is fatal: the
 * master starts a successor. Passwords and other people's rows pass through them: core dumps hold
 * none.
 */
#include "worker/buf.h"

#include <stdlib.h>
#include <string.h>

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
	}
	b->next = NULL;
	b->head = b->fwd = b->tail = 0;
	pool.used++;
	return b;
}

void
buf_put(struct buf *b)
{
	pool.used--;
	if (pool.nfree >= BUF_KEEP) {
		strongbox_put(b);
		return;
	}
	b->next = pool.free;
	pool.free = b;
	pool.nfree++;
}

void
chain_put(struct buf **tail, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (*tail != NULL && (*tail)->next != NULL)
		tail = &(*tail)->next;
	while (n > 0) {
		size_t part;
		if (*tail != NULL && (*tail)->tail == pool.cap)
			tail = &(*tail)->next;
		if (*tail == NULL)
			*tail = buf_get();
		part = pool.cap - (*tail)->tail;
		if (part > n)
			part = n;
		memcpy((*tail)->data + (*tail)->tail, p, part);
		(*tail)->tail += (uint32_t)part;
		p += part;
		n -= part;
	}
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

/*
 * buf: the buffers that bytes in flight stand in, all of one size, kept for reuse; and chains of
 * them, in which memory of any size and of somebody else's may hang too: it is not copied.
 */
#ifndef WORKER_BUF_H
#define WORKER_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	struct buf *next;
	uint32_t head, fwd, tail;
	uint8_t *data; /* behind this, or */
	/* ... in memory that is `owner`'s, let go by this when it was sent; NULL = behind this */
	void (*release)(void *owner);
	void *owner;
};

/* Buffer capacity for this process, set once. */
void buf_init(size_t cap);
uint32_t buf_cap(void);
struct buf *buf_get(void);
void buf_put(struct buf *);
/* Buffers attached somewhere. */
uint32_t buf_used(void);

/* Appends bytes to a chain, with new buffers as needed. */
void chain_put(struct buf **, const void *bytes, size_t n);
/* The same without a copy: they stay where they are until release(owner) is called, now or later.
 */
void chain_put_from(
    struct buf **, const void *bytes, size_t n, void (*release)(void *owner), void *owner);
/* How many more bytes it takes. */
uint32_t buf_room(const struct buf *);
/* Takes `n` bytes off its front; returns how many it did not have. */
size_t chain_drop(struct buf **, size_t n);
void chain_free(struct buf **);

#endif

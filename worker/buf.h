/*
 * buf: the buffers that bytes in flight stand in, all of one size, kept for reuse; and chains of
 * them.
 */
#ifndef WORKER_BUF_H
#define WORKER_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	struct buf *next;
	uint32_t head, fwd, tail;
	uint8_t data[];
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
/* Takes `n` bytes off its front; returns how many it did not have. */
size_t chain_drop(struct buf **, size_t n);
void chain_free(struct buf **);

#endif

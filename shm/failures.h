/*
 * failures: how often logins from an address have failed lately, over all workers. A leaky bucket
 * for each address, in a table of fixed size: what is pushed out by newer addresses is forgotten.
 * No lock.
 */
#ifndef SHM_FAILURES_H
#define SHM_FAILURES_H

#include <stdint.h>

struct failures;

/* Before the first fork. NULL with errno. */
struct failures *failures_create(void);
void failures_destroy(struct failures *);

/* One more failure of the address (16 bytes; of IPv6 its network of 64 bits counts). `limit` is
 * what a minute may have. */
void failures_add(struct failures *, const uint8_t addr[16], int64_t now_us, uint32_t limit);
/* 0: it may try; else the time until it may, in microseconds. */
int64_t failures_wait(
    const struct failures *, const uint8_t addr[16], int64_t now_us, uint32_t limit);

#endif

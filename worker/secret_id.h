/*
 * secret_id: under which id something lies in shm/secrets: a hash over all that decides what it is,
 * keyed with the instance's secret, so that the id tells nothing.
 */
#ifndef WORKER_SECRET_ID_H
#define WORKER_SECRET_ID_H

#include <stddef.h>
#include <stdint.h>

#include "shm/secrets.h"

struct secret_piece {
	const void *bytes;
	size_t len;
};

/* `use` keeps things of different meaning apart. */
void secret_id(
    uint8_t id[SECRETS_ID], const char *use, const struct secret_piece *pieces, size_t n);

#endif

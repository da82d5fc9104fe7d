/*
 * facts: what a backend that is handed over brings with it besides its socket: its settings, its
 * prepared statements. A list of records {tag, length, bytes}, so that each module adds its own.
 */
#ifndef WORKER_FACTS_H
#define WORKER_FACTS_H

#include "worker/objects.h"

/* Numbers are for ever: they also travel between binaries. */
enum fact {
	FACT_PARAMS = 1,  /* params_pack */
	FACT_PREPARED = 2 /* prepared_pack */
};

struct wire_out;
void facts_put(const struct backend *, struct wire_out *);
/* Bytes written, 0 if they do not fit: then the backend stays. */
size_t facts_pack(const struct backend *, uint8_t *out, size_t size);
/* False if anything is not understood: then the connection is of no use. */
bool facts_unpack(struct backend *, const uint8_t *, size_t len);

#endif

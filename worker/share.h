/* share: how clients are spread over the workers. Pure: what a worker knows of the others comes in.
 */
#ifndef WORKER_SHARE_H
#define WORKER_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARE_PEERS_MAX 65 /* as many as the option workers allows, and the steward */

struct share_peer {
	uint64_t clients;
	bool serves; /* and gives signs of life */
};

/* Has `own` of the n workers more clients than its share and a little? Alone it never has. */
bool share_above(const struct share_peer *, size_t n, size_t own);
/* Another one, that with the fewest clients of those that are not above theirs; n: none. */
size_t share_neediest(const struct share_peer *, size_t n, size_t own);

#endif

/* share: see share.h. Called by accept.c for every connection that comes. */
#include "worker/share.h"

bool
share_above(const struct share_peer *peers, size_t n, size_t own)
{
	uint64_t sum = 0, serving = 0, slack;
	size_t w;

	for (w = 0; w < n; w++) {
		sum += peers[w].serves ? peers[w].clients : 0;
		serving += peers[w].serves;
	}
	if (serving < 2)
		return false;
	slack = sum / serving / 32;
	return peers[own].clients * serving > sum + serving * (slack < 2 ? 2 : slack);
}

size_t
share_neediest(const struct share_peer *peers, size_t n, size_t own)
{
	size_t w, best = n;

	for (w = 0; w < n; w++)
		if (w != own && peers[w].serves &&
		    (best == n || peers[w].clients < peers[best].clients))
			best = w;
	return best == n || share_above(peers, n, best) ? n : best;
}

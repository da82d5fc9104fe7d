/*
 * fuzz_proxy: any bytes as the beginning of a connection. A header's length stays within what was
 * given, a shorter beginning never says more than "not complete yet", and what follows the header
 * changes nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/proxy.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy x, again;
	enum proxy_result r = proxy_parse(data, size, &x);
	size_t n;

	if (r != PROXY_OK)
		return 0;
	if (x.len > size || x.len > PROXY_MAX)
		abort();
	for (n = 0; n < x.len; n++)
		if (proxy_parse(data, n, &again) != PROXY_MORE)
			abort();
	if (proxy_parse(data, x.len, &again) != PROXY_OK || again.len != x.len ||
	    again.known != x.known || memcmp(&again.addr, &x.addr, sizeof(x.addr)) != 0)
		abort();
	return 0;
}

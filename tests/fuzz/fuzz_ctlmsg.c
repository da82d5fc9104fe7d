/*
 * fuzz_ctlmsg: any bytes as a datagram on a control socket.
 *
 * Traps when a message is believed whose size, type or payload length is not its own.
 */
#include "proto/ctlmsg.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ctlmsg m;
	size_t n = size < sizeof(m) ? size : sizeof(m);

	memset(&m, 0xAA, sizeof(m));
	memcpy(&m, data, n);
	HOLDS(ctlmsg_size(&m) <= sizeof(m));
	if (ctlmsg_valid(&m, n)) {
		HOLDS(n == ctlmsg_size(&m) && n >= offsetof(struct ctlmsg, payload));
		HOLDS(m.payload_len <= sizeof(m.payload));
		HOLDS(strcmp(ctlmsg_name((enum ctlmsg_type)m.type), "unknown") != 0);
		HOLDS(!ctlmsg_valid(&m, n - 1) && !ctlmsg_valid(&m, n + 1));
	}
	return 0;
}

/*
 * proxy: the header of the PROXY protocol, versions 1 and 2 (HAProxy, doc/proxy-protocol.txt): who
 * the client of a load balancer is. Pure. Only to be believed from balancers that are trusted.
 */
#ifndef PROTO_PROXY_H
#define PROTO_PROXY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No header is longer: one that claims to be is PROXY_BAD. */
#define PROXY_MAX 4096

enum proxy_result {
	PROXY_MORE, /* not complete yet */
	PROXY_BAD,  /* it is none, or a broken one */
	PROXY_OK
};

struct proxy {
	size_t len;	      /* bytes of the header */
	bool known;	      /* false: the balancer's own check, or an address we do not know: the
				 connection's own address stays */
	struct in6_addr addr; /* of the client, IPv4 mapped */
	uint16_t port;
};

/* `avail` bytes of the connection's beginning. */
enum proxy_result proxy_parse(const uint8_t *p, size_t avail, struct proxy *);

#endif

/*
 * net: networks of addresses. Addresses are IPv6, IPv4 mapped; a family goes with them, so that
 * ::/0 does not stand for IPv4.
 */
#ifndef CONF_NET_H
#define CONF_NET_H

#include <netinet/in.h>
#include <stdbool.h>

struct net {
	int family;
	struct in6_addr addr, mask;
};

void net_map_ipv4(const struct in_addr *in, struct in6_addr *out);
/* A numeric address. Its family, or -1. */
int net_address(const char *text, struct in6_addr *out);
/* The mask of the first `bits` of 128. */
void net_mask(struct in6_addr *mask, int bits);
/* "24", of a net whose family is known: its mask. NULL, or what is wrong. */
const char *net_bits(struct net *, const char *text);
bool net_has(const struct net *, const struct in6_addr *);

/* Lists as in "10.0.0.0/8, 192.0.2.1": NULL, or what is wrong. Is the address in one? */
const char *net_list_check(const char *list);
bool net_list_has(const char *list, const struct in6_addr *);

#endif

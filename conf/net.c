/* net: see net.h. Called by hba.c, load.c and, for listeners, by the workers. */
#include "conf/net.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

void
net_map_ipv4(const struct in_addr *in, struct in6_addr *out)
{
	memset(out, 0, sizeof(*out));
	out->s6_addr[10] = out->s6_addr[11] = 0xff;
	memcpy(out->s6_addr + 12, in, 4);
}

/* A numeric address. Its family, or -1. */
int
net_address(const char *text, struct in6_addr *out)
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) == 1) {
		net_map_ipv4(&in, out);
		return AF_INET;
	}
	return inet_pton(AF_INET6, text, out) == 1 ? AF_INET6 : -1;
}

void
net_mask(struct in6_addr *mask, int bits)
{
	int i;

	memset(mask, 0, sizeof(*mask));
	for (i = 0; i < bits; i++)
		mask->s6_addr[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

/* "/24": NULL, or what is wrong. */
const char *
net_bits(struct net *net, const char *text)
{
	int max = net->family == AF_INET ? 32 : 128;
	char *end;
	long bits = strtol(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || bits > max)
		return "the length of the network's prefix is wrong";
	net_mask(&net->mask, (int)bits + 128 - max);
	return NULL;
}

bool
net_has(const struct net *n, const struct in6_addr *addr)
{
	int family = IN6_IS_ADDR_V4MAPPED(addr) ? AF_INET : AF_INET6;
	uint8_t diff = n->family == family ? 0 : 1;
	size_t k;

	for (k = 0; k < 16; k++)
		diff |= (uint8_t)((addr->s6_addr[k] ^ n->addr.s6_addr[k]) & n->mask.s6_addr[k]);
	return diff == 0;
}

/* "ADDRESS" or "ADDRESS/BITS". NULL, or what is wrong. */
static const char *
parse(struct net *n, char *text)
{
	char *slash = strchr(text, '/');

	if (slash != NULL)
		*slash = '\0';
	n->family = net_address(text, &n->addr);
	if (n->family == -1)
		return "expected numeric addresses or networks, separated by commas";
	if (slash != NULL)
		return net_bits(n, slash + 1);
	net_mask(&n->mask, 128);
	return NULL;
}

/* Each network of a comma list, in turn; the text moves on. False: there is none any more. */
static bool
next(const char **list, struct net *n, const char **wrong)
{
	char text[64];
	size_t len;

	*list += strspn(*list, ", ");
	len = strcspn(*list, ", ");
	if (len == 0)
		return false;
	*wrong = "expected numeric addresses or networks, separated by commas";
	if (len < sizeof(text)) {
		memcpy(text, *list, len);
		text[len] = '\0';
		*wrong = parse(n, text);
	}
	*list += len;
	return true;
}

const char *
net_list_check(const char *list)
{
	const char *wrong = NULL;
	struct net n;

	while (wrong == NULL && next(&list, &n, &wrong))
		;
	return wrong;
}

bool
net_list_has(const char *list, const struct in6_addr *addr)
{
	const char *wrong;
	struct net n;

	while (next(&list, &n, &wrong))
		if (wrong == NULL && net_has(&n, addr))
			return true;
	return false;
}

/*
 * proxy: see proxy.h. Called by worker/client_login.c; owns nothing.
 *
 * Version 1 is a line of at most 107 bytes, version 2 a binary header with a length. A header that
 * does not say what it should is refused, not guessed at: behind it comes what somebody else wrote.
 */
#include "proto/proxy.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_1 107 /* with CR LF */
#define HEAD_2	   16

static const uint8_t signature[12] = {
    '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static void
set_ipv4(struct proxy *x, const void *bytes)
{
	memset(&x->addr, 0, sizeof(x->addr));
	x->addr.s6_addr[10] = x->addr.s6_addr[11] = 0xff;
	memcpy(x->addr.s6_addr + 12, bytes, 4);
}

/* --- version 1 -------------------------------------------------------------------------------- */

/* The next word of the line; the words are parted by exactly one blank. NULL: there is none. */
static char *
next_word(char **at)
{
	char *word = *at, *blank;

	if (word == NULL || *word == '\0' || *word == ' ')
		return NULL;
	blank = strchr(word, ' ');
	*at = blank == NULL ? NULL : blank + 1;
	if (blank != NULL)
		*blank = '\0';
	return word;
}

static bool
take_port(const char *text, uint16_t *port)
{
	size_t n = text == NULL ? 0 : strlen(text);
	long v;

	if (n == 0 || n > 5 || strspn(text, "0123456789") != n || (n > 1 && text[0] == '0'))
		return false;
	v = strtol(text, NULL, 10);
	*port = (uint16_t)v;
	return v <= UINT16_MAX;
}

static bool
take_address(struct proxy *x, int family, const char *text)
{
	struct in6_addr bytes;

	if (text == NULL || inet_pton(family, text, &bytes) != 1)
		return false;
	if (family == AF_INET)
		set_ipv4(x, &bytes);
	else
		x->addr = bytes;
	return true;
}

/* "TCP4 source destination port port", or "UNKNOWN" and anything. */
static bool
take_line(struct proxy *x, char *line)
{
	char *at = line, *family = next_word(&at), *source, *target;
	struct proxy other;
	uint16_t port;
	int af;

	if (family == NULL)
		return false;
	if (strcmp(family, "UNKNOWN") == 0)
		return true;
	if (strcmp(family, "TCP4") != 0 && strcmp(family, "TCP6") != 0)
		return false;
	af = family[3] == '4' ? AF_INET : AF_INET6;
	source = next_word(&at);
	target = next_word(&at);
	x->known = true;
	return take_address(x, af, source) && take_address(&other, af, target) &&
	       take_port(next_word(&at), &x->port) && take_port(next_word(&at), &port) &&
	       at == NULL;
}

static enum proxy_result
parse_1(const uint8_t *p, size_t avail, struct proxy *x)
{
	size_t n = avail < LINE_MAX_1 ? avail : LINE_MAX_1, len;
	const uint8_t *lf = memchr(p, '\n', n);
	char line[LINE_MAX_1 + 1];

	if (lf == NULL)
		return n == LINE_MAX_1 ? PROXY_BAD : PROXY_MORE;
	len = (size_t)(lf - p);
	if (len < 7 || p[len - 1] != '\r' || memchr(p, '\0', len) != NULL)
		return PROXY_BAD;
	memcpy(line, p + 6, len - 7);
	line[len - 7] = '\0';
	x->len = len + 1;
	return take_line(x, line) ? PROXY_OK : PROXY_BAD;
}

/* --- version 2 -------------------------------------------------------------------------------- */

static enum proxy_result
parse_2(const uint8_t *p, size_t avail, struct proxy *x)
{
	size_t body;
	uint8_t command, family;

	if (avail < HEAD_2)
		return PROXY_MORE;
	command = p[12];
	family = p[13];
	body = (size_t)p[14] << 8 | p[15];
	x->len = HEAD_2 + body;
	if (command >> 4 != 2 || (command & 15) > 1 || x->len > PROXY_MAX)
		return PROXY_BAD;
	if (avail < x->len)
		return PROXY_MORE;
	if ((command & 15) == 0)
		return PROXY_OK; /* LOCAL: the balancer itself */
	p += HEAD_2;
	if (family == 0x11) { /* IPv4, stream */
		if (body < 12)
			return PROXY_BAD;
		set_ipv4(x, p);
		x->port = (uint16_t)(p[8] << 8 | p[9]);
		x->known = true;
	} else if (family == 0x21) { /* IPv6, stream */
		if (body < 36)
			return PROXY_BAD;
		memcpy(&x->addr, p, sizeof(x->addr));
		x->port = (uint16_t)(p[32] << 8 | p[33]);
		x->known = true;
	}
	return PROXY_OK;
}

/* Do the first bytes agree, as far as they are there? */
static bool
begins(const uint8_t *p, size_t avail, const void *with, size_t n)
{
	return memcmp(p, with, avail < n ? avail : n) == 0;
}

enum proxy_result
proxy_parse(const uint8_t *p, size_t avail, struct proxy *x)
{
	memset(x, 0, sizeof(*x));
	if (avail == 0)
		return PROXY_MORE;
	if (begins(p, avail, signature, sizeof(signature)))
		return parse_2(p, avail, x);
	if (begins(p, avail, "PROXY ", 6))
		return avail < 6 ? PROXY_MORE : parse_1(p, avail, x);
	return PROXY_BAD;
}

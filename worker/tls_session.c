/*
 * tls_session: see tls.h. Sessions with servers, so that the next connection to the same server
 * under the same setting needs no full handshake. PostgreSQL gives no tickets; poolers and proxies
 * before it may.
 *
 * A small table for this worker, the least recently used goes. A context that is gone has a serial
 * that never comes back.
 */
#include <string.h>

#include <openssl/ssl.h>

#include "worker/tls.h"

#define PLACES 64

static struct known {
	struct tls_place place;
	SSL_SESSION *session; /* NULL = free */
	uint64_t used;
} known[PLACES];

static uint64_t uses;

static struct known *
find(const struct tls_place *p)
{
	size_t i;

	for (i = 0; i < PLACES; i++)
		if (known[i].session != NULL && known[i].place.serial == p->serial &&
		    known[i].place.port == p->port && strcmp(known[i].place.host, p->host) == 0)
			return &known[i];
	return NULL;
}

SSL_SESSION *
tls_session_find(const struct tls_place *p)
{
	struct known *k = find(p);

	if (k == NULL || SSL_SESSION_is_resumable(k->session) != 1)
		return NULL;
	k->used = ++uses;
	return SSL_SESSION_up_ref(k->session) == 1 ? k->session : NULL;
}

void
tls_session_keep(const struct tls_place *p, SSL_SESSION *session)
{
	struct known *k = find(p);
	size_t i;

	if (k == NULL)
		for (k = &known[0], i = 1; i < PLACES; i++)
			if (known[i].used < k->used) /* a free one was never used */
				k = &known[i];
	SSL_SESSION_free(k->session);
	*k = (struct known){.place = *p, .session = session, .used = ++uses};
}

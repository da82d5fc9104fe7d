/*
 * resolve: see resolve.h. Threads block all signals and never see shared memory. At most one
 * look-up per connection under way; a name server that hangs costs a thread until its own timeout.
 */
#include "worker/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf/log.h"
#include "worker/loop.h"
#include "worker/state.h"

struct resolve {
	char host[256];
	char port[8];
	struct resolve **handle; /* NULL = forgotten */
	resolve_fn *fn;
	void *arg;
	struct address addrs[RESOLVE_MAX];
	size_t n;
	int rc;
};

#define CACHE 32

static struct {
	char host[256];
	struct address addrs[RESOLVE_MAX];
	size_t n;
	int64_t until_us;
} cache[CACHE];
static size_t cache_next;
static int answers[2] = {-1, -1};
static struct loop_source answers_source = {.fd = -1};

static int
lookup(struct resolve *r, int flags)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags}, *list, *ai;

	r->rc = getaddrinfo(r->host, r->port, &hints, &list);
	if (r->rc != 0)
		return r->rc;
	for (ai = list; ai != NULL && r->n < RESOLVE_MAX; ai = ai->ai_next) {
		memcpy(&r->addrs[r->n].ss, ai->ai_addr, ai->ai_addrlen);
		r->addrs[r->n++].len = ai->ai_addrlen;
	}
	freeaddrinfo(list);
	return 0;
}

static void *
lookup_thread(void *arg)
{
	struct resolve *r = arg;

	(void)lookup(r, 0);
	while (write(answers[1], &r, sizeof(r)) == -1 && errno == EINTR)
		;
	return NULL;
}

/* --- what is kept ----------------------------------------------------------------------------- */

void
resolve_each(void (*fn)(const char *, const struct address *, size_t, int64_t, void *), void *arg)
{
	size_t i;

	for (i = 0; i < CACHE; i++)
		if (cache[i].until_us > loop_now())
			fn(cache[i].host, cache[i].addrs, cache[i].n, cache[i].until_us, arg);
}

static void
count_one(const char *host, const struct address *addrs, size_t n, int64_t until_us, void *count)
{
	(void)host;
	(void)addrs;
	(void)n;
	(void)until_us;
	++*(uint64_t *)count;
}

void
resolve_count(void)
{
	uint64_t n = 0;

	resolve_each(count_one, &n);
	stats_set(&wk->row->dns_names, n);
}

static void
set_port(struct sockaddr_storage *ss, const char *port)
{
	uint16_t n = htons((uint16_t)strtoul(port, NULL, 10));

	if (ss->ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)ss)->sin6_port = n;
	else
		((struct sockaddr_in *)(void *)ss)->sin_port = n;
}

static void
answer(struct resolve *r)
{
	resolve_fn *fn = r->fn;
	void *arg = r->arg;

	if (r->handle != NULL) {
		*r->handle = NULL;
		if (r->rc == 0)
			fn(arg, r->addrs, r->n, NULL);
		else
			fn(arg, NULL, 0, gai_strerror(r->rc));
	}
	free(r);
}

/* What was looked up, in the place of what was known of that name, or of the oldest. */
static void
keep(const struct resolve *r)
{
	size_t i;

	if (r->rc != 0 || wk->conf->dns_max_ttl_us <= 0)
		return;
	for (i = 0; i < CACHE && strcmp(cache[i].host, r->host) != 0; i++)
		;
	if (i == CACHE) {
		i = cache_next;
		cache_next = (cache_next + 1) % CACHE;
	}
	snprintf(cache[i].host, sizeof(cache[i].host), "%s", r->host);
	memcpy(cache[i].addrs, r->addrs, sizeof(r->addrs));
	cache[i].n = r->n;
	cache[i].until_us = loop_now() + wk->conf->dns_max_ttl_us;
	resolve_count();
}

static void
answers_event(struct loop_source *s, uint32_t events)
{
	struct resolve *r;

	(void)events;
	while (read(s->fd, &r, sizeof(r)) == sizeof(r)) {
		stats_sub(&wk->row->dns_queries, 1);
		keep(r);
		answer(r);
	}
}

static void
start_thread(struct resolve *r)
{
	sigset_t all, old;
	pthread_t thread;
	int rc;

	if (answers[0] == -1) {
		if (pipe2(answers, O_CLOEXEC) == -1)
			fatal("pipe for the resolver");
		(void)fcntl(answers[0], F_SETFL, O_NONBLOCK);
		answers_source = (struct loop_source){.fd = answers[0], .fn = answers_event};
		if (loop_add(&answers_source, EPOLLIN) == -1)
			fatal("resolver's pipe");
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&thread, NULL, lookup_thread, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc == 0) {
		pthread_detach(thread);
		stats_add(&wk->row->dns_queries, 1);
		return;
	}
	r->rc = EAI_AGAIN;
	answer(r);
}

void
resolve_start(struct resolve **handle, const char *host, uint16_t port, resolve_fn *fn, void *arg)
{
	struct resolve *r = calloc(1, sizeof(*r));
	size_t i, k;

	if (r == NULL)
		fatal("resolver");
	snprintf(r->host, sizeof(r->host), "%s", host);
	snprintf(r->port, sizeof(r->port), "%u", port);
	r->handle = handle;
	r->fn = fn;
	r->arg = arg;
	*handle = r;
	for (i = 0; i < CACHE; i++) {
		if (cache[i].until_us <= loop_now() || strcmp(cache[i].host, host) != 0)
			continue;
		memcpy(r->addrs, cache[i].addrs, sizeof(r->addrs));
		r->n = cache[i].n;
		for (k = 0; k < r->n; k++)
			set_port(&r->addrs[k].ss, r->port);
		answer(r);
		return;
	}
	if (lookup(r, AI_NUMERICHOST | AI_NUMERICSERV) == 0)
		answer(r);
	else
		start_thread(r);
}

void
resolve_cancel(struct resolve **handle)
{
	if (*handle == NULL)
		return;
	(*handle)->handle = NULL;
	*handle = NULL;
}

const char *
address_text(const struct sockaddr_storage *ss, socklen_t len)
{
	static char text[sizeof(struct sockaddr_un) + 16];
	char host[INET6_ADDRSTRLEN];
	const struct sockaddr_in *in = (const void *)ss;
	const struct sockaddr_in6 *in6 = (const void *)ss;
	const struct sockaddr_un *un = (const void *)ss;
	size_t head = offsetof(struct sockaddr_un, sun_path);

	if (ss->ss_family == AF_INET &&
	    inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)) != NULL)
		snprintf(text, sizeof(text), "%s:%u", host, ntohs(in->sin_port));
	else if (ss->ss_family == AF_INET6 &&
		 inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)) != NULL)
		snprintf(text, sizeof(text), "[%s]:%u", host, ntohs(in6->sin6_port));
	else if (ss->ss_family == AF_UNIX && len > head + 1)
		snprintf(text, sizeof(text), "%s%.*s", un->sun_path[0] == '\0' ? "@" : "",
		    (int)(len - head - (un->sun_path[0] == '\0' ? 1 : 0)),
		    un->sun_path + (un->sun_path[0] == '\0' ? 1 : 0));
	else
		snprintf(text, sizeof(text), "unix");
	return text;
}

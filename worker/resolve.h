/*
 * resolve: host names without blocking the loop. getaddrinfo runs in a short-lived thread that
 * touches nothing but its own request; the answer comes back through a pipe. Answers are kept for
 * dns_max_ttl.
 */
#ifndef WORKER_RESOLVE_H
#define WORKER_RESOLVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define RESOLVE_MAX 8 /* addresses kept of a name; more are not tried */

struct address {
	struct sockaddr_storage ss;
	socklen_t len;
};

struct resolve;

/* `n` addresses in the order in which they should be tried; 0 = `error` says why there are none. */
typedef void resolve_fn(void *arg, const struct address *, size_t n, const char *error);

/* Calls fn later or, for numeric and cached names, at once. *handle is non-NULL while it is under
 * way. */
void resolve_start(
    struct resolve **handle, const char *host, uint16_t port, resolve_fn *fn, void *arg);
/* Forgets the request: fn will not be called. */
void resolve_cancel(struct resolve **handle);

/* "127.0.0.1:5432", "[::1]:5432", a socket's path. A static buffer. */
const char *address_text(const struct sockaddr_storage *, socklen_t len);

/* The names whose addresses are kept, and until when. Their number stands in the statistics, which
 * resolve_count brings up to date. */
void resolve_each(
    void (*fn)(const char *host, const struct address *, size_t n, int64_t until_us, void *arg),
    void *arg);
void resolve_count(void);

#endif

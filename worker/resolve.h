/*
 * resolve: host names without blocking the loop. getaddrinfo runs in a short-lived thread that
 * touches nothing but its own request; the answer comes back through a pipe. Answers are kept for
 * dns_max_ttl.
 */
#ifndef WORKER_RESOLVE_H
#define WORKER_RESOLVE_H

#include <stdint.h>
#include <sys/socket.h>

struct resolve;

typedef void resolve_fn(void *arg, const struct sockaddr *sa, socklen_t len, const char *error);

/* Calls fn later or, for numeric and cached names, at once. *handle is non-NULL while it is under
 * way. */
void resolve_start(
    struct resolve **handle, const char *host, uint16_t port, resolve_fn *fn, void *arg);
/* Forgets the request: fn will not be called. */
void resolve_cancel(struct resolve **handle);

#endif

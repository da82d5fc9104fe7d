/* notify: tells the service manager how we are (the sd_notify protocol, by hand). */
#ifndef MASTER_NOTIFY_H
#define MASTER_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

struct notify {
	bool enabled;
	struct sockaddr_un addr;
	socklen_t addr_len;
	int64_t watchdog_us; /* how often to send WATCHDOG=1; 0 = never */
};

/* Reads NOTIFY_SOCKET and WATCHDOG_*, and takes them out of the environment. */
void notify_init(struct notify *);
void notify_ready(const struct notify *, const char *status);
/* A reload has begun; notify_ready ends it. */
void notify_reloading(const struct notify *);
void notify_status(const struct notify *, const char *status);
void notify_stopping(const struct notify *, const char *status);
/* Another process is the main one now; and for its environment: what notify_init took. */
void notify_mainpid(const struct notify *, pid_t);
void notify_restore(const struct notify *);
void notify_watchdog(const struct notify *);

/* The parts that need no socket, for tests. A path, or '@' for an abstract one; 0 or -1. */
int notify_address(const char *text, struct sockaddr_un *, socklen_t *);
/* "STATE\nMAINPID=n\nSTATUS=text"; state or status may be NULL, pid 0 = left out. Line breaks in
 * the status become blanks. Returns the length. */
size_t notify_message(char *buf, size_t size, const char *state, pid_t pid, const char *status);

#endif

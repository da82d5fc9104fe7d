/*
 * console_gather: what the statistics do not say is asked of all workers: each writes records into
 * a memfd and sends that. Who does not answer in time is left out.
 *
 *   console_who.c         clients and backends: SHOW CLIENTS, SERVERS, SOCKETS, PINS
 *   console_statements.c  prepared statements: SHOW STATEMENTS
 *   console_dns.c         names of servers: SHOW DNS_HOSTS
 */
#ifndef WORKER_CONSOLE_GATHER_H
#define WORKER_CONSOLE_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sheet;

/* Records of one size. */
struct gather_list {
	void *v;
	size_t n, size;
};
/* A new one, zeroed; valid until the next is added. */
void *gather_add(struct gather_list *, size_t record);

struct gather_kind {
	size_t record;
	void (*collect)(struct gather_list *); /* what this worker has */
	/* Rows of what all have, for the SHOW of this name; may reorder the list. */
	void (*fill)(struct gather_list *, struct sheet *, const char *show);
};
extern const struct gather_kind gather_who, gather_statements, gather_dns;

/* Asks everybody; console_gathered(ticket) is called when all have answered, or should have. */
void gather_start(uint64_t ticket, const struct gather_kind *);
/* What came, as rows for this SHOW ("CLIENTS", "SERVERS", "SOCKETS", ...); then it is forgotten. */
void gather_fill(uint64_t ticket, struct sheet *, const char *show);
/* Nobody wants it any more. */
void gather_forget(uint64_t ticket);

/* From the inbox. The second takes the fd. */
void console_tell(uint32_t to, uint32_t kind, uint64_t ticket);
void console_told(uint64_t ticket, int fd);

#endif

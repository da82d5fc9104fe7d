/*
 * console_gather: who is connected, over all workers: each writes what it has into a memfd and
 * sends that. Who does not answer in time is left out.
 */
#ifndef WORKER_CONSOLE_GATHER_H
#define WORKER_CONSOLE_GATHER_H

#include <stdbool.h>
#include <stdint.h>

struct sheet;

/* Asks everybody; console_gathered(ticket) is called when all have answered, or should have. */
void gather_start(uint64_t ticket);
/* What came, as rows for this SHOW ("CLIENTS", "SERVERS", "SOCKETS", ...); then it is forgotten. */
void gather_fill(uint64_t ticket, struct sheet *, const char *show);
/* Nobody wants it any more. */
void gather_forget(uint64_t ticket);

/* From the inbox. The second takes the fd. */
void console_tell(uint32_t to, uint64_t ticket);
void console_told(uint32_t from, uint64_t ticket, int fd);

#endif

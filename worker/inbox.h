/*
 * inbox: messages between workers, with at most one fd. Non-blocking: a full inbox means "not now".
 */
#ifndef WORKER_INBOX_H
#define WORKER_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/ctlmsg.h"
#include "shm/table.h"

#define INBOX_FACTS_MAX sizeof(((struct ctlmsg *)NULL)->payload)

void inbox_open(void);
/* One message and its fd (-1: none) from any of our sockets; what recvmsg returns. */
ssize_t inbox_receive(int from, struct ctlmsg *, int *fd);
/* The same for sending. False: it could not be queued. */
bool inbox_post(int to, const struct ctlmsg *, int fd);
/* False if it could not be queued (full, or the worker is dead). */
bool inbox_send(uint32_t worker, enum ctlmsg_type, uint32_t arg32, uint64_t arg64);
/* CTL_WAKE to all workers, ourselves too if we are one. */
void inbox_wake_all(uint32_t pool);
bool inbox_send_fd(uint32_t worker, enum ctlmsg_type, uint32_t arg32, uint64_t arg64, int fd);
bool inbox_give(
    uint32_t worker, uint32_t incarnation, uint32_t slot, int fd, const uint8_t *facts, size_t len);
/* The cancel key of a client that `to` serves. */
bool inbox_cancel(
    struct table_self to, int32_t pid, const uint8_t *key, size_t len, uint64_t ticket);

#endif

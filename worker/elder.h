/*
 * elder: cancel requests between generations. After an upgrade they all come to the new one, while
 * the old one still serves clients with its own keys: what the younger does not know it passes on.
 */
#ifndef WORKER_ELDER_H
#define WORKER_ELDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* We are the elder from now on: requests come through this socket (taken), shared by our workers.
 */
void elder_open(int fd);
/* A message to whoever of the younger generation reads it first. False: it could not be sent. */
struct ctlmsg;
bool elder_send(const struct ctlmsg *, int fd);
/* A key that nobody of ours has: perhaps one of the generation before us. */
void elder_pass(int32_t pid, const uint8_t *key, size_t len);

#endif

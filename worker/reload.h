/*
 * reload: the worker's part of a reload: prepare a configuration beside the loop, say so, switch to
 * it when the master says so.
 */
#ifndef WORKER_RELOAD_H
#define WORKER_RELOAD_H

#include <stddef.h>
#include <stdint.h>

/* Messages of the master (proto/ctlmsg.h). Each takes the fd. */
void reload_conf(uint64_t serial, int fd);
void reload_listener(uint64_t serial, uint32_t id, int fd);
void reload_switch(uint64_t serial, const uint8_t *listeners, size_t len);
void reload_forget(uint64_t serial);

#endif

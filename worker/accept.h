/* accept: shared listeners, one accept per wake-up, a fair share for every worker (design.md 2). */
#ifndef WORKER_ACCEPT_H
#define WORKER_ACCEPT_H

#include <stddef.h>
#include <stdint.h>

void accept_start(void);
/* Closes this process's listeners. */
void accept_stop(void);
/* A reload: a listener that may come into force (takes the fd); those in force now, as in
 * CTL_SWITCH; none of the new ones comes. */
void accept_add(uint32_t id, int fd);
void accept_switch(const uint8_t *places, size_t n);
void accept_forget(void);
/* Another worker died: the connection it was woken for may still wait. */
void accept_poke(void);
/* Another worker, above its share, passes a connection on that it was woken for. */
void accept_asked(void);

#endif

/* accept: shared listeners, one accept per wake-up, a fair share for every worker (design.md 2). */
#ifndef WORKER_ACCEPT_H
#define WORKER_ACCEPT_H

void accept_start(void);
/* Closes this process's listeners. */
void accept_stop(void);
/* Another worker died: the connection it was woken for may still wait. */
void accept_poke(void);

#endif

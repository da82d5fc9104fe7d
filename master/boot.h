/* boot: everything between a loaded configuration and the first fork, and its undoing. */
#ifndef MASTER_BOOT_H
#define MASTER_BOOT_H

#include "master/master.h"
#include "master/why.h"

/* Opens all in the one order that works. 0, or -1 with the reason; then boot_end() cleans up. */
int boot_begin(struct master *, struct why *);
/* Gives everything back, above all what outlives a process: socket files and the pid file. */
void boot_end(struct master *);

#endif

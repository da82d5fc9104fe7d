/* retire: another generation serves; this one stays for the clients it has. In master.c. */
#ifndef MASTER_RETIRE_H
#define MASTER_RETIRE_H

struct master;

void retire_begin(struct master *);

#endif

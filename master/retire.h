/* retire: this generation takes no new clients and stays for those it has. In master.c. */
#ifndef MASTER_RETIRE_H
#define MASTER_RETIRE_H

struct master;

/* Another one serves: clients are handed over; those left at upgrade_timeout leave. */
void retire_begin(struct master *);
/* Nobody serves any more: ends when the last client leaves by itself. */
void retire_alone(struct master *);

#endif

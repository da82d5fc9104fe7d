/* control: the master's end of the control sockets. */
#ifndef MASTER_CONTROL_H
#define MASTER_CONTROL_H

#include "master/master.h"

/* False if the message could not be queued: say it again later. A dead child needs no message. */
bool control_send(struct child *, enum ctlmsg_type, uint32_t arg32, uint64_t arg64);
/* The same with a payload and a descriptor (-1: none), which stays open here. */
bool control_send_with(struct child *, enum ctlmsg_type, uint32_t arg32, uint64_t arg64,
    const void *payload, size_t len, int fd);
void control_broadcast(struct master *, enum ctlmsg_type, uint32_t arg32, uint64_t arg64);
/* Reads what children[w] says. True if it has become ready. A closed socket sets lost_us. */
bool control_read(struct master *, uint32_t w);

#endif

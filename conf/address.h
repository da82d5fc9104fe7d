/* address: where something listens, as a person writes it. */
#ifndef CONF_ADDRESS_H
#define CONF_ADDRESS_H

#include <sys/socket.h>

/* "127.0.0.1:9127", "[::1]:9127", "*:9127" (both protocols where the system has both). 0, or -1 if
 * it is none of these. */
int conf_parse_address(const char *text, struct sockaddr_storage *, socklen_t *len);

#endif

/* utf8: names may hold any bytes; what we print for other programs must be UTF-8 (RFC 3629). */
#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include <stddef.h>

/* Length of the valid sequence at `s`, 0 if it is none. NUL ends every sequence. */
size_t utf8_length(const unsigned char *s);

#endif

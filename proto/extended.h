/*
 * extended: the inner fields of the extended query protocol's messages (protocol-message-formats
 * chapter), as far as a pooler must know them. Pure bytes: no fds, no globals, no malloc.
 *
 * Works on a message's body, of which only the front may be there yet.
 */
#ifndef PROTO_EXTENDED_H
#define PROTO_EXTENDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum extended_result {
	EXTENDED_OK,
	EXTENDED_MORE, /* the fields are not complete yet */
	EXTENDED_BAD   /* they cannot be: the server will say so */
};

/* Where a field is: offset from the body's start, length without its NUL. */
struct extended_text {
	uint32_t at, len;
};

struct extended {
	struct extended_text portal;	/* Bind; Execute; Describe and Close of a portal */
	struct extended_text statement; /* Parse; Bind; Describe and Close of a statement */
	struct extended_text sql;	/* Parse, if its body is complete */
	uint8_t kind;			/* Describe, Close: 'S' or 'P' */
};

/*
 * Reads the names of a P, B, D, C or E message: `avail` bytes of its body, which has `len` in all.
 * For a Parse with its body complete the text and the number of types are checked too.
 */
enum extended_result extended_read(
    uint8_t type, const uint8_t *body, size_t avail, size_t len, struct extended *);

#endif

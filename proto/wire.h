/*
 * wire: PostgreSQL protocol 3 framing (protocol-message-formats chapter). Pure bytes: no fds, no
 * globals, no malloc.
 *
 * A message is type:1, length:4 (network order, counts itself, not the type), body. The first
 * packet of a client has no type byte.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_HEADER 5

#define WIRE_CODE_CANCEL 80877102U
#define WIRE_CODE_SSL	 80877103U
#define WIRE_CODE_GSSENC 80877104U
#define WIRE_PROTO_3_0	 0x00030000U
#define WIRE_PROTO_3_2	 0x00030002U
#define WIRE_STARTUP_MAX 10000U /* PostgreSQL's MAX_STARTUP_PACKET_LENGTH */

/* What follows 'R': AuthenticationOk and the requests. */
enum wire_auth {
	WIRE_AUTH_OK = 0,
	WIRE_AUTH_CLEARTEXT = 3,
	WIRE_AUTH_MD5 = 5,
	WIRE_AUTH_SASL = 10,
	WIRE_AUTH_SASL_CONTINUE = 11,
	WIRE_AUTH_SASL_FINAL = 12
};

enum wire_result {
	WIRE_OK,
	WIRE_MORE, /* the header is not complete yet */
	WIRE_BAD   /* impossible length */
};

/* Reads the header of a typed message: *len is the whole length, type byte included (so >= 5). */
enum wire_result wire_header(
    const uint8_t *p, size_t avail, uint32_t max, uint8_t *type, uint32_t *len);

/* Is `type` a message a logged-in frontend / a backend may send? */
bool wire_frontend_type(uint8_t type);
bool wire_backend_type(uint8_t type);

/* The largest length word PostgreSQL takes from a frontend with this type of message. */
uint32_t wire_frontend_max(uint8_t type);

uint32_t wire_get32(const uint8_t *p);
void wire_put32(uint8_t *p, uint32_t v);

/*
 * A writer into a caller's array: puts past the end set `failed` and write nothing, so that one
 * check at the end is enough. wire_begin/wire_end frame a message.
 */
struct wire_out {
	uint8_t *base;
	size_t size;
	size_t len;
	size_t mark;
	bool failed;
};
void wire_init(struct wire_out *, void *base, size_t size);
void wire_begin(struct wire_out *, uint8_t type); /* type 0 = startup packet, no type byte */
void wire_byte(struct wire_out *, uint8_t);
void wire_int16(struct wire_out *, uint16_t);
void wire_int32(struct wire_out *, uint32_t);
void wire_bytes(struct wire_out *, const void *, size_t);
void wire_string(struct wire_out *, const char *); /* with its NUL */
void wire_end(struct wire_out *);

/* Whole messages. All go through a wire_out. */
struct wire_error {
	const char *severity; /* ERROR, FATAL, NOTICE, ... */
	const char *sqlstate;
	const char *message;
	const char *detail; /* may be NULL */
	const char *hint;   /* may be NULL */
};
void wire_error(struct wire_out *, const struct wire_error *);	/* 'E', with S V C M D H */
void wire_notice(struct wire_out *, const struct wire_error *); /* 'N' */
void wire_ready(struct wire_out *, char status);		/* 'Z' */
void wire_parameter(struct wire_out *, const char *name, const char *value);
void wire_query(struct wire_out *, const char *sql);
void wire_cancel(struct wire_out *, int32_t pid, const uint8_t *key, size_t len);

/* A reader over a message's body: gets past the end set `failed` and return 0 / NULL. */
struct wire_in {
	const uint8_t *p;
	size_t left;
	bool failed;
};
void wire_read(struct wire_in *, const void *body, size_t len);
uint8_t wire_get_byte(struct wire_in *);
uint16_t wire_get_int16(struct wire_in *);
uint32_t wire_get_int32(struct wire_in *);
const uint8_t *wire_get_bytes(struct wire_in *, size_t n);
const char *wire_get_string(struct wire_in *); /* NUL-terminated inside the body, or NULL */

/* A field of an ErrorResponse or NoticeResponse body ('S', 'V', 'C', 'M', 'D', 'H', ...), or NULL.
 */
const char *wire_error_field(const void *body, size_t len, char field);

/* Is its SQLSTATE this one, or of this class ("08")? */
bool wire_error_is(const void *body, size_t len, const char *sqlstate);

/* Is this ErrorResponse body's severity FATAL or PANIC, so that the server closes the connection?
 */
bool wire_error_fatal(const void *body, size_t len);

/* Quotes a string literal for SET: '...' with '' (and E'..' for backslashes). Length or 0 if it
 * does not fit. */
size_t wire_quote_literal(const char *value, char *out, size_t size);

#endif

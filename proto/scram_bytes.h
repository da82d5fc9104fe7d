/*
 * scram_bytes: what both halves of SCRAM are made of: base64, HMAC, attributes. Private to
 * proto/scram*.c.
 */
#ifndef PROTO_SCRAM_BYTES_H
#define PROTO_SCRAM_BYTES_H

#include <openssl/types.h>

#include "proto/scram.h"

#define SCRAM_NONCE_BYTES	24		    /* random ones; 32 characters */
#define SCRAM_BASE64_SIZE(n)	(((n) + 2) / 3 * 4) /* characters of n bytes */
#define SCRAM_BASE64_DECODE_MAX 192		    /* bytes; a channel binding is the longest */
#define SCRAM_BINDING_TYPE	"tls-server-end-point"
#define SCRAM_KEY_TEXT		(SCRAM_BASE64_SIZE(SCRAM_KEY) + 1)

/* snprintf that fails rather than cuts. Length or -1. */
int scram_print(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Base64 into at most `size` bytes; *len says how many. Only the one right spelling. 0 or -1. */
int scram_base64_decode(const char *in, size_t in_len, uint8_t *out, size_t size, size_t *len);

/* NULL: OpenSSL has none. */
const EVP_MD *scram_sha256(void);
const EVP_MD *scram_md5_digest(void);
/* The digest of a followed by b. False: OpenSSL could not, or md is NULL. */
bool scram_digest(
    const EVP_MD *md, const void *a, size_t a_len, const void *b, size_t b_len, uint8_t *out);
bool scram_hmac(const uint8_t key[SCRAM_KEY], const char *text, size_t len, uint8_t out[SCRAM_KEY]);
bool scram_hash(const uint8_t in[SCRAM_KEY], uint8_t out[SCRAM_KEY]);

/* A new nonce as text. */
void scram_nonce(char out[SCRAM_BASE64_SIZE(SCRAM_NONCE_BYTES) + 1]);

/* Takes `X=value` from the front of *s, and the comma behind it if one follows. NULL when it is not
 * there. */
const char *scram_attribute(const char **s, char name, size_t *len);

/* An iteration count: digits only, no sign, no leading zero. 0 = not acceptable. */
uint32_t scram_iterations(const char *s, size_t len);

/* Printable ASCII without the comma, at least one. */
bool scram_printable(const char *s, size_t len);

#endif

/*
 * scram: SCRAM-SHA-256 as a client (RFC 5802, 7677; PostgreSQL's SASL chapter), and PostgreSQL's
 * MD5 answer. Hashes by OpenSSL. The expensive step (PBKDF2) can be kept in a scram_keys by the
 * caller.
 */
#ifndef PROTO_SCRAM_H
#define PROTO_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRAM_NAME	"SCRAM-SHA-256"
#define SCRAM_NAME_PLUS "SCRAM-SHA-256-PLUS"

#define SCRAM_KEY	  32
#define SCRAM_SALT_MAX	  64
#define SCRAM_MESSAGE_MAX 1024

/* More is refused: a hostile server must not stall the loop. */
#define SCRAM_ITERATIONS_MAX 1000000

/* Derived from (password, salt, iterations): reusable for every login with the same three. */
struct scram_keys {
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint32_t iterations; /* 0 = empty */
	uint8_t client_key[SCRAM_KEY];
	uint8_t server_key[SCRAM_KEY];
};

/* PBKDF2: milliseconds, so not in an event loop. 0, or -1 (OpenSSL could not). */
int scram_keys_derive(struct scram_keys *, const char *password, const uint8_t *salt,
    size_t salt_len, uint32_t iterations);

/* The channel that a login may be bound to: TLS, by tls-server-end-point (RFC 5929). */
#define SCRAM_BINDING_MAX 64

struct scram_channel {
	bool offered;	     /* SCRAM-SHA-256-PLUS stood in the server's list */
	bool used;	     /* ... and was chosen */
	const uint8_t *data; /* hash of the server's certificate */
	size_t len;	     /* 0 = there is none to bind to */
};

struct scram_client {
	char nonce[48];
	char gs2[32]; /* the header of client-first */
	char
	    binding[4 * (SCRAM_BINDING_MAX + 32) / 3 + 4]; /* that and the channel's data, base64 */
	char server_first[SCRAM_MESSAGE_MAX];
	char auth_message[3 * SCRAM_MESSAGE_MAX];
	struct scram_keys keys;
};

/*
 * Writes client-first-message into out. `nonce` NULL = random. Length or -1.
 *
 * The channel (NULL = none) decides the gs2 flag: p = bound to it; y = we could, and the server has
 * not offered it: a server that has will know that somebody took it out of its list; n = we cannot.
 */
int scram_client_first(
    struct scram_client *, const struct scram_channel *, const char *nonce, char *out, size_t size);
/* Would scram_client_final have to derive keys for this server-first-message? Then salt and
 * iterations are in *wanted: derive elsewhere, into the cache. */
bool scram_client_slow(const struct scram_client *, const struct scram_keys *cache,
    const char *server_first, size_t len, struct scram_keys *wanted);
/*
 * Reads server-first-message, writes client-final-message. `cache` (may be NULL) is used when salt
 * and iterations match and refreshed when not; without a password (NULL) it must match. Length, or
 * -1 with a reason in `why` (a static string).
 */
int scram_client_final(struct scram_client *, const char *password, struct scram_keys *cache,
    const char *server_first, size_t len, char *out, size_t size, const char **why);
/* Verifies server-final-message: proof that the server knows the password too. */
bool scram_client_verify(struct scram_client *, const char *server_final, size_t len);

/* "md5" + md5(password + user) in hex, 35 characters: as PostgreSQL stores it. 0 or -1 (OpenSSL
 * without MD5). */
int scram_md5_stored(const char *user, const char *password, char out[36]);
/* "md5" + md5(md5(password + user) + salt) in hex: the answer to a challenge. `secret` is the
 * password or what scram_md5_stored() makes of it. 0 or -1. */
int scram_md5(const char *user, const char *secret, const uint8_t salt[4], char out[36]);

#endif

/*
 * scram_server: what a client that logs in to us is checked against: SCRAM-SHA-256 as a server (RFC
 * 5802, 5929, 7677; PostgreSQL's SASL chapter), PostgreSQL's MD5 challenge and stored secrets.
 *
 * Pure: no fds, no globals. Nothing here takes longer than a few hashes; PBKDF2 is
 * scram_keys_derive().
 */
#ifndef PROTO_SCRAM_SERVER_H
#define PROTO_SCRAM_SERVER_H

#include "proto/scram.h"

/* What pg_authid.rolpassword or an auth_file holds. */
enum scram_secret {
	SCRAM_SECRET_PLAIN,
	SCRAM_SECRET_MD5,     /* "md5" + 32 lower-case hex digits */
	SCRAM_SECRET_VERIFIER /* "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>" */
};
enum scram_secret scram_secret_kind(const char *secret);

struct scram_verifier {
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint32_t iterations;
	uint8_t stored_key[SCRAM_KEY];
	uint8_t server_key[SCRAM_KEY];
};

/* 0, or -1 when the text is no verifier. */
int scram_verifier_parse(const char *text, struct scram_verifier *);
/* The verifier of derived keys. 0 or -1. */
int scram_verifier_of(const struct scram_keys *, struct scram_verifier *);
/* Do these keys (derived with the verifier's salt from a password that somebody claims) fit? Wipes
 * nothing; constant time. */
bool scram_verifier_fits(const struct scram_verifier *, const struct scram_keys *);

/*
 * For a user who does not exist: salt and keys that depend on the name and an instance's secret
 * only, so that asking twice tells nothing. The same salt serves those whose password is stored in
 * plain text.
 */
#define SCRAM_OWN_SALT 16
int scram_own_salt(
    const uint8_t instance[SCRAM_KEY], const char *user, uint8_t salt[SCRAM_OWN_SALT]);
int scram_verifier_mock(const uint8_t instance[SCRAM_KEY], const char *user, uint32_t iterations,
    struct scram_verifier *);

enum scram_result {
	SCRAM_OK,
	SCRAM_MALFORMED, /* *why says it: 08P01 */
	SCRAM_WRONG	 /* the password is another one: 28P01 */
};

struct scram_server {
	struct scram_verifier verifier;
	char gs2[64];			      /* the header as the client sent it */
	char client_first[SCRAM_MESSAGE_MAX]; /* without the header */
	char server_first[SCRAM_MESSAGE_MAX]; /* as we sent it */
	char nonce[SCRAM_MESSAGE_MAX / 2];    /* the client's and ours */
	uint8_t client_key[SCRAM_KEY];	      /* after SCRAM_OK: what the client has proved */
};

/* Reads client-first-message, writes server-first-message (`verifier` is set by the caller before).
 * `nonce`: our part of it, NULL = random. */
enum scram_result scram_server_first(struct scram_server *, const struct scram_channel *,
    const char *nonce, const char *client_first, size_t len, char *out, size_t size,
    const char **why);
/* Reads client-final-message, writes server-final-message. */
enum scram_result scram_server_final(struct scram_server *, const struct scram_channel *,
    const char *client_final, size_t len, char *out, size_t size, const char **why);

/* Is `answer` the right one to an MD5 challenge? The secret is plain text or MD5. Constant time. */
bool scram_md5_fits(
    const char *user, const char *secret, const uint8_t salt[4], const char *answer);
/* Is `password` that of a plain or MD5 secret? Constant time but for the password's length. */
bool scram_password_fits(const char *user, const char *secret, const char *password);

#endif

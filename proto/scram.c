/*
 * scram: the client's half of SCRAM-SHA-256 and of SCRAM-SHA-256-PLUS, and PostgreSQL's MD5 answer.
 *
 * Called by the worker when it logs in to a server. Owns nothing; secrets on the stack are wiped
 * before it returns. A server's messages are not trusted: whatever is not exactly RFC 5802's
 * grammar as PostgreSQL speaks it is refused, with a reason.
 *
 * PostgreSQL's ways: the user name in client-first is empty (the startup packet has it), and no
 * extensions follow the iteration count. The password's bytes are used as they are. That equals
 * SASLprep for ASCII without control characters and for most text that is in NFKC already; a
 * password that SASLprep would change (a no-break space, a compatibility character) does not match.
 */
#include "proto/scram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "proto/scram_bytes.h"
#include "proto/scram_server.h"

/* server-first-message taken apart; pointers into it. */
struct server_first {
	const char *nonce;
	size_t nonce_len;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint32_t iterations;
};

/* Is the server's nonce ours with something printable added? */
static bool
nonce_extends(const struct server_first *first, const char *ours)
{
	size_t len = strlen(ours);

	if (first->nonce_len <= len || memcmp(first->nonce, ours, len) != 0)
		return false;
	for (size_t i = len; i < first->nonce_len; i++)
		if (first->nonce[i] < 0x21 || first->nonce[i] > 0x7E)
			return false;
	return true;
}

/* NULL, or why the message is refused. */
static const char *
parse_server_first(const char *s, const char *nonce, struct server_first *first)
{
	const char *value;
	size_t len;

	first->nonce = scram_attribute(&s, 'r', &first->nonce_len);
	if (first->nonce == NULL)
		return "malformed SCRAM message: nonce expected";
	if (!nonce_extends(first, nonce))
		return "invalid SCRAM nonce: it does not extend ours";
	value = scram_attribute(&s, 's', &len);
	if (value == NULL || scram_base64_decode(value, len, first->salt, sizeof(first->salt),
				 &first->salt_len) == -1)
		return "malformed SCRAM message: invalid salt";
	value = scram_attribute(&s, 'i', &len);
	if (value == NULL)
		return "malformed SCRAM message: iteration count expected";
	first->iterations = scram_iterations(value, len);
	if (first->iterations == 0)
		return "SCRAM iteration count is invalid or too high";
	if (value[len] != '\0')
		return "malformed SCRAM message: garbage at the end";
	return NULL;
}

static bool
keys_match(const struct scram_keys *keys, const struct server_first *first)
{
	return keys->iterations != 0 && keys->iterations == first->iterations &&
	       keys->salt_len == first->salt_len &&
	       memcmp(keys->salt, first->salt, first->salt_len) == 0;
}

/* RFC 5802 section 3: SaltedPassword, ClientKey, ServerKey. */
int
scram_keys_derive(struct scram_keys *keys, const char *password, const uint8_t *salt,
    size_t salt_len, uint32_t iterations)
{
	uint8_t salted[SCRAM_KEY];
	size_t len = strlen(password);
	bool ok;

	memset(keys, 0, sizeof(*keys));
	ok = len <= INT32_MAX && salt_len <= SCRAM_SALT_MAX &&
	     PKCS5_PBKDF2_HMAC(password, (int)len, salt, (int)salt_len, (int)iterations,
		 EVP_sha256(), sizeof(salted), salted) == 1 &&
	     scram_hmac(salted, "Client Key", 10, keys->client_key) &&
	     scram_hmac(salted, "Server Key", 10, keys->server_key);
	OPENSSL_cleanse(salted, sizeof(salted));
	if (!ok) {
		OPENSSL_cleanse(keys, sizeof(*keys));
		return -1;
	}
	memcpy(keys->salt, salt, salt_len);
	keys->salt_len = salt_len;
	keys->iterations = iterations;
	return 0;
}

/* ClientProof = ClientKey XOR HMAC(H(ClientKey), AuthMessage), in base64. */
static bool
client_proof(const struct scram_client *c, char out[SCRAM_KEY_TEXT])
{
	uint8_t stored[SCRAM_KEY];
	uint8_t proof[SCRAM_KEY];
	bool ok;

	ok = scram_hash(c->keys.client_key, stored) &&
	     scram_hmac(stored, c->auth_message, strlen(c->auth_message), proof);
	if (ok) {
		for (size_t i = 0; i < SCRAM_KEY; i++)
			proof[i] ^= c->keys.client_key[i];
		(void)EVP_EncodeBlock((uint8_t *)out, proof, SCRAM_KEY);
	}
	OPENSSL_cleanse(stored, sizeof(stored));
	return ok;
}

/* `user` is empty for PostgreSQL; the RFC's test vector has one. */
static int
write_auth_message(struct scram_client *c, const char *user, const struct server_first *first)
{
	return scram_print(c->auth_message, sizeof(c->auth_message), "n=%s,r=%s,%s,c=%s,r=%.*s",
	    user, c->nonce, c->server_first, c->binding, (int)first->nonce_len, first->nonce);
}

/* The gs2 header (no authzid), and what c= will say: the header and the channel's data. */
static int
bind_channel(struct scram_client *c, const struct scram_channel *channel)
{
	uint8_t bytes[SCRAM_BINDING_MAX + sizeof(c->gs2)];
	bool used = channel != NULL && channel->used;
	size_t n;

	if (used && (channel->len == 0 || channel->len > SCRAM_BINDING_MAX))
		return -1;
	strcpy(c->gs2, "n,,");
	if (used)
		strcpy(c->gs2, "p=" SCRAM_BINDING_TYPE ",,");
	else if (channel != NULL && channel->len > 0 && !channel->offered)
		c->gs2[0] = 'y';
	n = strlen(c->gs2);
	memcpy(bytes, c->gs2, n);
	if (used) {
		memcpy(bytes + n, channel->data, channel->len);
		n += channel->len;
	}
	(void)EVP_EncodeBlock((uint8_t *)c->binding, bytes, (int)n);
	return 0;
}

int
scram_client_first(struct scram_client *c, const struct scram_channel *channel, const char *nonce,
    char *out, size_t size)
{
	memset(c, 0, sizeof(*c));
	if (bind_channel(c, channel) == -1)
		return -1;
	if (nonce == NULL) {
		_Static_assert(SCRAM_BASE64_SIZE(SCRAM_NONCE_BYTES) < sizeof(c->nonce), "it fits");
		scram_nonce(c->nonce);
	} else if (*nonce == '\0' || scram_print(c->nonce, sizeof(c->nonce), "%s", nonce) == -1) {
		return -1;
	}
	return scram_print(out, size, "%sn=,r=%s", c->gs2, c->nonce);
}

/* Checks server-first and keeps it, gets the keys and the AuthMessage. NULL or why not. */
static const char *
answer(struct scram_client *c, const char *user, const char *password, struct scram_keys *cache,
    struct server_first *first)
{
	const char *why = parse_server_first(c->server_first, c->nonce, first);

	if (why != NULL)
		return why;
	if (write_auth_message(c, user, first) == -1)
		return "SCRAM message too long";
	if (cache != NULL && keys_match(cache, first)) {
		c->keys = *cache;
		return NULL;
	}
	if (password == NULL)
		return "the password is not known, and the server's salt is not that of the login";
	if (scram_keys_derive(
		&c->keys, password, first->salt, first->salt_len, first->iterations) == -1)
		return "OpenSSL could not derive the SCRAM keys";
	if (cache != NULL)
		*cache = c->keys;
	return NULL;
}

/* scram_client_final for any user name. */
static int
final_for(struct scram_client *c, const char *user, const char *password, struct scram_keys *cache,
    char *out, size_t size, const char **why)
{
	struct server_first first;
	char proof[SCRAM_KEY_TEXT];
	int n = -1;

	*why = answer(c, user, password, cache, &first);
	if (*why != NULL)
		goto out;
	*why = "OpenSSL could not compute the SCRAM proof";
	if (!client_proof(c, proof))
		goto out;
	*why = "SCRAM message too long";
	n = scram_print(
	    out, size, "c=%s,r=%.*s,p=%s", c->binding, (int)first.nonce_len, first.nonce, proof);
	if (n != -1)
		*why = NULL;
out:
	if (n == -1)
		OPENSSL_cleanse(&c->keys, sizeof(c->keys));
	return n;
}

bool
scram_client_slow(const struct scram_client *c, const struct scram_keys *cache,
    const char *server_first, size_t len, struct scram_keys *wanted)
{
	char text[SCRAM_MESSAGE_MAX];
	struct server_first first;

	if (len >= sizeof(text) || memchr(server_first, '\0', len) != NULL)
		return false;
	memcpy(text, server_first, len);
	text[len] = '\0';
	if (parse_server_first(text, c->nonce, &first) != NULL || keys_match(cache, &first))
		return false;
	memset(wanted, 0, sizeof(*wanted));
	memcpy(wanted->salt, first.salt, first.salt_len);
	wanted->salt_len = first.salt_len;
	wanted->iterations = first.iterations;
	return true;
}

int
scram_client_final(struct scram_client *c, const char *password, struct scram_keys *cache,
    const char *server_first, size_t len, char *out, size_t size, const char **why)
{
	c->keys.iterations = 0;
	if (len >= sizeof(c->server_first)) {
		*why = "SCRAM message too long";
		return -1;
	}
	if (len == 0 || memchr(server_first, '\0', len) != NULL) {
		*why = "malformed SCRAM message: empty or with a zero byte";
		return -1;
	}
	memcpy(c->server_first, server_first, len);
	c->server_first[len] = '\0';
	return final_for(c, "", password, cache, out, size, why);
}

bool
scram_client_verify(struct scram_client *c, const char *server_final, size_t len)
{
	uint8_t expected[SCRAM_KEY];
	uint8_t signature[SCRAM_KEY];
	size_t n;
	bool ok;

	/* No keys, no proof: with a key of zeros anybody could sign. */
	ok =
	    c->keys.iterations != 0 && len > 2 && memcmp(server_final, "v=", 2) == 0 &&
	    scram_base64_decode(server_final + 2, len - 2, signature, sizeof(signature), &n) == 0 &&
	    n == sizeof(signature) &&
	    scram_hmac(c->keys.server_key, c->auth_message, strlen(c->auth_message), expected) &&
	    CRYPTO_memcmp(signature, expected, sizeof(expected)) == 0;
	OPENSSL_cleanse(&c->keys, sizeof(c->keys));
	OPENSSL_cleanse(expected, sizeof(expected));
	return ok;
}

/* Hex MD5 of a followed by b. False when OpenSSL has no MD5 (FIPS). */
static bool
md5_hex(const void *a, size_t a_len, const void *b, size_t b_len, char out[33])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t sum[16];
	bool ok = scram_digest(scram_md5_digest(), a, a_len, b, b_len, sum);

	for (size_t i = 0; ok && i < sizeof(sum); i++) {
		out[2 * i] = digits[sum[i] >> 4];
		out[2 * i + 1] = digits[sum[i] & 15];
	}
	out[32] = '\0';
	OPENSSL_cleanse(sum, sizeof(sum));
	return ok;
}

int
scram_md5_stored(const char *user, const char *password, char out[36])
{
	if (!md5_hex(password, strlen(password), user, strlen(user), out + 3))
		return -1;
	memcpy(out, "md5", 3);
	return 0;
}

int
scram_md5(const char *user, const char *secret, const uint8_t salt[4], char out[36])
{
	char stored[36];
	bool ok;

	if (scram_secret_kind(secret) == SCRAM_SECRET_MD5)
		memcpy(stored, secret, sizeof(stored));
	else if (scram_md5_stored(user, secret, stored) == -1)
		return -1;
	ok = md5_hex(stored + 3, 32, salt, 4, out + 3);
	OPENSSL_cleanse(stored, sizeof(stored));
	if (!ok)
		return -1;
	memcpy(out, "md5", 3);
	return 0;
}

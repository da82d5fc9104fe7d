/*
 * scram: the client's half of SCRAM-SHA-256 without channel binding, and PostgreSQL's MD5 answer.
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

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define NONCE_BYTES	  24		      /* random ones; 32 characters */
#define BASE64_SIZE(n)	  (((n) + 2) / 3 * 4) /* characters of n bytes */
#define GS2_HEADER	  "n,,"		      /* no channel binding, no authzid */
#define CHANNEL_BINDING	  "c=biws"	      /* base64 of GS2_HEADER */
#define BASE64_DECODE_MAX (BASE64_SIZE(SCRAM_SALT_MAX) / 4 * 3)

/* server-first-message taken apart; pointers into it. */
struct server_first {
	const char *nonce;
	size_t nonce_len;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint32_t iterations;
};

/* snprintf that fails rather than cuts. Length or -1. */
static int print(char *out, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int
print(char *out, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out, size, fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= size ? -1 : n;
}

/*
 * Base64 into at most `size` bytes; *len says how many. Encoding back and comparing refuses what
 * EVP_DecodeBlock lets pass: white space, wrong padding, stray bits.
 */
static int
base64_decode(const char *in, size_t in_len, uint8_t *out, size_t size, size_t *len)
{
	uint8_t bytes[BASE64_DECODE_MAX];
	uint8_t again[BASE64_SIZE(BASE64_DECODE_MAX) + 1];
	size_t n = in_len / 4 * 3;
	int result = -1;

	if (in_len == 0 || in_len % 4 != 0 || n > sizeof(bytes))
		return -1;
	n -= (size_t)(in[in_len - 1] == '=') + (size_t)(in[in_len - 2] == '=');
	if (n > size || EVP_DecodeBlock(bytes, (const uint8_t *)in, (int)in_len) < 0)
		return -1;
	if (EVP_EncodeBlock(again, bytes, (int)n) == (int)in_len &&
	    memcmp(again, in, in_len) == 0) {
		memcpy(out, bytes, n);
		*len = n;
		result = 0;
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return result;
}

static bool
hmac(const uint8_t key[SCRAM_KEY], const char *text, size_t len, uint8_t out[SCRAM_KEY])
{
	return HMAC(EVP_sha256(), key, SCRAM_KEY, (const uint8_t *)text, len, out, NULL) != NULL;
}

/*
 * Takes `X=value` from the front of *s, and the comma behind it if one follows. NULL when it is not
 * there.
 */
static const char *
take_attribute(const char **s, char name, size_t *len)
{
	const char *value;

	if ((*s)[0] != name || (*s)[1] != '=')
		return NULL;
	value = *s + 2;
	*len = strcspn(value, ",");
	*s = value + *len;
	if (**s == ',')
		(*s)++;
	return value;
}

/* The count in i=: digits only, no sign, no leading zero. 0 = not acceptable. */
static uint32_t
parse_iterations(const char *s, size_t len)
{
	uint32_t n = 0;

	if (len == 0 || *s == '0')
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return 0;
		n = n * 10 + (uint32_t)(s[i] - '0');
		if (n > SCRAM_ITERATIONS_MAX)
			return 0;
	}
	return n;
}

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

	first->nonce = take_attribute(&s, 'r', &first->nonce_len);
	if (first->nonce == NULL)
		return "malformed SCRAM message: nonce expected";
	if (!nonce_extends(first, nonce))
		return "invalid SCRAM nonce: it does not extend ours";
	value = take_attribute(&s, 's', &len);
	if (value == NULL ||
	    base64_decode(value, len, first->salt, sizeof(first->salt), &first->salt_len) == -1)
		return "malformed SCRAM message: invalid salt";
	value = take_attribute(&s, 'i', &len);
	if (value == NULL)
		return "malformed SCRAM message: iteration count expected";
	first->iterations = parse_iterations(value, len);
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
static bool
keys_derive(struct scram_keys *keys, const char *password, const struct server_first *first)
{
	uint8_t salted[SCRAM_KEY];
	size_t len = strlen(password);
	bool ok;

	memset(keys, 0, sizeof(*keys));
	ok = len <= INT32_MAX &&
	     PKCS5_PBKDF2_HMAC(password, (int)len, first->salt, (int)first->salt_len,
		 (int)first->iterations, EVP_sha256(), sizeof(salted), salted) == 1 &&
	     hmac(salted, "Client Key", 10, keys->client_key) &&
	     hmac(salted, "Server Key", 10, keys->server_key);
	OPENSSL_cleanse(salted, sizeof(salted));
	if (!ok) {
		OPENSSL_cleanse(keys, sizeof(*keys));
		return false;
	}
	memcpy(keys->salt, first->salt, first->salt_len);
	keys->salt_len = first->salt_len;
	keys->iterations = first->iterations;
	return true;
}

/* ClientProof = ClientKey XOR HMAC(H(ClientKey), AuthMessage), in base64. */
static bool
client_proof(const struct scram_client *c, char out[BASE64_SIZE(SCRAM_KEY) + 1])
{
	uint8_t stored[SCRAM_KEY];
	uint8_t proof[SCRAM_KEY];
	bool ok;

	ok = EVP_Digest(c->keys.client_key, SCRAM_KEY, stored, NULL, EVP_sha256(), NULL) == 1 &&
	     hmac(stored, c->auth_message, strlen(c->auth_message), proof);
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
	return print(c->auth_message, sizeof(c->auth_message),
	    "n=%s,r=%s,%s," CHANNEL_BINDING ",r=%.*s", user, c->nonce, c->server_first,
	    (int)first->nonce_len, first->nonce);
}

int
scram_client_first(struct scram_client *c, const char *nonce, char *out, size_t size)
{
	uint8_t random[NONCE_BYTES];

	memset(c, 0, sizeof(*c));
	if (nonce == NULL) {
		_Static_assert(BASE64_SIZE(NONCE_BYTES) < sizeof(c->nonce), "the nonce must fit");
		arc4random_buf(random, sizeof(random));
		(void)EVP_EncodeBlock((uint8_t *)c->nonce, random, sizeof(random));
	} else if (*nonce == '\0' || print(c->nonce, sizeof(c->nonce), "%s", nonce) == -1) {
		return -1;
	}
	return print(out, size, GS2_HEADER "n=,r=%s", c->nonce);
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
	if (!keys_derive(&c->keys, password, first))
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
	char proof[BASE64_SIZE(SCRAM_KEY) + 1];
	int n = -1;

	*why = answer(c, user, password, cache, &first);
	if (*why != NULL)
		goto out;
	*why = "OpenSSL could not compute the SCRAM proof";
	if (!client_proof(c, proof))
		goto out;
	*why = "SCRAM message too long";
	n = print(
	    out, size, CHANNEL_BINDING ",r=%.*s,p=%s", (int)first.nonce_len, first.nonce, proof);
	if (n != -1)
		*why = NULL;
out:
	if (n == -1)
		OPENSSL_cleanse(&c->keys, sizeof(c->keys));
	return n;
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
	ok = c->keys.iterations != 0 && len > 2 && memcmp(server_final, "v=", 2) == 0 &&
	     base64_decode(server_final + 2, len - 2, signature, sizeof(signature), &n) == 0 &&
	     n == sizeof(signature) &&
	     hmac(c->keys.server_key, c->auth_message, strlen(c->auth_message), expected) &&
	     CRYPTO_memcmp(signature, expected, sizeof(expected)) == 0;
	OPENSSL_cleanse(&c->keys, sizeof(c->keys));
	OPENSSL_cleanse(expected, sizeof(expected));
	return ok;
}

/* Hex MD5 of a followed by b. False when OpenSSL has no MD5 (FIPS). */
static bool
md5_hex(const void *a, size_t a_len, const void *b, size_t b_len, char out[33])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t sum[16];
	bool ok;

	if (ctx == NULL)
		return false;
	ok = EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 && EVP_DigestUpdate(ctx, a, a_len) == 1 &&
	     EVP_DigestUpdate(ctx, b, b_len) == 1 && EVP_DigestFinal_ex(ctx, sum, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	for (size_t i = 0; ok && i < sizeof(sum); i++)
		(void)snprintf(out + 2 * i, 3, "%02x", sum[i]);
	OPENSSL_cleanse(sum, sizeof(sum));
	return ok;
}

int
scram_md5(const char *user, const char *password, const uint8_t salt[4], char out[36])
{
	char inner[33];
	bool ok;

	ok = md5_hex(password, strlen(password), user, strlen(user), inner) &&
	     md5_hex(inner, 32, salt, 4, out + 3);
	OPENSSL_cleanse(inner, sizeof(inner));
	if (!ok)
		return -1;
	memcpy(out, "md5", 3);
	return 0;
}

/* scram_bytes: see scram_bytes.h. Called by scram.c and scram_server.c; owns nothing. */
#include "proto/scram_bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define HMAC_BLOCK 64 /* of SHA-256 */

int
scram_print(char *out, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out, size, fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= size ? -1 : n;
}

/* Encoding back and comparing refuses what EVP_DecodeBlock lets pass: white space, wrong padding,
 * stray bits. */
int
scram_base64_decode(const char *in, size_t in_len, uint8_t *out, size_t size, size_t *len)
{
	uint8_t bytes[SCRAM_BASE64_DECODE_MAX];
	uint8_t again[SCRAM_BASE64_SIZE(SCRAM_BASE64_DECODE_MAX) + 1];
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

/* Fetched once: OpenSSL 3 looks an algorithm up by name in each call else, which costs more than a
 * login's hashes themselves. NULL where it has none (MD5 under FIPS). */
static CRYPTO_ONCE fetched = CRYPTO_ONCE_STATIC_INIT;
static EVP_MD *sha256, *md5;

static void
fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	md5 = EVP_MD_fetch(NULL, "MD5", NULL);
}

const EVP_MD *
scram_sha256(void)
{
	(void)CRYPTO_THREAD_run_once(&fetched, fetch);
	return sha256;
}

const EVP_MD *
scram_md5_digest(void)
{
	(void)CRYPTO_THREAD_run_once(&fetched, fetch);
	return md5;
}

/* Each thread keeps a context for each algorithm, ready for the next use: making one costs more
 * than the hash of a short text. NULL: there is none. */
static EVP_MD_CTX **
kept_context(const EVP_MD *md)
{
	static _Thread_local EVP_MD_CTX *of_sha256, *of_md5;
	EVP_MD_CTX **ctx = md == sha256 ? &of_sha256 : &of_md5;

	if (*ctx == NULL && md != NULL && (*ctx = EVP_MD_CTX_new()) != NULL &&
	    EVP_DigestInit_ex(*ctx, md, NULL) != 1) {
		EVP_MD_CTX_free(*ctx);
		*ctx = NULL;
	}
	return ctx;
}

bool
scram_digest(
    const EVP_MD *md, const void *a, size_t a_len, const void *b, size_t b_len, uint8_t *out)
{
	EVP_MD_CTX **ctx = kept_context(md);
	bool ok = *ctx != NULL && EVP_DigestUpdate(*ctx, a, a_len) == 1 &&
		  EVP_DigestUpdate(*ctx, b, b_len) == 1 && EVP_DigestFinal_ex(*ctx, out, NULL) == 1;

	/* fresh again, and nothing of the text is left in it */
	if (!ok || EVP_DigestInit_ex(*ctx, NULL, NULL) != 1) {
		EVP_MD_CTX_free(*ctx);
		*ctx = NULL;
	}
	return ok;
}

/* RFC 2104, for a key shorter than a block. */
bool
scram_hmac(const uint8_t key[SCRAM_KEY], const char *text, size_t len, uint8_t out[SCRAM_KEY])
{
	uint8_t inner[HMAC_BLOCK], outer[HMAC_BLOCK];
	bool ok;

	memset(inner, 0x36, sizeof(inner));
	memset(outer, 0x5c, sizeof(outer));
	for (size_t i = 0; i < SCRAM_KEY; i++) {
		inner[i] ^= key[i];
		outer[i] ^= key[i];
	}
	ok = scram_digest(scram_sha256(), inner, sizeof(inner), text, len, out) &&
	     scram_digest(scram_sha256(), outer, sizeof(outer), out, SCRAM_KEY, out);
	OPENSSL_cleanse(inner, sizeof(inner));
	OPENSSL_cleanse(outer, sizeof(outer));
	return ok;
}

bool
scram_hash(const uint8_t in[SCRAM_KEY], uint8_t out[SCRAM_KEY])
{
	return scram_digest(scram_sha256(), in, SCRAM_KEY, "", 0, out);
}

void
scram_nonce(char out[SCRAM_BASE64_SIZE(SCRAM_NONCE_BYTES) + 1])
{
	uint8_t random[SCRAM_NONCE_BYTES];

	arc4random_buf(random, sizeof(random));
	(void)EVP_EncodeBlock((uint8_t *)out, random, sizeof(random));
}

const char *
scram_attribute(const char **s, char name, size_t *len)
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

uint32_t
scram_iterations(const char *s, size_t len)
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

bool
scram_printable(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] < 0x21 || s[i] > 0x7E || s[i] == ',')
			return false;
	return len > 0;
}

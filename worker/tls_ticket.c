/*
 * tls_ticket: see tls.h. Called by OpenSSL when it makes or gets a session ticket.
 *
 * Time is cut into periods. Each has a key of its own, made at random by the worker that needs it
 * first, kept in shm/secrets and so the same for all, outliving each of them. Tickets are made with
 * the present period's key and taken with that of the last one, too; older keys are dropped, so
 * that a memory image taken later does not open what was recorded before. A key that got lost costs
 * a full handshake and nothing else.
 */
#include <string.h>
#include <bsd/stdlib.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/ssl.h>

#include "conf/log.h"
#include "shm/secrets.h"
#include "worker/state.h"
#include "worker/tls.h"

#define PERIOD_US  3600000000LL
#define SESSION_S  3600 /* tickets are good for so long */
#define KEY_NAME   16
#define KEY_CIPHER 32

_Static_assert(SECRETS_VALUE == 2 * KEY_CIPHER, "a key to encrypt, a key to authenticate");

/* What the key of a period is found under; the ticket begins with a part of it. */
static void
make_id(int64_t period, uint8_t id[SECRETS_ID])
{
	const uint8_t *instance = secrets_instance(wk->boot->secrets);
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(md, "ticket", 6) != 1 || EVP_DigestUpdate(md, instance, 32) != 1 ||
	    EVP_DigestUpdate(md, &period, sizeof(period)) != 1 ||
	    EVP_DigestFinal_ex(md, id, NULL) != 1)
		fatalx("OpenSSL cannot compute SHA-256");
	EVP_MD_CTX_free(md);
}

static bool
load(int64_t period, uint8_t id[SECRETS_ID], uint8_t key[SECRETS_VALUE])
{
	make_id(period, id);
	return secrets_get(wk->boot->secrets, id, loop_now(), key);
}

/* The present period's key. Whoever makes it reads it again: another worker may have made one in
 * the same moment, and the last one stays. */
static bool
present(int64_t period, uint8_t id[SECRETS_ID], uint8_t key[SECRETS_VALUE])
{
	uint8_t old[SECRETS_ID];

	if (load(period, id, key))
		return true;
	arc4random_buf(key, SECRETS_VALUE);
	secrets_put(wk->boot->secrets, id, loop_now(), key);
	make_id(period - 2, old);
	secrets_drop(wk->boot->secrets, old);
	return load(period, id, key);
}

/* The key that has this name. 1 = the present one, 2 = the last one's, 0 = neither. */
static int
by_name(int64_t period, const unsigned char *name, uint8_t key[SECRETS_VALUE])
{
	uint8_t id[SECRETS_ID];
	int back;

	for (back = 0; back < 2; back++)
		if (load(period - back, id, key) && memcmp(name, id, KEY_NAME) == 0)
			return back + 1;
	return 0;
}

static bool
set_keys(const uint8_t key[SECRETS_VALUE], const unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, bool make)
{
	OSSL_PARAM params[3];
	char digest[] = "SHA256";
	uint8_t mac_key[KEY_CIPHER];
	bool good;

	memcpy(mac_key, key + KEY_CIPHER, sizeof(mac_key));
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key, sizeof(mac_key));
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
	params[2] = OSSL_PARAM_construct_end();
	good = EVP_MAC_CTX_set_params(mac, params) == 1 &&
	       (make ? EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key, iv)
		     : EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key, iv)) == 1;
	explicit_bzero(mac_key, sizeof(mac_key));
	return good;
}

/* OpenSSL's terms: 1 = done, 2 = done and a fresh ticket is due, 0 = no ticket, -1 = failed. */
static int
ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int make)
{
	int64_t period = loop_now() / PERIOD_US;
	uint8_t id[SECRETS_ID], key[SECRETS_VALUE];
	int rc;

	(void)ssl;
	if (make) {
		rc = present(period, id, key) ? 1 : 0;
		if (rc == 1) {
			memcpy(name, id, KEY_NAME);
			arc4random_buf(iv, (size_t)EVP_CIPHER_get_iv_length(EVP_aes_256_cbc()));
		}
	} else {
		rc = by_name(period, name, key);
	}
	if (rc > 0 && !set_keys(key, iv, cipher, mac, make))
		rc = -1;
	explicit_bzero(key, sizeof(key));
	return rc;
}

void
tls_ticket_hook(SSL_CTX *ctx)
{
	(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key);
	(void)SSL_CTX_set_timeout(ctx, SESSION_S);
}

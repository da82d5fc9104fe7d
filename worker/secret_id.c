/* secret_id: see secret_id.h. Called by keys.c and lookup.c. No SHA-256, no service: it is fatal.
 */
#include "worker/secret_id.h"

#include <string.h>

#include <openssl/evp.h>

#include "conf/log.h"
#include "proto/scram_bytes.h"
#include "worker/state.h"

#define INSTANCE_BYTES 32

static bool
add_piece(EVP_MD_CTX *md, const void *bytes, size_t len)
{
	uint64_t n = len;

	return EVP_DigestUpdate(md, &n, sizeof(n)) == 1 && EVP_DigestUpdate(md, bytes, len) == 1;
}

/* The instance's secret goes before and after. */
void
secret_id(uint8_t id[SECRETS_ID], const char *use, const struct secret_piece *pieces, size_t n)
{
	const uint8_t *instance = secrets_instance(wk->boot->secrets);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md != NULL && EVP_DigestInit_ex(md, scram_sha256(), NULL) == 1 &&
		  add_piece(md, instance, INSTANCE_BYTES) && add_piece(md, use, strlen(use));
	size_t i;

	for (i = 0; ok && i < n; i++)
		ok = add_piece(md, pieces[i].bytes, pieces[i].len);
	if (!ok || !add_piece(md, instance, INSTANCE_BYTES) ||
	    EVP_DigestFinal_ex(md, id, NULL) != 1)
		fatalx("OpenSSL cannot compute SHA-256");
	EVP_MD_CTX_free(md);
}

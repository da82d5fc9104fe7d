/* tls_peer: see tls.h. Called by who checks names, and to show. Certificates are the SSL object's.
 */
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "worker/tls_private.h"

static const X509 *
client_cert(const struct conn *c)
{
	if (!tls_up(c) || !c->tls->ctx->asks)
		return NULL;
	return SSL_get0_peer_certificate(c->tls->ssl);
}

bool
tls_peer_verified(const struct conn *c)
{
	return client_cert(c) != NULL && SSL_get_verify_result(c->tls->ssl) == X509_V_OK;
}

/* A name with a zero byte in it would be another name to those who read it as text. */
const char *
tls_peer_cn(const struct conn *c)
{
	static char text[256];
	const X509_NAME *name;
	const ASN1_STRING *value;
	unsigned char *utf8 = NULL;
	int at, len;

	if (!tls_peer_verified(c))
		return NULL;
	name = X509_get_subject_name(client_cert(c));
	at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	if (at == -1)
		return NULL;
	value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
	len = ASN1_STRING_to_UTF8(&utf8, value);
	if (len < 0 || (size_t)len >= sizeof(text) || strlen((const char *)utf8) != (size_t)len) {
		OPENSSL_free(utf8);
		ERR_clear_error();
		return NULL;
	}
	memcpy(text, utf8, (size_t)len + 1);
	OPENSSL_free(utf8);
	return text;
}

const char *
tls_peer_dn(const struct conn *c)
{
	static char text[1024];
	BIO *out;
	int len;

	if (!tls_peer_verified(c) || (out = BIO_new(BIO_s_mem())) == NULL)
		return NULL;
	(void)X509_NAME_print_ex(out, X509_get_subject_name(client_cert(c)), 0, XN_FLAG_RFC2253);
	len = BIO_read(out, text, sizeof(text) - 1);
	if (len < 0 || BIO_pending(out) > 0)
		len = -1;
	else
		text[len] = '\0';
	BIO_free(out);
	ERR_clear_error();
	return len > 0 && strlen(text) == (size_t)len ? text : NULL;
}

/* RFC 5929, 4.1: the hash that the certificate's signature uses, but SHA-256 for MD5 and SHA-1. */
size_t
tls_channel_binding(const struct conn *c, uint8_t out[TLS_BINDING_MAX])
{
	const X509 *cert;
	const EVP_MD *md;
	unsigned int len = 0;
	int nid = NID_undef;

	if (!tls_up(c))
		return 0;
	cert = c->tls->ctx->server ? SSL_get_certificate(c->tls->ssl)
				   : SSL_get0_peer_certificate(c->tls->ssl);
	/* the cast: OpenSSL 3.0 fills in a cache */
	if (cert == NULL ||
	    X509_get_signature_info((X509 *)(uintptr_t)cert, &nid, NULL, NULL, NULL) != 1) {
		ERR_clear_error();
		return 0;
	}
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	md = EVP_get_digestbynid(nid);
	if (md == NULL || (size_t)EVP_MD_get_size(md) > TLS_BINDING_MAX ||
	    X509_digest(cert, md, out, &len) != 1) {
		ERR_clear_error();
		return 0;
	}
	return len;
}

const char *
tls_host(const struct conn *c)
{
	return c->tls == NULL || c->tls->place == NULL ? NULL : c->tls->place->host;
}

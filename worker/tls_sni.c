/*
 * tls_sni: a listener with several certificates: a client is shown the one for the name by which it
 * knows us. Called by tls.c, once for each context. Who names nobody, or somebody whom no
 * certificate is for, is shown the first; whether that is good enough is the client's decision.
 */
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "worker/tls.h"

static bool
is_for(const SSL_CTX *ssl, const char *name)
{
	return X509_check_host(SSL_CTX_get0_certificate(ssl), name, 0,
		   X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

static bool
show(SSL *ssl, SSL_CTX *one)
{
	STACK_OF(X509) *chain = NULL;

	SSL_certs_clear(ssl); /* the first may be of another kind of key, and stay beside it */
	return SSL_CTX_get0_chain_certs(one, &chain) == 1 &&
	       SSL_use_cert_and_key(
		   ssl, SSL_CTX_get0_certificate(one), SSL_CTX_get0_privatekey(one), chain, 1) == 1;
}

/* OpenSSL asks when it has read the client's first words; also when a session is taken up again:
 * its certificate is what a channel is bound to. */
static int
choose(SSL *ssl, int *alert, void *arg)
{
	const struct tls_ctx *t = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	size_t i;

	if (name == NULL || is_for(t->ssl, name))
		return SSL_TLSEXT_ERR_OK;
	for (i = 0; i < t->nmore; i++) {
		if (!is_for(t->more[i], name))
			continue;
		*alert = SSL_AD_INTERNAL_ERROR;
		return show(ssl, t->more[i]) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

void
tls_sni_hook(struct tls_ctx *t)
{
	if (t->nmore == 0)
		return;
	(void)SSL_CTX_set_tlsext_servername_callback(t->ssl, choose);
	(void)SSL_CTX_set_tlsext_servername_arg(t->ssl, t);
}

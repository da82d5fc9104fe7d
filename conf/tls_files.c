/*
 * tls_files: see tls_files.h. Called by tls.c with bytes that are in memory already, so that the
 * master and all workers judge the same.
 *
 * OpenSSL's own error is shown where it helps; its queue is left empty.
 */
#include "conf/tls_files.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "conf/log.h"

static BIO *
reader(const char *pem, size_t len)
{
	BIO *b = len > INT_MAX ? NULL : BIO_new_mem_buf(pem, (int)len);

	if (b == NULL)
		fatalx("OpenSSL: no memory for a file");
	return b;
}

/* The first error in OpenSSL's queue after a text of ours. */
static const char *
openssl_says(const char *text)
{
	static char both[256];
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	snprintf(both, sizeof(both), "%s%s%s", text, reason == NULL ? "" : ": ",
	    reason == NULL ? "" : reason);
	ERR_clear_error();
	return both;
}

/* After a loop of PEM_read_...: NULL if the file simply ended. */
static const char *
ended_well(const char *text)
{
	unsigned long e = ERR_peek_last_error();

	if (e != 0 && (ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE))
		return openssl_says(text);
	ERR_clear_error();
	return NULL;
}

/* There is nobody to ask. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	bool *asked = arg;

	(void)buf;
	(void)size;
	(void)rwflag;
	*asked = true;
	return -1;
}

const char *
tls_use_cert(SSL_CTX *ctx, const char *pem, size_t len)
{
	BIO *in = reader(pem, len);
	X509 *x = PEM_read_bio_X509_AUX(in, NULL, NULL, NULL);
	const char *why = NULL;

	if (x == NULL)
		why = openssl_says("holds no certificate in PEM format");
	else if (SSL_CTX_use_certificate(ctx, x) != 1)
		why = openssl_says("the certificate cannot be used");
	X509_free(x);
	while (why == NULL && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL)
		if (SSL_CTX_add0_chain_cert(ctx, x) != 1) {
			X509_free(x);
			why = openssl_says("a certificate of the chain cannot be used");
		}
	if (why == NULL)
		why = ended_well("a certificate of the chain is broken");
	BIO_free(in);
	return why;
}

const char *
tls_use_key(SSL_CTX *ctx, const char *pem, size_t len)
{
	BIO *in = reader(pem, len);
	bool asked = false;
	EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, &asked);
	const char *why = NULL;

	if (asked)
		why = openssl_says("the private key is encrypted: a pass phrase cannot be given");
	else if (key == NULL)
		why = openssl_says("holds no private key in PEM format");
	else if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		why = openssl_says("the private key does not belong to the certificate");
	EVP_PKEY_free(key);
	BIO_free(in);
	return why;
}

const char *
tls_use_ca(SSL_CTX *ctx, const char *pem, size_t len, bool names)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *in = reader(pem, len);
	const char *why = NULL;
	X509 *x;
	int n = 0;

	while (why == NULL && (x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
		if (X509_STORE_add_cert(store, x) != 1 ||
		    (names && SSL_CTX_add_client_CA(ctx, x) != 1))
			why = openssl_says("a certificate cannot be used");
		X509_free(x);
		n++;
	}
	if (why == NULL)
		why = ended_well("a certificate is broken");
	BIO_free(in);
	return why == NULL && n == 0 ? "holds no certificate in PEM format" : why;
}

const char *
tls_use_crl(SSL_CTX *ctx, const char *pem, size_t len)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *in = reader(pem, len);
	const char *why = NULL;
	X509_CRL *x;
	int n = 0;

	while (why == NULL && (x = PEM_read_bio_X509_CRL(in, NULL, NULL, NULL)) != NULL) {
		if (X509_STORE_add_crl(store, x) != 1)
			why = openssl_says("a list cannot be used");
		X509_CRL_free(x);
		n++;
	}
	if (why == NULL)
		why = ended_well("a list is broken");
	BIO_free(in);
	if (why == NULL && n == 0)
		return "holds no list of revoked certificates in PEM format";
	if (why == NULL &&
	    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) != 1)
		return "OpenSSL cannot use it";
	return why;
}

const char *
tls_key_safe(const char *path, const char *user)
{
	const struct passwd *pw = user[0] == '\0' ? NULL : getpwnam(user);
	struct stat st;

	if (stat(path, &st) == -1)
		return strerror(errno);
	if (st.st_uid != 0 && st.st_uid != geteuid() && (pw == NULL || st.st_uid != pw->pw_uid))
		return "the private key must be owned by root or by the account that we run as";
	if (st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) != 0)
		return "the private key has too wide permissions: a file of root's may be u=rw,g=r "
		       "(0640) or less";
	if (st.st_uid != 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return "the private key has group or world access: it must be u=rw (0600) or less";
	return NULL;
}

int64_t
tls_cert_left(const SSL_CTX *ctx)
{
	const X509 *x = SSL_CTX_get0_certificate(ctx);
	int days = 0, seconds = 0;

	if (x == NULL || ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)) != 1)
		return INT64_MAX;
	return (int64_t)days * 86400 + seconds;
}

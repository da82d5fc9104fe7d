/*
 * tls_files: PEM files into an SSL_CTX. Private to conf/, called by tls.c.
 */
#ifndef CONF_TLS_FILES_H
#define CONF_TLS_FILES_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each takes the file's bytes and returns NULL, or what is wrong with them. The text is static. */
const char *tls_use_cert(SSL_CTX *, const char *pem, size_t len);
/* After the certificate: they must belong together. */
const char *tls_use_key(SSL_CTX *, const char *pem, size_t len);
/* `names`: they are told to clients that are asked for a certificate. */
const char *tls_use_ca(SSL_CTX *, const char *pem, size_t len, bool names);
const char *tls_use_crl(SSL_CTX *, const char *pem, size_t len);

/* May the private key be used, by who may read it? As PostgreSQL does: only its owner, or, if that
 * is root, its group. `user` is the account we shall run as, or "". NULL, or what is wrong. */
const char *tls_key_safe(const char *path, const char *user);

/* Seconds until the certificate of this context ends; negative = it has. */
int64_t tls_cert_left(const SSL_CTX *);

#endif

/*
 * tls: what TLS needs of the configuration: for each setting in force (a listener's, a database's)
 * one SSL_CTX with its files read and checked. Made when a configuration is loaded, so that a wrong
 * file refuses the configuration and the one in force stays; equal settings share one.
 *
 * A context is counted by reference: connections keep theirs when the configuration goes.
 */
#ifndef CONF_TLS_H
#define CONF_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/types.h>

#include "conf/conf.h"

#define TLS_ALPN    "postgresql"
#define TLS_CTX_ID  32
#define TLS_EXPIRES (14 * 86400) /* seconds before its end that a certificate is warned of */

/* A setting; the texts are the configuration's and are never NULL. */
struct tls_setting {
	bool server; /* we are the server: a listener */
	enum tls_mode mode;
	enum tls_negotiation negotiation;
	const char *key_file, *cert_file, *ca_file, *crl_file;
	const char *protocols, *ciphers, *ciphers13, *curves;
};

struct tls_ctx {
	SSL_CTX *ssl;
	SSL_CTX **more; /* further certificates, for the names in them: each context has just one */
	size_t nmore;
	enum tls_mode mode;
	enum tls_negotiation negotiation;
	bool server;
	bool hooked;		/* worker/tls.c has set its callbacks */
	bool asks;		/* clients are asked for a certificate */
	uint8_t id[TLS_CTX_ID]; /* a hash of the setting and of all files' bytes */
	uint64_t serial;	/* never used twice in a process */
	unsigned int refs;
};

/* What is in force there. */
void tls_setting_listen(struct tls_setting *, const struct conf *, const struct conf_listen *);
void tls_setting_database(struct tls_setting *, const struct conf *, const struct conf_database *);

/* Adds a reference; gives one back, the last frees. NULL is fine for both. */
struct tls_ctx *tls_ctx_ref(struct tls_ctx *);
void tls_ctx_unref(struct tls_ctx *);

/* load.c: fills in conf->listen[].tls and conf->databases[].tls. */
struct load;
void tls_load(struct load *);
/* Logs what will soon be wrong: certificates that expire. */
void tls_warn(const struct conf *);

#endif

/*
 * strongbox: a heap that no core dump holds: for secrets that come and go (passwords as they are
 * typed, SCRAM keys), and for all that OpenSSL allocates, since its private keys and the secrets of
 * TLS sessions lie among the rest. What is loaded once and stays lies in a vault.
 */
#ifndef CONF_STRONGBOX_H
#define CONF_STRONGBOX_H

#include <stdbool.h>
#include <stddef.h>

/* OpenSSL's memory comes from here. To be called before OpenSSL is. */
void strongbox_openssl(void);

/* Zeroes. Never NULL: no memory is fatal. */
void *strongbox_take(size_t size);
char *strongbox_copy(const char *text);
/* Wiped, and given back. NULL is fine. */
void strongbox_put(void *);

/*
 * Libraries that know nothing of secrets (libconfig, stdio) free what they have copied. Between
 * true and false all memory that is freed is wiped, and at the end what this thread's malloc keeps
 * at hand. May be nested.
 */
void strongbox_wipe_freed(bool on);

#endif

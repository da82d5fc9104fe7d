/*
 * vault: memory for secrets: left out of core dumps, kept from swap where the system allows, wiped
 * when it goes. Private to conf/.
 */
#ifndef CONF_VAULT_H
#define CONF_VAULT_H

#include <stddef.h>

struct vault;

/* Pieces live as long as the vault. Never NULL: no memory is fatal. */
struct vault *vault_new(void);
void vault_free(struct vault *);
/* `size` bytes of zeroes. */
char *vault_take(struct vault *, size_t size);
char *vault_copy(struct vault *, const char *text);

#endif

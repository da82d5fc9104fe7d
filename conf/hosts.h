/*
 * hosts: the servers of a database: the lists host = "a,b,c" and ports = "1,2,3". Called by load.c,
 * which checks them, and by worker/target.c; tls.c has a list of the same kind.
 */
#ifndef CONF_HOSTS_H
#define CONF_HOSTS_H

#include "conf/conf.h"

#define CONF_HOST_SIZE 256 /* longest name, with the final NUL */
#define CONF_HOSTS     16  /* most of them */

/* Of a list with commas: how many elements there are, and the i-th without its blanks. False: there
 * is none, it is empty or too long. */
size_t conf_elements(const char *list);
bool conf_element(const char *list, size_t i, char *out, size_t size);

/* How many there are. */
size_t conf_hosts(const struct conf_database *);
/* The i-th name, and its port. False: there is none, or it cannot be. */
bool conf_host(const struct conf_database *, size_t i, char name[CONF_HOST_SIZE], uint16_t *port);
enum load_balance conf_load_balance(const struct conf *, const struct conf_database *);
/* NULL, or what is wrong; *key is the member that it is wrong with. */
const char *conf_hosts_wrong(const struct conf_database *, const char **key);

#endif

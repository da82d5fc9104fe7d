/*
 * hba: who may come in from where and by which proof, in the format of pg_hba.conf. The first rule
 * that fits decides. A line that is not understood refuses the whole file: rules after it could let
 * in whom it would have kept out.
 *
 * Not known here and therefore refused: role membership (samerole, +role), host names, methods that
 * only PostgreSQL can do (gss, sspi, radius, ident by TCP).
 */
#ifndef CONF_HBA_H
#define CONF_HBA_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "conf/conf.h"
#include "conf/external.h"

struct hba;

struct hba_client {
	bool local; /* by a Unix socket */
	bool tls;
	bool replication;     /* physical: asks for no database */
	struct in6_addr addr; /* IPv4 mapped; unless local */
	const char *db, *user;
};

enum hba_clientcert { HBA_CERT_NONE, HBA_CERT_VERIFY_CA, HBA_CERT_VERIFY_FULL };

struct hba_rule {
	int line;
	enum auth_type method;		/* never AUTH_HBA */
	char *map;			/* NULL = names must be equal */
	enum hba_clientcert clientcert; /* besides the method */
	struct external external;	/* options of pam and ldap */
	bool clientname_dn;		/* a certificate's DN is its name, not its CN */
};

/* Errors go to `err` as "FILE:LINE: what"; NULL if there was any. */
struct files;
struct hba *hba_load(const char *path, struct files *, FILE *err);
struct hba *hba_parse(const char *text, size_t len, const char *path, FILE *err);
void hba_free(struct hba *);

/* NULL: no rule fits. Owned by the hba. */
const struct hba_rule *hba_match(const struct hba *, const struct hba_client *);
/* A map that a rule names and `has` does not know; NULL = all are known. */
const struct hba_rule *hba_unknown_map(
    const struct hba *, bool (*has)(const void *arg, const char *map), const void *arg);

#endif

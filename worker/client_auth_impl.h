/*
 * client_auth_impl: what the files of the login share: the machine of one client, and its exits.
 *
 *   client_auth.c           the machine's life, the choice of the method, the client's messages
 *   client_auth_password.c  passwords in clear text, MD5
 *   client_auth_sasl.c      SCRAM
 *   client_auth_name.c      peer, cert: the name comes from elsewhere
 */
#ifndef WORKER_CLIENT_AUTH_IMPL_H
#define WORKER_CLIENT_AUTH_IMPL_H

#include "conf/conf.h"
#include "conf/hba.h"
#include "proto/wire.h"
#include "worker/client_auth.h"
#include "worker/external.h"
#include "worker/keys.h"
#include "worker/lookup.h"
#include "worker/peer.h"
#include "worker/tls.h"

enum auth_step {
	STEP_START,
	STEP_LOOKUP,	 /* auth_query is asked */
	STEP_PEER,	 /* the account database is asked */
	STEP_PASSWORD,	 /* asked for the password in clear text */
	STEP_EXTERNAL,	 /* PAM or LDAP is asked */
	STEP_CHECK,	 /* its keys are being derived */
	STEP_MD5,	 /* asked for an MD5 answer */
	STEP_SASL_FIRST, /* offered SCRAM */
	STEP_SASL_FINAL, /* server-first is sent; a verifier may be being derived */
	STEP_KEYS,	 /* ... still, and the client has sent its proof */
	STEP_LATE,	 /* it failed, and is told so when it could not have failed sooner */
	STEP_DONE	 /* let in or refused */
};

struct client_auth {
	enum auth_step step;
	enum auth_type method;
	struct client *client;
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	char map[CONF_NAME_SIZE]; /* of the rule that decided; "" = names must be equal */
	bool name_is_dn;	  /* of a certificate: not its CN */
	bool known;
	bool looked_up; /* by auth_query, at source */
	struct lookup_source source;
	struct lookup_wait lookup;
	char *secret; /* a copy; NULL = none */
	enum scram_secret kind;
	const char *doomed; /* why it cannot succeed, whatever it says; NULL = it can */
	uint8_t salt[4];    /* of the MD5 challenge */
	char *password;	    /* what the client has sent in clear text */
	struct keys_wait keys;
	struct peer_wait peer;
	struct external options; /* of pam and ldap, a copy */
	struct external_wait external;
	struct scram_channel channel;
	uint8_t binding[TLS_BINDING_MAX]; /* the channel's data */
	struct scram_server scram;
	char final[SCRAM_MESSAGE_MAX]; /* STEP_KEYS: client-final */
	size_t final_len;
	int64_t proof_us;    /* since when what it says can be judged */
	struct timer timer;  /* STEP_LATE */
	const char *failure; /* STEP_LATE: the true reason */
};

/* --- client_auth.c --- */

void auth_set_step(struct client_auth *, enum auth_step);
/* The end: the client goes on to its pool. */
void auth_let_in(struct client_auth *);
/* The end: `why` is for the log, the message for the client. */
void auth_refuse(struct client_auth *, const char *sqlstate, const char *message, const char *why);
/* One text for everything that is wrong with name and password; `why` is for the log. */
void auth_refuse_password(struct client_auth *, const char *why);
/* Somebody we depend on has failed, not the client; it is told no more than `message`. */
void auth_refuse_failed(
    struct client_auth *, const char *sqlstate, const char *message, const char *why);
/* The client breaks the protocol. */
void auth_refuse_protocol(struct client_auth *, const char *why);
/* Sends a message; `step` is what it waits for. */
void auth_ask(struct client_auth *, enum auth_step, struct wire_out *);
void auth_ask_code(
    struct client_auth *, enum auth_step, uint32_t code, const void *more, size_t len);

/* --- client_auth_password.c --- */

void auth_ask_password(struct client_auth *);
void auth_ask_md5(struct client_auth *);
void auth_got_password(struct client_auth *, const char *password);
void auth_got_md5(struct client_auth *, const char *answer);

/* --- client_auth_sasl.c --- */

/* For scram-sha-256-plus: is there a channel that the login can be bound to? False: refused. */
bool auth_can_bind(struct client_auth *);
void auth_ask_sasl(struct client_auth *);
void auth_got_sasl_first(struct client_auth *, struct wire_in *);
void auth_got_sasl_final(struct client_auth *, struct wire_in *);

/* --- client_auth_name.c --- */

void auth_start_peer(struct client_auth *);
void auth_start_cert(struct client_auth *);
/* What a rule wants of the certificate besides its method; `why` names the rule. False: refused. */
bool auth_check_cert(struct client_auth *, enum hba_clientcert, const char *why);

#endif

/*
 * client_auth_password: the client sends its password, or an MD5 answer made with it. Called by
 * client_auth.c. Right and wrong take the same way; a password is compared by keys that are derived
 * beside the loop where a verifier is stored.
 */
#include "worker/client_auth_impl.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/stdlib.h>

#include "conf/log.h"
#include "conf/strongbox.h"
#include "worker/client.h"
#include "worker/state.h"

void
auth_ask_password(struct client_auth *a)
{
	auth_ask_code(a, STEP_PASSWORD, WIRE_AUTH_CLEARTEXT, NULL, 0);
}

void
auth_ask_md5(struct client_auth *a)
{
	arc4random_buf(a->salt, sizeof(a->salt));
	auth_ask_code(a, STEP_MD5, WIRE_AUTH_MD5, a->salt, sizeof(a->salt));
}

/* --- password in clear text ------------------------------------------------------------------- */

/* The keys that a claimed password would have are derived: to PostgreSQL they are worth as much as
 * the password. */
static void
claim_derived(struct keys_wait *w, const struct scram_keys *keys)
{
	struct client_auth *a = LOOP_CONTAINER(w, struct client_auth, keys);
	bool fits = keys != NULL && scram_verifier_fits(&a->scram.verifier, keys);

	if (!fits || a->doomed != NULL) {
		auth_refuse_password(
		    a, keys == NULL ? "OpenSSL could not derive the keys" : "wrong password");
		return;
	}
	keys_proved(a->user, keys);
	auth_let_in(a);
}

static void
external_known(struct external_wait *w, enum external_verdict verdict, const char *why)
{
	struct client_auth *a = LOOP_CONTAINER(w, struct client_auth, external);
	const char *method = a->method == AUTH_PAM ? "PAM" : "LDAP";
	char text[160];

	loop_again(&a->client->conn.src);
	if (verdict == EXTERNAL_RIGHT) {
		auth_let_in(a);
		return;
	}
	snprintf(text, sizeof(text), "%s authentication failed for user \"%s\"", method, a->user);
	if (verdict == EXTERNAL_WRONG) {
		auth_refuse(a, "28000", text, why);
		return;
	}
	log_warnx("%s for user \"%s\": %s", method, a->user, why);
	auth_refuse_failed(a, "28000", text, why);
}

static void
ask_external(struct client_auth *a)
{
	char from[INET6_ADDRSTRLEN];
	const struct external_question q = {.method = a->method,
	    .options = &a->options,
	    .user = a->user,
	    .password = a->password,
	    .from = client_address(a->client, from)};

	auth_set_step(a, STEP_EXTERNAL);
	if (!external_ask(&a->external, &q, external_known))
		auth_refuse(a, "28000", "the password is too long", "longer than any");
}

/* A mock is met like those who exist: PBKDF2 if there are verifiers, else a comparison. */
void
auth_got_password(struct client_auth *a, const char *password)
{
	struct scram_keys salt = {
	    .iterations = a->scram.verifier.iterations, .salt_len = a->scram.verifier.salt_len};
	bool fits;

	if (password[0] == '\0') {
		auth_refuse_password(a, "empty password");
		return;
	}
	a->password = strongbox_copy(password);
	if (external_method(a->method)) {
		ask_external(a);
		return;
	}
	if (salt.iterations > 0) {
		auth_set_step(a, STEP_CHECK);
		memcpy(salt.salt, a->scram.verifier.salt, sizeof(salt.salt));
		keys_derive(&a->keys, a->user, password, &salt, false, claim_derived);
		return;
	}
	fits = scram_password_fits(a->user, a->secret == NULL ? "" : a->secret, password);
	if (fits && a->doomed == NULL)
		auth_let_in(a);
	else
		auth_refuse_password(a, "wrong password");
}

void
auth_got_md5(struct client_auth *a, const char *answer)
{
	bool fits = scram_md5_fits(a->user, a->secret == NULL ? "" : a->secret, a->salt, answer);

	if (fits && a->doomed == NULL)
		auth_let_in(a);
	else
		auth_refuse_password(a, "wrong password");
}

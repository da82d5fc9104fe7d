/*
 * client_auth_password: the client sends its password, or an MD5 answer made with it. Called by
 * client_auth.c. Right and wrong take the same way; a password is compared by keys that are derived
 * beside the loop where a verifier is stored.
 */
#include "worker/client_auth_impl.h"

#include <stdlib.h>
#include <string.h>
#include <bsd/stdlib.h>

#include "conf/log.h"

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

/* A mock costs as much as most users do: PBKDF2 if there are verifiers, else a comparison. */
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
	a->password = strdup(password);
	if (a->password == NULL)
		fatal("login");
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

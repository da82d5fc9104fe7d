/*
 * client_auth_sasl: SCRAM-SHA-256 with a client. Called by client_auth.c. The exchange is proto's
 * (scram_server); here is where the verifier comes from, and what its end means. A client's proof
 * yields its key, which is kept for logging in at PostgreSQL in its name.
 */
#include "worker/client_auth_impl.h"

#include <string.h>

#include "conf/log.h"

static void
refuse_unbound(struct client_auth *a, const char *why)
{
	auth_refuse(
	    a, "28000", "connection requires channel binding (SCRAM-SHA-256-PLUS over TLS)", why);
}

bool
auth_can_bind(struct client_auth *a)
{
	const struct conn *c = &a->client->conn;

	if (c->tls == NULL)
		refuse_unbound(a, "scram-sha-256-plus, and the client came without TLS");
	else if (tls_channel_binding(c, a->binding) == 0)
		refuse_unbound(a, "scram-sha-256-plus, and our certificate's signature has no hash "
				  "to bind to");
	else
		return true;
	return false;
}

/* With TLS the client may bind the exchange to it, so that nobody in the middle can pass it on.
 * Where it must, both are offered still: who then takes the other is told what is wrong, where most
 * clients would just hang up. */
void
auth_ask_sasl(struct client_auth *a)
{
	static const char list[] = SCRAM_NAME_PLUS "\0" SCRAM_NAME "\0";
	size_t skip = strlen(list) + 1;

	if (a->client->conn.tls != NULL)
		a->channel.len = tls_channel_binding(&a->client->conn, a->binding);
	a->channel.data = a->binding;
	a->channel.offered = a->channel.len > 0;
	if (a->channel.offered)
		skip = 0;
	auth_ask_code(a, STEP_SASL_FIRST, WIRE_AUTH_SASL, list + skip, sizeof(list) - skip);
}

static void
sasl_answer(struct client_auth *a, enum auth_step step, uint32_t code, const char *text)
{
	uint8_t msg[SCRAM_MESSAGE_MAX + 16];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 'R');
	wire_int32(&w, code);
	wire_bytes(&w, text, strlen(text));
	wire_end(&w);
	if (step != STEP_DONE) {
		auth_ask(a, step, &w);
		return;
	}
	ENSURE(!w.failed);
	conn_put(&a->client->conn, msg, w.len);
}

/* The first answer. Who has a plain password gets it as soon as all others: what it takes is known
 * before its keys are. False: it was refused, and `a` is no more. */
static bool
sasl_first(struct client_auth *a, const char *first, size_t len)
{
	char out[SCRAM_MESSAGE_MAX];
	const char *why;

	if (scram_server_first(&a->scram, &a->channel, NULL, first, len, out, sizeof(out), &why) !=
	    SCRAM_OK) {
		auth_refuse_protocol(a, why);
		return false;
	}
	sasl_answer(a, STEP_SASL_FINAL, WIRE_AUTH_SASL_CONTINUE, out);
	return true;
}

static void sasl_final(struct client_auth *);

static void
verifier_derived(struct keys_wait *w, const struct scram_keys *keys)
{
	struct client_auth *a = LOOP_CONTAINER(w, struct client_auth, keys);

	if (keys == NULL || scram_verifier_of(keys, &a->scram.verifier) == -1)
		a->doomed = "OpenSSL could not derive the verifier";
	if (a->step != STEP_KEYS)
		return;
	loop_again(&a->client->conn.src); /* nobody else will send what comes now */
	sasl_final(a);
}

/* A password in plain text: its verifier is derived once for all workers, while the client derives
 * its own. */
static void
verifier_of_password(struct client_auth *a)
{
	struct scram_keys keys = {
	    .iterations = a->scram.verifier.iterations, .salt_len = a->scram.verifier.salt_len};

	memcpy(keys.salt, a->scram.verifier.salt, sizeof(keys.salt));
	if (keys_known(a->user, a->secret, &keys))
		verifier_derived(&a->keys, &keys);
	else
		keys_derive(&a->keys, a->user, a->secret, &keys, true, verifier_derived);
	explicit_bzero(&keys, sizeof(keys));
}

void
auth_got_sasl_first(struct client_auth *a, struct wire_in *in)
{
	const char *mechanism = wire_get_string(in);
	uint32_t len = wire_get_int32(in);
	const uint8_t *first = len == UINT32_MAX ? NULL : wire_get_bytes(in, len);

	a->channel.used =
	    mechanism != NULL && a->channel.offered && strcmp(mechanism, SCRAM_NAME_PLUS) == 0;
	if (mechanism == NULL || (!a->channel.used && strcmp(mechanism, SCRAM_NAME) != 0)) {
		auth_refuse_protocol(a, "the client selected an invalid SASL mechanism");
		return;
	}
	if (a->method == AUTH_SCRAM_PLUS && !a->channel.used) {
		refuse_unbound(a, "scram-sha-256-plus, and the client has chosen SCRAM-SHA-256");
		return;
	}
	if (first == NULL || len == 0 || in->left != 0) {
		auth_refuse_protocol(a, "malformed SASL message");
		return;
	}
	if (!sasl_first(a, (const char *)first, len) || a->doomed != NULL ||
	    a->kind != SCRAM_SECRET_PLAIN)
		return;
	(void)conn_send(&a->client->conn, NULL, NULL); /* if it is broken, the next event says so */
	verifier_of_password(a);
}

static void
keep_proved(struct client_auth *a)
{
	struct scram_keys keys = {
	    .iterations = a->scram.verifier.iterations, .salt_len = a->scram.verifier.salt_len};

	memcpy(keys.salt, a->scram.verifier.salt, sizeof(keys.salt));
	memcpy(keys.client_key, a->scram.client_key, SCRAM_KEY);
	memcpy(keys.server_key, a->scram.verifier.server_key, SCRAM_KEY);
	keys_proved(a->user, &keys);
	explicit_bzero(&keys, sizeof(keys));
}

static void
sasl_final(struct client_auth *a)
{
	char out[SCRAM_MESSAGE_MAX];
	const char *why;

	switch (scram_server_final(
	    &a->scram, &a->channel, a->final, a->final_len, out, sizeof(out), &why)) {
	case SCRAM_MALFORMED:
		auth_refuse_protocol(a, why);
		return;
	case SCRAM_WRONG:
		auth_refuse_password(a, "wrong password");
		return;
	case SCRAM_OK:
		break;
	}
	if (a->doomed != NULL) {
		auth_refuse_password(a, "");
		return;
	}
	if (a->kind == SCRAM_SECRET_VERIFIER)
		keep_proved(a);
	sasl_answer(a, STEP_DONE, WIRE_AUTH_SASL_FINAL, out);
	auth_let_in(a);
}

void
auth_got_sasl_final(struct client_auth *a, struct wire_in *in)
{
	if (in->left > sizeof(a->final)) {
		auth_refuse_protocol(a, "malformed SCRAM message: too long");
		return;
	}
	memcpy(a->final, in->p, in->left);
	a->final_len = in->left;
	if (a->keys.task != NULL)
		auth_set_step(a, STEP_KEYS);
	else
		sasl_final(a);
}

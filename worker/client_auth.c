/*
 * client_auth: see client_auth.h. Called by client_login.c (start) and client.c (socket, end).
 *
 * One small machine per client, allocated for the time of the login: the step says what is waited
 * for. Names that do not exist, and those without a fitting secret, go through the same exchange
 * and are refused at its end with the same words; the log has the true reason. Nothing here blocks:
 * PBKDF2 and the account database are asked beside the loop. The time limit is the client's own,
 * client_login_timeout, over all steps.
 */
#include "worker/client_auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/string.h>

#include "conf/hba.h"
#include "conf/ident.h"
#include "conf/log.h"
#include "worker/client.h"
#include "worker/client_login.h"
#include "worker/keys.h"
#include "worker/peer.h"

enum step {
	STEP_START,
	STEP_PEER,	 /* the account database is asked */
	STEP_PASSWORD,	 /* asked for the password in clear text */
	STEP_CHECK,	 /* its keys are being derived */
	STEP_MD5,	 /* asked for an MD5 answer */
	STEP_SASL_FIRST, /* offered SCRAM */
	STEP_KEYS,	 /* the verifier is being derived; the client waits for server-first */
	STEP_SASL_FINAL, /* server-first is sent */
	STEP_DONE	 /* let in or refused */
};

struct client_auth {
	enum step step;
	enum auth_type method;
	struct client *client;
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	char map[CONF_NAME_SIZE]; /* of the rule that decided; "" = names must be equal */
	bool known;
	char *secret; /* a copy; NULL = none */
	enum scram_secret kind;
	const char *doomed; /* why it cannot succeed, whatever it says; NULL = it can */
	uint8_t salt[4];    /* of the MD5 challenge */
	char *password;	    /* what the client has sent in clear text */
	struct keys_wait keys;
	struct peer_wait peer;
	struct scram_channel channel;
	struct scram_server scram;
	char first[SCRAM_MESSAGE_MAX]; /* STEP_KEYS: client-first */
	size_t first_len;
};

#define TO(step) (1U << STEP_##step)

static const unsigned int edges[] = {
    [STEP_START] = TO(PEER) | TO(PASSWORD) | TO(MD5) | TO(SASL_FIRST) | TO(DONE),
    [STEP_PEER] = TO(DONE),
    [STEP_PASSWORD] = TO(CHECK) | TO(DONE),
    [STEP_CHECK] = TO(DONE),
    [STEP_MD5] = TO(DONE),
    [STEP_SASL_FIRST] = TO(KEYS) | TO(SASL_FINAL) | TO(DONE),
    [STEP_KEYS] = TO(SASL_FINAL) | TO(DONE),
    [STEP_SASL_FINAL] = TO(DONE),
    [STEP_DONE] = 0,
};

static void
set_step(struct client_auth *a, enum step step)
{
	ENSURE((edges[a->step] >> step & 1) != 0);
	a->step = step;
}

/* --- life ------------------------------------------------------------------------------------- */

static void
wipe_text(char *text)
{
	if (text == NULL)
		return;
	explicit_bzero(text, strlen(text));
	free(text);
}

void
client_auth_fini(struct client *c)
{
	struct client_auth *a = c->auth;

	if (a == NULL)
		return;
	keys_cancel(&a->keys);
	peer_cancel(&a->peer);
	wipe_text(a->secret);
	wipe_text(a->password);
	explicit_bzero(a, sizeof(*a));
	free(a);
	c->auth = NULL;
}

const char *
client_auth_db(const struct client *c)
{
	return c->auth == NULL ? "-" : c->auth->db;
}

const char *
client_auth_user(const struct client *c)
{
	return c->auth == NULL ? "-" : c->auth->user;
}

bool
client_auth_known(const struct client *c)
{
	return c->auth != NULL && c->auth->known;
}

const char *
client_auth_password(const struct client *c)
{
	return c->auth == NULL ? NULL : c->auth->password;
}

const char *
client_auth_secret(const struct client *c)
{
	return c->auth == NULL ? NULL : c->auth->secret;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void
let_in(struct client_auth *a)
{
	set_step(a, STEP_DONE);
	client_login_go(a->client, a->db, a->user);
}

static void
refuse(struct client_auth *a, const char *sqlstate, const char *message, const char *why)
{
	set_step(a, STEP_DONE);
	stats_add(&wk->row->auth_failures, 1);
	client_refuse(a->client,
	    &(struct wire_error){.severity = "FATAL", .sqlstate = sqlstate, .message = message},
	    why);
}

/* One text for everything that is wrong with name and password; `why` is for the log. */
static void
refuse_password(struct client_auth *a, const char *why)
{
	char text[128];

	snprintf(text, sizeof(text), "password authentication failed for user \"%s\"", a->user);
	refuse(a, "28P01", text, a->doomed != NULL ? a->doomed : why);
}

static void
refuse_protocol(struct client_auth *a, const char *why)
{
	stats_add(&wk->row->protocol_errors, 1);
	refuse(a, "08P01", why, why);
}

/* --- what is asked ---------------------------------------------------------------------------- */

static void
ask(struct client_auth *a, enum step step, struct wire_out *w)
{
	ENSURE(!w->failed);
	set_step(a, step);
	conn_put(&a->client->conn, w->base, w->len);
}

static void
ask_code(struct client_auth *a, enum step step, uint32_t code, const void *more, size_t len)
{
	uint8_t msg[64];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 'R');
	wire_int32(&w, code);
	wire_bytes(&w, more, len);
	wire_end(&w);
	ask(a, step, &w);
}

static void
ask_md5(struct client_auth *a)
{
	arc4random_buf(a->salt, sizeof(a->salt));
	ask_code(a, STEP_MD5, WIRE_AUTH_MD5, a->salt, sizeof(a->salt));
}

static void
ask_sasl(struct client_auth *a)
{
	static const char plain[] = "SCRAM-SHA-256\0";

	ask_code(a, STEP_SASL_FIRST, WIRE_AUTH_SASL, plain, sizeof(plain));
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
		refuse_password(
		    a, keys == NULL ? "OpenSSL could not derive the keys" : "wrong password");
		return;
	}
	keys_proved(a->user, keys);
	let_in(a);
}

/* A mock costs as much as most users do: PBKDF2 if there are verifiers, else a comparison. */
static void
got_password(struct client_auth *a, const char *password)
{
	struct scram_keys salt = {
	    .iterations = a->scram.verifier.iterations, .salt_len = a->scram.verifier.salt_len};
	bool fits;

	if (password[0] == '\0') {
		refuse_password(a, "empty password");
		return;
	}
	a->password = strdup(password);
	if (a->password == NULL)
		fatal("login");
	if (salt.iterations > 0) {
		set_step(a, STEP_CHECK);
		memcpy(salt.salt, a->scram.verifier.salt, sizeof(salt.salt));
		keys_derive(&a->keys, a->user, password, &salt, false, claim_derived);
		return;
	}
	fits = scram_password_fits(a->user, a->secret == NULL ? "" : a->secret, password);
	if (fits && a->doomed == NULL)
		let_in(a);
	else
		refuse_password(a, "wrong password");
}

static void
got_md5(struct client_auth *a, const char *answer)
{
	bool fits = scram_md5_fits(a->user, a->secret == NULL ? "" : a->secret, a->salt, answer);

	if (fits && a->doomed == NULL)
		let_in(a);
	else
		refuse_password(a, "wrong password");
}

/* --- SCRAM ------------------------------------------------------------------------------------ */

static void
sasl_answer(struct client_auth *a, enum step step, uint32_t code, const char *text)
{
	uint8_t msg[SCRAM_MESSAGE_MAX + 16];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 'R');
	wire_int32(&w, code);
	wire_bytes(&w, text, strlen(text));
	wire_end(&w);
	if (step != STEP_DONE) {
		ask(a, step, &w);
		return;
	}
	ENSURE(!w.failed);
	conn_put(&a->client->conn, msg, w.len);
}

/* The verifier is known: the first answer. */
static void
sasl_first(struct client_auth *a)
{
	char out[SCRAM_MESSAGE_MAX];
	const char *why;

	if (scram_server_first(&a->scram, &a->channel, NULL, a->first, a->first_len, out,
		sizeof(out), &why) != SCRAM_OK)
		refuse_protocol(a, why);
	else
		sasl_answer(a, STEP_SASL_FINAL, WIRE_AUTH_SASL_CONTINUE, out);
}

static void
verifier_derived(struct keys_wait *w, const struct scram_keys *keys)
{
	struct client_auth *a = LOOP_CONTAINER(w, struct client_auth, keys);

	if (a->step == STEP_KEYS) /* nobody else will send what comes now */
		loop_again(&a->client->conn.src);
	if (keys == NULL || scram_verifier_of(keys, &a->scram.verifier) == -1)
		refuse_password(a, "OpenSSL could not derive the verifier");
	else
		sasl_first(a);
}

/* A password in plain text: its verifier is derived once for all workers. */
static void
verifier_of_password(struct client_auth *a)
{
	struct scram_keys keys = {
	    .iterations = (uint32_t)wk->conf->scram_iterations, .salt_len = SCRAM_OWN_SALT};

	if (scram_own_salt(secrets_instance(wk->boot->secrets), a->user, keys.salt) == -1) {
		refuse_password(a, "OpenSSL could not make a salt");
	} else if (keys_known(a->user, a->secret, &keys)) {
		verifier_derived(&a->keys, &keys);
		explicit_bzero(&keys, sizeof(keys));
	} else {
		set_step(a, STEP_KEYS);
		keys_derive(&a->keys, a->user, a->secret, &keys, true, verifier_derived);
	}
}

static void
got_sasl_first(struct client_auth *a, struct wire_in *in)
{
	const char *mechanism = wire_get_string(in);
	uint32_t len = wire_get_int32(in);
	const uint8_t *first = len == UINT32_MAX ? NULL : wire_get_bytes(in, len);

	if (mechanism == NULL || strcmp(mechanism, "SCRAM-SHA-256") != 0) {
		refuse_protocol(a, "the client selected an invalid SASL mechanism");
		return;
	}
	if (first == NULL || len == 0 || len > sizeof(a->first) || in->left != 0) {
		refuse_protocol(a, "malformed SASL message");
		return;
	}
	memcpy(a->first, first, len);
	a->first_len = len;
	if (a->doomed == NULL && a->kind == SCRAM_SECRET_PLAIN)
		verifier_of_password(a);
	else
		sasl_first(a);
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
got_sasl_final(struct client_auth *a, struct wire_in *in)
{
	char out[SCRAM_MESSAGE_MAX];
	const char *why;

	switch (scram_server_final(
	    &a->scram, &a->channel, (const char *)in->p, in->left, out, sizeof(out), &why)) {
	case SCRAM_MALFORMED:
		refuse_protocol(a, why);
		return;
	case SCRAM_WRONG:
		refuse_password(a, "wrong password");
		return;
	case SCRAM_OK:
		break;
	}
	if (a->doomed != NULL) {
		refuse_password(a, "");
		return;
	}
	if (a->kind == SCRAM_SECRET_VERIFIER)
		keep_proved(a);
	sasl_answer(a, STEP_DONE, WIRE_AUTH_SASL_FINAL, out);
	let_in(a);
}

/* --- peer ------------------------------------------------------------------------------------- */

/* May who has this name elsewhere come in under the user's? */
static bool
name_fits(const struct client_auth *a, const char *name)
{
	if (a->map[0] == '\0')
		return strcmp(name, a->user) == 0;
	return wk->conf->ident != NULL && ident_allows(wk->conf->ident, a->map, name, a->user);
}

static void
peer_known(struct peer_wait *w, const char *account, const char *why)
{
	struct client_auth *a = LOOP_CONTAINER(w, struct client_auth, peer);
	char text[128], reason[160];

	if (account != NULL && name_fits(a, account)) {
		let_in(a);
		return;
	}
	snprintf(text, sizeof(text), "peer authentication failed for user \"%s\"", a->user);
	snprintf(reason, sizeof(reason), "the account is %s", account == NULL ? why : account);
	refuse(a, "28000", text, reason);
}

static void
start_peer(struct client_auth *a)
{
	if (!a->client->conn.is_unix) {
		refuse(a, "28000", "peer authentication needs a Unix socket",
		    "auth_type peer, and the client came by TCP");
		return;
	}
	set_step(a, STEP_PEER);
	peer_ask(&a->peer, a->client->conn.src.fd, peer_known);
}

/* --- the beginning ---------------------------------------------------------------------------- */

/* Is there a secret that this method can use? If not, `doomed` says why, and a mock verifier stands
 * in, where a real one would be expected. */
static void
prepare_secret(struct client_auth *a)
{
	bool scram = a->method == AUTH_SCRAM;

	if (!a->known)
		a->doomed = "no such user";
	else if (a->secret == NULL)
		a->doomed = "no password is known for this user";
	else if (a->secret[0] == '\0')
		a->doomed = "the stored password is empty, which fits nothing";
	else if (scram && a->kind == SCRAM_SECRET_MD5)
		a->doomed = "an MD5 hash is stored, and SCRAM cannot use it";
	if (a->doomed == NULL) {
		if (a->kind == SCRAM_SECRET_VERIFIER)
			(void)scram_verifier_parse(a->secret, &a->scram.verifier);
		return;
	}
	if (!scram && !wk->conf->verifiers)
		return;
	a->kind = SCRAM_SECRET_VERIFIER;
	if (scram_verifier_mock(secrets_instance(wk->boot->secrets), a->user,
		(uint32_t)wk->conf->scram_iterations, &a->scram.verifier) == -1)
		fatalx("OpenSSL cannot compute SHA-256");
}

static void
load_secret(struct client_auth *a)
{
	const char *secret = conf_secret(wk->conf, a->user, &a->known);

	a->kind = SCRAM_SECRET_PLAIN;
	if (secret == NULL)
		return;
	a->secret = strdup(secret);
	if (a->secret == NULL)
		fatal("login");
	a->kind = scram_secret_kind(secret);
}

static void
start_trust(struct client_auth *a)
{
	char text[128];

	if (a->known || a->method == AUTH_ANY) {
		let_in(a);
		return;
	}
	snprintf(text, sizeof(text), "no such user: %s", a->user);
	refuse(a, "28000", text, "it stands neither in users nor in auth_file");
}

static void
start_method(struct client_auth *a)
{
	switch (a->method) {
	case AUTH_ANY:
	case AUTH_TRUST:
		start_trust(a);
		break;
	case AUTH_REJECT:
		refuse(a, "28000", "login rejected", "auth_type reject");
		break;
	case AUTH_PEER:
		start_peer(a);
		break;
	case AUTH_CERT:
		refuse(a, "28000", "connection requires a valid client certificate",
		    "the method is cert, and there is no TLS");
		break;
	case AUTH_HBA: /* no rule says so */
	case AUTH_PASSWORD:
		prepare_secret(a);
		ask_code(a, STEP_PASSWORD, WIRE_AUTH_CLEARTEXT, NULL, 0);
		break;
	case AUTH_MD5:
		prepare_secret(a);
		if (a->kind == SCRAM_SECRET_VERIFIER)
			ask_sasl(a);
		else
			ask_md5(a);
		break;
	case AUTH_SCRAM:
		prepare_secret(a);
		ask_sasl(a);
		break;
	}
}

/* The first rule that fits says the method. False: it was refused. */
static bool
apply_rules(struct client_auth *a)
{
	const struct client *c = a->client;
	const struct hba_client who = {
	    .local = c->conn.is_unix, .addr = c->addr, .db = a->db, .user = a->user};
	const struct hba_rule *rule = hba_match(wk->conf->hba, &who);
	char text[256], why[64];

	if (rule == NULL) {
		snprintf(text, sizeof(text),
		    "no rule of auth_hba_file lets user \"%s\" into database \"%s\" from here",
		    a->user, a->db);
		refuse(a, "28000", text, "no line fits");
		return false;
	}
	snprintf(why, sizeof(why), "line %d of auth_hba_file", rule->line);
	if (rule->method == AUTH_REJECT) {
		refuse(a, "28000", "login rejected", why);
		return false;
	}
	if (rule->clientcert != HBA_CERT_NONE) {
		refuse(a, "28000", "connection requires a valid client certificate", why);
		return false;
	}
	a->method = rule->method;
	if (rule->map != NULL)
		strlcpy(a->map, rule->map, sizeof(a->map));
	return true;
}

void
client_auth_start(struct client *c, const char *db, const char *user)
{
	struct client_auth *a = calloc(1, sizeof(*a));

	if (a == NULL)
		fatal("login");
	a->client = c;
	c->auth = a;
	c->state = CLIENT_AUTH;
	strlcpy(a->db, db, sizeof(a->db));
	strlcpy(a->user, user, sizeof(a->user));
	a->method = wk->conf->auth_type;
	load_secret(a);
	if (a->method != AUTH_HBA || apply_rules(a))
		start_method(a);
}

/* --- the client's messages -------------------------------------------------------------------- */

static bool
expects_message(const struct client_auth *a)
{
	return a->step == STEP_PASSWORD || a->step == STEP_MD5 || a->step == STEP_SASL_FIRST ||
	       a->step == STEP_SASL_FINAL;
}

static void
auth_message(struct client_auth *a, const uint8_t *body, size_t len)
{
	struct wire_in in;
	const char *text;

	wire_read(&in, body, len);
	if (a->step == STEP_SASL_FIRST) {
		got_sasl_first(a, &in);
		return;
	}
	if (a->step == STEP_SASL_FINAL) {
		got_sasl_final(a, &in);
		return;
	}
	text = wire_get_string(&in);
	if (text == NULL || in.left != 0)
		refuse_protocol(a, "malformed password packet");
	else if (a->step == STEP_MD5)
		got_md5(a, text);
	else
		got_password(a, text);
}

/* One message out of the buffer, which is wiped. False: nothing more to do for now. */
static bool
auth_step(struct client *c)
{
	struct buf *in = c->conn.in;
	uint32_t len, avail;
	uint8_t type, *p;
	enum wire_result r;

	if (in == NULL || c->state != CLIENT_AUTH || !expects_message(c->auth))
		return false;
	p = in->data + in->head;
	avail = in->tail - in->head;
	r = wire_header(p, avail, buf_cap(), &type, &len);
	if (r == WIRE_BAD || (avail > 0 && p[0] != 'p')) {
		refuse_protocol(c->auth, "expected a password response of sensible length");
		return false;
	}
	if (r == WIRE_MORE || len > avail)
		return false;
	c->conn.in = NULL; /* a refusal must not drop it under us */
	auth_message(c->auth, p + WIRE_HEADER, len - WIRE_HEADER);
	explicit_bzero(p, len);
	in->head += len;
	in->fwd = in->head;
	if (c->conn.src.fd == -1 || c->state == CLIENT_CLOSING) {
		buf_put(in);
		return false;
	}
	c->conn.in = in;
	conn_trim(&c->conn);
	return true;
}

void
client_auth_event(struct client *c)
{
	while (auth_step(c))
		;
	while (c->state == CLIENT_AUTH && expects_message(c->auth) && conn_can_recv(&c->conn)) {
		int n = conn_recv(&c->conn);
		if (n == -1) {
			client_close(c, errno == 0 ? "closed before login" : strerror(errno));
			return;
		}
		while (auth_step(c))
			;
		if (n == 0)
			break;
	}
	if (c->conn.src.fd == -1 || c->state == CLIENT_CLOSING)
		return;
	if (c->conn.out != NULL && conn_send(&c->conn, NULL, NULL) == CONN_BROKEN)
		client_close(c, strerror(errno));
	else if (c->state == CLIENT_AUTH && c->conn.hup && !expects_message(c->auth))
		client_close(c, "closed during login");
}

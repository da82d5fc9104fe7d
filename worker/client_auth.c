/*
 * client_auth: see client_auth.h. Called by client_login.c (start) and client.c (socket, end).
 *
 * One small machine per client, in the strongbox for the time of the login: the step says what is
 * waited for. Names that do not exist, and those without a fitting secret, go through the same
 * exchange and are refused at its end with the same words, no sooner than a password can be checked
 * that nobody has derived keys from yet; the log has the true reason. Nothing here blocks: PBKDF2
 * and the account database are asked beside the loop. The time limit is the client's own,
 * client_login_timeout, over all steps.
 */
#include "worker/client_auth_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/string.h>

#include "conf/hba.h"
#include "conf/ident.h"
#include "conf/log.h"
#include "conf/strongbox.h"
#include "worker/client.h"
#include "worker/console.h"
#include "worker/client_login.h"

#define TO(step) (1U << STEP_##step)

static const unsigned int edges[] = {
    [STEP_START] = TO(LOOKUP) | TO(PEER) | TO(PASSWORD) | TO(MD5) | TO(SASL_FIRST) | TO(DONE),
    [STEP_LOOKUP] = TO(PASSWORD) | TO(MD5) | TO(SASL_FIRST) | TO(DONE),
    [STEP_PEER] = TO(DONE),
    [STEP_PASSWORD] = TO(EXTERNAL) | TO(CHECK) | TO(LATE) | TO(DONE),
    [STEP_EXTERNAL] = TO(DONE),
    [STEP_CHECK] = TO(LATE) | TO(DONE),
    [STEP_MD5] = TO(LATE) | TO(DONE),
    [STEP_SASL_FIRST] = TO(SASL_FINAL) | TO(LATE) | TO(DONE),
    [STEP_SASL_FINAL] = TO(KEYS) | TO(LATE) | TO(DONE),
    [STEP_KEYS] = TO(LATE) | TO(DONE),
    [STEP_LATE] = TO(DONE),
    [STEP_DONE] = 0,
};

void
auth_set_step(struct client_auth *a, enum auth_step step)
{
	ENSURE((edges[a->step] >> step & 1) != 0);
	a->step = step;
}

/* --- life ------------------------------------------------------------------------------------- */

void
client_auth_fini(struct client *c)
{
	struct client_auth *a = c->auth;

	if (a == NULL)
		return;
	lookup_cancel(&a->lookup);
	external_cancel(&a->external);
	external_free(&a->options);
	keys_cancel(&a->keys);
	timer_stop(&a->timer);
	peer_cancel(&a->peer);
	strongbox_put(a->secret);
	strongbox_put(a->password);
	strongbox_put(a);
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

void
auth_let_in(struct client_auth *a)
{
	auth_set_step(a, STEP_DONE);
	client_login_go(a->client, a->db, a->user);
}

void
auth_refuse_failed(
    struct client_auth *a, const char *sqlstate, const char *message, const char *why)
{
	auth_set_step(a, STEP_DONE);
	client_refuse(a->client,
	    &(struct wire_error){.severity = "FATAL", .sqlstate = sqlstate, .message = message},
	    why);
}

static void
count_failure(const struct client_auth *a)
{
	const struct client *c = a->client;
	uint32_t limit = (uint32_t)wk->conf->auth_failure_limit;

	stats_add(&wk->row->auth_failures, 1);
	if (limit > 0 && c->port != 0)
		failures_add(wk->boot->failures, c->addr.s6_addr, loop_now(), limit);
}

void
auth_refuse(struct client_auth *a, const char *sqlstate, const char *message, const char *why)
{
	count_failure(a);
	auth_refuse_failed(a, sqlstate, message, why);
}

/* One text for everything that is wrong with name and password. */
static void
tell_failure(struct client_auth *a)
{
	char text[128];

	snprintf(text, sizeof(text), "password authentication failed for user \"%s\"", a->user);
	auth_refuse_failed(a, "28P01", text, a->failure);
}

static void
late(struct timer *t)
{
	struct client_auth *a = LOOP_CONTAINER(t, struct client_auth, timer);

	loop_again(&a->client->conn.src);
	tell_failure(a);
}

void
auth_refuse_password(struct client_auth *a, const char *why)
{
	uint32_t iterations = a->scram.verifier.iterations != 0
				  ? a->scram.verifier.iterations
				  : (uint32_t)wk->conf->scram_iterations;
	int64_t at = a->proof_us + keys_patience_us(iterations);

	count_failure(a);
	if (a->looked_up)
		lookup_doubt(&a->source, a->user);
	a->failure = a->doomed != NULL ? a->doomed : why;
	if (at <= loop_now()) {
		tell_failure(a);
		return;
	}
	auth_set_step(a, STEP_LATE);
	timer_set(&a->timer, at, late);
}

void
auth_refuse_protocol(struct client_auth *a, const char *why)
{
	stats_add(&wk->row->protocol_errors, 1);
	auth_refuse(a, "08P01", why, why);
}

/* --- what is asked ---------------------------------------------------------------------------- */

void
auth_ask(struct client_auth *a, enum auth_step step, struct wire_out *w)
{
	ENSURE(!w->failed);
	auth_set_step(a, step);
	conn_put(&a->client->conn, w->base, w->len);
}

void
auth_ask_code(
    struct client_auth *a, enum auth_step step, uint32_t code, const void *more, size_t len)
{
	uint8_t msg[64];
	struct wire_out w;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 'R');
	wire_int32(&w, code);
	wire_bytes(&w, more, len);
	wire_end(&w);
	auth_ask(a, step, &w);
}

/* --- the beginning ---------------------------------------------------------------------------- */

/* What a client must know of a plain password's verifier, before that is derived. */
static void
salt_of_password(struct client_auth *a)
{
	struct scram_verifier *v = &a->scram.verifier;

	v->iterations = (uint32_t)wk->conf->scram_iterations;
	v->salt_len = SCRAM_OWN_SALT;
	if (scram_own_salt(secrets_instance(wk->boot->secrets), a->user, v->salt) == -1)
		fatalx("OpenSSL cannot compute SHA-256");
}

/* Is there a secret that this method can use? If not, `doomed` says why, and a mock verifier stands
 * in, where a real one would be expected. */
static void
prepare_secret(struct client_auth *a)
{
	bool scram = a->method == AUTH_SCRAM || a->method == AUTH_SCRAM_PLUS;
	uint64_t seed;

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
		else if (scram)
			salt_of_password(a);
		return;
	}
	if (!scram && wk->conf->kinds.n == 0)
		return;
	a->kind = SCRAM_SECRET_VERIFIER;
	if (scram_verifier_mock(
		secrets_instance(wk->boot->secrets), a->user, 0, &a->scram.verifier) == -1)
		fatalx("OpenSSL cannot compute SHA-256");
	memcpy(&seed, a->scram.verifier.stored_key, sizeof(seed));
	a->scram.verifier.iterations =
	    kinds_iterations(&wk->conf->kinds, (uint32_t)wk->conf->scram_iterations, seed);
}

static void
take_secret(struct client_auth *a, const char *secret)
{
	a->secret = strongbox_copy(secret);
	a->kind = scram_secret_kind(secret);
}

static void
load_secret(struct client_auth *a)
{
	const char *secret = conf_secret(wk->conf, a->user, &a->known);

	a->kind = SCRAM_SECRET_PLAIN;
	if (secret != NULL)
		take_secret(a, secret);
}

static void
start_trust(struct client_auth *a)
{
	char text[128];

	if (a->known || a->method == AUTH_ANY) {
		auth_let_in(a);
		return;
	}
	snprintf(text, sizeof(text), "no such user: %s", a->user);
	auth_refuse(a, "28000", text,
	    a->looked_up ? "auth_query does not find it"
			 : "it stands neither in users nor in auth_file");
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
		auth_refuse(a, "28000", "login rejected", "auth_type reject");
		break;
	case AUTH_PEER:
		auth_start_peer(a);
		break;
	case AUTH_CERT:
		auth_start_cert(a);
		break;
	case AUTH_PAM:
	case AUTH_LDAP:
		auth_ask_password(a);
		break;
	case AUTH_HBA: /* no rule says so */
	case AUTH_PASSWORD:
		prepare_secret(a);
		auth_ask_password(a);
		break;
	case AUTH_MD5:
		prepare_secret(a);
		if (a->kind == SCRAM_SECRET_VERIFIER)
			auth_ask_sasl(a);
		else
			auth_ask_md5(a);
		break;
	case AUTH_SCRAM_PLUS:
	case AUTH_SCRAM:
		if (a->method == AUTH_SCRAM_PLUS && !auth_can_bind(a))
			break;
		prepare_secret(a);
		auth_ask_sasl(a);
		break;
	}
}

/* The client is not to blame, and a stranger need not know more: the log has the reason. */
static void
lookup_failed(struct client_auth *a, const struct lookup_answer *found)
{
	static const char text[] = "auth_query failed";
	bool away = strncmp(found->sqlstate, "08", 2) == 0 ||
		    strncmp(found->sqlstate, "57", 2) == 0 ||
		    strncmp(found->sqlstate, "53", 2) == 0;
	char why[384];

	snprintf(why, sizeof(why), "%s (%s), asked in %s as %s", found->text,
	    found->sqlstate[0] == '\0' ? "?" : found->sqlstate, a->source.db, a->source.user);
	log_warnx("auth_query for user \"%s\": %s", a->user, why);
	auth_refuse_failed(a, away ? "08006" : "F0000", text, why);
}

static void
looked_up(struct lookup_wait *w, const struct lookup_answer *found)
{
	struct client_auth *a = LOOP_CONTAINER(w, struct client_auth, lookup);

	loop_again(&a->client->conn.src);
	if (found->result == LOOKUP_FAILED) {
		lookup_failed(a, found);
		return;
	}
	a->looked_up = true;
	a->known |= found->result != LOOKUP_ABSENT;
	if (found->result == LOOKUP_FOUND)
		take_secret(a, found->text);
	start_method(a);
}

/* What the method needs to know of a user, and nobody has written down here. */
static bool
must_ask(struct client_auth *a)
{
	bool needs = a->method == AUTH_PASSWORD || a->method == AUTH_MD5 ||
		     a->method == AUTH_SCRAM || a->method == AUTH_SCRAM_PLUS ||
		     (a->method == AUTH_TRUST && !a->known);

	return needs && a->secret == NULL && !console_is(a->db) && lookup_source(a->db, &a->source);
}

/* What was said behind the method, kept for the time of the login. */
static void
take_options(struct client_auth *a, const struct external *x)
{
	if (x == NULL || x->len == 0)
		return;
	a->options.text = strongbox_take(x->len);
	memcpy(a->options.text, x->text, x->len);
	a->options.len = x->len;
}

/* Too many have failed from there: not even a right password is heard. Unix sockets are exempt. */
static bool
too_many_failures(struct client_auth *a)
{
	const struct client *c = a->client;
	uint32_t limit = (uint32_t)wk->conf->auth_failure_limit;
	int64_t wait;
	char hint[96];

	if (limit == 0 || c->port == 0)
		return false;
	wait = failures_wait(wk->boot->failures, c->addr.s6_addr, loop_now(), limit);
	if (wait == 0)
		return false;
	auth_set_step(a, STEP_DONE);
	stats_add(&wk->row->auth_blocked, 1);
	snprintf(hint, sizeof(hint), "Try again in %d s.", (int)(wait / 1000000) + 1);
	client_refuse(a->client,
	    &(struct wire_error){.severity = "FATAL",
		.sqlstate = "28000",
		.message = "too many failed logins from this address",
		.hint = hint},
	    "auth_failure_limit");
	return true;
}

/* The first rule that fits says the method. False: it was refused. */
static bool
apply_rules(struct client_auth *a)
{
	const struct client *c = a->client;
	const struct hba_client who = {.local = c->conn.is_unix,
	    .tls = c->conn.tls != NULL,
	    .replication = c->replication == REPLICATION_PHYSICAL,
	    .addr = c->addr,
	    .db = a->db,
	    .user = a->user};
	const struct hba_rule *rule = hba_match(wk->conf->hba, &who);
	char text[256], why[64];

	if (rule == NULL) {
		snprintf(text, sizeof(text),
		    "no rule of auth_hba_file lets user \"%s\" into database \"%s\" from here",
		    a->user, a->db);
		auth_refuse(a, "28000", text, "no line fits");
		return false;
	}
	snprintf(why, sizeof(why), "line %d of auth_hba_file", rule->line);
	if (rule->method == AUTH_REJECT) {
		auth_refuse(a, "28000", "login rejected", why);
		return false;
	}
	a->method = rule->method;
	a->name_is_dn = rule->clientname_dn;
	if (rule->clientcert != HBA_CERT_NONE && !auth_check_cert(a, rule->clientcert, why))
		return false;
	take_options(a, &rule->external);
	if (rule->map != NULL)
		strlcpy(a->map, rule->map, sizeof(a->map));
	return true;
}

void
client_auth_start(struct client *c, const char *db, const char *user)
{
	struct client_auth *a = strongbox_take(sizeof(*a));

	a->client = c;
	c->auth = a;
	c->state = CLIENT_AUTH;
	strlcpy(a->db, db, sizeof(a->db));
	strlcpy(a->user, user, sizeof(a->user));
	a->method = wk->conf->auth_type;
	if (console_is(db) && console_owner(c, user)) {
		auth_let_in(a);
		return;
	}
	take_options(a, wk->conf->external);
	load_secret(a);
	if (c->internal) {
		a->known = true;
		auth_let_in(a);
		return;
	}
	if (too_many_failures(a))
		return;
	if (a->method == AUTH_HBA && !apply_rules(a))
		return;
	if (must_ask(a)) {
		auth_set_step(a, STEP_LOOKUP);
		lookup_ask(&a->lookup, &a->source, a->user, looked_up);
	} else {
		start_method(a);
	}
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
	if (a->step != STEP_SASL_FINAL)
		a->proof_us = loop_now();
	if (a->step == STEP_SASL_FIRST) {
		auth_got_sasl_first(a, &in);
		return;
	}
	if (a->step == STEP_SASL_FINAL) {
		auth_got_sasl_final(a, &in);
		return;
	}
	text = wire_get_string(&in);
	if (text == NULL || in.left != 0)
		auth_refuse_protocol(a, "malformed password packet");
	else if (a->step == STEP_MD5)
		auth_got_md5(a, text);
	else
		auth_got_password(a, text);
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
		auth_refuse_protocol(c->auth, "expected a password response of sensible length");
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
			client_close(c, errno == 0 ? "closed before login" : conn_why(&c->conn));
			return;
		}
		while (auth_step(c))
			;
		if (n == 0)
			break;
	}
	if (c->conn.src.fd == -1 || c->state == CLIENT_CLOSING)
		return;
	if (conn_unsent(&c->conn) && conn_send(&c->conn, NULL, NULL) == CONN_BROKEN)
		client_close(c, conn_why(&c->conn));
	else if (c->state == CLIENT_AUTH && c->conn.hup && c->auth->step == STEP_LATE)
		tell_failure(c->auth); /* the log must have it */
	else if (c->state == CLIENT_AUTH && c->conn.hup && !expects_message(c->auth))
		client_close(c, "closed during login");
}

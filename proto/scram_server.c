/*
 * scram_server: see scram_server.h. Called by worker/client_auth.c; owns nothing; what it derives
 * on the stack is wiped before it returns.
 *
 * A client's messages are not trusted. As PostgreSQL does, the name in client-first is ignored (the
 * startup packet has it), an authorization identity and mandatory extensions are refused, optional
 * ones are skipped.
 */
#include "proto/scram_server.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "proto/scram_bytes.h"

#define VERIFIER_PREFIX "SCRAM-SHA-256$"

/* --- stored secrets --------------------------------------------------------------------------- */

enum scram_secret
scram_secret_kind(const char *secret)
{
	struct scram_verifier v;
	enum scram_secret kind = SCRAM_SECRET_PLAIN;

	if (strlen(secret) == 35 && strncmp(secret, "md5", 3) == 0 &&
	    strspn(secret + 3, "0123456789abcdef") == 32)
		return SCRAM_SECRET_MD5;
	if (scram_verifier_parse(secret, &v) == 0)
		kind = SCRAM_SECRET_VERIFIER;
	OPENSSL_cleanse(&v, sizeof(v));
	return kind;
}

/* Base64 of exactly a key, up to the character `end`. NULL, or what follows it. */
static const char *
take_key(const char *s, char end, uint8_t key[SCRAM_KEY])
{
	size_t len = strcspn(s, ":$"), n;

	if (s[len] != end || scram_base64_decode(s, len, key, SCRAM_KEY, &n) == -1 ||
	    n != SCRAM_KEY)
		return NULL;
	return s + len + (end != '\0');
}

int
scram_verifier_parse(const char *text, struct scram_verifier *v)
{
	const char *s = text;
	size_t len;

	memset(v, 0, sizeof(*v));
	if (strncmp(s, VERIFIER_PREFIX, strlen(VERIFIER_PREFIX)) != 0)
		return -1;
	s += strlen(VERIFIER_PREFIX);
	len = strcspn(s, ":");
	v->iterations = s[len] == ':' ? scram_iterations(s, len) : 0;
	if (v->iterations == 0)
		return -1;
	s += len + 1;
	len = strcspn(s, "$");
	if (s[len] != '$' ||
	    scram_base64_decode(s, len, v->salt, sizeof(v->salt), &v->salt_len) == -1)
		return -1;
	s = take_key(s + len + 1, ':', v->stored_key);
	return s != NULL && take_key(s, '\0', v->server_key) != NULL ? 0 : -1;
}

int
scram_verifier_of(const struct scram_keys *keys, struct scram_verifier *v)
{
	memcpy(v->salt, keys->salt, sizeof(v->salt));
	v->salt_len = keys->salt_len;
	v->iterations = keys->iterations;
	memcpy(v->server_key, keys->server_key, SCRAM_KEY);
	return scram_hash(keys->client_key, v->stored_key) ? 0 : -1;
}

bool
scram_verifier_fits(const struct scram_verifier *v, const struct scram_keys *keys)
{
	uint8_t stored[SCRAM_KEY];
	bool fits = scram_hash(keys->client_key, stored) &&
		    CRYPTO_memcmp(stored, v->stored_key, SCRAM_KEY) == 0;

	OPENSSL_cleanse(stored, sizeof(stored));
	return fits;
}

/* HMAC of "<what> <user>" under the instance's secret. */
static bool
own_hash(
    const uint8_t instance[SCRAM_KEY], const char *what, const char *user, uint8_t out[SCRAM_KEY])
{
	char text[256];
	int n = scram_print(text, sizeof(text), "%s %s", what, user);

	return n != -1 && scram_hmac(instance, text, (size_t)n, out);
}

int
scram_own_salt(const uint8_t instance[SCRAM_KEY], const char *user, uint8_t salt[SCRAM_OWN_SALT])
{
	uint8_t hash[SCRAM_KEY];

	if (!own_hash(instance, "salt", user, hash))
		return -1;
	memcpy(salt, hash, SCRAM_OWN_SALT);
	return 0;
}

int
scram_verifier_mock(const uint8_t instance[SCRAM_KEY], const char *user, uint32_t iterations,
    struct scram_verifier *v)
{
	memset(v, 0, sizeof(*v));
	v->iterations = iterations;
	v->salt_len = SCRAM_OWN_SALT;
	if (scram_own_salt(instance, user, v->salt) == -1 ||
	    !own_hash(instance, "stored", user, v->stored_key) ||
	    !own_hash(instance, "server", user, v->server_key))
		return -1;
	return 0;
}

/* --- SCRAM ------------------------------------------------------------------------------------ */

/* Copies a message that must be text. False: it is too long or has a zero byte. */
static bool
take_text(char out[SCRAM_MESSAGE_MAX], const char *msg, size_t len)
{
	if (len == 0 || len >= SCRAM_MESSAGE_MAX || memchr(msg, '\0', len) != NULL)
		return false;
	memcpy(out, msg, len);
	out[len] = '\0';
	return true;
}

/* The gs2 header: NULL, or why it is refused. *s is moved behind it. */
static const char *
take_header(struct scram_server *x, const struct scram_channel *channel, const char **s)
{
	const char *at = *s, *type;
	size_t len;

	if (at[0] == 'p') {
		type = scram_attribute(&at, 'p', &len);
		if (type == NULL || len != strlen(SCRAM_BINDING_TYPE) ||
		    strncmp(type, SCRAM_BINDING_TYPE, len) != 0)
			return "unsupported SCRAM channel-binding type";
		if (!channel->used)
			return "the client binds a channel, but has not chosen SCRAM-SHA-256-PLUS";
	} else if ((at[0] == 'n' || at[0] == 'y') && at[1] == ',') {
		if (channel->used)
			return "SCRAM-SHA-256-PLUS without channel binding";
		if (at[0] == 'y' && channel->offered)
			return "SCRAM channel binding negotiation error: it was offered, and the "
			       "client has not seen that";
		at += 2;
	} else {
		return "malformed SCRAM message: unexpected channel-binding flag";
	}
	if (at[0] != ',')
		return "the client uses an authorization identity, which is not supported";
	at++;
	len = (size_t)(at - *s);
	if (len >= sizeof(x->gs2))
		return "malformed SCRAM message: the header is too long";
	memcpy(x->gs2, *s, len);
	x->gs2[len] = '\0';
	*s = at;
	return NULL;
}

/* The rest of client-first; the nonce goes into x->nonce. */
static const char *
take_first(struct scram_server *x, const char *s)
{
	const char *value;
	size_t len;

	if (s[0] == 'm')
		return "the client requires an unsupported SCRAM extension";
	if (scram_print(x->client_first, sizeof(x->client_first), "%s", s) == -1)
		return "SCRAM message too long";
	if (scram_attribute(&s, 'n', &len) == NULL)
		return "malformed SCRAM message: user name expected";
	value = scram_attribute(&s, 'r', &len);
	if (value == NULL || !scram_printable(value, len))
		return "malformed SCRAM message: nonce expected";
	if (scram_print(x->nonce, sizeof(x->nonce), "%.*s", (int)len, value) == -1)
		return "SCRAM nonce too long";
	return NULL;
}

enum scram_result
scram_server_first(struct scram_server *x, const struct scram_channel *channel, const char *nonce,
    const char *client_first, size_t len, char *out, size_t size, const char **why)
{
	char text[SCRAM_MESSAGE_MAX], own[SCRAM_BASE64_SIZE(SCRAM_NONCE_BYTES) + 1];
	char salt[SCRAM_BASE64_SIZE(SCRAM_SALT_MAX) + 1];
	const char *s = text;
	size_t n;

	*why = "malformed SCRAM message: empty, too long or with a zero byte";
	if (!take_text(text, client_first, len))
		return SCRAM_MALFORMED;
	if ((*why = take_header(x, channel, &s)) != NULL || (*why = take_first(x, s)) != NULL)
		return SCRAM_MALFORMED;
	if (nonce == NULL)
		scram_nonce(own);
	n = strlen(x->nonce);
	(void)EVP_EncodeBlock((uint8_t *)salt, x->verifier.salt, (int)x->verifier.salt_len);
	*why = "SCRAM message too long";
	if (scram_print(x->nonce + n, sizeof(x->nonce) - n, "%s", nonce == NULL ? own : nonce) ==
		-1 ||
	    scram_print(x->server_first, sizeof(x->server_first), "r=%s,s=%s,i=%u", x->nonce, salt,
		x->verifier.iterations) == -1 ||
	    scram_print(out, size, "%s", x->server_first) == -1)
		return SCRAM_MALFORMED;
	*why = NULL;
	return SCRAM_OK;
}

/* Is c= the header and the channel's data, and does r= repeat the nonce? Leaves *s at the proof. */
static const char *
check_final(const struct scram_server *x, const struct scram_channel *channel, const char **s)
{
	uint8_t got[SCRAM_BASE64_DECODE_MAX];
	const char *value;
	size_t len, n, head = strlen(x->gs2), data = channel->used ? channel->len : 0;

	value = scram_attribute(s, 'c', &len);
	if (value == NULL || scram_base64_decode(value, len, got, sizeof(got), &n) == -1)
		return "malformed SCRAM message: channel binding expected";
	if (n != head + data || memcmp(got, x->gs2, head) != 0 ||
	    (data > 0 && CRYPTO_memcmp(got + head, channel->data, data) != 0))
		return "SCRAM channel binding check failed";
	value = scram_attribute(s, 'r', &len);
	if (value == NULL || len != strlen(x->nonce) || memcmp(value, x->nonce, len) != 0)
		return "invalid SCRAM nonce";
	while (**s != '\0' && **s != 'p') { /* optional extensions */
		*s += strcspn(*s, ",");
		*s += **s == ',';
	}
	return NULL;
}

/* ClientKey = ClientProof XOR HMAC(StoredKey, AuthMessage); its hash must be StoredKey. */
static bool
check_proof(struct scram_server *x, const char *auth, size_t len, const uint8_t proof[SCRAM_KEY])
{
	uint8_t stored[SCRAM_KEY];
	bool ok = scram_hmac(x->verifier.stored_key, auth, len, x->client_key);

	for (size_t i = 0; i < SCRAM_KEY; i++)
		x->client_key[i] ^= proof[i];
	ok = ok && scram_hash(x->client_key, stored) &&
	     CRYPTO_memcmp(stored, x->verifier.stored_key, SCRAM_KEY) == 0;
	if (!ok)
		OPENSSL_cleanse(x->client_key, sizeof(x->client_key));
	OPENSSL_cleanse(stored, sizeof(stored));
	return ok;
}

static int
write_final(const struct scram_server *x, const char *auth, size_t len, char *out, size_t size)
{
	uint8_t signature[SCRAM_KEY];
	char text[SCRAM_KEY_TEXT];

	if (!scram_hmac(x->verifier.server_key, auth, len, signature))
		return -1;
	(void)EVP_EncodeBlock((uint8_t *)text, signature, SCRAM_KEY);
	return scram_print(out, size, "v=%s", text);
}

enum scram_result
scram_server_final(struct scram_server *x, const struct scram_channel *channel,
    const char *client_final, size_t len, char *out, size_t size, const char **why)
{
	char text[SCRAM_MESSAGE_MAX], auth[3 * SCRAM_MESSAGE_MAX];
	uint8_t proof[SCRAM_KEY];
	const char *s = text, *value;
	size_t n, cut;
	int auth_len;

	*why = "malformed SCRAM message: empty, too long or with a zero byte";
	if (!take_text(text, client_final, len))
		return SCRAM_MALFORMED;
	if ((*why = check_final(x, channel, &s)) != NULL)
		return SCRAM_MALFORMED;
	cut = (size_t)(s - text);
	value = scram_attribute(&s, 'p', &n);
	*why = "malformed SCRAM message: proof expected";
	if (value == NULL || cut == 0 || value[n] != '\0' ||
	    scram_base64_decode(value, n, proof, sizeof(proof), &n) == -1 || n != SCRAM_KEY)
		return SCRAM_MALFORMED;
	*why = "SCRAM message too long";
	auth_len = scram_print(auth, sizeof(auth), "%s,%s,%.*s", x->client_first, x->server_first,
	    (int)(cut - 1), text);
	if (auth_len == -1)
		return SCRAM_MALFORMED;
	*why = NULL;
	if (!check_proof(x, auth, (size_t)auth_len, proof))
		return SCRAM_WRONG;
	return write_final(x, auth, (size_t)auth_len, out, size) == -1 ? SCRAM_WRONG : SCRAM_OK;
}

/* --- MD5 and plain text ----------------------------------------------------------------------- */

/* Are these texts equal? Takes the same time whatever they hold. */
static bool
same_text(const char *a, const char *b)
{
	uint8_t ha[SCRAM_KEY], hb[SCRAM_KEY];
	bool same = scram_digest(scram_sha256(), a, strlen(a), "", 0, ha) &&
		    scram_digest(scram_sha256(), b, strlen(b), "", 0, hb) &&
		    CRYPTO_memcmp(ha, hb, SCRAM_KEY) == 0;

	OPENSSL_cleanse(ha, sizeof(ha));
	OPENSSL_cleanse(hb, sizeof(hb));
	return same;
}

bool
scram_md5_fits(const char *user, const char *secret, const uint8_t salt[4], const char *answer)
{
	char want[36];
	bool fits = strlen(answer) == sizeof(want) - 1 &&
		    scram_md5(user, secret, salt, want) == 0 &&
		    CRYPTO_memcmp(want, answer, sizeof(want)) == 0;

	OPENSSL_cleanse(want, sizeof(want));
	return fits;
}

bool
scram_password_fits(const char *user, const char *secret, const char *password)
{
	char stored[36];
	bool fits;

	if (scram_secret_kind(secret) != SCRAM_SECRET_MD5)
		return same_text(secret, password);
	fits = scram_md5_stored(user, password, stored) == 0 && same_text(secret, stored);
	OPENSSL_cleanse(stored, sizeof(stored));
	return fits;
}

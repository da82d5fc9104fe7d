/*
 * test_scram_server: RFC 7677's vector seen from the server, our own client against it, stored
 * secrets, mock users, channel binding, and clients that lie.
 */
#include "proto/scram_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define OWN_NONCE    "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define NONCE	     CLIENT_NONCE OWN_NONCE
#define SERVER_FIRST "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define CLIENT_FINAL "c=biws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
/* "pencil" with the RFC's salt. */
#define VERIFIER                                                                                   \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=" \
	":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static const struct scram_channel plain;
static struct scram_server server;
static char out[SCRAM_MESSAGE_MAX];
static const char *why;

static enum scram_result
first_of(const struct scram_channel *channel, const char *text)
{
	memset(&server, 0, sizeof(server));
	assert_int_equal(scram_verifier_parse(VERIFIER, &server.verifier), 0);
	return scram_server_first(
	    &server, channel, OWN_NONCE, text, strlen(text), out, sizeof(out), &why);
}

static enum scram_result
final_of(const struct scram_channel *channel, const char *text)
{
	return scram_server_final(&server, channel, text, strlen(text), out, sizeof(out), &why);
}

static void
rfc7677_vector(void **state)
{
	(void)state;
	assert_int_equal(first_of(&plain, "n,,n=user,r=" CLIENT_NONCE), SCRAM_OK);
	assert_string_equal(out, SERVER_FIRST);
	assert_int_equal(final_of(&plain, CLIENT_FINAL), SCRAM_OK);
	assert_string_equal(out, SERVER_FINAL);
}

/* What the client has proved logs in to a server with the same verifier, without the password. */
static void
client_key_passes_through(void **state)
{
	struct scram_keys keys;
	struct scram_client client;
	char msg[SCRAM_MESSAGE_MAX];
	int n;

	(void)state;
	assert_int_equal(first_of(&plain, "n,,n=user,r=" CLIENT_NONCE), SCRAM_OK);
	assert_int_equal(final_of(&plain, CLIENT_FINAL), SCRAM_OK);
	memset(&keys, 0, sizeof(keys));
	memcpy(keys.salt, server.verifier.salt, sizeof(keys.salt));
	keys.salt_len = server.verifier.salt_len;
	keys.iterations = server.verifier.iterations;
	memcpy(keys.client_key, server.client_key, SCRAM_KEY);
	memcpy(keys.server_key, server.verifier.server_key, SCRAM_KEY);

	n = scram_client_first(&client, NULL, NULL, msg, sizeof(msg));
	memset(&server.nonce, 0, sizeof(server.nonce));
	assert_int_equal(
	    scram_server_first(&server, &plain, NULL, msg, (size_t)n, out, sizeof(out), &why),
	    SCRAM_OK);
	n = scram_client_final(&client, NULL, &keys, out, strlen(out), msg, sizeof(msg), &why);
	assert_true(n > 0);
	assert_int_equal(final_of(&plain, msg), SCRAM_OK);
	assert_true(scram_client_verify(&client, out, strlen(out)));
}

/* Our two halves, bound to channels: what the client says of its own, to a server with this one. */
static enum scram_result
talk(const struct scram_channel *of_client, const struct scram_channel *of_server)
{
	struct scram_keys keys;
	struct scram_client client;
	char msg[SCRAM_MESSAGE_MAX];
	enum scram_result r;
	int n = scram_client_first(&client, of_client, NULL, msg, sizeof(msg));

	assert_true(n > 0);
	assert_int_equal(scram_keys_derive(&keys, "pencil", (const uint8_t *)"salt", 4, 2), 0);
	memset(&server, 0, sizeof(server));
	assert_int_equal(scram_verifier_of(&keys, &server.verifier), 0);
	r = scram_server_first(&server, of_server, NULL, msg, (size_t)n, out, sizeof(out), &why);
	if (r != SCRAM_OK)
		return r;
	n = scram_client_final(&client, NULL, &keys, out, strlen(out), msg, sizeof(msg), &why);
	assert_true(n > 0);
	r = final_of(of_server, msg);
	assert_true(r != SCRAM_OK || scram_client_verify(&client, out, strlen(out)));
	return r;
}

static void
client_binds(void **state)
{
	uint8_t one[SCRAM_BINDING_MAX] = {1}, other[SCRAM_BINDING_MAX] = {2};
	const struct scram_channel bound = {true, true, one, 32}, wide = {true, true, one, 64};
	const struct scram_channel elsewhere = {true, true, other, 32};
	const struct scram_channel unused = {true, false, one, 32};
	const struct scram_channel not_offered = {false, false, one, 32}, none = {0};
	const struct scram_channel too_wide = {true, true, one, 65}, empty = {true, true, one, 0};
	struct scram_client client;

	(void)state;
	assert_int_equal(talk(&bound, &bound), SCRAM_OK);
	assert_int_equal(talk(&wide, &wide), SCRAM_OK);
	/* somebody in the middle shows another certificate */
	assert_int_equal(talk(&bound, &elsewhere), SCRAM_MALFORMED);
	assert_non_null(strstr(why, "channel binding check failed"));
	/* ... or takes the offer out of the list: the y flag gives it away */
	assert_int_equal(talk(&not_offered, &unused), SCRAM_MALFORMED);
	assert_non_null(strstr(why, "negotiation error"));
	/* a server that offers none; a client that cannot */
	assert_int_equal(talk(&not_offered, &not_offered), SCRAM_OK);
	assert_int_equal(talk(&none, &unused), SCRAM_OK);
	assert_int_equal(talk(NULL, &none), SCRAM_OK);
	assert_int_equal(scram_client_first(&client, &too_wide, NULL, out, sizeof(out)), -1);
	assert_int_equal(scram_client_first(&client, &empty, NULL, out, sizeof(out)), -1);
}

static void
wrong_proof(void **state)
{
	char text[] = CLIENT_FINAL;

	(void)state;
	assert_int_equal(first_of(&plain, "n,,n=,r=" CLIENT_NONCE), SCRAM_OK);
	assert_int_equal(final_of(&plain, CLIENT_FINAL), SCRAM_WRONG); /* signed another name */
	assert_int_equal(first_of(&plain, "n,,n=user,r=" CLIENT_NONCE), SCRAM_OK);
	text[strlen(text) - 2] = 'R';
	assert_int_equal(final_of(&plain, text), SCRAM_MALFORMED); /* stray bits in base64 */
	text[strlen(text) - 2] = 'A';
	assert_int_equal(final_of(&plain, text), SCRAM_WRONG);
	text[strlen(text) - 1] = 'A';
	assert_int_equal(final_of(&plain, text), SCRAM_MALFORMED); /* a byte too long */
}

static void
refused_first(void **state)
{
	static const char *const bad[] = {"", "n", "n,", "n,,", "x,,n=,r=a", "n,a=me,n=,r=a",
	    "n,,m=ext,n=,r=a", "n,,r=a", "n,,n=,r=", "n,,n=,r=a b", "p=tls-unique,,n=,r=a",
	    "p=tls-server-end-point,,n=,r=a", "p,,n=,r=a"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(first_of(&plain, bad[i]), SCRAM_MALFORMED);
		assert_non_null(why);
	}
	assert_int_equal(first_of(&plain, "y,,n=,r=a"), SCRAM_OK);
	assert_int_equal(first_of(&plain, "n,,n=,r=a,x=optional"), SCRAM_OK);
}

static void
refused_final(void **state)
{
	static const char *const bad[] = {"", "c=biws", "c=biws,r=" NONCE,
	    "c=biws,r=" NONCE ",p=", "c=biws,r=" NONCE ",p=AAAA", "c=eSws,r=" NONCE ",p=AAAA",
	    "c=biws,r=" CLIENT_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    CLIENT_FINAL ",x=1", "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(first_of(&plain, "n,,n=user,r=" CLIENT_NONCE), SCRAM_OK);
		assert_int_equal(final_of(&plain, bad[i]), SCRAM_MALFORMED);
	}
}

static void
channel_binding(void **state)
{
	static const uint8_t hash[4] = {1, 2, 3, 4}, other[4] = {1, 2, 3, 5};
	struct scram_channel tls = {.offered = true, .used = true, .data = hash, .len = 4};
	/* base64 of "p=tls-server-end-point,," and the hash; no password fits, so WRONG is right */
	static const char final[] = "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAQIDBA==,r=" NONCE
				    ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

	(void)state;
	assert_int_equal(first_of(&tls, "p=tls-server-end-point,,n=,r=" CLIENT_NONCE), SCRAM_OK);
	assert_int_equal(final_of(&tls, final), SCRAM_WRONG);
	tls.data = other;
	assert_int_equal(final_of(&tls, final), SCRAM_MALFORMED);
	tls.data = hash;
	assert_int_equal(final_of(&tls, CLIENT_FINAL), SCRAM_MALFORMED);
	assert_int_equal(first_of(&tls, "n,,n=,r=a"), SCRAM_MALFORMED);
	tls.used = false;
	assert_int_equal(first_of(&tls, "y,,n=,r=a"), SCRAM_MALFORMED); /* stripped on the way */
	assert_int_equal(first_of(&tls, "n,,n=,r=a"), SCRAM_OK);
}

static void
secret_kinds(void **state)
{
	struct scram_verifier v;
	struct scram_keys keys;
	char bad[] = VERIFIER;

	(void)state;
	assert_int_equal(scram_secret_kind(VERIFIER), SCRAM_SECRET_VERIFIER);
	assert_int_equal(
	    scram_secret_kind("md50123456789abcdef0123456789abcdef"), SCRAM_SECRET_MD5);
	assert_int_equal(
	    scram_secret_kind("md50123456789abcdef0123456789abcdeF"), SCRAM_SECRET_PLAIN);
	assert_int_equal(scram_secret_kind("md5"), SCRAM_SECRET_PLAIN);
	assert_int_equal(scram_secret_kind(""), SCRAM_SECRET_PLAIN);
	assert_int_equal(scram_secret_kind("SCRAM-SHA-256$0:AAAA$AA:AA"), SCRAM_SECRET_PLAIN);
	bad[strlen(bad) - 2] = '\0';
	assert_int_equal(scram_secret_kind(bad), SCRAM_SECRET_PLAIN);
	assert_int_equal(scram_verifier_parse(VERIFIER, &v), 0);
	assert_int_equal(scram_keys_derive(&keys, "pencil", v.salt, v.salt_len, v.iterations), 0);
	assert_true(scram_verifier_fits(&v, &keys));
	assert_int_equal(scram_keys_derive(&keys, "pen", v.salt, v.salt_len, v.iterations), 0);
	assert_false(scram_verifier_fits(&v, &keys));
}

static void
mock_users(void **state)
{
	static const uint8_t instance[SCRAM_KEY] = {1}, other[SCRAM_KEY] = {2};
	struct scram_verifier a, b;
	uint8_t salt[SCRAM_OWN_SALT];

	(void)state;
	assert_int_equal(scram_verifier_mock(instance, "x", 4096, &a), 0);
	assert_int_equal(scram_verifier_mock(instance, "x", 4096, &b), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(scram_own_salt(instance, "x", salt), 0);
	assert_memory_equal(a.salt, salt, sizeof(salt));
	assert_int_equal(scram_verifier_mock(instance, "y", 4096, &b), 0);
	assert_memory_not_equal(a.salt, b.salt, SCRAM_OWN_SALT);
	assert_int_equal(scram_verifier_mock(other, "x", 4096, &b), 0);
	assert_memory_not_equal(a.salt, b.salt, SCRAM_OWN_SALT);
}

static void
md5_and_plain(void **state)
{
	static const uint8_t salt[4] = {1, 2, 3, 4};
	char answer[36], stored[36];

	(void)state;
	assert_int_equal(scram_md5("joe", "secret", salt, answer), 0);
	assert_int_equal(scram_md5_stored("joe", "secret", stored), 0);
	assert_int_equal(scram_secret_kind(stored), SCRAM_SECRET_MD5);
	assert_true(scram_md5_fits("joe", "secret", salt, answer));
	assert_true(scram_md5_fits("joe", stored, salt, answer));
	assert_false(scram_md5_fits("joe", "Secret", salt, answer));
	assert_false(scram_md5_fits("jim", "secret", salt, answer));
	answer[34] ^= 1;
	assert_false(scram_md5_fits("joe", "secret", salt, answer));
	assert_true(scram_password_fits("joe", "secret", "secret"));
	assert_true(scram_password_fits("joe", stored, "secret"));
	assert_false(scram_password_fits("joe", stored, "secre"));
	assert_false(scram_password_fits("joe", stored, stored));
	assert_false(scram_password_fits("joe", "secret", ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rfc7677_vector),
	    cmocka_unit_test(client_key_passes_through),
	    cmocka_unit_test(client_binds),
	    cmocka_unit_test(wrong_proof),
	    cmocka_unit_test(refused_first),
	    cmocka_unit_test(refused_final),
	    cmocka_unit_test(channel_binding),
	    cmocka_unit_test(secret_kinds),
	    cmocka_unit_test(mock_users),
	    cmocka_unit_test(md5_and_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

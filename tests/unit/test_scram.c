/*
 * test_scram: the login arithmetic against RFC 7677's vector, and servers that lie.
 *
 * Includes the source: the RFC's exchange has a user name in client-first, which PostgreSQL's never
 * has, so only the static final_for() can walk it.
 */
#include "proto/scram.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE CLIENT_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT	     "W22ZaJ0SNY7soEsUEjb6gQ=="
#define SERVER_FIRST "r=" SERVER_NONCE ",s=" SALT ",i=4096"
#define SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static struct scram_client client;
static char out[SCRAM_MESSAGE_MAX];

static void
begin(void)
{
	assert_int_equal(scram_client_first(&client, NULL, CLIENT_NONCE, out, sizeof(out)),
	    strlen("n,,n=,r=" CLIENT_NONCE));
	assert_string_equal(out, "n,,n=,r=" CLIENT_NONCE);
}

/* What is said to a server-first of these bytes: NULL when it is accepted. */
static const char *
refusal(const char *server_first)
{
	const char *why = "unset";
	int n;

	begin();
	n = scram_client_final(
	    &client, "pencil", NULL, server_first, strlen(server_first), out, sizeof(out), &why);
	if (n == -1)
		assert_non_null(why);
	else
		assert_int_equal(n, strlen(out));
	return n == -1 ? why : NULL;
}

static void
rfc7677_vector(void **state)
{
	const char *why;
	int n;

	(void)state;
	begin();
	memcpy(client.server_first, SERVER_FIRST, sizeof(SERVER_FIRST));
	n = final_for(&client, "user", "pencil", NULL, out, sizeof(out), &why);
	assert_int_equal(n, strlen(out));
	assert_null(why);
	assert_string_equal(
	    out, "c=biws,r=" SERVER_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
	assert_true(scram_client_verify(&client, SERVER_FINAL, strlen(SERVER_FINAL)));
	/* The keys are gone: nothing verifies twice. */
	assert_false(scram_client_verify(&client, SERVER_FINAL, strlen(SERVER_FINAL)));
}

static void
random_nonce(void **state)
{
	char other[SCRAM_MESSAGE_MAX];

	(void)state;
	assert_int_equal(scram_client_first(&client, NULL, NULL, out, sizeof(out)), 8 + 32);
	assert_int_equal(scram_client_first(&client, NULL, NULL, other, sizeof(other)), 8 + 32);
	assert_string_not_equal(out, other);
	assert_null(strchr(out + 8, ','));
}

static void
client_first_bounds(void **state)
{
	char nonce[49];

	(void)state;
	memset(nonce, 'x', sizeof(nonce));
	nonce[48] = '\0';
	assert_int_equal(scram_client_first(&client, NULL, nonce, out, sizeof(out)), -1);
	nonce[47] = '\0';
	assert_int_equal(scram_client_first(&client, NULL, nonce, out, 8 + 47 + 1), 8 + 47);
	assert_int_equal(scram_client_first(&client, NULL, nonce, out, 8 + 47), -1);
	assert_int_equal(scram_client_first(&client, NULL, "", out, sizeof(out)), -1);
	assert_int_equal(scram_client_first(&client, NULL, NULL, out, 8 + 32), -1);
}

static const char *
refuse_salt_of(size_t n)
{
	uint8_t salt[SCRAM_SALT_MAX + 8] = {1, 2, 3};
	uint8_t text[SCRAM_BASE64_SIZE(SCRAM_SALT_MAX + 8) + 1];
	char message[SCRAM_MESSAGE_MAX];

	EVP_EncodeBlock(text, salt, (int)n);
	assert_int_not_equal(
	    scram_print(message, sizeof(message), "r=%s,s=%s,i=1", SERVER_NONCE, (char *)text), -1);
	return refusal(message);
}

static void
server_first_good(void **state)
{
	(void)state;
	assert_null(refusal(SERVER_FIRST));
	assert_null(refusal("r=" CLIENT_NONCE "x,s=QQ==,i=1"));
	/* 64 bytes of salt are the most. */
	assert_null(refuse_salt_of(SCRAM_SALT_MAX));
	for (size_t n = SCRAM_SALT_MAX + 1; n < SCRAM_SALT_MAX + 5; n++)
		assert_non_null(refuse_salt_of(n));
}

static void
server_first_bad(void **state)
{
	static const char *const bad[] = {
	    "x",
	    "r",
	    "r=",
	    "r=" CLIENT_NONCE,
	    "r=" CLIENT_NONCE ",s=" SALT ",i=4096",	  /* adds nothing */
	    "r=other" CLIENT_NONCE ",s=" SALT ",i=4096",  /* not ours */
	    "r=rOprNGfwEbeRWgbNEkq,s=" SALT ",i=4096",	  /* part of ours */
	    "r=" CLIENT_NONCE "\x01,s=" SALT ",i=4096",	  /* not printable */
	    "r=" CLIENT_NONCE " x,s=" SALT ",i=4096",	  /* not printable */
	    "r=" CLIENT_NONCE "\xC3\xA9,s=" SALT ",i=1",  /* not ASCII */
	    "m=ext,r=" SERVER_NONCE ",s=" SALT ",i=4096", /* mandatory extension */
	    "r=" SERVER_NONCE ",i=4096,s=" SALT,
	    "r=" SERVER_NONCE ",s=" SALT,
	    "r=" SERVER_NONCE ",s=" SALT ",",
	    "r=" SERVER_NONCE ",s=" SALT ",i",
	    "r=" SERVER_NONCE ",s=" SALT ",i=",
	    "r=" SERVER_NONCE ",s=" SALT ",i=0",
	    "r=" SERVER_NONCE ",s=" SALT ",i=-1",
	    "r=" SERVER_NONCE ",s=" SALT ",i=+1",
	    "r=" SERVER_NONCE ",s=" SALT ",i= 1",
	    "r=" SERVER_NONCE ",s=" SALT ",i=01",
	    "r=" SERVER_NONCE ",s=" SALT ",i=4096x",
	    "r=" SERVER_NONCE ",s=" SALT ",i=1000001",
	    "r=" SERVER_NONCE ",s=" SALT ",i=4294967297",
	    "r=" SERVER_NONCE ",s=" SALT ",i=99999999999999999999",
	    "r=" SERVER_NONCE ",s=" SALT ",i=4096,",
	    "r=" SERVER_NONCE ",s=" SALT ",i=4096,x=y",
	    "r=" SERVER_NONCE ",s=,i=4096",
	    "r=" SERVER_NONCE ",s=QQ=,i=4096",
	    "r=" SERVER_NONCE ",s=QQ,i=4096",
	    "r=" SERVER_NONCE ",s=====,i=4096",
	    "r=" SERVER_NONCE ",s=Q===,i=4096",
	    "r=" SERVER_NONCE ",s=QQ==QQ==,i=4096",
	    "r=" SERVER_NONCE ",s=QR==,i=4096", /* stray bits */
	    "r=" SERVER_NONCE ",s= QQ=,i=4096",
	    "r=" SERVER_NONCE ",s=QQQ\n,i=4096",
	    "r=" SERVER_NONCE ",s=Q-_Q,i=4096",
	    "r=" SERVER_NONCE ",s=Q\x80"
	    "QQ,i=4096",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (refusal(bad[i]) == NULL)
			fail_msg("accepted: %s", bad[i]);
}

static void
server_first_lengths(void **state)
{
	char message[SCRAM_MESSAGE_MAX + 1];
	char wide[2 * SCRAM_MESSAGE_MAX]; /* our answer is longer than their question */
	const char *tail = ",s=" SALT ",i=1";
	const char *why;
	size_t n;

	(void)state;
	for (n = SCRAM_MESSAGE_MAX - 2; n <= SCRAM_MESSAGE_MAX; n++) {
		memset(message, 'x', sizeof(message));
		memcpy(message, "r=" CLIENT_NONCE, strlen("r=" CLIENT_NONCE));
		memcpy(message + n - strlen(tail), tail, strlen(tail));
		begin();
		assert_int_equal(scram_client_final(&client, "p", NULL, message, n, wide,
				     sizeof(wide), &why) != -1,
		    n < SCRAM_MESSAGE_MAX);
	}
	begin();
	assert_int_equal(
	    scram_client_final(&client, "p", NULL, NULL, 0, out, sizeof(out), &why), -1);
	/* A zero byte hides nothing. */
	assert_int_equal(scram_client_final(&client, "p", NULL, SERVER_FIRST, sizeof(SERVER_FIRST),
			     out, sizeof(out), &why),
	    -1);
}

static void
client_final_room(void **state)
{
	size_t need = strlen("c=biws,r=" SERVER_NONCE ",p=") + 44;
	const char *why;

	(void)state;
	begin();
	assert_int_equal(scram_client_final(&client, "pencil", NULL, SERVER_FIRST,
			     strlen(SERVER_FIRST), out, need + 1, &why),
	    need);
	begin();
	assert_int_equal(scram_client_final(&client, "pencil", NULL, SERVER_FIRST,
			     strlen(SERVER_FIRST), out, need, &why),
	    -1);
	assert_string_equal(why, "SCRAM message too long");
	assert_int_equal(client.keys.iterations, 0);
}

/* The signature that a server which knows the password sends. */
static void
sign(char final[64])
{
	uint8_t signature[SCRAM_KEY];

	assert_true(scram_hmac(
	    client.keys.server_key, client.auth_message, strlen(client.auth_message), signature));
	memcpy(final, "v=", 2);
	EVP_EncodeBlock((uint8_t *) final + 2, signature, SCRAM_KEY);
}

static void
server_final_checked(void **state)
{
	struct scram_keys keys;
	char final[64];

	(void)state;
	assert_null(refusal(SERVER_FIRST));
	keys = client.keys;
	sign(final);
	assert_true(scram_client_verify(&client, final, 46));
	for (size_t i = 0; i < 46; i++) {
		client.keys = keys;
		final[i] ^= 1;
		assert_false(scram_client_verify(&client, final, 46));
		final[i] ^= 1;
		client.keys = keys;
		assert_false(scram_client_verify(&client, final, i));
	}
	client.keys = keys;
	assert_false(scram_client_verify(&client, final, 47));
	client.keys = keys;
	assert_false(scram_client_verify(&client, "e=invalid-proof", 15));
	client.keys = keys;
	assert_true(scram_client_verify(&client, final, 46));
}

/* Before any keys exist, a signature under a key of zeros must not pass. */
static void
verify_needs_keys(void **state)
{
	char final[64];

	(void)state;
	begin();
	sign(final);
	assert_false(scram_client_verify(&client, final, 46));
	assert_non_null(refusal("r=x"));
	sign(final);
	assert_false(scram_client_verify(&client, final, 46));
}

static void
cache_used_and_refreshed(void **state)
{
	struct scram_keys cache = {0};
	struct scram_keys other;
	char good[SCRAM_MESSAGE_MAX];
	const char *first = SERVER_FIRST;
	const char *why;

	(void)state;
	begin();
	scram_client_final(
	    &client, "pencil", &cache, first, strlen(first), good, sizeof(good), &why);
	assert_int_equal(cache.iterations, 4096);
	assert_memory_equal(&cache, &client.keys, sizeof(cache));
	/* With the cache the password does not even matter. */
	begin();
	scram_client_final(&client, "wrong", &cache, first, strlen(first), out, sizeof(out), &why);
	assert_string_equal(out, good);
	/* Other iterations, other salt: derived anew. */
	other = cache;
	first = "r=" SERVER_NONCE ",s=" SALT ",i=4095";
	begin();
	scram_client_final(&client, "pencil", &cache, first, strlen(first), out, sizeof(out), &why);
	assert_int_equal(cache.iterations, 4095);
	assert_memory_not_equal(cache.client_key, other.client_key, SCRAM_KEY);
	first = "r=" SERVER_NONCE ",s=QQ==,i=4095";
	begin();
	scram_client_final(&client, "pencil", &cache, first, strlen(first), out, sizeof(out), &why);
	assert_int_equal(cache.salt_len, 1);
	/* A refused message leaves the cache alone. */
	other = cache;
	begin();
	scram_client_final(&client, "pencil", &cache, "r=x", 3, out, sizeof(out), &why);
	assert_memory_equal(&cache, &other, sizeof(cache));
}

static void
md5_vector(void **state)
{
	static const uint8_t salt[4] = {0x93, 0x00, 0xAF, 0x7E};
	char answer_text[36];

	(void)state;
	assert_int_equal(scram_md5("postgres", "secret", salt, answer_text), 0);
	assert_string_equal(answer_text, "md590457dfdb3b5d1b17d970fee30253f36");
	assert_int_equal(strlen(answer_text), 35);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rfc7677_vector),
	    cmocka_unit_test(random_nonce),
	    cmocka_unit_test(client_first_bounds),
	    cmocka_unit_test(server_first_good),
	    cmocka_unit_test(server_first_bad),
	    cmocka_unit_test(server_first_lengths),
	    cmocka_unit_test(client_final_room),
	    cmocka_unit_test(server_final_checked),
	    cmocka_unit_test(verify_needs_keys),
	    cmocka_unit_test(cache_used_and_refreshed),
	    cmocka_unit_test(md5_vector),
	};

	return cmocka_run_group_tests_name("scram", tests, NULL, NULL);
}

/*
 * fuzz_scram_server: a hostile client's SASL messages, and any text as a stored secret.
 *
 * Input: client-first, a zero byte, client-final, a zero byte, a secret. Traps when an answer does
 * not look as RFC 5802 says, or when a proof fits that nobody could make.
 */
#include "proto/scram_server.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* The piece up to the next zero byte, copied so that a read past its end is seen. */
static char *
piece(const char **s, size_t *left, size_t *len)
{
	const char *nul = *left > 0 ? memchr(*s, 0, *left) : NULL;
	char *copy;

	*len = nul == NULL ? *left : (size_t)(nul - *s);
	copy = malloc(*len + 1);
	HOLDS(copy != NULL);
	if (*len > 0)
		memcpy(copy, *s, *len);
	copy[*len] = '\0';
	*left -= *len + (nul != NULL);
	*s += *len + (nul != NULL);
	return copy;
}

static void
login(const char *first, size_t first_len, const char *final, size_t final_len, bool plus)
{
	static const uint8_t hash[32] = {9};
	const struct scram_channel channel = {
	    .offered = plus, .used = plus, .data = hash, .len = sizeof(hash)};
	struct scram_server x = {.verifier = {.salt_len = 16, .iterations = 4096}};
	char out[SCRAM_MESSAGE_MAX];
	const char *why = NULL;
	enum scram_result r;

	r = scram_server_first(&x, &channel, "own", first, first_len, out, sizeof(out), &why);
	HOLDS(r == SCRAM_OK || (r == SCRAM_MALFORMED && why != NULL));
	if (r != SCRAM_OK)
		return;
	HOLDS(strncmp(out, "r=", 2) == 0 && strstr(out, "own,s=AAAAAAAAAAAAAAAAAAAAAA==,i=4096"));
	r = scram_server_final(&x, &channel, final, final_len, out, sizeof(out), &why);
	HOLDS(r != SCRAM_OK && (r == SCRAM_WRONG || why != NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	size_t left = size, first_len, final_len, secret_len;
	char *first = piece(&s, &left, &first_len), *final = piece(&s, &left, &final_len);
	char *secret = piece(&s, &left, &secret_len);
	struct scram_verifier v;

	login(first, first_len, final, final_len, false);
	login(first, first_len, final, final_len, true);
	if (scram_verifier_parse(secret, &v) == 0)
		HOLDS(v.iterations > 0 && v.iterations <= SCRAM_ITERATIONS_MAX &&
		      v.salt_len <= SCRAM_SALT_MAX &&
		      scram_secret_kind(secret) == SCRAM_SECRET_VERIFIER);
	HOLDS(scram_secret_kind(secret) == SCRAM_SECRET_VERIFIER ||
	      scram_password_fits(first, secret, secret) ||
	      scram_secret_kind(secret) == SCRAM_SECRET_MD5);
	free(first);
	free(final);
	free(secret);
	return 0;
}

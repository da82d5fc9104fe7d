/*
 * fuzz_scram: a hostile server's SASL messages, and any text as user and password.
 *
 * Input: server-first, a zero byte, server-final. Traps when an answer does not look as RFC 5802
 * says, or when something verifies that cannot be a signature. Iteration counts above 999 are left
 * to the unit test, else all the time would go into PBKDF2.
 */
#include "proto/scram.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define NONCE "rOprNGfwEbeRWgbNEkqO"

/* True when the last attribute is i= with more than three characters: slow to derive. */
static bool
expensive(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && s[len - 1 - n] >= '0' && s[len - 1 - n] <= '9')
		n++;
	return n > 3;
}

static void
login(const char *first, size_t first_len, const char *final, size_t final_len)
{
	struct scram_keys cache = {0};
	struct scram_client c;
	char out[SCRAM_MESSAGE_MAX];
	const char *why = NULL;
	int n;

	HOLDS(scram_client_first(&c, NULL, NONCE, out, sizeof(out)) == (int)strlen(out));
	HOLDS(!scram_client_verify(&c, final, final_len));
	n = scram_client_final(&c, "pencil", &cache, first, first_len, out, sizeof(out), &why);
	if (n == -1) {
		HOLDS(why != NULL && *why != '\0');
		HOLDS(c.keys.iterations == 0 && !scram_client_verify(&c, final, final_len));
		return;
	}
	HOLDS((size_t)n == strlen(out) && (size_t)n < sizeof(out));
	HOLDS(strncmp(out, "c=biws,r=" NONCE, strlen("c=biws,r=" NONCE)) == 0);
	HOLDS(memcmp(out + n - 47, ",p=", 3) == 0);
	HOLDS(c.keys.salt_len <= SCRAM_SALT_MAX && c.keys.iterations <= SCRAM_ITERATIONS_MAX);
	HOLDS(memcmp(&cache, &c.keys, sizeof(cache)) == 0);
	if (scram_client_verify(&c, final, final_len))
		HOLDS(final_len == 46 && memcmp(final, "v=", 2) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	const char *nul = size > 0 ? memchr(s, 0, size) : NULL;
	size_t first_len = nul == NULL ? size : (size_t)(nul - s);
	size_t final_len = nul == NULL ? 0 : size - first_len - 1;
	char *first = malloc(first_len + 1);
	char *final = malloc(final_len + 1);
	char md5[36];

	HOLDS(first != NULL && final != NULL);
	memcpy(first, s, first_len);
	first[first_len] = '\0';
	if (final_len > 0)
		memcpy(final, nul + 1, final_len);
	final[final_len] = '\0';
	if (!expensive(first, first_len))
		login(first, first_len, final, final_len);
	HOLDS(scram_md5(first, final, (const uint8_t *)NONCE, md5) == -1 || strlen(md5) == 35);
	free(first);
	free(final);
	return 0;
}

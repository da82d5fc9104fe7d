/* kinds: see kinds.h. Called by load.c and userlist.c, and by worker/client_auth.c for mocks. */
#include "conf/kinds.h"

#include <stdlib.h>
#include <string.h>

static const char prefix[] = "SCRAM-SHA-256$";

void
kinds_add(struct kinds *k, const char *secret)
{
	unsigned long iterations;
	size_t i;

	if (strncmp(secret, prefix, sizeof(prefix) - 1) != 0) {
		k->plain += secret[0] != '\0';
		return;
	}
	iterations = strtoul(secret + sizeof(prefix) - 1, NULL, 10);
	if (iterations == 0 || iterations > UINT32_MAX)
		return;
	for (i = 0; i < k->n && k->verifiers[i].iterations != iterations;)
		i++;
	if (i == KINDS_MAX)
		return;
	k->verifiers[i].iterations = (uint32_t)iterations;
	k->verifiers[i].count++;
	if (i == k->n)
		k->n++;
}

uint32_t
kinds_iterations(const struct kinds *k, uint32_t plain, uint64_t seed)
{
	uint64_t sum = k->plain;
	size_t i;

	for (i = 0; i < k->n; i++)
		sum += k->verifiers[i].count;
	if (sum == 0)
		return plain;
	seed %= sum;
	for (i = 0; i < k->n; i++) {
		if (seed < k->verifiers[i].count)
			return k->verifiers[i].iterations;
		seed -= k->verifiers[i].count;
	}
	return plain;
}

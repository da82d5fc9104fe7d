/*
 * kinds: what kinds of secrets are stored, and how many of each: so that a name that does not exist
 * can be met like one of those that do.
 */
#ifndef CONF_KINDS_H
#define CONF_KINDS_H

#include <stddef.h>
#include <stdint.h>

#define KINDS_MAX 8 /* numbers of iterations; of more, the first ones count */

struct kinds {
	struct {
		uint32_t iterations, count;
	} verifiers[KINDS_MAX];
	size_t n;
	uint32_t plain;
};

void kinds_add(struct kinds *, const char *secret);
/* The iterations of a mock: those of the stored secrets, each as often as it is stored; of a plain
 * password they are `plain`. `seed` picks one: a hash of the name. */
uint32_t kinds_iterations(const struct kinds *, uint32_t plain, uint64_t seed);

#endif

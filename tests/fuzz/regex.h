/*
 * regex: what the targets whose input holds regular expressions leave out. glibc's regcomp takes
 * time and memory without end for nested repetitions: '{' multiplies, each other one doubles.
 */
#ifndef FUZZ_REGEX_H
#define FUZZ_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGEX_REPEATS 8

static bool
regex_too_dear(const uint8_t *data, size_t size)
{
	size_t i, n = 0;

	for (i = 0; i < size; i++) {
		if (data[i] == '{')
			return true;
		n += data[i] == '*' || data[i] == '+' || data[i] == '?';
	}
	return n > REGEX_REPEATS;
}

#endif

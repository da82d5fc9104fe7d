/*
 * fuzz_ident: any bytes as pg_ident.conf, and names against it that are any bytes too.
 *
 * Input: the file, a zero byte, the name elsewhere, a zero byte, the user. Traps when a file is
 * refused without a line, or when a map that is not there lets somebody in.
 *
 * '@' is left out, as in fuzz_hba (this machine's files).
 */
#include "conf/ident.h"
#include "tests/fuzz/fuzz.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The next part as text of its own, so that reading beyond its end is seen. */
static char *
take(const char **at, size_t *left)
{
	const char *nul = *left == 0 ? NULL : memchr(*at, '\0', *left);
	size_t n = nul == NULL ? *left : (size_t)(nul - *at);
	char *text = *left == 0 ? strdup("") : strndup(*at, n);

	HOLDS(text != NULL);
	n += nul != NULL;
	if (n > 0)
		*at += n;
	*left -= n;
	return text;
}

static void
names(const struct ident *x, const char *system, const char *user)
{
	bool m = ident_has(x, "m");

	HOLDS(m || !ident_allows(x, "m", system, user));
	(void)ident_allows(x, "m", "joe_at_example.org", user);
	(void)ident_allows(x, "m", system, "joe");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data;
	size_t left = size, n = 0;
	char *file, *system, *user, *errors = NULL;
	struct ident *x;
	FILE *err;

	if (size > 4096 || memchr(data, '@', size) != NULL)
		return 0;
	file = take(&at, &left);
	system = take(&at, &left);
	user = take(&at, &left);
	err = open_memstream(&errors, &n);
	HOLDS(err != NULL);
	x = ident_parse(file, strlen(file), "f", err);
	fflush(err);
	HOLDS((x == NULL) == (n > 0));
	HOLDS(x != NULL || strncmp(errors, "f:", 2) == 0);
	if (x != NULL)
		names(x, system, user);
	ident_free(x);
	fclose(err);
	free(errors);
	free(file);
	free(system);
	free(user);
	return 0;
}

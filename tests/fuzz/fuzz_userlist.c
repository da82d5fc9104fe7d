/* fuzz_userlist: any bytes as an auth_file. Traps when one is refused without a line, or a user of
 * an accepted one is not found. */
#include "conf/userlist.h"
#include "tests/fuzz/fuzz.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *errors = NULL;
	size_t n;
	FILE *err = open_memstream(&errors, &n);
	struct userlist *l;

	HOLDS(err != NULL);
	l = userlist_parse((const char *)data, size, "file", err);
	fclose(err);
	if (l == NULL) {
		HOLDS(strncmp(errors, "file:", 5) == 0 && errors[n - 1] == '\n');
	} else {
		HOLDS(n == 0 && userlist_count(l) <= size);
		HOLDS(userlist_secret(l, "no such name") == NULL ||
		      memmem(data, size, "no such name", 12) != NULL);
		userlist_free(l);
	}
	free(errors);
	return 0;
}

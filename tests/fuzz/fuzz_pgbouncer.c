/*
 * fuzz_pgbouncer: any text as a pgbouncer.ini. Traps when the translation is not in our format, has
 * no origin for one of its lines, or an error names no file and line.
 *
 * Input with "%include" is left out: the fuzzer must not read this machine's files.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/ini.h"
#include "conf/pgbouncer.h"
#include "tests/fuzz/fuzz.h"

static size_t
count_lines(const char *text, size_t len)
{
	size_t n = 0, i;

	for (i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pgbouncer_text x;
	char path[64], *errors = NULL;
	size_t len, prefix;
	FILE *err;
	int fd, n;

	if (memmem(data, size, "%include", 8) != NULL)
		return 0;
	fd = memfd_create("ini", 0);
	HOLDS(fd != -1 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	prefix = strlen(path);
	(void)ini_is(path);
	err = open_memstream(&errors, &len);
	HOLDS(err != NULL);
	n = pgbouncer_translate(&x, path, err);
	fclose(err);
	HOLDS((n == 0) == (len == 0));
	HOLDS(len == 0 || (strncmp(errors, path, prefix) == 0 && errors[prefix] == ':'));
	HOLDS(memchr(data, '\0', size) != NULL || count_lines(x.text, x.len) == x.nlines);
	pgbouncer_text_free(&x);
	free(errors);
	close(fd);
	return 0;
}

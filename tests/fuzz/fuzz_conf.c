/*
 * fuzz_conf: any text as a configuration file. Traps when a file that is refused gives no reason, a
 * reason does not name file and line, or an accepted one breaks what conf.h promises.
 *
 * Input with "include" or "auth_" is left out: the fuzzer must not read this machine's files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/conf.h"
#include "tests/fuzz/fuzz.h"

const char *__lsan_default_suppressions(void);

/* libconfig forgets strings that a syntax error cuts off; a configuration is read once. */
const char *
__lsan_default_suppressions(void)
{
	return "leak:libconfig.so";
}

static void
check_refused(const char *path, const char *errors)
{
	HOLDS(errors[0] != '\0' && errors[strlen(errors) - 1] == '\n');
	HOLDS(strncmp(errors, path, strlen(path)) == 0 && errors[strlen(path)] == ':');
}

static void
check_accepted(struct conf *c)
{
	size_t i;

	HOLDS(c->workers >= 0 && c->pool_size >= 1 && c->max_client_conn >= 1);
	for (i = 0; i < c->ndatabases; i++) {
		HOLDS(
		    c->databases[i].name != NULL && strlen(c->databases[i].name) < CONF_NAME_SIZE);
		HOLDS(c->databases[i].host != NULL && c->databases[i].port != 0);
		HOLDS(conf_database(c, c->databases[i].name) == &c->databases[i]);
	}
	for (i = 0; i < c->nusers; i++)
		HOLDS(conf_user(c, c->users[i].name) == &c->users[i]);
	conf_free(c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("conf", 0);
	char path[64], *errors = NULL;
	size_t n;
	FILE *err;
	struct conf *c;

	if (memmem(data, size, "include", 7) != NULL || memmem(data, size, "auth_", 5) != NULL) {
		close(fd);
		return 0;
	}
	HOLDS(fd != -1 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = open_memstream(&errors, &n);
	c = conf_load(path, err);
	fclose(err);
	if (c == NULL)
		check_refused(path, errors);
	else
		check_accepted(c);
	free(errors);
	close(fd);
	return 0;
}

/*
 * tool_core: is a secret in what a core dump of this process would hold? For secrets.sh.
 *
 * Reads the memory of a living process, all mappings but those that are marked to be left out of
 * dumps (`dd` in smaps; -a: these too), and looks for each line of standard input:
 *
 *   NAME text TEXT   as it stands
 *   NAME hex HEX     these bytes, and the same backwards, which is how OpenSSL keeps big numbers
 *
 * Prints "NAME MAPPING" for each mapping that has it, once; "-" as the mapping's name if it has
 * none. It stops the process while it looks, so that what is seen is one moment, as in a core.
 *
 * tool_core [-a] PID
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEEDLES	   64
#define NEEDLE_MAX 1024

struct needle {
	char name[64];
	unsigned char bytes[NEEDLE_MAX];
	size_t len;
};

static struct needle needles[NEEDLES];
static int nneedles;
static pid_t pid;

static void
resume(void)
{
	(void)kill(pid, SIGCONT);
}

static struct needle *
needle_new(const char *name, size_t len)
{
	struct needle *n = &needles[nneedles];

	if (nneedles++ == NEEDLES || len == 0 || len > NEEDLE_MAX)
		errx(2, "%s: too many needles, or too long a one", name);
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->len = len;
	return n;
}

static void
add_hex(const char *name, const char *hex)
{
	size_t len = strlen(hex) / 2, i;
	struct needle *there = needle_new(name, len), *back = needle_new(name, len);

	for (i = 0; i < len; i++) {
		unsigned int byte;
		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			errx(2, "%s: no hex", name);
		there->bytes[i] = (unsigned char)byte;
		back->bytes[len - 1 - i] = (unsigned char)byte;
	}
}

static void
read_needles(void)
{
	char line[4096];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		char *name = line, *kind, *what;
		line[strcspn(line, "\n")] = '\0';
		if ((kind = strchr(name, ' ')) == NULL || (what = strchr(kind + 1, ' ')) == NULL)
			errx(2, "expected NAME text|hex WHAT");
		*kind++ = *what++ = '\0';
		if (strcmp(kind, "hex") == 0)
			add_hex(name, what);
		else
			memcpy(needle_new(name, strlen(what))->bytes, what, strlen(what));
	}
}

/* Nothing is found across the border of two mappings, which no secret spans. */
static void
look(int mem, uint64_t from, uint64_t to, const char *mapping)
{
	size_t len = to - from;
	unsigned char *copy = malloc(len);
	ssize_t got;
	int i;

	if (copy == NULL)
		err(2, "memory");
	for (size_t at = 0; at < len; at += (size_t)got)
		if ((got = pread(mem, copy + at, len - at, (off_t)(from + at))) <= 0)
			len = at;
	for (i = 0; i < nneedles; i++)
		if (memmem(copy, len, needles[i].bytes, needles[i].len) != NULL)
			printf("%s %s\n", needles[i].name, mapping);
	free(copy);
}

static void
look_all(bool everything)
{
	char path[64], line[512], mapping[256] = "";
	uint64_t from = 0, to = 0, a, b;
	FILE *maps;
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	mem = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	maps = fopen(path, "r");
	if (mem == -1 || maps == NULL)
		err(2, "%s", path);
	while (fgets(line, sizeof(line), maps) != NULL) {
		char name[256] = "-";
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %255[^\n]", &a, &b, name) >= 2) {
			from = a;
			to = b;
			snprintf(mapping, sizeof(mapping), "%s", name);
		} else if (strncmp(line, "VmFlags:", 8) == 0 &&
			   (everything || strstr(line, " dd") == NULL)) {
			look(mem, from, to, mapping);
		}
	}
	fclose(maps);
	close(mem);
}

int
main(int argc, char **argv)
{
	bool everything = argc == 3 && strcmp(argv[1], "-a") == 0;

	if (argc != 2 + everything)
		errx(2, "usage: tool_core [-a] PID");
	read_needles();
	pid = (pid_t)atoi(argv[argc - 1]);
	if (kill(pid, SIGSTOP) == -1)
		err(2, "process %d", (int)pid);
	(void)atexit(resume);
	look_all(everything);
	return 0;
}

/*
 * inherit: see inherit.h. Called by main.c (read), pidfile.c and listen.c (take).
 *
 * Lines, fields separated by tabs: "ready FD", "dir FD", "elder FD", "generation N", "layout N N
 * N", "listen FD KEY NAME PATH", "admin FLAGS DATABASE". The text is what our own user has started
 * us with; numbers that are no open descriptors are left out.
 */
#include "master/inherit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/ctlmsg.h"
#include "proto/move.h"
#include "shm/stats.h"

#define LISTENERS 512
#define ADMINS	  512

static int ready_fd = -1, dir_fd = -1, elder_fd = -1;
static uint32_t generation;
static unsigned int layout[3]; /* theirs: INHERIT_LAYOUT */
static bool any;
static struct inherited listeners[LISTENERS];
static size_t nlisteners;
static struct {
	unsigned int flags;
	const char *db;
} admins[ADMINS];
static size_t nadmins;

static int
take_fd(const char *text)
{
	int fd = text == NULL ? -1 : atoi(text);

	return fd > 2 && fcntl(fd, F_SETFD, FD_CLOEXEC) != -1 ? fd : -1;
}

static void
take_layout(const char *first, char *rest)
{
	size_t i;

	for (i = 0; i < 3 && first != NULL; i++) {
		layout[i] = (unsigned int)strtoul(first, NULL, 10);
		first = strsep(&rest, "\t");
	}
}

static void
take_line(char *line)
{
	const char *what = strsep(&line, "\t"), *number = strsep(&line, "\t");
	struct inherited x;

	if (what == NULL || number == NULL)
		return;
	if (strcmp(what, "ready") == 0)
		ready_fd = take_fd(number);
	else if (strcmp(what, "dir") == 0)
		dir_fd = take_fd(number);
	else if (strcmp(what, "elder") == 0)
		elder_fd = take_fd(number);
	else if (strcmp(what, "generation") == 0)
		generation = (uint32_t)atoi(number);
	else if (strcmp(what, "layout") == 0)
		take_layout(number, line);
	else if (strcmp(what, "admin") == 0 && line != NULL && nadmins < ADMINS) {
		admins[nadmins].flags = (unsigned int)atoi(number);
		admins[nadmins++].db = line;
	} else if (strcmp(what, "listen") == 0 && nlisteners < LISTENERS) {
		x.fd = take_fd(number);
		x.key = strsep(&line, "\t");
		x.name = strsep(&line, "\t");
		x.path = line;
		if (x.fd != -1 && x.key != NULL && x.name != NULL && x.path != NULL)
			listeners[nlisteners++] = x;
	}
}

bool
inherit_read(void)
{
	const char *env = getenv(INHERIT_ENV);
	char *text, *line;

	if (env == NULL)
		return false;
	text = strdup(env); /* the listeners point into it */
	(void)unsetenv(INHERIT_ENV);
	while (text != NULL && (line = strsep(&text, "\n")) != NULL)
		take_line(line);
	any = ready_fd != -1;
	if (any && generation == 0)
		generation = 1;
	return any;
}

bool
inherit_any(void)
{
	return any;
}

int
inherit_ready_fd(void)
{
	return ready_fd;
}

int
inherit_dir_fd(void)
{
	int fd = dir_fd;

	dir_fd = -1;
	return fd;
}

int
inherit_elder_fd(void)
{
	return elder_fd;
}

bool
inherit_is_older(struct why *why)
{
	static const unsigned int ours[3] = {INHERIT_LAYOUT};
	size_t i;

	for (i = 0; i < 3 && layout[i] <= ours[i]; i++)
		;
	if (i < 3)
		(void)why_set(why,
		    "this binary is older than the one that runs (layouts %u.%u.%u, there "
		    "%u.%u.%u): stop it first",
		    ours[0], ours[1], ours[2], layout[0], layout[1], layout[2]);
	return i < 3;
}

bool
inherit_is_foreign(void)
{
	static const unsigned int ours[3] = {INHERIT_LAYOUT};

	return any && layout[0] != ours[0];
}

uint32_t
inherit_generation(void)
{
	return generation;
}

void
inherit_admin(void (*fn)(const char *db, unsigned int flags, void *arg), void *arg)
{
	size_t i;

	for (i = 0; i < nadmins; i++)
		fn(admins[i].db, admins[i].flags, arg);
}

struct inherited *
inherit_listener(const char *key)
{
	size_t i;

	for (i = 0; i < nlisteners; i++)
		if (listeners[i].fd != -1 && strcmp(listeners[i].key, key) == 0)
			return &listeners[i];
	return NULL;
}

void
inherit_drop(void)
{
	size_t i;

	for (i = 0; i < nlisteners; i++)
		if (listeners[i].fd != -1)
			(void)close(listeners[i].fd);
	nlisteners = 0;
}

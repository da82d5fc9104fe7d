/*
 * listen: opens TCP and Unix listeners and removes our socket files at the end.
 *
 * Called by master.c, once before privileges are dropped and once when the instance stops. Owns the
 * descriptors and the names of the socket files. Any listener that cannot be had fails the start,
 * with one exception: "*" on a machine without IPv6 is content with IPv4.
 *
 * An address in use is tried again for LISTEN_RETRY_US: workers of a killed master let go of it
 * within milliseconds, and a start right after that shall work. A reload does not wait.
 */
#include "master/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "conf/log.h"
#include "master/inherit.h"

#define LISTEN_RETRY_US 2000000
#define LISTEN_PAUSE_US 50000

static bool patient = true; /* this is a start */
static uint32_t last_id;

static int
add_listener(struct listen_set *set, int fd, const char *name)
{
	struct listener *items;
	size_t *confs;
	int *fds;

	items = realloc(set->items, (set->n + 1) * sizeof *items);
	if (items == NULL)
		return -1;
	set->items = items;
	fds = realloc(set->fds, (set->n + 1) * sizeof *fds);
	if (fds == NULL)
		return -1;
	set->fds = fds;
	confs = realloc(set->confs, (set->n + 1) * sizeof *confs);
	if (confs == NULL)
		return -1;
	set->confs = confs;
	confs[set->n] = set->conf;
	memset(&items[set->n], 0, sizeof *items);
	items[set->n].id = ++last_id;
	(void)snprintf(items[set->n].name, sizeof items[set->n].name, "%s", name);
	fds[set->n++] = fd;
	return 0;
}

/* True once per pause until the time is used up. */
static bool
wait_again(int64_t *waited_us)
{
	const struct timespec pause = {.tv_nsec = LISTEN_PAUSE_US * 1000};

	if (!patient || *waited_us >= LISTEN_RETRY_US)
		return false;
	*waited_us += LISTEN_PAUSE_US;
	(void)nanosleep(&pause, NULL);
	return true;
}

static int
open_socket(int family)
{
	static const int on = 1;
	int fd;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (family == AF_UNIX)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
	    (family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0))
		return fd;
	(void)close(fd);
	return -1;
}

/* A bound and listening socket, or -1 with errno. */
static int
open_bound(const struct sockaddr *addr, socklen_t len, int backlog)
{
	int fd, saved;

	fd = open_socket(addr->sa_family);
	if (fd == -1)
		return -1;
	if (bind(fd, addr, len) == 0 && listen(fd, backlog) == 0)
		return fd;
	saved = errno;
	(void)close(fd);
	errno = saved;
	return -1;
}

static const char *
explain(int error)
{
	if (error == EADDRINUSE)
		return "already in use";
	return strerror(error);
}

/* One address of one family. 1 = opened, 0 = this machine does not have the family, -1 = reason. */
static int
open_address(struct listen_set *set, const struct conf_listen *l, const char *host, int family,
    int backlog, struct why *why)
{
	const struct addrinfo hints = {.ai_family = family,
	    .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	struct addrinfo *res;
	int64_t waited_us = 0;
	char name[128], port[8];
	int fd, rc;

	(void)snprintf(port, sizeof port, "%u", (unsigned int)l->port);
	rc = getaddrinfo(host, port, &hints, &res);
	if (rc != 0)
		return why_set(why, "listen: %s is no numeric address: %s", host, gai_strerror(rc));
	(void)snprintf(
	    name, sizeof name, res->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	do
		fd = open_bound(res->ai_addr, res->ai_addrlen, backlog);
	while (fd == -1 && errno == EADDRINUSE && wait_again(&waited_us));
	freeaddrinfo(res);
	if (fd == -1 && (errno == EAFNOSUPPORT || (errno == EADDRNOTAVAIL && family == AF_INET6)))
		return 0;
	if (fd == -1)
		return why_set(why, "cannot listen on %s: %s", name, explain(errno));
	if (add_listener(set, fd, name) == 0)
		return 1;
	(void)close(fd);
	return why_set(why, "cannot listen on %s: %s", name, strerror(errno));
}

static int
open_tcp(struct listen_set *set, const struct conf_listen *l, int backlog, struct why *why)
{
	int rc4, rc6;

	if (strcmp(l->host, "*") != 0) {
		rc4 = open_address(set, l, l->host, AF_UNSPEC, backlog, why);
		if (rc4 == 0)
			return why_set(
			    why, "cannot listen on %s: not an address of this machine", l->host);
		return rc4 == 1 ? 0 : -1;
	}
	rc4 = open_address(set, l, "0.0.0.0", AF_INET, backlog, why);
	rc6 = rc4 == -1 ? -1 : open_address(set, l, "::", AF_INET6, backlog, why);
	if (rc4 == -1 || rc6 == -1)
		return -1;
	if (rc4 == 0 && rc6 == 0)
		return why_set(why, "cannot listen on port %u: no IPv4 and no IPv6 here",
		    (unsigned int)l->port);
	if (rc6 == 0)
		log_info(
		    "no IPv6 on this machine: port %u listens on IPv4 only", (unsigned int)l->port);
	return 0;
}

/* The address libpq uses for a directory: '@' makes it abstract, and its NUL is not counted. */
static int
unix_address(const struct conf_listen *l, struct sockaddr_un *addr, socklen_t *len)
{
	int n;

	memset(addr, 0, sizeof *addr);
	addr->sun_family = AF_UNIX;
	n = snprintf(addr->sun_path, sizeof addr->sun_path, "%s/.s.PGSQL.%u", l->path,
	    (unsigned int)l->port);
	if (n < 0 || (size_t)n >= sizeof addr->sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n);
	if (addr->sun_path[0] == '@')
		addr->sun_path[0] = '\0';
	else
		*len += 1;
	return 0;
}

/* Does somebody accept there? An error other than a refusal counts as yes: we remove nothing then.
 */
static bool
is_alive(const struct sockaddr_un *addr, socklen_t len)
{
	bool alive;
	int fd;

	fd = open_socket(AF_UNIX);
	if (fd == -1)
		return true;
	alive = connect(fd, (const struct sockaddr *)addr, len) == 0 ||
		(errno != ECONNREFUSED && errno != ENOENT);
	(void)close(fd);
	return alive;
}

/* Binds; a socket file nobody listens on is taken away first. -1 with errno. */
static int
bind_unix(const struct conf_listen *l, const struct sockaddr_un *addr, socklen_t len, int backlog)
{
	int64_t waited_us = 0;
	struct stat st;
	mode_t old;
	int fd;

	for (;;) {
		/* With the final mode from birth there is no moment of wider access. */
		old = umask(~(mode_t)l->mode & 0777);
		fd = open_bound((const struct sockaddr *)addr, len, backlog);
		(void)umask(old);
		if (fd != -1 || errno != EADDRINUSE)
			return fd;
		if (addr->sun_path[0] != '\0' && !is_alive(addr, len)) {
			if (lstat(addr->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
				errno = EEXIST;
				return -1;
			}
			if (unlink(addr->sun_path) == -1 && errno != ENOENT)
				return -1;
			log_info("removed the stale socket file %s", addr->sun_path);
		}
		if (!wait_again(&waited_us)) {
			errno = EADDRINUSE;
			return -1;
		}
	}
}

/* Remembers which file is ours and hands it to the account we will run as. */
static int
note_file(struct listener *item, const char *path, const struct privs *privs)
{
	struct stat st;

	item->path = strdup(path);
	if (item->path == NULL || lstat(path, &st) == -1)
		return -1;
	item->dev = st.st_dev;
	item->ino = st.st_ino;
	return privs_own(privs, path);
}

static int
open_unix(struct listen_set *set, const struct conf_listen *l, int backlog,
    const struct privs *privs, struct why *why)
{
	struct sockaddr_un addr;
	char name[128];
	socklen_t len;
	int fd;

	(void)snprintf(name, sizeof name, "%s/.s.PGSQL.%u", l->path, (unsigned int)l->port);
	if (unix_address(l, &addr, &len) == -1)
		return why_set(
		    why, "cannot listen on %s: longer than a socket's name may be", name);
	fd = bind_unix(l, &addr, len, backlog);
	if (fd == -1)
		return why_set(why, "cannot listen on %s: %s", name, explain(errno));
	if (add_listener(set, fd, name) == -1) {
		(void)close(fd);
		return why_set(why, "cannot listen on %s: %s", name, strerror(errno));
	}
	if (l->path[0] != '@' && note_file(&set->items[set->n - 1], addr.sun_path, privs) == -1)
		return why_set(why, "cannot own %s: %s", name, strerror(errno));
	return 0;
}

static void
make_key(const struct conf_listen *l, char *key, size_t size)
{
	(void)snprintf(
	    key, size, "%s port %u", l->path != NULL ? l->path : l->host, (unsigned int)l->port);
}

/* The sockets that the generation before us has for this entry. 1 = there are some, 0, -1 = memory.
 */
static int
inherit_entry(struct listen_set *set, const struct conf_listen *l)
{
	char key[sizeof set->items->key];
	struct inherited *x;
	struct listener *item;
	struct stat st;
	int found = 0;

	make_key(l, key, sizeof key);
	while ((x = inherit_listener(key)) != NULL) {
		if (add_listener(set, x->fd, x->name) == -1)
			return -1;
		x->fd = -1;
		item = &set->items[set->n - 1];
		(void)snprintf(item->key, sizeof item->key, "%s", key);
		item->mode = l->mode;
		item->foreign = true;
		if (x->path[0] != '\0' && lstat(x->path, &st) == 0) {
			item->path = strdup(x->path);
			item->dev = st.st_dev;
			item->ino = st.st_ino;
		}
		found = 1;
	}
	return found;
}

/* All sockets of one entry of the configuration. */
static int
open_entry(struct listen_set *set, const struct conf_listen *l, int backlog,
    const struct privs *privs, struct why *why)
{
	size_t i = set->n;
	int rc = inherit_entry(set, l);

	if (rc != 0)
		return rc == 1 ? 0 : why_set(why, "out of memory");
	if ((l->path != NULL ? open_unix(set, l, backlog, privs, why)
			     : open_tcp(set, l, backlog, why)) == -1)
		return -1;
	for (; i < set->n; i++) {
		make_key(l, set->items[i].key, sizeof set->items[i].key);
		set->items[i].mode = l->mode;
	}
	return 0;
}

int
listen_open(
    struct listen_set *set, const struct conf *conf, const struct privs *privs, struct why *why)
{
	size_t i;

	memset(set, 0, sizeof *set);
	for (i = 0; i < conf->nlisten; i++) {
		set->conf = i;
		if (open_entry(set, &conf->listen[i], conf->listen_backlog, privs, why) == -1) {
			listen_close(set);
			return -1;
		}
	}
	inherit_drop();
	return 0;
}

static void
remove_file(const struct listener *item)
{
	struct stat st;

	if (lstat(item->path, &st) == -1 || st.st_dev != item->dev || st.st_ino != item->ino)
		return; /* somebody else's by now */
	if (unlink(item->path) == -1)
		log_warn("cannot remove %s", item->path);
}

static void
close_one(struct listen_set *set, size_t i)
{
	/* The file first: whoever finds it must find us behind it. */
	if (set->items[i].path != NULL && !set->items[i].foreign)
		remove_file(&set->items[i]);
	free(set->items[i].path);
	(void)close(set->fds[i]);
}

void
listen_close(struct listen_set *set)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		close_one(set, i);
	free(set->items);
	free(set->fds);
	free(set->confs);
	memset(set, 0, sizeof *set);
}

/* --- reload ----------------------------------------------------------------------------------- */

static void
set_foreign(struct listen_set *set, bool foreign)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		set->items[i].foreign = foreign;
}

void
listen_disown(struct listen_set *set)
{
	set_foreign(set, true);
}

void
listen_own(struct listen_set *set)
{
	set_foreign(set, false);
}

bool
listen_has(const struct listen_set *set, uint32_t id)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		if (set->items[i].id == id)
			return true;
	return false;
}

/* The sockets that `now` has for this entry, into `next` too. 1 = there are some, 0, -1 = memory.
 */
static int
keep_entry(const struct listen_set *now, struct listen_set *next, const struct conf_listen *l)
{
	char key[sizeof now->items->key];
	int found = 0;
	size_t i;

	make_key(l, key, sizeof key);
	for (i = 0; i < now->n; i++) {
		if (strcmp(now->items[i].key, key) != 0)
			continue;
		if (add_listener(next, now->fds[i], "") == -1)
			return -1;
		next->items[next->n - 1] = now->items[i];
		next->items[next->n - 1].mode = l->mode;
		found = 1;
	}
	return found;
}

int
listen_change(const struct listen_set *now, struct listen_set *next, const struct conf *conf,
    const struct privs *privs, struct why *why)
{
	size_t i;
	int rc = 0;

	memset(next, 0, sizeof *next);
	patient = false;
	for (i = 0; i < conf->nlisten && rc == 0; i++) {
		next->conf = i;
		rc = keep_entry(now, next, &conf->listen[i]);
		if (rc == -1)
			rc = why_set(why, "out of memory");
		else if (rc == 1)
			rc = 0;
		else
			rc = open_entry(next, &conf->listen[i], conf->listen_backlog, privs, why);
	}
	patient = true;
	if (rc == 0 && next->n > LISTEN_MAX)
		rc = why_set(why, "more than %d listening sockets", LISTEN_MAX);
	if (rc == -1)
		listen_abandon(now, next);
	return rc;
}

void
listen_abandon(const struct listen_set *now, struct listen_set *next)
{
	size_t i;

	for (i = 0; i < next->n; i++)
		if (!listen_has(now, next->items[i].id))
			close_one(next, i);
	free(next->items);
	free(next->fds);
	free(next->confs);
	memset(next, 0, sizeof *next);
}

void
listen_commit(struct listen_set *now, struct listen_set *next, const struct conf *conf)
{
	size_t i;

	for (i = 0; i < now->n; i++)
		if (!listen_has(next, now->items[i].id)) {
			log_info("no longer listening on %s", now->items[i].name);
			close_one(now, i);
		}
	for (i = 0; i < next->n; i++) {
		if (!listen_has(now, next->items[i].id))
			log_info("listening on %s", next->items[i].name);
		else if (listen(next->fds[i], conf->listen_backlog) == -1)
			log_warn("listen_backlog of %s", next->items[i].name);
		if (next->items[i].path != NULL &&
		    chmod(next->items[i].path, (mode_t)next->items[i].mode & 0777) == -1)
			log_warn("mode of %s", next->items[i].path);
	}
	free(now->items);
	free(now->fds);
	free(now->confs);
	*now = *next;
	memset(next, 0, sizeof *next);
}

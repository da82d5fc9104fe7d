/* conf: look-ups in a loaded configuration. See conf.h. */
#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

const struct conf_database *
conf_database(const struct conf *c, const char *name)
{
	const struct conf_database *any = NULL;
	size_t i;

	for (i = 0; i < c->ndatabases; i++) {
		if (strcmp(c->databases[i].name, name) == 0)
			return &c->databases[i];
		if (strcmp(c->databases[i].name, "*") == 0)
			any = &c->databases[i];
	}
	return any;
}

const struct conf_user *
conf_user(const struct conf *c, const char *name)
{
	const struct conf_user *any = NULL;
	size_t i;

	for (i = 0; i < c->nusers; i++) {
		if (strcmp(c->users[i].name, name) == 0)
			return &c->users[i];
		if (strcmp(c->users[i].name, "*") == 0)
			any = &c->users[i];
	}
	return any;
}

enum pool_mode
conf_pool_mode(const struct conf *c, const struct conf_database *d, const struct conf_user *u)
{
	if (u != NULL && u->pool_mode != -1)
		return (enum pool_mode)u->pool_mode;
	return d->pool_mode != -1 ? (enum pool_mode)d->pool_mode : c->pool_mode;
}

char *
conf_stats_path(const char *run_dir)
{
	char *path;

	if (asprintf(&path, "%s/pgdrove.stats", run_dir) == -1)
		fatal("configuration");
	return path;
}

const char *
pool_mode_name(enum pool_mode m)
{
	static const char *const names[] = {"session", "transaction", "statement"};

	return names[m];
}

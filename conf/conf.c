/* conf: look-ups in a loaded configuration. See conf.h. */
#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/tls.h"
#include "conf/userlist.h"

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

const char *
conf_secret(const struct conf *c, const char *user, bool *known)
{
	const struct conf_user *u = conf_user(c, user);
	bool exact = u != NULL && strcmp(u->name, user) == 0;
	const char *listed = c->userlist == NULL ? NULL : userlist_secret(c->userlist, user);

	*known = u != NULL || listed != NULL;
	if (exact && u->password != NULL)
		return u->password;
	if (listed != NULL)
		return listed[0] == '\0' ? NULL : listed;
	return u == NULL ? NULL : u->password;
}

static bool
holds_passwords(const struct conf *c)
{
	size_t i;

	for (i = 0; i < c->nusers; i++)
		if (c->users[i].password != NULL)
			return true;
	for (i = 0; i < c->ndatabases; i++)
		if (c->databases[i].password != NULL)
			return true;
	return false;
}

static void
warn_readable(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & S_IROTH) != 0)
		log_warnx("%s holds passwords and everybody can read it: chmod o= %s", path, path);
}

void
conf_log(const struct conf *c)
{
	log_set_level(c->log_level);
	log_set_format(c->log_format);
	log_set_syslog(c->syslog ? LOG_SYSLOG_SOCKET : NULL, c->syslog_ident, c->syslog_facility);
}

void
conf_each_note(const struct conf *c, void (*fn)(const char *line, size_t len))
{
	const char *p, *end;

	for (p = c->notes; p != NULL && *p != '\0'; p = end + (*end == '\n')) {
		end = strchrnul(p, '\n');
		fn(p, (size_t)(end - p));
	}
}

static void
warn_note(const char *line, size_t len)
{
	log_warnx("%.*s", (int)len, line);
}

void
conf_warn(const struct conf *c)
{
	conf_each_note(c, warn_note);
	if (holds_passwords(c))
		warn_readable(c->path);
	if (c->userlist != NULL && userlist_count(c->userlist) > 0)
		warn_readable(c->auth_file);
	tls_warn(c);
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

const char *
auth_type_name(enum auth_type t)
{
	static const char *const names[] = {"trust", "any", "password", "md5", "scram-sha-256",
	    "scram-sha-256-plus", "peer", "reject", "cert", "pam", "ldap", "hba"};

	return names[t];
}

const char *
tls_mode_name(enum tls_mode m)
{
	static const char *const names[] = {
	    "disable", "allow", "prefer", "require", "verify-ca", "verify-full"};

	return names[m];
}

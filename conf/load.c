/*
 * load: reads a configuration file into a struct conf, reporting every error. Called by main and by
 * tests; owns what conf_free frees. What an option is and how its value is read is option.c's; here
 * are the lists (listen, databases, users) and the file as a whole.
 *
 * A file that libconfig cannot parse yields libconfig's one error; everything else is checked to
 * the end.
 */
#include <errno.h>

#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include "conf/external.h"
#include "conf/files.h"
#include "conf/address.h"
#include "conf/hba.h"
#include "conf/hosts.h"
#include "conf/ident.h"
#include "conf/ini.h"
#include "conf/strongbox.h"
#include "conf/net.h"
#include "conf/option.h"
#include "conf/pgbouncer.h"
#include "conf/tls.h"
#include "conf/userlist.h"
#include "conf/vault.h"

/* --- lists ------------------------------------------------------------------------------------ */

static void
load_members(
    struct load *l, const config_setting_t *group, const struct option *members, void *base)
{
	int k;

	option_defaults(members, base);
	if (config_setting_type(group) != CONFIG_TYPE_GROUP) {
		load_complain(l, group, "", "expected { key = value; ... }");
		return;
	}
	for (k = 0; k < config_setting_length(group); k++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned int)k);
		const struct option *o = option_find(members, config_setting_name(s));
		if (o != NULL)
			load_value(l, s, o, base);
		else
			load_unknown(l, s, members, NULL);
	}
}

/* Every element of a list, by `one`; the array is grown here. */
static void
load_list(struct load *l, const config_setting_t *list, size_t size, void **items, size_t *count,
    void (*one)(struct load *, const config_setting_t *, void *item, size_t index))
{
	int i, n = config_setting_length(list);

	if (config_setting_type(list) != CONFIG_TYPE_LIST) {
		load_complain(
		    l, list, config_setting_name(list), "expected a list: ( { ... }, { ... } )");
		return;
	}
	*items = calloc((size_t)n + 1, size);
	if (*items == NULL)
		fatal("configuration");
	for (i = 0; i < n; i++) {
		snprintf(l->prefix, sizeof(l->prefix), "%s[%d].", config_setting_name(list), i);
		*count = (size_t)i + 1;
		one(l, config_setting_get_elem(list, (unsigned int)i),
		    (char *)*items + (size_t)i * size, (size_t)i);
	}
	l->prefix[0] = '\0';
}

static bool
numeric_address(const char *host)
{
	struct in6_addr a;

	return strcmp(host, "*") == 0 || inet_pton(AF_INET, host, &a) == 1 ||
	       inet_pton(AF_INET6, host, &a) == 1;
}

static bool
same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void
one_listen(struct load *l, const config_setting_t *s, void *item, size_t index)
{
	struct conf_listen *x = item;
	const char *wrong;
	size_t i;

	(void)load_place(l, s, &x->line);
	load_members(l, s, option_listen, x);
	if ((x->host == NULL) == (x->path == NULL))
		load_complain(l, s, "host", "give either host or path");
	else if (x->host != NULL && !numeric_address(x->host))
		load_complain(l, s, "host", "expected a numeric address or \"*\"");
	else if (x->path != NULL && x->path[0] != '/' && x->path[0] != '@')
		load_complain(l, s, "path", "expected a directory that begins with / or @");
	if (x->proxy_protocol != NULL && x->host == NULL)
		load_complain(l, s, "proxy_protocol", "is for TCP only");
	else if (x->proxy_protocol != NULL && (wrong = net_list_check(x->proxy_protocol)) != NULL)
		load_complain(l, s, "proxy_protocol", "%s", wrong);
	for (i = 0; i < index; i++)
		if (l->conf->listen[i].port == x->port && same(l->conf->listen[i].host, x->host) &&
		    same(l->conf->listen[i].path, x->path))
			load_complain(l, s, "port", "the same address stands in line %d",
			    l->conf->listen[i].line);
}

static void
check_name(struct load *l, const config_setting_t *s, const char *name)
{
	if (name == NULL || name[0] == '\0')
		load_complain(l, s, "name", "is required");
	else if (strlen(name) >= CONF_NAME_SIZE)
		load_complain(l, s, "name", "is longer than %d bytes", CONF_NAME_SIZE - 1);
}

static void
one_database(struct load *l, const config_setting_t *s, void *item, size_t index)
{
	struct conf_database *x = item;
	const char *wrong, *key;
	size_t i;

	(void)load_place(l, s, &x->line);
	load_members(l, s, option_database, x);
	check_name(l, s, x->name);
	wrong = conf_hosts_wrong(x, &key);
	if (wrong != NULL)
		load_complain(l, s, key, "%s", wrong);
	for (i = 0; i < index; i++)
		if (x->name != NULL && same(l->conf->databases[i].name, x->name))
			load_complain(l, s, "name", "\"%s\" stands in line %d too", x->name,
			    l->conf->databases[i].line);
}

static void
one_user(struct load *l, const config_setting_t *s, void *item, size_t index)
{
	struct conf_user *x = item;
	size_t i;

	(void)load_place(l, s, &x->line);
	load_members(l, s, option_user, x);
	check_name(l, s, x->name);
	for (i = 0; i < index; i++)
		if (x->name != NULL && same(l->conf->users[i].name, x->name))
			load_complain(l, s, "name", "\"%s\" stands in line %d too", x->name,
			    l->conf->users[i].line);
}

/* --- the file --------------------------------------------------------------------------------- */

static void
load_root(struct load *l, const config_setting_t *root)
{
	static const char *const lists[] = {"listen", "databases", "users", NULL};
	struct conf *c = l->conf;
	int k;

	for (k = 0; k < config_setting_length(root); k++) {
		const config_setting_t *s = config_setting_get_elem(root, (unsigned int)k);
		const char *key = config_setting_name(s);
		const struct option *o = option_find(option_globals, key);
		if (o != NULL)
			load_value(l, s, o, c);
		else if (strcmp(key, "listen") == 0)
			load_list(
			    l, s, sizeof(*c->listen), (void **)&c->listen, &c->nlisten, one_listen);
		else if (strcmp(key, "databases") == 0)
			load_list(l, s, sizeof(*c->databases), (void **)&c->databases,
			    &c->ndatabases, one_database);
		else if (strcmp(key, "users") == 0)
			load_list(
			    l, s, sizeof(*c->users), (void **)&c->users, &c->nusers, one_user);
		else
			load_unknown(l, s, option_globals, lists);
	}
}

/* The auth_file, and whether it or the lists hold a verifier. */
static void
load_secrets(struct load *l)
{
	struct conf *c = l->conf;
	size_t i;

	if (c->auth_file[0] != '\0') {
		c->userlist = userlist_load(c->auth_file, l->files, l->err);
		l->errors += c->userlist == NULL;
	}
	if (c->userlist != NULL)
		userlist_kinds(c->userlist, &c->kinds);
	for (i = 0; i < c->nusers; i++)
		if (c->users[i].password != NULL)
			kinds_add(&c->kinds, c->users[i].password);
}

static bool
has_map(const void *ident, const char *map)
{
	return ident != NULL && ident_has(ident, map);
}

/* The rules of auth_type hba, and the maps that they name. */
static void
load_rules(struct load *l)
{
	struct conf *c = l->conf;
	const struct hba_rule *rule;

	if (c->auth_ident_file[0] != '\0') {
		c->ident = ident_load(c->auth_ident_file, l->files, l->err);
		l->errors += c->ident == NULL;
	}
	if (c->auth_hba_file[0] == '\0') {
		if (c->auth_type == AUTH_HBA)
			load_complain(l, NULL, "auth_hba_file", "is needed for auth_type hba");
		return;
	}
	c->hba = hba_load(c->auth_hba_file, l->files, l->err);
	l->errors += c->hba == NULL;
	rule = c->hba == NULL || l->errors > 0 ? NULL : hba_unknown_map(c->hba, has_map, c->ident);
	if (rule != NULL) {
		fprintf(l->err, "%s:%d: map=%s does not stand in auth_ident_file\n",
		    c->auth_hba_file, rule->line, rule->map);
		l->errors++;
	}
}

/* auth_type pam and ldap: what a rule would have behind its method. */
static void
load_external(struct load *l)
{
	struct conf *c = l->conf;
	const char *wrong = NULL,
		   *key = c->auth_type == AUTH_PAM ? "auth_pam_service" : "auth_ldap_options";
	char service[256];

	if (!external_method(c->auth_type))
		return;
	c->external = calloc(1, sizeof(*c->external));
	if (c->external == NULL)
		fatal("configuration");
	if (c->auth_type == AUTH_LDAP) {
		wrong = external_add_all(c->external, AUTH_LDAP, c->auth_ldap_options);
	} else {
		(void)snprintf(service, sizeof(service), "pamservice=%s", c->auth_pam_service);
		wrong = external_add(c->external, AUTH_PAM, service);
	}
	if (wrong == NULL)
		wrong = external_check(c->external, c->auth_type);
	if (wrong != NULL)
		load_complain(
		    l, NULL, external_built(c->auth_type) ? key : "auth_type", "%s", wrong);
}

static void
finish(struct load *l)
{
	struct conf *c = l->conf;
	struct sockaddr_storage ss;
	socklen_t len;

	if (c->ndatabases == 0)
		load_complain(l, NULL, "databases", "at least one is required");
	if (c->metrics_listen[0] != '\0' && conf_parse_address(c->metrics_listen, &ss, &len) == -1)
		load_complain(l, NULL, "metrics_listen",
		    "expected an address such as \"127.0.0.1:9127\", \"[::1]:9127\", \"*:9127\"");
	if (c->run_dir[0] != '/')
		load_complain(l, NULL, "run_dir", "expected an absolute directory");
	if (c->nlisten == 0 && c->listen == NULL) {
		c->listen = calloc(1, sizeof(*c->listen));
		if (c->listen == NULL)
			fatal("configuration");
		option_defaults(option_listen, &c->listen[0]);
		c->listen[0].host = option_copy("127.0.0.1");
		c->nlisten = 1;
	}
	if (c->pid_file[0] == '\0') {
		free(c->pid_file);
		if (asprintf(&c->pid_file, "%s/pgdrove.pid", c->run_dir) == -1)
			fatal("configuration");
	}
	load_secrets(l);
	load_rules(l);
	tls_load(l);
	load_external(l);
}

/* libconfig's own error, with the file and line that it names. */
static void
complain_parse(struct load *l, const config_t *file)
{
	const char *where = config_error_file(file);

	l->errors++;
	if (config_error_type(file) == CONFIG_ERR_FILE_IO)
		fprintf(l->err, "%s: cannot read: %s\n", l->conf->path, strerror(errno));
	else
		fprintf(l->err, "%s:%d: %s\n", where == NULL ? l->conf->path : where,
		    config_error_line(file), config_error_text(file));
}

/* From `in`, or from the file by that name. */
static void
load_text(struct load *l, FILE *in)
{
	const char *path = l->conf->path;
	config_t file;
	int ok;

	config_init(&file);
	errno = 0;
	if (l->origin != NULL)
		ok = config_read_string(&file, l->origin->text);
	else
		ok = in != NULL ? config_read(&file, in) : config_read_file(&file, path);
	if (ok == CONFIG_TRUE) {
		l->root = config_root_setting(&file);
		load_root(l, l->root);
		finish(l);
	} else {
		complain_parse(l, &file);
	}
	config_destroy(&file);
}

/* A PgBouncer configuration is read as its translation. */
static void
load_pgbouncer(struct load *l)
{
	struct pgbouncer_text text;

	l->errors += pgbouncer_translate(&text, l->conf->path, l->err);
	l->origin = &text;
	load_text(l, NULL);
	l->origin = NULL;
	l->conf->notes = text.notes;
	text.notes = NULL;
	pgbouncer_text_free(&text);
}

static struct conf *
load(FILE *in, const char *path, struct files *files, FILE *err)
{
	struct load l = {.files = files, .err = err};

	l.conf = calloc(1, sizeof(*l.conf));
	if (l.conf == NULL)
		fatal("configuration");
	l.conf->path = option_copy(path);
	l.conf->vault = vault_new();
	option_defaults(option_globals, l.conf);
	if (in == NULL && ini_is(path))
		load_pgbouncer(&l);
	else
		load_text(&l, in);
	if (l.errors == 0)
		return l.conf;
	conf_free(l.conf);
	return NULL;
}

struct conf *
conf_load(const char *path, FILE *err)
{
	struct files *files = files_new();
	struct conf *c = conf_load_through(path, files, err);

	files_free(files);
	return c;
}

struct conf *
conf_load_through(const char *path, struct files *files, FILE *err)
{
	struct conf *c;

	strongbox_wipe_freed(true);
	c = load(NULL, path, files, err);
	strongbox_wipe_freed(false);
	return c;
}

struct conf *
conf_read(FILE *in, const char *path, FILE *err)
{
	struct files *files = files_new();
	struct conf *c;

	strongbox_wipe_freed(true);
	c = load(in, path, files, err);
	strongbox_wipe_freed(false);
	files_free(files);
	return c;
}

struct conf *
conf_with(const struct conf *c, const char *name, const char *value, struct files *files, FILE *err)
{
	const struct option *o = option_find(option_globals, name);
	char *text = NULL;
	size_t len = 0;
	FILE *out, *in;
	struct conf *next;

	if (o == NULL) {
		fprintf(err, "there is no option \"%s\"\n", name);
		return NULL;
	}
	strongbox_wipe_freed(true);
	out = open_memstream(&text, &len);
	if (out == NULL)
		fatal("configuration");
	conf_write_with(c, o, value, out);
	fclose(out);
	in = fmemopen(text, len, "r");
	if (in == NULL)
		fatal("configuration");
	next = load(in, c->path, files, err);
	fclose(in);
	free(text);
	strongbox_wipe_freed(false);
	return next;
}

struct conf *
conf_receive(int fd, const char *path, FILE *err)
{
	size_t len;
	const char *text;
	struct files *files = files_receive(fd, &text, &len);
	FILE *in = files == NULL ? NULL : fmemopen((void *)(uintptr_t)text, len, "r");
	struct conf *c = NULL;

	strongbox_wipe_freed(true);
	if (in == NULL)
		fprintf(err, "%s: did not come through whole\n", path);
	else
		c = load(in, path, files, err);
	if (in != NULL)
		fclose(in);
	strongbox_wipe_freed(false);
	files_free(files);
	return c;
}

/* The elements of a list and the list. */
static void
free_list(const struct option *members, void *items, size_t size, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		option_free(members, (char *)items + i * size);
	free(items);
}

void
conf_free(struct conf *c)
{
	size_t i;

	for (i = 0; i < c->nlisten; i++)
		tls_ctx_unref(c->listen[i].tls);
	for (i = 0; i < c->ndatabases; i++)
		tls_ctx_unref(c->databases[i].tls);
	option_free(option_globals, c);
	free_list(option_listen, c->listen, sizeof(*c->listen), c->nlisten);
	free_list(option_database, c->databases, sizeof(*c->databases), c->ndatabases);
	free_list(option_user, c->users, sizeof(*c->users), c->nusers);
	userlist_free(c->userlist);
	hba_free(c->hba);
	if (c->external != NULL)
		external_free(c->external);
	free(c->external);
	ident_free(c->ident);
	vault_free(c->vault);
	free(c->notes);
	free(c->path);
	free(c);
}

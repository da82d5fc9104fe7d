/*
 * pgbouncer: see pgbouncer.h. Called by load.c.
 *
 * Three steps: the items of the file are collected, the last value of a name wins; then each is
 * written as a line of ours, by the kind that our tables give the option; at last come PgBouncer's
 * own defaults where ours differ, so that a file means the same here as it did there. Options that
 * have our name are never listed here: a new option of ours works in both formats at once.
 */
#include "conf/pgbouncer.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "conf/ini.h"
#include "conf/option.h"

/* --- what becomes of an option ---------------------------------------------------------------- */

struct fate {
	const char *name;
	const char *becomes; /* our name; "" = see translate_special; NULL = it has no meaning */
	const char *note;
};

static const struct fate fates[] = {
    {"default_pool_size", "pool_size", NULL},
    {"reserve_pool", "reserve_pool_size", NULL},
    {"pidfile", "pid_file", NULL},
    {"logfile", "log_file", NULL},
    {"listen_addr", "", "listen"},
    {"listen_port", "", "listen"},
    {"unix_socket_dir", "", "listen"},
    {"unix_socket_mode", "", "listen"},
    {"verbose", "", "log_level"},
    {"auth_type", "", "auth_type; plain is password"},
    {"unix_socket_group", NULL, "give the directory to the group"},
    {"so_reuseport", NULL, "all workers share the listening sockets"},
    {"peer_id", NULL, "cancel requests find their client without peers"},
    {"tcp_defer_accept", NULL, "a client without a word costs nothing"},
    {"client_tls_dheparams", NULL, "OpenSSL chooses"},
    {"job_name", NULL, "run_dir tells instances apart"},
    {"service_name", NULL, "run_dir tells instances apart"},
    {"conffile", NULL, "the file given by -c is read again"},
    {"log_pooler_errors", NULL, "they are always logged"},
    {"log_stats", NULL, "read them with pgdrove stat"},
    {"stats_period", NULL, "read them with pgdrove stat"},
    {"pool_idle_timeout", NULL, "an empty pool costs nothing"},
    {"autodb_idle_timeout", NULL, "an unused database costs nothing"},
    {"suspend_timeout", NULL, "an upgrade needs no SUSPEND"},
    {"track_extra_parameters", NULL, "all settings are tracked (session_state)"},
    {"disable_pqexec", NULL, "simple queries are always allowed"},
    {"application_name_add_host", NULL, "SHOW CLIENTS tells the address"},
    {"login_notify_message", NULL, "there is no such message"},
    {"dns_nxdomain_ttl", NULL, "a name that is unknown is looked up again at each try"},
    {"dns_zone_check_period", NULL, "names are looked up by the system's resolver"},
    {"resolv_conf", NULL, "names are looked up by the system's resolver"},
    {"sbuf_loopcnt", NULL, "fast streams yield by themselves"},
    {"tcp_socket_buffer", NULL, "the kernel sizes it"},
    {NULL, NULL, NULL},
};

#define FATES (sizeof(fates) / sizeof(fates[0])) /* the last one names none */

/* Where PgBouncer's default is another than ours. */
static const struct {
	const char *name, *value;
} defaults[] = {
    {"auth_type", "md5"},
    {"max_client_conn", "100"},
    {"listen_backlog", "128"},
    {"server_login_retry", "15"},
    {"server_tls_sslmode", "prefer"},
    {"syslog_ident", "pgbouncer"},
    {"max_prepared_statements", "200"},
    {NULL, NULL},
};

/* Of a database: what its new server connections are told by SET. */
static const char *const settings[] = {
    "client_encoding", "datestyle", "timezone", "application_name", NULL};

const char *
pgbouncer_fate(size_t i, const char **becomes, const char **note)
{
	if (i >= FATES - 1)
		return NULL;
	*becomes = fates[i].becomes;
	*note = fates[i].note;
	return fates[i].name;
}

/* --- items ------------------------------------------------------------------------------------ */

struct entry {
	char *key;
	char *value;
	char *file;
	int line;
};

struct entries {
	struct entry *v;
	size_t n;
};

struct translation {
	FILE *err;
	int errors;
	FILE *out;
	FILE *notes;
	struct pgbouncer_text *text;
	struct entries globals, databases, users;
};

static void
entry_fini(struct entry *e)
{
	if (e->value != NULL)
		explicit_bzero(e->value, strlen(e->value));
	free(e->key);
	free(e->value);
	free(e->file);
}

static void
entries_fini(struct entries *list)
{
	while (list->n > 0)
		entry_fini(&list->v[--list->n]);
	free(list->v);
	*list = (struct entries){NULL, 0};
}

static struct entry *
entries_find(const struct entries *list, const char *key)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		if (strcmp(list->v[i].key, key) == 0)
			return &list->v[i];
	return NULL;
}

/* The last value of a name is in force. */
static void
entries_put(struct entries *list, const struct ini_item *item)
{
	struct entry *e = entries_find(list, item->key);

	if (e == NULL) {
		list->v = reallocarray(list->v, list->n + 1, sizeof(*list->v));
		if (list->v == NULL)
			fatal("configuration");
		e = &list->v[list->n++];
	} else {
		entry_fini(e);
	}
	*e = (struct entry){
	    option_copy(item->key), option_copy(item->value), option_copy(item->file), item->line};
}

static void
put_item(void *arg, const struct ini_item *item)
{
	entries_put(arg, item);
}

static __attribute__((format(printf, 3, 4))) void
complain(struct translation *t, const struct entry *e, const char *fmt, ...)
{
	va_list ap;

	t->errors++;
	fprintf(t->err, "%s:%d: %s: ", e->file, e->line, e->key);
	va_start(ap, fmt);
	vfprintf(t->err, fmt, ap);
	va_end(ap);
	fputc('\n', t->err);
}

static void
note(struct translation *t, const struct entry *e, const char *why)
{
	fprintf(t->notes, "%s:%d: %s has no meaning here: %s\n", e->file, e->line, e->key, why);
}

static void
collect(void *arg, const struct ini_item *item)
{
	struct translation *t = arg;
	struct entry e = {
	    (char *)(uintptr_t)item->section, NULL, (char *)(uintptr_t)item->file, item->line};

	if (strcmp(item->section, "pgbouncer") == 0)
		entries_put(&t->globals, item);
	else if (strcmp(item->section, "databases") == 0)
		entries_put(&t->databases, item);
	else if (strcmp(item->section, "users") == 0)
		entries_put(&t->users, item);
	else if (strcmp(item->section, "peers") == 0)
		note(t, &e, "cancel requests find their client without peers");
	else
		complain(t, &e, "unknown section; [pgbouncer], [databases], [users], [peers]");
}

/* --- lines of ours ---------------------------------------------------------------------------- */

static void
end_line(struct translation *t, const struct entry *from)
{
	struct pgbouncer_text *x = t->text;

	fputc('\n', t->out);
	x->lines = reallocarray(x->lines, x->nlines + 1, sizeof(*x->lines));
	if (x->lines == NULL)
		fatal("configuration");
	x->lines[x->nlines++] = (struct pgbouncer_line){option_copy(from->file), from->line};
}

static int
truth(const char *value)
{
	static const char *const words[] = {
	    "0", "1", "off", "on", "false", "true", "no", "yes", "f", "t", "n", "y"};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(value, words[i]) == 0)
			return (int)(i % 2);
	return -1;
}

static bool
is_number(const char *value)
{
	return *value != '\0' && value[strspn(value, "0123456789")] == '\0';
}

/* "name = value;" by the option's kind; the loader does the rest of the checking. */
static void
put_option(struct translation *t, const struct option *o, const struct entry *e)
{
	const char *v = e->value;

	fprintf(t->out, "%s = ", o->name);
	switch (o->kind) {
	case OPTION_BOOL:
		if (truth(v) == -1)
			complain(t, e, "expected 0 or 1");
		fputs(truth(v) == 1 ? "true" : "false", t->out);
		break;
	case OPTION_INT:
	case OPTION_PORT:
	case OPTION_SIZE:
		if (!is_number(v))
			complain(t, e, "expected a whole number");
		else if (strcmp(o->name, "pool_size") == 0 && strspn(v, "0") == strlen(v))
			v = "100000"; /* no limit */
		fprintf(t->out, "%s", is_number(v) ? v : "1");
		if (o->kind != OPTION_PORT)
			fputc('L', t->out); /* 64 bits, so that the loader sees all of it */
		break;
	case OPTION_TIME:
		if (strcmp(o->name, "server_lifetime") == 0 && strcmp(v, "0") == 0)
			v = "1us"; /* there: use once; here 0 is no limit */
		fputc('"', t->out);
		fputs(v, t->out);
		fputs(strcmp(o->name, "tcp_user_timeout") == 0 ? "ms\"" : "\"", t->out);
		break;
	case OPTION_STRING:
	case OPTION_SECRET:
	case OPTION_ENUM:
	case OPTION_MODE:
		option_put_text(t->out, v);
		break;
	}
	fputc(';', t->out);
	end_line(t, e);
}

static const struct fate *
find_fate(const char *name)
{
	const struct fate *f = fates;

	while (f->name != NULL && strcmp(f->name, name) != 0)
		f++;
	return f->name == NULL ? NULL : f;
}

static void
unknown(struct translation *t, const struct entry *e, const struct option *table)
{
	const char *more[FATES];
	char text[OPTION_UNKNOWN_SIZE];
	size_t i;

	for (i = 0; i < FATES; i++)
		more[i] = fates[i].name;
	option_unknown(text, sizeof(text), e->key, table, more);
	complain(t, e, "%s", text);
}

/* An option that needs no more than another name, or nothing at all. */
static void
put_plain(struct translation *t, const struct option *table, const struct entry *e)
{
	const struct fate *f = find_fate(e->key);
	const struct option *o =
	    option_find(table, f != NULL && f->becomes != NULL ? f->becomes : e->key);

	if (o != NULL)
		put_option(t, o, e);
	else if (f != NULL && f->becomes == NULL)
		note(t, e, f->note);
	else
		unknown(t, e, table);
}

/* --- [pgbouncer] ------------------------------------------------------------------------------ */

static const struct entry *
global(const struct translation *t, const char *name, struct entry *absent, const char *value)
{
	const struct entry *e = entries_find(&t->globals, name);

	if (e != NULL)
		return e;
	absent->key = (char *)(uintptr_t)name;
	absent->value = (char *)(uintptr_t)value;
	return absent;
}

/* The directory of the Unix socket that PgBouncer itself would use. */
static const char *
socket_dir(void)
{
	return access("/var/run/postgresql", F_OK) == 0 ? "/var/run/postgresql" : "/tmp";
}

static void
put_address(struct translation *t, const struct entry *e, const char *address, const char *port,
    bool *first)
{
	fputs(*first ? "{ host = " : ", { host = ", t->out);
	option_put_text(t->out, strcmp(address, "localhost") == 0 ? "127.0.0.1" : address);
	fprintf(t->out, "; port = %s; }", port);
	end_line(t, e);
	*first = false;
}

static void
put_listen(struct translation *t, const struct entry *here)
{
	struct entry none = *here, none2 = *here, none3 = *here, none4 = *here;
	const struct entry *addr = global(t, "listen_addr", &none, "");
	const struct entry *port = global(t, "listen_port", &none2, "6432");
	const struct entry *dir = global(t, "unix_socket_dir", &none3, socket_dir());
	const struct entry *mode = global(t, "unix_socket_mode", &none4, "0777");
	char *copy = option_copy(addr->value), *rest = copy, *one;
	bool first = true;

	if (!is_number(port->value))
		complain(t, port, "expected a port");
	fputs("listen = (", t->out);
	end_line(t, here);
	while ((one = strsep(&rest, ", \t")) != NULL)
		if (*one != '\0')
			put_address(
			    t, addr, one, is_number(port->value) ? port->value : "1", &first);
	free(copy);
	if (dir->value[0] != '\0') {
		fputs(first ? "{ path = " : ", { path = ", t->out);
		option_put_text(t->out, dir->value);
		fprintf(t->out, "; port = %s; mode = ", is_number(port->value) ? port->value : "1");
		option_put_text(t->out, mode->value);
		fputs("; }", t->out);
		end_line(t, dir);
	} else if (first) {
		complain(t, addr, "nothing to listen on: unix_socket_dir is empty too");
	}
	fputs(");", t->out);
	end_line(t, here);
}

static void
put_auth_type(struct translation *t, const struct entry *e)
{
	struct entry plain = *e;

	if (strcmp(e->value, "plain") == 0)
		plain.value = (char *)(uintptr_t) "password";
	put_option(t, option_find(option_globals, "auth_type"), &plain);
}

static void
put_verbose(struct translation *t, const struct entry *e)
{
	if (!is_number(e->value))
		complain(t, e, "expected a whole number");
	fprintf(t->out, "log_level = \"%s\";", atoi(e->value) > 0 ? "debug" : "info");
	end_line(t, e);
}

static void
put_global(struct translation *t, const struct entry *e)
{
	const struct fate *f = find_fate(e->key);

	if (strcmp(e->key, "auth_type") == 0)
		put_auth_type(t, e);
	else if (strcmp(e->key, "verbose") == 0)
		put_verbose(t, e);
	else if (f == NULL || f->becomes == NULL || f->becomes[0] != '\0')
		put_plain(t, option_globals, e);
}

/* The statistics go where the pid file is: PgBouncer's account may write there. */
static void
put_run_dir(struct translation *t)
{
	const struct entry *e = entries_find(&t->globals, "pidfile");
	const char *end = e == NULL ? NULL : strrchr(e->value, '/');

	if (end == NULL || end == e->value || entries_find(&t->globals, "run_dir") != NULL)
		return;
	fprintf(t->out, "run_dir = \"%.*s\";", (int)(end - e->value), e->value);
	end_line(t, e);
}

static void
put_globals(struct translation *t, const struct entry *here)
{
	size_t i;

	for (i = 0; i < t->globals.n; i++)
		put_global(t, &t->globals.v[i]);
	for (i = 0; defaults[i].name != NULL; i++) {
		struct entry e = *here;
		const struct fate *f = find_fate(defaults[i].name);
		bool ours = option_find(option_globals, defaults[i].name) != NULL || f != NULL;
		e.key = (char *)(uintptr_t)defaults[i].name;
		e.value = (char *)(uintptr_t)defaults[i].value;
		if (ours && entries_find(&t->globals, e.key) == NULL)
			put_global(t, &e);
	}
	put_run_dir(t);
}

/* --- [databases], [users] --------------------------------------------------------------------- */

static bool
is_setting(const char *key)
{
	const char *const *s = settings;

	while (*s != NULL && strcmp(*s, key) != 0)
		s++;
	return *s != NULL;
}

static void
put_set(FILE *out, const struct entry *e)
{
	const char *p;

	fprintf(out, "SET %s TO '", e->key);
	for (p = e->value; *p != '\0'; p++) {
		if (*p == '\'')
			fputc('\'', out);
		fputc(*p, out);
	}
	fputs("';", out);
}

/* The settings of a database and its connect_query are one connect_query of ours. */
static void
put_connect_query(struct translation *t, const struct entries *pairs, const struct entry *where)
{
	const struct entry *query = entries_find(pairs, "connect_query");
	struct entry all = *where;
	size_t size, i;
	FILE *out = open_memstream(&all.value, &size);

	if (out == NULL)
		fatal("configuration");
	for (i = 0; i < pairs->n; i++)
		if (is_setting(pairs->v[i].key))
			put_set(out, &pairs->v[i]);
	if (query != NULL)
		fputs(query->value, out);
	fclose(out);
	if (size > 0)
		put_option(t, option_find(option_database, "connect_query"), &all);
	free(all.value);
}

static void
put_group(struct translation *t, const struct entry *e, const struct option *members, bool first)
{
	bool database = members == option_database;
	struct entries pairs = {NULL, 0};
	struct entry host = *e;
	size_t i;

	t->errors += ini_pairs(
	    &(struct ini_item){"", e->key, e->value, e->file, e->line}, t->err, put_item, &pairs);
	fputs(first ? "{ name = " : ", { name = ", t->out);
	option_put_text(t->out, e->key);
	fputc(';', t->out);
	end_line(t, e);
	for (i = 0; i < pairs.n; i++)
		if (!database ||
		    (!is_setting(pairs.v[i].key) && strcmp(pairs.v[i].key, "connect_query") != 0))
			put_plain(t, members, &pairs.v[i]);
	if (database)
		put_connect_query(t, &pairs, e);
	host.value = (char *)(uintptr_t)socket_dir();
	if (database && entries_find(&pairs, "host") == NULL)
		put_option(t, option_find(members, "host"), &host);
	fputc('}', t->out);
	end_line(t, e);
	entries_fini(&pairs);
}

static void
put_groups(struct translation *t, const char *name, const struct entries *list,
    const struct option *members, const struct entry *here)
{
	size_t i;

	fprintf(t->out, "%s = (", name);
	end_line(t, here);
	for (i = 0; i < list->n; i++)
		put_group(t, &list->v[i], members, i == 0);
	fputs(");", t->out);
	end_line(t, here);
}

/* --- all of it -------------------------------------------------------------------------------- */

int
pgbouncer_translate(struct pgbouncer_text *x, const char *path, FILE *err)
{
	struct translation t = {.err = err, .text = x};
	struct entry here = {.file = (char *)(uintptr_t)path, .line = 1};
	size_t notes;
	int unread;

	*x = (struct pgbouncer_text){.text = NULL};
	t.out = open_memstream(&x->text, &x->len);
	t.notes = open_memstream(&x->notes, &notes);
	if (t.out == NULL || t.notes == NULL)
		fatal("configuration");
	unread = ini_load(path, err, collect, &t);
	t.errors += unread;
	put_globals(&t, &here);
	put_listen(&t, &here);
	put_groups(&t, "databases", &t.databases, option_database, &here);
	put_groups(&t, "users", &t.users, option_user, &here);
	fclose(t.out);
	fclose(t.notes);
	entries_fini(&t.globals);
	entries_fini(&t.databases);
	entries_fini(&t.users);
	return t.errors;
}

void
pgbouncer_text_free(struct pgbouncer_text *x)
{
	size_t i;

	if (x->text != NULL)
		explicit_bzero(x->text, x->len); /* passwords */
	free(x->text);
	for (i = 0; i < x->nlines; i++)
		free(x->lines[i].file);
	free(x->lines);
	free(x->notes);
	*x = (struct pgbouncer_text){.text = NULL};
}

/*
 * load: reads a configuration file into a struct conf, reporting every error. Scalars are driven by
 * options.def; the lists (listen, databases, users) by the member tables below. Called by main and
 * by tests; owns what conf_free frees.
 *
 * A file that libconfig cannot parse yields libconfig's one error; everything else is checked to
 * the end.
 */
#include <errno.h>
#include <libconfig.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include "conf/conf.h"
#include "conf/suggest.h"
#include "conf/units.h"

enum kind { INT, BOOL, TIME, SIZE, STRING, ENUM, PORT, MODE };

struct option {
	const char *name;
	enum kind kind;
	size_t offset;
	int64_t min, max;
	const char *def;   /* TIME, SIZE, STRING */
	int64_t number;	   /* INT, BOOL, ENUM */
	const char *words; /* ENUM, blank-separated, in the enum's order */
};

#define OPT_INT(n, d, lo, hi, h)                                                                   \
	{.name = #n,                                                                               \
	    .kind = INT,                                                                           \
	    .offset = offsetof(struct conf, n),                                                    \
	    .min = lo,                                                                             \
	    .max = hi,                                                                             \
	    .number = d},
#define OPT_BOOL(n, d, h)                                                                          \
	{.name = #n, .kind = BOOL, .offset = offsetof(struct conf, n), .number = d},
#define OPT_TIME(n, d, lo, hi, h)                                                                  \
	{.name = #n,                                                                               \
	    .kind = TIME,                                                                          \
	    .offset = offsetof(struct conf, n##_us),                                               \
	    .min = lo,                                                                             \
	    .max = hi,                                                                             \
	    .def = d},
#define OPT_SIZE(n, d, lo, hi, h)                                                                  \
	{.name = #n,                                                                               \
	    .kind = SIZE,                                                                          \
	    .offset = offsetof(struct conf, n##_bytes),                                            \
	    .min = lo,                                                                             \
	    .max = hi,                                                                             \
	    .def = d},
#define OPT_STRING(n, d, h)                                                                        \
	{.name = #n, .kind = STRING, .offset = offsetof(struct conf, n), .def = d},
#define OPT_ENUM(n, t, d, w, h)                                                                    \
	{.name = #n, .kind = ENUM, .offset = offsetof(struct conf, n), .number = d, .words = w},
static const struct option options[] = {
#include "conf/options.def"
};
#define NOPTIONS (sizeof(options) / sizeof(options[0]))

#define MODES "session transaction statement"

static const struct option listen_members[] = {
    {.name = "host", .kind = STRING, .offset = offsetof(struct conf_listen, host)},
    {.name = "path", .kind = STRING, .offset = offsetof(struct conf_listen, path)},
    {.name = "port",
	.kind = PORT,
	.offset = offsetof(struct conf_listen, port),
	.min = 1,
	.max = 65535},
    {.name = "mode", .kind = MODE, .offset = offsetof(struct conf_listen, mode), .max = 0777},
    {.name = NULL}};
static const struct option database_members[] = {
    {.name = "name", .kind = STRING, .offset = offsetof(struct conf_database, name)},
    {.name = "host", .kind = STRING, .offset = offsetof(struct conf_database, host)},
    {.name = "dbname", .kind = STRING, .offset = offsetof(struct conf_database, dbname)},
    {.name = "user", .kind = STRING, .offset = offsetof(struct conf_database, user)},
    {.name = "password", .kind = STRING, .offset = offsetof(struct conf_database, password)},
    {.name = "connect_query",
	.kind = STRING,
	.offset = offsetof(struct conf_database, connect_query)},
    {.name = "port",
	.kind = PORT,
	.offset = offsetof(struct conf_database, port),
	.min = 1,
	.max = 65535},
    {.name = "pool_mode",
	.kind = ENUM,
	.offset = offsetof(struct conf_database, pool_mode),
	.words = MODES},
    {.name = "pool_size",
	.kind = INT,
	.offset = offsetof(struct conf_database, pool_size),
	.min = 1,
	.max = 100000},
    {.name = NULL}};
static const struct option user_members[] = {
    {.name = "name", .kind = STRING, .offset = offsetof(struct conf_user, name)},
    {.name = "password", .kind = STRING, .offset = offsetof(struct conf_user, password)},
    {.name = "pool_mode",
	.kind = ENUM,
	.offset = offsetof(struct conf_user, pool_mode),
	.words = MODES},
    {.name = "pool_size",
	.kind = INT,
	.offset = offsetof(struct conf_user, pool_size),
	.min = 1,
	.max = 100000},
    {.name = NULL}};

struct load {
	struct conf *conf;
	FILE *err;
	int errors;
	char prefix[64]; /* "databases[1]." */
};

static void complain(struct load *l, const config_setting_t *s, const char *key, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));

static void
complain(struct load *l, const config_setting_t *s, const char *key, const char *fmt, ...)
{
	const char *file = s == NULL ? NULL : config_setting_source_file(s);
	va_list ap;

	l->errors++;
	fprintf(l->err, "%s:%d: %s%s: ", file == NULL ? l->conf->path : file,
	    s == NULL ? 1 : (int)config_setting_source_line(s), l->prefix, key);
	va_start(ap, fmt);
	vfprintf(l->err, fmt, ap);
	va_end(ap);
	fputc('\n', l->err);
}

static char *
copy(const char *text)
{
	char *s = strdup(text);

	if (s == NULL)
		fatal("configuration");
	return s;
}

/* --- values
 * ------------------------------------------------------------------------------------------------
 */

static bool
is_number(const config_setting_t *s)
{
	int type = config_setting_type(s);

	return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

static void
load_number(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	int64_t v = is_number(s) ? config_setting_get_int64(s) : 0;

	if (!is_number(s))
		complain(l, s, o->name, "expected a whole number");
	else if (v < o->min || v > o->max)
		complain(l, s, o->name, "%lld is out of range: %lld to %lld", (long long)v,
		    (long long)o->min, (long long)o->max);
	else if (o->kind == PORT)
		*(uint16_t *)at = (uint16_t)v;
	else
		*(int *)at = (int)v;
}

static void
load_mode(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	const char *text =
	    config_setting_type(s) == CONFIG_TYPE_STRING ? config_setting_get_string(s) : NULL;
	char *end = NULL;
	unsigned long v = text == NULL ? 0 : strtoul(text, &end, 8);

	if (text == NULL || end == text || *end != '\0' || v > 0777)
		complain(l, s, o->name, "expected permissions in octal, such as \"0770\"");
	else
		*(unsigned int *)at = (unsigned int)v;
}

static void
load_bool(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	if (config_setting_type(s) == CONFIG_TYPE_BOOL)
		*(bool *)at = config_setting_get_bool(s) != 0;
	else if (is_number(s) &&
		 (config_setting_get_int64(s) == 0 || config_setting_get_int64(s) == 1))
		*(bool *)at = config_setting_get_int64(s) == 1;
	else
		complain(l, s, o->name, "expected true or false");
}

static int
time_of(const config_setting_t *s, int64_t *us)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		return conf_parse_time(config_setting_get_string(s), us);
	case CONFIG_TYPE_FLOAT:
		return conf_time_of_seconds(config_setting_get_float(s), us);
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return conf_time_of_seconds((double)config_setting_get_int64(s), us);
	default:
		return -1;
	}
}

static void
load_time(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	char lo[UNITS_SIZE], hi[UNITS_SIZE];
	int64_t us;

	if (time_of(s, &us) == -1)
		complain(
		    l, s, o->name, "expected a time: seconds, or \"500ms\", \"30s\", \"5min\"");
	else if (us < o->min || us > o->max)
		complain(l, s, o->name, "out of range: %s to %s", conf_format_time(lo, o->min),
		    conf_format_time(hi, o->max));
	else
		*(int64_t *)at = us;
}

static void
load_size(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	char lo[UNITS_SIZE], hi[UNITS_SIZE];
	int64_t bytes = is_number(s) ? config_setting_get_int64(s) : -1;

	if (!is_number(s) && (config_setting_type(s) != CONFIG_TYPE_STRING ||
				 conf_parse_size(config_setting_get_string(s), &bytes) == -1))
		complain(l, s, o->name, "expected a size: bytes, or \"16kB\", \"1MB\"");
	else if (bytes < o->min || bytes > o->max)
		complain(l, s, o->name, "out of range: %s to %s", conf_format_size(lo, o->min),
		    conf_format_size(hi, o->max));
	else
		*(int64_t *)at = bytes;
}

static void
load_string(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	if (config_setting_type(s) != CONFIG_TYPE_STRING) {
		complain(l, s, o->name, "expected a string in double quotes");
		return;
	}
	free(*(char **)at);
	*(char **)at = copy(config_setting_get_string(s));
}

static void
load_enum(struct load *l, const config_setting_t *s, const struct option *o, void *at)
{
	const char *text =
	    config_setting_type(s) == CONFIG_TYPE_STRING ? config_setting_get_string(s) : "";
	const char *w = o->words;
	int i;

	for (i = 0; *w != '\0'; i++) {
		size_t n = strcspn(w, " ");
		if (strlen(text) == n && memcmp(text, w, n) == 0) {
			*(int *)at = i;
			return;
		}
		w += n + (w[n] == ' ');
	}
	complain(l, s, o->name, "expected one of \"%s\"", o->words);
}

static void
load_value(struct load *l, const config_setting_t *s, const struct option *o, void *base)
{
	static void (*const loaders[])(struct load *, const config_setting_t *,
	    const struct option *, void *) = {[INT] = load_number,
	    [PORT] = load_number,
	    [MODE] = load_mode,
	    [BOOL] = load_bool,
	    [TIME] = load_time,
	    [SIZE] = load_size,
	    [STRING] = load_string,
	    [ENUM] = load_enum};

	loaders[o->kind](l, s, o, (char *)base + o->offset);
}

static void
unknown_key(struct load *l, const config_setting_t *s, const char *key, const struct option *known,
    size_t n, const char *const *more)
{
	const char *words[NOPTIONS + 8];
	const char *near;
	size_t i, k = 0;

	for (i = 0; i < n; i++)
		words[k++] = known[i].name;
	while (more != NULL && *more != NULL)
		words[k++] = *more++;
	words[k] = NULL;
	near = conf_suggest(key, words);
	if (near != NULL)
		complain(l, s, key, "unknown option, did you mean \"%s\"?", near);
	else
		complain(l, s, key, "unknown option");
}

/* --- lists
 * -----------------------------------------------------------------------------------------------------
 */

static void
load_members(
    struct load *l, const config_setting_t *group, const struct option *members, void *base)
{
	size_t n = 0, i;
	int k;

	while (members[n].name != NULL)
		n++;
	if (config_setting_type(group) != CONFIG_TYPE_GROUP) {
		complain(l, group, "", "expected { key = value; ... }");
		return;
	}
	for (k = 0; k < config_setting_length(group); k++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned int)k);
		const char *key = config_setting_name(s);
		for (i = 0; i < n && strcmp(members[i].name, key) != 0; i++)
			;
		if (i < n)
			load_value(l, s, &members[i], base);
		else
			unknown_key(l, s, key, members, n, NULL);
	}
}

/* Every element of a list, by `one`; the array is grown here. */
static void
load_list(struct load *l, const config_setting_t *list, size_t size, void **items, size_t *count,
    void (*one)(struct load *, const config_setting_t *, void *item, size_t index))
{
	int i, n = config_setting_length(list);

	if (config_setting_type(list) != CONFIG_TYPE_LIST) {
		complain(
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
	size_t i;

	x->port = 6432;
	x->mode = 0777;
	x->line = (int)config_setting_source_line(s);
	load_members(l, s, listen_members, x);
	if ((x->host == NULL) == (x->path == NULL))
		complain(l, s, "host", "give either host or path");
	else if (x->host != NULL && !numeric_address(x->host))
		complain(l, s, "host", "expected a numeric address or \"*\"");
	else if (x->path != NULL && x->path[0] != '/' && x->path[0] != '@')
		complain(l, s, "path", "expected a directory that begins with / or @");
	for (i = 0; i < index; i++)
		if (l->conf->listen[i].port == x->port && same(l->conf->listen[i].host, x->host) &&
		    same(l->conf->listen[i].path, x->path))
			complain(l, s, "port", "the same address stands in line %d",
			    l->conf->listen[i].line);
}

static void
check_name(struct load *l, const config_setting_t *s, const char *name)
{
	if (name == NULL || name[0] == '\0')
		complain(l, s, "name", "is required");
	else if (strlen(name) >= CONF_NAME_SIZE)
		complain(l, s, "name", "is longer than %d bytes", CONF_NAME_SIZE - 1);
}

static void
one_database(struct load *l, const config_setting_t *s, void *item, size_t index)
{
	struct conf_database *x = item;
	size_t i;

	x->port = 5432;
	x->pool_mode = x->pool_size = -1;
	x->line = (int)config_setting_source_line(s);
	load_members(l, s, database_members, x);
	check_name(l, s, x->name);
	if (x->host == NULL)
		x->host = copy("127.0.0.1");
	if (x->host[0] == '\0')
		complain(l, s, "host", "is empty");
	for (i = 0; i < index; i++)
		if (x->name != NULL && same(l->conf->databases[i].name, x->name))
			complain(l, s, "name", "\"%s\" stands in line %d too", x->name,
			    l->conf->databases[i].line);
}

static void
one_user(struct load *l, const config_setting_t *s, void *item, size_t index)
{
	struct conf_user *x = item;
	size_t i;

	x->pool_mode = x->pool_size = -1;
	x->line = (int)config_setting_source_line(s);
	load_members(l, s, user_members, x);
	check_name(l, s, x->name);
	for (i = 0; i < index; i++)
		if (x->name != NULL && same(l->conf->users[i].name, x->name))
			complain(l, s, "name", "\"%s\" stands in line %d too", x->name,
			    l->conf->users[i].line);
}

/* --- the file
 * ------------------------------------------------------------------------------------------------------
 */

static void
set_defaults(struct conf *c)
{
	size_t i;

	for (i = 0; i < NOPTIONS; i++) {
		const struct option *o = &options[i];
		void *at = (char *)c + o->offset;
		if (o->kind == TIME)
			ENSURE(conf_parse_time(o->def, at) == 0);
		else if (o->kind == SIZE)
			ENSURE(conf_parse_size(o->def, at) == 0);
		else if (o->kind == STRING)
			*(char **)at = copy(o->def);
		else if (o->kind == BOOL)
			*(bool *)at = o->number != 0;
		else
			*(int *)at = (int)o->number;
	}
}

static void
load_root(struct load *l, const config_setting_t *root)
{
	static const char *const lists[] = {"listen", "databases", "users", NULL};
	struct conf *c = l->conf;
	size_t i;
	int k;

	for (k = 0; k < config_setting_length(root); k++) {
		const config_setting_t *s = config_setting_get_elem(root, (unsigned int)k);
		const char *key = config_setting_name(s);
		for (i = 0; i < NOPTIONS && strcmp(options[i].name, key) != 0; i++)
			;
		if (i < NOPTIONS)
			load_value(l, s, &options[i], c);
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
			unknown_key(l, s, key, options, NOPTIONS, lists);
	}
}

static void
finish(struct load *l)
{
	struct conf *c = l->conf;

	if (c->ndatabases == 0)
		complain(l, NULL, "databases", "at least one is required");
	if (c->run_dir[0] != '/')
		complain(l, NULL, "run_dir", "expected an absolute directory");
	if (c->nlisten == 0 && c->listen == NULL) {
		c->listen = calloc(1, sizeof(*c->listen));
		if (c->listen == NULL)
			fatal("configuration");
		c->listen[0] =
		    (struct conf_listen){.host = copy("127.0.0.1"), .port = 6432, .mode = 0777};
		c->nlisten = 1;
	}
	if (c->pid_file[0] == '\0') {
		free(c->pid_file);
		if (asprintf(&c->pid_file, "%s/pgdrove.pid", c->run_dir) == -1)
			fatal("configuration");
	}
}

struct conf *
conf_load(const char *path, FILE *err)
{
	struct load l = {.err = err};
	config_t file;

	l.conf = calloc(1, sizeof(*l.conf));
	if (l.conf == NULL)
		fatal("configuration");
	l.conf->path = copy(path);
	set_defaults(l.conf);
	config_init(&file);
	errno = 0;
	if (config_read_file(&file, path) == CONFIG_TRUE) {
		load_root(&l, config_root_setting(&file));
		finish(&l);
	} else {
		const char *where = config_error_file(&file);
		l.errors++;
		if (config_error_type(&file) == CONFIG_ERR_FILE_IO)
			fprintf(err, "%s: cannot read: %s\n", path, strerror(errno));
		else
			fprintf(err, "%s:%d: %s\n", where == NULL ? path : where,
			    config_error_line(&file), config_error_text(&file));
	}
	config_destroy(&file);
	if (l.errors == 0)
		return l.conf;
	conf_free(l.conf);
	return NULL;
}

static void
free_secret(char *s)
{
	if (s != NULL)
		explicit_bzero(s, strlen(s));
	free(s);
}

void
conf_free(struct conf *c)
{
	size_t i;

	for (i = 0; i < NOPTIONS; i++)
		if (options[i].kind == STRING)
			free(*(char **)(void *)((char *)c + options[i].offset));
	for (i = 0; i < c->nlisten; i++) {
		free(c->listen[i].host);
		free(c->listen[i].path);
	}
	for (i = 0; i < c->ndatabases; i++) {
		free(c->databases[i].name);
		free(c->databases[i].host);
		free(c->databases[i].dbname);
		free(c->databases[i].connect_query);
		free(c->databases[i].user);
		free_secret(c->databases[i].password);
	}
	for (i = 0; i < c->nusers; i++) {
		free(c->users[i].name);
		free_secret(c->users[i].password);
	}
	free(c->listen);
	free(c->databases);
	free(c->users);
	free(c->path);
	free(c);
}

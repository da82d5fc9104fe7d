/*
 * session: see session.h. Called by the relay for texts, answers and the end of transactions, by
 * client.c and backend.c at the ends of sessions.
 *
 * While they are linked, client and backend have the same settings: the client's were brought over
 * when they met. So what is learned at a transaction's end holds for both; only RESET parts them,
 * since it gives the client back what it logged in with.
 */
#include "worker/session.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <bsd/string.h>

#include "conf/hint.h"
#include "conf/log.h"
#include "proto/sql.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/objects.h"

bool
session_watches(const struct client *c)
{
	return client_mode(c) != POOL_SESSION && c->pool->session_state != SESSION_IGNORE;
}

/* --- notes ------------------------------------------------------------------------------------ */

static void
change(struct session_note *n, const char *name, char how, const char *value)
{
	size_t len = value == NULL ? 0 : strlen(value);
	char *text = malloc(len + 2);

	if (text == NULL)
		fatal("settings");
	text[0] = how;
	if (len > 0)
		memcpy(text + 1, value, len);
	text[len + 1] = '\0';
	n->changes = gucs_put(n->changes, name, text);
	free(text);
}

/*
 * Are these no settings that could be brought over? A transaction's own end with it, but after SET
 * TRANSACTION the server calls them the session's (pg_settings.source); setting one once more in
 * the query of a replay fails. What `seed` was given is not told by anybody.
 */
static bool
stays_behind(const char *name)
{
	return strcmp(name, "seed") == 0 || strcmp(name, "transaction_isolation") == 0 ||
	       strcmp(name, "transaction_read_only") == 0 ||
	       strcmp(name, "transaction_deferrable") == 0;
}

/* Anything may have happened. */
static void
note_anything(struct session_note *n)
{
	n->all = true;
	n->maybe |= PINS_ASKED;
	n->sure = false;
}

/* Of these, RESET ALL resets what there is. */
static void
change_all(struct session_note *n, const struct gucs *names)
{
	const char *name, *value;
	size_t at = 0;

	gucs_hold(names);
	while (gucs_next(names, &at, &name, &value))
		if (!params_is_identity(name))
			change(n, name, '-', NULL);
	gucs_drop(names);
}

static void
note_reset_all(struct session_note *n)
{
	n->reset_all = true;
	change_all(n, n->changes);
}

static void
note_discard(struct session_note *n, const char *what)
{
	if (what == NULL)
		return;
	if (strcmp(what, "all") == 0) {
		note_reset_all(n);
		change(n, "session_authorization", '-', NULL);
		change(n, "role", '-', NULL);
		n->ends |= PINS_ASKED | PIN(SEQUENCE) | PIN(SETTINGS);
	} else if (strncmp(what, "temp", 4) == 0) {
		n->ends |= PIN(TEMP);
	} else if (strcmp(what, "sequences") == 0) {
		n->ends |= PIN(SEQUENCE);
	}
}

static void
note_setting(struct session_note *n, const struct sql_facts *f, const struct sql_fact *fact)
{
	const char *name = sql_name(f, fact);

	n->touches = true;
	if (name != NULL && strcmp(name, "seed") == 0)
		n->pins |= PIN(SEED);
	if (fact->local || (name != NULL && stays_behind(name)))
		return;
	if (name == NULL) {
		n->all = true;
		n->sure = false;
	} else if (fact->effect == SQL_SETS) {
		if (strcmp(name, "session_authorization") == 0)
			change(n, "role", '-', NULL); /* goes with it */
		change(n, name, '=', sql_value(f, fact));
	} else if (fact->effect == SQL_RESETS) {
		if (strcmp(name, "session_authorization") == 0)
			change(n, "role", '-', NULL);
		change(n, name, '-', NULL);
	} else {
		change(n, name, '?', NULL);
		n->sure = false;
	}
}

static void
note_effect(struct session_note *n, const struct sql_facts *f, const struct sql_fact *fact)
{
	switch ((enum sql_effect)fact->effect) {
	case SQL_SETS:
	case SQL_RESETS:
	case SQL_UNSURE:
		note_setting(n, f, fact);
		break;
	case SQL_RESETS_ALL:
		note_reset_all(n);
		break;
	case SQL_DISCARDS:
		note_discard(n, sql_name(f, fact));
		break;
	case SQL_PREPARES:
		n->maybe |= PIN(PREPARED);
		n->names = true;
		break;
	case SQL_DEALLOCATES:
		n->frees |= PIN(PREPARED);
		n->names = n->names || sql_name(f, fact) != NULL;
		break;
	case SQL_EXECUTES: /* of what was prepared in a text of before */
		n->names = n->executes = true;
		note_anything(n);
		break;
	case SQL_DECLARES:
		n->maybe |= fact->flags & SQL_F_HOLD ? PIN(CURSORS) : 0;
		break;
	case SQL_CLOSES:
		n->frees |= PIN(CURSORS);
		break;
	case SQL_LISTENS:
		n->maybe |= PIN(LISTEN);
		break;
	case SQL_UNLISTENS:
		n->frees |= PIN(LISTEN);
		break;
	case SQL_LOADS:
		n->pins |= PIN(LOAD);
		break;
	case SQL_NOTHING:
	case SQL_SAVES:
		break;
	}
}

static void
note_flags(struct session_note *n, uint8_t class, uint32_t flags)
{
	n->maybe |= flags & SQL_F_ADVISORY ? PIN(LOCKS) : 0;
	n->frees |= flags & SQL_F_UNLOCK ? PIN(LOCKS) : 0;
	n->maybe |= (flags & SQL_F_TEMP) && !(flags & SQL_F_AT_COMMIT) ? PIN(TEMP) : 0;
	n->frees |= class == SQL_DROP ? PIN(TEMP) : 0;
	n->pins |= flags & SQL_F_SEED ? PIN(SEED) : 0;
	n->pins |= flags & SQL_F_SEQUENCE ? PIN(SEQUENCE) : 0;
	n->pins |= flags & SQL_F_KEEPS ? PIN(OTHER) : 0;
	if (class == SQL_DO || class == SQL_CALL)
		note_anything(n);
}

/* False: it does nothing to its session. */
static bool
note_facts(struct session_note *n, const struct sql_facts *f)
{
	uint32_t i;

	*n = (struct session_note){.sure = f->nstatements == 1};
	if (f->flags & SQL_F_LOST)
		note_anything(n);
	for (i = 0; i < f->n && (f->flags & SQL_F_LOST) == 0; i++) {
		note_flags(n, f->v[i].class, f->v[i].flags);
		note_effect(n, f, &f->v[i]);
	}
	n->touches |= n->all || n->reset_all;
	n->calls = (f->flags & SQL_F_CALLS) != 0;
	n->sure = n->sure && n->maybe == 0 && n->pins == 0 && n->frees == 0;
	return n->pins != 0 || n->maybe != 0 || n->frees != 0 || n->ends != 0 || n->all ||
	       n->touches || n->names || n->calls;
}

static unsigned int
scan_mode(const struct params *p)
{
	static const char *const trails[] = {
	    "SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004"};
	const char *encoding = p->v[params_index("client_encoding")];
	const char *strings = p->v[params_index("standard_conforming_strings")];
	unsigned int mode = 0;
	size_t i;

	if (strings != NULL && strcmp(strings, "off") == 0)
		mode |= SQL_BACKSLASH;
	if (encoding == NULL || strcmp(encoding, "UTF8") == 0)
		return mode;
	for (i = 0; i < sizeof(trails) / sizeof(trails[0]); i++)
		if (strcmp(encoding, trails[i]) == 0)
			mode |= SQL_ASCII_TRAILS;
	return mode;
}

static struct sql_scan *
scanner(void)
{
	static struct sql_scan *s;

	if (s != NULL)
		return s;
	s = malloc(sizeof(*s));
	if (s == NULL)
		fatal("scanner");
	sql_init(s);
	return s;
}

struct session_note *
session_note_of(const struct params *settings, const void *text, size_t len, enum sql_class *first)
{
	struct session_note *n, found;
	const struct sql_facts *f;

	sql_begin(scanner(), scan_mode(settings));
	sql_feed(scanner(), text, len);
	f = sql_end(scanner());
	*first = (f->flags & SQL_F_LOST) != 0 ? SQL_OTHER : f->class;
	if (!note_facts(&found, f))
		return NULL;
	n = malloc(sizeof(*n));
	if (n == NULL)
		fatal("settings");
	*n = found;
	return n;
}

void
session_note_free(struct session_note *n)
{
	if (n == NULL)
		return;
	gucs_drop(n->changes);
	free(n);
}

/* --- texts that run --------------------------------------------------------------------------- */

void
session_called(struct client *c)
{
	if (c->backend != NULL && session_watches(c))
		c->backend->params.caller = c->params.caller;
}

void
session_noted(struct client *c, const struct session_note *n)
{
	struct session_note *open = &c->session.open;
	const char *name, *how;
	size_t at = 0;

	c->session.texts++;
	if (n == NULL)
		return;
	if (n->calls)
		session_called(c);
	open->sure = n->sure && c->session.texts == 1;
	open->pins |= n->pins;
	open->maybe |=
	    n->maybe | (n->frees & c->session.pins) | (n->ends & PINS_ASKED & c->session.pins);
	open->ends |= n->ends;
	open->all |= n->all;
	if (n->touches && !open->touches)
		c->session.group = c->backend == NULL ? 0 : c->backend->expect.sent_ends;
	open->touches |= n->touches;
	open->reset_all |= n->reset_all;
	if (n->reset_all) { /* every setting the client has of its own may be gone */
		change_all(open, c->params.set);
		change_all(open, open->changes);
	}
	while (gucs_next(n->changes, &at, &name, &how))
		open->changes = gucs_put(open->changes, name, how);
	c->session.resets = c->session.resets || session_resets_login(c, n);
}

static void
noted_facts(struct client *c, const struct sql_facts *f)
{
	struct session_note n;

	if (f->n == 0 && (f->flags & (SQL_F_LOST | SQL_F_CALLS)) == 0) {
		c->session.texts++;
		return;
	}
	(void)note_facts(&n, f);
	session_noted(c, &n);
	gucs_drop(n.changes);
}

/* The last Query that was looked at. */
static struct {
	const struct client *client;
	const uint8_t *body;
	const struct sql_facts *facts; /* NULL = plain */
} looked;

/* Kept until another text is. */
COLD static const struct sql_facts *
scanned(struct client *c, const uint8_t *body, size_t len)
{
	sql_begin(scanner(), scan_mode(&c->params));
	sql_feed(scanner(), body, strnlen((const char *)body, len));
	return sql_end(scanner());
}

const struct sql_facts *
session_look(struct client *c, const uint8_t *body, size_t len)
{
	looked.client = c;
	looked.body = body;
	looked.facts = NULL;
	if (len > 0 && sql_is_plain(body, len - 1))
		return NULL;
	looked.facts = scanned(c, body, len);
	return looked.facts;
}

void
session_passed(struct client *c)
{
	looked.client = NULL; /* there will be another text in its place */
	c->session.texts++;
}

static bool
names_statements(const struct sql_facts *f)
{
	struct session_names names;

	session_names_in(f, &names);
	return names.n > 0;
}

bool
session_stands_alone(struct client *c, const uint8_t *text, size_t len)
{
	const struct sql_facts *f = session_look(c, text, len);

	if (f == NULL)
		return true;
	if (f->nstatements != 1 || (f->flags & (SQL_F_LOST | SQL_F_SEQUENCE)) != 0)
		return false;
	switch ((int)f->class) {
	case SQL_OTHER:
	case SQL_COPY:
	case SQL_DO:
	case SQL_CALL:
	case SQL_DISCARD:
	case SQL_PREPARE:
	case SQL_EXECUTE:
	case SQL_DEALLOCATE:
		return false;
	default:
		return !names_statements(f);
	}
}

/* A Query that is there whole. */
static void
whole_query(struct client *c, const uint8_t *body, size_t len)
{
	if (looked.client != c || looked.body != body)
		(void)session_look(c, body, len);
	if (looked.facts == NULL) {
		session_passed(c);
		return;
	}
	looked.client = NULL;
	noted_facts(c, looked.facts);
}

static bool
has_name(const struct session_names *names, const char *name)
{
	uint32_t i;

	for (i = 0; i < names->n; i++)
		if (strcmp(names->v[i], name) == 0)
			return true;
	return false;
}

void
session_names_in(const struct sql_facts *f, struct session_names *names)
{
	const char *name;
	uint32_t i;

	names->n = 0;
	for (i = 0; i < f->n && names->n < SESSION_NAMES; i++) {
		uint8_t effect = f->v[i].effect;
		name = sql_name(f, &f->v[i]);
		if (name == NULL ||
		    (effect != SQL_PREPARES && effect != SQL_EXECUTES && effect != SQL_DEALLOCATES))
			continue;
		if (has_name(names, name))
			continue; /* what is first decides whether there is a second */
		names->real[names->n] = effect != SQL_PREPARES;
		strlcpy(names->v[names->n++], name, sizeof(names->v[0]));
	}
}

uint32_t
session_names_of(
    const struct params *settings, const void *text, size_t len, struct session_names *names)
{
	const struct sql_facts *f;

	looked.client = NULL; /* its facts go */
	sql_begin(scanner(), scan_mode(settings));
	sql_feed(scanner(), text, len);
	f = sql_end(scanner());
	session_names_in(f, names);
	return f->max_param;
}

/* The text of a Parse begins behind its name. */
static const uint8_t *
behind_name(struct session_part *s, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *nul;

	if (!s->skip_name)
		return p;
	nul = memchr(p, 0, (size_t)(end - p));
	s->skip_name = nul == NULL;
	return nul == NULL ? end : nul + 1;
}

/* The next bytes of the text; false = it has ended. */
static bool
feed(struct session_part *s, struct sql_scan *scan, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *nul;

	p = behind_name(s, p, end);
	nul = memchr(p, 0, (size_t)(end - p));
	sql_feed(scan, p, (size_t)((nul == NULL ? end : nul) - p));
	return nul == NULL;
}

void
session_text(struct client *c, uint8_t type, const uint8_t *body, size_t avail, size_t len)
{
	struct session_part *s = &c->session;
	struct sql_scan *scan = scanner();

	if (type == 'Q' && avail == len) {
		whole_query(c, body, len);
		return;
	}
	s->skip_name = type == 'P';
	if (avail < len) { /* its rest comes later, and others' texts in between */
		scan = s->scan = malloc(sizeof(*scan));
		if (scan == NULL)
			fatal("scanner");
		sql_init(scan);
	}
	sql_begin(scan, scan_mode(&c->params));
	if (feed(s, scan, body, body + avail) && avail < len)
		return;
	noted_facts(c, sql_end(scan));
	if (s->scan != NULL)
		sql_fini(s->scan);
	free(s->scan);
	s->scan = NULL;
}

void
session_text_more(struct client *c, const uint8_t *bytes, size_t n, bool last)
{
	struct session_part *s = &c->session;

	if (s->scan == NULL || (feed(s, s->scan, bytes, bytes + n) && !last))
		return;
	noted_facts(c, sql_end(s->scan));
	sql_fini(s->scan);
	free(s->scan);
	s->scan = NULL;
}

/* --- the end of a transaction ----------------------------------------------------------------- */

static void
forget_open(struct session_part *s)
{
	gucs_drop(s->open.changes);
	memset(&s->open, 0, sizeof(s->open));
	s->texts = s->completes = s->errors = 0;
	s->ask = s->resets = false;
}

void
session_undone(struct client *c)
{
	forget_open(&c->session);
}

/* A setting is reset: the backend has its own again, the client what it came with. */
static void
was_reset(struct backend *b, const char *name)
{
	struct client *c = b->client;
	int i = params_index(name);

	if (i != -1) {
		b->params.apart &= (uint8_t) ~(1U << i);
		session_tell(c, i, c->session.start.v[i]);
		return;
	}
	params_put(&b->params, name, NULL);
	params_put(&c->params, name, gucs_get(c->session.start.set, name));
	session_tell_login(c, name);
}

static bool
same_value(const char *had, const char *value)
{
	return had != NULL && strcmp(had, value) == 0;
}

/* It may be that only who it was by SET ROLE may set it, so that it cannot be brought over. */
static bool
needs_role(const struct client *c, const char *name)
{
	return (params_has_identity(c->params.set) ||
		   params_has_identity(c->session.open.changes)) &&
	       !params_is_identity(name) && !gucs_anybody(name) && strchr(name, '.') == NULL;
}

static void
was_set(struct backend *b, const char *name, const char *value)
{
	struct client *c = b->client;

	if (params_index(name) != -1)
		return; /* the server has reported it */
	if (needs_role(c, name) && !same_value(gucs_get(c->params.set, name), value))
		session_set_pins(c, c->session.pins | PIN(SETTINGS));
	if (c->session.pins & PIN(SETTINGS))
		return; /* it stays there */
	params_put(&b->params, name, value);
	params_put(&b->client->params, name, value);
}

static void
all_was_reset(struct backend *b)
{
	struct client *c = b->client;
	const struct gucs *had = b->params.set, *was = gucs_hold(c->params.set);
	int i;

	for (i = 0; i < PARAMS_N; i++)
		session_tell(c, i, c->session.start.v[i]);
	session_tell_login(c, NULL);
	b->params.set = NULL;
	b->params.tainted = false;
	b->params.apart = 0;
	b->params.caller = 0;
	params_copy(&c->params, &c->session.start);
	params_keep_identity(&b->params, had);
	params_keep_identity(&c->params, was);
	gucs_drop(had);
	gucs_drop(was);
}

/* The only statement of the transaction, and it succeeded. */
static void
believe(struct backend *b)
{
	struct session_part *s = &b->client->session;
	const char *name, *how;
	size_t at = 0;

	if (s->open.reset_all)
		all_was_reset(b);
	while (gucs_next(s->open.changes, &at, &name, &how)) {
		if (s->open.reset_all && !params_is_identity(name))
			continue; /* reset with all */
		if (how[0] == '=')
			was_set(b, name, how + 1);
		else
			was_reset(b, name);
	}
}

/* Values that were set in the encoding of before cannot be brought over in another: it is known
 * what has become of the settings. */
static void
settle_encoding(struct client *c)
{
	const struct session_note *open = &c->session.open;

	if (gucs_get(open->changes, "client_encoding") != NULL && !gucs_is_ascii(c->params.set))
		session_set_pins(c, c->session.pins | PIN(SETTINGS));
}

/* One text is all that ran, it succeeded, and what it does is sure. */
static bool
is_sure(const struct session_part *s)
{
	return s->open.sure && s->texts == 1 && s->completes == 1 && s->errors == 0;
}

/* What nobody needs to be asked about. */
static void
settle_pins(struct client *c)
{
	struct session_part *s = &c->session;
	uint32_t pins = s->pins | s->open.pins;

	if (s->errors == 0)
		pins &= ~(s->open.ends & ~PINS_ASKED);
	if (is_sure(s))
		pins &= ~s->open.ends;
	if (c->pool->session_state == SESSION_PIN && (s->open.changes != NULL || s->open.all))
		pins |= PIN(SETTINGS);
	session_set_pins(c, pins);
}

/* What came with its login may have been reset. */
static bool
resets_login(const struct client *c)
{
	const struct session_note *open = &c->session.open;
	const char *name, *value, *how;
	size_t at = 0;
	int i;

	while (gucs_next(c->session.start.set, &at, &name, &value)) {
		how = gucs_get(open->changes, name);
		if (how != NULL ? how[0] != '=' : open->all)
			return true;
	}
	for (i = 0; i < PARAMS_N; i++)
		if (session_in_doubt(c->backend, i))
			return true;
	return false;
}

static bool
must_ask(const struct client *c)
{
	const struct session_note *open = &c->session.open;

	if (open->maybe != 0)
		return true;
	if (c->session.pins & PIN(SETTINGS)) /* the backend stays, and is reset when it goes */
		return resets_login(c);
	return open->all || open->changes != NULL || (open->reset_all && resets_login(c));
}

/* What is created goes to the first schema of the search_path. */
static bool
is_temporary(const char *path)
{
	static const char schema[] = "pg_temp";

	if (path == NULL)
		return false;
	path += strspn(path, " =\"");
	return strncmp(path, schema, sizeof(schema) - 1) == 0 &&
	       strchr("\", ", path[sizeof(schema) - 1]) != NULL;
}

static bool
creates_temporary(const struct client *c)
{
	static const char name[] = "search_path";

	return is_temporary(gucs_get(c->params.set, name)) ||
	       is_temporary(gucs_get(c->session.open.changes, name));
}

/* Its texts did something to the session, or may have. */
COLD static enum session_end
settle_noted(struct backend *b)
{
	struct client *c = b->client;
	struct session_part *s = &c->session;

	if (s->open.touches) /* what was prepared meanwhile, was under others */
		prepared_taint(&b->prepared, s->group);
	settle_pins(c);
	if (is_sure(s) && !s->ask) {
		believe(b);
		settle_encoding(c);
	} else if (must_ask(c)) {
		s->probing = true;
		session_probe(b);
		return SESSION_ASKING;
	}
	forget_open(s);
	return s->pins != 0 ? SESSION_KEEP : SESSION_RELEASE;
}

enum session_end
session_settle(struct backend *b)
{
	struct client *c = b->client;
	struct session_part *s = &c->session;

	if (unlikely(s->held) && s->pins == PIN(PREPARED)) {
		s->open.maybe |= PIN(PREPARED);
		s->ask = true;
	}
	if (unlikely(creates_temporary(c))) {
		s->open.maybe |= PIN(TEMP);
		s->ask = true;
	}
	if (unlikely(s->open.changes != NULL || s->open.pins != 0 || s->open.maybe != 0 ||
		     s->open.ends != 0 || s->open.touches))
		return settle_noted(b);
	s->texts = s->completes = s->errors = 0;
	return s->pins != 0 ? SESSION_KEEP : SESSION_RELEASE;
}

/* --- what the backend says (session_probe.c) ---------------------------------------------------
 */

void
session_learn(struct backend *b, const char *name, const char *value)
{
	struct client *c = b->client;

	if (stays_behind(name))
		return;
	if (strcmp(name, "role") == 0 && value != NULL && strcmp(value, "none") == 0)
		value = NULL;
	if (strcmp(name, "session_authorization") == 0 && value != NULL &&
	    strcmp(value, c->pool->user) == 0)
		value = NULL;
	if (value == NULL)
		was_reset(b, name);
	else
		was_set(b, name, value);
}

/* Does server_reset_query clear everything away that can be? */
static bool
resets_all(void)
{
	return strcasecmp(wk->conf->server_reset_query, "DISCARD ALL") == 0;
}

void
session_learn_name(struct backend *b, const char *name, size_t len)
{
	struct stmt_names *names = b->client->names;
	struct stmt_name *n = names == NULL ? NULL : name_find(names, name, len);

	if (n != NULL)
		n->listed = true;
	else
		b->dirty = true; /* of whoever */
}

/* The names of prepared statements on the backend are known. What is left behind is cleared away
 * with the rest. */
static uint32_t
learned_names(struct backend *b, uint32_t pins)
{
	struct client *c = b->client;
	uint32_t asked = c->session.open.maybe;
	uint32_t other = ((c->session.pins & ~asked) | (pins & asked)) & ~PIN(PREPARED);

	if ((asked & PIN(PREPARED)) == 0)
		return pins;
	if (names_listed_execute(c))
		pins |= PIN(PREPARED);
	c->session.held = (pins & PIN(PREPARED)) == 0 && other != 0 && names_own(c);
	if (c->session.held)
		pins |= PIN(PREPARED);
	if (names_listed(c, (pins & PIN(PREPARED)) != 0) && (pins & PIN(PREPARED)) == 0) {
		b->dirty = true;
		b->spoiled |= !resets_all();
	}
	return pins;
}

void
session_learned(struct backend *b, uint32_t pins)
{
	struct session_part *s = &b->client->session;

	pins = learned_names(b, pins);
	if (s->open.all)
		b->params.tainted = true; /* names nobody lists may be set too */
	session_set_pins(b->client, (s->pins & ~s->open.maybe) | (pins & s->open.maybe));
	settle_encoding(b->client);
	s->probing = false;
	forget_open(s);
}

/* It did not answer: what it has is unknown, so nobody else gets it. */
void
session_unknown(struct backend *b, const char *why)
{
	struct session_part *s = &b->client->session;

	log_warnx("backend %s/%s pid %d: its session's state is not known: %s", b->pool->db,
	    b->pool->user, (int)b->facts.pid, why);
	b->params.tainted = true;
	session_set_pins(b->client, s->pins | s->open.maybe);
	s->probing = false;
	forget_open(s);
}

/* --- the ends of sessions --------------------------------------------------------------------- */

void
session_begin(struct client *c)
{
	params_copy(&c->session.start, &c->params);
	c->params.apart = 0;
}

void
session_has(struct client *c, int i, const char *value)
{
	const char *start = c->session.start.v[i];
	uint8_t bit = (uint8_t)(1U << i);

	params_share(&c->params, i, value);
	if (start != NULL && start != value && session_watches(c))
		c->params.apart |= bit;
	else
		c->params.apart &= (uint8_t)~bit;
}

void
session_fini(struct client *c)
{
	struct session_part *s = &c->session;

	forget_open(s);
	params_fini(&s->start);
	gucs_drop(s->reports);
	gucs_drop(s->told_first);
	gucs_drop(s->told_last);
	if (s->scan != NULL)
		sql_fini(s->scan);
	free(s->scan);
	s->scan = NULL;
}

void
session_leave(struct client *c, struct backend *b)
{
	struct session_part *s = &c->session;
	uint32_t pins = s->pins | s->open.pins | s->open.maybe;

	if (s->open.changes != NULL || s->open.all || s->open.reset_all || (pins & PIN(SETTINGS)))
		b->params.tainted = true;
	if (s->open.touches)
		prepared_taint(&b->prepared, s->group);
	if ((pins & PINS_FOR_EVER) || (pins != 0 && !resets_all()))
		b->spoiled = true;
	if (pins != 0)
		b->dirty = true;
	session_set_pins(c, 0);
}

void
session_was_reset(struct backend *b)
{
	gucs_drop(b->params.set);
	b->params.set = NULL;
	b->params.tainted = !resets_all();
	b->params.apart = 0;
	b->params.caller = 0;
}

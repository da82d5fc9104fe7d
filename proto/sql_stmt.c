/*
 * sql_stmt: what a statement does to its session, from its tokens. See sql.h.
 *
 * `step` says which tokens matter next. STEP_ANY, the middle of an ordinary statement, is 0: the
 * lexer tests it and gives only known words, brackets, dots and quoted words. A statement becomes
 * facts at its end: those that set_config() made on the way, and one for its own form.
 */
#include "proto/sql.h"

#include <stdlib.h>
#include <string.h>

#include "proto/sql_words.h"

#define NAME_MAX_BYTES 63U /* PostgreSQL's NAMEDATALEN - 1 */
#define FACTS_MAX      100000U

enum step {
	STEP_ANY,
	STEP_START,
	STEP_SECOND,	/* PREPARE, COMMIT, ROLLBACK, RELEASE, DEALLOCATE: the word behind */
	STEP_NAME,	/* the name is next */
	STEP_SET,	/* behind SET */
	STEP_SPECIAL,	/* SET role, time, session, ...: a special form, or a name after all */
	STEP_NAME_MORE, /* . = TO */
	STEP_VALUE,
	STEP_MODES, /* SET SESSION CHARACTERISTICS AS TRANSACTION ... */
	STEP_ARGS   /* in set_config( */
};

enum arg_kind { ARG_NONE, ARG_TEXT, ARG_TRUE, ARG_FALSE, ARG_OTHER };

static void value_token(struct sql_scan *, const struct sql_lexeme *);

/* --- names and values in the arena ------------------------------------------------------------ */

static uint32_t
mark(const struct sql_scan *s)
{
	return s->facts.text_len;
}

static void
terminate(struct sql_scan *s)
{
	(void)sql_put(s, "", 1);
}

static void
put_lower(struct sql_scan *s, const uint8_t *text, uint32_t len)
{
	uint32_t i, from = mark(s);

	if (!sql_put(s, text, len))
		return;
	for (i = from; i < s->facts.text_len; i++)
		if (s->facts.text[i] >= 'A' && s->facts.text[i] <= 'Z')
			s->facts.text[i] = (char)(s->facts.text[i] | 0x20);
}

static void
put_text(struct sql_scan *s, const char *text)
{
	(void)sql_put(s, text, (uint32_t)strlen(text));
}

static uint32_t
put_string(struct sql_scan *s, const char *text)
{
	uint32_t at = mark(s);

	put_text(s, text);
	terminate(s);
	return at;
}

/* An identifier as the server keeps it: folded unless quoted, cut at a character's border. */
static void
take_name(struct sql_scan *s, const struct sql_lexeme *t)
{
	uint32_t len = t->len;

	if (len > NAME_MAX_BYTES) {
		len = NAME_MAX_BYTES;
		while (len > 0 && (t->text[len] & 0xC0) == 0x80)
			len--;
	}
	s->name = mark(s);
	s->quoted = t->kind == SQL_T_QUOTED;
	if (s->quoted)
		(void)sql_put(s, t->text, len);
	else
		put_lower(s, t->text, len);
	terminate(s);
	s->name_at = t->at;
	s->name_end = t->end;
}

bool
sql_setting_is_list(const char *name)
{
	static const char *const lists[] = {"search_path", "temp_tablespaces",
	    "session_preload_libraries", "local_preload_libraries", "shared_preload_libraries"};
	size_t i;

	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (strcmp(name, lists[i]) == 0)
			return true;
	return false;
}

/* --- facts ------------------------------------------------------------------------------------ */

static struct sql_fact *
push_fact(struct sql_scan *s, enum sql_effect effect)
{
	struct sql_facts *f = &s->facts;
	struct sql_fact *fact;

	if (f->n == f->room) {
		uint32_t room = f->room == 0 ? 8 : f->room * 2;
		fact = f->n >= FACTS_MAX ? NULL : reallocarray(f->v, room, sizeof(*fact));
		if (fact == NULL) {
			sql_lost(s);
			return NULL;
		}
		f->v = fact;
		f->room = room;
	}
	fact = &f->v[f->n++];
	*fact = (struct sql_fact){.index = s->index,
	    .class = s->class,
	    .effect = (uint8_t)effect,
	    .name = SQL_NONE,
	    .value = SQL_NONE,
	    .name_at = SQL_NONE,
	    .name_end = SQL_NONE,
	    .body_at = SQL_NONE};
	return fact;
}

static bool
always_fact(uint8_t class)
{
	return class == SQL_BEGIN || class == SQL_COMMIT || class == SQL_ROLLBACK ||
	       class == SQL_PREPARE_TRANSACTION || class == SQL_DO || class == SQL_CALL ||
	       class == SQL_DROP;
}

/* A set_config() whose call depends on more than the statement's being run. */
static void
doubt_calls(struct sql_scan *s)
{
	uint32_t i;

	if (s->class == SQL_SET || (s->class == SQL_SELECT && !s->complex))
		return;
	for (i = s->first_fact; i < s->facts.n; i++)
		s->facts.v[i].effect = SQL_UNSURE;
}

static void
end_value(struct sql_scan *s)
{
	if (s->step == STEP_VALUE && s->effect == SQL_SETS) {
		if (s->value == SQL_NONE || mark(s) == s->value)
			s->effect = s->value == SQL_NONE ? SQL_RESETS : s->effect;
		if (s->value != SQL_NONE)
			terminate(s);
		if (s->capture_bad)
			s->effect = SQL_UNSURE;
	} else if (s->step == STEP_NAME_MORE) {
		terminate(s);
	} else if (s->class == SQL_SET && s->effect == SQL_SETS && s->value == SQL_NONE) {
		s->effect = SQL_UNSURE; /* not understood, and perhaps no SET at all */
	}
}

static void
push_own_fact(struct sql_scan *s)
{
	bool needed = s->effect != SQL_NOTHING || always_fact(s->class);
	struct sql_fact *fact;

	if (!needed && ((s->flags & SQL_F_SESSION) == 0 || s->facts.n > s->first_fact))
		return;
	fact = push_fact(s, (enum sql_effect)s->effect);
	if (fact == NULL)
		return;
	fact->local = s->local;
	fact->quoted = s->quoted;
	fact->name = s->name;
	fact->value = s->effect == SQL_SETS ? s->value : SQL_NONE;
	fact->name_at = s->name_at;
	fact->name_end = s->name_end;
	fact->body_at = s->body_at;
}

void
sql_stmt_begin(struct sql_scan *s)
{
	s->step = STEP_START;
	s->class = SQL_OTHER;
	s->effect = SQL_NOTHING;
	s->prev = s->prev2 = s->after = 0;
	s->dot = s->schema = SQL_UNQUALIFIED;
	s->local = s->quoted = s->prev_word = s->capture = s->named = s->in_with = false;
	s->list = s->sign = s->complex = s->create_code = s->create_runs = s->capture_bad = false;
	s->ntokens = s->depth = s->body_depth = s->flags = s->columns_at = 0;
	s->first_fact = s->facts.n;
	s->name = s->value = s->name_at = s->name_end = s->body_at = SQL_NONE;
}

void
sql_stmt_end(struct sql_scan *s, uint32_t at)
{
	struct sql_facts *f = &s->facts;
	uint32_t i;

	(void)at;
	if (s->ntokens > 0) {
		end_value(s);
		doubt_calls(s);
		push_own_fact(s);
		for (i = s->first_fact; i < f->n; i++) {
			f->v[i].class = s->class;
			f->v[i].flags = s->flags;
			f->v[i].at = s->at;
			f->v[i].end = s->last_end;
		}
		if (s->index == 0)
			f->class = (enum sql_class)s->class;
		f->flags |= s->flags;
		s->index++;
	}
	sql_stmt_begin(s);
}

/* --- the first word --------------------------------------------------------------------------- */

static void
is(struct sql_scan *s, enum sql_class class, enum step step)
{
	s->class = (uint8_t) class;
	s->step = (uint8_t)step;
}

static void
named(struct sql_scan *s, enum sql_class class, enum sql_effect effect, enum step step)
{
	is(s, class, step);
	s->effect = (uint8_t)effect;
}

/* Statements whose first word says all, or all that matters. False: it is another. */
static bool
plain_start(struct sql_scan *s, enum sql_word w)
{
	static const uint8_t classes[SQL_W_COUNT] = {
	    [SQL_W_select] = SQL_SELECT,
	    [SQL_W_with] = SQL_WITH,
	    [SQL_W_values] = SQL_VALUES,
	    [SQL_W_table] = SQL_TABLE,
	    [SQL_W_insert] = SQL_INSERT,
	    [SQL_W_update] = SQL_UPDATE,
	    [SQL_W_delete] = SQL_DELETE,
	    [SQL_W_merge] = SQL_MERGE,
	    [SQL_W_copy] = SQL_COPY,
	    [SQL_W_begin] = SQL_BEGIN,
	    [SQL_W_start] = SQL_BEGIN,
	    [SQL_W_show] = SQL_SHOW,
	    [SQL_W_fetch] = SQL_FETCH,
	    [SQL_W_move] = SQL_FETCH,
	    [SQL_W_notify] = SQL_NOTIFY,
	    [SQL_W_lock] = SQL_LOCK,
	    [SQL_W_do] = SQL_DO,
	    [SQL_W_call] = SQL_CALL,
	    [SQL_W_explain] = SQL_EXPLAIN,
	    [SQL_W_create] = SQL_CREATE,
	    [SQL_W_alter] = SQL_ALTER,
	    [SQL_W_drop] = SQL_DROP,
	    [SQL_W_truncate] = SQL_TRUNCATE,
	    [SQL_W_vacuum] = SQL_MAINTAIN,
	    [SQL_W_analyze] = SQL_MAINTAIN,
	    [SQL_W_analyse] = SQL_MAINTAIN,
	    [SQL_W_cluster] = SQL_MAINTAIN,
	    [SQL_W_reindex] = SQL_MAINTAIN,
	    [SQL_W_refresh] = SQL_MAINTAIN,
	    [SQL_W_checkpoint] = SQL_MAINTAIN,
	};

	if (classes[w] == 0)
		return false;
	is(s, (enum sql_class)classes[w], STEP_ANY);
	if (s->class >= SQL_INSERT && s->class <= SQL_MERGE)
		s->flags |= SQL_F_WRITES;
	if (s->class == SQL_DO || s->class == SQL_CALL)
		s->flags |= SQL_F_CALLS;
	s->in_with = s->class == SQL_WITH;
	s->columns_at = s->class == SQL_COPY ? 1 : 0;
	return true;
}

static void
first_word(struct sql_scan *s, enum sql_word w)
{
	if (plain_start(s, w))
		return;
	if (w == SQL_W_commit || w == SQL_W_end)
		is(s, SQL_COMMIT, STEP_SECOND);
	else if (w == SQL_W_rollback || w == SQL_W_abort)
		is(s, SQL_ROLLBACK, STEP_SECOND);
	else if (w == SQL_W_savepoint)
		named(s, SQL_SAVEPOINT, SQL_SAVES, STEP_NAME);
	else if (w == SQL_W_release)
		named(s, SQL_RELEASE, SQL_SAVES, STEP_SECOND);
	else if (w == SQL_W_prepare)
		named(s, SQL_PREPARE, SQL_PREPARES, STEP_SECOND);
	else if (w == SQL_W_execute)
		named(s, SQL_EXECUTE, SQL_EXECUTES, STEP_NAME);
	else if (w == SQL_W_deallocate)
		named(s, SQL_DEALLOCATE, SQL_DEALLOCATES, STEP_SECOND);
	else if (w == SQL_W_declare)
		named(s, SQL_DECLARE, SQL_DECLARES, STEP_NAME);
	else if (w == SQL_W_close)
		named(s, SQL_CLOSE, SQL_CLOSES, STEP_NAME);
	else if (w == SQL_W_listen)
		named(s, SQL_LISTEN, SQL_LISTENS, STEP_NAME);
	else if (w == SQL_W_unlisten)
		named(s, SQL_UNLISTEN, SQL_UNLISTENS, STEP_NAME);
	else if (w == SQL_W_discard)
		named(s, SQL_DISCARD, SQL_DISCARDS, STEP_NAME);
	else if (w == SQL_W_load)
		named(s, SQL_LOAD, SQL_LOADS, STEP_ANY);
	else if (w == SQL_W_set)
		named(s, SQL_SET, SQL_SETS, STEP_SET);
	else if (w == SQL_W_reset)
		named(s, SQL_RESET, SQL_RESETS, STEP_SET);
	else
		s->step = STEP_ANY;
}

/* --- names and second words ------------------------------------------------------------------- */

/* EXECUTE FUNCTION f() of a trigger is no EXECUTE. */
static void
name_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	bool word = t->kind == SQL_T_WORD;

	s->step = STEP_ANY;
	if (s->class != SQL_EXECUTE && s->effect == SQL_EXECUTES && word &&
	    (t->word == SQL_W_function || t->word == SQL_W_procedure || t->word == SQL_W_on)) {
		s->effect = SQL_NOTHING;
		return;
	}
	if (word && t->word == SQL_W_all &&
	    (s->effect == SQL_DEALLOCATES || s->effect == SQL_CLOSES))
		return;
	if (t->kind == SQL_T_CHAR && t->c == '*' && s->effect == SQL_UNLISTENS)
		return;
	if (word || t->kind == SQL_T_QUOTED)
		take_name(s, t);
	else
		s->effect = SQL_NOTHING; /* an error, which the server will report */
}

static void
second_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	enum sql_word w = t->kind == SQL_T_WORD ? t->word : SQL_W_none;

	switch ((int)s->class) {
	case SQL_COMMIT:
		s->step = STEP_ANY;
		if (w == SQL_W_prepared)
			s->class = SQL_COMMIT_PREPARED;
		return;
	case SQL_ROLLBACK:
		if (w == SQL_W_work || w == SQL_W_transaction)
			return;
		s->step = STEP_ANY;
		if (w == SQL_W_prepared)
			s->class = SQL_COMMIT_PREPARED;
		else if (w == SQL_W_to)
			named(s, SQL_ROLLBACK_TO, SQL_SAVES, STEP_SECOND);
		return;
	case SQL_RELEASE:
	case SQL_ROLLBACK_TO:
		s->step = STEP_NAME;
		if (w != SQL_W_savepoint)
			name_token(s, t);
		return;
	case SQL_PREPARE:
		if (w == SQL_W_transaction)
			named(s, SQL_PREPARE_TRANSACTION, SQL_NOTHING, STEP_ANY);
		else
			name_token(s, t);
		return;
	default: /* DEALLOCATE */
		s->step = STEP_NAME;
		if (w != SQL_W_prepare)
			name_token(s, t);
		return;
	}
}

/* --- SET and RESET ---------------------------------------------------------------------------- */

static void
start_value(struct sql_scan *s, const char *name)
{
	if (name != NULL)
		s->name = put_string(s, name);
	s->list = (s->facts.flags & SQL_F_LOST) == 0 && s->name != SQL_NONE &&
		  sql_setting_is_list(s->facts.text + s->name);
	s->step = STEP_VALUE;
	s->value = SQL_NONE;
	s->capture = true;
}

static void
start_set_name(struct sql_scan *s, const uint8_t *text, uint32_t len)
{
	s->name = mark(s);
	put_lower(s, text, len);
	s->step = STEP_NAME_MORE;
}

/* Lasts to the transaction's end whatever was said. */
static void
settle_name(struct sql_scan *s)
{
	static const char *const local[] = {"transaction_isolation", "transaction_read_only",
	    "transaction_deferrable", "transaction_timeout_local"};
	size_t i;

	for (i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		if (strcmp(s->facts.text + s->name, local[i]) == 0)
			s->local = true;
}

static void
name_more(struct sql_scan *s, const struct sql_lexeme *t)
{
	if (t->kind == SQL_T_CHAR && t->c == '.') {
		put_text(s, ".");
		return;
	}
	if (s->dot != SQL_UNQUALIFIED && t->whole &&
	    (t->kind == SQL_T_WORD || t->kind == SQL_T_QUOTED)) {
		put_lower(s, t->text, t->len);
		return;
	}
	terminate(s);
	if (s->facts.flags & SQL_F_LOST) {
		s->step = STEP_ANY;
		return;
	}
	settle_name(s);
	if ((t->kind == SQL_T_CHAR && t->c == '=') ||
	    (t->kind == SQL_T_WORD && t->word == SQL_W_to)) {
		start_value(s, NULL);
		return;
	}
	s->effect = SQL_UNSURE; /* FROM CURRENT, or nonsense */
	s->step = STEP_ANY;
}

static bool
is_special(enum sql_word w)
{
	return w == SQL_W_session || w == SQL_W_local || w == SQL_W_time || w == SQL_W_role ||
	       w == SQL_W_names || w == SQL_W_schema || w == SQL_W_transaction || w == SQL_W_xml ||
	       w == SQL_W_constraints;
}

/* A value may follow at once: its setting's name must be in the arena before it. */
static void
special_start(struct sql_scan *s)
{
	s->step = STEP_SPECIAL;
	if (s->after == SQL_W_role)
		s->name = put_string(s, "role");
	else if (s->after == SQL_W_names)
		s->name = put_string(s, "client_encoding");
	else if (s->after == SQL_W_schema)
		s->name = put_string(s, "search_path");
	else
		return;
	s->capture = s->class == SQL_SET;
}

static void
set_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	if (t->kind == SQL_T_WORD && s->class == SQL_RESET && t->word == SQL_W_all) {
		named(s, SQL_RESET, SQL_RESETS_ALL, STEP_ANY);
	} else if (t->kind == SQL_T_WORD && is_special(t->word)) {
		s->after = (uint8_t)t->word;
		special_start(s);
	} else if ((t->kind == SQL_T_WORD || t->kind == SQL_T_QUOTED) && t->whole) {
		start_set_name(s, t->text, t->len);
	} else {
		s->effect = SQL_UNSURE;
		s->step = STEP_ANY;
	}
}

static const char *
special_word(enum sql_word w)
{
	switch ((int)w) {
	case SQL_W_session:
		return "session";
	case SQL_W_local:
		return "local";
	case SQL_W_time:
		return "time";
	case SQL_W_role:
		return "role";
	case SQL_W_names:
		return "names";
	case SQL_W_schema:
		return "schema";
	case SQL_W_transaction:
		return "transaction";
	case SQL_W_xml:
		return "xml";
	default:
		return "constraints";
	}
}

/* Behind SET SESSION and SET LOCAL: any form of SET. */
static void
scope_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	enum sql_word w = t->kind == SQL_T_WORD ? t->word : SQL_W_none;

	s->local = s->after == SQL_W_local;
	if (w == SQL_W_authorization) {
		s->name = put_string(s, "session_authorization");
		s->step = STEP_ANY;
		if (s->class == SQL_SET)
			start_value(s, NULL);
	} else if (w == SQL_W_characteristics) {
		s->effect = SQL_NOTHING;
		s->step = STEP_MODES;
	} else {
		set_token(s, t);
	}
}

static void
special_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	enum sql_word after = (enum sql_word)s->after;

	if ((t->kind == SQL_T_CHAR && (t->c == '.' || t->c == '=')) ||
	    (t->kind == SQL_T_WORD && t->word == SQL_W_to)) {
		const char *word = special_word(after);
		start_set_name(s, (const uint8_t *)word, (uint32_t)strlen(word));
		name_more(s, t);
		return;
	}
	switch ((int)after) {
	case SQL_W_session:
	case SQL_W_local:
		scope_token(s, t);
		return;
	case SQL_W_transaction:
	case SQL_W_constraints:
		named(s, SQL_SET_TRANSACTION, SQL_NOTHING, STEP_ANY);
		return;
	case SQL_W_time: /* ZONE */
		s->name = put_string(s, "timezone");
		s->step = STEP_ANY;
		if (s->class == SQL_SET)
			start_value(s, NULL);
		return;
	case SQL_W_xml: /* OPTION */
		start_value(s, "xmloption");
		return;
	default:
		start_value(s, NULL);
		break;
	}
	value_token(s, t);
}

static bool
plain_identifier(const char *text, uint32_t len)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || text[i] == '_' ||
			(i > 0 && text[i] >= '0' && text[i] <= '9')))
			return false;
	return len > 0;
}

/* The piece of the arena from `from` on becomes a quoted identifier, if it must be one. */
static void
quote_item(struct sql_scan *s, uint32_t from)
{
	uint32_t len = mark(s) - from, i, quotes = 0;
	char *text;

	if (!s->list || (s->facts.flags & SQL_F_LOST) ||
	    plain_identifier(s->facts.text + from, len))
		return;
	for (i = 0; i < len; i++)
		quotes += s->facts.text[from + i] == '"';
	for (i = 0; i < quotes + 2; i++)
		if (!sql_put(s, "\"", 1))
			return;
	text = s->facts.text + from;
	for (i = len; i-- > 0;) {
		text[i + 1 + quotes] = text[i];
		if (text[i] == '"')
			text[i + 1 + --quotes] = '"';
	}
	text[0] = '"';
}

static void
value_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	uint32_t from = t->kind == SQL_T_STRING ? s->string_text : mark(s);

	if (s->value == SQL_NONE) {
		if (t->kind == SQL_T_WORD &&
		    (t->word == SQL_W_default ||
			(s->after == SQL_W_time && t->word == SQL_W_local))) {
			s->effect = SQL_RESETS;
			s->step = STEP_ANY;
			return;
		}
		s->value = from;
	}
	switch (t->kind) {
	case SQL_T_WORD:
		if (t->word == SQL_W_interval || !t->whole)
			s->capture_bad = true;
		put_lower(s, t->text, t->len);
		quote_item(s, from);
		break;
	case SQL_T_QUOTED:
		(void)sql_put(s, t->text, t->len);
		quote_item(s, from);
		if (!t->whole)
			s->capture_bad = true;
		break;
	case SQL_T_STRING:
		if (t->joined && s->list)
			s->capture_bad = true;
		else
			quote_item(s, from);
		break;
	case SQL_T_NUMBER:
		(void)sql_put(s, t->text, t->len);
		if (!t->whole)
			s->capture_bad = true;
		break;
	case SQL_T_PARAM:
		s->capture_bad = true;
		break;
	case SQL_T_CHAR:
		if (t->c == ',')
			put_text(s, ", ");
		else if (t->c == '-' || t->c == '.')
			(void)sql_put(s, &t->c, 1);
		else if (t->c != '+')
			s->capture_bad = true;
		break;
	}
}

/* --- SET SESSION CHARACTERISTICS -------------------------------------------------------------- */

static void
push_setting(struct sql_scan *s, const char *name, const char *value)
{
	uint32_t n = put_string(s, name), v = put_string(s, value);
	struct sql_fact *fact = push_fact(s, SQL_SETS);

	if (fact != NULL) {
		fact->name = n;
		fact->value = v;
	}
}

static void
modes_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	enum sql_word w = t->kind == SQL_T_WORD ? t->word : SQL_W_none;
	enum sql_word prev = (enum sql_word)s->prev;

	switch ((int)w) {
	case SQL_W_serializable:
		push_setting(s, "default_transaction_isolation", "serializable");
		break;
	case SQL_W_committed:
		push_setting(s, "default_transaction_isolation", "read committed");
		break;
	case SQL_W_uncommitted:
		push_setting(s, "default_transaction_isolation", "read uncommitted");
		break;
	case SQL_W_repeatable:
		push_setting(s, "default_transaction_isolation", "repeatable read");
		break;
	case SQL_W_only:
		push_setting(s, "default_transaction_read_only", "on");
		break;
	case SQL_W_write:
		push_setting(s, "default_transaction_read_only", "off");
		break;
	case SQL_W_deferrable:
		push_setting(s, "default_transaction_deferrable", prev == SQL_W_not ? "off" : "on");
		break;
	default:
		break;
	}
}

/* --- functions -------------------------------------------------------------------------------- */

static uint32_t
function_flags(enum sql_word w)
{
	switch ((int)w) {
	case SQL_W_pg_advisory_lock:
	case SQL_W_pg_advisory_lock_shared:
	case SQL_W_pg_try_advisory_lock:
	case SQL_W_pg_try_advisory_lock_shared:
		return SQL_F_ADVISORY;
	case SQL_W_pg_advisory_unlock:
	case SQL_W_pg_advisory_unlock_shared:
	case SQL_W_pg_advisory_unlock_all:
		return SQL_F_UNLOCK;
	case SQL_W_setseed:
		return SQL_F_SEED;
	case SQL_W_currval:
	case SQL_W_lastval:
		return SQL_F_SEQUENCE;
	case SQL_W_set_config:
		return SQL_F_SETTINGS;
	default:
		return SQL_F_KEEPS;
	}
}

/* Behind a name: what is in the brackets are names of columns. INSERT INTO t (..., COPY t (...,
 * WITH t (..., AS t (... */
static bool
names_columns(struct sql_scan *s)
{
	if (s->columns_at == s->depth) {
		s->columns_at = 0;
		return true;
	}
	return s->prev2 == SQL_W_as || (s->in_with && s->depth == 1);
}

/* Key words with brackets behind them: MERGE ... THEN INSERT (..., UPDATE ... SET (... */
static bool
is_clause(const struct sql_scan *s, enum sql_word w)
{
	return (w == SQL_W_insert && s->class == SQL_MERGE) ||
	       (w == SQL_W_set && s->class >= SQL_INSERT && s->class <= SQL_MERGE);
}

/*
 * May the function of this name set something? What CREATE defines is not run, but by AS; what
 * VACUUM and the like call is undone by the server. Whoever gives a function of his own the name
 * of one of PostgreSQL's, for other types, and sets something there, is not found out.
 */
static bool
may_set(struct sql_scan *s, enum sql_word w)
{
	if (s->class == SQL_MAINTAIN || (s->class == SQL_CREATE && !s->create_runs) ||
	    names_columns(s))
		return false;
	if (s->schema == SQL_OF_CATALOG)
		return sql_word_role(w) == 'C';
	return s->schema == SQL_OF_OTHER || (sql_word_role(w) != 'H' && !is_clause(s, w));
}

/* An opening bracket: perhaps behind a function's name. */
static void
open_bracket(struct sql_scan *s)
{
	enum sql_word w = (enum sql_word)s->prev;

	s->depth++;
	if (!s->prev_word)
		return;
	if (sql_word_role(w) != 'F') {
		if (may_set(s, w))
			s->flags |= SQL_F_CALLS;
		return;
	}
	if (s->class == SQL_CREATE)
		return;
	s->flags |= function_flags(w);
	if (w != SQL_W_set_config || s->step != STEP_ANY)
		return;
	s->step = STEP_ARGS;
	s->arg = 0;
	s->arg_depth = s->depth;
	memset(s->arg_kind, ARG_NONE, sizeof(s->arg_kind));
	s->capture = true;
	s->capture_bad = false;
}

static bool
is_one_of(const char *text, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcasecmp(text, *list) == 0)
			return true;
	return false;
}

/* set_config()'s third argument. */
static enum arg_kind
truth(const struct sql_scan *s)
{
	static const char *const yes[] = {"t", "true", "y", "yes", "on", "1", NULL};
	static const char *const no[] = {"f", "false", "n", "no", "off", "0", NULL};
	const char *text = s->facts.text + s->arg_text[2];

	if (s->arg_kind[2] != ARG_TEXT)
		return (enum arg_kind)s->arg_kind[2];
	return is_one_of(text, yes) ? ARG_TRUE : is_one_of(text, no) ? ARG_FALSE : ARG_OTHER;
}

static void
end_args(struct sql_scan *s)
{
	bool name = s->arg_kind[0] == ARG_TEXT, value = s->arg_kind[1] == ARG_TEXT;
	enum arg_kind local;
	struct sql_fact *fact;
	char *p;

	s->step = STEP_ANY;
	s->capture = false;
	if (s->arg != 2 || (s->facts.flags & SQL_F_LOST))
		return; /* an error */
	local = truth(s);
	if (name)
		for (p = s->facts.text + s->arg_text[0]; *p != '\0'; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p | 0x20);
	fact = push_fact(s, name && value && local != ARG_OTHER ? SQL_SETS : SQL_UNSURE);
	if (fact == NULL)
		return;
	fact->local = local == ARG_TRUE;
	fact->name = name ? s->arg_text[0] : SQL_NONE;
	fact->value = value && fact->effect == SQL_SETS ? s->arg_text[1] : SQL_NONE;
}

/* A literal, perhaps with a cast, is understood; everything else makes the argument unknown. */
static void
args_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	uint8_t *kind = &s->arg_kind[s->arg < 3 ? s->arg : 2];

	if (t->kind == SQL_T_CHAR && s->depth == s->arg_depth) {
		if (t->c == ',') {
			s->arg++;
			return;
		}
		if (t->c == ':')
			return;
	}
	if (t->kind == SQL_T_STRING && *kind == ARG_NONE && !s->capture_bad) {
		*kind = ARG_TEXT;
		s->arg_text[s->arg < 3 ? s->arg : 2] = s->string_text;
		terminate(s);
	} else if (t->kind == SQL_T_WORD && *kind == ARG_NONE && s->arg == 2 &&
		   (t->word == SQL_W_true || t->word == SQL_W_false)) {
		*kind = t->word == SQL_W_true ? ARG_TRUE : ARG_FALSE;
	} else if (t->kind != SQL_T_WORD || s->sign == false) {
		*kind = ARG_OTHER;
		s->capture_bad = false;
	}
}

/* --- the middle of a statement ---------------------------------------------------------------- */

static bool
in_list(uint8_t w, enum sql_word a, enum sql_word b, enum sql_word c, enum sql_word d)
{
	return w == (uint8_t)a || w == (uint8_t)b || w == (uint8_t)c || w == (uint8_t)d;
}

static bool
reads(const struct sql_scan *s)
{
	return s->class == SQL_SELECT || s->class == SQL_WITH || s->class == SQL_EXPLAIN;
}

static void
create_word(struct sql_scan *s, enum sql_word w)
{
	if (w == SQL_W_as)
		s->create_runs = true;
	else if (w == SQL_W_function || w == SQL_W_procedure)
		s->create_code |=
		    in_list(s->prev, SQL_W_create, SQL_W_replace, SQL_W_create, SQL_W_create);
	else if (w == SQL_W_atomic && s->create_code && s->prev == SQL_W_begin && s->depth == 0)
		s->body_depth = s->body_depth == 0 ? 1 : s->body_depth;
	else if (w == SQL_W_case && s->body_depth > 0 && s->depth == 0)
		s->body_depth++;
	else if (w == SQL_W_end && s->body_depth > 0 && s->depth == 0)
		s->body_depth--;
}

/* What follows is no name of a table any more, or the WITH list is over. */
static void
columns_end(struct sql_scan *s)
{
	if (s->columns_at == s->depth + 1)
		s->columns_at = 0;
	if (s->depth == 0)
		s->in_with = false;
}

void
sql_stmt_word(struct sql_scan *s, enum sql_word w)
{
	switch ((int)w) {
	case SQL_W_select:
	case SQL_W_values:
	case SQL_W_table:
	case SQL_W_default:
	case SQL_W_with:
	case SQL_W_order:
	case SQL_W_fetch:
		columns_end(s);
		break;
	case SQL_W_into:
		if (s->prev == SQL_W_insert)
			s->columns_at = s->depth + 1;
		break;
	case SQL_W_insert:
	case SQL_W_update:
	case SQL_W_delete:
	case SQL_W_merge:
		columns_end(s);
		s->flags |= SQL_F_WRITES;
		break;
	case SQL_W_share:
		if (s->prev == SQL_W_for || s->prev == SQL_W_key)
			s->flags |= SQL_F_WRITES;
		break;
	case SQL_W_temp:
	case SQL_W_temporary:
		if (s->class == SQL_CREATE
			? in_list(s->prev, SQL_W_create, SQL_W_local, SQL_W_global, SQL_W_replace)
			: reads(s) &&
			      in_list(s->prev, SQL_W_into, SQL_W_local, SQL_W_global, SQL_W_into))
			s->flags |= SQL_F_TEMP;
		break;
	case SQL_W_pg_temp:
		if (s->class == SQL_CREATE || (reads(s) && s->prev == SQL_W_into))
			s->flags |= SQL_F_TEMP;
		break;
	case SQL_W_drop:
		if (s->prev == SQL_W_commit)
			s->flags |= SQL_F_AT_COMMIT;
		break;
	case SQL_W_hold:
		if (s->class == SQL_DECLARE && s->prev == SQL_W_with)
			s->flags |= SQL_F_HOLD;
		break;
	case SQL_W_chain:
		if (s->prev == SQL_W_and && (s->class == SQL_COMMIT || s->class == SQL_ROLLBACK))
			s->flags |= SQL_F_CHAIN;
		break;
	case SQL_W_pg_settings:
		if (s->flags & SQL_F_WRITES) {
			s->flags |= SQL_F_SETTINGS;
			s->effect = SQL_UNSURE;
		}
		break;
	case SQL_W_execute:
		if ((s->class == SQL_EXPLAIN || s->class == SQL_CREATE) && s->depth == 0)
			named(s, (enum sql_class)s->class, SQL_EXECUTES, STEP_NAME);
		break;
	case SQL_W_as:
		if (s->effect == SQL_PREPARES && s->body_at == SQL_NONE && s->depth == 0)
			s->body_at = s->last_end;
		break;
	case SQL_W_limit:
	case SQL_W_offset:
		columns_end(s);
		s->complex = true;
		break;
	case SQL_W_case:
	case SQL_W_from:
	case SQL_W_where:
	case SQL_W_union:
	case SQL_W_except:
	case SQL_W_intersect:
	case SQL_W_having:
	case SQL_W_and:
	case SQL_W_or:
	case SQL_W_coalesce:
	case SQL_W_nullif:
		s->complex = true;
		break;
	default:
		break;
	}
	if (s->class == SQL_CREATE)
		create_word(s, w);
}

void
sql_stmt_quoted(struct sql_scan *s, enum sql_word w)
{
	if (w == SQL_W_pg_temp || w == SQL_W_pg_settings)
		sql_stmt_word(s, w);
}

/* The name of a quoted word, if it is one of ours. */
static enum sql_word
quoted_name(const struct sql_lexeme *t)
{
	uint32_t i;

	for (i = 0; i < t->len; i++)
		if (t->text[i] >= 'A' && t->text[i] <= 'Z')
			return SQL_W_none;
	return t->whole ? sql_word_find(t->text, t->len) : SQL_W_none;
}

static void
any_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	if (t->kind == SQL_T_WORD && t->word > SQL_W_builtin)
		sql_stmt_word(s, t->word);
	else if (t->kind == SQL_T_QUOTED)
		sql_stmt_quoted(s, quoted_name(t));
}

/* --- tokens ----------------------------------------------------------------------------------- */

static void
start_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	if (t->kind == SQL_T_CHAR && t->c == '(')
		return; /* (SELECT ...) */
	if (t->kind == SQL_T_WORD)
		first_word(s, t->word);
	else
		s->step = STEP_ANY;
}

static void
step_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	switch ((enum step)s->step) {
	case STEP_ANY:
		any_token(s, t);
		break;
	case STEP_START:
		start_token(s, t);
		break;
	case STEP_SECOND:
		second_token(s, t);
		break;
	case STEP_NAME:
		name_token(s, t);
		break;
	case STEP_SET:
		set_token(s, t);
		break;
	case STEP_SPECIAL:
		special_token(s, t);
		break;
	case STEP_NAME_MORE:
		name_more(s, t);
		break;
	case STEP_VALUE:
		value_token(s, t);
		break;
	case STEP_MODES:
		modes_token(s, t);
		break;
	case STEP_ARGS:
		args_token(s, t);
		break;
	}
}

static void
remember(struct sql_scan *s, const struct sql_lexeme *t)
{
	enum sql_word w = SQL_W_none;

	if (t->kind == SQL_T_WORD)
		w = t->word;
	else if (t->kind == SQL_T_QUOTED)
		w = quoted_name(t);
	s->schema = s->dot;
	s->dot = t->kind == SQL_T_CHAR && t->c == '.' ? sql_schema_of(s) : SQL_UNQUALIFIED;
	s->prev_word = t->kind == SQL_T_WORD || t->kind == SQL_T_QUOTED;
	s->prev2 = s->prev_word ? s->prev : (uint8_t)SQL_W_none;
	s->prev = (uint8_t)w;
	s->sign = t->kind == SQL_T_CHAR && t->c == ':';
}

void
sql_stmt_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	uint8_t c = t->kind == SQL_T_CHAR ? t->c : 0;

	if (c == ';' && s->depth == 0 && s->body_depth == 0) {
		sql_stmt_end(s, t->at);
		return;
	}
	if (s->ntokens++ == 0)
		s->at = t->at;
	if (c == '(') {
		open_bracket(s);
		if (s->step == STEP_ARGS && s->depth == s->arg_depth) {
			remember(s, t);
			return;
		}
	} else if (c == ')' && s->depth > 0) {
		if (s->step == STEP_ARGS && s->depth == s->arg_depth) {
			s->depth--;
			end_args(s);
			remember(s, t);
			return;
		}
		s->depth--;
	}
	step_token(s, t);
	remember(s, t);
}

/* --- names of classes ------------------------------------------------------------------------- */

const char *sql_class_name(enum sql_class class)
{
	static const char *const names[SQL_CLASSES] = {"other", "select", "with", "values", "table",
	    "insert", "update", "delete", "merge", "copy", "begin", "commit", "rollback",
	    "savepoint", "release", "rollback to", "prepare transaction", "commit prepared", "set",
	    "set transaction", "reset", "show", "discard", "prepare", "execute", "deallocate",
	    "declare", "fetch", "close", "listen", "unlisten", "notify", "lock", "do", "call",
	    "load", "explain", "create", "alter", "drop", "truncate", "maintain"};

	return (unsigned int)class < SQL_CLASSES ? names[class] : "?";
}

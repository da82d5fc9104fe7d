/*
 * sql_set: SET and RESET, token by token, in all their forms, and the value as set_config() takes
 * it. Called by sql_stmt.c.
 */
#include "proto/sql_stmt.h"

#include "proto/sql.h"

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

/* --- the name --------------------------------------------------------------------------------- */

static void
start_value(struct sql_scan *s, const char *name)
{
	if (name != NULL)
		s->name = sql_put_string(s, name);
	s->list = (s->facts.flags & SQL_F_LOST) == 0 && s->name != SQL_NONE &&
		  sql_setting_is_list(s->facts.text + s->name);
	s->step = STEP_VALUE;
	s->value = SQL_NONE;
	s->capture = true;
}

static void
start_set_name(struct sql_scan *s, const uint8_t *text, uint32_t len)
{
	s->name = sql_mark(s);
	sql_put_lower(s, text, len);
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

void
sql_set_name_more(struct sql_scan *s, const struct sql_lexeme *t)
{
	if (t->kind == SQL_T_CHAR && t->c == '.') {
		sql_put_text(s, ".");
		return;
	}
	if (s->dot != SQL_UNQUALIFIED && t->whole &&
	    (t->kind == SQL_T_WORD || t->kind == SQL_T_QUOTED)) {
		sql_put_lower(s, t->text, t->len);
		return;
	}
	sql_terminate(s);
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
		s->name = sql_put_string(s, "role");
	else if (s->after == SQL_W_names)
		s->name = sql_put_string(s, "client_encoding");
	else if (s->after == SQL_W_schema)
		s->name = sql_put_string(s, "search_path");
	else
		return;
	s->capture = s->class == SQL_SET;
}

void
sql_set_token(struct sql_scan *s, const struct sql_lexeme *t)
{
	if (t->kind == SQL_T_WORD && s->class == SQL_RESET && t->word == SQL_W_all) {
		sql_stmt_named(s, SQL_RESET, SQL_RESETS_ALL, STEP_ANY);
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
		s->name = sql_put_string(s, "session_authorization");
		s->step = STEP_ANY;
		if (s->class == SQL_SET)
			start_value(s, NULL);
	} else if (w == SQL_W_characteristics) {
		s->effect = SQL_NOTHING;
		s->step = STEP_MODES;
	} else {
		sql_set_token(s, t);
	}
}

void
sql_set_special(struct sql_scan *s, const struct sql_lexeme *t)
{
	enum sql_word after = (enum sql_word)s->after;

	if ((t->kind == SQL_T_CHAR && (t->c == '.' || t->c == '=')) ||
	    (t->kind == SQL_T_WORD && t->word == SQL_W_to)) {
		const char *word = special_word(after);
		start_set_name(s, (const uint8_t *)word, (uint32_t)strlen(word));
		sql_set_name_more(s, t);
		return;
	}
	switch ((int)after) {
	case SQL_W_session:
	case SQL_W_local:
		scope_token(s, t);
		return;
	case SQL_W_transaction:
	case SQL_W_constraints:
		sql_stmt_named(s, SQL_SET_TRANSACTION, SQL_NOTHING, STEP_ANY);
		return;
	case SQL_W_time: /* ZONE */
		s->name = sql_put_string(s, "timezone");
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
	sql_set_value(s, t);
}

/* --- the value -------------------------------------------------------------------------------- */

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
	uint32_t len = sql_mark(s) - from, i, quotes = 0;
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

void
sql_set_value(struct sql_scan *s, const struct sql_lexeme *t)
{
	uint32_t from = t->kind == SQL_T_STRING ? s->string_text : sql_mark(s);

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
		sql_put_lower(s, t->text, t->len);
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
			sql_put_text(s, ", ");
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
	uint32_t n = sql_put_string(s, name), v = sql_put_string(s, value);
	struct sql_fact *fact = sql_push_fact(s, SQL_SETS);

	if (fact != NULL) {
		fact->name = n;
		fact->value = v;
	}
}

void
sql_set_modes(struct sql_scan *s, const struct sql_lexeme *t)
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

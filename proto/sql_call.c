/*
 * sql_call: functions that a statement calls: those that it is known what they do to the session,
 * and set_config() with its arguments. Called by sql_stmt.c.
 */
#include "proto/sql_stmt.h"

#include <strings.h>

enum arg_kind { ARG_NONE, ARG_TEXT, ARG_TRUE, ARG_FALSE, ARG_OTHER };

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
void
sql_call_open(struct sql_scan *s)
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

/* --- the arguments of set_config() ------------------------------------------------------------ */

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

void
sql_call_end(struct sql_scan *s)
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
			if (sql_is_capital((uint8_t)*p))
				*p = (char)(*p | 0x20);
	fact = sql_push_fact(s, name && value && local != ARG_OTHER ? SQL_SETS : SQL_UNSURE);
	if (fact == NULL)
		return;
	fact->local = local == ARG_TRUE;
	fact->name = name ? s->arg_text[0] : SQL_NONE;
	fact->value = value && fact->effect == SQL_SETS ? s->arg_text[1] : SQL_NONE;
}

/* A literal, perhaps with a cast, is understood; everything else makes the argument unknown. */
void
sql_call_args(struct sql_scan *s, const struct sql_lexeme *t)
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
		sql_terminate(s);
	} else if (t->kind == SQL_T_WORD && *kind == ARG_NONE && s->arg == 2 &&
		   (t->word == SQL_W_true || t->word == SQL_W_false)) {
		*kind = t->word == SQL_W_true ? ARG_TRUE : ARG_FALSE;
	} else if (t->kind != SQL_T_WORD || s->sign == false) {
		*kind = ARG_OTHER;
		s->capture_bad = false;
	}
}

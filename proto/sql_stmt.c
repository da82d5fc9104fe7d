/*
 * sql_stmt: what a statement does to its session, from its tokens. See sql.h.
 *
 * `step` says which tokens matter next. STEP_ANY, the middle of an ordinary statement, is 0: the
 * lexer tests it and gives only known words, brackets, dots and quoted words. A statement becomes
 * facts at its end: those that set_config() made on the way, and one for its own form. SET and
 * RESET are in sql_set.c.
 */
#include "proto/sql.h"

#include <stdlib.h>
#include <string.h>

#include "proto/sql_stmt.h"

#define NAME_MAX_BYTES 63U /* PostgreSQL's NAMEDATALEN - 1 */
#define FACTS_MAX      100000U

/* --- names and values in the arena ------------------------------------------------------------ */

void
sql_put_lower(struct sql_scan *s, const uint8_t *text, uint32_t len)
{
	uint32_t i, from = sql_mark(s);

	if (!sql_put(s, text, len))
		return;
	for (i = from; i < s->facts.text_len; i++)
		if (sql_is_capital((uint8_t)s->facts.text[i]))
			s->facts.text[i] = (char)(s->facts.text[i] | 0x20);
}

uint32_t
sql_put_string(struct sql_scan *s, const char *text)
{
	uint32_t at = sql_mark(s);

	sql_put_text(s, text);
	sql_terminate(s);
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
	s->name = sql_mark(s);
	s->quoted = t->kind == SQL_T_QUOTED;
	if (s->quoted)
		(void)sql_put(s, t->text, len);
	else
		sql_put_lower(s, t->text, len);
	sql_terminate(s);
	s->name_at = t->at;
	s->name_end = t->end;
}

/* --- facts ------------------------------------------------------------------------------------ */

struct sql_fact *
sql_push_fact(struct sql_scan *s, enum sql_effect effect)
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
		if (s->value == SQL_NONE || sql_mark(s) == s->value)
			s->effect = s->value == SQL_NONE ? SQL_RESETS : s->effect;
		if (s->value != SQL_NONE)
			sql_terminate(s);
		if (s->capture_bad)
			s->effect = SQL_UNSURE;
	} else if (s->step == STEP_NAME_MORE) {
		sql_terminate(s);
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
	fact = sql_push_fact(s, (enum sql_effect)s->effect);
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

void
sql_stmt_named(struct sql_scan *s, enum sql_class class, enum sql_effect effect, enum step step)
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
		sql_stmt_named(s, SQL_SAVEPOINT, SQL_SAVES, STEP_NAME);
	else if (w == SQL_W_release)
		sql_stmt_named(s, SQL_RELEASE, SQL_SAVES, STEP_SECOND);
	else if (w == SQL_W_prepare)
		sql_stmt_named(s, SQL_PREPARE, SQL_PREPARES, STEP_SECOND);
	else if (w == SQL_W_execute)
		sql_stmt_named(s, SQL_EXECUTE, SQL_EXECUTES, STEP_NAME);
	else if (w == SQL_W_deallocate)
		sql_stmt_named(s, SQL_DEALLOCATE, SQL_DEALLOCATES, STEP_SECOND);
	else if (w == SQL_W_declare)
		sql_stmt_named(s, SQL_DECLARE, SQL_DECLARES, STEP_NAME);
	else if (w == SQL_W_close)
		sql_stmt_named(s, SQL_CLOSE, SQL_CLOSES, STEP_NAME);
	else if (w == SQL_W_listen)
		sql_stmt_named(s, SQL_LISTEN, SQL_LISTENS, STEP_NAME);
	else if (w == SQL_W_unlisten)
		sql_stmt_named(s, SQL_UNLISTEN, SQL_UNLISTENS, STEP_NAME);
	else if (w == SQL_W_discard)
		sql_stmt_named(s, SQL_DISCARD, SQL_DISCARDS, STEP_NAME);
	else if (w == SQL_W_load)
		sql_stmt_named(s, SQL_LOAD, SQL_LOADS, STEP_ANY);
	else if (w == SQL_W_set)
		sql_stmt_named(s, SQL_SET, SQL_SETS, STEP_SET);
	else if (w == SQL_W_reset)
		sql_stmt_named(s, SQL_RESET, SQL_RESETS, STEP_SET);
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
			sql_stmt_named(s, SQL_ROLLBACK_TO, SQL_SAVES, STEP_SECOND);
		return;
	case SQL_RELEASE:
	case SQL_ROLLBACK_TO:
		s->step = STEP_NAME;
		if (w != SQL_W_savepoint)
			name_token(s, t);
		return;
	case SQL_PREPARE:
		if (w == SQL_W_transaction)
			sql_stmt_named(s, SQL_PREPARE_TRANSACTION, SQL_NOTHING, STEP_ANY);
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

/* TEMP is at hand: is it that of INTO TEMP, INTO LOCAL TEMP? Else it is a name. */
static bool
into_temporary(const struct sql_scan *s)
{
	return s->prev == SQL_W_into ||
	       (s->prev2 == SQL_W_into && (s->prev == SQL_W_local || s->prev == SQL_W_global));
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
			: reads(s) && into_temporary(s))
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
			sql_stmt_named(s, (enum sql_class)s->class, SQL_EXECUTES, STEP_NAME);
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
		if (sql_is_capital(t->text[i]))
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
		sql_set_token(s, t);
		break;
	case STEP_SPECIAL:
		sql_set_special(s, t);
		break;
	case STEP_NAME_MORE:
		sql_set_name_more(s, t);
		break;
	case STEP_VALUE:
		sql_set_value(s, t);
		break;
	case STEP_MODES:
		sql_set_modes(s, t);
		break;
	case STEP_ARGS:
		sql_call_args(s, t);
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
		sql_call_open(s);
		if (s->step == STEP_ARGS && s->depth == s->arg_depth) {
			remember(s, t);
			return;
		}
	} else if (c == ')' && s->depth > 0) {
		if (s->step == STEP_ARGS && s->depth == s->arg_depth) {
			s->depth--;
			sql_call_end(s);
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

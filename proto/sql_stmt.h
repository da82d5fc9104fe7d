/* sql_stmt: what sql_stmt.c, sql_set.c and sql_call.c share. Private to them. */
#ifndef PROTO_SQL_STMT_H
#define PROTO_SQL_STMT_H

#include <string.h>

#include "proto/sql_words.h"

/* Which tokens matter next. */
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

/* --- names and values in the arena --- */

static inline uint32_t
sql_mark(const struct sql_scan *s)
{
	return s->facts.text_len;
}

static inline void
sql_terminate(struct sql_scan *s)
{
	(void)sql_put(s, "", 1);
}

static inline void
sql_put_text(struct sql_scan *s, const char *text)
{
	(void)sql_put(s, text, (uint32_t)strlen(text));
}

void sql_put_lower(struct sql_scan *, const uint8_t *text, uint32_t len);
/* With its NUL; where it is. */
uint32_t sql_put_string(struct sql_scan *, const char *text);

/* --- facts --- */

/* NULL: no memory, which is noted. */
struct sql_fact *sql_push_fact(struct sql_scan *, enum sql_effect);
/* The statement is of this class and effect, and goes on with this step. */
void sql_stmt_named(struct sql_scan *, enum sql_class, enum sql_effect, enum step);

/* --- sql_set.c: the tokens of each step --- */

void sql_set_token(struct sql_scan *, const struct sql_lexeme *);
void sql_set_special(struct sql_scan *, const struct sql_lexeme *);
void sql_set_name_more(struct sql_scan *, const struct sql_lexeme *);
void sql_set_value(struct sql_scan *, const struct sql_lexeme *);
void sql_set_modes(struct sql_scan *, const struct sql_lexeme *);

/* --- sql_call.c --- */

/* An opening bracket: perhaps behind a function's name. */
void sql_call_open(struct sql_scan *);
/* A token within set_config()'s brackets, and their end. */
void sql_call_args(struct sql_scan *, const struct sql_lexeme *);
void sql_call_end(struct sql_scan *);

#endif

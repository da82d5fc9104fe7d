/*
 * sql: a scanner of SQL text, not a parser. One linear pass finds the borders of statements and
 * what each of them does to its session: settings, transactions, cursors, prepared statements,
 * locks, temporary objects. PostgreSQL's lexical rules (manual, chapter "SQL Syntax") are followed
 * to the letter; of the grammar only what is needed to read those statements.
 *
 * The text may come in pieces of any size: nothing of it is kept but names and values of settings.
 * What the scanner cannot tell is marked (SQL_UNSURE, SQL_F_LOST), never guessed.
 *
 * No fds, no globals that change. Memory: an array of facts and a text arena that grow with the
 * number of interesting statements and are kept for the next text until sql_fini. Without memory
 * the result is SQL_F_LOST.
 */
#ifndef PROTO_SQL_H
#define PROTO_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sql_class {
	SQL_OTHER, /* none of these, or not valid at all */
	SQL_SELECT,
	SQL_WITH, /* SQL_F_WRITES says whether it changes data */
	SQL_VALUES,
	SQL_TABLE,
	SQL_INSERT,
	SQL_UPDATE,
	SQL_DELETE,
	SQL_MERGE,
	SQL_COPY,
	SQL_BEGIN, /* START TRANSACTION too */
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_SAVEPOINT,
	SQL_RELEASE,
	SQL_ROLLBACK_TO,
	SQL_PREPARE_TRANSACTION,
	SQL_COMMIT_PREPARED, /* ROLLBACK PREPARED too */
	SQL_SET,
	SQL_SET_TRANSACTION, /* SET CONSTRAINTS too: nothing outlives the transaction */
	SQL_RESET,
	SQL_SHOW,
	SQL_DISCARD,
	SQL_PREPARE,
	SQL_EXECUTE,
	SQL_DEALLOCATE,
	SQL_DECLARE,
	SQL_FETCH, /* MOVE too */
	SQL_CLOSE,
	SQL_LISTEN,
	SQL_UNLISTEN,
	SQL_NOTIFY,
	SQL_LOCK,
	SQL_DO,
	SQL_CALL,
	SQL_LOAD,
	SQL_EXPLAIN,
	SQL_CREATE,
	SQL_ALTER,
	SQL_DROP,
	SQL_TRUNCATE,
	SQL_MAINTAIN, /* VACUUM, ANALYZE, CLUSTER, REINDEX, REFRESH, CHECKPOINT */
	SQL_CLASSES
};

enum sql_effect {
	SQL_NOTHING,
	SQL_SETS,   /* name = value, as set_config() takes it; `local` */
	SQL_RESETS, /* name */
	SQL_RESETS_ALL,
	SQL_UNSURE,   /* some setting may change, in a way the text does not tell; name may be known
		       */
	SQL_DISCARDS, /* name: all, plans, sequences, temp */
	SQL_PREPARES, /* name; the statement begins at body_at */
	SQL_EXECUTES, /* name; also in EXPLAIN EXECUTE and CREATE TABLE AS EXECUTE */
	SQL_DEALLOCATES, /* name, NULL = ALL */
	SQL_DECLARES,	 /* name; SQL_F_HOLD */
	SQL_CLOSES,	 /* name, NULL = ALL */
	SQL_LISTENS,	 /* name */
	SQL_UNLISTENS,	 /* name, NULL = * */
	SQL_SAVES,	 /* savepoint name; by class: set, released, rolled back to */
	SQL_LOADS
};

/* Flags of a statement; those of a text are all its statements'. */
#define SQL_F_CALLS	0x0001U /* a function that may set something, or what looks like one */
#define SQL_F_ADVISORY	0x0002U /* takes a session's advisory lock */
#define SQL_F_UNLOCK	0x0004U /* gives one back */
#define SQL_F_TEMP	0x0008U /* makes something temporary */
#define SQL_F_AT_COMMIT 0x0010U /* ... that is dropped at COMMIT */
#define SQL_F_HOLD	0x0020U /* a cursor WITH HOLD */
#define SQL_F_SEED	0x0040U /* setseed() */
#define SQL_F_SEQUENCE	0x0080U /* currval() or lastval() */
#define SQL_F_SETTINGS	0x0100U /* set_config(), UPDATE pg_settings: see the effects */
#define SQL_F_PARAM	0x0200U /* $1 */
#define SQL_F_WRITES	0x0400U /* INSERT, UPDATE, DELETE, MERGE somewhere in it, or FOR UPDATE */
#define SQL_F_CHAIN	0x0800U /* COMMIT / ROLLBACK AND CHAIN */
#define SQL_F_KEEPS                                                                                \
	0x1000U		   /* a function whose work stays with the session: dblink_connect, ...    \
			    */
#define SQL_F_LOST 0x8000U /* the scanner lost its way: believe nothing below */

/* What makes a statement a fact whatever its class. */
#define SQL_F_SESSION                                                                              \
	(SQL_F_ADVISORY | SQL_F_UNLOCK | SQL_F_TEMP | SQL_F_HOLD | SQL_F_SEED | SQL_F_SEQUENCE |   \
	    SQL_F_SETTINGS | SQL_F_KEEPS)

#define SQL_NONE UINT32_MAX

/* One effect of one statement; a statement without any but of an interesting kind has one with
 * SQL_NOTHING. Offsets count bytes of the whole text. */
struct sql_fact {
	uint32_t index; /* of the statement, from 0, empty ones not counted */
	uint8_t class;
	uint8_t effect;
	bool local;	      /* undone at the transaction's end */
	bool quoted;	      /* the name was written in double quotes */
	uint32_t flags;	      /* of the statement */
	uint32_t name, value; /* in the arena: sql_name, sql_value */
	uint32_t at, end;     /* the statement, without its semicolon */
	uint32_t name_at, name_end;
	uint32_t body_at; /* PREPARE: behind AS */
};

struct sql_facts {
	uint32_t nstatements; /* empty ones not counted */
	uint32_t flags;
	enum sql_class class; /* of the first */
	uint32_t max_param;   /* $1 is 1; 0 = none. 65536 = more than there may be */
	uint32_t n;
	struct sql_fact *v; /* in the order of the text */
	char *text;
	uint32_t room, text_len, text_room;
};

/* How a text is to be read. */
#define SQL_BACKSLASH 1U /* standard_conforming_strings is off */
#define SQL_ASCII_TRAILS                                                                           \
	2U /* the encoding has ASCII bytes inside characters: SJIS, BIG5, GBK, ... */

struct sql_scan {
	struct sql_facts facts;
	unsigned int mode;
	uint32_t pos; /* bytes of the text before the piece at hand */
	/* --- lexer: sql.c --- */
	const uint8_t *base; /* of the piece at hand */
	uint8_t state, string_kind, last_string;
	bool newline, joined, skip_byte, capture_bad;
	uint32_t comment_depth;
	uint32_t word_at, string_text;
	uint32_t word_len; /* of the word or tag so far; may exceed the array */
	uint32_t tag_match;
	uint32_t param;	  /* the number of $1 so far */
	uint8_t word[72]; /* a word cut by a piece's end, a quoted one, a dollar quote's tag */
	/* --- statement: sql_stmt.c, sql_set.c, sql_call.c --- */
	uint8_t step, class, effect, after, prev, prev2;
	uint8_t dot, schema; /* enum sql_schema: of the next word, of the last one */
	bool local, quoted, prev_word, capture, named, list, sign, complex;
	bool create_code, create_runs, in_with;
	uint32_t ntokens, depth, body_depth, flags, first_fact, index;
	uint32_t columns_at; /* at this depth a name's bracket is a list of columns */
	uint32_t at, last_end, name, value, name_at, name_end, body_at;
	/* set_config( being read */
	uint8_t arg, arg_kind[3];
	uint32_t arg_depth, arg_text[3];
};

void sql_init(struct sql_scan *);
void sql_fini(struct sql_scan *);

/* A text begins; what an earlier one gave is gone. */
void sql_begin(struct sql_scan *, unsigned int mode);
/* Its next piece; without the NUL that ends it on the wire. */
void sql_feed(struct sql_scan *, const void *text, size_t len);
/* It is complete. The facts stay until the next sql_begin. */
const struct sql_facts *sql_end(struct sql_scan *);

/* True if it is one statement that surely gives no facts, however the text is to be read (see
 * SQL_BACKSLASH): most texts of most clients, told at a fraction of the scanner's cost. False says
 * nothing. */
bool sql_is_plain(const void *text, size_t len);

/* NULL if it has none. */
const char *sql_name(const struct sql_facts *, const struct sql_fact *);
const char *sql_value(const struct sql_facts *, const struct sql_fact *);

const char *sql_class_name(enum sql_class);
/* True if set_config() takes this setting's value as a list of quoted identifiers. */
bool sql_setting_is_list(const char *name);

#endif

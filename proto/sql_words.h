/*
 * sql_words: every word the scanner knows, once. X(word, role): the enum is SQL_W_word. Roles:
 * K a key word, F a function that matters, H a function or construct that harms nobody.
 * Private to sql.c and sql_stmt.c.
 */
#ifndef PROTO_SQL_WORDS_H
#define PROTO_SQL_WORDS_H

#include "proto/sql.h"

/* clang-format off */
#define SQL_WORDS(X) \
	X(select, K) X(with, K) X(values, H) X(table, K) X(insert, K) X(update, K) X(delete, K) \
	X(merge, K) X(copy, K) X(begin, K) X(start, K) X(commit, K) X(end, K) X(rollback, K) \
	X(abort, K) X(savepoint, K) X(release, K) X(to, K) X(prepare, K) X(transaction, K) \
	X(prepared, K) X(set, K) X(reset, K) X(show, K) X(discard, K) X(execute, K) \
	X(deallocate, K) X(declare, K) X(fetch, K) X(move, K) X(close, K) X(listen, K) \
	X(unlisten, K) X(notify, K) X(lock, K) X(do, K) X(call, K) X(load, K) X(explain, K) \
	X(create, K) X(alter, K) X(drop, K) X(truncate, K) X(vacuum, K) X(analyze, K) \
	X(analyse, K) X(cluster, K) X(reindex, K) X(refresh, K) X(checkpoint, K) \
	X(session, K) X(local, K) X(global, K) X(time, H) X(zone, K) X(names, K) X(role, K) \
	X(schema, K) X(authorization, K) X(characteristics, K) X(constraints, K) X(xml, H) \
	X(option, K) X(default, K) X(from, H) X(current, K) X(as, H) X(all, H) X(plans, K) \
	X(sequences, K) X(temp, K) X(temporary, K) X(into, K) X(hold, K) X(for, K) X(share, K) \
	X(chain, K) X(no, K) X(work, K) X(and, H) X(atomic, K) X(case, K) X(function, K) \
	X(procedure, K) X(or, H) X(replace, H) X(isolation, K) X(level, K) X(read, K) \
	X(write, K) X(only, K) X(committed, K) X(uncommitted, K) X(repeatable, K) \
	X(serializable, K) X(deferrable, K) X(not, H) X(interval, H) X(true, K) X(false, K) \
	X(pg_temp, K) X(pg_settings, K) X(pg_catalog, K) X(where, H) X(union, K) X(except, K) \
	X(intersect, K) X(limit, H) X(offset, H) X(having, H) X(key, H) \
	X(set_config, F) X(pg_advisory_lock, F) X(pg_advisory_lock_shared, F) \
	X(pg_try_advisory_lock, F) X(pg_try_advisory_lock_shared, F) X(pg_advisory_unlock, F) \
	X(pg_advisory_unlock_shared, F) X(pg_advisory_unlock_all, F) X(setseed, F) \
	X(currval, F) X(lastval, F) X(dblink_connect, F) X(dblink_connect_u, F) \
	X(pg_backup_start, F) X(pg_start_backup, F) X(pg_create_logical_replication_slot, F) \
	X(pg_create_physical_replication_slot, F) X(lo_import, H) X(lo_export, H) \
	X(in, H) X(any, H) X(some, H) X(exists, H) X(on, H) X(using, H) X(over, H) X(by, H) \
	X(array, H) X(row, H) X(cast, H) X(filter, H) X(then, H) X(else, H) X(when, H) X(is, H) \
	X(distinct, H) X(join, H) X(lateral, H) X(between, H) X(like, H) X(ilike, H) \
	X(varchar, H) X(char, H) X(character, H) X(numeric, H) X(decimal, H) X(bit, H) \
	X(timestamp, H) X(timestamptz, H) X(float, H) X(varying, H) X(check, H) X(primary, H) \
	X(unique, H) X(references, H) X(conflict, H) X(returning, H) X(materialized, H) \
	X(count, H) X(sum, H) X(avg, H) X(min, H) X(max, H) X(coalesce, H) X(nullif, H) \
	X(greatest, H) X(least, H) X(now, H) X(lower, H) X(upper, H) X(length, H) X(substring, H) \
	X(substr, H) X(trim, H) X(position, H) X(extract, H) X(overlay, H) X(round, H) X(abs, H) \
	X(floor, H) X(ceil, H) X(ceiling, H) X(random, H) X(concat, H) X(concat_ws, H) \
	X(to_char, H) X(to_date, H) X(to_timestamp, H) X(date_trunc, H) X(date_part, H) \
	X(string_agg, H) X(array_agg, H) X(json_agg, H) X(jsonb_agg, H) X(json_build_object, H) \
	X(jsonb_build_object, H) X(unnest, H) X(generate_series, H) X(row_number, H) X(rank, H) \
	X(dense_rank, H) X(lag, H) X(lead, H) X(first_value, H) X(last_value, H) X(md5, H) \
	X(current_setting, H) X(version, H) X(pg_sleep, H) X(clock_timestamp, H) \
	X(gen_random_uuid, H) X(format, H) X(split_part, H) X(array_length, H) X(mod, H) \
	X(power, H) X(sqrt, H) X(strpos, H) X(left, H) X(right, H) X(repeat, H) X(bool_or, H) \
	X(bool_and, H) X(nextval, H) X(setval, H) X(pg_backend_pid, H) X(row_to_json, H) \
	X(to_json, H) X(to_jsonb, H) X(group, H) X(order, H) X(partition, H) X(recursive, H)
/* clang-format on */

#define SQL_WORD_ENUM(word, role) SQL_W_##word,
enum sql_word { SQL_W_none, SQL_WORDS(SQL_WORD_ENUM) SQL_W_COUNT };
#undef SQL_WORD_ENUM

/* What the statement machine is told about. */
enum sql_token {
	SQL_T_WORD,   /* with its enum; text in lower case unless quoted: the caller's buffer */
	SQL_T_QUOTED, /* a quoted identifier */
	SQL_T_STRING, /* its text, if capture was set, lies at the arena's end */
	SQL_T_NUMBER,
	SQL_T_PARAM,
	SQL_T_CHAR /* any other byte */
};

struct sql_lexeme {
	enum sql_token kind;
	enum sql_word word;
	uint8_t c;   /* SQL_T_CHAR */
	bool joined; /* SQL_T_STRING: goes on where the last one ended */
	const uint8_t *text;
	uint32_t len; /* of text; the word itself may be longer: `whole` is false then */
	bool whole;
	uint32_t at, end;
};

enum sql_word sql_word_find(const uint8_t *text, uint32_t len);
bool sql_word_is_function(enum sql_word);
bool sql_word_is_harmless(enum sql_word);

/* sql_stmt.c */
void sql_stmt_begin(struct sql_scan *);
void sql_stmt_token(struct sql_scan *, const struct sql_lexeme *);
void sql_stmt_end(struct sql_scan *, uint32_t at);
/* The hot part: a word in the middle of a statement that is of no special kind. */
void sql_stmt_word(struct sql_scan *, enum sql_word);
/* ... in quotes, in lower case: a name, never a key word. */
void sql_stmt_quoted(struct sql_scan *, enum sql_word);

/* The arena. */
bool sql_put(struct sql_scan *, const void *bytes, uint32_t len);
void sql_lost(struct sql_scan *);

#endif

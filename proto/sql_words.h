/*
 * sql_words: every word the scanner knows, once. Private to sql.c and sql_stmt.c.
 *
 * SQL_WORDS: X(word, role), the enum is SQL_W_word. Roles: K a key word that may be somebody's
 * function, too; F a function that matters; H a function or construct that harms nobody; C one that
 * runs what it is given.
 * SQL_BUILTINS: X(word), all of them SQL_W_builtin: words that may stand before a bracket and set
 * nothing: of the grammar, then PostgreSQL's own functions. What is not here is not known: it costs
 * a RESET ALL when another client gets the backend (session.h), so the common ones are.
 */
#ifndef PROTO_SQL_WORDS_H
#define PROTO_SQL_WORDS_H

#include "proto/sql.h"

/* clang-format off */
#define SQL_WORDS(X) \
	X(select, H) X(with, H) X(values, H) X(table, H) X(insert, K) X(update, K) X(delete, K) \
	X(merge, K) X(copy, K) X(begin, K) X(start, K) X(commit, K) X(end, H) X(rollback, K) \
	X(abort, K) X(savepoint, K) X(release, K) X(to, H) X(prepare, K) X(transaction, K) \
	X(prepared, K) X(set, K) X(reset, K) X(show, K) X(discard, K) X(execute, K) \
	X(deallocate, K) X(declare, K) X(fetch, H) X(move, K) X(close, K) X(listen, K) \
	X(unlisten, K) X(notify, K) X(lock, K) X(do, H) X(call, K) X(load, K) X(explain, K) \
	X(create, H) X(alter, K) X(drop, K) X(truncate, K) X(vacuum, K) X(analyze, H) \
	X(analyse, H) X(cluster, K) X(reindex, K) X(refresh, K) X(checkpoint, K) X(session, K) \
	X(local, K) X(global, K) X(time, H) X(names, K) X(role, K) X(schema, K) \
	X(authorization, K) X(characteristics, K) X(constraints, K) X(xml, H) X(default, H) \
	X(from, H) X(as, H) X(all, H) X(temp, K) X(temporary, K) X(into, H) X(hold, K) X(for, H) \
	X(share, K) X(chain, K) X(work, K) X(and, H) X(atomic, K) X(case, H) X(function, K) \
	X(procedure, K) X(or, H) X(replace, H) X(write, K) X(only, H) X(committed, K) \
	X(uncommitted, K) X(repeatable, K) X(serializable, K) X(deferrable, H) X(not, H) \
	X(interval, H) X(true, H) X(false, H) X(pg_temp, K) X(pg_settings, K) X(pg_catalog, K) \
	X(where, H) X(union, H) X(except, H) X(intersect, H) X(limit, H) X(offset, H) \
	X(having, H) X(key, H) X(set_config, F) X(pg_advisory_lock, F) \
	X(pg_advisory_lock_shared, F) X(pg_try_advisory_lock, F) \
	X(pg_try_advisory_lock_shared, F) X(pg_advisory_unlock, F) \
	X(pg_advisory_unlock_shared, F) X(pg_advisory_unlock_all, F) X(setseed, F) X(currval, F) \
	X(lastval, F) X(dblink_connect, F) X(dblink_connect_u, F) X(pg_backup_start, F) \
	X(pg_start_backup, F) X(pg_create_logical_replication_slot, F) \
	X(pg_create_physical_replication_slot, F) X(on, H) X(order, H) X(using, H) X(coalesce, H) \
	X(nullif, H) X(query_to_xml, C) X(query_to_xmlschema, C) X(query_to_xml_and_xmlschema, C) \
	X(cursor_to_xml, C) X(ts_stat, C) X(ts_rewrite, C)

#define SQL_BUILTINS(X) \
	X(any) X(array) X(bernoulli) X(between) X(bigint) X(bit) X(boolean) X(both) X(bpchar) \
	X(by) X(cast) X(char) X(character) X(check) X(conflict) X(cube) X(dec) X(decimal) \
	X(distinct) X(double) X(else) X(escape) X(exists) X(filter) X(float) X(group) X(grouping) \
	X(ilike) X(in) X(inout) X(int) X(integer) X(is) X(join) X(lateral) X(leading) X(like) \
	X(materialized) X(nchar) X(numeric) X(operator) X(over) X(partition) \
	X(precision) X(primary) X(range) X(real) X(recursive) X(references) X(returning) \
	X(rollup) X(row) X(rows) X(setof) X(sets) X(similar) X(smallint) X(some) X(symmetric) \
	X(tablesample) X(text) X(then) X(timestamp) X(timestamptz) X(timetz) X(trailing) X(treat) \
	X(unique) X(varchar) X(variadic) X(varying) X(when) X(window) X(within) X(xmlagg) \
	X(xmlconcat) X(xmlelement) X(xmlexists) X(xmlforest) X(xmlparse) X(xmlpi) X(xmlroot) \
	X(xmlserialize) \
	X(abs) X(acos) X(acosd) X(acosh) X(age) X(any_value) X(area) X(array_agg) X(array_append) \
	X(array_cat) X(array_dims) X(array_fill) X(array_length) X(array_lower) X(array_ndims) \
	X(array_position) X(array_positions) X(array_prepend) X(array_remove) X(array_replace) \
	X(array_to_json) X(array_to_string) X(array_to_tsvector) X(array_upper) X(ascii) X(asin) \
	X(asind) X(asinh) X(atan) X(atan2) X(atand) X(atanh) X(avg) X(bit_and) X(bit_count) \
	X(bit_length) X(bit_or) X(bit_xor) X(bool) X(bool_and) X(bool_or) X(box) X(broadcast) \
	X(btrim) X(cardinality) X(cbrt) X(ceil) X(ceiling) X(center) X(char_length) \
	X(character_length) X(chr) X(cidr) X(circle) X(clock_timestamp) X(col_description) \
	X(concat) X(concat_ws) X(convert) X(convert_from) X(convert_to) X(corr) X(cos) X(cosd) \
	X(cosh) X(cot) X(count) X(covar_pop) X(covar_samp) X(cume_dist) X(current_database) \
	X(current_query) X(current_schema) X(current_schemas) X(current_setting) X(current_user) \
	X(date) X(date_bin) X(date_part) X(date_trunc) X(daterange) X(decode) X(degrees) \
	X(dense_rank) X(diameter) X(div) X(encode) X(enum_first) X(enum_last) X(enum_range) \
	X(every) X(exp) X(extract) X(factorial) X(family) X(first_value) X(floor) X(format) \
	X(format_type) X(gcd) X(gen_random_uuid) X(generate_series) X(generate_subscripts) \
	X(get_bit) X(get_byte) X(get_current_ts_config) X(greatest) X(has_any_column_privilege) \
	X(has_column_privilege) X(has_database_privilege) X(has_function_privilege) \
	X(has_schema_privilege) X(has_sequence_privilege) X(has_table_privilege) X(height) \
	X(host) X(hostmask) X(inet_client_addr) X(inet_client_port) X(inet_server_addr) \
	X(inet_server_port) X(initcap) X(isempty) X(isfinite) X(json_agg) X(json_array) \
	X(json_array_elements) X(json_array_elements_text) X(json_array_length) X(json_arrayagg) \
	X(json_build_array) X(json_build_object) X(json_each) X(json_each_text) X(json_exists) \
	X(json_extract_path) X(json_extract_path_text) X(json_object) X(json_object_agg) \
	X(json_object_keys) X(json_objectagg) X(json_populate_record) X(json_populate_recordset) \
	X(json_query) X(json_scalar) X(json_serialize) X(json_strip_nulls) X(json_table) \
	X(json_to_record) X(json_to_recordset) X(json_typeof) X(json_value) X(jsonb_agg) \
	X(jsonb_array_elements) X(jsonb_array_elements_text) X(jsonb_array_length) \
	X(jsonb_build_array) X(jsonb_build_object) X(jsonb_each) X(jsonb_each_text) \
	X(jsonb_extract_path) X(jsonb_extract_path_text) X(jsonb_insert) X(jsonb_object) \
	X(jsonb_object_agg) X(jsonb_object_keys) X(jsonb_path_exists) X(jsonb_path_match) \
	X(jsonb_path_query) X(jsonb_path_query_array) X(jsonb_path_query_first) \
	X(jsonb_populate_record) X(jsonb_populate_recordset) X(jsonb_pretty) X(jsonb_set) \
	X(jsonb_strip_nulls) X(jsonb_to_record) X(jsonb_to_recordset) X(jsonb_typeof) \
	X(justify_days) X(justify_hours) X(justify_interval) X(lag) X(last_value) X(lcm) X(lead) \
	X(least) X(left) X(length) X(line) X(ln) X(lo_close) X(lo_creat) X(lo_create) \
	X(lo_export) X(lo_from_bytea) X(lo_get) X(lo_import) X(lo_lseek) X(lo_lseek64) X(lo_open) \
	X(lo_put) X(lo_tell) X(lo_tell64) X(lo_truncate) X(lo_unlink) X(log) X(log10) X(loread) \
	X(lower) X(lower_inc) X(lower_inf) X(lowrite) X(lpad) X(lseg) X(ltrim) X(make_date) \
	X(make_interval) X(make_time) X(make_timestamp) X(make_timestamptz) X(masklen) X(max) \
	X(md5) X(min) X(min_scale) X(mod) X(mode) X(netmask) X(network) X(nextval) X(normalize) \
	X(now) X(npoints) X(nth_value) X(ntile) X(num_nonnulls) X(num_nulls) X(numnode) \
	X(numrange) X(obj_description) X(octet_length) X(overlaps) X(overlay) X(parse_ident) \
	X(path) X(percent_rank) X(percentile_cont) X(percentile_disc) X(pg_advisory_xact_lock) \
	X(pg_advisory_xact_lock_shared) X(pg_backend_pid) X(pg_blocking_pids) \
	X(pg_cancel_backend) X(pg_client_encoding) X(pg_column_size) X(pg_current_snapshot) \
	X(pg_current_wal_lsn) X(pg_current_xact_id) X(pg_database_size) X(pg_encoding_to_char) \
	X(pg_export_snapshot) X(pg_get_constraintdef) X(pg_get_expr) X(pg_get_function_arguments) \
	X(pg_get_functiondef) X(pg_get_indexdef) X(pg_get_serial_sequence) X(pg_get_triggerdef) \
	X(pg_get_userbyid) X(pg_get_viewdef) X(pg_indexes_size) X(pg_is_in_recovery) \
	X(pg_last_wal_receive_lsn) X(pg_last_wal_replay_lsn) X(pg_last_xact_replay_timestamp) \
	X(pg_my_temp_schema) X(pg_notify) X(pg_postmaster_start_time) X(pg_relation_size) \
	X(pg_size_bytes) X(pg_size_pretty) X(pg_sleep) X(pg_sleep_for) X(pg_sleep_until) \
	X(pg_stat_reset) X(pg_table_is_visible) X(pg_table_size) X(pg_terminate_backend) \
	X(pg_total_relation_size) X(pg_trigger_depth) X(pg_try_advisory_xact_lock) \
	X(pg_try_advisory_xact_lock_shared) X(pg_typeof) X(pg_wal_lsn_diff) X(pg_xact_status) \
	X(phraseto_tsquery) X(pi) X(plainto_tsquery) X(point) X(polygon) X(position) X(pow) \
	X(power) X(querytree) X(quote_ident) X(quote_literal) X(quote_nullable) X(radians) \
	X(radius) X(random) X(random_normal) X(rank) X(regclass) X(regexp_count) X(regexp_instr) \
	X(regexp_like) X(regexp_match) X(regexp_matches) X(regexp_replace) \
	X(regexp_split_to_array) X(regexp_split_to_table) X(regexp_substr) X(regr_avgx) \
	X(regr_avgy) X(regr_count) X(regr_intercept) X(regr_r2) X(regr_slope) X(regr_sxx) \
	X(regr_sxy) X(regr_syy) X(repeat) X(reverse) X(right) X(round) X(row_number) \
	X(row_security_active) X(row_to_json) X(rpad) X(rtrim) X(scale) X(session_user) \
	X(set_bit) X(set_byte) X(set_masklen) X(setval) X(setweight) X(sha224) X(sha256) \
	X(sha384) X(sha512) X(shobj_description) X(sign) X(sin) X(sind) X(sinh) X(split_part) \
	X(sqrt) X(starts_with) X(statement_timestamp) X(stddev) X(stddev_pop) X(stddev_samp) \
	X(string_agg) X(string_to_array) X(string_to_table) X(strip) X(strpos) X(substr) \
	X(substring) X(sum) X(tan) X(tand) X(tanh) X(timeofday) X(timezone) X(to_ascii) \
	X(to_char) X(to_date) X(to_hex) X(to_json) X(to_jsonb) X(to_number) X(to_regclass) \
	X(to_regproc) X(to_regrole) X(to_regtype) X(to_timestamp) X(to_tsquery) X(to_tsvector) \
	X(transaction_timestamp) X(translate) X(trim) X(trim_array) X(trim_scale) X(trunc) \
	X(ts_delete) X(ts_filter) X(ts_headline) X(ts_lexize) X(ts_parse) X(ts_rank) \
	X(ts_rank_cd) X(ts_token_type) X(tsrange) X(tstzrange) X(tsvector_to_array) \
	X(txid_current) X(txid_current_if_assigned) X(txid_current_snapshot) X(txid_status) \
	X(unistr) X(unnest) X(upper) X(upper_inc) X(upper_inf) X(uuidv4) X(uuidv7) X(var_pop) \
	X(var_samp) X(variance) X(version) X(websearch_to_tsquery) X(width) X(width_bucket) \
	X(xml_is_well_formed) X(xmlcomment) X(xpath) X(xpath_exists)
/* clang-format on */

#define SQL_WORD_ENUM(word, role) SQL_W_##word,
enum sql_word { SQL_W_none, SQL_W_builtin, SQL_WORDS(SQL_WORD_ENUM) SQL_W_COUNT };
#undef SQL_WORD_ENUM

/* What a word's name is qualified by. */
enum sql_schema {
	SQL_UNQUALIFIED,
	SQL_OF_CATALOG, /* pg_catalog */
	SQL_OF_OTHER
};

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
/* K, F, H or C; 'K' for what is not known. */
char sql_word_role(enum sql_word);

/* sql_stmt.c */
void sql_stmt_begin(struct sql_scan *);
void sql_stmt_token(struct sql_scan *, const struct sql_lexeme *);
void sql_stmt_end(struct sql_scan *, uint32_t at);
/* The hot part: a word in the middle of a statement that is of no special kind. */
void sql_stmt_word(struct sql_scan *, enum sql_word);
/* ... in quotes, in lower case: a name, never a key word. */
void sql_stmt_quoted(struct sql_scan *, enum sql_word);

/* A dot is next: what the word behind it is qualified by. */
static inline uint8_t
sql_schema_of(const struct sql_scan *s)
{
	return s->prev == SQL_W_pg_catalog ? SQL_OF_CATALOG : SQL_OF_OTHER;
}

/* What quotes keep and the server folds elsewhere. */
static inline bool
sql_is_capital(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}

/* The arena. */
bool sql_put(struct sql_scan *, const void *bytes, uint32_t len);
void sql_lost(struct sql_scan *);

#endif

#!/usr/bin/env bash
#
# dump: what operators run against a database: a corpus of SQL statements by psql, its \d commands, pg_dump
# (parallel too) and pg_restore. Through pgdrove, in transaction and in session mode, they give what they give when
# they are connected to PostgreSQL directly, byte for byte. In transaction mode others use the same backends meanwhile.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin dump
echo 'max_prepared_transactions = 5' >>"$WORK_DIR/data/postgresql.conf"
cluster_stop
cluster_again
pooler_conf < <(
	for_mode() { echo "{ name = \"$1\"; host = \"127.0.0.1\"; port = $PG_PORT; dbname = \"$2\"; pool_mode = \"$3\"; }"; }
	cat <<-CONF
		workers = 4;
		pool_size = 6;
		query_wait_notify = 0; // no NOTICE that PostgreSQL would not send
		databases = ( $(for_mode app_t app transaction), $(for_mode app_s app session),
			$(for_mode back_t back transaction), $(for_mode back_s back session) );
	CONF
)
pooler_start
others_start app_t

# as MODE PROGRAM ARG...: a program of PostgreSQL's, connected through pgdrove or, as "direct", to PostgreSQL.
as() {
	local port=$PORT
	[ "$1" != direct ] || port=$PG_PORT
	PGHOST=127.0.0.1 PGPORT=$port PGUSER=postgres "$PG_BIN/$2" "${@:3}" 2>&1
}
db_of() { if [ "$1" = direct ]; then echo "$2"; else echo "$2_${1:0:1}"; fi; }

# What differs from run to run: pids, names of the databases, pg_dump's key for \\restrict.
plain() {
	sed -E "s/ PID [0-9]+/ PID n/; s/(app|back)_[ts]/\\1/g; s/pg_temp_[0-9]+/pg_temp_n/g; s/^(.(un)?restrict) .*/\\1/"
}

# --- the corpus ---------------------------------------------------------------------------------------------------

corpus() {
	as "$1" psql -X -a -d "$(db_of "$1" app)" -f tests/e2e/corpus.sql | plain
}
statements=$(grep -vE "^--" tests/e2e/corpus.sql | grep -oE "; *|^\\\\" | wc -l)
for mode in direct transaction session; do
	admin_sql 'drop schema public cascade; create schema public' app 2>/dev/null
	corpus $mode >"$WORK_DIR/corpus.$mode"
done
check "the corpus is big enough: $statements statements" test "$statements" -ge 500
# What psql's \h lists is PostgreSQL's list of commands; each is in the corpus, maybe with words between its own.
commands() {
	as direct psql -X -d app -c '\pset pager off' -c '\h' | sed -nE '/^  [A-Z]/ { s/^  //; s/^.{33}/&\n/; s/ +\n/\n/; p }'
}
missing() {
	local corpus kind
	corpus=$(grep -v '^--' tests/e2e/corpus.sql | tr '\n' ' ')
	while read -r kind; do
		grep -qiE "\b${kind// /( [^;]*)? }\b" <<<"$corpus" || echo "$kind"
	done < <(commands)
}
kinds=$(commands | wc -l)
check "PostgreSQL has $kinds commands" test "$kinds" -ge 180
is '... each is in the corpus' '' "$(missing)"
for mode in transaction session; do
	check "the corpus in $mode mode: the same output" cmp -s "$WORK_DIR/corpus.direct" "$WORK_DIR/corpus.$mode"
	diff "$WORK_DIR/corpus.direct" "$WORK_DIR/corpus.$mode" | head -n 20
done

# --- \d, pg_dump, pg_restore -----------------------------------------------------------------------------------------

admin_sql "create table filler as select i, repeat('x', 100) as t, i % 7 as m from generate_series(1, 20000) i;
	create index on filler (m); create view seen as select count(*) from filler;
	select lo_from_bytea(0, 'a large object')" app >/dev/null
# \dconfig shows what is set, be it to its default: so are reported settings that the last client had otherwise.
reported='client_encoding|DateStyle|TimeZone|IntervalStyle|standard_conforming_strings|application_name'
for mode in direct transaction session; do
	for command in 'pset footer off' d d+ dt+ di dv ds df dn dT+ du dx dp dD ddp dRp l dconfig; do
		echo "\\$command"
	done | as $mode psql -X -d "$(db_of $mode app)" | plain | grep -vE "temp_n|^ ($reported) +\\|" \
		>"$WORK_DIR/describe.$mode"
	as $mode pg_dump -d "$(db_of $mode app)" | plain >"$WORK_DIR/dump.$mode.sql"
	is "$mode: pg_dump -j 4" '' "$(as $mode pg_dump -Fd -j 4 -f "$WORK_DIR/dump.$mode" -d "$(db_of $mode app)")"
	admin_sql 'create database back'
	is "$mode: pg_restore -j 4" '' "$(as $mode pg_restore -j 4 -d "$(db_of $mode back)" "$WORK_DIR/dump.$mode")"
	as direct pg_dump -d back | plain >"$WORK_DIR/restored.$mode.sql"
	admin_sql 'drop database back with (force)'
	is "$mode: pg_dumpall --roles-only" '' "$(as $mode pg_dumpall -r -l "$(db_of $mode app)" |
		plain | diff - <(as direct pg_dumpall -r -l app | plain))"
done
check 'pg_dump: there is something in it' grep -q 'COPY public.filler' "$WORK_DIR/dump.direct.sql"
for mode in transaction session; do
	for what in describe.% dump.%.sql restored.%.sql; do
		check "$mode: ${what%%.*} is the same" cmp -s "$WORK_DIR/${what/\%/direct}" "$WORK_DIR/${what/\%/$mode}"
		diff "$WORK_DIR/${what/\%/direct}" "$WORK_DIR/${what/\%/$mode}" | head -n 10
	done
done
check "backends were handed over meanwhile: $(get sv_given)" [ "$(get sv_given)" -gt 0 ]
others_stop
pooler_stop 'ends well'

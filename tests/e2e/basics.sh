#!/usr/bin/env bash
# basics: the real binary in front of a real throwaway PostgreSQL: modes, errors, cancel, a killed worker, the end.
# Usage: tests/e2e/basics.sh; PGDROVE_BIN names the binary. Prints one line a check; exit 1 if any failed.
set -u
cd "$(dirname "$0")/../.." || exit 2
. scripts/lib.sh
BIN=${PGDROVE_BIN:-build/pgdrove}
failed=0
service_user_find
pg_bin_find
work_dir_make e2e
POOLER=
cleanup() {
	[ -z "$POOLER" ] || pid_stop "$POOLER" INT 20000
	cluster_stop
	[ "$failed" = 0 ] || tail -n 30 "$WORK_DIR/pgdrove.log"
	rm -rf "$WORK_DIR"
}
trap cleanup EXIT
cluster_start scram-sha-256
export PGPASSWORD=$PG_PASSWORD
admin_sql 'create database app'
PORT=$(port_free)
as_user=
[ -z "$SERVICE_USER" ] || as_user="user = \"$SERVICE_USER\";"
cat >"$WORK_DIR/pgdrove.conf" <<CONF
listen = ( { host = "127.0.0.1"; port = $PORT; }, { path = "$WORK_DIR/run"; port = $PORT; } );
workers = 4;
run_dir = "$WORK_DIR/run";
$as_user
pool_mode = "transaction";
pool_size = 8;
worker_timeout = "8s";
databases = (
  { name = "app"; host = "127.0.0.1"; port = $PG_PORT; },
  { name = "one"; host = "$PG_SOCKETS"; port = $PG_PORT; dbname = "app"; pool_size = 1; },
  { name = "sess"; host = "localhost"; port = $PG_PORT; dbname = "app"; pool_mode = "session"; pool_size = 1; },
  { name = "stmt"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; pool_mode = "statement"; } );
users = ( { name = "postgres"; password = "$PG_PASSWORD"; } );
CONF
own_file "$WORK_DIR/pgdrove.conf"
export ASAN_OPTIONS=detect_leaks=0
"$BIN" -c "$WORK_DIR/pgdrove.conf" >"$WORK_DIR/pgdrove.log" 2>&1 &
POOLER=$!

sql() { "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d "$1" -c "$2" 2>&1; }
get() { "$BIN" stat --run-dir "$WORK_DIR/run" --get "$1" 2>/dev/null; }
# until_true SECONDS COMMAND...: polls; SECONDS say what is usual, a machine under load gets a minute
until_true() {
	local end=$((SECONDS + ($1 > 60 ? $1 : 60)))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}
# is NAME WANTED GOT
is() {
	if [ "$2" = "$3" ]; then echo "ok $1"; else
		echo "FAIL $1: wanted [$2], got [$3]"
		failed=$((failed + 1))
	fi
}
has() { case "$3" in *"$2"*) echo "ok $1" ;; *) is "$1" "*$2*" "$3" ;; esac }
none_left() { [ "$(admin_sql "select count(*) from pg_stat_activity where datname='app' and state<>'idle'")" = 0 ]; }
serves() { [ "$(sql app 'select 1')" = 1 ]; }

until_true 15 serves || { failed=1; echo "FAIL pgdrove did not start"; exit 1; }
is 'a query' 42 "$(sql app 'select 42')"
is 'unix socket' 42 "$("$PG_BIN/psql" -X -At -h "$WORK_DIR/run" -p "$PORT" -U postgres -d app -c 'select 42' 2>&1)"
has 'no such database' 'no such database: nope' "$(sql nope 'select 1')"
has 'error keeps the session' 'division by zero' "$(sql app 'select 1/0')"
is 'after an error' 1 "$(sql app 'select 1')"
is 'transaction mode shares one backend' 1 "$(for _ in 1 2 3 4 5 6; do sql one 'select pg_backend_pid()'; done | sort -u | wc -l)"
has 'statement mode refuses blocks' 'transaction blocks not allowed' "$(sql stmt 'begin')"
sql sess "set work_mem='77MB'; create temp table t(a int)" >/dev/null
is 'DISCARD ALL after a session' 4MB "$(sql sess 'show work_mem')"
is 'application_name follows' psql "$(sql one 'show application_name')"
is 'application_name follows (2)' other "$(PGAPPNAME=other sql one 'show application_name')"
is 'a big row' 30000000 "$(sql app "select repeat('x',30000000)" | tr -d '\n' | wc -c)"
seq 1 100000 >"$WORK_DIR/rows"
sql app 'create table c(a int)' >/dev/null
"$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U postgres -d app -c "\\copy c from '$WORK_DIR/rows'"
is 'COPY in' 100000 "$(sql app 'select count(*) from c')"
is 'COPY out' 100000 "$("$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U postgres -d app -c '\copy c to stdout' | wc -l)"
has 'COPY error' 'invalid input syntax' "$(printf 'x\n' | "$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U postgres -d app -c '\copy c from stdin' 2>&1)"

"$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U postgres -d app -c 'select pg_sleep(60)' >"$WORK_DIR/cancel" 2>&1 &
sleeper=$!
sleeping() { [ "$(admin_sql "select count(*) from pg_stat_activity where query='select pg_sleep(60)' and state='active'")" = 1 ]; }
until_true 20 sleeping
kill -INT $sleeper
wait $sleeper
has 'cancel' 'canceling statement due to user request' "$(cat "$WORK_DIR/cancel")"
"$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U postgres -d app -c 'select pg_sleep(60)' >/dev/null 2>&1 &
sleeper=$!
until_true 20 sleeping
kill -KILL $sleeper
wait $sleeper 2>/dev/null
until_true 20 none_left
is 'a dead client leaves no query' 0 "$(admin_sql "select count(*) from pg_stat_activity where query='select pg_sleep(60)' and state='active'")"

"$PG_BIN/pgbench" -i -q -h "$PG_SOCKETS" -p "$PG_PORT" -U postgres app >/dev/null 2>&1
bench() { "$PG_BIN/pgbench" -n -h 127.0.0.1 -p "$PORT" -U postgres -T 2 "$@" 2>&1; }
for how in '-S -c 16' '-c 16' '-S -c 50 -M extended' '-S -c 4 -C'; do
	# shellcheck disable=SC2086
	has "pgbench $how" 'failed transactions: 0' "$(bench $how app)"
done
has 'pgbench prepared, session mode' 'failed transactions: 0' "$(bench -S -M prepared -c 1 sess)"
is 'never more backends than pool_size' t "$(admin_sql "select count(*) <= 8+1+1+8 from pg_stat_activity where datname='app'")"

for _ in {1..20}; do printf 'GET / HTTP/1.0\r\n\r\n' | timeout 5 bash -c "cat >/dev/tcp/127.0.0.1/$PORT" 2>/dev/null; done
for _ in {1..20}; do head -c 300 /dev/urandom | timeout 5 bash -c "cat >/dev/tcp/127.0.0.1/$PORT" 2>/dev/null; done
is 'garbage kills nobody' 0 "$(for w in 0 1 2 3; do get worker.$w.restarts; done | paste -sd+ | bc 2>/dev/null || echo 0)"

"$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U postgres -d app -c 'select pg_sleep(60)' >/dev/null 2>&1 &
until_true 20 sleeping
for w in 0 1 2 3; do kill -KILL "$(get worker.$w.pid)"; done
until_true 30 serves
is 'serves after all workers were killed' 1 "$(sql app 'select 1')"
until_true 20 none_left
is 'no orphan runs' 0 "$(admin_sql "select count(*) from pg_stat_activity where query='select pg_sleep(60)' and state='active'")"
victim=$(get worker.2.pid)
kill -STOP "$victim"
replaced() { [ -n "$(get worker.2.pid)" ] && [ "$(get worker.2.pid)" != "$victim" ] && [ "$(get worker.2.pid)" != 0 ]; }
until_true 30 replaced
is 'a stopped worker is replaced' 1 "$(sql app 'select 1')"
timeout 20 "$BIN" -c "$WORK_DIR/pgdrove.conf" >"$WORK_DIR/second.log" 2>&1
is 'second instance refused' 1 $?
kill -TERM "$POOLER"
wait "$POOLER"
is 'TERM ends with 0' 0 $?
POOLER=
is 'no sanitizer report' 0 "$(grep -c 'Sanitizer\|runtime error' "$WORK_DIR/pgdrove.log")"
[ "$failed" = 0 ]

#!/usr/bin/env bash
#
# timeouts: every limit on time ends what it is meant to end, with its SQLSTATE and its words, and
# leaves the backend as it should be; and nothing before its time.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin timeouts
admin_sql 'create table t as select 1 as i' app

connect_query="set work_mem to '5MB'"
# with MODE OPTION...: a pooler with these options, in this pool mode, one backend.
with() {
	local mode=$1
	shift
	pooler_conf < <(
		echo "workers = 2; pool_mode = \"$mode\"; pool_size = 1;"
		printf '%s\n' "$@"
		echo "databases = ( { name = \"app\"; host = \"127.0.0.1\"; port = $PG_PORT; connect_query = \"$connect_query\"; } );"
	)
	pooler_start
}
# said SQL...: one session over psql, each line with the SQLSTATE of its errors.
said() { printf '%s\n' '\set VERBOSITY verbose' "$@" | "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app 2>&1; }
idle_only() { backends_are 0 "state <> 'idle'"; }
unlocked() { [ "$(admin_count '(select 1 from t for update skip locked) x')" = 1 ]; }
backend_pid() { admin_sql "select string_agg(pid::text, ' ') from pg_stat_activity where datname = 'app' and client_addr is not null"; }

with transaction 'query_timeout = "1s";' 'idle_transaction_timeout = "1s";' 'transaction_timeout = "3s";' 'query_wait_notify = "500ms";' 'query_wait_timeout = "2s";'
is 'nothing is ended before its time' 'x' "$(said 'begin;' 'select pg_sleep(0.5);' '\! sleep 0.5' "select 'x';" 'commit;' | grep -v '^$')"
is 'connect_query has run' 5MB "$(said 'show work_mem;')"
first=$(backend_pid)
out=$(said 'begin;' 'update t set i = 2;' 'select pg_sleep(60);')
has 'query_timeout: SQLSTATE and text' 'FATAL:  57014: query timeout' "$out"
has '... the time and the process' 'DETAIL:  It was 1.' "$out"
has '... what to do' 'HINT:  Raise query_timeout' "$out"
within '... the query is cancelled, the transaction rolled back' 10 idle_only
check '... the row is free' unlocked
is '... and the backend is used again' "$first 1" "$(backend_pid) $(sql app 'select i from t')"
is '... counted' 1 "$(get query_timeouts)"

out=$(said 'begin;' 'update t set i = 2;' '\! sleep 2' 'select 1;')
has 'idle_transaction_timeout: SQLSTATE and text' 'FATAL:  25P03: idle transaction timeout' "$out"
check '... the row is free' unlocked
is '... the backend is used again' "$first 1" "$(backend_pid) $(sql app 'select i from t')"
is '... counted' 1 "$(get idle_xact_timeouts)"

out=$(said 'begin;' 'update t set i = 2;' "$(printf 'select pg_sleep(0.4);%.0s\n' {1..12})")
has 'transaction_timeout: SQLSTATE and text' 'FATAL:  25P04: transaction timeout' "$out"
within '... rolled back' 10 idle_only
is '... the backend is used again' "$first 1" "$(backend_pid) $(sql app 'select i from t')"
is '... counted' 1 "$(get xact_timeouts)"
pooler_stop 'ends well'

with transaction 'query_wait_notify = "500ms";' 'query_wait_timeout = "2s";'
psql_beside app 'select pg_sleep(5)' "$WORK_DIR/holder"
within 'somebody has the only backend' 10 backends_are 1 "state = 'active'"
out=$(said 'select 1;')
has 'query_wait_notify: a NOTICE' 'NOTICE:  00000: all server connections are in use, waiting' "$out"
has '... with the pool'"'"'s state' 'DETAIL:  pool app/postgres: pool_size 1, 1 connections, 1 in use (the longest for ' "$out"
has 'query_wait_timeout: SQLSTATE and text' 'FATAL:  53300: query_wait_timeout' "$out"
is '... counted' 1 "$(get wait_timeouts)"
wait "$BESIDE"
is 'who waits less is served' '' "$(tr -d '\n' <"$WORK_DIR/holder")"
pooler_stop 'ends well'

for mode in transaction session; do
	with $mode 'client_idle_timeout = "1s";'
	out=$(said "select 'a';" '\! sleep 0.6' "select 'b';" '\! sleep 0.6' "select 'c';" 'begin;' '\! sleep 1.5' "select 'd';" 'commit;' '\! sleep 2' "select 'e';")
	is "client_idle_timeout, $mode: not before, not in a transaction" 'a b c d ' "$(grep -E '^[a-e]$' <<<"$out" | tr '\n' ' ')"
	has "client_idle_timeout, $mode: SQLSTATE and text" 'FATAL:  57P05: client_idle_timeout' "$out"
	is '... counted' 1 "$(get cl_idle_timeouts)"
	pooler_stop 'ends well'
done

connect_query='select nonsense'
with transaction 'server_idle_timeout = "1s";'
is 'server_idle_timeout: a backend' 1 "$(sql app 'select 1')"
check '... is there' backends_are 1
check '... a connect_query that fails is told' log_has 'connect_query failed: column "nonsense" does not exist'
within '... and is closed' 10 backends_are 0
is '... the next client is served' 1 "$(sql app 'select 1')"
pooler_stop 'ends well'

with transaction 'server_lifetime = "2s";' 'server_idle_timeout = "0";'
serves
first=$(backend_pid)
changed() { serves && [ "$(backend_pid)" != "$first" ]; }
within 'server_lifetime: replaced while in use' 10 changed
within '... and closed while idle' 10 backends_are 0
pooler_stop 'ends well'

with transaction 'server_reset_query_always = true;' 'server_round_robin = true;'
out=$(said 'set work_mem = "9MB";' 'show work_mem;')
is 'server_reset_query_always: nothing stays' '4MB' "$out"
pooler_stop 'ends well'

with transaction 'client_login_timeout = "1s";'
raw=$({ sleep 3 | timeout 10 cat >/dev/tcp/127.0.0.1/"$PORT"; } 2>&1; get login_failures)
check "client_login_timeout: a silent client is sent away ($raw)" [ "$(get login_failures)" = 1 ]
pooler_stop 'ends well'

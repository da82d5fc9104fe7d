#!/usr/bin/env bash
#
# timeouts: every limit on time ends what it is meant to end, with its SQLSTATE and its words, and
# leaves the backend as it should be; and nothing before its time. What is set on sockets, which idle
# backend is next. Which check of which program shows which option: options.txt.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin timeouts
admin_sql 'create table t as select 1 as i' app
e2e_stay app

connect_query="set work_mem to '5MB'"
# with MODE OPTION...: a pooler with these options, in this pool mode, one backend.
with() {
	local mode=$1
	shift
	pooler_conf < <(
		echo "workers = 2; pool_mode = \"$mode\"; pool_size = 1;"
		printf '%s\n' "$@"
		echo "databases = ( { name = \"app\"; ${DATABASE_HAS:-} host = \"127.0.0.1\"; port = $PG_PORT; connect_query = \"$connect_query\"; } );"
	)
	pooler_start
}
# said SQL...: one session over psql, each line with the SQLSTATE of its errors.
said() { printf '%s\n' '\set VERBOSITY verbose' "$@" | "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app 2>&1; }
# counted NAME [N]: for psql's \!: waits until pgdrove has counted so many (1). Whatever it waits for is never late.
counted() {
	# shellcheck disable=SC2016
	printf '\\! for i in $(seq 1200); do [ "$(%s stat --run-dir %s --get %s)" -ge %d ] && break; sleep 0.05; done' \
		"$BIN" "$WORK_DIR/run" "$1" "${2:-1}"
}
idle_only() { backends_are 0 "state <> 'idle'"; }
unlocked() { [ "$(admin_count '(select 1 from t for update skip locked) x')" = 1 ]; }
backend_pid() { admin_sql "select string_agg(pid::text, ' ') from pg_stat_activity where datname = 'app' and client_addr is not null"; }

with transaction 'query_timeout = "5s";' 'idle_transaction_timeout = "5s";' 'transaction_timeout = "8s";'
is 'nothing is ended before its time' 'x' "$(said 'begin;' 'select pg_sleep(1);' '\! sleep 1' "select 'x';" 'commit;' | grep -v '^$')"
is 'connect_query has run' 5MB "$(said 'show work_mem;')"
pooler_stop 'ends well'

with transaction 'query_timeout = "3s";'
serves
first=$(backend_pid)
start=$(now_ms)
out=$(said 'begin;' 'update t set i = 2;' 'select pg_sleep(60);')
check "query_timeout: not before its time ($(($(now_ms) - start)) ms)" [ $(($(now_ms) - start)) -ge 3000 ]
has 'query_timeout: SQLSTATE and text' 'FATAL:  57014: query timeout' "$out"
has '... the time and the process' 'DETAIL:  It was ' "$out"
has '... what to do' 'HINT:  Raise query_timeout' "$out"
within '... the query is cancelled, the transaction rolled back' 10 idle_only
check '... the row is free' unlocked
is '... and the backend is used again' "$first 1" "$(backend_pid) $(sql app 'select i from t')"
is '... counted' 1 "$(get query_timeouts)"
pooler_stop 'ends well'

with transaction 'idle_transaction_timeout = "1s";'
serves
first=$(backend_pid)
out=$(said 'begin;' 'update t set i = 2;' "$(counted idle_xact_timeouts)" 'select 1;')
has 'idle_transaction_timeout: SQLSTATE and text' 'FATAL:  25P03: idle transaction timeout' "$out"
has '... the time and the process' "server process $first." "$out"
has '... what to do' 'HINT:  Commit or roll back' "$out"
within '... rolled back' 10 idle_only
check '... the row is free' unlocked
is '... the backend is used again' "$first 1" "$(backend_pid) $(sql app 'select i from t')"
is '... counted' 1 "$(get idle_xact_timeouts)"
pooler_stop 'ends well'

with transaction 'transaction_timeout = "2s";'
serves
first=$(backend_pid)
out=$(said 'begin;' 'update t set i = 2;' "$(printf 'select pg_sleep(0.4);%.0s\n' {1..12})")
has 'transaction_timeout: SQLSTATE and text' 'FATAL:  25P04: transaction timeout' "$out"
has '... the time and the process' "server process $first." "$out"
has '... what to do' 'HINT:  Raise transaction_timeout' "$out"
within '... rolled back' 10 idle_only
check '... the row is free' unlocked
is '... the backend is used again' "$first 1" "$(backend_pid) $(sql app 'select i from t')"
is '... counted' 1 "$(get xact_timeouts)"
pooler_stop 'ends well'

# hold NAME: somebody has the only backend until `let_go NAME`; wait "$HOLDER" then.
hold() {
	psql_beside app "select stay('$1')" "$WORK_DIR/holder"
	HOLDER=$BESIDE
	within 'somebody has the only backend' 10 stays "$1"
}

with transaction 'query_wait_notify = "500ms";' 'query_wait_timeout = "5s";'
hold notify
first=$(backend_pid)
out=$(said 'select 1;')
has 'query_wait_notify: a NOTICE' 'NOTICE:  00000: all server connections are in use, waiting' "$out"
has '... with the pool'"'"'s state' 'DETAIL:  pool app/postgres: pool_size 1, 1 connections, 1 in use (the longest for ' "$out"
has 'query_wait_timeout: SQLSTATE and text' 'FATAL:  53300: query_wait_timeout' "$out"
has '... why' 'DETAIL:  pool app/postgres: pool_size 1, 1 connections, 1 in use (the longest for ' "${out#*FATAL}"
has '... and what to do' 'HINT:  Raise pool_size' "${out#*FATAL}"
is '... counted' 1 "$(get wait_timeouts)"
has '... stat --pools counts it, by kind' ' t_wait ' "$("$BIN" stat --run-dir "$WORK_DIR/run" --pools)"
let_go notify
wait "$HOLDER"
is 'who has the backend is served to the end' '' "$(grep -v NOTICE "$WORK_DIR/holder" | grep -v DETAIL | tr -d '\n')"
is '... and the next by the same' "$first" "$(sql app 'select pg_backend_pid()')"
pooler_stop 'ends well'

for mode in transaction session; do
	with $mode 'client_idle_timeout = "5s";'
	out=$(said "select 'a';" '\! sleep 2.6' "select 'b';" '\! sleep 2.6' "select 'c';" 'begin;' '\! sleep 5.5' "select 'd';" 'commit;' "$(counted cl_idle_timeouts)" "select 'e';")
	is "client_idle_timeout, $mode: not before, not in a transaction" 'a b c d ' "$(grep -E '^[a-e]$' <<<"$out" | tr '\n' ' ')"
	has "client_idle_timeout, $mode: SQLSTATE and text" 'FATAL:  57P05: client_idle_timeout' "$out"
	has '... what to do' 'HINT:  Raise client_idle_timeout' "$out"
	is '... counted' 1 "$(get cl_idle_timeouts)"
	first=$(backend_pid)
	is "client_idle_timeout, $mode: its backend is used again" "$first" "$(sql app 'select pg_backend_pid()')"
	pooler_stop 'ends well'
done

connect_query='select nonsense'
with transaction 'server_idle_timeout = "1s";'
start=$(now_ms)
is 'server_idle_timeout: a backend' 1 "$(sql app 'select 1')"
check '... a connect_query that fails is told' log_has 'connect_query failed: column "nonsense" does not exist'
within '... and is closed' 10 backends_are 0
check "... not before its time ($(($(now_ms) - start)) ms)" [ $(($(now_ms) - start)) -ge 1000 ]
is '... the next client is served' 1 "$(sql app 'select 1')"
pooler_stop 'ends well'

with transaction 'server_lifetime = "2s";' 'server_idle_timeout = "0";'
serves
first=$(backend_pid)
changed() { serves && [ "$(backend_pid)" != "$first" ]; }
within 'server_lifetime: replaced while in use' 10 changed
within '... and closed while idle' 10 backends_are 0
pooler_stop 'ends well'

# What the client set would follow it by itself.
with transaction 'server_reset_query_always = true; session_state = "ignore";' 'server_round_robin = true;'
out=$(said 'set work_mem = "9MB";' 'show work_mem;')
is 'server_reset_query_always: nothing stays' '4MB' "$out"
pooler_stop 'ends well'

# raw_says: what comes on RAW up to its end, strings with blanks between them.
raw_says() { timeout 60 cat <&"$RAW" | tr '\0' ' '; }

with transaction 'client_login_timeout = "3s";'
exec {RAW}<>"/dev/tcp/127.0.0.1/$PORT"
out=$(raw_says)
has 'client_login_timeout: a silent client is told' 'SFATAL VFATAL C57014 Mclient_login_timeout' "$out"
raw_close
is '... counted' '1 1' "$(get login_timeouts) $(get login_failures)"
is '... others log in' 1 "$(sql app 'select 1')"
pooler_stop 'ends well'

# --- the levels: a user's setting before the global one, a database's too -----------------------------

POSTGRES_HAS='query_timeout = "2s"; client_idle_timeout = "2s";'
with transaction 'query_timeout = "60s";'
has "a user's query_timeout" 'FATAL:  57014: query timeout' "$(said 'select pg_sleep(60);')"
has "a user's client_idle_timeout" 'FATAL:  57P05: client_idle_timeout' "$(said 'select 1;' "$(counted cl_idle_timeouts)" 'select 2;')"
pooler_stop 'ends well'
POSTGRES_HAS=

DATABASE_HAS='query_wait_timeout = "3s"; server_lifetime = "2s";'
with transaction 'query_wait_timeout = "60s"; server_lifetime = "1h";'
hold level
has "a database's query_wait_timeout" 'FATAL:  53300: query_wait_timeout' "$(said 'select 1;')"
let_go level
wait "$HOLDER"
within "a database's server_lifetime" 10 backends_are 0
pooler_stop 'ends well'
DATABASE_HAS=

# --- who logs in waits for a first backend, and no longer than query_wait_timeout -----------------------

admin_sql 'create role bob login'
MORE_USERS=', { name = "bob"; }'
DATABASE_HAS='max_db_connections = 1;'
with transaction 'query_wait_timeout = "3s";'
hold login
out=$("$PG_BIN/psql" -X -h 127.0.0.1 -p "$PORT" -U bob -d app -c 'select 1' 2>&1)
has 'query_wait_timeout holds for a login' 'FATAL:  query_wait_timeout' "$out"
has '... which is told by which limit' 'max_db_connections 1 reached' "$out"
has '... with SQLSTATE' 'SFATAL VFATAL C53300 Mquery_wait_timeout Dpool app/bob: ' "$(refusal app bob)"
let_go login
wait "$HOLDER"
pooler_stop 'ends well'
DATABASE_HAS='' MORE_USERS=''

# --- a cancel request that the server does not take ------------------------------------------------------

with transaction 'cancel_wait_timeout = "500ms";'
first=$(sql app "select pg_backend_pid()")
hold cancel
kill -STOP "$PG_PID"
kill -INT "$HOLDER"
within 'cancel_wait_timeout: counted' 10 get_is cancel_timeouts 1
check '... and in the log' log_has 'a cancel request was not taken by the server in time'
let_go cancel
wait "$HOLDER"
is '... the query goes on to its end' 0 "$(grep -c ERROR "$WORK_DIR/holder")"
kill -CONT "$PG_PID"
second=$(sql app 'select pg_backend_pid() from pg_sleep(0.5)')
check "... the backend it may yet hit serves nobody else ($first, $second)" [ "$second" -gt 0 ] && check '... but another one does' [ "$second" != "$first" ]
pooler_stop 'ends well'

# --- sessions ---------------------------------------------------------------------------------------------

with session
out=$(said "set work_mem = '9MB';" 'select pg_backend_pid();')
first=${out##*$'\n'}
is 'server_reset_query: the next session has a clean backend, the same' "4MB $first" "$(said 'show work_mem;' 'select pg_backend_pid();' | tr '\n' ' ' | sed 's/ $//')"
pooler_stop 'ends well'

# reload_to HOST: the same server by another name is another one.
reload_to() {
	sed -i "s/host = \"[^\"]*\"; port = $PG_PORT/host = \"$1\"; port = $PG_PORT/" "$WORK_DIR/pgdrove.conf"
	pooler_reload
}
for fast in true false; do
	with session "server_fast_close = $fast;"
	mkfifo "$WORK_DIR/in.$fast"
	"$PG_BIN/psql" -X -q -A -t -v VERBOSITY=verbose -h 127.0.0.1 -p "$PORT" -U postgres -d app <"$WORK_DIR/in.$fast" >"$WORK_DIR/session" 2>&1 &
	session=$!
	CHILDREN+=("$session")
	exec {IN}>"$WORK_DIR/in.$fast"
	echo 'begin; update t set i = 7;' >&"$IN"
	within 'a session in a transaction' 10 backends_are 1 "state = 'idle in transaction'"
	reload_to localhost
	printf '%s\n' "select 'still here';" 'commit;' "select 'afterwards';" >&"$IN"
	exec {IN}>&-
	wait "$session"
	has "server_fast_close = $fast: the transaction goes on" 'still here' "$(cat "$WORK_DIR/session")"
	if [ $fast = true ]; then
		has '... and the session ends with it' 'FATAL:  57P01: database configuration changed' "$(cat "$WORK_DIR/session")"
	else
		has '... and the session too' 'afterwards' "$(cat "$WORK_DIR/session")"
	fi
	is '... it was committed' 7 "$(admin_sql 'select i from t' app)"
	admin_sql 'update t set i = 1' app >"$WORK_DIR/out"
	pooler_stop 'ends well'
done

# RECONNECT asks for new backends, of the same server.
for fast in true false; do
	with session "server_fast_close = $fast; admin_users = \"postgres\";"
	crowd_start "reconnect.$fast" app
	crowd "reconnect.$fast" 'open 1'
	crowd "reconnect.$fast" 'query begin; update t set i = 8'
	first=$(backend_pid)
	is "RECONNECT, server_fast_close = $fast" '' "$(sql pgbouncer RECONNECT)"
	crowd "reconnect.$fast" 'query select 1'
	is '... the transaction goes on' '1 0 0' "$A $B $C"
	crowd "reconnect.$fast" 'query commit'
	is '... to its end' '1 0 0' "$A $B $C"
	if [ $fast = true ]; then
		within '... with which the session ends, and its backend' 10 backends_are 0
		crowd "reconnect.$fast" 'query select 1'
		is '... and not before' '0 1' "$A $C"
		has '... SQLSTATE and text' 'FATAL:  server connections are renewed (RECONNECT)' "$(cat "$WORK_DIR/reconnect.$fast.err")"
		check '... counted' [ "$(get clients_sent_away)" = 1 ]
	else
		crowd "reconnect.$fast" 'query select 1'
		is '... and so does the session, with its backend' "1 0 0 $first" "$A $B $C $(backend_pid)"
	fi
	is '... it was committed' 8 "$(admin_sql 'select i from t' app)"
	admin_sql 'update t set i = 1' app >"$WORK_DIR/out"
	crowd "reconnect.$fast" close
	[ $fast = true ] || within '... which ends with it' 10 backends_are 0
	is '... the next session has a new one' 1 "$(sql app "select (pg_backend_pid() <> $first)::int")"
	pooler_stop 'ends well'
done

# --- which idle backend is next, how they grow old, keepalive ------------------------------------------------

# /proc/net/tcp: local, remote, ..., timer (02 = keepalive) : when, in hundredths
keeps() {
	awk -v port="$(printf %04X "$1")" -v col="$2" '
		split($col, a, ":") && a[2] == port && $4 == "01" && split($6, t, ":") && t[1] == "02" { print t[2] }' /proc/net/tcp |
		while read -r when; do [ $((16#$when)) -gt 3300 ] || echo yes; done | grep -c yes
}
# ... once the last answer is acknowledged: until then the timer is that of its resending
kept() { [ "$(keeps "$1" "$2")" -ge "$3" ]; }
for turns in false true; do
	pooler_conf < <(
		echo "workers = 1; pool_mode = \"transaction\"; pool_size = 4; server_round_robin = $turns;"
		echo "server_lifetime = \"$([ $turns = true ] && echo 1h || echo 10s)\"; log_level = \"debug\";"
		echo "server_idle_timeout = \"0\"; tcp_keepidle = \"33s\"; tcp_keepalive = $([ $turns = true ] && echo false || echo true);"
		echo "databases = ( { name = \"app\"; host = \"127.0.0.1\"; port = $PG_PORT; } );"
	)
	pooler_start
	crowd_start "turns$turns" app
	crowd "turns$turns" 'open 4'
	crowd_tell "turns$turns" "query select stay('turns$turns')"
	within 'four backends' 20 stays "turns$turns" 4
	let_go "turns$turns"
	crowd_hear "turns$turns"
	pids=$(for _ in 1 2 3 4; do sql app 'select pg_backend_pid()'; done | sort -u | wc -l)
	if [ $turns = true ]; then
		is 'server_round_robin: each in turn' 4 "$pids"
		is 'tcp_keepalive = false: no probes to clients' 0 "$(keeps "$PORT" 2)"
		is '... nor to the server' 0 "$(keeps "$PG_PORT" 3)"
	else
		is 'no server_round_robin: the warmest' 1 "$pids"
		within 'tcp_keepidle towards clients' 20 kept "$PORT" 2 4
		within 'tcp_keepidle towards the server' 20 kept "$PG_PORT" 3 1
		# When each was closed, as the log has it: "... closing: server_lifetime", in ms of the minute.
		ends() { sed -n 's/^[^ ]* [0-9]*:[0-9]*:\([0-9]*\)\.\([0-9]*\) .* closing: server_lifetime$/\1\2/p' "$WORK_DIR/pgdrove.log" | sort -u; }
		within 'server_lifetime: backends opened together all end' 60 backends_are 0
		check "... but they do not end together ($(ends | tr '\n' ' '))" [ "$(ends | wc -l)" -ge 3 ]
		is '... no client was told' '4 0 0' "$(crowd turnsfalse 'query select 1' && echo "$A $B $C")"
	fi
	has 'pgdrove stat --pools: the pool' 'app/postgres' "$("$BIN" stat --run-dir "$WORK_DIR/run" --pools)"
	has '... and the worker'"'"'s part' '  worker 0' "$("$BIN" stat --run-dir "$WORK_DIR/run" --pools)"
	crowd "turns$turns" close
	pooler_stop 'ends well'
done

# --- what is asked of the kernel for each TCP connection -------------------------------------------------------

# Notes each TCP option that is set: the port on our side, its number, its value.
cat >"$WORK_DIR/seen.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int (*next)(int, int, int, const void *, socklen_t), file;
	struct sockaddr_in a = {0};
	socklen_t size = sizeof(a);

	*(void **)&next = dlsym(RTLD_NEXT, "setsockopt");
	if (level == IPPROTO_TCP && len == sizeof(int) && getsockname(fd, (void *)&a, &size) == 0 &&
	    (file = open(getenv("SEEN"), O_WRONLY | O_APPEND)) != -1) {
		dprintf(file, "%u %d %d\n", ntohs(a.sin_port), name, *(const int *)value);
		close(file);
	}
	return next(fd, level, name, value, len);
}
C
cc -shared -fPIC -o "$WORK_DIR/seen.so" "$WORK_DIR/seen.c" || not_ok 'a C compiler'
export SEEN=$WORK_DIR/seen
: >"$SEEN"
own_file "$SEEN"
# shellcheck disable=SC2034
POOLER_PRELOAD=$WORK_DIR/seen.so POOLER_ASAN=verify_asan_link_order=0
with transaction 'tcp_keepidle = "33s"; tcp_keepintvl = "7s"; tcp_keepcnt = 4; tcp_user_timeout = "9s";'
is 'TCP options: it serves' 1 "$(sql app 'select 1')"
for option in 'keepidle 4 33' 'keepintvl 5 7' 'keepcnt 6 4' 'user_timeout 18 9000'; do
	check "tcp_${option%% *} towards clients" grep -qx "$PORT ${option#* }" "$SEEN"
	check "tcp_${option%% *} towards the server" grep -qxE "[0-9]+ ${option#* }" <(grep -v "^$PORT " "$SEEN")
done
pooler_stop 'ends well'

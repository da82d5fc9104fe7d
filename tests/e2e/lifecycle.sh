#!/usr/bin/env bash
#
# lifecycle: a backend from its opening to its end: checks before use, several hosts, back-off after
# failures, orphans. What limits on time do is in timeouts.sh, what limits on numbers do in limits.sh.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin lifecycle
e2e_stay app

# begin DATABASE OPTION...: a pooler with two workers, or WORKERS; DATABASE is what the entry `app` has.
begin() {
	local database=$1
	shift
	pooler_conf < <(
		echo "workers = ${WORKERS:-2}; pool_mode = \"transaction\";" "$@"
		echo "databases = ( { name = \"app\"; $database } );"
	)
	pooler_start
}
at="host = \"127.0.0.1\"; port = $PG_PORT;"
said() { printf '%s\n' '\set VERBOSITY verbose' "$@" | "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app 2>&1; }
pid_of_mine() { sql app 'select pg_backend_pid()'; }

# --- server_check_query ---------------------------------------------------------------------------------

begin "$at pool_size = 1;" 'server_check_delay = "5s";'
first=$(pid_of_mine)
sleep 5.2
is 'server_check_query: a backend that works is used on' "$first" "$(pid_of_mine)"
is '... it was asked once' '1 0' "$(get sv_checked) $(get sv_check_failed)"
sleep 5.2
psql_beside app "select pg_sleep(0.3), 'a'" "$WORK_DIR/a"
psql_beside app "select pg_sleep(0.3), 'b'" "$WORK_DIR/b"
wait "${CHILDREN[@]: -2}"
is '... two clients at once: both are served' '|a |b ' "$(cat "$WORK_DIR/a" "$WORK_DIR/b" | tr '\n' ' ')"
is '... by one backend, asked once' "$first 2" "$(pid_of_mine) $(get sv_checked)"
pooler_stop 'ends well'

begin "$at pool_size = 2;" 'server_check_delay = "1s"; server_connect_timeout = "4s";'
first=$(pid_of_mine)
kill -STOP "$first"
sleep 1.2
start=$(now_ms)
second=$(pid_of_mine)
check "a backend that does not answer: another one serves ($(($(now_ms) - start)) ms)" [ "$second" -gt 0 ]
check '... and not that one' [ "$second" != "$first" ]
within '... it is closed' 10 get_is sv_check_failed 1
kill -CONT "$first"
within '... PostgreSQL has only the other' 10 backends_are 1
pooler_stop 'ends well'

begin "$at pool_size = 1;" 'server_check_query = "select nonsense"; server_check_delay = "500ms";'
first=$(pid_of_mine)
sleep 0.7
second=$(pid_of_mine)
check 'a check that fails: the client notices nothing' [ "$second" -gt 0 ]
check '... the backend is replaced' [ "$second" != "$first" ]
check '... and the log says why' log_has 'server_check_query failed: column "nonsense" does not exist'
pooler_stop 'ends well'

begin "$at pool_size = 1;" 'server_check_query = ""; server_check_delay = "0";'
is 'no server_check_query' 1 "$(sql app 'select 1')"
is '... no check' '1 0' "$(sql app 'select 1') $(get sv_checked)"
pooler_stop 'ends well'

begin "$at pool_size = 1;" 'server_check_query = "<empty>"; server_check_delay = "0";'
first=$(pid_of_mine)
is 'server_check_delay = 0: a check each time' "$first 2" "$(pid_of_mine) $(get sv_checked)"
pooler_stop 'ends well'

# --- several hosts ----------------------------------------------------------------------------------------

admin_sql 'create role bob login'
MORE_USERS=', { name = "bob"; }'
CROWD_USER=bob
over_tcp() { admin_count "pg_stat_activity where usename = 'bob' and client_addr is not null"; }
over_unix() { admin_count "pg_stat_activity where usename = 'bob' and client_addr is null"; }
# spread_of MODE: four backends opened at once, by what way they came.
spread_of() {
	begin "host = \"127.0.0.1, $PG_SOCKETS\"; port = $PG_PORT; pool_size = 4; load_balance_hosts = \"$1\";"
	crowd_start "$1" app
	crowd "$1" 'open 4'
	crowd_tell "$1" "query select stay('$1')"
	within "load_balance_hosts = $1: four are busy" 20 stays "$1" 4
	SPREAD="$(over_tcp) $(over_unix)"
	let_go "$1"
	crowd_hear "$1"
	SPREAD="$A $SPREAD"
	crowd "$1" close
	pooler_stop 'ends well'
}
spread_of disable
is 'load_balance_hosts = disable: all on the first host' '4 4 0' "$SPREAD"
spread_of round-robin
is 'load_balance_hosts = round-robin: each in turn, over all workers' '4 2 2' "$SPREAD"
spread_of random
check "load_balance_hosts = random: all are served ($SPREAD)" [ "${SPREAD%% *}" = 4 ]

begin "host = \"127.0.0.2, 127.0.0.1\"; port = $PG_PORT; load_balance_hosts = \"disable\"; pool_size = 4;" 'server_login_retry = "30s";'
crowd_start skip app
crowd skip 'open 8'
crowd skip 'query select pg_sleep(0.1)'
is 'a host that refuses is passed over' '8 0 0' "$A $B $C"
is '... which is no failure' 0 "$(get sv_failed)"
crowd skip close
pooler_stop 'ends well'

begin "host = \"127.0.0.1, 127.0.0.1\"; ports = \"1, $PG_PORT\";"
is 'a port for each host' 1 "$(sql app 'select 1')"
pooler_stop 'ends well'

begin "host = \"127.0.0.2, 127.0.0.3\"; ports = \"$PG_PORT, 1\"; load_balance_hosts = \"disable\";" 'server_login_retry = "200ms";'
out=$(sql app 'select 1')
has 'no host works: every reason' "127.0.0.2:$PG_PORT: Connection refused" "$out"
has '... of each' '127.0.0.3:1: Connection refused' "$out"
has '... with SQLSTATE' 'SFATAL VFATAL C08006 Mcannot connect to any server of 127.0.0.2, 127.0.0.3' "$(refusal app)"
has '... and the state of the pool' 'DETAIL:  pool app/postgres: pool_size 20, 0 connections' "$out"
pooler_stop 'ends well'

pooler_conf <<<'databases = ( { name = "app"; host = "a, b"; ports = "1"; }, { name = "b"; host = "a,,b"; } );'
out=$("$BIN" -c "$WORK_DIR/pgdrove.conf" -t 2>&1)
has 'lists that do not fit are refused' 'databases[0].ports: must have as many ports as there are hosts' "$out"
has '... so is an empty host' 'databases[1].host: is empty or too long' "$out"

# --- back-off -----------------------------------------------------------------------------------------------

# A host that refuses: 127.0.0.2 has no server. Who comes first waits for the fault to pass.
begin "host = \"127.0.0.2\"; port = $PG_PORT;" 'server_login_retry = "6s";'
start=$(now_ms)
out=$(PGCONNECT_TIMEOUT=60 said 'select 1')
took=$(($(now_ms) - start))
has 'unreachable: the real cause' "cannot connect to server at 127.0.0.2:$PG_PORT: Connection refused" "$out"
has '... and the state of the pool' 'DETAIL:  pool app/postgres: pool_size 20, 0 connections' "$out"
check "... after server_login_retry ($took ms)" [ "$took" -ge 5900 ]
fast=0
for _ in 1 2 3 4 5 6; do
	start=$(now_ms)
	out=$(sql app 'select 1')
	case $out in *'Connection refused'*) [ $(($(now_ms) - start)) -ge 5000 ] || fast=$((fast + 1)) ;; esac
done
check "... then at once, on each worker ($fast of 6)" [ "$fast" -ge 5 ]
tries=$(get sv_failed)
check "... and with few attempts ($tries)" [ "$tries" -le 30 ]
pooler_stop 'ends well'

# A login that is refused for good is told at once, and again without asking the server each time.
begin "$at user = \"nobody\";" 'server_login_retry = "30s";'
start=$(now_ms)
out=$(said 'select 1')
has "a login that is refused: PostgreSQL's own words" 'role "nobody" does not exist' "$out"
has '... and the state of the pool, without the attempt that failed' 'DETAIL:  pool app/nobody: pool_size 20, 0 connections' "$out"
for _ in 1 2 3 4; do out=$(said 'select 1'); done
has '... each time' 'role "nobody" does not exist' "$out"
check '... at once' [ $(($(now_ms) - start)) -lt 29000 ]
pooler_stop 'ends well'

# However many workers there are, the server is asked at one pace, and whoever waits is told.
refused_at_server() { grep -c 'role "nobody" does not exist' "$WORK_DIR/postgres.log"; }
for workers in 1 4; do
	WORKERS=$workers begin "$at user = \"nobody\";" 'server_login_retry = "1s";'
	before=$(refused_at_server) start=$(now_ms)
	crowd_start "refused.$workers" app
	crowd "refused.$workers" 'open 16'
	is "a login that is refused, $workers workers: all are told" '0 16' "$A $B"
	crowd_tell "refused.$workers" 'storm select 1'
	sleep 5
	crowd_tell "refused.$workers" .
	crowd_hear "refused.$workers"
	took=$(($(now_ms) - start))
	tries=$(($(refused_at_server) - before))
	# The first ones, of which four may begin at once on a worker; five until the pause is 1 s; then one each.
	check "... the server is asked at the pace of one ($tries in $took ms)" \
		[ "$tries" -ge 3 -a "$tries" -le $((4 * workers + 6 + took / 750)) ]
	crowd "refused.$workers" close
	pooler_stop 'ends well'
done

# A server that does not answer (its backlog takes the connection): each host has its own timeout.
perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0) && bind(S, sockaddr_in(0, inet_aton("127.0.0.2"))) && listen(S, 5)
	or die; $| = 1; print((sockaddr_in(getsockname(S)))[0], "\n"); sleep 300' >"$WORK_DIR/mute" &
CHILDREN+=($!)
until_true 30 [ -s "$WORK_DIR/mute" ]
begin "host = \"127.0.0.2, 127.0.0.1\"; ports = \"$(cat "$WORK_DIR/mute"), $PG_PORT\"; load_balance_hosts = \"disable\";" 'server_connect_timeout = "5s"; server_login_retry = "60s";'
is 'server_connect_timeout: a mute host is passed over' 1 "$(sql app 'select 1')"
is '... counted' 1 "$(get sv_connect_timeouts)"
pooler_stop 'ends well'
begin "host = \"127.0.0.2\"; port = $(cat "$WORK_DIR/mute");" 'server_connect_timeout = "500ms"; server_login_retry = "200ms";'
out=$(said 'select 1')
has '... the only one: SQLSTATE and text' 'cannot connect to server at 127.0.0.2' "$out"
has '... the reason' 'no answer within server_connect_timeout' "$out"
has '... by SQLSTATE too' 'SFATAL VFATAL C08006 Mcannot connect to server at 127.0.0.2' "$(refusal app)"
pooler_stop 'ends well'

# --- how many at once, and a server without a place -----------------------------------------------------------

# server COMMAND: to tool_server; `look` has its answer in MOST, OPENED and REFUSED.
mkfifo "$WORK_DIR/server.in" "$WORK_DIR/server.out"
"$TOOLS/tool_server" <"$WORK_DIR/server.in" >"$WORK_DIR/server.out" &
CHILDREN+=($!)
exec {SERVER_IN}>"$WORK_DIR/server.in" {SERVER_OUT}<"$WORK_DIR/server.out"
read -r -t 20 -u "$SERVER_OUT" _ server_port
server() {
	echo "$1" >&"$SERVER_IN"
	[ "$1" != look ] || read -r -t 20 -u "$SERVER_OUT" _ MOST OPENED REFUSED
}
slow="host = \"127.0.0.1\"; port = $server_port;"
admin_sql 'create role alice login'
MORE_USERS=', { name = "alice"; }, { name = "bob"; }'

# A pool may make eight at a time, all pools together sixteen.
server 'delay 200'
begin "$slow pool_size = 40;"
CROWD_USER=bob crowd_start one app
crowd one 'open 30'
crowd one 'query x'
is 'connects in parallel: everybody is served' '30 0 0' "$A $B $C"
server look
check "... more than one at a time, and no more than eight for a pool ($MOST)" [ "$MOST" -gt 1 ]
check '... no storm' [ "$MOST" -le 8 ]
crowd one close
pooler_stop 'ends well'
begin "$slow pool_size = 40;"
server look
for user in alice bob postgres; do
	CROWD_USER=$user crowd_start "many.$user" app
	crowd_tell "many.$user" 'open 30'
done
wrong=0
for user in alice bob postgres; do crowd_hear "many.$user" && wrong=$((wrong + B)); done
for user in alice bob postgres; do crowd_tell "many.$user" 'query x'; done
for user in alice bob postgres; do crowd_hear "many.$user" && wrong=$((wrong + 30 - A)); done
is '... three pools: everybody is served' 0 "$wrong"
server look
# Two workers may count at the same moment.
check "... no more than sixteen for a host ($MOST)" [ "$MOST" -le 17 ]
for user in alice bob postgres; do crowd "many.$user" close; done
pooler_stop 'ends well'

# A login that takes longer than server_connect_timeout goes on at the server: its place is not given to
# another one before the server has ended it.
server 'delay 1500'
begin "$slow pool_size = 1;" 'server_connect_timeout = "300ms"; server_login_retry = "100ms";'
server look
cut_until=$(($(now_ms) + 4000))
cut_off() {
	out=$(said 'select 1')
	[ "$(now_ms)" -ge "$cut_until" ] && [ "$(get sv_connect_timeouts)" -ge 2 ]
}
within 'logins that are cut off: counted' 30 cut_off
has '... the reason' 'no answer within server_connect_timeout' "$out"
server look
is '... while the server has it, there is no other' 1 "$MOST"
server 'delay 20'
within '... and service resumes by itself' 30 sql_is '' app x
pooler_stop 'ends well'
server 'delay 200'

# Two places, and who logs in beside too many others is refused with them: one at a time then. Who waits is
# told of it when that has lasted for server_login_retry, which must not be soon here: a login takes 200 ms.
WORKERS=4 begin "$slow pool_size = 8;" 'server_login_retry = "2s";'
CROWD_USER=bob crowd_start few app
crowd few 'open 12'
server 'places 2'
# Again and again: one that was logging in the first time stays.
dropped() {
	server drop
	get_is backends 0
}
within 'a server with two places: it ended all backends' 20 dropped
crowd few 'query x'
is '... attempts do not keep each other out, and everybody is served' '12 0 0' "$A $B $C"
is '... by two' 2 $(($(get sv_idle) + $(get sv_active)))
crowd few close
pooler_stop 'ends well'

server 'places 0'
begin "$slow pool_size = 8;" 'server_login_retry = "500ms";'
out=$(said 'select 1')
has 'a server without a place: its own words' 'FATAL:  no place at this server' "$out"
has "... and the pool's state" 'DETAIL:  pool app/postgres: pool_size 8, ' "$out"
server look
crowd_start none app
start=$(now_ms)
crowd none 'open 12'
is '... nobody gets in' '0 12' "$A $B"
check "... which they are told in time ($(($(now_ms) - start)) ms)" [ $(($(now_ms) - start)) -lt 20000 ]
is '... with SQLSTATE' 53300 "$(raw_open app && timeout 20 cat <&"$RAW" | tr '\0' '\n' | sed -n 's/^C//p')"
server look
# Two workers may begin in the same instant.
check "... tried by one at a time ($REFUSED refused, $MOST at most)" [ "$MOST" -le 2 ]
server 'places 40'
within '... and when it has places again, it serves' 20 sql_is '' app x
crowd none 'refill'
crowd none 'query x'
is '... everybody' '12 0 0' "$A $B $C"
several() {
	server look
	[ "$MOST" -gt 1 ] || { server drop && crowd none 'query x' && false; }
}
within '... and several connect at a time again' 30 several
crowd none close
pooler_stop 'ends well'

# The server stops, and says so right behind the end of the login.
server 'brief 2'
begin "$slow min_pool_size = 2;"
server look
opened=0
opened_are() {
	server look
	opened=$((opened + OPENED))
	[ "$opened" -ge "$1" ]
}
crowd_start least app
crowd least 'open 1'
within 'two backends are ended with their login, which is seen: two others come' 20 opened_are 4
within '... and stay' 10 get_is sv_idle 2
crowd least close
pooler_stop 'ends well'

all_idle() { get_is sv_idle "$(get backends)"; }
# all_served CROWD N
all_served() {
	crowd "$1" close
	crowd "$1" "open $2"
	crowd "$1" 'query x'
	[ "$A $B $C" = "$2 0 0" ]
}

# It ends every session so: those who wait do not try one after the other without a pause, and are told why. With a
# connect_query no client has the backend yet.
server 'delay 10'
for query in '' 'connect_query = "y";'; do
	begin "$slow pool_size = 8; $query" 'server_login_retry = "1s";'
	server 'brief 1000000'
	CROWD_USER=postgres crowd_start "ended.$query" app
	server look
	start=$(now_ms)
	crowd "ended.$query" 'open 12'
	crowd "ended.$query" 'query x'
	is "each session is ended at its login ($query): nobody is served" 0 "$A"
	check "... which they are told in time ($(($(now_ms) - start)) ms)" [ $(($(now_ms) - start)) -lt 20000 ]
	crowd_tell "ended.$query" 'storm x'
	sleep 4
	crowd_tell "ended.$query" .
	crowd_hear "ended.$query"
	is '... nor later' 0 "$A"
	took=$(($(now_ms) - start))
	server look
	check "... with few attempts ($OPENED in $took ms)" [ "$OPENED" -le $((60 + took / 100)) ]
	start=$(now_ms)
	out=$(said x)
	has "... the server's own words" 'terminated' "$out"
	check "... at once ($(($(now_ms) - start)) ms)" [ $(($(now_ms) - start)) -lt 10000 ]
	check '... and the log says so' log_has 'ended the session right after its login: terminated'
	if [ -n "$query" ]; then
		has "... with the pool's state" 'SFATAL VFATAL C57P01 Mterminated Dpool app/postgres: pool_size 8, 0 connections' "$(refusal app)"
	fi
	server 'brief 0'
	within '... and when they last, it serves' 20 sql_is '' app x
	within '... everybody' 20 all_served "ended.$query" 12
	within '... with no place lost' 20 all_idle
	crowd "ended.$query" close
	pooler_stop 'ends well'
done
exec {SERVER_IN}>&- {SERVER_OUT}<&-

# --- who logs in when the pool has backends, and nobody knows the server's parameters -------------------------

# app_at HOST: a reload gives the database another server.
app_at() {
	sed -i "s/name = \"app\"; host = \"[^\"]*\"/name = \"app\"; host = \"$1\"/" "$WORK_DIR/pgdrove.conf"
	pooler_reload
}

WORKERS=1 begin "$at pool_size = 3; pool_mode = \"session\";" 'query_wait_timeout = "20s";'
psql_beside app 'select pg_sleep(600)' /dev/null
within 'a session on the server of yesterday' 10 backends_are 1 "state = 'active'"
app_at localhost
is '... who logs in afterwards gets a backend of the new one at once' 1 "$(sql app 'select 1')"
kill -KILL "$BESIDE"
pooler_stop 'ends well'

# One worker is late with RECONNECT: it drops the parameters that a new backend has brought already.
begin "$at pool_size = 1;" 'admin_users = "postgres"; worker_timeout = "60s"; query_wait_timeout = "20s";'
CROWD_USER=postgres crowd_start both app
crowd both 'open 8'
check 'clients on both workers' [ "$(get worker.0.clients)" -gt 0 -a "$(get worker.1.clients)" -gt 0 ]
late=0
[ "$(get worker.0.backends)" = 0 ] || late=1
late=$(get worker.$late.pid)
kill -STOP "$late"
beside sql pgbouncer RECONNECT >/dev/null
within 'RECONNECT: the backend is closed' 20 backends_are 0
has_one() { [ "$(timeout 5 "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app -c 'select 1' 2>&1)" = 1 ]; }
within '... a new one serves' 20 has_one
kill -CONT "$late"
wait "$BESIDE"
is '... who logs in when the other worker has done it is served, too' 1 "$(sql app 'select 1')"
crowd both 'query select 1'
is '... and all the others' '8 0 0' "$A $B $C"
crowd both close
pooler_stop 'ends well'

# --- an orphan that nobody can be asked about -------------------------------------------------------------------

begin "$at pool_size = 2;"
psql_beside app 'select pg_sleep(600)' /dev/null
within 'a query' 10 backends_are 1 "state = 'active'"
sed -i 's/name = "app"/name = "other"/' "$WORK_DIR/pgdrove.conf"
check 'its database leaves the configuration' pooler_reload
owner=0
[ "$(get worker.0.backends)" != 0 ] || owner=1
kill -KILL "$(get worker.$owner.pid)"
within '... and its worker dies' 10 get_is steward.orphans 1
within '... the query is cancelled' 20 backends_are 0
within '... and the slot is free' 40 get_is steward.orphans 0
pooler_stop 'ends well'

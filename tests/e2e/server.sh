#!/usr/bin/env bash
#
# server: what happens to clients and pools when PostgreSQL's side fails: a backend is ended, all of
# PostgreSQL is killed, stopped, restarted, refuses. Service must resume by itself, with no slot lost.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin server
admin_sql 'create table t as select 1 as i' app
pooler_conf < <(
	cat <<-CONF
		workers = 4;
		pool_mode = "transaction";
		pool_size = 8;
		server_login_retry = "200ms";
		databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	CONF
)
sed -i 's/^users = .*/users = ( { name = "postgres"; }, { name = "bob"; } );/' "$WORK_DIR/pgdrove.conf"
admin_sql 'create role bob login'
pooler_start

counts_agree() { [ "$(get backends)" = "$(backends)" ]; }
# terminate CONDITION: ends backends of the pool from PostgreSQL's side.
terminate() { admin_sql "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = 'app' and client_addr is not null and $1"; }

# --- a backend is ended ------------------------------------------------------------------------------

crowd_start idle app
crowd idle 'open 20'
crowd idle 'query select 1'
# Again and again: one that was just being opened may log in after the first time.
all_ended() {
	terminate "state = 'idle'" >/dev/null
	get_is backends 0 && backends_are 0 && no_process
}
# Also one that is shown no more has a place at PostgreSQL, until its process has ended.
no_process() { ! pgrep -P "$PG_PID" -f ' app 127\.0\.0\.1' >/dev/null; }
within 'pooled backends are ended, and pgdrove sees it' 10 all_ended
crowd idle 'query select 1'
is 'idle clients notice nothing' '20 0 0' "$A $B $C"
crowd idle close

"$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app -c '\set VERBOSITY verbose' -c 'select pg_sleep(30)' >"$WORK_DIR/ended" 2>&1 &
client=$!
CHILDREN+=("$client")
within 'a query runs' 10 backends_are 1 "query like 'select pg_sleep(30)%' and state = 'active'"
terminate "query like 'select pg_sleep(30)%'" >/dev/null
wait "$client"
has "a busy backend is ended: PostgreSQL's own words" '57P01: terminating connection due to administrator command' "$(cat "$WORK_DIR/ended")"
is '... and nothing of ours' 0 "$(grep -c 'crashed' "$WORK_DIR/ended")"
within '... counts agree' 10 counts_agree

# --- one backend is killed, so that PostgreSQL ends all of them ------------------------------------------

# more_xacts N: so many more transactions than before.
more_xacts() { [ "$(get xact_count)" -ge $((XACTS + $1)) ]; }
# traffic_start COMMAND: of the crowd `live`, tagged; when it flows.
traffic_start() {
	XACTS=$(get xact_count)
	crowd_tell live "$1 select ':t'"
	until_true 20 more_xacts 100
}
# traffic_end NAME: ... and nothing has stayed of what happened meanwhile.
traffic_end() {
	crowd_tell live stop
	crowd_hear live
	is "$1: no answer that was not for them" 0 "$(grep -c FOREIGN "$WORK_DIR/live.err")"
	crowd live refill
	is "$1: everybody gets in again" 0 "$B"
	crowd live 'query select 1'
	is "$1: and is served" '20 0 0' "$A $B $C"
	adds_up "$1" 20
	check "$1: never more than the pool" [ "$(backends)" -le 8 ]
}

crowd_start live app
crowd live 'open 20'
traffic_start storm
psql_beside app 'select pg_sleep(31)' /dev/null
other=$BESIDE
"$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app -c '\set VERBOSITY verbose' -c 'select pg_sleep(30)' >"$WORK_DIR/ended" 2>&1 &
client=$!
CHILDREN+=("$client")
within 'two queries run' 10 backends_are 2 "query like 'select pg_sleep(3_)%' and state = 'active'"
kill -KILL "$(admin_sql "select pid from pg_stat_activity where query like 'select pg_sleep(30)%' and client_addr is not null")"
wait "$client"
has 'a busy backend is killed -9: SQLSTATE' 'FATAL:  08006: server conn crashed?' "$(cat "$WORK_DIR/ended")"
has '... why' 'DETAIL:  closed by the server' "$(cat "$WORK_DIR/ended")"
has '... and what to do' 'HINT:  Whether the statement was executed is not known' "$(cat "$WORK_DIR/ended")"
wait "$other"
within 'PostgreSQL has recovered: service resumes by itself' 30 serves
XACTS=$(get xact_count)
within '... for everybody' 30 more_xacts 100
traffic_end 'a backend was killed -9'

# --- all of PostgreSQL is killed, and comes back --------------------------------------------------------

# Clients come again and again, all the time that it is down.
traffic_start storm
kill -KILL "$PG_PID"
wait "$PG_PID" 2>/dev/null
refused() { grep -q 'Connection refused' "$WORK_DIR/live.err"; }
within 'PostgreSQL killed: clients get the cause' 30 refused
# A backend that lives on for a moment may serve one more.
down() {
	out=$(sql app 'select 1')
	[ "$out" != 1 ]
}
until_true 30 down
case $out in
*'Connection refused'* | *'server closed'* | *'crashed'* | *'shutting down'* | *'starting up'* | *'recovery'*) ok 'PostgreSQL down: clients get the cause' ;;
*) not_ok 'PostgreSQL down: clients get the cause' "$out" ;;
esac
rm -f "$WORK_DIR/data/postmaster.pid"
cluster_again
within 'PostgreSQL is back: service resumes by itself' 30 serves
XACTS=$(get xact_count)
within '... for everybody' 30 more_xacts 100
traffic_end 'PostgreSQL was killed'

# --- a clean restart ---------------------------------------------------------------------------------------

traffic_start storm
"$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U postgres -d app -c 'select pg_sleep(60)' >"$WORK_DIR/ended" 2>&1 &
client=$!
CHILDREN+=("$client")
within 'a long query runs' 30 backends_are 1 "query like 'select pg_sleep(60)%' and state = 'active'"
cluster_stop
cluster_again
within 'restarted: service resumes' 30 serves
wait "$client"
has "... PostgreSQL's own words" 'terminating connection due to administrator command' "$(cat "$WORK_DIR/ended")"
XACTS=$(get xact_count)
within '... for everybody' 30 more_xacts 100
traffic_end 'PostgreSQL was restarted'

# --- it hangs -------------------------------------------------------------------------------------------------

pids=$(admin_sql "select string_agg(pid::text, ' ') from pg_stat_activity where datname = 'app' and client_addr is not null")
# shellcheck disable=SC2086
kill -STOP $pids
crowd_tell live 'query select 2'
sleep 2
is 'hung: pgdrove lives' healthy "$(get health)"
# shellcheck disable=SC2086
kill -CONT $pids
crowd_hear live
is 'hung: when it goes on, nobody has lost anything' '20 0 0' "$A $B $C"
adds_up 'hung' 20

crowd live close

# --- it refuses -----------------------------------------------------------------------------------------------

# No superuser, whom the limit would not hold.
CROWD_USER=bob
crowd_start bob app
crowd bob 'open 12'
crowd bob 'query select pg_sleep(0.05)'
within 'all are ended' 10 all_ended
admin_sql 'alter database app connection limit 3'
crowd bob 'query select pg_sleep(0.05)'
is 'the server refuses more than three: these serve everybody' '12 0 0' "$A $B $C"
check '... no more than three' [ "$(backends)" -le 3 ]
admin_sql 'alter database app connection limit -1'
crowd bob close
adds_up 'at the end of the refusals' 0

# --- all of it hangs: the postmaster too ------------------------------------------------------------------

pooler_stop 'ends well'
sed -i 's/^server_login_retry.*/server_login_retry = "1s";\nserver_connect_timeout = "1s"; query_wait_timeout = "3s"; query_timeout = "3s";/' "$WORK_DIR/pgdrove.conf"
pooler_start
crowd_start busy app
crowd busy 'open 12'
crowd_tell busy "run select ':t'"
until_true 30 serves
kill -STOP "$PG_PID" # from now on no new child
mapfile -t pids < <(pid_children "$PG_PID")
pids+=("$PG_PID")
kill -STOP "${pids[@]}"
out=$(PGCONNECT_TIMEOUT=30 timeout 60 "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app -c 'select 1' 2>&1)
case $out in
*query_wait_timeout* | *query_timeout* | *server_connect_timeout*) ok 'all of PostgreSQL hangs: who comes is told, in time' ;;
*) not_ok 'all of PostgreSQL hangs: who comes is told, in time' "$out" ;;
esac
is '... pgdrove lives' healthy "$(get health)"
kill -CONT "${pids[@]}"
within '... and when it goes on, so does service' 30 serves
crowd_tell busy stop
crowd_hear busy
is '... no answer that was not for them' 0 "$(grep -c FOREIGN "$WORK_DIR/busy.err")"
# waits_for TIME, in force: server_connect_timeout, query_wait_timeout and query_timeout.
waits_for() {
	sed -i "s/\(server_connect_timeout\|query_wait_timeout\|query_timeout\) = \"[0-9]*s\"/\1 = \"$1\"/g" "$WORK_DIR/pgdrove.conf"
	pooler_reload || not_ok 'a reload'
}
waits_for 60s
crowd busy refill
crowd busy 'query select 1'
is '... for everybody' '12 0 0' "$A $B $C"
adds_up 'all of PostgreSQL hung' 12
crowd busy close

# --- max_connections ------------------------------------------------------------------------------------------

cluster_stop
echo 'max_connections = 10' >>"$WORK_DIR/data/postgresql.conf" # three of them for superusers
cluster_again
# hold N: so many of PostgreSQL's places are taken by others, until hold_end.
hold() { until_true 20 hold_all "$1"; }
# One that finds no place, since PostgreSQL has not freed that of a backend that ended just now, tries again.
hold_all() {
	local pid alive=()
	for pid in "${HOLDERS[@]}"; do
		if kill -0 "$pid" 2>/dev/null; then alive+=("$pid"); fi
	done
	HOLDERS=("${alive[@]}")
	while [ "${#HOLDERS[@]}" -lt "$1" ]; do
		beside "$PG_BIN/psql" -X -q -h "$PG_SOCKETS" -p "$PG_PORT" -U bob -d postgres -c 'select pg_sleep(120)' >/dev/null 2>&1
		HOLDERS+=("$BESIDE")
	done
	held "$1"
}
held() { [ "$(admin_count "pg_stat_activity where query = 'select pg_sleep(120)' and state = 'active'")" = "$1" ]; }
hold_end() {
	kill -KILL "${HOLDERS[@]}"
	wait "${HOLDERS[@]}" 2>/dev/null
	HOLDERS=()
	admin_sql "select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(120)'" >/dev/null
	until_true 20 held 0
}
HOLDERS=()
bob() { "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U bob -d app -c '\set VERBOSITY verbose' -c 'select 1' 2>&1; }
bob_is() { [ "$(bob)" = 1 ]; }

hold 5
CROWD_USER=bob
crowd_start few app
crowd few 'open 12'
crowd_tell few "run select ':t', pg_sleep(0.01)"
# Not as PostgreSQL counts: a look at it takes one of the places.
two_work() { [ $(($(get sv_active) + $(get sv_idle))) = 2 ]; }
within 'max_connections reached: two are left, which work' 60 two_work
crowd_tell few stop
crowd_hear few
is '... and serve everybody' '0 0' "$B $C"
is '... nobody got an answer that was not for them' 0 "$(grep -c FOREIGN "$WORK_DIR/few.err")"
hold_end
crowd_tell few 'run select pg_sleep(0.2)'
more() { [ "$(backends)" -gt 2 ]; }
within 'places are free again: the pool grows' 20 more
crowd_tell few stop
crowd_hear few
is '... without an error' '0 0' "$B $C"
crowd few close
within 'all are ended' 10 all_ended
hold 7
# The pool may have to forget first how those that were ended during their login ended.
no_place() { case $(bob) in *53300*) ;; *) return 1 ;; esac; }
within 'no place at all: clients get the cause' 20 no_place
hold_end
within '... and afterwards service resumes' 20 bob_is
adds_up 'at the end' 0
pooler_stop 'ends well'

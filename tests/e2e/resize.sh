#!/usr/bin/env bash
#
# resize: the number of workers by a reload, under load: new ones serve at once; those that are too many hand
# their clients and idle backends over to the others and leave, and nobody is cut off.

set -u
cd "$(dirname "$0")/../.." || exit 2
# shellcheck source=tests/e2e/lib.sh
. tests/e2e/lib.sh

ROUNDS=${ROUNDS:-20}

e2e_begin resize
e2e_ca root
e2e_cert server root /CN=localhost
pooler_conf <<-CONF
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; },
		{ name = "tight"; dbname = "app"; host = "127.0.0.1"; port = $PG_PORT; pool_size = 8; } );
	admin_users = "postgres";
	pool_mode = "transaction";
	workers = 1;
	max_workers = 4;
	pool_size = 6;
	$(client_tls allow)
CONF
export PGSSLMODE=disable
pooler_start
START=$POOLER

# resize N: reloads and waits until it is in force.
resize() {
	sed -i "s/^\(\s*\)workers = .*/\1workers = $1;/" "$WORK_DIR/pgdrove.conf"
	pooler_reload || not_ok 'a reload' "$(tail -n 3 "$WORK_DIR/pgdrove.log")"
}
lives() {
	local w all=''
	for w in 0 1 2 3; do all+="${all:+ }$(get "worker.$w.life")"; done
	echo "$all"
}
lives_are() { [ "$(lives)" = "$1" ]; }
settled() { [[ "$(lives)" != *@(starting|surplus|down)* ]]; }
fds() {
	local n=0 pid
	for pid in $(pid_children "$POOLER") "$POOLER"; do n=$((n + $(find "/proc/$pid/fd" -mindepth 1 2>/dev/null | wc -l))); done
	echo "$n"
}

# --- load ----------------------------------------------------------------------------------------------

is 'one worker' 'serving unused unused unused' "$(lives)"
"${RUN_AS[@]}" "$PG_BIN/pgbench" -i -q -h "$PG_SOCKETS" -p "$PG_PORT" -U postgres app >/dev/null 2>&1
BENCHES=()
bench() {
	local out=$1
	shift
	beside "$PG_BIN/pgbench" -n -T 3600 -h 127.0.0.1 -p "$PORT" -U postgres "$@" app >"$WORK_DIR/bench.$out" 2>&1
	BENCHES+=("$BESIDE")
}
bench simple -c 8 -j 2 -S
bench prepared -c 8 -j 8 -M prepared -f <(printf 'begin;\nselect 1;\nselect pg_sleep(0.01);\nend;\n')
bench new -c 2 -C -f <(echo 'select 1;')
crowd_start idle app
crowd idle 'open 40'
crowd idle "query set application_name = 'idle:i'"
is 'forty with settings of their own' 40 "$A"

# --- more ----------------------------------------------------------------------------------------------

resize 4
within 'four workers serve' 20 lives_are 'serving serving serving serving'
is '... and that is healthy' healthy "$(get health)"
is '... the number tells it' 4 "$(get workers)"
has '... the console too' '|serving|' "$(sql pgbouncer 'show workers' | grep '^3|')"
crowd_start more app
crowd more 'open 40'
is 'forty clients more' '40 0' "$A $B"
everywhere() { [ "$(get worker.1.logins)" -gt 0 ] && [ "$(get worker.2.logins)" -gt 0 ] && [ "$(get worker.3.logins)" -gt 0 ]; }
within '... and the new ones have some' 30 everywhere
crowd_start tls 'app sslmode=require'
# So many that each of those that will leave has one.
with_tls() { [ "$(get worker.2.tls_handshakes)" -gt 0 ] && [ "$(get worker.3.tls_handshakes)" -gt 0 ]; }
for TLS in 4 8 12 16 20 24 28 32 36 40; do
	crowd tls 'open 4'
	! with_tls || break
done
crowd tls look
is 'some with TLS' "$TLS 0" "$A $B"
check '... everywhere' with_tls
crowd_start listen tight
crowd listen 'open 8'
crowd listen 'query listen news'
is 'eight keep all backends of their pool' 8 "$A"
mkfifo "$WORK_DIR/moved.in"
exec {MOVED_IN}<>"$WORK_DIR/moved.in"
cancelled() { grep -q 'canceling statement' "$WORK_DIR/moved.out"; }

# --- less ----------------------------------------------------------------------------------------------

last=$(get worker.3.clients)
for i in 1 2 3 4 5 6 7 8; do # until one of them is on the last worker
	beside "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app -f "$WORK_DIR/moved.in" >"$WORK_DIR/moved.out" 2>&1
	MOVED=$BESIDE
	echo "select 'here';" >&"$MOVED_IN"
	until_true 30 grep -q here "$WORK_DIR/moved.out" || not_ok 'a client that will move'
	[ "$i" != 8 ] || break
	[ "$(get worker.3.clients)" -le "$last" ] || break
	kill -TERM "$MOVED"
	wait "$MOVED" 2>/dev/null
	last=$(get worker.3.clients)
done
opened=$(get sv_opened)
resize 2
surplus() { [[ "$(lives)" == 'serving serving surplus surplus' ]]; }
within 'two are too many, and stay for those that cannot move' 20 surplus
is '... which is healthy' healthy "$(get health)"
is '... two workers are wanted' 2 "$(get workers)"
has '... the console tells' '|surplus|' "$(sql pgbouncer 'show workers' | grep '^3|')"
only_tls() { [ $(($(get worker.2.clients) + $(get worker.3.clients))) -le "$TLS" ]; }
within 'all in plain text have moved, also with a backend of a full pool' 30 only_tls
crowd idle "query select 1 / (current_setting('application_name') = 'idle:i')::int"
is '... with their settings' '40 0 0' "$A $B $C"
crowd more 'query select 1'
is '... the others too' '40 0 0' "$A $B $C"
crowd tls 'query select 1'
is '... who has TLS is served' "$TLS 0 0" "$A $B $C"
admin_sql 'notify news' app
heard() { crowd listen heard; N=$((N + A)); [ "$N" -ge 8 ]; }
N=0
within '... who keeps a backend hears' 30 heard
is '... nobody reconnected to PostgreSQL for it' "$opened" "$(get sv_opened)"
echo 'select pg_sleep(100);' >&"$MOVED_IN"
sleeps() { backends_are 1 "query = 'select pg_sleep(100);' and state = 'active'"; }
within 'a client that has moved sleeps' 20 sleeps
kill -INT "$MOVED"
within '... its cancel key is good' 20 cancelled
resize 3
is 'one more waits until a place is free' 'serving serving surplus surplus' "$(lives)"
kill -KILL "$(get worker.3.pid)"
within '... which is as soon as one of the others is gone' 30 lives_are 'serving serving surplus serving'
crowd tls close
within 'with the last client that could not move, a surplus worker leaves' 30 log_has 'worker 2 left; its place is free'
kill -KILL "$MOVED" 2>/dev/null # psql ends by itself when it is interrupted

# --- an upgrade while one is too many ------------------------------------------------------------------

crowd_start held app
crowd held 'open 4'
crowd held 'query begin; select 1'
is 'four are in a transaction' '4 0 0' "$A $B $C"
resize 1
some_surplus() { [[ $(lives) == *surplus* ]]; }
within 'workers that are too many' 20 some_surplus
old=$(cat "$WORK_DIR/run/pgdrove.pid")
kill -USR2 "$old"
another() { [ "$(cat "$WORK_DIR/run/pgdrove.pid")" != "$old" ] && get_is master_pid "$(cat "$WORK_DIR/run/pgdrove.pid")"; }
within 'an upgrade meanwhile' 30 another
crowd held 'query commit'
is '... the transactions end well' '4 0 0' "$A $B $C"
crowd held close
within '... takes them all over' 60 pid_gone "$old" 100
wait "$START" 2>/dev/null
POOLER=$(cat "$WORK_DIR/run/pgdrove.pid")
crowd listen look
is '... also who keeps a backend' '8 0' "$A $B"
admin_sql 'notify news' app
N=0
within '... and hears' 30 heard

# --- what needs more than a reload ---------------------------------------------------------------------

resize 9
check 'more than there are places is said by name' log_has 'reload: workers: there is room for 4 \(max_workers\): 9 need a restart or an upgrade'
within '... as many as there is room for serve' 30 lives_are 'serving serving serving serving'
is 'the console sets it too' '' "$(sql pgbouncer 'set workers = 2')"
within '... at once' 30 get_is workers 2
crowd listen close
within '... and they leave' 60 settled

# --- a storm -------------------------------------------------------------------------------------------

resize 4
within 'four once more' 60 lives_are 'serving serving serving serving'
FDS=$(fds)
flat() { [ "$(fds)" -le $((FDS + 12)) ]; } # pools' backends come and go
for ((i = 1; i <= ROUNDS; i++)); do
	resize $((1 + (i * 7) % 4))
	[ $((i % 5)) != 0 ] || until_true 60 settled || not_ok "settled after $i" "$(lives)"
done
resize 4
within "after $ROUNDS of them all serve" 60 lives_are 'serving serving serving serving'
[ -n "$ASAN" ] || within "... with as many descriptors as before ($FDS)" 30 flat
check 'the loads live' kill -0 "${BENCHES[@]}"
is '... without an error' '' "$(grep -hiE 'error|fatal|abort' "$WORK_DIR"/bench.* | sort | uniq -c | head -5)"
crowd idle "query select 1 / (current_setting('application_name') = 'idle:i')::int"
is 'the idle ones are there, with their settings' '40 0 0' "$A $B $C"
crowd more 'query select 1'
is '... the others too' '40 0 0' "$A $B $C"
kill -TERM "${BENCHES[@]}"
wait "${BENCHES[@]}" 2>/dev/null
resize 1
within 'one is left' 60 lives_are 'serving unused unused unused'
is 'no worker has died' 0 "$(get restarts)"
adds_up 'at the end' 80
kill -TERM "$POOLER"
check 'it stops' pid_gone "$POOLER" 30000
POOLER=

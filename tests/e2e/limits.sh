#!/usr/bin/env bash
#
# limits: the least size of a pool, the reserve, and the limits that pools share: on backends of a
# database or a user (with eviction, without starvation) and on clients. Over four workers, as
# PostgreSQL counts.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin limits
admin_sql 'create role alice login; create role bob login'
admin_sql 'create database other'
e2e_stay app
e2e_stay other
MORE_USERS=', { name = "alice"; }, { name = "bob"; }'

# begin DATABASES OPTION...: a pooler; DATABASES is "NAME MORE;..., NAME MORE;...".
at="host = \"127.0.0.1\"; port = $PG_PORT"
begin() {
	local databases=$1
	shift
	pooler_conf < <(
		echo 'workers = 4; pool_mode = "transaction";' "$@"
		echo "databases = ( $databases );"
	)
	pooler_start
}
# as USER DB SQL...: one session, each error with its SQLSTATE.
as() {
	local user=$1 db=$2
	shift 2
	printf '%s\n' '\set VERBOSITY verbose' "$@" |
		"$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U "$user" -d "$db" 2>&1
}
ended_all() {
	admin_sql "select pg_terminate_backend(pid) from pg_stat_activity where client_addr is not null" >"$WORK_DIR/out"
	get_is backends 0
}
served() { [ "$(as "$1" "$2" 'select 1;')" = 1 ]; }
# as_beside USER DB SQL: its output in $WORK_DIR/USER.out
as_beside() {
	beside "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U "$1" -d "$2" -c "$3" >"$WORK_DIR/$1.out" 2>&1
	SESSIONS+=("$BESIDE")
}
SESSIONS=()
# conf_now SED: the configuration changed so, and in force on all workers.
conf_now() {
	sed -i "$1" "$WORK_DIR/pgdrove.conf"
	pooler_reload || not_ok 'a reload'
}
nobody_left() { get_is clients 0; }
wait_all() {
	wait "${SESSIONS[@]}"
	SESSIONS=()
}
# All backends of ours, in whatever database.
ours() { admin_count "pg_stat_activity where client_addr is not null${1:+ and $1}"; }
ours_are() { [ "$(ours "${2:-}")" = "$1" ]; }
# watch_most: the most backends PostgreSQL ever shows until watch_end, in MOST.
watch_most() {
	: >"$WORK_DIR/most"
	(
		while sleep 0.02; do ours >>"$WORK_DIR/most"; done
	) &
	WATCH=$!
	CHILDREN+=("$WATCH")
}
watch_end() {
	kill "$WATCH" && wait "$WATCH" 2>/dev/null
	MOST=$(sort -n "$WORK_DIR/most" | tail -n 1)
}

# end_alice: ends the backends that alice has; their pids in ENDED.
end_alice() {
	ENDED=$(admin_sql "select string_agg(pid::text, ',') from pg_stat_activity where usename = 'alice'")
	admin_sql "select pg_terminate_backend(pid) from pg_stat_activity where pid in ($ENDED)" >"$WORK_DIR/out"
}

# --- min_pool_size ------------------------------------------------------------------------------------

begin "{ name = \"app\"; $at; user = \"alice\"; min_pool_size = 3; }, { name = \"other\"; $at; min_pool_size = 2; }" \
	'server_idle_timeout = "500ms"; server_login_retry = "100ms";'
within 'min_pool_size: there without any client, where the user is known' 20 ours_are 3 "usename = 'alice'"
is '... and only there' 3 "$(ours)"
end_alice
within '... there again after their end' 20 ours_are 3 "usename = 'alice' and pid not in ($ENDED)"
as_beside bob other "select stay('min')"
within '... of a pool with a client' 20 ours_are 2 "usename = 'bob'"
sleep 1
within '... which stay, whatever server_idle_timeout says' 20 ours_are 5
let_go min
wait_all
within '... and leave with the last client' 20 ours_are 0 "usename = 'bob'"
within '... the others stay' 20 ours_are 3
victim=$(get worker.0.pid)
kill -KILL "$victim"
within 'a worker dies' 20 worker_replaced 0 "$victim"
within '... min_pool_size holds' 20 ours_are 3
pooler_stop 'ends well'

# The clients are on one worker, the backends on all.
begin "{ name = \"app\"; $at; }" 'min_pool_size = 4; server_idle_timeout = "500ms"; server_login_retry = "100ms";'
CROWD_USER=alice crowd_start many app
crowd many 'open 8'
crowd many 'query select pg_sleep(1)'
CROWD_USER=alice crowd_start one app
crowd one 'open 1'
crowd many close
within 'min_pool_size: what is above it leaves' 20 ours_are 4 "usename = 'alice'"
sleep 1.5
within 'min_pool_size: kept for clients of one worker by all' 20 ours_are 4 "usename = 'alice'"
end_alice
within '... there again after their end' 20 ours_are 4 "usename = 'alice' and pid not in ($ENDED)"
crowd one close
within '... until the last client leaves' 20 ours_are 0
pooler_stop 'ends well'

# --- the reserve --------------------------------------------------------------------------------------

begin "{ name = \"app\"; $at; pool_size = 1; }" 'reserve_pool_size = 1; reserve_pool_timeout = "1s"; server_idle_timeout = "0";'
watch_most
as_beside alice app "select stay('reserve')"
within 'the pool is in use' 10 stays reserve
start=$(now_ms)
is 'reserve_pool_size: who waits is served' 1 "$(as alice app 'select 1;')"
took=$(($(now_ms) - start))
check "... not before reserve_pool_timeout ($took ms)" [ "$took" -ge 950 ]
check '... and before the holder ends' stays reserve
let_go reserve
wait_all
within '... the reserve is closed when it is idle' 20 ours_are 1
watch_end
check "... there were never more ($MOST)" [ "$MOST" -le 2 ]
pooler_stop 'ends well'

# --- a user's own pool_size, and the queue: first come, first served, over all workers ------------------------

MORE_USERS=', { name = "alice"; pool_size = 1; }, { name = "bob"; }'
begin "{ name = \"app\"; $at; pool_size = 3; }"
admin_sql 'create table served (nth serial, client int); grant all on served, served_nth_seq to alice' app
watch_most
as_beside alice app "select stay('queue')"
within "pool_size: a user's own" 10 stays queue
on_all() { [ "$(for w in 0 1 2 3; do get "worker.$w.clients_waiting"; done | grep -c '^[1-9]')" = 4 ]; }
i=0
until { [ $i -ge 12 ] && on_all; } || [ $i = 40 ]; do
	i=$((i + 1))
	as_beside alice app "insert into served (client) values ($i)"
	within "... the $i. waits" 20 get_is cl_waiting "$i"
done
check 'they are on all workers' on_all
let_go queue
wait_all
is 'first come, first served, whatever the worker' "$(seq -s ' ' 1 $i)" "$(admin_sql "select string_agg(client::text, ' ' order by nth) from served" app)"
watch_end
is '... by one backend' 1 "$MOST"
pooler_stop 'ends well'
MORE_USERS=', { name = "alice"; }, { name = "bob"; }'

# --- max_db_connections: eviction ------------------------------------------------------------------------

begin "{ name = \"app\"; $at; max_db_connections = 2; }, { name = \"other\"; $at; }" 'query_wait_timeout = "60s";'
watch_most
as_beside alice app "select stay('two')"
as_beside bob app "select stay('two')"
within 'two users hold the two places of a database' 10 stays two 2
let_go two
wait_all
is 'max_db_connections: a third user is served: the idlest is evicted' 1 "$(as postgres app 'select 1;')"
evicted=$(get sv_evicted)
# Where it takes PostgreSQL more than a second to end the first, another one.
check "... one ($evicted)" [ "$evicted" -ge 1 -a "$evicted" -le 2 ]
is 'other databases have no limit' 1 "$(as alice other 'select 1;')"
# The place of one that is evicted counts until PostgreSQL has let go of it: here it does not.
for user in postgres bob alice; do
	for _ in 1 2 3 4 5; do as $user app 'select 1;'; done
done >"$WORK_DIR/out"
evicted=$(get sv_evicted)
for _ in 1 2 3 4 5 6 7 8; do as alice app 'select 1;'; done >"$WORK_DIR/out"
is '... nobody, where its own pool has an idle one, on whatever worker' "$evicted" "$(get sv_evicted)"
hung=$(admin_sql "select string_agg(pid::text, ' ') from pg_stat_activity where datname = 'app' and client_addr is not null")
is '... two are there' 2 "$(wc -w <<<"$hung")"
# shellcheck disable=SC2086
kill -STOP $hung
start=$(now_ms)
as_beside postgres app "select 1"
more_evicted() { [ "$(get sv_evicted)" -ge $((evicted + 2)) ]; }
within '... a place that does not come: another one is evicted' 10 more_evicted
took=$(($(now_ms) - start))
check "... but not before a second is over ($took ms)" [ "$took" -ge 950 ]
# shellcheck disable=SC2086
kill -CONT $hung
wait_all
is '... and it is served' 1 "$(cat "$WORK_DIR/postgres.out")"
as_beside alice app "select stay('busy')"
as_beside bob app "select stay('busy')"
within 'both places are busy' 10 stays busy 2
conf_now 's/query_wait_timeout = "60s"/query_wait_timeout = "1s"/'
out=$(as postgres app 'select 1;')
has '... who waits too long is told' 'FATAL:  53300: query_wait_timeout' "$out"
has '... by which limit' 'max_db_connections 2 reached' "$out"
let_go busy
wait_all
is '... and the two are served' '' "$(cat "$WORK_DIR/alice.out" "$WORK_DIR/bob.out")"
watch_end
check "... never more backends than places, and one of the other database ($MOST)" [ "$MOST" -le 3 ]
within 'nobody is hungry any more' 10 get_is pool.app.postgres.hungry_db_us 0
pooler_stop 'ends well'

# The worker that has the idle backend sleeps: it is woken for it.
begin "{ name = \"app\"; $at; max_db_connections = 1; }"
turns=0
# On a machine under load a client alone may take longer than that: again, then.
quick_turns() {
	local user start
	quick=0
	for user in alice bob alice bob alice bob alice bob; do
		sleep 0.2
		start=$(now_ms)
		served "$user" app || not_ok 'one place, in turn'
		[ $(($(now_ms) - start)) -gt 500 ] || quick=$((quick + 1))
		turns=$((turns + 1))
	done
	[ "$quick" -ge 6 ]
}
within 'max_db_connections 1: places move at once, six of eight times' 60 quick_turns
is '... each time' $((turns - 1)) "$(get sv_evicted)"
pooler_stop 'ends well'

# --- no starvation: three pools that are never idle, two places -----------------------------------------

begin "{ name = \"app\"; $at; max_db_connections = 2; }" 'query_wait_timeout = "60s";'
watch_most
for user in alice bob postgres; do
	CROWD_USER=$user crowd_start "$user" app
	crowd "$user" 'open 12'
	crowd_tell "$user" 'run select pg_sleep(0.01)'
done
# As many moves as there would be in five seconds on a machine with nothing else to do.
moved() { [ "$(get sv_yielded)" -ge 40 ]; }
within 'three busy pools on two places: places move' 120 moved
for user in alice bob postgres; do crowd_tell "$user" .; done
least=1000000 most=0 wrong=0
for user in alice bob postgres; do
	crowd_hear "$user"
	wrong=$((wrong + B + C))
	[ "$A" -ge "$least" ] || least=$A
	[ "$A" -le "$most" ] || most=$A
done
watch_end
is '... no error' 0 "$wrong"
check "... every pool gets on ($least to $most queries)" [ $((least * 4)) -ge "$most" ]
check "... never more backends than places ($MOST)" [ "$MOST" -le 2 ]
for user in alice bob postgres; do crowd "$user" close; done

# The place that a dead worker's backend had comes back to the others.
for n in 0 1; do
	victim=$(get worker.$n.pid)
	kill -KILL "$victim"
	within "worker $n dies" 20 worker_replaced $n "$victim"
done
within '... its places are free again' 20 served alice app
within '... for everybody' 20 served bob app
pooler_stop 'ends well'

# --- a hungry pool gets one place at a time, however many workers its clients are on -----------------------

begin "{ name = \"app\"; $at; max_db_connections = 4; }" 'query_wait_timeout = "60s";'
# alice_takes N: bob has all places, at work, and alice's clients on four workers want them. To TOOK, in ms: how long
# after her first place she had her fourth. (One pool may take a place from another each 100 ms.)
TOOK=0
alice_takes() {
	CROWD_USER=bob crowd_start "bob$1" app
	CROWD_USER=alice crowd_start "alice$1" app
	crowd "bob$1" 'open 8'
	crowd "alice$1" 'open 8'
	crowd_tell "bob$1" 'run select pg_sleep(0.02)'
	within 'bob has all places' 20 ours_are 4 "usename = 'bob'"
	crowd_tell "alice$1" "query select stay('alice$1')"
	within '... alice gets them' 30 stays "alice$1" 4
	TOOK=$((TOOK + $(admin_sql "select round(extract(epoch from max(backend_start) - min(backend_start)) * 1000)
		from pg_stat_activity where usename = 'alice'")))
	let_go "alice$1"
	crowd_hear "alice$1"
	crowd "bob$1" .
	for who in "alice$1" "bob$1"; do crowd "$who" close; done
	within '... and all is as before' 20 ended_all
}
for n in 1 2 3; do alice_takes $n; done
check "... one after the other (the fourth after $((TOOK / 3)) ms)" [ "$TOOK" -ge 900 ]
pooler_stop 'ends well'

# --- a reload that lowers a limit closes what is too much, and no more ---------------------------------------

# idle_are N: so many backends, all idle, in PostgreSQL and in our table.
idle_are() { ours_are "$1" && get_is sv_idle "$1" && get_is backends "$1"; }
# all_idle N: all are idle, and so many at least; how many, in IDLE.
all_idle() {
	IDLE=$(ours)
	[ "$IDLE" -ge "$1" ] && idle_are "$IDLE"
}
# stay_idle N: so many and no fewer for a second.
stay_idle() {
	local n
	for ((n = 0; n < 10; n++)); do
		idle_are "$1" || return 1
		sleep 0.1
	done
}
# lowered NAME FROM TO SED: of so many idle backends a reload leaves these.
lowered() {
	within "$1: $2 idle backends" 20 idle_are "$2"
	conf_now "$4"
	within "... by a reload: $3 are left" 20 idle_are "$3"
	check "... which stay" stay_idle "$3"
}

# all_work CROWD NAME N: N of its clients have a backend each, until let_go NAME.
all_work() {
	crowd_tell "$1" "query select stay('$2')"
	within "$2: $3 are at work at a time" 30 stays "$2" "$3"
}

begin "{ name = \"app\"; $at; pool_size = 16; max_db_connections = 32; }" 'server_idle_timeout = "0";'
crowd_start lower app
crowd lower 'open 16'
all_work lower sixteen 16
let_go sixteen
crowd_hear lower
is 'sixteen clients on four workers' '16 0 0' "$A $B $C"
lowered 'pool_size' 16 9 's/pool_size = 16/pool_size = 9/'
lowered '... once more' 9 3 's/pool_size = 9/pool_size = 3/'
crowd lower 'query select 1'
is '... and serve everybody' '16 0 0' "$A $B $C"
conf_now 's/pool_size = 3/pool_size = 16/'
all_work lower again 16
let_go again
crowd_hear lower
lowered 'max_db_connections' 16 8 's/max_db_connections = 32/max_db_connections = 8/'
all_work lower eight 8
conf_now 's/max_db_connections = 8/max_db_connections = 5/'
let_go eight
crowd_hear lower
is '... a reload while they are busy: everybody is served' '16 0 0' "$A $B $C"
within '... by five at last' 20 idle_are 5
check '... which stay' stay_idle 5
crowd lower close
conf_now 's/max_db_connections = 5/max_db_connections = 32/'
within '... and none goes without a reason' 20 idle_are 5
for user in alice bob postgres; do
	CROWD_USER=$user crowd_start "lower.$user" app
	crowd "lower.$user" 'open 5'
	all_work "lower.$user" "five.$user" 5
	let_go "five.$user"
	crowd_hear "lower.$user"
done
# More than 15 if one was opened for somebody who was served by another meanwhile.
within 'several pools: 15 idle backends at least' 20 all_idle 15
lowered 'max_db_connections over several pools' "$IDLE" 8 's/max_db_connections = 32/max_db_connections = 8/'
for user in alice bob postgres; do
	crowd "lower.$user" 'query select 1'
	is "... $user is served" '5 0 0' "$A $B $C"
	crowd "lower.$user" close
done
pooler_stop 'ends well'

# --- max_user_connections --------------------------------------------------------------------------------

POSTGRES_HAS='max_user_connections = 1;'
begin "{ name = \"app\"; $at; }, { name = \"other\"; $at; }" 'query_wait_timeout = "60s";'
is 'max_user_connections: one place' 1 "$(as postgres app 'select 1;')"
is '... for two databases' 1 "$(as postgres other 'select 1;')"
is '... one after the other' 1 "$(ours)"
conf_now 's/query_wait_timeout = "60s"/query_wait_timeout = "1s"/'
as_beside postgres other "select stay('user')"
within '... and while it is busy' 10 stays user
out=$(as postgres app 'select 1;')
has '... the other waits' 'FATAL:  53300: query_wait_timeout' "$out"
has '... and is told why' 'max_user_connections 1 reached' "$out"
conf_now 's/query_wait_timeout = "1s"/query_wait_timeout = "60s"/'
is '... another user has no limit' 1 "$(as alice app 'select 1;')"
let_go user
wait_all
pooler_stop 'ends well'

# --- clients -----------------------------------------------------------------------------------------------

POSTGRES_HAS=''
begin "{ name = \"app\"; $at; pool_size = 3; }" 'max_client_conn = 12;'
watch_most
CROWD_USER=alice crowd_start max app
crowd max 'open 20'
is 'max_client_conn: exactly so many, over all workers' '12 8' "$A $B"
crowd max 'query select pg_sleep(0.05)'
is '... all of them work' '12 0 0' "$A $B $C"
raw_open app
out=$(timeout 60 cat <&"$RAW" | tr '\0' ' ')
raw_close
has '... one more: SQLSTATE' 'SFATAL VFATAL C53300' "$out"
has '... and text' 'max_client_conn' "$out"
has '... and what to do' 'HRaise max_client_conn, or keep fewer connections open.' "$out"
crowd max close
within '... and the places come back' 10 served bob app
watch_end
check "pool_size: never more backends ($MOST, one of them bob's)" [ "$MOST" -le 4 ]
pooler_stop 'ends well'


POSTGRES_HAS='max_user_client_connections = 6;'
begin "{ name = \"app\"; $at; max_db_client_connections = 10; }, { name = \"other\"; $at; }"
CROWD_USER=alice crowd_start crowd app
crowd crowd 'open 14'
is 'max_db_client_connections: exactly so many, over all workers' '10 4' "$A $B"
has '... the rest is told' 'client connections exceeded (max_db_client_connections)' "$(cat "$WORK_DIR/crowd.err")"
has '... with SQLSTATE, and what to do' 'SFATAL VFATAL C53300 Mclient connections exceeded (max_db_client_connections) HRaise that limit' "$(refusal app alice)"
is '... other databases let them in' 1 "$(as bob other 'select 1;')"
crowd crowd 'query select 1'
is '... the others work' '10 0' "$A $B"
crowd crowd close
within '... and places come back' 10 served bob app
within '... when all have left' 10 nobody_left
crowd crowd 'open 10'
is '... all of them' '10 0' "$A $B"
victim=$(get worker.1.pid)
kill -KILL "$victim"
within 'a worker dies' 20 worker_replaced 1 "$victim"
crowd crowd look
crowd crowd refill
is '... its clients come back, no more and no less' 0 "$B"
crowd crowd 'open 1'
is '... the limit is as exact as before' '0 1' "$A $B"
crowd crowd close
CROWD_USER=postgres crowd_start users other
crowd users 'open 8'
is 'max_user_client_connections: exactly so many' '6 2' "$A $B"
has '... the rest is told' 'client connections exceeded (max_user_client_connections)' "$(cat "$WORK_DIR/users.err")"
has '... with SQLSTATE, and what to do' 'SFATAL VFATAL C53300 Mclient connections exceeded (max_user_client_connections) HRaise that limit' "$(refusal other)"
crowd users close
pooler_stop 'ends well'

# --- the table: how many pools, how many backends in all ----------------------------------------------------

POSTGRES_HAS=''
begin "{ name = \"app\"; $at; pool_size = 3; }, { name = \"other\"; $at; }" 'max_pools = 1; max_backends = 2; query_wait_timeout = "60s";'
as_beside alice app "select stay('table')"
as_beside alice app "select stay('table')"
within 'max_backends: all places of the table are in use' 10 stays table 2
conf_now 's/query_wait_timeout = "60s"/query_wait_timeout = "1s"/'
has '... who waits too long is told' 'FATAL:  53300: query_wait_timeout' "$(as alice app 'select 1;')"
check '... the log says why' log_has 'pool app/alice: the table has no free slot \(max_backends\)'
has 'max_pools: one pool more is refused' 'no room for another pool (max_pools)' "$(as bob other 'select 1;')"
has '... with SQLSTATE' 'SFATAL VFATAL C53300 Mno room for another pool (max_pools)' "$(refusal other bob)"
conf_now 's/query_wait_timeout = "1s"/query_wait_timeout = "60s"/'
let_go table
wait_all
is '... the others work' 1 "$(as alice app 'select 1;')"
# Its place is used again when nobody needs it any more.
within '... its backends are ended' 10 ended_all
within '... and another pool has the place' 20 served bob other
pooler_stop 'ends well'

# One that is kept for a while only since its login was refused makes room at once.
pooler_conf <<-CONF
	workers = 1; pool_mode = "transaction"; max_pools = 1;
	databases = ( { name = "app"; $at; }, { name = "gone"; dbname = "nowhere"; $at; } );
CONF
pooler_start
has 'max_pools: a pool is refused by the server' 'database "nowhere" does not exist' "$(as bob gone 'select 1;')"
is '... and takes no place from another one' 1 "$(as bob app 'select 1;')"
pooler_stop 'ends well'

#!/usr/bin/env bash
#
# storm: one worker is killed each 50 ms while clients run queries and reconnect, and backends go from
# worker to worker. No client may get an answer that is another's. Afterwards the table must be whole:
# nothing leaked at PostgreSQL or in pgdrove's counts, the pool reaches its full size, and every client
# that is allowed gets in.
#
# STORM_SECONDS=60 STORM_WORKERS=32 for the long one.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

SECONDS_LONG=${STORM_SECONDS:-8}
POOL=12
CLIENTS=48 # four for each backend
MAX=60

e2e_begin storm
pooler_conf < <(
	cat <<-CONF
		workers = ${STORM_WORKERS:-8}; // back-off keeps the killed ones away: with more there is always one to kill
		pool_mode = "transaction";
		pool_size = $POOL;
		fairness_window = "0"; // as many hand-overs as can be
		max_client_conn = $MAX;
		databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	CONF
)
pooler_start

# Clients that stay, and come back when they are lost: each answer must carry their query's tag.
crowd_start crowd app
crowd crowd "open $CLIENTS"
is 'all connect' "$CLIENTS 0" "$A $B"
crowd_tell crowd "storm select ':t'"

# And clients that come and go.
bench() {
	while [ ! -e "$WORK_DIR/stop" ]; do
		"$PG_BIN/pgbench" -n -C -f <(echo 'select pg_sleep(0.001)') -c 8 -T 1 -h 127.0.0.1 -p "$PORT" -U postgres app
	done >/dev/null 2>&1
}
beside bench

# For so long, and longer where that is too short for what must happen in it.
given=$(get sv_given) kills=0
start=$(now_ms)
stormed() {
	local took=$(($(now_ms) - start))
	[ "$took" -ge $((SECONDS_LONG * 1000)) ] || return
	[ "$took" -ge $((SECONDS_LONG * 5000)) ] ||
		{ [ "$kills" -gt $((SECONDS_LONG * 2)) ] && [ $(($(get sv_given) - given)) -gt $((SECONDS_LONG * 20)) ]; }
}
until stormed; do
	mapfile -t pids < <(pid_children "$POOLER")
	[ ${#pids[@]} = 0 ] || { kill -KILL "${pids[RANDOM % ${#pids[@]}]}" 2>/dev/null && kills=$((kills + 1)); }
	sleep 0.05
done
given=$(($(get sv_given) - given))
touch "$WORK_DIR/stop"
wait "$BESIDE"
crowd_tell crowd stop
crowd_hear crowd

check "$kills kills, $A answers, $C connections lost" [ "$kills" -gt "$SECONDS_LONG" ]
check "some were answered" [ "$A" -gt 0 ]
check "backends were handed over $given times" [ "$given" -gt $((SECONDS_LONG * 20)) ]
is 'nobody got an answer that was not for them' '' "$(grep -m 3 FOREIGN "$WORK_DIR/crowd.err")"
crowd crowd close
within 'healthy again' 60 get_is health healthy
adds_up 'the storm is over' 0
is 'no panic in the log' 0 "$(grep -c 'panic' "$WORK_DIR/pgdrove.log")"

within 'nobody is left' 20 get_is clients 0
# Full again: as many backends as the pool may have, as many clients as may come.
crowd_start full app
crowd full "open $MAX"
is 'all clients that are allowed get in' "$MAX 0" "$A $B"
crowd_tell full 'run select pg_sleep(0.2)'
within 'the pool reaches its full size' 30 backends_are "$POOL" "state = 'active'"
crowd_tell full stop
crowd_hear full
is 'without an error' '0 0' "$B $C"
check 'and never more backends than that' [ "$(backends)" -le "$POOL" ]
crowd full close
pooler_stop 'ends well'

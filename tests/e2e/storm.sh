#!/usr/bin/env bash
#
# storm: one worker is killed each 50 ms while clients run queries and reconnect. Afterwards the table
# must be whole: nothing leaked at PostgreSQL or in pgdrove's counts, the pool reaches its full size,
# and every client that is allowed gets in.
#
# STORM_SECONDS=60 STORM_WORKERS=32 for the long one.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

SECONDS_LONG=${STORM_SECONDS:-8}
POOL=12
MAX=60

e2e_begin storm
pooler_conf < <(
	cat <<-CONF
		workers = ${STORM_WORKERS:-8}; // back-off keeps the killed ones away: with more there is always one to kill
		pool_mode = "transaction";
		pool_size = $POOL;
		max_client_conn = $MAX;
		databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	CONF
)
pooler_start

# Queries that carry a tag: an answer with another tag is somebody else's.
tagged() {
	local n=0 out
	while [ ! -e "$WORK_DIR/stop" ]; do
		n=$((n + 1))
		out=$(for i in 1 2 3 4 5; do echo "select 'tag-$1-$n-$i';"; done |
			"$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app 2>/dev/null)
		[ -z "$out" ] || grep -v "^tag-$1-$n-[1-5]\$" <<<"$out" >>"$WORK_DIR/foreign"
		[ -z "$out" ] || echo >>"$WORK_DIR/answered.$1"
	done
}

touch "$WORK_DIR/foreign"
for c in 1 2 3 4 5 6; do beside tagged "$c"; done
bench() {
	while [ ! -e "$WORK_DIR/stop" ]; do
		"$PG_BIN/pgbench" -n -C -f <(echo 'select pg_sleep(0.001)') -c 8 -T 1 -h 127.0.0.1 -p "$PORT" -U postgres app
	done >/dev/null 2>&1
}
beside bench

kills=0
end=$(($(now_ms) + SECONDS_LONG * 1000))
while [ "$(now_ms)" -lt "$end" ]; do
	mapfile -t pids < <(pid_children "$POOLER")
	[ ${#pids[@]} = 0 ] || { kill -KILL "${pids[RANDOM % ${#pids[@]}]}" 2>/dev/null && kills=$((kills + 1)); }
	sleep 0.05
done
touch "$WORK_DIR/stop"
for pid in "${CHILDREN[@]}"; do wait "$pid"; done

answered=$(cat "$WORK_DIR"/answered.* 2>/dev/null | wc -l)
check "$kills kills, and $answered sessions were answered" [ "$kills" -gt "$SECONDS_LONG" ]
check 'some were answered' [ "$answered" -gt 0 ]
is 'nobody got an answer that was not for them' '' "$(head -n 3 "$WORK_DIR/foreign")"
within 'healthy again' 60 get_is health healthy
nothing_left() { get_is steward.orphans 0; }
counts_agree() { [ "$(get backends)" = "$(backends)" ]; }
idle_only() { backends_are 0 "state <> 'idle'"; }
within 'every orphan is freed' 60 nothing_left
within 'pgdrove counts as many backends as PostgreSQL shows' 60 counts_agree
check 'none of them is busy' idle_only
is 'no panic in the log' 0 "$(grep -c 'panic' "$WORK_DIR/pgdrove.log")"

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

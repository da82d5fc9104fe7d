#!/usr/bin/env bash
#
# departed: clients are killed, or cut off without a word, in every state they can be in, while others
# run queries through the same backends. Nothing of them may stay: no backend, no lock, no place in a
# queue or a count; and no query of theirs runs on.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

POOL=4
CLIENTS=24

e2e_begin departed
admin_sql 'create table t (i int primary key, v int); insert into t select i, 0 from generate_series(0, 99) i; create table c (v text)' app
pooler_conf < <(
	cat <<-CONF
		workers = 4;
		pool_mode = "transaction";
		pool_size = $POOL;
		databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	CONF
)
pooler_start
crowd_start crowd app
crowd crowd "open $CLIENTS"
is 'all connect' "$CLIENTS 0" "$A $B"

traffic_start() { crowd_tell crowd "run select ':t'"; }
traffic_end() {
	crowd_tell crowd stop
	crowd_hear crowd
	is "$1: nobody else notices" '0 0' "$B $C"
	is "$1: no answer that was not for them" 0 "$(grep -c FOREIGN "$WORK_DIR/crowd.err")"
	adds_up "$1" "$CLIENTS"
}
# meet N CONDITION: so many backends. `pinned`: so many clients keep one beyond their transaction.
meet() { if [ "$2" = pinned ]; then get_is cl_pinned "$1"; else backends_are "$1" "$2"; fi; }
# seen NAME CONDITION: a backend meets it, and its pid is SEEN.
seen() {
	within "$1: there it is" 20 meet 1 "$2"
	[ "$2" != pinned ] || return
	SEEN=$(admin_sql "select pid from pg_stat_activity where client_addr is not null and $2" app)
}
used_again() { is "$1: its backend is used again" 1 "$(backends "pid = ${SEEN:-0}")"; }
# psql_dies NAME CONDITION SQL: a psql runs it; when a backend meets the condition, it is killed.
psql_dies() {
	traffic_start
	psql_beside app "$3" /dev/null
	seen "$1" "$2"
	kill -KILL "$BESIDE"
	wait "$BESIDE" 2>/dev/null
	within "$1: its query has ended" 20 backends_are 0 "$2"
	traffic_end "$1"
	used_again "$1"
}
# session_dies NAME CONDITION SQL: the same for one that has sent all of it, and waits for its next line.
session_dies() {
	local client
	traffic_start
	mkfifo "$WORK_DIR/lines"
	"$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U postgres -d app <"$WORK_DIR/lines" >/dev/null 2>&1 &
	client=$!
	CHILDREN+=("$client")
	exec 7>"$WORK_DIR/lines"
	rm -f "$WORK_DIR/lines"
	echo "$3" >&7
	seen "$1" "$2"
	kill -KILL "$client"
	wait "$client" 2>/dev/null
	exec 7>&-
	within "$1: it is cleared away" 20 meet 0 "$2"
	traffic_end "$1"
	is "$1: nothing of it was committed" 0 "$(admin_count 't where v <> 0')"
}

psql_dies 'in a query' "query like '%pg_sleep(61)%' and state = 'active'" 'select pg_sleep(61)'
psql_dies 'in a query of a transaction, rows locked' "query like '%pg_sleep(62)%' and state = 'active'" \
	'begin; update t set v = 1; select pg_sleep(62)'
is '... nothing of it was committed' 0 "$(admin_count 't where v <> 0')"

session_dies 'idle in a transaction' "state = 'idle in transaction'" 'begin; update t set v = 2; select 63;'
used_again 'idle in a transaction'
session_dies 'idle in a failed transaction' "state = 'idle in transaction (aborted)'" 'begin; update t set v = 3; select 1 / 0;'
used_again 'idle in a failed transaction'
session_dies 'with an advisory lock' "pid in (select pid from pg_locks where locktype = 'advisory')" 'select pg_advisory_lock(64);'
session_dies 'with a temporary table' pinned 'create temporary table tt (i int);'
is 'with a temporary table: that is gone' 0 "$(admin_count "pg_class where relname = 'tt'")"
session_dies 'with LISTEN' pinned 'listen channel;'

# In COPY FROM STDIN, half a million rows sent and no end.
traffic_start
mkfifo "$WORK_DIR/lines"
"$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U postgres -d app -c '\copy c from pstdin' <"$WORK_DIR/lines" >/dev/null 2>&1 &
client=$!
CHILDREN+=("$client")
exec 7>"$WORK_DIR/lines"
seq 100000 >&7
seen 'in COPY to the server' "query ilike 'copy%' and state = 'active'"
kill -KILL "$client"
wait "$client" 2>/dev/null
exec 7>&-
within 'in COPY to the server: it has ended' 20 backends_are 0 "query ilike 'copy%' and state = 'active'"
is '... nothing of it was committed' 0 "$(admin_count c)"
traffic_end 'in COPY to the server'
used_again 'in COPY to the server'

# A slow reader: asks for 200 MB, reads nothing, and goes.
traffic_start
raw_open app
raw_query "select repeat('x', 1000000) from generate_series(1, 200)"
seen 'in a big answer it does not read' "query like '%repeat%' and state = 'active'"
raw_close
within 'in a big answer it does not read: it has ended' 20 backends_are 0 "query like '%repeat%' and state = 'active'"
traffic_end 'in a big answer it does not read'
used_again 'in a big answer it does not read'

# Waiting in the queue: all backends are held, the waiters are killed, the holders are not.
crowd_start holders app
crowd holders "open $POOL"
crowd holders 'query begin; select 64'
is 'in the queue: all backends are held' "$POOL" "$(backends "state = 'idle in transaction'")"
waiters=()
for _ in 1 2 3 4 5 6; do
	psql_beside app 'select 65' /dev/null
	waiters+=("$BESIDE")
done
within 'in the queue: they wait' 20 get_is cl_waiting 6
kill -KILL "${waiters[@]}"
wait "${waiters[@]}" 2>/dev/null
within 'in the queue: the queue is empty' 20 get_is cl_waiting 0
is 'in the queue: the holders keep theirs' "$POOL" "$(backends "state = 'idle in transaction'")"
crowd holders 'query commit'
is 'in the queue: the holders are well' "$POOL 0 0" "$A $B $C"
crowd holders close
adds_up 'in the queue' "$CLIENTS"

# While they log in, in the middle of a message, pipelines sent and not read: many of each.
traffic_start
for _ in 1 2 3 4 5 6 7 8 9 10; do
	exec 6<>"/dev/tcp/127.0.0.1/$PORT" && printf '\0\0\0\10\4\322\26\57' >&6 # SSLRequest
	exec 6>&-
	exec 6<>"/dev/tcp/127.0.0.1/$PORT" && printf '\0\0\0\50\0\3\0\0user\0' >&6 # half a startup packet
	exec 6>&-
	raw_open app
	raw_close
	raw_open app
	printf 'Q\0\0\1\0select' >&"$RAW" # half a query
	raw_close
	raw_open app
	for _ in 1 2 3 4 5 6 7 8; do raw_query 'select pg_sleep(0.01)'; done
	raw_close
done
traffic_end 'logging in, in half a message, in a pipeline'
pooler_stop 'ends well'

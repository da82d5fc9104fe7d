#!/usr/bin/env bash
#
# console: the virtual database pgbouncer: who may, what SHOW shows and in which columns, and the
# commands, under load, with four workers.

set -u
cd "$(dirname "$0")/../.." || exit 2
# shellcheck source=tests/e2e/lib.sh
. tests/e2e/lib.sh

# as USER SQL: on the console.
as() { "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U "$1" -d pgbouncer -c "$2" 2>&1; }
con() { as boss "$1"; }
# The columns of a SHOW, as psql sees them.
columns() {
	"$PG_BIN/psql" -X -q -A -F ' ' -P footer=off -h 127.0.0.1 -p "$PORT" -U boss -d pgbouncer \
		-c "SHOW $1" 2>&1 | head -n 1
}
con_is() { [ "$(con "$2")" = "$1" ]; }

e2e_begin console
e2e_stay app
MORE_USERS=', { name = "boss"; }, { name = "watcher"; }'
pooler_conf <<-CONF
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; },
	              { name = "named"; dbname = "app"; host = "localhost"; port = $PG_PORT; },
	              { name = "other"; dbname = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	pool_mode = "transaction";
	workers = 4;
	pool_size = 6;
	admin_users = "nobody, boss";
	stats_users = "watcher";
CONF
sed -i "s|listen = (|listen = ( { path = \"$WORK_DIR/run\"; port = $PORT; }, |" "$WORK_DIR/pgdrove.conf"
pooler_start
sql app 'create table seen (n int)' >/dev/null

# --- who may -------------------------------------------------------------------------------------------

has 'an administrator looks' 'PgBouncer 1.' "$(con 'SHOW VERSION')"
has 'so does an observer' 'PgBouncer 1.' "$(as watcher 'show version;')"
has '... who may not command' 'admin access needed' "$(as watcher PAUSE)"
has 'others may not come in' 'not allowed' "$(as postgres 'SHOW VERSION')"
# by_socket USER SQL [PREFIX...]
by_socket() { "${@:3}" "$PG_BIN/psql" -X -q -A -t -w -h "$WORK_DIR/run" -p "$PORT" -U "$1" -d pgbouncer -c "$2" 2>&1; }
is 'our own account by the Unix socket: an administrator' '' "$(by_socket pgbouncer 'RECONNECT' "${RUN_AS[@]}")"
is '... by the other name too' '' "$(by_socket pgdrove 'RECONNECT' "${RUN_AS[@]}")"
has '... not by another name' 'not allowed' "$(by_socket postgres 'SHOW VERSION' "${RUN_AS[@]}")"
has '... not by TCP' FATAL "$(as pgbouncer 'SHOW VERSION')"
if [ -n "$SERVICE_USER" ]; then
	has '... and not another account' FATAL "$(by_socket pgbouncer 'SHOW VERSION' setpriv --reuid=nobody --clear-groups --)"
fi
has 'an unknown command' 'invalid command' "$(con 'FROBNICATE')"
has 'an unknown database' 'no such database' "$(con 'PAUSE nix')"

# --- columns -------------------------------------------------------------------------------------------

T='server_assignment_count xact_count query_count'
is STATS "database total_server_assignment_count total_xact_count total_query_count total_received total_sent \
total_xact_time total_query_time total_wait_time total_client_parse_count total_server_parse_count total_bind_count \
total_client_login_count avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent avg_xact_time \
avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count avg_bind_count avg_client_login_count" \
	"$(columns STATS)"
is STATS_TOTALS "database $T bytes_received bytes_sent xact_time query_time wait_time client_parse_count \
server_parse_count bind_count client_login_count" "$(columns STATS_TOTALS)"
is STATS_AVERAGES "database $T bytes_received bytes_sent xact_time query_time wait_time avg_client_parse_count \
avg_server_parse_count avg_bind_count avg_client_login_count" "$(columns STATS_AVERAGES)"
is TOTALS 'name value' "$(columns TOTALS)"
is POOLS 'database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel '\
'sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts' "$(columns POOLS)"
PEER='type user database replication state addr port local_addr local_port connect_time request_time wait wait_us '\
'close_needed ptr link remote_pid tls application_name prepared_statements id'
is CLIENTS "$PEER" "$(columns CLIENTS)"
is SERVERS "$PEER" "$(columns SERVERS)"
is SOCKETS "$PEER recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail" "$(columns SOCKETS)"
is DATABASES 'name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime pool_mode '\
'load_balance_hosts max_connections current_connections max_client_connections current_client_connections paused '\
'disabled' "$(columns DATABASES)"
is USERS 'name pool_size reserve_pool_size pool_mode max_user_connections current_connections '\
'max_user_client_connections current_client_connections' "$(columns USERS)"
is PEERS 'peer_id host port pool_size' "$(columns PEERS)"
is PEER_POOLS 'peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login' "$(columns PEER_POOLS)"
is CONFIG 'key value default changeable' "$(columns CONFIG)"
is STATE 'key value' "$(columns STATE)"
is LISTS 'list items' "$(columns LISTS)"
is MEM 'name size used free memtotal' "$(columns MEM)"
is DNS_HOSTS 'hostname ttl addrs' "$(columns DNS_HOSTS)"
is DNS_ZONES 'zonename serial count' "$(columns DNS_ZONES)"
is 'SHOW LISTS: its names' 'databases users peers pools peer_pools free_clients used_clients login_clients free_servers '\
'used_servers dns_names dns_zones dns_queries dns_pending' "$(con 'SHOW LISTS' | cut -d'|' -f1 | paste -sd' ')"
has 'SHOW CONFIG' 'pool_size|6|20|yes' "$(con 'SHOW CONFIG')"
has '... what cannot change' 'max_backends|4096|4096|no' "$(con 'SHOW CONFIG')"

# --- the whole pooler's truth, and filters -------------------------------------------------------------

crowd_start many app
crowd many 'open 40'
crowd many 'query select 1'
shows_clients() { [ "$(con 'SHOW CLIENTS' | wc -l)" = "$1" ]; }
within 'SHOW CLIENTS knows those of all workers' 10 shows_clients 40
is '... WHERE and LIMIT' 3 "$(con "SHOW CLIENTS WHERE database = 'app' AND state <> 'waiting' LIMIT 3" | wc -l)"
is '... ORDER BY' "$(con 'SHOW CLIENTS' | awk -F'|' '{ print $7 }' | sort -nr | head -n 1)" \
	"$(con 'SHOW CLIENTS ORDER BY port DESC LIMIT 1' | awk -F'|' '{ print $7 }')"
has '... and what is wrong in them' 'no such column' "$(con 'SHOW CLIENTS WHERE nix = 1')"
has '... LIMIT without a number' 'needs a number' "$(con 'SHOW CLIENTS LIMIT x')"
has '... another clause' 'expected WHERE' "$(con 'SHOW CLIENTS GROUP BY user')"
is '... all at once' "$(con 'SHOW CLIENTS' | awk -F'|' '{ print $7 }' | sort -n | sed -n 2p)" \
	"$(con "SHOW CLIENTS WHERE port > 0 AND user = 'postgres' ORDER BY port LIMIT 2" | awk -F'|' '{ print $7 }' | tail -n 1)"
is 'SHOW POOLS counts them' 40 "$(con "SHOW POOLS WHERE database = 'app'" | cut -d'|' -f3)"
check 'SHOW SERVERS' [ "$(con 'SHOW SERVERS' | wc -l)" -ge 1 ]
is 'SHOW WORKERS' 5 "$(con 'SHOW WORKERS' | wc -l)"

# --- what follows clients, and what keeps backends -----------------------------------------------------

# Two clients say the same in different words of their own; one keeps its backend by LISTEN.
"$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U postgres -d app -c 'listen news' -c 'select pg_sleep(60)' \
	>"$WORK_DIR/listen.out" 2>&1 &
CHILDREN+=($!)
LISTENER=$!
pins_are() { [ "$(con 'SHOW PINS' | wc -l)" = "$1" ]; }
within 'SHOW PINS: a client that listens' 10 pins_are 1
is '... of which, and why' 'app|postgres|LISTEN' "$(con 'SHOW PINS' | awk -F'|' '{ print $1"|"$2"|"$10 }')"
is '... with its backend' 1 \
	"$(backends "pid = $(con 'SHOW PINS' | awk -F'|' '{ print $7 }')")"
kill "$LISTENER"
wait "$LISTENER" 2>/dev/null
within '... no more' 10 pins_are 0
echo 'select 4711 + 1;' >"$WORK_DIR/prep.sql"
"$PG_BIN/pgbench" -n -M prepared -c 4 -T 60 -f "$WORK_DIR/prep.sql" -h 127.0.0.1 -p "$PORT" -U postgres app \
	>"$WORK_DIR/prep.out" 2>&1 &
CHILDREN+=($!)
PREPARER=$!
statement() { con "SHOW STATEMENTS WHERE query = 'select 4711 + 1;' AND clients = 4 AND servers > 0"; }
statement_there() { [ "$(statement | wc -l)" = 1 ]; }
within 'SHOW STATEMENTS: one of four clients' 20 statement_there
has '... by its name on the servers' 'pgdrove_' "$(statement)"
has '... SHOW CLIENTS counts it' '|1|' "$(con "SHOW CLIENTS WHERE prepared_statements = 1 LIMIT 1" | sed 's/$/|/')"
kill "$PREPARER"
wait "$PREPARER" 2>/dev/null
psql_beside app 'select pg_sleep(61)' "$WORK_DIR/cancel.out"
within 'SHOW POOLS: one is active' 10 backends_are 1 "state = 'active' and query like '%sleep(61)'"
# Those of pgbench's queries, which its end has cancelled, may still be.
cancels_are() { [ "$(con "SHOW POOLS WHERE database = 'app'" | cut -d'|' -f5,6,8,9)" = "$1" ]; }
within '... no cancel is on its way' 10 cancels_are '0|0|0|0'
# PostgreSQL's postmaster is stopped, so that the cancel request hangs.
kill -STOP "$PG_PID"
kill -INT "$BESIDE"
within '... one that hangs: the client, the request, and the backend that it is for' 20 cancels_are '1|0|1|1'
kill -CONT "$PG_PID"
wait "$BESIDE" 2>/dev/null
canceled() { [ "$(con "SHOW POOLS WHERE database = 'app'" | cut -d'|' -f5,6,8,9,12)" = '0|0|0|0|0' ]; }
within '... nor after one that has hit, and nothing is being cleaned' 10 canceled
has 'SHOW FDS: refused, with a way' 'use UPGRADE' "$(con 'SHOW FDS')"
has 'SHOW HELP' 'STATEMENTS' "$(con 'SHOW HELP')"

# --- commands under load -------------------------------------------------------------------------------

crowd_tell many 'run select pg_sleep(0.001)'
within 'load' 10 backends_are 6
is 'PAUSE' '' "$(con 'PAUSE app')"
within '... leaves no backend' 10 backends_are 0 # PostgreSQL shows one until its process has ended
is '... and shows' 'app|1' "$(con "SHOW DATABASES WHERE name = 'app'" | awk -F'|' '{ print $1"|"$16 }')"
psql_beside app 'select 42' "$WORK_DIR/paused.out"
LATER=$BESIDE
worker=$(get worker.2.pid)
kill -KILL "$worker"
within '... a worker born meanwhile' 20 worker_replaced 2 "$worker"
within '... keeps it too' 10 backends_are 0
is 'RESUME' '' "$(con 'RESUME app')"
wait "$LATER"
check '... those who waited go on, if not with that worker' grep -qE '^42$|closed|reset' "$WORK_DIR/paused.out"
within '... and so does all' 20 backends_are 6
first=$(admin_sql "select max(backend_start) from pg_stat_activity where datname = 'app' and client_addr is not null" app)
is 'RECONNECT' '' "$(con RECONNECT)"
is 'WAIT_CLOSE' '' "$(con WAIT_CLOSE)"
within '... no old backend is left' 10 backends_are 0 "backend_start <= '$first'"
is 'DISABLE' '' "$(con 'DISABLE other')"
has '... nobody logs in' 'disabled' "$(sql other 'select 1')"
is 'ENABLE' '' "$(con 'ENABLE other')"
is '... somebody does' 1 "$(sql other 'select 1')"
is 'SUSPEND' '' "$(con SUSPEND)"
is '... backends stay, and do nothing' 0 "$(con 'SHOW POOLS' | awk -F'|' '{ n += $7 } END { print n }')"
is '... RESUME' '' "$(con RESUME)"
has 'RELOAD' '' "$(con RELOAD)"
is '... is in force' 2 "$(get worker.0.conf)"
echo 'nonsense' >>"$WORK_DIR/pgdrove.conf"
has '... a bad file is told' 'RELOAD failed: ' "$(con RELOAD)"
sed -i '$d' "$WORK_DIR/pgdrove.conf"
crowd_tell many 'look'
crowd_hear many
is 'nobody had an error' 0 "$B"
crowd many 'close'
crowd_start other other
crowd other 'open 4'
id=$(con "SHOW CLIENTS WHERE database = 'other' LIMIT 1" | awk -F'|' '{ print $21 }')
is 'KILL_CLIENT' '' "$(con "KILL_CLIENT $id")"
crowd other 'query select 1'
is '... one is gone' 3 "$A"
has '... and not twice' 'client not found' "$(con "KILL_CLIENT $id")"
is 'KILL' '' "$(con 'KILL other')"
crowd other 'query select 1'
is '... all are gone' 0 "$A"
is '... RESUME' '' "$(con 'RESUME other')"
is '... and it is there again' 1 "$(sql other 'select 1')"

# --- names of servers ----------------------------------------------------------------------------------

is 'no name has been looked up' '' "$(con 'SHOW DNS_HOSTS')"
is 'a server with a name' 1 "$(sql named 'select 1')"
has '... SHOW DNS_HOSTS' 'localhost|' "$(con "SHOW DNS_HOSTS WHERE hostname = 'localhost' AND ttl > 0 AND ttl <= 15")"
has '... with its address' 127.0.0.1 "$(con 'SHOW DNS_HOSTS' | cut -d'|' -f3)"
has '... which SHOW LISTS counts' 'dns_names|1' "$(con "SHOW LISTS WHERE list = 'dns_names'")"

# --- the extended protocol -----------------------------------------------------------------------------

extended() {
	echo 'SHOW STATS;' >"$WORK_DIR/show.sql"
	"$PG_BIN/pgbench" -n -M "$1" -t 3 -f "$WORK_DIR/show.sql" -h 127.0.0.1 -p "$PORT" -U boss pgbouncer 2>&1
}
has 'extended protocol' 'processed: 3/3' "$(extended extended)"
has '... prepared statements' 'processed: 3/3' "$(extended prepared)"
is 'SET' '' "$(con 'SET pool_size = 9')"
has '... is in force' 'pool_size|9|20|yes' "$(con "SHOW CONFIG WHERE key = 'pool_size'")"
is '... a time' '' "$(con "SET query_wait_timeout = '7s'")"
has '... is in force too' 'query_wait_timeout|7s' "$(con "SHOW CONFIG WHERE key = 'query_wait_timeout'")"
has '... not what is wrong' 'pool_size' "$(con "SET pool_size = 'many'")"
has '... not by an observer' 'admin access needed' "$(as watcher 'SET pool_size = 9')"
is '... RELOAD takes it back' '' "$(con RELOAD)"
has '... to the file' 'pool_size|6|20|yes' "$(con "SHOW CONFIG WHERE key = 'pool_size'")"
has 'what drivers say by habit' '' "$(con "SET extra_float_digits = 3")"

# --- the end of a generation ---------------------------------------------------------------------------

master_is_new() { [ -n "$(master)" ] && [ "$(master)" != "$POOLER" ]; }
is 'UPGRADE' '' "$(con 'UPGRADE')"
within '... another generation serves' 30 master_is_new
check '... the old one leaves' pid_gone "$POOLER" 30000
wait "$POOLER"
POOLER=$(master)
is '... and answers' 1 "$(sql app 'select 1')"
has 'SHUTDOWN in no known way' 'WAIT_FOR_SERVERS' "$(con 'SHUTDOWN SOMEHOW')"
crowd_start last app
crowd last 'open 3'
is 'SHUTDOWN WAIT_FOR_CLIENTS' '' "$(con 'SHUTDOWN WAIT_FOR_CLIENTS')"
refuses() { ! serves; }
within '... nobody new comes in' 20 refuses
crowd last 'query select 1'
is '... those who are here go on' '3 0' "$A $B"
crowd last 'close'
check '... and with the last of them it ends' pid_gone "$POOLER" 30000
pooler_start
psql_beside app "select stay('busy'), 77" "$WORK_DIR/busy.out"
BUSY=$BESIDE
within 'somebody is busy' 10 stays busy
con 'SHUTDOWN WAIT_FOR_SERVERS' >"$WORK_DIR/out" # the answer, and perhaps the goodbye behind it
let_go busy
wait "$BUSY"
has 'SHUTDOWN WAIT_FOR_SERVERS lets it finish' '|77' "$(cat "$WORK_DIR/busy.out")"
check '... and ends' pid_gone "$POOLER" 30000
wait "$POOLER"
pooler_start
psql_beside app 'select pg_sleep(60)' "$WORK_DIR/cut.out"
CUT=$BESIDE
within 'somebody is busy' 10 backends_are 1 "state = 'active' and query like '%sleep(60)'"
con 'SHUTDOWN' >"$WORK_DIR/out"
check 'SHUTDOWN does not wait' pid_gone "$POOLER" 30000
wait "$POOLER" "$CUT" 2>/dev/null
POOLER=

#!/usr/bin/env bash
#
# replication: the streaming replication protocol through pgdrove with PostgreSQL's own programs: pg_basebackup,
# pg_receivewal, pg_recvlogical, a standby; who may (HBA), how many (limits), what happens when somebody dies or
# the binary is replaced.

# shellcheck disable=SC2016
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin replication
cat >>"$WORK_DIR/data/postgresql.conf" <<-CONF
	wal_level = logical
	max_wal_senders = 20
	max_replication_slots = 20
	wal_sender_timeout = 20s
CONF
cluster_stop
cluster_again
admin_sql 'create role walker login replication; create role nobody login'
admin_sql 'create table t (i int); create table other (i int)' app

# All timeouts of clients at work are shorter than what streams here.
pooler_conf <<-CONF
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; },
		{ name = "replication"; host = "127.0.0.1"; port = $PG_PORT; } );
	admin_users = "postgres";
	pool_mode = "transaction";
	workers = 2;
	pool_size = 3;
	query_wait_timeout = "4s";
	query_timeout = "3s";
	transaction_timeout = "3s";
	idle_transaction_timeout = "3s";
	client_idle_timeout = "5s";
	upgrade_timeout = "12s";
CONF
MORE_USERS=', { name = "walker"; }, { name = "nobody"; }'
sed -i "s|^users = ( \(.*\) );|users = ( \1$MORE_USERS );|" "$WORK_DIR/pgdrove.conf"
cp "$BIN" "$WORK_DIR/pgdrove"
own_file "$WORK_DIR/pgdrove"
REAL=$BIN
BIN=$WORK_DIR/pgdrove
pooler_start
get() { "$REAL" stat --run-dir "$WORK_DIR/run" --get "$1" 2>/dev/null; }

# tool NAME ARGS...: one of PostgreSQL's programs, as walker, by way of pgdrove.
tool() {
	local name=$1
	shift
	"${RUN_AS[@]}" "$PG_BIN/$name" -h 127.0.0.1 -p "$PORT" -U "${TOOL_USER:-walker}" -w "$@"
}
# tool_beside OUTPUT NAME ARGS...: the same in the background; its pid is BESIDE.
tool_beside() {
	local out=$1 name=$2
	shift 2
	beside "${RUN_AS[@]}" "$PG_BIN/$name" -h 127.0.0.1 -p "$PORT" -U "${TOOL_USER:-walker}" -w "$@" >"$WORK_DIR/$out" 2>&1
}
# say CONNECTION COMMAND [USER]: through pgdrove; the whole answer.
say() { "$PG_BIN/psql" -X -q -A -t "host=127.0.0.1 port=$PORT user=${3:-walker} $1" -c '\set VERBOSITY verbose' -c "$2" 2>&1; }
# All that PostgreSQL has of pgdrove's, walsenders included.
backends() { admin_count "pg_stat_activity where client_addr is not null${1:+ and $1}"; }
walsenders() { admin_count pg_stat_replication; }
walsenders_are() { [ "$(walsenders)" = "$1" ]; }
# shows WHAT TEXT: the console does.
shows() { [[ "$(sql pgbouncer "show $1")" == *"$2"* ]]; }
active_slots_are() { [ "$(admin_count 'pg_replication_slots where active')" = "$1" ]; }

# --- the protocol --------------------------------------------------------------------------------------

SYSTEM=$(admin_sql 'select system_identifier from pg_control_system()')
for value in true on yes 1; do
	has "replication=$value: physical" "$SYSTEM|" "$(say "dbname=replication replication=$value" IDENTIFY_SYSTEM)"
done
has 'replication=database: logical' "$SYSTEM|" "$(say 'dbname=app replication=database' IDENTIFY_SYSTEM)"
is '... with SQL' app "$(say 'dbname=app replication=database' 'select current_database()')"
is 'replication=off: an ordinary session' 1 "$(say 'dbname=app replication=off' 'select 1')"
has 'what is neither' 'FATAL:  invalid value for parameter "replication": "maybe"' "$(say 'dbname=app replication=maybe' 'select 1')"
has 'physical: the server refuses SQL' 'cannot execute SQL commands in WAL sender for physical replication' \
	"$(say 'dbname=replication replication=true' 'select 1')"
is 'startup parameters are the session'"'"'s own' '3MB' "$(say "dbname=replication replication=true options='-c work_mem=3MB'" 'SHOW work_mem')"
has '... and a wrong one is the server'"'"'s to refuse' 'unrecognized configuration parameter "nonsense"' \
	"$(say "dbname=app replication=database options='-c nonsense=1'" 'select 1')"
has 'a role that may not' 'must be superuser or replication role to start walsender' \
	"$(say 'dbname=app replication=database' 'select 1' nobody)"
is '... hurts nobody else of its pool' 1 "$(say dbname=app 'select 1' nobody)"
has 'a database without an entry' 'no such database: walker' "$(say 'dbname=walker replication=true' IDENTIFY_SYSTEM)"
has '... the hint says why it needs one' 'says which server is meant' "$(say 'dbname=walker replication=true' IDENTIFY_SYSTEM)"
has 'not with the console' 'no such database: pgbouncer' "$(say 'dbname=pgbouncer replication=database' 'show pools' postgres)"
within 'none of those connections is kept' 10 walsenders_are 0
only_ordinary() { backends_are 0 "backend_type = 'walsender'"; }
within '... at all' 10 only_ordinary
adds_up 'after the small ones'

# --- pg_basebackup ---------------------------------------------------------------------------------------

admin_sql "insert into other select generate_series(1, 200000)" app
tool pg_basebackup -D "$WORK_DIR/plain" -X stream -c fast 2>&1
is 'pg_basebackup, plain, -X stream' 0 $?
has '... is complete' 'backup successfully verified' "$("$PG_BIN/pg_verifybackup" "$WORK_DIR/plain" 2>&1)"
tool pg_basebackup -D "$WORK_DIR/tar" -F tar -X stream -z -c fast 2>&1
is 'pg_basebackup, tar, -X stream' 0 $?
check '... has the WAL of the second connection' [ -s "$WORK_DIR/tar/pg_wal.tar.gz" ]
tool pg_basebackup -D "$WORK_DIR/fetch" -X fetch -c fast 2>&1
is 'pg_basebackup, -X fetch' 0 $?
has '... is complete' 'backup successfully verified' "$("$PG_BIN/pg_verifybackup" "$WORK_DIR/fetch" 2>&1)"
tool_beside slow.out pg_basebackup -D "$WORK_DIR/slow" -X stream -c fast --max-rate=1M
SLOW=$BESIDE
slow_streams() { CHILD=$(pid_children "$SLOW") && [ -n "$CHILD" ] && walsenders_are 2; }
within 'a slow one' 10 slow_streams
sleep 3.5 # longer than query_timeout
check '... has no query_timeout' kill -0 "$SLOW"
kill -KILL "$SLOW"
kill -KILL "$CHILD" # streams WAL
wait "$SLOW" 2>/dev/null
within '... killed: PostgreSQL is rid of it' 20 walsenders_are 0
adds_up 'after the base backups'

# --- pg_receivewal -----------------------------------------------------------------------------------------

mkdir "$WORK_DIR/wal"
own_file "$WORK_DIR/wal"
tool pg_receivewal --create-slot --slot=files 2>&1
is 'pg_receivewal makes a slot' 1 "$(admin_count "pg_replication_slots where slot_name = 'files'")"
receive() {
	tool_beside receive.out pg_receivewal --slot=files -D "$WORK_DIR/wal" --status-interval=1
	RECEIVER=$BESIDE
	within 'pg_receivewal streams' 20 walsenders_are 1
}
receive
within 'SHOW CLIENTS says so' 10 shows clients '|physical|active|'
within '... SHOW SERVERS too' 10 shows servers 'S|walker|replication|physical|active|'
segment=$(admin_sql 'select pg_walfile_name(pg_current_wal_lsn())')
admin_sql 'insert into t select 1; select pg_switch_wal()' app >/dev/null
within '... what is written arrives' 20 [ -s "$WORK_DIR/wal/$segment" ]
sleep 5.5 # longer than every timeout of a client
check 'no timeout ends it' kill -0 "$RECEIVER"
is '... nor was it interrupted' '' "$(cat "$WORK_DIR/receive.out")"
kill -INT "$RECEIVER"
wait "$RECEIVER"
is 'it ends well' 0 $?
within '... the slot is free' 10 active_slots_are 0
within '... its backend is gone' 10 walsenders_are 0
receive
kill -KILL "$RECEIVER"
wait "$RECEIVER" 2>/dev/null
within 'it is killed: the slot is free' 20 active_slots_are 0
adds_up 'after pg_receivewal'

# --- pg_recvlogical ----------------------------------------------------------------------------------------

tool pg_recvlogical -d app --slot=changes --create-slot -P test_decoding 2>&1
is 'pg_recvlogical makes a slot' app "$(admin_sql "select database from pg_replication_slots where slot_name = 'changes'")"
tool_beside changes.out pg_recvlogical -d app --slot=changes --start -f - --status-interval=1
LOGICAL=$BESIDE
within '... streams' 20 walsenders_are 1
admin_sql 'insert into t select 4711' app
within '... rows' 20 grep -q 'integer\]:4711' "$WORK_DIR/changes.out"
within 'SHOW CLIENTS says so' 10 shows clients '|logical|active|'
kill -INT "$LOGICAL"
wait "$LOGICAL"
is '... ends well' 0 $?
tool pg_recvlogical -d app --slot=changes --start -f - --endpos="$(admin_sql 'select pg_current_wal_lsn()')" >"$WORK_DIR/end.out" 2>&1
is '... and by itself, at --endpos' 0 $?
within '... the slot is free' 10 active_slots_are 0
tool pg_recvlogical -d app --slot=changes --drop-slot 2>&1
is '... and dropped' 0 "$(admin_count "pg_replication_slots where slot_name = 'changes'")"
adds_up 'after pg_recvlogical'

# --- a standby ---------------------------------------------------------------------------------------------

TOOL_USER=walker tool pg_basebackup -D "$WORK_DIR/standby" -R -X stream -c fast -C -S standby 2>&1
is 'pg_basebackup -R for a standby' 0 $?
second_start standby
# replays N: this row, written now, comes to the standby.
arrived() { [ "$(second_sql app "select count(*) from t where i = $1")" = 1 ]; }
replays() {
	admin_sql "insert into t select $2" app
	within "$1" 60 arrived "$2"
}
replays 'a standby streams through pgdrove and replays' 100
is '... by walreceiver' walreceiver "$(admin_sql 'select application_name from pg_stat_replication')"
# owner: the worker whose client it is.
owner() { [ "$(get worker.0.clients_active)" != 0 ] && echo 0 || echo 1; }
W=$(owner)
victim=$(get "worker.$W.pid")
kill -KILL "$victim"
within 'its worker is killed: there is a successor' 20 worker_replaced "$W" "$victim"
replays '... it streams again' 101
within '... and nothing is left of the first one' 30 walsenders_are 1
within '... no slot of the ledger either' 30 get_is steward.orphans 0
restarts=$(get restarts)
cluster_stop
for _ in 1 2 3; do told=$(say 'dbname=replication replication=true' IDENTIFY_SYSTEM); done
has 'PostgreSQL is away: who comes is told' 'Connection refused' "$told"
is '... which costs no worker' "$restarts" "$(get restarts)"
cluster_again
within 'PostgreSQL was restarted: it streams again' 60 walsenders_are 1
replays '... and replays' 102

streams() { walsenders_are "${1:-1}" && [ "$(admin_sql 'select min(pid) from pg_stat_replication')" != "${WALSENDER:-}" ]; }
WALSENDER=$(admin_sql 'select pid from pg_stat_replication')
sql pgbouncer 'reconnect replication' >/dev/null
within 'RECONNECT: it streams anew' 30 streams
WALSENDER=
replays '... and replays' 105

# --- limits ------------------------------------------------------------------------------------------------

# The standby and two of these are all of pool_size.
mkdir "$WORK_DIR/wal2" "$WORK_DIR/wal3"
own_file "$WORK_DIR/wal2" "$WORK_DIR/wal3"
receive_more() {
	tool_beside "$1.out" pg_receivewal -D "$WORK_DIR/$1" --no-loop
	CHILD=$BESIDE
}
receive_more wal2
SECOND=$CHILD
receive_more wal3
THIRD=$CHILD
within 'pool_size counts them' 20 walsenders_are 3
has '... one more waits, and is told' 'query_wait_timeout' "$(say 'dbname=replication replication=true' IDENTIFY_SYSTEM)"
kill -INT "$SECOND"
wait "$SECOND"
has '... a place is free again' "$SYSTEM|" "$(say 'dbname=replication replication=true' IDENTIFY_SYSTEM)"
kill -INT "$THIRD"
wait "$THIRD"
# Ordinary backends, idle by now, make room.
TOOL_USER=postgres
# Three at the same time, each with a backend of its own.
full() {
	local i all=()
	for i in 1 2 3; do
		psql_beside app 'select pg_sleep(0.5)' "$WORK_DIR/idle.$i"
		all+=("$BESIDE")
	done
	wait "${all[@]}"
	backends_are 3 "usename = 'postgres' and state = 'idle'"
}
within 'a pool of idle backends' 20 full
has '... makes room' "$SYSTEM|" "$(say 'dbname=app replication=database' IDENTIFY_SYSTEM postgres)"
within '... for a while' 20 walsenders_are 1
is '... and serves others' 1 "$(sql app 'select 1')"

# --- an upgrade ----------------------------------------------------------------------------------------------

old=$(master)
not_master() { [ -n "$(master)" ] && [ "$(master)" != "$old" ]; }
kill -USR2 "$old"
within 'an upgrade: a new master' 30 not_master
POOLER=$(master)
replays '... the standby goes on with the old one' 103
is '... which is there' 0 "$(kill -0 "$old" 2>&1 && echo 0)"
within '... until upgrade_timeout' 30 pid_gone "$old" 100
within '... when it was told' 20 grep -q 'administrator command' "$WORK_DIR/standby.log"
replays '... the standby goes on with the new one' 104

second_stop
within '... nothing is left of it' 20 walsenders_are 0
within '... its slot is free' 20 active_slots_are 0
adds_up 'after the standby'

# --- HBA ------------------------------------------------------------------------------------------------------

# rules <<HBA: these, in force.
rules() {
	cat >"$WORK_DIR/hba"
	own_file "$WORK_DIR/hba"
	pooler_reload || not_ok 'a reload'
}
printf 'auth_type = "hba";\nauth_hba_file = "%s";\n' "$WORK_DIR/hba" >>"$WORK_DIR/pgdrove.conf"
rules <<<'host all all 127.0.0.1/32 trust'
has 'HBA: "all" is no physical replication' 'no rule of auth_hba_file' "$(say 'dbname=replication replication=true' IDENTIFY_SYSTEM)"
has '... but logical' "$SYSTEM|" "$(say 'dbname=app replication=database' IDENTIFY_SYSTEM)"
rules <<-HBA
	host replication walker 127.0.0.1/32 trust
	host app postgres 127.0.0.1/32 trust
HBA
has 'HBA: "replication" is physical' "$SYSTEM|" "$(say 'dbname=replication replication=true' IDENTIFY_SYSTEM)"
has '... for whom it names' 'no rule of auth_hba_file' "$(say 'dbname=replication replication=true' IDENTIFY_SYSTEM postgres)"
has '... and never logical' 'no rule of auth_hba_file' "$(say 'dbname=app replication=database' IDENTIFY_SYSTEM)"
has '... whose database counts' "$SYSTEM|" "$(say 'dbname=app replication=database' IDENTIFY_SYSTEM postgres)"
has '... nor a database of that name' 'no rule of auth_hba_file' "$(say 'dbname=replication' 'select 1')"

#!/usr/bin/env bash
#
# reload: SIGHUP: a new configuration for all workers at once or for none. Under load: a hundred
# reloads while settings flip, with bad files in between; listeners, databases, limits, users,
# servers come and go.

set -u
cd "$(dirname "$0")/../.." || exit 2
# shellcheck source=tests/e2e/lib.sh
. tests/e2e/lib.sh

ROUNDS=${ROUNDS:-100}

# conf LINE...: the configuration; LINES stand in it as they are, DATABASES between brackets.
conf() {
	{
		cat <<-CONF
			listen = ( { host = "127.0.0.1"; port = $PORT; }${MORE_LISTEN:-} );
			run_dir = "$WORK_DIR/run";
			users = ( { name = "postgres"; password = "$PG_PASSWORD"; }${MORE_USERS:-} );
			workers = 2;
			pool_mode = "transaction";
			databases = ( ${DATABASES:-$APP} );
			log_connections = false;
			log_disconnections = false;
		CONF
		[ -z "$SERVICE_USER" ] || echo "user = \"$SERVICE_USER\";"
		printf '%s\n' "$@"
	} >"$WORK_DIR/pgdrove.conf"
	own_file "$WORK_DIR/pgdrove.conf"
}

reload() { reload_ends || not_ok 'a reload ends' "$(tail -n 3 "$WORK_DIR/pgdrove.log")"; }
reloads_as() { log_has "reload: $1"; }
same_conf() { [ "$(get worker.0.conf)" = "$(get worker.1.conf)" ] && [ "$(get steward.conf)" = "$(get worker.1.conf)" ]; }

fds() {
	local n=0 pid
	for pid in $(pgrep -P "$POOLER") "$POOLER"; do n=$((n + $(find "/proc/$pid/fd" -mindepth 1 | wc -l))); done
	echo "$n"
}
rss_kb() {
	local n=0 pid
	for pid in $(pgrep -P "$POOLER") "$POOLER"; do n=$((n + $(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status"))); done
	echo "$n"
}

e2e_begin reload
e2e_stay app
PORT=$(port_free)
SECOND=$(port_free)
APP="{ name = \"app\"; host = \"127.0.0.1\"; port = $PG_PORT; }"
"${RUN_AS[@]}" "$PG_BIN/pgbench" -i -q -h "$PG_SOCKETS" -p "$PG_PORT" -U postgres app >/dev/null 2>&1

# --- what is wrong changes nothing ---------------------------------------------------------------------

conf
pooler_start
is 'it serves' 1 "$(sql app 'select 1')"
echo 'pool_size = "many";' >>"$WORK_DIR/pgdrove.conf"
reload
check 'a bad value is reported with file and line' log_has 'reload: .*pgdrove.conf:[0-9]+: pool_size'
check '... and that nothing was changed' reloads_as 'nothing was changed: the configuration has errors'
is '... and it goes on with the old one' 1 "$(get worker.0.conf)"
conf 'auth_file = "/nowhere";'
reload
check 'a missing auth_file refuses all' log_has 'reload: /nowhere: auth_file: cannot read'
MORE_LISTEN=', { host = "192.0.2.1"; port = 6000; }' conf
reload
check 'a listener that cannot be had refuses all' reloads_as 'nothing was changed: cannot listen on'
is '... and nobody has changed' 1 "$(get worker.1.conf)"
conf 'max_backends = 99;' 'pool_size = 3;'
reload
check 'what cannot change is named' reloads_as 'max_backends keeps its value'
within '... and the rest is in force' 10 same_conf
check '... with a new number' [ "$(get worker.0.conf)" != 1 ]

# --- listeners -----------------------------------------------------------------------------------------

MORE_LISTEN=", { host = \"127.0.0.1\"; port = $SECOND; }, { path = \"$WORK_DIR/run\"; port = $SECOND; mode = \"0700\"; }" conf
reload
is 'a listener is added' 1 "$(PORT=$SECOND sql app 'select 1')"
check '... and a Unix socket' [ -S "$WORK_DIR/run/.s.PGSQL.$SECOND" ]
conf
reload
has 'it is removed' refused "$(PORT=$SECOND sql app 'select 1')"
check '... and the Unix socket' [ ! -e "$WORK_DIR/run/.s.PGSQL.$SECOND" ]
is '... and the first one is there' 1 "$(sql app 'select 1')"

# --- databases -----------------------------------------------------------------------------------------

DATABASES="$APP, { name = \"gone\"; dbname = \"app\"; host = \"127.0.0.1\"; port = $PG_PORT; }" conf
reload
crowd_start idle gone
crowd idle 'open 3'
psql_beside gone "select stay('gone'), 42" "$WORK_DIR/busy.out"
BUSY=$BESIDE
within 'somebody works in the database' 10 stays gone
conf
reload
has 'a removed database is not there any more' 'no such database' "$(sql gone 'select 1')"
let_go gone
wait "$BUSY"
is '... its transactions end well' '|42' "$(grep -v FATAL "$WORK_DIR/busy.out")"
crowd idle 'query select 1'
is '... its idle clients are told to go' 0 "$A"
within '... and its backends are gone' 20 get_is pool.gone.postgres.sv_idle 0
admin_sql 'create database other' >/dev/null
DATABASES="{ name = \"app\"; dbname = \"other\"; host = \"127.0.0.1\"; port = $PG_PORT; }" conf
is 'before' app "$(sql app 'select current_database()')"
reload
is 'another server is used at once' other "$(sql app 'select current_database()')"
within '... and the old connections are closed' 20 backends_are 0
conf
reload
is '... and back' app "$(sql app 'select current_database()')"

# --- limits, users -------------------------------------------------------------------------------------

conf 'pool_size = 12;'
reload
crowd_start many app
crowd many 'open 12'
crowd_tell many "query select stay('many')"
within 'a limit grows' 20 stays many 12
let_go many
crowd_hear many
conf 'pool_size = 3;'
reload
at_most() { [ "$(backends)" -le "$1" ]; }
within '... and shrinks: what is too much is closed' 20 at_most 3
crowd many 'query select 1'
is '... and everybody is served' 12 "$A"
crowd_tell many 'close'
MORE_USERS=', { name = "eve"; password = "one"; }' conf 'auth_type = "scram-sha-256";'
reload
as_eve() { PGPASSWORD=$1 "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U eve -d app -c 'select 1' 2>&1; }
has 'a password is asked for now' 'password authentication failed' "$(as_eve two)"
MORE_USERS=', { name = "eve"; password = "two"; }' conf 'auth_type = "scram-sha-256";'
reload
has 'a changed password holds at once' 'role "eve" does not exist' "$(as_eve two)"
conf
reload

# --- a storm -------------------------------------------------------------------------------------------

# What the nth configuration says; every fifth is wrong.
flip() {
	case $(($1 % 5)) in
	0) conf "pool_size = $((2 + $1 % 7));" 'query_wait_timeout = "40s";' ;;
	1) MORE_LISTEN=", { host = \"127.0.0.1\"; port = $SECOND; }" conf 'pool_size = 8;' 'server_lifetime = "1s";' ;;
	2) echo 'this is { no configuration' >"$WORK_DIR/pgdrove.conf" ;;
	3) MORE_USERS=", { name = \"u$1\"; password = \"x\"; pool_size = 3; }" conf 'max_db_connections = 5;' ;;
	4) conf 'fairness_window = "1ms";' "pool_size = $((4 + $1 % 3));" "min_pool_size = $(($1 % 4));" \
		'log_level = "debug";' ;;
	esac
}
bench() {
	"$PG_BIN/pgbench" -n -h 127.0.0.1 -p "$PORT" -U postgres -c 12 -j 2 -T 600 "$@" app
}
beside bench -b select-only >"$WORK_DIR/bench.1" 2>&1
FIRST=$BESIDE
beside bench -M extended -C -c 2 -f <(echo 'select pg_sleep(0.01);') >"$WORK_DIR/bench.2" 2>&1
OTHER=$BESIDE
for i in 1 2 3 4 5 6 7 8 9 10; do
	flip "$i"
	reload
done
FDS=$(fds) RSS=$(rss_kb)
for ((i = 11; i <= ROUNDS; i++)); do
	flip "$i"
	reload
	until_true 60 same_conf || not_ok "all have the same configuration ($i)" \
		"$(get worker.0.conf) $(get worker.1.conf) $(get steward.conf)"
done
conf 'pool_size = 4;'
reload
within 'the last limit is in force' 20 backends_are 4
check "both loads live after $ROUNDS reloads" kill -0 "$FIRST" "$OTHER"
is '... without an error' '' "$(grep -hiE 'error|fatal|abort' "$WORK_DIR/bench.1" "$WORK_DIR/bench.2")"
kill -TERM "$FIRST" "$OTHER"
wait "$FIRST" "$OTHER" 2>/dev/null
is '... no worker was lost' 0 "$(($(get worker.0.restarts) + $(get worker.1.restarts)))"
flat() { [ "$(fds)" -le "$((FDS + 2))" ]; }
within '... as many descriptors as before' 20 flat
[ -n "$ASAN" ] || check "... no memory is lost ($RSS kB, $(rss_kb) kB)" [ "$(rss_kb)" -le $((RSS + RSS / 5 + 2048)) ]
pooler_stop 'it stops'

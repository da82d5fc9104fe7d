#!/usr/bin/env bash
#
# generations: limits hold over the two generations of an upgrade together (shm/budget): of a database,
# of a user, of a pool. The old one keeps backends, since its clients are in transactions; the new one opens
# no more than the rest, and all of them when the old ones are gone.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin generations
admin_sql 'create role alice login; create role bob login; create role carol login'
admin_sql 'create database other'
MORE_USERS=', { name = "alice"; }, { name = "bob"; max_user_connections = 1; }, { name = "carol"; }'
pooler_conf < <(
	at="host = \"127.0.0.1\"; port = $PG_PORT"
	echo 'workers = 2; pool_mode = "transaction"; upgrade_timeout = "120s"; query_wait_timeout = "60s";'
	echo "databases = ( { name = \"app\"; $at; max_db_connections = 3; },"
	echo "	{ name = \"other\"; $at; pool_size = 2; } );"
)
pooler_start

new_serves() { [ "$(master)" != "$POOLER" ] && get_is master_pid "$(master)" && get_is state ready; }
as() { printf '%s\n' '\set VERBOSITY verbose' "$3" | "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U "$1" -d "$2" 2>&1; }
of() { admin_count "pg_stat_activity where client_addr is not null and $1"; }
of_is() { [ "$(of "$2")" = "$1" ]; }
served() { [ "$(as "$1" "$2" 'select 1;')" = 1 ]; }
# waits_for TIME: query_wait_timeout, in force.
waits_for() {
	sed -i "s/query_wait_timeout = \"[0-9]*s\"/query_wait_timeout = \"$1\"/" "$WORK_DIR/pgdrove.conf"
	pooler_reload || not_ok 'a reload'
}
# holds NAME USER DB N: so many clients in a transaction each.
holds() {
	CROWD_USER=$2 crowd_start "$1" "$3"
	crowd "$1" "open $4"
	crowd "$1" 'query begin; select 1'
	is "$2 holds $4 of $3" "$4 0 0" "$A $B $C"
}

holds db alice app 2
holds user bob other 1
holds pool carol other 1
kill -USR2 "$POOLER"
within 'a new generation serves' 60 new_serves
old=$POOLER
is '... and the transactions are with the old one' 4 "$(of "state = 'idle in transaction'")"

# The third place of the database is the new one's, and no more.
CROWD_USER=carol crowd_start three app
crowd three 'open 6'
crowd three 'query select pg_sleep(0.2)'
is 'max_db_connections: six clients are served' '6 0 0' "$A $B $C"
is '... by the one place that is left' 3 "$(of "datname = 'app'")"
is '... and so is another user' 1 "$(as postgres app 'select 1;')"
is '... in its place' 3 "$(of "datname = 'app'")"
crowd three close

waits_for 2s
out=$(refusal app bob)
waits_for 60s
has 'max_user_connections: the only place is in the old one' 'SFATAL VFATAL C53300 Mquery_wait_timeout' "$out"
has '... which is said' 'max_user_connections 1 reached, 0 in use' "$out"
has '... of who waits' '1 clients wait' "$out"
has '... and what to do' 'HRaise that limit' "$out"
is '... no second one was opened' 1 "$(of "usename = 'bob'")"
CROWD_USER=carol crowd_start two other
crowd two 'open 4'
crowd two 'query select pg_sleep(0.2)'
is 'pool_size: four clients are served' '4 0 0' "$A $B $C"
is '... by the place that is left' 2 "$(of "usename = 'carol' and datname = 'other'")"

# The transactions end, and with them the old generation.
for name in db user pool; do
	crowd "$name" 'query commit'
	[ "$B $C" = '0 0' ] || not_ok 'they commit' "$A $B $C"
done
within 'the old generation leaves' 60 pid_gone "$old" 100
wait "$POOLER" 2>/dev/null
POOLER=$(master)
crowd_tell two 'run select pg_sleep(0.2)'
within '... all places of the pool are the new one'\''s' 30 of_is 2 "usename = 'carol' and datname = 'other' and state = 'active'"
crowd_tell two stop
crowd_hear two
is '... without an error' '0 0' "$B $C"
CROWD_USER=alice crowd_start full app
crowd full 'open 6'
crowd_tell full 'run select pg_sleep(0.2)'
within '... and all of the database' 30 of_is 3 "datname = 'app' and state = 'active'"
crowd_tell full stop
crowd_hear full
is '... without an error' '0 0' "$B $C"
within '... and that of the user' 30 served bob app
is '... one' 1 "$(of "usename = 'bob'")"
for name in db user pool two full; do crowd "$name" close; done
kill -TERM "$POOLER"
check 'it stops' pid_gone "$POOLER" 30000
POOLER=

# --- backends with TLS -----------------------------------------------------------------------------------

# They cannot go over, and clients with TLS stay: the new generation must not wait for the end of the old one.
e2e_ca ca
e2e_cert server ca /CN=localhost
cluster_cert server
admin_sql 'select pg_reload_conf()' >/dev/null
with_tls() { PGSSLMODE=require "$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PG_PORT" -U postgres -c 'select 1' >/dev/null 2>&1; }
within 'PostgreSQL has TLS' 20 with_tls
pooler_conf <<-CONF
	workers = 1;
	pool_mode = "transaction";
	pool_size = 3;
	upgrade_timeout = "120s";
	$(client_tls allow)
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; server_tls_sslmode = "require"; } );
CONF
pooler_start
crowd_start stay 'app sslmode=require'
crowd stay 'open 6'
crowd stay 'query select pg_sleep(0.3)'
is 'TLS: six clients' '6 0 0' "$A $B $C"
crowd_tell stay 'run select pg_sleep(0.2)'
of_tls() { admin_count "pg_stat_activity join pg_stat_ssl using (pid) where ssl and usename = 'postgres' and client_addr is not null"; }
of_tls_are() { [ "$(of_tls)" = "$1" ]; }
within '... have all backends' 30 of_tls_are 3
crowd_tell stay stop
crowd_hear stay
is '... without an error' '0 0' "$B $C"
old=$POOLER
kill -USR2 "$POOLER"
within 'a new generation serves' 60 new_serves
PGSSLMODE=disable crowd_start next app
crowd next 'open 6'
crowd next 'query select 1'
is '... its clients, too' '6 0 0' "$A $B $C"
crowd_tell next 'run select pg_sleep(0.2)'
within '... with all backends but one' 30 of_is 2 "usename = 'postgres' and state = 'active' and query like '%0.2%'"
crowd stay 'query select 1'
is '... the old one serves its own' '6 0 0' "$A $B $C"
of_tls_at_most() { [ "$(of_tls)" -le "$1" ]; } # PostgreSQL shows one until its process has ended
within '... with no more backends than the pool' 30 of_tls_at_most 3
crowd_tell next stop
crowd_hear next
is '... without an error' '0 0' "$B $C"
check '... the old one is there still' kill -0 "$old"
crowd stay close
within '... and leaves with its last client' 30 pid_gone "$old" 100
wait "$POOLER" 2>/dev/null
POOLER=$(master)
kill -TERM "$POOLER"
check 'it stops' pid_gone "$POOLER" 30000
POOLER=

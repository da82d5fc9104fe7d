#!/usr/bin/env bash
#
# subscription: replication where nothing is trusted: over TLS to pgdrove and on to PostgreSQL, by a role whose
# password only PostgreSQL knows (auth_query). A second cluster subscribes to the first through pgdrove: the initial
# copy, changes, a table that joins later, a worker that is killed, a new password, DROP SUBSCRIPTION; and
# pg_basebackup the same way. Without TLS or secrets: replication.sh.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin subscription scram-sha-256
e2e_ca ca
e2e_cert server ca /CN=localhost
cluster_cert server
echo 'wal_level = logical' >>"$WORK_DIR/data/postgresql.conf"
cat >"$WORK_DIR/data/pg_hba.conf" <<-HBA
	local   all         all     trust
	hostssl all         all all scram-sha-256
	hostssl replication all all scram-sha-256
HBA
cluster_stop
cluster_again
admin_sql "create role streamer login replication password 'first'; create role asker superuser login password 'pw a'"
admin_sql "create table t (id int primary key, v text); create table late (id int primary key); grant select on t, late to streamer;
	insert into t select i, 'copied ' || i from generate_series(1, 20000) i; create publication p for table t" app
auth_file <<<'"asker" "pw a"'
pooler_conf <<-CONF
	workers = 2;
	pool_mode = "transaction";
	pool_size = 4;
	server_login_retry = "100ms";
	auth_type = "scram-sha-256";
	auth_file = "$WORK_DIR/users.txt";
	auth_user = "asker";
	auth_query_ttl = "100ms";
	$(client_tls require)
	server_tls_sslmode = "verify-full";
	server_tls_ca_file = "$CERTS/ca.crt";
	databases = ( { name = "app"; host = "localhost"; port = $PG_PORT; },
		{ name = "replication"; host = "localhost"; port = $PG_PORT; auth_dbname = "app"; } );
CONF
pooler_start

# All that PostgreSQL has of pgdrove's, walsenders included.
backends() { admin_count "pg_stat_activity where client_addr is not null${1:+ and $1}"; }
info() { echo "host=localhost port=$PORT user=streamer password=${1:-first} dbname=${2:-app} sslmode=verify-full sslrootcert=$CERTS/ca.crt channel_binding=require"; }
say() { "$PG_BIN/psql" -X -q -A -t -w "$1" -c "$2" 2>&1; }
serves() { [ "$(say "$(info "$PASSWORD")" 'select 1')" = 1 ]; }
PASSWORD=first

# --- the protocol ------------------------------------------------------------------------------------------

# libpq looks for a client certificate at home, and the cluster's account may not enter ours.
export HOME=$WORK_DIR
SYSTEM=$(admin_sql 'select system_identifier from pg_control_system()')
has 'logical replication: TLS, SCRAM bound to it, a password that only PostgreSQL knows' "$SYSTEM|" \
	"$(say "$(info) replication=database" IDENTIFY_SYSTEM)"
is '... TLS on to PostgreSQL, too' t \
	"$(say "$(info) replication=database" 'select ssl from pg_stat_ssl where pid = pg_backend_pid()')"
has 'physical replication' "$SYSTEM|" "$(say "$(info first replication) replication=true" IDENTIFY_SYSTEM)"
has 'a wrong password' 'password authentication failed for user "streamer"' \
	"$(say "$(info wrong) replication=database" IDENTIFY_SYSTEM)"
has '... physical' 'password authentication failed for user "streamer"' \
	"$(say "$(info wrong replication) replication=true" IDENTIFY_SYSTEM)"
has 'a role that may not' 'replication role' "$(say "$(info 'pw a' | sed s/streamer/asker/) replication=database" \
	'create_replication_slot "x" logical "no_such_plugin"')$(admin_sql "create role mere login password 'm'"; say \
	"$(info m | sed s/streamer/mere/) replication=database" IDENTIFY_SYSTEM)"
has 'without TLS' 'SSL required' "$(say "$(info | sed 's/sslmode=.*/sslmode=disable/') replication=database" IDENTIFY_SYSTEM)"

"${RUN_AS[@]}" "$PG_BIN/pg_basebackup" -w -d "$(info first replication)" -D "$WORK_DIR/base" -X stream -c fast 2>&1
is 'pg_basebackup -X stream' 0 $?
has '... is complete' 'backup successfully verified' "$("$PG_BIN/pg_verifybackup" "$WORK_DIR/base" 2>&1)"

# --- a subscription ----------------------------------------------------------------------------------------

"${RUN_AS[@]}" "$PG_BIN/initdb" -D "$WORK_DIR/sub" -U postgres -A trust --locale=C.UTF-8 --no-sync >"$WORK_DIR/sub.init" 2>&1
second_start sub
on_sub() { second_sql postgres "$1"; }
sub_is() { [ "$(on_sub "$2")" = "$1" ]; }
# arrives NAME: both have the same rows.
digest='select count(*), md5(string_agg(t::text, null order by id)) from t'
same() { sub_is "$(admin_sql "$digest" app)" "$digest"; }
arrives() { within "$1" 60 same; }
walsenders_are() { [ "$(admin_count pg_stat_replication)" = "$1" ]; }

on_sub 'create table t (id int primary key, v text); create table late (id int primary key)'
is 'CREATE SUBSCRIPTION' 'NOTICE:  created replication slot "s" on publisher' \
	"$(on_sub "create subscription s connection '$(info)' publication p")"
arrives '... the initial copy arrives'
within '... one stream remains' 30 walsenders_are 1
is '... over TLS' t "$(admin_sql 'select ssl from pg_stat_ssl join pg_stat_replication using (pid)')"
admin_sql "insert into t values (30000, repeat('long', 1000000)); update t set v = 'changed' where id % 3 = 0;
	delete from t where id % 5 = 0" app
arrives '... changes follow'
admin_sql "begin; insert into t values (40000, 'undone'); rollback; truncate t; insert into t values (1, 'after TRUNCATE')" app
arrives '... TRUNCATE too'
admin_sql 'alter publication p add table late; insert into late select generate_series(1, 5000)' app
on_sub 'alter subscription s refresh publication'
within '... a table that joins later' 60 sub_is 5000 'select count(*) from late'
for i in 1 2 3; do admin_sql "insert into t select i, 'with $i' from generate_series($i * 1000, $i * 1000 + 99) i" app; done
arrives '... and the first one goes on'

W=$([ "$(get worker.0.clients_active)" != 0 ] && echo 0 || echo 1)
victim=$(get "worker.$W.pid")
kill -KILL "$victim"
within 'its worker is killed: there is a successor' 20 worker_replaced "$W" "$victim"
admin_sql "insert into t values (50000, 'after the worker')" app
arrives '... it streams again'
within '... alone' 30 walsenders_are 1

admin_sql "alter role streamer password 'second'"
PASSWORD=second
on_sub "alter subscription s connection '$(info second)'"
admin_sql "insert into t values (50001, 'after the password')" app
arrives 'a new password: it streams'
on_sub 'alter subscription s disable'
within 'DISABLE' 30 walsenders_are 0
on_sub 'alter subscription s enable'
admin_sql "insert into t values (50002, 'after ENABLE')" app
arrives '... ENABLE'
is 'DROP SUBSCRIPTION' 'NOTICE:  dropped replication slot "s" on publisher' "$(on_sub 'drop subscription s')"
is '... no slot is left' 0 "$(admin_count pg_replication_slots)"
within '... no stream' 30 walsenders_are 0
adds_up 'after the subscription'
second_stop
pooler_stop 'ends well'

#!/usr/bin/env bash
#
# login: every way in at PostgreSQL, what the client sees when that fails, and the ways a client comes
# in: IPv4, IPv6, Unix socket; startup parameters; limits.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin login scram-sha-256
admin_sql "set password_encryption = 'md5'; create role by_md5 login password 'm'"
admin_sql "create role by_scram login password 's''\\ö'; create role by_clear login password 'c'; create role by_trust login"
admin_sql "create role locked nologin password 'l'"
cat >"$WORK_DIR/data/pg_hba.conf" <<-HBA
	local all postgres trust
	local all by_scram scram-sha-256
	host all by_md5 all md5
	host all by_clear all password
	host all by_trust all trust
	host all all all scram-sha-256
HBA
admin_sql "alter system set listen_addresses = '127.0.0.1,::1'"
cluster_stop
cluster_again

RUN=$WORK_DIR/run
pooler_conf < <(
	cat <<-CONF
		workers = 2;
		pool_mode = "transaction";
		pool_size = 3;
		max_client_conn = 40;
		server_login_retry = "300ms";
		databases = (
			{ name = "app"; host = "127.0.0.1"; port = $PG_PORT; },
			{ name = "v6"; host = "::1"; port = $PG_PORT; dbname = "app"; },
			{ name = "named"; host = "localhost"; port = $PG_PORT; dbname = "app"; },
			{ name = "socket"; host = "$PG_SOCKETS"; port = $PG_PORT; dbname = "app"; },
			{ name = "forced"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; user = "by_md5"; password = "m"; },
			{ name = "missing"; host = "127.0.0.1"; port = $PG_PORT; dbname = "no such thing"; },
			{ name = "down"; host = "127.0.0.1"; port = $(port_free); },
			{ name = "nowhere"; host = "no-such-host.invalid"; port = $PG_PORT; } );
	CONF
)
# The list of users and a listener per family, in place of lib.sh's.
sed -i -e "s|^listen = .*|listen = ( { host = \"127.0.0.1\"; port = $PORT; }, { host = \"::1\"; port = $PORT; }, { path = \"$RUN\"; port = $PORT; } );|" \
	-e "s|^users = .*|users = ( { name = \"by_md5\"; password = \"m\"; }, { name = \"by_scram\"; password = \"s'\\\\\\\\ö\"; }, { name = \"by_clear\"; password = \"c\"; }, { name = \"by_trust\"; }, { name = \"locked\"; password = \"l\"; }, { name = \"wrong\"; password = \"w\"; }, { name = \"none\"; } );|" \
	"$WORK_DIR/pgdrove.conf"
mkdir -p "$RUN"
own_file "$RUN"
pooler_start

# as USER DB SQL [HOST]
as() {
	PGPASSWORD='' "$PG_BIN/psql" -X -q -A -t -w -h "${4:-127.0.0.1}" -p "$PORT" -U "$1" -d "$2" -c '\set VERBOSITY verbose' -c "$3" 2>&1
}
for user in by_md5 by_scram by_clear by_trust; do
	is "$user at PostgreSQL" "$user" "$(as "$user" app 'select current_user')"
done
is 'by a Unix socket at PostgreSQL' by_scram "$(as by_scram socket 'select current_user')"
is 'by IPv6 at PostgreSQL' '::1' "$(as by_scram v6 'select host(inet_server_addr())')"
is 'by a host name, the address that listens' by_scram "$(as by_scram named 'select current_user')"
is 'a forced user' by_md5 "$(as by_scram forced 'select current_user')"
is 'clients come by IPv6' 1 "$(as by_scram app 'select 1' ::1)"
is 'clients come by a Unix socket' 1 "$(as by_scram app 'select 1' "$RUN")"

has 'wrong password: the server says so' 'password authentication failed for user "wrong"' "$(as wrong app 'select 1')"
has 'no password configured' 'none is configured for this user' "$(as none app 'select 1')"
has 'a role that may not log in' 'role "locked" is not permitted to log in' "$(as locked app 'select 1')"
has 'a database that is missing at the server' 'database "no such thing" does not exist' "$(as by_scram missing 'select 1')"
has 'a database that is not configured' 'no such database: other' "$(as by_scram other 'select 1')"
has 'a user that is not configured' 'no such user: stranger' "$(as stranger app 'select 1')"
has 'a server that is down: the cause' 'Connection refused' "$(as by_scram down 'select 1')"
has 'a host that nobody knows: the cause' 'cannot look up server no-such-host.invalid' "$(as by_scram nowhere 'select 1')"
has 'replication is the server'"'"'s to refuse' 'must be superuser or replication role' "$(as by_scram 'dbname=app replication=database' 'select 1')"
is 'any setting as a startup parameter' 1MB "$(PGOPTIONS='-c work_mem=1MB' as by_scram app 'show work_mem')"
has 'one that does not exist' 'unrecognized configuration parameter "nonsense"' \
	"$(PGOPTIONS='-c nonsense=1' as by_scram app 'select 1')"
is 'startup parameters are honoured' 'SQL, DMY|Asia/Tokyo|LATIN1|it'\''s' \
	"$(PGDATESTYLE='SQL, DMY' PGTZ=Asia/Tokyo PGCLIENTENCODING=LATIN1 PGAPPNAME="it's" as by_scram app \
		"select current_setting('datestyle') || '|' || current_setting('timezone') || '|' || current_setting('client_encoding') || '|' || current_setting('application_name')")"
is '... and do not stay for the next' 'ISO, MDY' "$(as by_scram app "select current_setting('datestyle')")"
long=$(printf 'n%.0s' {1..3000})
has 'a very long application_name' nnnnn "$(PGAPPNAME=$long as by_scram app "select current_setting('application_name')")"

# max_client_conn over both workers, exactly.
export PGPASSWORD=''
within 'all others have left' 10 get_is clients 0
"$TOOLS/tool_crowd" "host=127.0.0.1 port=$PORT user=by_trust dbname=app" <<<'open 50' >"$WORK_DIR/crowd.out" 2>"$WORK_DIR/crowd.err"
is 'max_client_conn: 40 come in, 10 do not' 'open 40 10' "$(cat "$WORK_DIR/crowd.out")"
is '... and are told why' 10 "$(grep -c 'no more connections allowed (max_client_conn)' "$WORK_DIR/crowd.err")"
is 'afterwards it serves' 1 "$(as by_scram app 'select 1')"

# A client that waits in the queue can be cancelled (that its session goes on: test_cancel).
for _ in 1 2 3; do
	PGPASSWORD='' beside "$PG_BIN/psql" -X -q -w -h 127.0.0.1 -p "$PORT" -U by_trust -d app -c 'begin; select pg_sleep(200)' >/dev/null 2>&1
	holders="${holders:-} $BESIDE"
done
within 'the pool is in use' 20 backends_are 3 "query like '%pg_sleep(200)%' and state = 'active'"
printf '\\set VERBOSITY verbose\nselect 1;\nselect 2;\n' | PGPASSWORD='' "$PG_BIN/psql" -X -q -A -t -w -h 127.0.0.1 -p "$PORT" -U by_trust -d app >"$WORK_DIR/queued" 2>&1 &
queued=$!
CHILDREN+=("$queued")
waiting() { [ "$(get clients_waiting)" = 1 ]; }
within 'a fourth waits' 10 waiting
kill -INT "$queued"
told() { grep -q 'ERROR:  57014: canceling statement due to user request' "$WORK_DIR/queued"; }
within 'it is cancelled in the queue: SQLSTATE and text' 10 told
has '... why' 'DETAIL:  It was waiting for a server connection and has not run.' "$(cat "$WORK_DIR/queued")"
for pid in $holders; do kill -INT "$pid"; done
kill "$queued" 2>/dev/null
for pid in $holders; do wait "$pid" 2>/dev/null; done
idle_only() { backends_are 0 "state <> 'idle'"; }
within 'the holders were cancelled' 10 idle_only
is 'and it serves' 1 "$(as by_scram app 'select 1')"
pooler_stop 'ends well'

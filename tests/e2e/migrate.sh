#!/usr/bin/env bash
#
# migrate: a pgbouncer.ini with every option of PgBouncer runs as it is, says once what has no meaning here,
# and behaves the same after `pgdrove convert`.

set -u
cd "$(dirname "$0")/../.." || exit 2
# shellcheck source=tests/e2e/lib.sh
. tests/e2e/lib.sh

e2e_begin migrate
PORT=$(port_free)
# The unit test's file, which names every option, with places of ours; the last value of a name counts.
grep -v '^\(user\|app\|old\|[*]\) *=' tests/unit/pgbouncer.ini >"$WORK_DIR/every.ini"
cat >"$WORK_DIR/pgbouncer.ini" <<-INI
	%include $WORK_DIR/every.ini
	[pgbouncer]
	listen_addr = 127.0.0.1
	listen_port = $PORT
	unix_socket_dir = $WORK_DIR
	${SERVICE_USER:+user = $SERVICE_USER}
	pidfile = $WORK_DIR/pgbouncer.pid
	logfile =
	auth_type = md5
	auth_file = $WORK_DIR/userlist.txt
	auth_user =
	auth_dbname =
	admin_users = boss
	default_pool_size = 3
	max_prepared_statements = 50
	ignore_startup_parameters = extra_float_digits, geqo
	log_connections = 0
	run_dir = $WORK_DIR/run
	[databases]
	%include $WORK_DIR/databases.ini
	[users]
	bob = pool_mode=transaction pool_size=2 max_user_connections=2
INI
cat >"$WORK_DIR/databases.ini" <<-INI
	; one that forces its user, one by its own name, one for all others
	app = host=127.0.0.1 port=$PG_PORT user=postgres password='$PG_PASSWORD' pool_mode=transaction connect_query='set statement_timeout = 12345' application_name=moved datestyle=German
	"odd name" = host=127.0.0.1 port=$PG_PORT dbname=app user=postgres pool_size=1
	* = host=127.0.0.1 port=$PG_PORT user=postgres
INI
md5=md5$(printf 'hashedcarol' | md5sum | cut -d' ' -f1)
printf '"bob" "clear"\n"carol" "%s"\n"boss" "boss"\n"postgres" "%s"\n' "$md5" "$PG_PASSWORD" >"$WORK_DIR/userlist.txt"
own_file "$WORK_DIR"/*.ini "$WORK_DIR/userlist.txt"

# start FILE
start() {
	(cd "$WORK_DIR" && exec "$BIN" -c "$1" >>"$WORK_DIR/pgdrove.log" 2>&1) &
	POOLER=$!
	until_true 30 pooler_ready || {
		not_ok "pgdrove starts with $1" "$(tail -n 5 "$WORK_DIR/pgdrove.log")"
		exit 1
	}
}
# by USER PASSWORD DB SQL
by() { PGPASSWORD=$2 "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U "$1" -d "$3" -c "$4" 2>&1 | sed 's/.*FATAL: */FATAL: /'; }
# What a client notices, a line each.
behaviour() {
	by bob clear app 'select 1'
	by carol hashed app 'select 2'
	by bob wrong app 'select 3' | cut -c1-5
	by nobody x app 'select 4' | cut -c1-5
	by bob clear app 'show statement_timeout'
	by bob clear app 'show application_name'
	by bob clear app 'show datestyle'
	by carol hashed 'odd name' 'select current_database(), current_user'
	by carol hashed postgres 'select current_database(), current_user'
}
configured() {
	by boss boss pgbouncer 'SHOW CONFIG'
	by boss boss pgbouncer 'SHOW DATABASES' | cut -d'|' -f1-12,14
	by boss boss pgbouncer 'SHOW USERS' | cut -d'|' -f1-5,7
}

"$BIN" -t -c "$WORK_DIR/pgbouncer.ini" >"$WORK_DIR/tested" 2>&1
is 'pgdrove -t: the file is right' 0 $?
meaningless=$(grep -c 'has no meaning here' "$WORK_DIR/tested")
check '... it names what has no meaning' [ "$meaningless" -ge 20 ]
is '... each once' '' "$(grep -o '[a-z_]* has no meaning here' "$WORK_DIR/tested" | sort | uniq -d)"
start "$WORK_DIR/pgbouncer.ini"
is 'running it names the same' "$meaningless" "$(grep -c 'has no meaning here' "$WORK_DIR/pgdrove.log")"
behaviour >"$WORK_DIR/behaviour.ini"
configured >"$WORK_DIR/configured.ini"
is 'clients are let in, and find what is set for them' '1|2|FATAL|FATAL|12345ms|psql|German, DMY|app|postgres|postgres|postgres' \
	"$(paste -sd'|' "$WORK_DIR/behaviour.ini")"
has 'default_pool_size' 'pool_size|3|' "$(cat "$WORK_DIR/configured.ini")"
has 'the Unix socket is there' 1 \
	"$(PGPASSWORD=clear "$PG_BIN/psql" -X -q -A -t -h "$WORK_DIR" -p "$PORT" -U bob -d app -c 'select 1' 2>&1)"
check 'pidfile' [ "$(cat "$WORK_DIR/pgbouncer.pid")" = "$POOLER" ]
sed -i 's/^default_pool_size.*/default_pool_size = 4/' "$WORK_DIR/pgbouncer.ini"
kill -HUP "$POOLER"
reloaded() { by boss boss pgbouncer 'SHOW CONFIG' | grep -q '^pool_size|4|'; }
within 'a reload reads it again' 20 reloaded
configured >"$WORK_DIR/configured.ini"
pooler_stop 'it ends well'

"$BIN" convert "$WORK_DIR/pgbouncer.ini" >"$WORK_DIR/pgdrove.conf" 2>"$WORK_DIR/converted"
is 'pgdrove convert' 0 $?
is '... names what has no meaning too' "$meaningless" \
	"$(cat "$WORK_DIR/converted" "$WORK_DIR/pgdrove.conf" | grep -c 'has no meaning here')"
own_file "$WORK_DIR/pgdrove.conf"
noted() { grep -c 'has no meaning here' "$WORK_DIR/pgdrove.log"; }
noted=$(noted)
start "$WORK_DIR/pgdrove.conf"
is '... which names nothing any more' "$noted" "$(noted)"
is 'clients find no difference' '' "$(diff "$WORK_DIR/behaviour.ini" <(behaviour))"
is '... nor is anything set otherwise' '' "$(diff "$WORK_DIR/configured.ini" <(configured))"
pooler_stop 'it ends well'

#!/usr/bin/env bash
#
# log: what the log says of clients, as text and as JSON; slow queries and transactions; a reload
# changes it; standard error that nobody reads holds nobody up; rotation.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin log
pooler_conf <<-CONF
	workers = 2;
	pool_mode = "transaction";
	log_min_duration = "3s";
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; },
	              { name = "gone"; host = "127.0.0.1"; port = $PG_PORT; } );
CONF
sed -i 's/^log_\(dis\)\?connections.*/log_\1connections = true;/' "$WORK_DIR/pgdrove.conf"
pooler_start

sql app 'select 1' >"$WORK_DIR/out"
within 'a login' 10 log_has 'worker [01] info: client app/postgres@127.0.0.1:[0-9]+: logged in'
within 'a client that leaves, why and after how long' 10 \
	log_has 'client app/postgres@127.0.0.1:[0-9]+: closed: .* \(age [0-9.]+ s\)'
sql nowhere 'select 1' >"$WORK_DIR/out"
within 'a refused login has its reason' 10 log_has 'client nowhere/postgres@127.0.0.1:[0-9]+: .*refused.*3D000'

sql app 'select pg_sleep(3.1), 1' >"$WORK_DIR/out"
within 'a slow query, with its text' 10 log_has 'slow query: [0-9.]+ ms on backend pid [0-9]+: select pg_sleep\(3.1\), 1'
sql app "select pg_sleep(3.1), 'PassWord x'" >"$WORK_DIR/out"
within '... but for a password' 10 log_has 'slow query: .*speaks of a password'
check '... which is nowhere' eval '! log_has "PassWord x"'
{ echo 'begin;' && printf 'select pg_sleep(0.55);%.0s\n' 1 2 3 4 5 6 && echo 'commit;'; } |
	"$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U postgres -d app >"$WORK_DIR/out" 2>&1
within 'a slow transaction of quick queries' 10 log_has 'slow transaction: [0-9.]+ ms'
is 'quick queries have no line' 0 "$(grep -c 'slow.*0\.55' "$WORK_DIR/pgdrove.log")"

# JSON, by a reload
sed -i 's/^log_min_duration.*/log_format = "json";/' "$WORK_DIR/pgdrove.conf"
kill -HUP "$POOLER"
json_login() { sql app 'select 1' >"$WORK_DIR/out" && log_has '^\{"time":"[^"]*Z","level":"info".*"event":"logged in","client":"127.0.0.1","port":[0-9]+,"database":"app","user":"postgres"'; }
within 'JSON after a reload' 20 json_login
sql 'no"body' 'select 1' >"$WORK_DIR/out"
within 'a quote is escaped' 10 log_has 'no\\"body'
within 'a refusal: its SQLSTATE and its reason' 10 \
	log_has '^\{.*"event":"refused[^"]*","client":"127.0.0.1",.*"database":"no\\"body",.*"sqlstate":"3D000","reason":"'
sql gone 'select 1' >"$WORK_DIR/out"
within "... one of PostgreSQL's too" 20 log_has '^\{.*"event":"refused[^"]*",.*"database":"gone",.*"sqlstate":"3D000"'
grep -a '^{' "$WORK_DIR/pgdrove.log" >"$WORK_DIR/json"
check 'every line is JSON' python3 -c 'import json,sys
for l in open(sys.argv[1], "rb"): json.loads(l)' "$WORK_DIR/json"
pooler_stop 'it ends well'

# a log file, moved away
echo "log_file = \"$WORK_DIR/file.log\";" >>"$WORK_DIR/pgdrove.conf"
pooler_start
mv "$WORK_DIR/file.log" "$WORK_DIR/file.log.1"
reopened() { [ -e "$WORK_DIR/file.log" ] && sql app 'select 1' >"$WORK_DIR/out" && grep -q 'logged in' "$WORK_DIR/file.log"; }
[ -z "$SERVICE_USER" ] || chown "$SERVICE_USER" "$WORK_DIR"
kill -USR1 "$POOLER"
within 'USR1: a new file' 10 reopened
pooler_stop 'with a log file it ends well'

# standard error is a pipe whose reader sleeps
sed -i '/^log_file/d' "$WORK_DIR/pgdrove.conf"
mkfifo "$WORK_DIR/pipe"
# shellcheck disable=SC2217
sleep 1000 <"$WORK_DIR/pipe" &
READER=$!
CHILDREN+=("$READER")
( cd "$WORK_DIR" && exec "$BIN" -c "$WORK_DIR/pgdrove.conf" >"$WORK_DIR/pipe" 2>&1 ) &
POOLER=$!
until_true 30 pooler_ready || not_ok 'starts with a pipe'
flood() {
	for _ in 1 2 3 4 5 6 7 8; do
		"$PG_BIN/pgbench" -n -C -c 8 -t 50 -f "$WORK_DIR/one.sql" -h 127.0.0.1 -p "$PORT" -U postgres app >>"$WORK_DIR/flood" 2>&1 || return 1
		[ "$(get log_dropped)" -gt 0 ] && return 0
	done
	until_true 30 dropped
}
dropped() { [ "$(get log_dropped)" -gt 0 ]; }
echo 'select 1;' >"$WORK_DIR/one.sql"
check 'a pipe that nobody reads: clients are served' flood
within '... what is lost is counted' 5 dropped
check '... and it serves' serves
pooler_stop '... and ends well'

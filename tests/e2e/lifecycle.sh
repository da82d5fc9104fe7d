#!/usr/bin/env bash
#
# lifecycle: a backend from its opening to its end: checks before use, several hosts, back-off after
# failures, orphans. What limits on time do is in timeouts.sh, what limits on numbers do in limits.sh.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin lifecycle

# begin DATABASE OPTION...: a pooler with two workers; DATABASE is what the entry `app` has.
begin() {
	local database=$1
	shift
	pooler_conf < <(
		echo 'workers = 2; pool_mode = "transaction";' "$@"
		echo "databases = ( { name = \"app\"; $database } );"
	)
	pooler_start
}
at="host = \"127.0.0.1\"; port = $PG_PORT;"
said() { printf '%s\n' '\set VERBOSITY verbose' "$@" | "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app 2>&1; }
pid_of_mine() { sql app 'select pg_backend_pid()'; }

# --- server_check_query ---------------------------------------------------------------------------------

begin "$at pool_size = 1;" 'server_check_delay = "1s";'
first=$(pid_of_mine)
sleep 1.2
is 'server_check_query: a backend that works is used on' "$first" "$(pid_of_mine)"
is '... it was asked once' '1 0' "$(get sv_checked) $(get sv_check_failed)"
sleep 1.2
psql_beside app "select pg_sleep(0.3), 'a'" "$WORK_DIR/a"
psql_beside app "select pg_sleep(0.3), 'b'" "$WORK_DIR/b"
wait "${CHILDREN[@]: -2}"
is '... two clients at once: both are served' '|a |b ' "$(cat "$WORK_DIR/a" "$WORK_DIR/b" | tr '\n' ' ')"
is '... by one backend, asked once' "$first 2" "$(pid_of_mine) $(get sv_checked)"
pooler_stop 'ends well'

begin "$at pool_size = 2;" 'server_check_delay = "1s"; server_connect_timeout = "4s";'
first=$(pid_of_mine)
kill -STOP "$first"
sleep 1.2
start=$(now_ms)
second=$(pid_of_mine)
check "a backend that does not answer: another one serves ($(($(now_ms) - start)) ms)" [ "$second" -gt 0 ]
check '... and not that one' [ "$second" != "$first" ]
within '... it is closed' 10 get_is sv_check_failed 1
kill -CONT "$first"
within '... PostgreSQL has only the other' 10 backends_are 1
pooler_stop 'ends well'

begin "$at pool_size = 1;" 'server_check_query = "select nonsense"; server_check_delay = "500ms";'
first=$(pid_of_mine)
sleep 0.7
second=$(pid_of_mine)
check 'a check that fails: the client notices nothing' [ "$second" -gt 0 ]
check '... the backend is replaced' [ "$second" != "$first" ]
check '... and the log says why' log_has 'server_check_query failed: column "nonsense" does not exist'
pooler_stop 'ends well'

begin "$at pool_size = 1;" 'server_check_query = ""; server_check_delay = "0";'
is 'no server_check_query' 1 "$(sql app 'select 1')"
is '... no check' '1 0' "$(sql app 'select 1') $(get sv_checked)"
pooler_stop 'ends well'

begin "$at pool_size = 1;" 'server_check_delay = "0";'
first=$(pid_of_mine)
is 'server_check_delay = 0: a check each time' "$first 2" "$(pid_of_mine) $(get sv_checked)"
pooler_stop 'ends well'

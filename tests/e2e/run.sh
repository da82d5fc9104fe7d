#!/usr/bin/env bash
#
# run: how operators start it and look at it: -V, -t, -d, readiness, log rotation, and `pgdrove stat`
# when every process is stopped or dead.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin run
pooler_conf < <(
	cat <<-CONF
		workers = 2;
		pool_mode = "session";
		log_file = "$WORK_DIR/run.log";
		databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	CONF
)
touch "$WORK_DIR/run.log"
own_file "$WORK_DIR/run.log"
CONF=$WORK_DIR/pgdrove.conf

has '-V' 'pgdrove ' "$("$BIN" -V)"
check '-t accepts the configuration' "$BIN" -t -c "$CONF"
sed 's/^workers.*/workers = 900; wrokers = 1;/' "$CONF" >"$WORK_DIR/bad.conf"
out=$("$BIN" -t -c "$WORK_DIR/bad.conf" 2>&1)
is '-t refuses a bad one' 1 $?
has '... with file, line and key' 'bad.conf:' "$out"
has '... every error' 'did you mean "workers"?' "$out"
"$BIN" stat --run-dir "$WORK_DIR/run" >/dev/null 2>&1
is 'stat: not running' 3 $?

# -d returns when it serves.
(cd "$WORK_DIR" && "$BIN" -d -c "$CONF")
is '-d says when it serves' 0 $?
POOLER=$(cat "$WORK_DIR/run/pgdrove.pid")
is 'and it does' 1 "$(sql app 'select 1')"
"$BIN" -c "$CONF" >"$WORK_DIR/second" 2>&1
is 'a second one is refused' 1 $?
has '... and told which runs' "$POOLER" "$(cat "$WORK_DIR/second")"
"$BIN" stat -c "$CONF" >"$WORK_DIR/table"
is 'stat: healthy' 0 $?
has 'stat: a table' 'serving' "$(cat "$WORK_DIR/table")"
check 'stat --json is JSON' grep -q '"clients"' <("$BIN" stat -c "$CONF" --json)

# Session end: DISCARD ALL.
sql app "set work_mem = '7MB'; create temp table t ()" >/dev/null
is 'a session leaves nothing behind' '4MB|0' "$(sql app "select current_setting('work_mem'), (select count(*) from pg_class where relname = 't')")"

# Rotation.
mv "$WORK_DIR/run.log" "$WORK_DIR/run.log.1"
touch "$WORK_DIR/run.log"
own_file "$WORK_DIR/run.log"
kill -USR1 "$POOLER"
rotated() { sql nowhere "select 1" >/dev/null; [ -s "$WORK_DIR/run.log" ]; } # a refusal is logged
within 'USR1 reopens the log' 10 rotated

titles() { for pid in $POOLER $(pid_children "$POOLER"); do tr '\0' ' ' <"/proc/$pid/cmdline"; echo; done; }
has 'process titles: the master' 'master' "$(titles)"
quiet_worker() { [[ $(titles) == *'worker 1 (0 clients'* ]]; } # a title is as of the last second
within 'process titles: a worker' 10 quiet_worker

pids=$(pid_children "$POOLER")
# shellcheck disable=SC2086
kill -STOP "$POOLER" $pids
silent() {
	"$BIN" stat -c "$CONF" >"$WORK_DIR/table" 2>&1
	[ $? = 1 ]
}
within 'stat: all stopped, and it says so' 30 silent
has 'stat: still shows the table' 'worker' "$(cat "$WORK_DIR/table")"
# shellcheck disable=SC2086
kill -KILL $pids "$POOLER"
until_true 30 pid_gone "$POOLER" 0
"$BIN" stat -c "$CONF" >"$WORK_DIR/table" 2>&1
is 'stat: all dead' 3 $?
POOLER=

# sd_notify: the master's READY comes when it serves.
if command -v systemd-notify >/dev/null && command -v socat >/dev/null; then
	socat -u "UNIX-RECVFROM:$WORK_DIR/notify,fork" "OPEN:$WORK_DIR/notified,creat,append" &
	CHILDREN+=($!)
	until_true 30 test -S "$WORK_DIR/notify"
	chmod 0777 "$WORK_DIR/notify"
	export NOTIFY_SOCKET=$WORK_DIR/notify
fi
pooler_start
[ -z "${NOTIFY_SOCKET:-}" ] || within 'READY=1 is told to systemd' 10 grep -q 'READY=1' "$WORK_DIR/notified"
unset NOTIFY_SOCKET
is 'a new start after all were killed' 1 "$(sql app 'select 1')"
pooler_stop 'ends well'

#!/usr/bin/env bash
#
# tools: `pgdrove stat`, pgdrove-top and pgdrove-check tell the truth: in health, while all workers are
# stopped, while one dies at every start, and after kill -9 of all. Thresholds and exit codes.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

export PGDROVE=$BIN
e2e_begin tools
pooler_conf <<-CONF
	workers = 2;
	worker_timeout = "1h";
	pool_mode = "transaction";
	log_file = "$WORK_DIR/log/pgdrove.log";
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
CONF
mkdir "$WORK_DIR/log"
[ -z "$SERVICE_USER" ] || chown "$SERVICE_USER:$(id -g "$SERVICE_USER")" "$WORK_DIR/log"

# told COMMAND...: its output into SAID, its status into RC.
told() {
	SAID=$("$@" --run-dir "$WORK_DIR/run" 2>&1)
	RC=$?
}
top() { told scripts/pgdrove-top -1; }
plugin() { told scripts/pgdrove-check "$@"; }
stat() { told "$BIN" stat; }
# says NAME WANTED_RC PART COMMAND...: comes to say it.
says() {
	local name=$1 rc=$2 part=$3
	shift 3
	it_says() { "$@"; [ "$RC" = "$rc" ] && [[ $SAID == *"$part"* ]]; }
	until_true 20 it_says "$@"
	is "$name: exit status" "$rc" "$RC"
	has "$name" "$part" "$SAID"
}

plugin
is 'not started: critical' 2 "$RC"
has '... and said' 'PGDROVE CRITICAL - not running' "$SAID"
pooler_start
check 'serves' serves
says 'healthy: check' 0 'PGDROVE OK - healthy | clients=' plugin
says 'healthy: top shows the pool' 0 'app/postgres' top
has '... and the workers' 'worker 1' "$SAID"
has '... and the steward' 'steward' "$SAID"
plugin -w 0 -c 100 sv_idle
is 'above -w: warning' 1 "$RC"
has '... with perfdata' '| sv_idle=1;0;100 clients=' "$SAID"
plugin -c 0 sv_idle
is 'above -c: critical' 2 "$RC"
plugin -w 5 -c 9 sv_idle
is 'within: OK' 0 "$RC"
plugin -c 2: sv_idle
is 'below -c N:: critical' 2 "$RC"
plugin nonsense
is 'an unknown name: unknown' 3 "$RC"
plugin -w x sv_idle
is 'a wrong threshold: unknown' 3 "$RC"

# The live view on a terminal: three screens, then q.
cat >"$WORK_DIR/live.py" <<-'PY'
	import os, pty, select, sys, time
	pid, fd = pty.fork()
	if pid == 0:
	    os.execv("scripts/pgdrove-top", ["pgdrove-top", "-n", "0.2", "--run-dir", sys.argv[1]])
	said, end, asked = b"", time.time() + 60, False
	while time.time() < end:
	    if not select.select([fd], [], [], 0.2)[0]:
	        continue
	    try:
	        part = os.read(fd, 65536)
	    except OSError:
	        break
	    said += part
	    if not asked and said.count(b"\033[H\033[2J") >= 3:
	        os.write(fd, b"q\n")
	        asked = True
	    if not part:
	        break
	print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.split(b"\033[H\033[2J")[-1].decode())
PY
live=$(TERM=xterm python3 "$WORK_DIR/live.py" "$WORK_DIR/run" 2>&1)
is 'top on a terminal: q ends it, its status is the health' 0 "${live%% *}"
has '... it has shown the pool' 'app/postgres' "$live"

# Our logrotate file, with paths and accounts of this test, run by logrotate itself.
who="$(id -un "${SERVICE_USER:-$(id -u)}") $(id -gn "${SERVICE_USER:-$(id -u)}")"
sed -e "s|/var/log/pgdrove|$WORK_DIR/log|; s|/run/pgdrove|$WORK_DIR/run|; s|su pgdrove pgdrove|su $who|" \
	-e "s|0640 pgdrove pgdrove|0640 $who|" scripts/pgdrove.logrotate >"$WORK_DIR/rotate.conf"
chmod 644 "$WORK_DIR/rotate.conf"
/usr/sbin/logrotate -f -s "$WORK_DIR/rotate.state" "$WORK_DIR/rotate.conf" >"$WORK_DIR/rotate.out" 2>&1
is 'logrotate rotates' 0 $?
check '... the old lines are kept' grep -q 'ready: 2 workers' "$WORK_DIR/log/pgdrove.log.1"

new_lines() { sql nowhere 'select 1' >"$WORK_DIR/out"; grep -q '3D000' "$WORK_DIR/log/pgdrove.log"; }
within '... new lines go to the new file' 20 new_lines

w0=$(get worker.0.pid) w1=$(get worker.1.pid)
kill -STOP "$w0"
says 'one worker is stopped: check' 1 'worker 0 stopped' plugin
kill -STOP "$w1"
says 'all are stopped: check' 2 'worker 1 stopped' plugin
says 'all are stopped: top' 1 'stopped' top
says 'all are stopped: stat' 1 'stopped' stat
kill -CONT "$w0" "$w1"
says 'they go on: check' 0 'healthy' plugin

# One dies at every start: killed whenever it is there.
down_seen() {
	local pid
	pid=$(get worker.0.pid)
	[ "${pid:-0}" = 0 ] || kill -KILL "$pid" 2>/dev/null
	plugin
	[ "$RC" = 1 ] && [[ $SAID =~ worker\ 0\ (down|dead|starting) ]]
}
within 'a crash loop: check' 60 down_seen
has '... the restarts are counted' 'restarts=' "$SAID"
check '... it serves by the other one' serves
says 'the loop ends: check' 0 'healthy' plugin
check '... restarts' [ "$(get restarts)" -ge 1 ]

all="$POOLER $(get worker.0.pid) $(get worker.1.pid) $(get steward.pid)"
# shellcheck disable=SC2086
kill -KILL $all
wait "$POOLER" 2>/dev/null
POOLER=
says 'after kill -9 of all: check' 2 'not running' plugin
says 'after kill -9 of all: stat' 3 'dead' stat
says 'after kill -9 of all: top' 3 'dead' top

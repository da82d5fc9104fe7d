#!/usr/bin/env bash
#
# layouts: upgrades between two real binaries whose records of what is handed over differ (pgdrove_next is built with a
# later MOVE_VERSION). To the later one: it serves, nobody can move, everybody is served by the old generation
# until upgrade_timeout is over, and then closed between transactions, which pgdrove-upgrade counts. Back to the
# older one: refused, and nobody notices.

set -u
cd "$(dirname "$0")/../.." || exit 2
# shellcheck source=tests/e2e/lib.sh
. tests/e2e/lib.sh

POOL=4

e2e_begin layouts
e2e_stay app
REAL=$BIN NEXT=$TOOLS/pgdrove_next
BIN=$WORK_DIR/pgdrove
# install_binary FILE: in the place of the one that runs.
install_binary() {
	cp "$1" "$WORK_DIR/pgdrove.new"
	chmod 755 "$WORK_DIR/pgdrove.new"
	mv "$WORK_DIR/pgdrove.new" "$WORK_DIR/pgdrove"
}
install_binary "$REAL"
pooler_conf <<-CONF
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	pool_mode = "transaction";
	workers = 2;
	pool_size = $POOL;
	upgrade_timeout = "25s";
CONF
pooler_start
old=$(master)
crowd_start stay app
crowd stay 'open 6'
crowd stay "query select set_config('application_name', 'stay:i', false), pg_sleep(0.3)"
is 'six clients' '6 0 0' "$A $B $C"
crowd_tell stay 'run select pg_sleep(0.2)'
within '... with all backends' 30 backends_are "$POOL"
crowd_tell stay stop
crowd_hear stay
is '... without an error' '0 0' "$B $C"

# --- to later records ----------------------------------------------------------------------------------

beside "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app -c begin -c "select stay('held'), 42" -c commit \
	>"$WORK_DIR/held.out" 2>&1
HELD=$BESIDE
within 'one is in a transaction' 20 stays held
install_binary "$NEXT"
PGDROVE=$REAL scripts/pgdrove-upgrade -w "$WORK_DIR/run" >"$WORK_DIR/told" 2>&1 &
UPGRADE=$!
CHILDREN+=("$UPGRADE")
not_master() { [ -n "$(master)" ] && [ "$(master)" != "$old" ] && get_is master_pid "$(master)"; }
within 'the later one serves' 30 not_master
new=$(master)
is '... new clients' 1 "$(sql app 'select 1')"
check '... though the old one has all backends, at once' eval '! log_has "upgrade_timeout is over"'
within '... the old one says that nobody moves' 30 log_has 'another version of records: nobody moves'
crowd stay "query select 1 / (current_setting('application_name') = 'stay:i')::int"
is '... and serves them, with their settings' '6 0 0' "$A $B $C"
is '... none has moved' 0 "$(get clients_received)"
at_most_all() { [ "$(backends)" -le "$POOL" ]; } # PostgreSQL shows one until its process has ended
within '... both together have no more than the pool' 30 at_most_all
within 'upgrade_timeout is over' 60 log_has 'upgrade_timeout is over'
none_served() { crowd stay 'query select 1' && [ "$A" = 0 ]; } # each worker has its own clock
within 'between transactions they are told to go' 30 none_served
check '... not within one' stays held
let_go held
wait "$HELD"
is '... which ends well' '|42' "$(grep -v FATAL "$WORK_DIR/held.out")"
wait "$UPGRADE"
is 'pgdrove-upgrade -w: the upgrade is done' 0 $?
has '... it counts who did not move and was closed' '; 0 clients and 0 backends have moved; 0 clients ended there by themselves, 7 were closed' \
	"$(tail -n 1 "$WORK_DIR/told")"
within '... the counters have gone on' 20 get_is clients_sent_away 7

# --- and back ------------------------------------------------------------------------------------------

crowd stay 'open 6'
is 'six clients of the later one' 6 "$A"
install_binary "$REAL"
told=$(PGDROVE=$REAL scripts/pgdrove-upgrade "$WORK_DIR/run" 2>&1)
is 'pgdrove-upgrade: to an older binary it is not done' 1 $?
has '... which it says' "not done: pid $new carries on" "$told"
check '... that one refuses' log_has 'upgrade: not done.*this binary is older than the one that runs \(layouts [0-9]*\.1\.[0-9]*, there [0-9]*\.65535\.'
master_is() { [ "$(master)" = "$1" ]; }
within '... the pid file is as it was' 20 master_is "$new"
crowd stay 'query select 1'
is '... and nobody has noticed' '6 0 0' "$A $B $C"
scripts/pgdrove-upgrade "$WORK_DIR/nowhere" >"$WORK_DIR/told" 2>&1
is 'pgdrove-upgrade: nothing runs there' 3 $?
scripts/pgdrove-upgrade >"$WORK_DIR/told" 2>&1
is 'pgdrove-upgrade: wrong usage' 2 $?

# --- to later messages ---------------------------------------------------------------------------------

# As if what runs had earlier ones.
cat >"$WORK_DIR/pgdrove.new" <<-SH
	#!/bin/sh
	PGDROVE_INHERIT=\$(printf '%s' "\$PGDROVE_INHERIT" | awk -F'\t' -v OFS='\t' '\$1 == "layout" { \$2-- } { print }')
	export PGDROVE_INHERIT
	exec '$NEXT' "\$@"
SH
chmod 755 "$WORK_DIR/pgdrove.new"
mv "$WORK_DIR/pgdrove.new" "$WORK_DIR/pgdrove"
old=$new
kill -USR2 "$old"
within 'to later messages: the later one serves' 30 not_master
new=$(master)
within '... and says that nobody moves' 30 log_has 'another version of messages: nobody moves'
within '... the old one leaves' 60 pid_gone "$old" 100
crowd stay close
kill -TERM "$new"
check 'it stops' pid_gone "$new" 30000
wait "$POOLER" 2>/dev/null
POOLER=

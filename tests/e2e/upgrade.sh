#!/usr/bin/env bash
#
# upgrade: SIGUSR2 under load: the new binary takes over, the old generation serves those who are
# connected; a binary that fails its check, dies at boot or hangs is rolled back.

# shellcheck disable=SC2016
set -u
cd "$(dirname "$0")/../.." || exit 2
# shellcheck source=tests/e2e/lib.sh
. tests/e2e/lib.sh

e2e_begin upgrade
e2e_stay app
REAL=$BIN
cp "$REAL" "$WORK_DIR/pgdrove"
own_file "$WORK_DIR/pgdrove"
chmod 755 "$WORK_DIR" "$WORK_DIR/pgdrove"
BIN=$WORK_DIR/pgdrove
pooler_conf <<-CONF
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; },
		{ name = "held"; dbname = "app"; host = "127.0.0.1"; port = $PG_PORT; },
		{ name = "kept"; dbname = "app"; host = "127.0.0.1"; port = $PG_PORT; },
		{ name = "shut"; dbname = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	admin_users = "postgres";
	pool_mode = "transaction";
	workers = 2;
	pool_size = 4;
	upgrade_timeout = "15s";
	upgrade_start_timeout = "60s";
	query_wait_notify = 0;
CONF
# What a service manager hears, a line each.
beside perl -MSocket -e 'socket(S, PF_UNIX, SOCK_DGRAM, 0) && bind(S, sockaddr_un($ARGV[0])) or die $!;
	chmod 0777, $ARGV[0]; $| = 1;
	while (defined recv(S, my $m, 4096, 0)) { $m =~ tr/\n/ /; print "$m\n" }' "$WORK_DIR/notify" >"$WORK_DIR/notified"
until_true 10 [ -S "$WORK_DIR/notify" ]
export NOTIFY_SOCKET=$WORK_DIR/notify
told() { grep -qE "$1" "$WORK_DIR/notified"; }
sed -i "s|listen = (|listen = ( { path = \"$WORK_DIR/run\"; port = $PORT; }, |" "$WORK_DIR/pgdrove.conf"
pooler_start

# install COMMAND...: a new binary in the old one's place.
install_binary() {
	printf '%s' "$1" >"$WORK_DIR/pgdrove.new"
	mv "$WORK_DIR/pgdrove.new" "$WORK_DIR/pgdrove"
	chmod 755 "$WORK_DIR/pgdrove"
}
install_real() {
	cp "$REAL" "$WORK_DIR/pgdrove.new"
	mv "$WORK_DIR/pgdrove.new" "$WORK_DIR/pgdrove"
}
get() { "$REAL" stat --run-dir "$WORK_DIR/run" --get "$1" 2>/dev/null; }
master_is() { [ "$(master)" = "$1" ]; }
undone_are() { [ "$(grep -c 'upgrade: not done' "$WORK_DIR/pgdrove.log")" = "$1" ]; }
not_master() { [ -n "$(master)" ] && [ "$(master)" != "$1" ]; }

# --- what goes wrong is undone -------------------------------------------------------------------------

old=$(master)
beside "$PG_BIN/pgbench" -n -C -c 4 -T 600 -h 127.0.0.1 -p "$PORT" -U postgres \
	-f <(echo 'select 1;') app >"$WORK_DIR/new.out" 2>&1
LOGINS=$BESIDE
beside "$PG_BIN/pgbench" -n -c 8 -T 600 -h 127.0.0.1 -p "$PORT" -U postgres -f <(echo 'select 1;') app \
	>"$WORK_DIR/stay.out" 2>&1
STAYERS=$BESIDE
install_binary '#!/bin/sh
exit 1
'
kill -USR2 "$old"
within 'a binary that fails its check is refused' 20 log_has 'upgrade: not done.*check'
install_binary '#!/bin/sh
[ "$1" != -t ] || exit 0
exit 7
'
kill -USR2 "$old"
within 'one that dies at boot too' 20 log_has 'upgrade: not done.*(status 7|ended before)'
within '... and the pid file is ours again' 20 master_is "$old"
install_binary "#!/bin/sh
[ \"\$1\" != -t ] || exit 0
PGDROVE_INHERIT=\$(printf '%s' \"\$PGDROVE_INHERIT\" | awk -F'\t' -v OFS='\t' '\$1 == \"layout\" { \$3++ } { print }')
export PGDROVE_INHERIT
exec '$REAL' \"\$@\"
"
kill -USR2 "$old" # what runs has later records than that one knows
within 'one of an older layout refuses' 20 log_has 'upgrade: not done.*this binary is older than the one that runs'
within '... and the pid file is ours once more' 20 master_is "$old"
install_binary '#!/bin/sh
[ "$1" != -t ] || exit 0
exec sleep 600
'
hangs() { pgrep -P "$old" -x sleep >/dev/null; }
# hup SED: the configuration changed so, and in force.
hup() {
	sed -i "$1" "$WORK_DIR/pgdrove.conf"
	pooler_reload || not_ok 'a reload'
}
hup 's/upgrade_start_timeout = .*/upgrade_start_timeout = "12s";/'
within 'the service manager is told of a reload' 10 told '^RELOADING=1 MONOTONIC_USEC='
kill -USR2 "$old"
within 'one that hangs' 20 hangs
kill -USR2 "$old" # a pending one would take it in, were it sent before
within '... a second request is refused meanwhile' 20 log_has 'refused: another one is under way'
hung=$(pgrep -P "$old" -x sleep)
within '... is given up by the clock' 30 undone_are 4
check '... for that reason' log_has 'upgrade: not done.*does not serve in time'
check '... and killed' pid_gone "$hung" 20000
hup 's/upgrade_start_timeout = .*/upgrade_start_timeout = "60s";/'
within '... and the pid file is there' 20 master_is "$old"
check '... the socket file too' [ -S "$WORK_DIR/run/.s.PGSQL.$PORT" ]
check 'those who log in all the time have not noticed' kill -0 "$LOGINS"
is '... nor had an error' '' "$(grep -hiE 'error|fatal' "$WORK_DIR/new.out" "$WORK_DIR/stay.out")"

# --- the real thing ------------------------------------------------------------------------------------

install_real
# Two sessions too large for one message: hundreds of statements, and settings of half a megabyte.
for ((i = 1; i <= 300; i++)); do printf "select %d, length('%s');\n" "$i" "$(printf '%0*d' $((300 + i)) 7)"; done >"$WORK_DIR/many.sql"
beside "$PG_BIN/pgbench" -n -M prepared -c 2 -T 600 -h 127.0.0.1 -p "$PORT" -U postgres -f "$WORK_DIR/many.sql" app \
	>"$WORK_DIR/many.out" 2>&1
MANY=$BESIDE
mkfifo "$WORK_DIR/large.in"
exec {LARGE_IN}<>"$WORK_DIR/large.in"
beside "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app -f "$WORK_DIR/large.in" >"$WORK_DIR/large.out" 2>&1
LARGE=$BESIDE
for i in 1 2 3 4 5; do printf "set my.large%d = '%0100000d';\n" "$i" "$i"; done >&"$LARGE_IN"
echo "select 'set', length(current_setting('my.large5'));" >&"$LARGE_IN"
within 'a client with settings of half a megabyte' 20 grep -qx 'set|100000' "$WORK_DIR/large.out"
mkfifo "$WORK_DIR/old.in"
exec {OLD_IN}<>"$WORK_DIR/old.in"
beside "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app -f "$WORK_DIR/old.in" >"$WORK_DIR/old.out" 2>&1
OLD_CLIENT=$BESIDE
echo "select 'here';" >&"$OLD_IN"
within 'a client of the first generation' 10 grep -q here "$WORK_DIR/old.out"
asleep() { backends_are "$1" "(query like '%sleep%' or query like '%stay%') and state = 'active'"; }
psql_beside app 'select pg_sleep(300)' "$WORK_DIR/sleep.out"
SLEEPER=$BESIDE
within 'somebody sleeps' 10 asleep 1
beside "$PG_BIN/psql" -X -h 127.0.0.1 -p "$PORT" -U postgres -d app -c 'begin' -c "select stay('held')" -c commit -c 'select 8' \
	>"$WORK_DIR/held.out" 2>&1
within '... somebody is in a transaction' 10 asleep 2
kill -USR2 "$old"
within 'a new master serves' 30 log_has 'upgrade: pid [0-9]+ serves'
within '... its pid is in the pid file' 10 not_master "$old"
new=$(master)
within '... and in the statistics' 10 get_is master_pid "$new"
within '... the service manager follows' 10 told "^MAINPID=$new"
within '... and is told that it is ready' 10 told "^READY=1 MAINPID=$new "
is '... it serves' 1 "$(sql app 'select 1')"
is '... by the Unix socket too' 1 "$("$PG_BIN/psql" -X -q -A -t -h "$WORK_DIR/run" -p "$PORT" -U postgres -d app -c 'select 1' 2>&1)"
check 'logins went on' kill -0 "$LOGINS"
is '... without an error' '' "$(grep -hiE 'error|fatal' "$WORK_DIR/new.out")"
kill -INT "$SLEEPER"
within 'a cancel of a client of the old generation hits' 10 asleep 1
within '... and it is told' 20 grep -q 'canceling statement' "$WORK_DIR/sleep.out"
within 'upgrade_timeout is over' 60 log_has 'upgrade_timeout is over'
check '... but not for who is in a transaction' backends_are 1 "query like '%stay%' and state = 'active'"
let_go held
within '... at whose end the old generation leaves' 30 pid_gone "$old" 100
echo "select 'after', length(current_setting('my.large1')), right(current_setting('my.large5'), 2);" >&"$LARGE_IN"
within '... whose settings have come along' 20 grep -qx 'after|100000|05' "$WORK_DIR/large.out"
check '... while who has 300 statements has moved' kill -0 "$MANY"
is '... without an error' '' "$(grep -hiE 'error|fatal|abort' "$WORK_DIR/many.out")"
within '... with a word to those who were left' 20 grep -q 'administrator command' "$WORK_DIR/held.out"
check '... while those between transactions went over' kill -0 "$STAYERS"
is '... without an error' '' "$(grep -hiE 'error|fatal' "$WORK_DIR/stay.out")"
is '... and the new one serves on' 1 "$(sql app 'select 1')"
is '... the socket file is there' 1 "$("$PG_BIN/psql" -X -q -A -t -h "$WORK_DIR/run" -p "$PORT" -U postgres -d app -c 'select 1' 2>&1)"
is 'a database is disabled' '' "$(sql pgbouncer 'disable shut')"
sql held 'select 1' >/dev/null
is '... another one paused' '' "$(sql pgbouncer 'pause held')"
psql_beside held 'select 4711' "$WORK_DIR/paused.out"
PAUSED=$BESIDE
# Clients that keep their backends, where they have reset what came with their logins: that is owed to them.
crowd_start login "kept options='-cwork_mem=3MB -cdefault_transaction_read_only=on'"
crowd login 'open 2'
crowd login "query listen news; set work_mem = '7MB'; set default_transaction_read_only = off"
is 'two keep their backends, with settings' '2 0 0' "$A $B $C"
crowd login 'told default_transaction_read_only off'
is '... are told of one' 2 "$A"
crowd login 'query reset work_mem'
is '... and are owed another' '2 0 0' "$A $B $C"
chmod 755 "$WORK_DIR/pgdrove"
received=$(get clients_received)
told=$(PGDROVE="$REAL" scripts/pgdrove-upgrade -w "$WORK_DIR/run" 2>&1)
is 'pgdrove-upgrade: exit code' 0 $?
is '... tells what moved in this one' "$(($(get clients_received) - received))" \
	"$(sed -n 's/.*has left; \([0-9]*\) clients and [0-9]* backends have moved; .*/\1/p' <<<"$told")"
# Those of LOGINS may be in their login just then.
check '... and that nobody had to stay' grep -Eq '; [0-4] clients ended there by themselves, 0 were closed' <<<"$told"
within 'and once more' 30 not_master "$new"
newest=$(master)
within '... nobody stayed: the old one leaves at once' 30 pid_gone "$new" 100
crowd login "query select 1 / case current_setting('work_mem') when '3MB' then 1 else 0 end"
is 'what was owed is paid by the next generation' '2 0 0' "$A $B $C"
crowd login 'query reset default_transaction_read_only'
crowd login 'told default_transaction_read_only on'
is '... which knows what their logins were told' 2 "$A"
crowd login close
check 'who came with the first generation is served by the third' kill -0 "$STAYERS"
is '... without an error' '' "$(grep -hiE 'error|fatal' "$WORK_DIR/stay.out")"
check '... so is who has 300 statements' kill -0 "$MANY"
is '... without an error' '' "$(grep -hiE 'error|fatal|abort' "$WORK_DIR/many.out")"
kill -TERM "$STAYERS" "$MANY"
wait "$STAYERS" "$MANY" 2>/dev/null
has 'the next generation knows what is disabled' disabled "$(sql shut 'select 1')"
is '... and what is paused: its client waits still' '' "$(cat "$WORK_DIR/paused.out")"
sql pgbouncer 'resume held' >/dev/null
wait "$PAUSED"
is '... and is served when it is resumed' 4711 "$(cat "$WORK_DIR/paused.out")"
echo 'select pg_sleep(300);' >&"$OLD_IN"
within 'who came with the first runs something' 10 asleep 1
kill -INT "$OLD_CLIENT"
within '... and its key cancels it, two generations on' 20 grep -q 'canceling statement' "$WORK_DIR/old.out"
kill "$OLD_CLIENT" "$LARGE"

# --- a receiver that dies ------------------------------------------------------------------------------

crowd_start many app
crowd many 'open 60'
kill -USR2 "$newest"
told_new() { not_master "$newest" && get_is master_pid "$(master)"; } # else it would be an old one's pid
within 'an upgrade, and a new worker is killed' 30 told_new
kill -KILL "$(get worker.1.pid)"
crowd many 'query select 1'
is '... nobody gets an error, and no client is in two places' '60 0' "$((A + C)) $B"
check '... those who had not moved live' [ "$A" -gt 0 ]
within '... the old one leaves' 30 pid_gone "$newest" 100
newest=$(master)
crowd many 'query select 1'
LIVE=$A
is '... and all are served' '0 0' "$B $C"
is '... it serves' 1 "$(sql app 'select 1')"
kill -TERM "$LOGINS"
wait "$LOGINS" 2>/dev/null
within 'and the counts are right' 20 get_is clients "$LIVE"
crowd many close
kill -TERM "$newest"
check 'it stops' pid_gone "$newest" 30000
wait "$POOLER" 2>/dev/null
POOLER=

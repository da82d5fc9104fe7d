#!/usr/bin/env bash
#
# upgrades: SIGUSR2 again and again (UPGRADES, 3) under all kinds of clients: pgbench in its three protocols with
# transactions of 1 to 500 ms, clients that are idle, that LISTEN, that have TLS. Nobody in plain text has an
# error, no backend is opened or closed, those with TLS are sent away between transactions at the worst, and
# nothing grows.

# shellcheck disable=SC2016,SC2034
set -u
cd "$(dirname "$0")/../.." || exit 2
# shellcheck source=tests/e2e/lib.sh
. tests/e2e/lib.sh

UPGRADES=${UPGRADES:-3}
POOL=30 # backends
PAUSE=${PAUSE:-1}

e2e_begin upgrades
e2e_ca ca
e2e_cert server ca /CN=localhost
pooler_conf <<-CONF
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	pool_mode = "transaction";
	workers = 2;
	pool_size = $POOL;
	min_pool_size = $POOL;
	upgrade_timeout = "10s";
	shutdown_timeout = "10s";
	$(client_tls allow)
CONF
admin_sql 'create table done (who text, n bigint); create table tls_done (i int)' app >/dev/null
pooler_start

not_master() { [ -n "$(master)" ] && [ "$(master)" != "$1" ] && get_is master_pid "$(master)" && get_is state ready; }
served_by_another() {
	counters
	not_master "$1"
}
pids() { admin_sql "select pid from pg_stat_activity where datname = 'app' and client_addr is not null order by 1" app; }
# The processes of the present generation.
generation() { master && pid_children "$(master)"; }
fds() {
	local n=0 pid
	for pid in $(generation); do n=$((n + $(find "/proc/$pid/fd" -mindepth 1 2>/dev/null | wc -l))); done
	echo "$n"
}
rss_kb() {
	local n=0 pid
	for pid in $(generation); do n=$((n + $(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" 2>/dev/null || echo 0))); done
	echo "$n"
}

# --- clients -------------------------------------------------------------------------------------------

# libpq would have taken TLS where it is offered.
export PGSSLMODE=disable

script() {
	cat <<-SQL
		\\set ms random(1, $1)
		\\set n random(1, 1000000)
		begin;
		select :n + 1;
		select pg_sleep(:ms / 1000.0);
		select count(*) from generate_series(1, 10) where generate_series <> :n;
		end;
	SQL
}
script 500 >"$WORK_DIR/long.sql"
script 20 >"$WORK_DIR/short.sql"
BENCHES=()
# A thread for each client: pgbench prepares with a call that blocks, and would wait for a backend that another
# client of the same thread holds.
bench() {
	beside "$PG_BIN/pgbench" -n -M "$1" -c "$2" -j "$2" -T 3600 -h 127.0.0.1 -p "$PORT" -U postgres \
		-f "$WORK_DIR/short.sql@3" -f "$WORK_DIR/long.sql@1" app >"$WORK_DIR/bench.$1" 2>&1
	BENCHES+=("$BESIDE")
}
bench simple 34
bench extended 33
bench prepared 33
crowd_start idle app
crowd idle 'open 20'
crowd idle "query set application_name = 'idle:i'"
crowd_start listen app
crowd listen 'open 5'
crowd listen 'query listen news'
is 'five listen' 5 "$A"
crowd_start tls 'app sslmode=require'
crowd tls 'open 20'
is 'twenty have TLS' 20 "$A"
crowd_tell tls 'storm begin; insert into tls_done values (:i); select pg_sleep(0.02); commit'
within 'all backends are there' 30 backends_are "$POOL"
pids >"$WORK_DIR/pids.0"

# --- upgrades ------------------------------------------------------------------------------------------

# Counters go on: what is read is never less than before.
XACTS=0 LOGINS=0 BACK=
counters() {
	local x l
	x=$(get xact_count) l=$(get logins)
	[ "${x:-0}" -ge "$XACTS" ] && [ "${l:-0}" -ge "$LOGINS" ] || BACK="$BACK $XACTS>$x $LOGINS>$l"
	XACTS=$x LOGINS=$l
}
over=0
for ((i = 1; i <= UPGRADES; i++)); do
	old=$(master)
	kill -USR2 "$old"
	start=$(now_ms)
	until_true 60 served_by_another "$old" || not_ok "upgrade $i" "$(tail -n 3 "$WORK_DIR/pgdrove.log")"
	end=$(($(now_ms) + PAUSE * 1000))
	while [ "$(now_ms)" -lt "$end" ]; do
		n=$(backends)
		[ "$n" -le "$over" ] || over=$n
		counters
	done
	is "upgrade $i: those who listen are there" '5 0' "$(crowd listen look; echo "$A $B")"
	admin_sql 'notify news' app
	heard() { crowd listen heard; N=$((N + A)); [ "$N" -ge 5 ]; }
	N=0
	within "... and hear" 20 heard
	until_true 60 pid_gone "$old" 100 || not_ok "the generation before leaves"
	[ "$i" != 1 ] || FDS=$(fds) RSS=$(rss_kb)
done
is 'no counter has ever stepped back' '' "$BACK"
check '... and they count' [ "$XACTS" -gt 100 ]
is 'never more backends than pool_size' "$POOL" "$over"
check "the three loads live after $UPGRADES upgrades" kill -0 "${BENCHES[@]}"
is '... without an error' '' "$(grep -hiE 'error|fatal|abort' "$WORK_DIR"/bench.* | sort | uniq -c | head -5)"
crowd idle "query select 1 / (current_setting('application_name') = 'idle:i')::int"
is 'the idle ones are there, with their settings' '20 0 0' "$A $B $C"
echo >&"${CROWD_IN[tls]}"
crowd_hear tls
TLS_OK=$A
is 'TLS: sent away between transactions at the worst' '' \
	"$(grep -v 'administrator command\|^NOTICE\|^DETAIL:  pool\|^$\|^This probably\|^[[:space:]]\|SSL connection has been closed\|closed the connection unexpectedly' "$WORK_DIR/tls.err" | sort | uniq -c | head -5)"
is '... with no transaction lost' "$TLS_OK" "$(admin_count tls_done)"
pids >"$WORK_DIR/pids.1"
is 'the backends are those of the beginning' '' "$(diff "$WORK_DIR/pids.0" "$WORK_DIR/pids.1" | grep -c '^[<>]' | sed 's/^0$//')"
kill -TERM "${BENCHES[@]}"
wait "${BENCHES[@]}" 2>/dev/null
flat() { [ "$(fds)" -le $((FDS + 4)) ]; }
within "as many descriptors as after the first ($FDS)" 20 flat
[ -n "$ASAN" ] || check "... as much memory ($RSS kB, $(rss_kb) kB)" [ "$(rss_kb)" -le $((RSS + RSS / 5 + 2048)) ]
kill -TERM "$(master)"
check 'it stops' pid_gone "$(master)" 30000
wait "$POOLER" 2>/dev/null
POOLER=

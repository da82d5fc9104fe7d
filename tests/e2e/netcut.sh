#!/usr/bin/env bash
#
# netcut: the network between pgdrove and PostgreSQL goes silent under traffic, and comes back.
# pgdrove and its clients live in one network namespace, PostgreSQL in another; between them is a veth
# pair whose far end is taken down. tcp_user_timeout and keepalives end what hangs,
# server_connect_timeout what is being opened; clients are told; afterwards service resumes by itself.
#
# Needs root for the namespaces; addresses exist in them alone.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

if [ "$(id -u)" != 0 ] || ! command -v ip >/dev/null || ! ip netns list >/dev/null 2>&1; then
	echo 'ok skipped: needs root and the ip command (Debian: iproute2)'
	echo '1 passed, 0 failed'
	exit 0
fi
POOL=4
CLIENTS=16
NET=pgdrove-$$ # names of the namespaces: $NET-near, $NET-far
FAR_ADDR=10.83.7.2

near() { ip netns exec "$NET-near" "$@"; }
net_make() {
	ip netns add "$NET-near" && ip netns add "$NET-far" &&
		ip -n "$NET-near" link set lo up && ip -n "$NET-far" link set lo up &&
		ip -n "$NET-near" link add v0 type veth peer name v1 netns "$NET-far" &&
		ip -n "$NET-near" addr add 10.83.7.1/24 dev v0 && ip -n "$NET-far" addr add "$FAR_ADDR/24" dev v1 &&
		ip -n "$NET-near" link set v0 up && ip -n "$NET-far" link set v1 up
}
net_cut() { ip -n "$NET-far" link set v1 down; }
net_mend() { ip -n "$NET-far" link set v1 up; }
net_end() {
	trap - EXIT
	(exit "$1")
	( e2e_end )
	local rc=$?
	ip netns del "$NET-near" 2>/dev/null
	ip netns del "$NET-far" 2>/dev/null
	exit $rc
}

e2e_begin netcut
trap 'net_end $?' EXIT
if ! net_make 2>"$WORK_DIR/net.err"; then
	ok "skipped: no network namespaces here: $(tail -n 1 "$WORK_DIR/net.err")"
	exit 0
fi

# PostgreSQL again, in its namespace; its Unix socket is reached from everywhere.
cluster_stop
cat >>"$WORK_DIR/data/postgresql.conf" <<-CONF
	listen_addresses = '$FAR_ADDR'
	tcp_keepalives_idle = 2
	tcp_keepalives_interval = 2
	tcp_keepalives_count = 3
CONF
echo "host all all 10.83.7.0/24 trust" >>"$WORK_DIR/data/pg_hba.conf"
postgres_run data postgres.log ip netns exec "$NET-far"
PG_PID=$POSTGRES
check 'PostgreSQL runs in a network of its own' postgres_answers "$PG_PORT"

pooler_conf < <(
	cat <<-CONF
		workers = 4;
		pool_mode = "transaction";
		pool_size = $POOL;
		tcp_user_timeout = "6s";
		tcp_keepidle = "2s";
		tcp_keepintvl = "2s";
		tcp_keepcnt = 2;
		server_connect_timeout = "1s";
		server_login_retry = "500ms";
		databases = ( { name = "app"; host = "$FAR_ADDR"; port = $PG_PORT; } );
	CONF
)
# What lib.sh does in the root namespace, done in ours.
pooler_run() {
	(
		cd "$WORK_DIR" || exit 2
		export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=8
		exec ip netns exec "$NET-near" "$BIN" -c "$WORK_DIR/pgdrove.conf" >>"$WORK_DIR/pgdrove.log" 2>&1
	) &
	POOLER=$!
}
sql() { near timeout 60 "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d "$1" -c '\set VERBOSITY verbose' -c "$2" 2>&1; }
cat >"$WORK_DIR/crowd" <<-SH
	#!/bin/sh
	exec ip netns exec $NET-near "$TOOLS/tool_crowd" "\$@"
SH
chmod +x "$WORK_DIR/crowd"
mkdir "$WORK_DIR/tools"
mv "$WORK_DIR/crowd" "$WORK_DIR/tools/tool_crowd"
TOOLS=$WORK_DIR/tools
pooler_start

crowd_start crowd app
crowd crowd "open $CLIENTS"
is 'all connect' "$CLIENTS 0" "$A $B"
crowd crowd 'query select pg_sleep(0.05)'
is 'all are served' "$CLIENTS 0 0" "$A $B $C"
crowd_start idle app
crowd idle 'open 5'
crowd idle 'query select 1'

# --- the cut ----------------------------------------------------------------------------------------

crowd_tell crowd "run select ':t', pg_sleep(0.01)"
until_true 20 get_is sv_active "$POOL"
net_cut
start=$(now_ms)
hurt() { [ "$(grep -c lost "$WORK_DIR/crowd.err")" -ge "$POOL" ]; }
within 'cut: those in a query are told' 30 hurt
told=$(grep -m 1 lost "$WORK_DIR/crowd.err")
echo "  $told"
out=$(sql app 'select 1')
took=$(($(now_ms) - start))
case $out in
*08006* | *08001* | *57P03*) ok "cut: new queries get the cause ($out)" ;;
*) not_ok 'cut: new queries get the cause' "$out" ;;
esac
check "cut: nobody hangs ($took ms)" [ "$took" -lt 50000 ]
is 'cut: pgdrove lives' healthy "$(get health)"
no_backend() { get_is sv_active 0 && get_is sv_idle 0; }
within 'cut: every backend is given up' 30 no_backend
crowd idle look
is 'cut: clients that want nothing notice nothing' '5 0' "$A $B"

# --- and it is back --------------------------------------------------------------------------------

net_mend
within 'mended: service resumes by itself' 30 serves
crowd_tell crowd stop
crowd_hear crowd
is 'no answer that was not for them' 0 "$(grep -c FOREIGN "$WORK_DIR/crowd.err")"
crowd crowd refill
is 'mended: all come back' 0 "$B"
crowd crowd 'query select pg_sleep(0.05)'
is 'mended: all are served' "$CLIENTS 0 0" "$A $B $C"
crowd idle 'query select 1'
is 'mended: idle clients have noticed nothing' '5 0 0' "$A $B $C"
adds_up 'mended' $((CLIENTS + 5))
check 'mended: never more backends than the pool' [ "$(backends)" -le "$POOL" ]

# --- a short one hurts nobody --------------------------------------------------------------------------

crowd_tell crowd "run select ':t', pg_sleep(0.01)"
until_true 20 get_is sv_active "$POOL"
net_cut
sleep 0.4
net_mend
given=$(get xact_count)
goes_on() { [ "$(get xact_count)" -gt $((given + 50)) ]; }
within 'cut for less than a second: it goes on' 30 goes_on
crowd_tell crowd stop
crowd_hear crowd
is 'cut for less than a second: nobody is lost' '0 0' "$B $C"
adds_up 'at the end' $((CLIENTS + 5))
pooler_stop 'ends well'

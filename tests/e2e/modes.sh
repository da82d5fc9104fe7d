#!/usr/bin/env bash
#
# modes: pgbench in the pool modes and protocols that go together, with few and many clients, on one
# worker and on four: no run may report an error.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

MANY=$([ -n "$ASAN" ] && echo 200 || echo 500)

e2e_begin modes scram-sha-256
admin_sql "alter system set max_connections = 600"
cluster_stop
cluster_again
export PGPASSWORD=$PG_PASSWORD
"$PG_BIN/pgbench" -i -q -s 2 -h "$PG_SOCKETS" -p "$PG_PORT" -U postgres app >/dev/null 2>&1

# run NAME CLIENTS PGBENCH_ARG...: exit code 0, no client aborted, no failed transaction.
run() {
	local name=$1 clients=$2 out
	shift 2
	if out=$("$PG_BIN/pgbench" -n -c "$clients" -j 2 "$@" -h 127.0.0.1 -p "$PORT" -U postgres app 2>&1) &&
		grep -q 'number of failed transactions: 0 ' <<<"$out" && ! grep -qi 'aborted\|error' <<<"$out"; then
		ok "$name, $clients clients"
	else
		not_ok "$name, $clients clients" "$(tail -n 3 <<<"$out")"
	fi
}

for workers in 1 4; do
	for mode in transaction session statement; do
		size=20
		[ $mode != session ] || size=$((MANY + 10))
		pooler_conf < <(
			cat <<-CONF
				workers = $workers;
				pool_mode = "$mode";
				pool_size = $size;
				max_client_conn = 1000;
				databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
			CONF
		)
		pooler_start
		name="$mode mode, $workers workers:"
		run "$name -S simple" 1 -S -T 1
		run "$name -S extended" 16 -S -M extended -T 1
		run "$name -S simple" "$MANY" -S -t 20
		run "$name -C" 8 -S -C -T 1
		[ $mode = statement ] || run "$name TPC-B" 100 -T 1
		[ $mode = statement ] || run "$name TPC-B prepared" 16 -M prepared -T 1 # it prepares in step: no more than backends
		run "$name -S prepared" 16 -S -M prepared -T 1
		is "$name no backend is lost" 0 "$(get sv_failed)"
		pooler_stop "$name ends well"
	done
done

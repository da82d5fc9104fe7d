# shellcheck shell=bash disable=SC2154,SC2034
#
# bench --pools: what idle pools cost a busy one. One pgdrove, 64 clients of one pool under a limit on its
# database, first alone and then beside N pools of that database (a user each, with a client that sits and a
# backend until server_idle_timeout). CPU per transaction must not rise by more than 5%: nothing that runs per
# transaction may look through the pools. Sourced by scripts/bench.

bench_pools() {
	local round
	pool_size=$POOL
	cat >"$WORK_DIR/pgdrove.more" <<-CONF
		max_pools = $((IDLE_POOLS + 10));
		max_db_connections = 900;
		server_idle_timeout = "1s";
	CONF
	more_users=$(seq -f ', { name = "idle%.0f"; }' "$IDLE_POOLS")
	admin_sql "do 'begin for i in 1..$IDLE_POOLS loop execute format(''create role idle%s login'', i); end loop; end'" ||
		die "no roles for the idle pools"
	for ((round = 1; round <= ROUNDS; round++)); do
		pooler_start pgdrove
		cpu_measure "$WORK_DIR/pools.alone" -c 64
		crowd_start 'idle#' "$IDLE_POOLS"
		cpu_measure "$WORK_DIR/pools.beside" -c 64
		crowd_end
		pooler_stop
	done
	echo "pgbench -S -M $MODE, 64 clients, pool of $POOL, $WORKERS worker(s), $ROUNDS rounds of $DURATION s, medians"
	awk -v n="$IDLE_POOLS" -v a="$(median "$WORK_DIR/pools.alone" 1)" -v b="$(median "$WORK_DIR/pools.beside" 1)" 'BEGIN {
		printf "CPU us/txn: %.2f alone, %.2f beside %d idle pools: %.2f  limit 1.05  %s\n",
		    a, b, n, b / a, b / a <= 1.05 ? "ok" : "MISSED"
	}'
}

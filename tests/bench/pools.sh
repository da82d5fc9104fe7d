# shellcheck shell=bash disable=SC2154,SC2034
#
# bench --pools: what idle pools cost a busy one. One pgdrove, 64 clients of one pool under a limit on its
# database, first alone and then beside N pools of that database (a user each, with a client that sits and a
# backend until server_idle_timeout). CPU per transaction must not rise by more than 5%: nothing that runs per
# transaction may look through the pools. Sourced by scripts/bench.

pools_measure() {
	local before ticks
	pgbench_run -c 64 -j 2 -T 1
	before=$(cpu_ticks)
	pgbench_run -c 64 -j 2 -T "$DURATION"
	ticks=$(($(cpu_ticks) - before))
	awk -v ticks="$ticks" -v hz="$(getconf CLK_TCK)" -v n="$(pgbench_said transactions)" \
		'BEGIN { printf "%s ", ticks / hz * 1e6 / n }' >>"$WORK_DIR/pools"
}

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
		pools_measure
		crowd_start 'idle#' "$IDLE_POOLS"
		pools_measure
		crowd_end
		pooler_stop
		echo >>"$WORK_DIR/pools"
	done
	echo "pgbench -S -M $MODE, 64 clients, pool of $POOL, $WORKERS worker(s), $ROUNDS rounds of $DURATION s, medians"
	awk -v n="$IDLE_POOLS" -v a="$(median "$WORK_DIR/pools" 1)" -v b="$(median "$WORK_DIR/pools" 2)" 'BEGIN {
		printf "CPU us/txn: %.2f alone, %.2f beside %d idle pools: %.2f  limit 1.05  %s\n",
		    a, b, n, b / a, b / a <= 1.05 ? "ok" : "MISSED"
	}'
}

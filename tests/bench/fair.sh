# shellcheck shell=bash disable=SC2154,SC2034
#
# fair: one pool over several workers. Sourced by scripts/bench --fair, which has the poolers and the
# measuring.
#
# Every pooler in turn, round after round, pgbench -S with a log of each transaction. What must hold, on
# the medians over the rounds (of ratios: of runs in the same round, the mean of their middle half):
#
#   - with 4 workers p99 / p50 of the latencies <= 1.5, no client starves (each gets at least half of
#     the mean), and PostgreSQL never shows more backends than pool_size. The floor is printed beside it:
#     one bare proxy is one strict queue in one process, so that its scatter is that of PostgreSQL's
#     backends, of pgbench and of the kernel's scheduler, and not of any order;
#   - busy clients on one worker and idle backends on another: the whole pool is in use within 100 ms
#     (tests/e2e/test_fairness, by pgdrove's own statistics);
#   - CPU per transaction: 2 workers <= 1.10 x 1 worker; 4 workers <= 1.15 x four bare proxies with
#     pools of their own; less than pgbouncer's with 64 clients and more.

FAIR_CLIENTS=${FAIR_CLIENTS:-64 200 1000}
FAIR_POOLERS=${FAIR_POOLERS:-direct:1 pgbouncer:1 proxy:1 proxy:4 pgdrove:1 pgdrove:2 pgdrove:4}

# direct: as many clients as the pool has backends, straight at PostgreSQL. How even its own answers are:
# no pooler can know that a transaction will take longer than its neighbours.
direct_start() {
	PORT=$PG_PORT
	sleep 3600 &
	PID=$!
}

# The transactions of pgbench's logs that ended in the DURATION after the first second.
fair_window() {
	sort -n -k5,5 -k6,6 "$WORK_DIR"/txn.[0-9]* | awk -v seconds="$DURATION" '
		{ t = $5 + $6 / 1e6 }
		NR == 1 { from = t + 1 }
		t >= from && t < from + seconds' >"$WORK_DIR/window"
	rm -f "$WORK_DIR"/txn.[0-9]*
}

# fair_log N: "p50 p99 least most": us, us, transactions of the poorest and richest client.
fair_log() {
	sort -n -k3,3 "$WORK_DIR/window" | awk -v clients="$1" '
		{ t[NR] = $3; c[$1]++ }
		END {
			least = 1e9; most = 0
			for (i = 0; i < clients; i++) {
				if (c[i] + 0 < least) least = c[i] + 0
				if (c[i] + 0 > most) most = c[i] + 0
			}
			print t[int(NR * 0.50) + 1], t[int(NR * 0.99) + 1], least, most
		}'
}

# How even it is among those who are served at the same time: p99 of each latency by the median of the 32
# transactions that ended with it. What delays all alike is not in it, nor is how the machine's speed varies;
# what is left is out of order, in a queue or in pgbench, whose threads may not get on alike.
fair_order() {
	awk '{ print int((NR - 1) / 32), $3 }' "$WORK_DIR/window" | sort -n -k1,1 -k2,2 | awk '
		function done_with(i) { for (i = 1; i <= n; i++) print t[i] / t[int((n + 1) / 2)]; n = 0 }
		$1 != w { done_with(); w = $1 }
		{ t[++n] = $2 }
		END { done_with() }' | sort -n | awk '{ r[NR] = $1 } END { print r[int(NR * 0.99) + 1] }'
}

# The most backends PostgreSQL shows while the file `watch` is there.
fair_watch() {
	while [ -e "$WORK_DIR/watch" ]; do
		echo "select count(*) from pg_stat_activity where usename = 'bench' and backend_type = 'client backend';"
		sleep 0.1
	done | PGPASSWORD=$PG_PASSWORD "$PG_BIN/psql" -X -q -A -t -h "$PG_SOCKETS" -p "$PG_PORT" -U postgres \
		postgres | sort -n | tail -n 1 >"$WORK_DIR/most"
}

# fair_measure VARIANT CLIENTS: "us_per_txn tps p50 p99 ratio least most backends order"
fair_measure() {
	local name=${1%:*} watcher n=$2
	WORKERS=${1#*:}
	[ "$name" != direct ] || n=$POOL
	pooler_start "$name"
	touch "$WORK_DIR/watch"
	fair_watch &
	watcher=$!
	pgbench_steady -c "$n" -l --log-prefix="$WORK_DIR/txn"
	rm -f "$WORK_DIR/watch"
	wait "$watcher"
	pooler_stop
	fair_window
	echo "$(fair_log "$n") $steady_us $steady_txns $(pgbench_said tps)" \
		"$(cat "$WORK_DIR/most") $(fair_order)" |
		awk '{ print $5 / $6, $7, $1, $2, $2 / $1, $3, $4, $8, $9 }' >>"$WORK_DIR/$1.$2"
}

# verdict TEXT VALUE LIMIT: "ok" or "MISSED"
fair_verdict() {
	awk -v text="$1" -v a="$2" -v limit="$3" 'BEGIN {
		printf "%-62s %6.2f  limit %5.2f  %s\n", text, a, limit, a <= limit ? "ok" : "MISSED"
	}'
}

fair_ratio() { paired "$WORK_DIR/$1" "$WORK_DIR/$2"; }

fair_row() {
	local file=$WORK_DIR/$1.$2
	printf '%7s  %-12s %10.2f %8.0f %9.2f %9.2f %8.2f %8.2f %7.0f %7.0f %8s\n' "$2" "$1" "$(median "$file" 1)" \
		"$(median "$file" 2)" "$(median "$file" 3 | awk '{ print $1 / 1000 }')" \
		"$(median "$file" 4 | awk '{ print $1 / 1000 }')" "$(median "$file" 5)" \
		"$(median "$file" 9)" "$(median "$file" 6)" "$(median "$file" 7)" "$(awk '{ print $8 }' "$file" | sort -n | tail -n 1)"
}

fair_verdicts() {
	local n=$1
	if [ -s "$WORK_DIR/pgdrove:4.$n" ] && [ "$n" -ge 200 ]; then
		fair_verdict "$n clients, 4 workers: p99 / p50" "$(median "$WORK_DIR/pgdrove:4.$n" 5)" 1.5
		[ ! -s "$WORK_DIR/proxy:1.$n" ] ||
			printf '%-62s %6.2f\n' '    of one bare proxy, a strict queue: the floor here' \
				"$(median "$WORK_DIR/proxy:1.$n" 5)"
		fair_verdict "$n clients, 4 workers: mean / poorest client's transactions" \
			"$(awk -v n="$n" '{ print $2 / n * '"$DURATION"' / ($6 > 0 ? $6 : 0.001) }' "$WORK_DIR/pgdrove:4.$n" |
				sort -g | tail -n 1)" 2
		fair_verdict "$n clients, 4 workers: most backends / pool_size" \
			"$(awk '{ print $8 / '"$POOL"' }' "$WORK_DIR/pgdrove:4.$n" | sort -g | tail -n 1)" 1
	fi
	[ ! -s "$WORK_DIR/pgdrove:2.$n" ] || [ ! -s "$WORK_DIR/pgdrove:1.$n" ] ||
		fair_verdict "$n clients: CPU of 2 workers / 1 worker" "$(fair_ratio "pgdrove:2.$n" "pgdrove:1.$n")" 1.10
	[ ! -s "$WORK_DIR/pgdrove:4.$n" ] || [ ! -s "$WORK_DIR/proxy:4.$n" ] ||
		fair_verdict "$n clients: CPU of 4 workers / 4 bare proxies" "$(fair_ratio "pgdrove:4.$n" "proxy:4.$n")" 1.15
	for v in $FAIR_POOLERS; do
		[[ $v == pgdrove:* && -s $WORK_DIR/pgbouncer:1.$n ]] || continue
		fair_verdict "$n clients: CPU of ${v#*:} worker(s) / pgbouncer" \
			"$(fair_ratio "$v.$n" "pgbouncer:1.$n")" 1
	done
}

bench_fair() {
	local round n v
	pool_size=$POOL
	for ((round = 1; round <= ROUNDS; round++)); do
		for n in $FAIR_CLIENTS; do
			# shellcheck disable=SC2086
			for v in $(rotated "$round" $FAIR_POOLERS); do
				[ -t 2 ] && printf '\rround %d: %s clients, %-12s' "$round" "$n" "$v" >&2
				fair_measure "$v" "$n"
			done
		done
	done
	[ -t 2 ] && printf '\r%60s\r' '' >&2
	echo "pgbench -S -M $MODE, pool of $POOL, $ROUNDS rounds of $DURATION s, medians; NAME:PROCESSES"
	printf '%7s  %-12s %10s %8s %9s %9s %8s %8s %7s %7s %8s\n' clients pooler 'CPU us/txn' tps 'p50 ms' 'p99 ms' \
		'p99/p50' 'of 32' poorest richest backends
	for n in $FAIR_CLIENTS; do
		for v in $FAIR_POOLERS; do fair_row "$v" "$n"; done
	done
	echo
	for n in $FAIR_CLIENTS; do fair_verdicts "$n"; done
	FAIR_POOL_MS=100 build/tests/e2e/test_fairness | grep -E 'full use|transactions each'
}

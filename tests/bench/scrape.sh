# shellcheck shell=bash disable=SC2154,SC2034
#
# bench --scrape: what being scraped 50 times a second costs those who are served. One pgdrove, 64 clients at
# SCRAPE_RATE transactions a second (0: as fast as they can), by turns alone and beside the scraper, in the same
# instance. CPU per transaction (of the workers, and of all processes, the steward's answers included) and p99
# must not rise by more than 2%. Sourced by scripts/bench.

# shellcheck source=tests/bench/fair.sh
. tests/bench/fair.sh # its log of latencies

SCRAPE_RATE=${SCRAPE_RATE:-0}
SCRAPE_CLIENTS=${SCRAPE_CLIENTS:-64}

scrape_cpu() { # WORKERS' ALL'S, us, as the scheduler has counted
	local pid steward
	steward=$(build/pgdrove stat --run-dir "$WORK_DIR/run" --get steward.pid)
	for pid in $(pooler_pids); do sed "s/^/$pid /" "/proc/$pid"/task/*/schedstat; done | awk -v steward="$steward" '
		{ all += $2; if ($1 != steward) workers += $2 }
		END { printf "%.0f %.0f\n", workers / 1000, all / 1000 }'
}

# scrape_measure NAME: "workers'_us_per_txn all_us_per_txn p99_us"
scrape_measure() {
	local before after rate=()
	[ "$SCRAPE_RATE" = 0 ] || rate=(-R "$SCRAPE_RATE")
	before=$(scrape_cpu)
	pgbench_run -c "$SCRAPE_CLIENTS" -j 2 -T "$DURATION" "${rate[@]}" -l --log-prefix="$WORK_DIR/txn"
	after=$(scrape_cpu)
	echo "$before $after $(pgbench_said transactions) $(fair_log "$SCRAPE_CLIENTS")" |
		awk '{ print ($3 - $1) / $5, ($4 - $2) / $5, $7 }' >>"$WORK_DIR/scrape.$1"
}

scrape_beside() {
	coproc SCRAPER { exec "$PWD/build/tests/bench/scrape" 127.0.0.1 "$METRICS" 50; }
	local pid=$SCRAPER_PID out=${SCRAPER[0]} in=${SCRAPER[1]}
	scrape_measure beside
	exec {in}>&-
	read -r -t 10 -u "$out" SCRAPES
	wait "$pid" 2>/dev/null
}

bench_scrape() {
	local round
	pool_size=$POOL
	METRICS=$(port_free)
	echo "metrics_listen = \"127.0.0.1:$METRICS\";" >"$WORK_DIR/pgdrove.more"
	pooler_start pgdrove
	pgbench_run -c "$SCRAPE_CLIENTS" -j 2 -T 1
	for ((round = 1; round <= ROUNDS; round++)); do
		if ((round % 2)); then
			scrape_measure alone
			scrape_beside
		else
			scrape_beside
			scrape_measure alone
		fi
	done
	pooler_stop
	echo "pgbench -S -M $MODE, $SCRAPE_CLIENTS clients, rate $SCRAPE_RATE, $WORKERS worker(s), $ROUNDS rounds of $DURATION s, medians"
	echo "the last round's $SCRAPES"
	scrape_row 1 "CPU us/txn, the workers'"
	scrape_row 2 "CPU us/txn, all"
	scrape_row 3 'p99 us'
}

scrape_row() {
	awk -v text="$2" -v a="$(median "$WORK_DIR/scrape.alone" "$1")" -v b="$(median "$WORK_DIR/scrape.beside" "$1")" 'BEGIN {
		printf "%-24s %10.2f alone, %10.2f beside 50 scrapes a second: %.3f  limit 1.02  %s\n",
		    text, a, b, b / a, b / a <= 1.02 ? "ok" : "MISSED"
	}'
}

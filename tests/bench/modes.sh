# shellcheck shell=bash disable=SC2154,SC2034
#
# bench --modes: what the extended protocol and the tracking of session state cost: CPU per transaction
# of `pgbench -M extended` and `-M prepared` by that of `-M simple`, and of session_state "track" by
# "ignore", for pgdrove and beside it pgbouncer (which Debian's version cannot do prepared in
# transaction mode: it has a session each there). Sourced by scripts/bench, whose functions it uses.
#
# The modes are measured in turn, round after round, so that a slow minute of the machine meets all. A
# ratio is that of runs in the same round: the mean of the middle half of those.

# modes_measure POOLER CLIENTS LABEL: into a file of its own. The label is a mode, or that with -ignore.
modes_measure() {
	MODE=${3%-ignore}
	[ "$MODE" = "$3" ] || echo 'session_state = "ignore";' >"$WORK_DIR/pgdrove.more"
	measure "$1" "$2"
	cat "$WORK_DIR/$1.$2" >>"$WORK_DIR/$1.$2.$3"
	rm -f "$WORK_DIR/$1.$2" "$WORK_DIR/pgdrove.more"
}

# modes_line TEXT [LIMIT]: of the ratios on standard input
modes_line() {
	awk -v r="$(middle)" -v limit="${2:-}" -v what="$1" 'BEGIN {
		printf "%-60s %8.2f", what, r
		if (limit != "") printf "  limit %5.2f  %s", limit, r <= limit + 0.005 ? "ok" : "MISSED"
		print "" }'
}

# modes_ratio POOLER LABEL BY [LIMIT]: for each number of clients, and of all rounds of all of them: a single pair
# of runs varies by a tenth (which process is on which CPU with whom), so that few rounds tell little.
modes_ratio() {
	local n
	for n in $CLIENTS; do
		ratios "$WORK_DIR/$1.$n.$2" "$WORK_DIR/$1.$n.$3" | tee -a "$WORK_DIR/ratios" |
			modes_line "$n clients, $1: CPU of $2 / $3" "${4:-}"
	done
	modes_line "all clients, $1: CPU of $2 / $3" "${4:-}" <"$WORK_DIR/ratios"
	rm "$WORK_DIR/ratios"
}

modes_table() {
	local n name label
	printf '%7s  %-10s %-18s %10s %10s\n' clients pooler mode 'CPU us/txn' tps
	for n in $CLIENTS; do
		for name in $poolers; do
			for label in simple extended prepared simple-ignore; do
				[ -s "$WORK_DIR/$name.$n.$label" ] || continue
				printf '%7s  %-10s %-18s %10.2f %10.0f\n' "$n" "$name" "$label" \
					"$(median "$WORK_DIR/$name.$n.$label" 1)" "$(median "$WORK_DIR/$name.$n.$label" 2)"
			done
		done
	done
}

bench_modes() {
	local round n name label
	pool_size=$POOL
	poolers=${poolers/proxy /}
	for ((round = 1; round <= ROUNDS; round++)); do
		for n in $CLIENTS; do
			for name in $poolers; do
				local labels=(simple extended prepared)
				[ "$name" != pgdrove ] || labels=(simple simple-ignore extended prepared)
				for label in $(rotated "$round" "${labels[@]}"); do
					modes_measure "$name" "$n" "$label"
				done
			done
		done
	done
	echo "pgbench -S, $ROUNDS rounds of $DURATION s, medians; $WORKERS worker(s); pool $POOL backends"
	modes_table
	for name in $poolers; do
		local limit=
		[ "$name" != pgdrove ] || limit=1.10
		modes_ratio "$name" extended simple $limit
		modes_ratio "$name" prepared simple $limit
	done
	modes_ratio pgdrove simple simple-ignore 1.03
}

# shellcheck shell=bash disable=SC2034
#
# bench --logins: what a login costs the pooler: trust, md5, SCRAM, TLS 1.3 and SCRAM, beside pgbouncer, one
# process each; and what 200 failing SCRAM logins a second do to an established client. Sourced by
# scripts/bench.
#
# SCRAM is with a verifier stored; "plain" with a password, from which pgbouncer derives keys each time. A
# login is a connection with one query (pgbench -C), with the backend there already. CPU is that of all
# processes of the pooler, as everywhere here.

# logins_more HOW: what both poolers are told besides.
logins_more() {
	local tls=disable type=scram-sha-256
	BENCH_SECRET=$VERIFIER
	case $1 in
	trust | md5) type=$1 BENCH_SECRET=bench ;;
	plain) BENCH_SECRET=bench ;;
	tls) tls=require ;;
	esac
	cat >"$WORK_DIR/pgbouncer.more" <<-CONF
		auth_type = $type
		client_tls_sslmode = $tls
		client_tls_key_file = $WORK_DIR/tls.key
		client_tls_cert_file = $WORK_DIR/tls.crt
	CONF
	sed 's/= \(.*\)/= "\1";/' "$WORK_DIR/pgbouncer.more" >"$WORK_DIR/pgdrove.more"
	echo "auth_failure_limit = 0;" >>"$WORK_DIR/pgdrove.more"
	export PGSSLMODE=$tls PGPASSWORD=bench
}

# logins_measure NAME HOW: of a login, appended to the round's file.
logins_measure() {
	logins_more "$2"
	pooler_start "$1"
	cpu_measure "$WORK_DIR/$1.$2" -C -c 4
	pooler_stop
}

logins_row() {
	local how=$1 name base cpu
	base=$(median "$WORK_DIR/pgbouncer.$how" 1)
	for name in pgbouncer pgdrove; do
		cpu=$(median "$WORK_DIR/$name.$how" 1)
		awk -v how="$2" -v name="$name" -v cpu="$cpu" -v base="$base" -v tps="$(median "$WORK_DIR/$name.$how" 2)" \
			'BEGIN { printf "%-14s %-10s %10.1f %14.0f %10.0f %12.2f\n", how, name, cpu, 1e6 / cpu, tps, cpu / base }'
	done
}

# The p99 (us) of one established client's transactions, while $1 says what else goes on.
established_p99() {
	rm -f "$WORK_DIR"/lat.*
	(cd "$WORK_DIR" && pgbench_run -c 1 -j 1 -T "$DURATION" -l --log-prefix="$WORK_DIR/lat")
	cat "$WORK_DIR"/lat.* | awk '{ print $3 }' | sort -n | awk '{ a[NR] = $1 } END { print a[int(NR * 0.99)] }'
}

# 200 a second: wrong passwords, of a user with a verifier's work to do. Four do it, since each answer is put off.
storm_start() {
	local i
	STORM=()
	for i in 1 2 3 4; do
		"$WORK_DIR/storm" "$PORT" 50 bench bench >"$WORK_DIR/storm.$i" &
		STORM+=($!)
	done
}
# Says how many were refused.
storm_end() {
	kill -TERM "${STORM[@]}"
	wait "${STORM[@]}" 2>/dev/null
	awk '{ n += $1 } END { print n }' "$WORK_DIR"/storm.[1-4]
}

# storm_measure NAME: one round: the client alone, then in the storm; both p99 to the round's file.
storm_measure() {
	local quiet storm
	pooler_start "$1"
	established_p99 >/dev/null # warm
	quiet=$(established_p99)
	storm_start
	storm=$(established_p99)
	storm_end >"$WORK_DIR/storm.count"
	pooler_stop
	echo "$quiet $storm $(awk -v a="$quiet" -v b="$storm" 'BEGIN { print b / a }') $(cat "$WORK_DIR/storm.count")" \
		>>"$WORK_DIR/$1.storm"
}

storm_row() {
	local f=$WORK_DIR/$1.storm
	printf '%-10s p99 %d us alone, %d us in the storm; %.2f times (median of %d rounds: %s); %d logins refused\n' "$1" \
		"$(median "$f" 1)" "$(median "$f" 2)" "$(median "$f" 3)" "$(wc -l <"$f")" \
		"$(awk '{ printf "%s%.2f", (NR > 1 ? " " : ""), $3 }' "$f")" "$(awk '{ n += $4 } END { print n }' "$f")"
}

logins_storm() {
	local round name
	logins_more scram
	for ((round = 1; round <= ROUNDS; round++)); do
		for name in $(rotated "$round" pgbouncer pgdrove); do storm_measure "$name"; done
	done
	echo "an established client beside 200 failing SCRAM logins a second; times: below 2 is what is wanted"
	storm_row pgbouncer
	storm_row pgdrove
}

bench_logins() {
	local round name how
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$WORK_DIR/tls.key" -out "$WORK_DIR/tls.crt" -subj /CN=localhost \
		-days 2 2>/dev/null || die "openssl cannot make a certificate"
	own_file "$WORK_DIR"/tls.*
	VERIFIER=$(admin_sql "alter role bench password 'bench'; select rolpassword from pg_authid where rolname = 'bench'")
	pool_size=$POOL
	for ((round = 1; round <= ROUNDS; round++)); do
		for name in $(rotated "$round" pgbouncer pgdrove); do
			for how in trust md5 scram plain tls; do logins_measure "$name" $how; done
		done
	done
	echo "pgbench -S -C, $ROUNDS rounds of $DURATION s, medians; one process each; CPU/bouncer: below 1 means that pgdrove needs less"
	printf '%-14s %-10s %10s %14s %10s %12s\n' login pooler 'CPU us' 'per CPU second' 'per second' 'CPU/bouncer'
	logins_row trust trust
	logins_row md5 md5
	logins_row scram SCRAM
	logins_row plain 'SCRAM, plain'
	logins_row tls 'TLS + SCRAM'
	logins_storm
}

# shellcheck shell=bash
#
# bench --tls: what TLS 1.3 costs the pooler: per transaction with TLS on the clients' side and on both,
# and per connection (a full handshake, RSA-2048, one query). Sourced by scripts/bench.

# tls_more SERVER_TLS: what both poolers are told besides.
tls_more() {
	cat >"$WORK_DIR/pgbouncer.more" <<-CONF
		client_tls_sslmode = require
		client_tls_key_file = $WORK_DIR/tls.key
		client_tls_cert_file = $WORK_DIR/tls.crt
		server_tls_sslmode = $1
	CONF
	sed 's/= \(.*\)/= "\1";/' "$WORK_DIR/pgbouncer.more" >"$WORK_DIR/pgdrove.more"
}

# tls_measure NAME WHAT ARGS...: of this pgbench, appended to the round's file.
tls_measure() {
	local name=$1 what=$2
	shift 2
	pooler_start "$name"
	cpu_measure "$WORK_DIR/$name.$what" "$@"
	pooler_stop
}

tls_row() {
	local what=$1 name base cpu
	base=$(median "$WORK_DIR/pgbouncer.$what" 1)
	for name in pgbouncer pgdrove; do
		cpu=$(median "$WORK_DIR/$name.$what" 1)
		printf '%-22s %-10s %10.1f %10.0f %12.2f\n' "$2" "$name" "$cpu" "$(median "$WORK_DIR/$name.$what" 2)" \
			"$(awk -v a="$cpu" -v b="$base" 'BEGIN { print a / b }')"
	done
}

bench_tls() {
	local round name n=64
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$WORK_DIR/tls.key" -out "$WORK_DIR/tls.crt" -subj /CN=localhost \
		-days 2 2>/dev/null || die "openssl cannot make a certificate"
	for name in key crt; do install -m 0600 "$WORK_DIR/tls.$name" "$WORK_DIR/data/server.$name"; done
	own_file "$WORK_DIR"/tls.* "$WORK_DIR"/data/server.*
	admin_sql 'alter system set ssl = on' && admin_sql 'select pg_reload_conf()' >/dev/null
	export PGSSLMODE=require
	# shellcheck disable=SC2034
	pool_size=$POOL
	for ((round = 1; round <= ROUNDS; round++)); do
		for name in $(rotated "$round" pgbouncer pgdrove); do
			tls_more disable
			tls_measure "$name" client -c $n
			tls_measure "$name" connect -C -c 8
			tls_more require
			tls_measure "$name" both -c $n
		done
	done
	echo "pgbench -S, TLS 1.3, RSA-2048, $ROUNDS rounds of $DURATION s, medians; pgdrove with $WORKERS worker(s)"
	printf '%-22s %-10s %10s %10s %12s\n' '' pooler 'CPU us' 'per second' 'CPU/bouncer'
	tls_row client "transaction, client"
	tls_row both "transaction, both"
	tls_row connect "connection"
}

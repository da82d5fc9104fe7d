#!/usr/bin/env bash
#
# authmatrix: every way in which a client proves who it is, times every way in which PostgreSQL wants it
# proved, with psql, on PostgreSQL 15 and 18; each refusal's SQLSTATE on the wire, the reason in the log.
# On 18: direct TLS to the server, and with its libpq direct TLS and protocol 3.2 (long cancel keys) to us.
#
# PostgreSQL 18 is in build/pg18, put there by scripts/check; without it that half is left out, unless
# PG18_WANTED is set.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

SERVER_METHODS='trust password md5 scram plus cert'
CLIENT_METHODS='trust password md5 scram plus cert peer'

# pg_setup: roles named after what PostgreSQL wants of them: s_..., whose password we know, and v_...,
# of whom we know the verifier.
pg_setup() {
	local method name
	for name in server:localhost shown:s_cert client:client; do e2e_cert "${name%:*}" ca "/CN=${name#*:}" "${1:--sha256}"; done
	cluster_cert server
	cp "$CERTS/ca.crt" "$WORK_DIR/data/root.crt"
	own_file "$WORK_DIR/data/root.crt"
	cp "$CERTS/client.key" "$WORK_DIR/mine.key"
	chmod 0600 "$WORK_DIR/mine.key"
	cat >"$WORK_DIR/data/pg_hba.conf" <<-HBA
		local     all all             trust
		hostnossl all s_trust,s_limit all trust
		hostnossl all s_password      all password
		hostnossl all s_md5           all md5
		hostnossl all s_scram,v_scram all scram-sha-256
		hostssl   all s_plus,v_plus   all scram-sha-256
		hostssl   all s_cert          all cert
	HBA
	for method in $SERVER_METHODS; do
		admin_sql "set password_encryption = '$([ "$method" = md5 ] && echo md5 || echo scram-sha-256)';
			create role s_$method login password 'pw $method'" 2>/dev/null
		echo "\"s_$method\" \"pw $method\""
	done >"$WORK_DIR/users.txt"
	for method in scram plus; do
		admin_sql "create role v_$method login password 'pw $method'"
		echo "\"v_$method\" \"$(admin_sql "select rolpassword from pg_authid where rolname = 'v_$method'")\""
	done >>"$WORK_DIR/users.txt"
	admin_sql "create role s_limit login connection limit 0"
	echo '"s_limit" "pw limit"' >>"$WORK_DIR/users.txt"
	admin_sql "alter system set ssl_ca_file = 'root.crt'"
	admin_sql 'select pg_reload_conf()' >/dev/null
}

# matrix_conf: a database for each method of clients.
matrix_conf() {
	local method
	cat >"$WORK_DIR/hba" <<-HBA
		local   peer     all all peer map=m
		host    trust,gone,direct,two all all trust
		host    password all all password
		host    md5      all all md5
		host    scram,none all all scram-sha-256
		hostssl plus     all all scram-sha-256
		hostssl cert     all all cert map=m
		host    reject   all all reject
	HBA
	sed -i 's/^\(local.*\) all peer/\1 peer/' "$WORK_DIR/hba" # local lines have no address
	printf 'm %s all\nm client all\n' "$(id -un)" >"$WORK_DIR/ident"
	chmod 0640 "$WORK_DIR/users.txt"
	own_file "$WORK_DIR/users.txt" "$WORK_DIR/hba" "$WORK_DIR/ident"
	pooler_conf <<-CONF
		workers = 2;
		pool_size = 2;
		max_client_conn = 50;
		server_login_retry = "50ms";
		log_level = "debug";
		auth_type = "hba";
		auth_file = "$WORK_DIR/users.txt";
		auth_hba_file = "$WORK_DIR/hba";
		auth_ident_file = "$WORK_DIR/ident";
		auth_failure_limit = 0;
		$(client_tls prefer)
		client_tls_ca_file = "$CERTS/ca.crt";
		server_tls_sslmode = "allow";
		server_tls_key_file = "$CERTS/shown.key";
		server_tls_cert_file = "$CERTS/shown.crt";
		databases = (
			$(for method in $CLIENT_METHODS reject unruled; do
				echo "{ name = \"$method\"; host = \"127.0.0.1\"; port = $PG_PORT; dbname = \"app\"; },"
			done)
			{ name = "two"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; max_db_client_connections = 1; },
			{ name = "direct"; host = "localhost"; port = $PG_PORT; dbname = "app"; server_tls_sslmode = "verify-full";
			  server_tls_ca_file = "$CERTS/ca.crt"; server_tls_negotiation = "direct"; },
			{ name = "gone"; host = "127.0.0.1"; port = $PG_PORT; dbname = "nothing_there"; } );
	CONF
	mkdir -p "$WORK_DIR/run"
	own_file "$WORK_DIR/run"
	sed -i "s|^listen = .*|listen = ( { host = \"127.0.0.1\"; port = $PORT; }, { path = \"$WORK_DIR/run\"; port = $PORT; } );|" \
		"$WORK_DIR/pgdrove.conf"
}

# login METHOD USER PASSWORD [MORE]: the user's name at PostgreSQL, or what psql complains of.
login() {
	local how='host=127.0.0.1 sslmode=disable'
	case $1 in
	plus) how='host=127.0.0.1 sslmode=require channel_binding=require' ;;
	cert) how="host=127.0.0.1 sslmode=require sslcert=$CERTS/client.crt sslkey=$WORK_DIR/mine.key" ;;
	peer) how="host=$WORK_DIR/run" ;;
	esac
	PGPASSWORD=$3 "$PSQL" -X -q -A -t -w "$how port=$PORT user=$2 dbname=$1 ${4:-}" -c 'select current_user' 2>&1
}

# wire_state USER DB: the SQLSTATE that answers a startup packet.
wire_state() {
	local body len=$((8 + 5 + ${#1} + 1 + 9 + ${#2} + 2)) fd
	body="user\\0$1\\0database\\0$2\\0\\0"
	exec {fd}<>"/dev/tcp/127.0.0.1/$PORT" || return
	# shellcheck disable=SC2059
	printf "$(u32 "$len")$(u32 196608)$body" >&"$fd"
	timeout 20 cat <&"$fd" | tr '\0' '\n' | grep -aE '^C[0-9A-Z]{5}$' | cut -c 2-
	exec {fd}>&-
}

# refused NAME STATE REASON TEXT ANSWER: what the client saw, and what the log says.
refused() {
	has "$V: $1" "$4" "$5"
	check "$V: ... $2 in the log, with the reason" log_has "\($2\)(: $3|$)"
}

matrix() {
	local client server secret
	for client in $CLIENT_METHODS; do
		for server in $SERVER_METHODS; do
			is "$V: $client, then $server" "s_$server" "$(login "$client" "s_$server" "pw $server")"
		done
	done
	for client in scram plus md5 password; do
		for server in scram plus; do
			is "$V: only a verifier: $client, then $server" "v_$server" "$(login "$client" "v_$server" "pw $server")"
		done
	done
	is "$V: PLUS towards PostgreSQL is PLUS" yes \
		"$(grep -q 'v_plus: SCRAM-SHA-256-PLUS' "$WORK_DIR/pgdrove.log" && echo yes)"
	is "$V: and not where there is no TLS" 0 "$(grep -c '[sv]_scram: SCRAM-SHA-256-PLUS' "$WORK_DIR/pgdrove.log")"
}

refusals() {
	local client secret=SCRAM-SHA-256
	for client in password md5 scram plus; do
		refused "$client: a wrong password" 28P01 'wrong password' 'password authentication failed for user "s_trust"' \
			"$(login "$client" s_trust wrong)"
		refused "$client: an unknown user" 28P01 'no such user' 'password authentication failed for user "stranger"' \
			"$(login "$client" stranger wrong)"
	done
	refused 'peer: another account' 28000 'the account is ' 'peer authentication failed for user "stranger"' \
		"$(sed -i "s/^m $(id -un) all/m $(id -un) nobody_else/" "$WORK_DIR/ident" && pooler_reload &&
			login peer stranger '')"
	refused 'cert: none is shown' 28000 'the method is cert' 'requires a valid client certificate' \
		"$(login cert s_trust '' 'sslcert=none sslkey=none')"
	is "$V: reject: 28000 on the wire" 28000 "$(wire_state s_trust reject)"
	check "$V: ... the log says: the line" log_has '\(28000\): line [0-9]+ of auth_hba_file'
	is "$V: no rule: 28000 on the wire" 28000 "$(wire_state s_trust unruled)"
	check "$V: ... the log says so" log_has '\(28000\): no line fits'
	is "$V: trust, an unknown user: 28000 on the wire" 28000 "$(wire_state stranger trust)"
	refused 'no such database here' 3D000 '' 'no such database: none' "$(login none s_scram 'pw scram' 'sslmode=disable')"
	is "$V: no such database there: 3D000 on the wire" 3D000 "$(wire_state s_trust gone)"
	check "$V: ... the log says so" log_has 'database "nothing_there" does not exist \(3D000\)'
	is "$V: too many for PostgreSQL: 53300 on the wire" 53300 "$(wire_state s_limit trust)"
	check "$V: ... the log says so" log_has 'too many connections for role "s_limit" \(53300\)'
	psql_hold
	is "$V: too many here: 53300 on the wire" 53300 "$(wire_state s_trust two)"
	check "$V: ... the log says so" log_has '\(53300\)'
	kill "$BESIDE" && wait "$BESIDE" 2>/dev/null
	is "$V: no secret in the log" 0 "$(grep -cE "pw (trust|scram|plus|md5|password)|$secret\\$|md5[0-9a-f]{32}" "$WORK_DIR/pgdrove.log")"
}

# Fills the one place of the database two.
psql_hold() {
	beside "$PSQL" -X -q -w "host=127.0.0.1 port=$PORT user=s_trust dbname=two sslmode=disable" \
		-c 'select pg_sleep(60)' >/dev/null 2>&1
	until_true 20 held
}
held() { [ "$(admin_count "pg_stat_activity where query like 'select pg_sleep%' and state = 'active'")" = 1 ]; }

# A client that says it could bind, and has seen no offer: somebody has taken it out of our list.
downgrade() {
	local fifo=$WORK_DIR/downgrade pid first='y,,n=,r=abcdefgh' in
	mkfifo "$fifo"
	openssl s_client -quiet -connect "127.0.0.1:$PORT" -starttls postgres <"$fifo" >"$fifo.out" 2>/dev/null &
	pid=$!
	exec {in}>"$fifo"
	# shellcheck disable=SC2059
	printf "$(u32 $((8 + 5 + 8 + 9 + 5 + 1)))$(u32 196608)user\\0s_trust\\0database\\0plus\\0\\0" >&"$in"
	until_true 20 grep -qa 'SCRAM-SHA-256-PLUS' "$fifo.out"
	# shellcheck disable=SC2059
	printf "p$(u32 $((4 + 14 + 4 + ${#first})))SCRAM-SHA-256\\0$(u32 ${#first})$first" >&"$in"
	until_true 20 grep -qa 'negotiation error' "$fifo.out"
	is "$V: the y flag: a downgrade is told" C08P01 "$(tr '\0' '\n' <"$fifo.out" | grep -a '^C0')"
	exec {in}>&-
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	rm -f "$fifo" "$fifo.out"
}

# --- what only 18 can -----------------------------------------------------------------------------------

# psql of 15 with the library of 18.
new_client() {
	local text
	is "$V: direct TLS to the server" t "$("$PSQL" -X -q -A -t \
		"host=127.0.0.1 port=$PORT user=s_plus dbname=direct sslmode=disable" \
		-c 'select ssl from pg_stat_ssl where pid = pg_backend_pid()' 2>&1)"
	is "$V: direct TLS to us" s_trust "$(login trust s_trust '' 'sslmode=require sslnegotiation=direct')"
	for text in 'max_protocol_version=3.0' 'min_protocol_version=3.2 max_protocol_version=3.2'; do
		is "$V: $text" s_scram "$(login scram s_scram 'pw scram' "$text")"
		beside "$PSQL" -X -q -w "host=127.0.0.1 port=$PORT user=s_trust dbname=trust sslmode=disable $text" \
			-c 'select pg_sleep(60)' >"$WORK_DIR/canceled" 2>&1
		until_true 20 held
		kill -INT "$BESIDE"
		wait "$BESIDE" 2>/dev/null
		has "$V: ... and a cancel finds its query" 'canceling statement due to user request' "$(cat "$WORK_DIR/canceled")"
		until_true 20 none_held
	done
}
none_held() { ! held; }

run_matrix() {
	matrix_conf
	pooler_start
	matrix
	downgrade
	[ "$V" != 18 ] || new_client
	refusals
	pooler_stop "$V: ends well"
}

V=15 PSQL=
e2e_begin authmatrix
PSQL=$PG_BIN/psql
e2e_ca ca
pg_setup
run_matrix

if pg18_find; then
	cluster_stop
	rm -rf "$WORK_DIR/data" "$WORK_DIR/pgdrove.log" "$WORK_DIR/run"
	V=18 PSQL=$PG_BIN/psql18
	cluster_start trust
	admin_sql 'create database app'
	pg_setup -sha384
	run_matrix
elif [ -n "${PG18_WANTED:-}" ]; then
	not_ok 'PostgreSQL 18 is there' 'build/pg18 is missing'
else
	echo 'without PostgreSQL 18, which is not in build/pg18'
fi

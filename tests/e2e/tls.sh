#!/usr/bin/env bash
#
# tls: TLS with clients and with PostgreSQL.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin tls trust
C=$WORK_DIR/certs
mkdir "$C"

# --- certificates ---------------------------------------------------------------------------------------

# ca NAME: a root. cert NAME CA CN SAN DAYS: a certificate and its key. P-256: quick to make.
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$C/$1.key" 2>/dev/null; }
ca() {
	key "$1"
	openssl req -x509 -new -key "$C/$1.key" -subj "/CN=$1" -days 30 -out "$C/$1.crt" \
		-addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=keyCertSign,cRLSign' 2>/dev/null
}
cert() {
	key "$1"
	openssl req -new -key "$C/$1.key" -subj "$3" 2>/dev/null | openssl x509 -req -CA "$C/$2.crt" -CAkey "$C/$2.key" \
		-set_serial "$RANDOM" -days "$5" -out "$C/$1.crt" -extfile <(printf 'subjectAltName=%s\n' "$4") 2>/dev/null
}
ca ca
ca other
cert good ca /CN=localhost DNS:localhost,IP:127.0.0.1 30
chmod 0644 "$C"/*.crt
own_file "$C"/*.key

# --- clients --------------------------------------------------------------------------------------------

export PGSSLROOTCERT=$C/ca.crt
# tls_sql WHAT SQL: by name, sslmode and the like in WHAT.
tls_sql() {
	"$PG_BIN/psql" -X -q -A -t "host=localhost port=$PORT user=postgres dbname=app $1" -c "$2" 2>&1
}
# s_client ARGS...: what openssl says; it stays for a moment, so that tickets arrive.
s_client() {
	(sleep 0.2 && echo) | openssl s_client -connect "127.0.0.1:$PORT" -CAfile "$C/ca.crt" "$@" 2>&1 | tr -d '\0'
}

pooler_conf <<-CONF
	workers = 2;
	pool_mode = "transaction";
	client_tls_sslmode = "prefer";
	client_tls_key_file = "$C/good.key";
	client_tls_cert_file = "$C/good.crt";
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
CONF
pooler_start
is 'without TLS' 1 "$(sql app 'select 1')"
for v in 1.2 1.3; do
	is "TLS $v: a query" 1 "$(tls_sql "sslmode=verify-full ssl_min_protocol_version=TLSv$v ssl_max_protocol_version=TLSv$v" 'select 1')"
done
has 'direct TLS' 'ALPN protocol: postgresql' "$(s_client -alpn postgresql)"
has 'direct TLS, another protocol: refused' 'alert no application protocol' "$(s_client -alpn http/1.1)"
s_client >/dev/null
check 'direct TLS without ALPN: refused' log_has 'TLS without SSLRequest, and without ALPN'
pooler_stop 'ends well'

#!/usr/bin/env bash
#
# tls: each sslmode against each kind of certificate and version, with clients (psql, s_client) and
# with PostgreSQL; client certificates on both sides; files that are wrong; much data; cancel.
# Clients that misbehave are test_tls.c's.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin tls trust
C=$WORK_DIR/certs
mkdir "$C"

# --- certificates ---------------------------------------------------------------------------------------

# P-256: quick to make.
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$C/$1.key" 2>/dev/null; }
# ca NAME: a root.
ca() {
	key "$1"
	openssl req -x509 -new -key "$C/$1.key" -subj "/CN=$1" -days 30 -out "$C/$1.crt" \
		-addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=keyCertSign,cRLSign' 2>/dev/null
	: >"$C/$1.db"
	printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s\nnew_certs_dir=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n' \
		"$C/$1.db" "$C" >"$C/$1.conf"
	printf 'unique_subject=no\ndefault_days=30\ndefault_crl_days=30\n[p]\nO=optional\nCN=supplied\n' >>"$C/$1.conf"
}
# cert NAME CA SUBJECT SAN [OPTIONS OF openssl ca]: a certificate and its key.
cert() {
	local name=$1 ca=$2 subject=$3 san=$4
	shift 4
	key "$name"
	openssl req -new -key "$C/$name.key" -subj "$subject" -out "$C/$name.req" 2>/dev/null
	openssl ca -batch -notext -config "$C/$ca.conf" -cert "$C/$ca.crt" -keyfile "$C/$ca.key" -in "$C/$name.req" \
		-out "$C/$name.crt" -extfile <(printf 'subjectAltName=%s\n' "$san") "$@" 2>/dev/null ||
		not_ok "a certificate: $name"
}
past=(-startdate 20200101000000Z -enddate 20210101000000Z)
here=DNS:localhost,IP:127.0.0.1
ca ca
ca other
cert good ca /CN=localhost "$here"
cert expired ca /CN=localhost "$here" "${past[@]}"
cert elsewhere ca /CN=db.example "DNS:db.example"
cert foreign other /CN=localhost "$here"
cert revoked ca /CN=localhost "$here"
cert alice ca '/O=Acme/CN=alice' DNS:alice
cert alice_expired ca '/O=Acme/CN=alice' DNS:alice "${past[@]}"
cert alice_foreign other '/O=Acme/CN=alice' DNS:alice
cert alice_revoked ca '/O=Acme/CN=alice' DNS:alice
for name in revoked alice_revoked; do
	openssl ca -config "$C/ca.conf" -cert "$C/ca.crt" -keyfile "$C/ca.key" -revoke "$C/$name.crt" 2>/dev/null
done
openssl ca -config "$C/ca.conf" -cert "$C/ca.crt" -keyfile "$C/ca.key" -gencrl -out "$C/ca.crl" 2>/dev/null
chmod 0755 "$C"
chmod 0644 "$C"/*.crt "$C/ca.crl"
own_file "$C"/*.key
# psql's own copies: it may be another account's.
mkdir -m 0700 "$C/mine"
cp "$C"/alice*.key "$C/mine"
chmod 0600 "$C/mine"/*

# --- PostgreSQL's side ----------------------------------------------------------------------------------

D=$WORK_DIR/data
pg_has() { openssl s_client -connect "127.0.0.1:$PG_PORT" -starttls postgres </dev/null 2>/dev/null |
	openssl x509 -noout -serial 2>/dev/null | cmp -s - <(openssl x509 -noout -serial -in "$C/$1.crt"); }
no_backends() {
	admin_sql "select pg_terminate_backend(pid) from pg_stat_activity where client_addr is not null" >/dev/null
	backends_are 0 && { [ -z "$POOLER" ] || none_idle; }
}
# As pgdrove sees it, but for those that it has at itself.
none_idle() {
	local at_itself
	at_itself=$(get pool.self.postgres.sv_idle)
	get_is sv_idle "${at_itself:-0}"
}
# pg_cert NAME: PostgreSQL shows this certificate, and no backend is left.
pg_cert() {
	install -m 0600 "$C/$1.key" "$D/server.key"
	install -m 0600 "$C/$1.crt" "$D/server.crt"
	own_file "$D/server.key" "$D/server.crt"
	admin_sql 'select pg_reload_conf()' >/dev/null
	until_true 30 pg_has "$1" || not_ok "PostgreSQL shows the certificate $1"
	until_true 30 no_backends || not_ok 'no backend is left'
}
# pg_hba TYPE: who comes by TCP. Users called cert... need a certificate.
pg_hba() {
	printf 'local all all trust\nhostssl all alice all cert\n%s all all all trust\n' "$1" >"$D/pg_hba.conf"
	admin_sql 'select pg_reload_conf()' >/dev/null
	until_true 30 no_backends || not_ok 'no backend is left'
}
install -m 0644 "$C/ca.crt" "$D/root.crt"
admin_sql "create role alice superuser login; create role bob login"
for option in "ssl = on" "ssl_ca_file = 'root.crt'"; do admin_sql "alter system set $option"; done

# db NAME MODE [MORE]
db() { echo "{ name = \"$1\"; host = \"localhost\"; dbname = \"app\"; port = $PG_PORT; server_tls_sslmode = \"$2\"; ${3:-} },"; }
ca_and_crl="server_tls_ca_file = \"$C/ca.crt\"; server_tls_crl_file = \"$C/ca.crl\";"
listener() { LPORTS+=("$(port_free)") && LISTEN+=", { host = \"127.0.0.1\"; port = ${LPORTS[-1]}; $1 }"; }
own_cert() { echo "client_tls_key_file = \"$C/$1.key\"; client_tls_cert_file = \"$C/$1.crt\";"; }
LPORTS=() LISTEN=''
listener 'client_tls_sslmode = "require";'
for name in expired elsewhere foreign revoked; do listener "$(own_cert $name)"; done
asks="client_tls_ca_file = \"$C/ca.crt\"; client_tls_crl_file = \"$C/ca.crl\";"
listener "$asks"
listener "$asks client_tls_sslmode = \"verify-ca\";"
listener 'client_tls_sslmode = "disable";'
read -r REQUIRE EXPIRED ELSEWHERE FOREIGN REVOKED ASKS VERIFY DISABLE <<<"${LPORTS[*]}"

MORE_USERS=', { name = "alice"; }, { name = "bob"; }'
pooler_conf <<-CONF
	workers = 3;
	pool_mode = "transaction";
	server_login_retry = "50ms";
	client_tls_sslmode = "prefer";
	$(own_cert good)
	databases = ( $(db disable disable) $(db allow allow) $(db prefer prefer) $(db require require)
	  $(db verify-ca verify-ca "$ca_and_crl")
	  $(db verify-full verify-full "$ca_and_crl")
	  $(db address verify-full "$ca_and_crl" | sed 's/localhost/127.0.0.1/')
	  $(db v1.2 require 'server_tls_protocols = "tlsv1.2";')
	  $(db v1.3 require 'server_tls_protocols = "tlsv1.3";')
	  $(db cipher require 'server_tls_protocols = "tlsv1.2"; server_tls_ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305";')
	  $(db shown require "server_tls_key_file = \"$C/alice.key\"; server_tls_cert_file = \"$C/alice.crt\"; user = \"alice\";")
	  $(db not-shown require 'user = "alice";')
	  $(db one require 'pool_size = 1;')
	  $(db second verify-full "$ca_and_crl" | sed 's/localhost/nowhere.invalid,localhost/')
	  { name = "self"; host = "localhost"; dbname = "disable"; port = @PORT@; server_tls_sslmode = "verify-full";
	    server_tls_negotiation = "direct"; server_tls_ca_file = "$C/ca.crt"; } );
CONF
SNI_PORT=$(port_free)
sed -i "s|^listen = .*|listen = ( { host = \"127.0.0.1\"; port = $PORT; }$LISTEN );|
	s|^databases = (|& { name = \"sni\"; host = \"localhost\"; port = $SNI_PORT; server_tls_sslmode = \"require\";\
	  server_tls_negotiation = \"direct\"; },|
	s|@PORT@|$PORT|" "$WORK_DIR/pgdrove.conf"
pg_hba host
pooler_start

# server STATE DB WANTED: whether the backend has TLS, or what is wrong.
server() {
	has "PostgreSQL's certificate is $1, $2: $3" "$3" \
		"$(sql "$2" 'select ssl from pg_stat_ssl where pid = pg_backend_pid()')"
}
for state in good expired elsewhere foreign revoked; do
	pg_cert $state
	why=
	case $state in
	expired) why='certificate has expired' ;;
	foreign) why='unable to get local issuer certificate' ;;
	revoked) why='certificate revoked' ;;
	esac
	server $state disable f
	server $state allow f
	server $state prefer t
	server $state require t
	server $state verify-ca "${why:-t}"
	if [ $state = elsewhere ]; then
		server $state verify-full 'certificate verify failed: hostname mismatch'
		server $state address 'certificate verify failed: IP address mismatch'
	else
		server $state verify-full "${why:-t}"
		server $state address "${why:-t}"
	fi
done

pg_cert good
version='select version from pg_stat_ssl where pid = pg_backend_pid()'
is 'server_tls_protocols tlsv1.2' TLSv1.2 "$(sql v1.2 "$version")"
is 'server_tls_protocols tlsv1.3' TLSv1.3 "$(sql v1.3 "$version")"
is 'server_tls_ciphers' ECDHE-ECDSA-CHACHA20-POLY1305 "$(sql cipher "${version/version/cipher}")"
is 'a certificate for PostgreSQL' alice "$(sql shown 'select current_user')"
has 'a certificate that PostgreSQL misses' 'connection requires a valid client certificate' "$(sql not-shown 'select 1')"
is 'direct TLS to a server that has it' f "$(sql self 'select ssl from pg_stat_ssl where pid = pg_backend_pid()')"
admin_sql "alter system set ssl_min_protocol_version = 'TLSv1.3'; "
pg_cert good
has 'no version in common' 'cannot connect to server at' "$(sql v1.2 'select 1')"
is '... but 1.3' TLSv1.3 "$(sql v1.3 "$version")"
admin_sql "alter system reset ssl_min_protocol_version"

# Who has the wrong kind for pg_hba.conf tries the other, as psql does.
pg_hba hostssl
has 'hostssl: disable is refused' 'no encryption' "$(sql disable 'select 1')"
server hostssl allow t
server hostssl prefer t
pg_hba hostnossl
server hostnossl prefer f
server hostnossl allow f
has 'hostnossl: require is refused' 'SSL encryption' "$(sql require 'select 1')"
pg_hba host
admin_sql 'alter system set ssl = off'
admin_sql 'select pg_reload_conf()' >/dev/null
no_tls() { ! pg_has good; }
within 'PostgreSQL has no TLS any more' 10 no_tls
until_true 30 no_backends
server 'not there' prefer f
server 'not there' allow f
server 'not there' require 'the server has no TLS, and server_tls_sslmode wants it'
server 'not there' verify-full 'the server has no TLS'
admin_sql 'alter system set ssl = on'
pg_cert good

# A session with another pgdrove is taken up again.
for _ in {1..8}; do
	sql self 'select pg_terminate_backend(pg_backend_pid())' >/dev/null
done
resumed() { [ "$(get server_tls_resumed)" -gt 0 ]; }
within 'sessions with a server are taken up again' 10 resumed

# --- the clients' side ------------------------------------------------------------------------------------

# client PORT MORE [SQL]: by name, sslmode and the like in MORE.
client() {
	"$PG_BIN/psql" -X -q -A -t "host=localhost port=$1 user=postgres dbname=disable sslrootcert=$C/ca.crt $2" \
		-c "${3:-select 1}" 2>&1
}
for v in 1.2 1.3; do
	only="ssl_min_protocol_version=TLSv$v ssl_max_protocol_version=TLSv$v"
	full="sslmode=verify-full sslcrl=$C/ca.crl $only"
	is "our certificate is good, TLS $v" 1 "$(client "$PORT" "$full")"
	has "our certificate is expired, TLS $v" 'certificate verify failed' "$(client "$EXPIRED" "$full")"
	has "our certificate is another host's, TLS $v" 'does not match host name' "$(client "$ELSEWHERE" "$full")"
	has "our certificate has another root, TLS $v" 'certificate verify failed' "$(client "$FOREIGN" "$full")"
	has "our certificate is revoked, TLS $v" 'certificate verify failed' "$(client "$REVOKED" "$full")"
	is "... and sslmode=require takes it, TLS $v" 1 "$(client "$REVOKED" "sslmode=require sslrootcert=none $only")"
	is "disable: sslmode=prefer comes in without TLS, TLS $v" 1 "$(client "$DISABLE" "sslmode=prefer $only")"
	# shown CERTIFICATE WANTED: at listeners that ask, and that insist
	for port in "$ASKS" "$VERIFY"; do
		how="$([ "$port" = "$ASKS" ] && echo asked || echo needed), TLS $v"
		with() { client "$port" "sslmode=require $only sslcert=$C/$1.crt sslkey=$C/mine/$1.key"; }
		is "a client's good certificate, $how" 1 "$(with alice)"
		has "a client's expired one, $how" 'alert certificate expired' "$(with alice_expired)"
		has "a client's foreign one, $how" 'alert unknown ca' "$(with alice_foreign)"
		has "a client's revoked one, $how" 'alert certificate revoked' "$(with alice_revoked)"
	done
	is "no certificate, asked, TLS $v" 1 "$(client "$ASKS" "sslmode=require $only")"
	has "no certificate, needed, TLS $v" 'alert' "$(client "$VERIFY" "sslmode=require $only")"
done
check 'the log says why: expired' log_has 'TLS handshake failed: certificate verify failed: certificate has expired'
check 'the log says why: revoked' log_has 'TLS handshake failed: certificate verify failed: certificate revoked'
has 'disable: sslmode=require cannot come in' 'server does not support SSL' "$(client "$DISABLE" sslmode=require)"
is 'prefer: sslmode=disable comes in' 1 "$(client "$PORT" sslmode=disable)"
has 'require: sslmode=disable is refused' 'SSL required' "$(client "$REQUIRE" sslmode=disable)"
is 'require: sslmode=require comes in' 1 "$(client "$REQUIRE" sslmode=require)"
has 'verify-ca: sslmode=disable is refused' 'SSL required' "$(client "$VERIFY" sslmode=disable)"

# s_client ARGS...: what openssl says. TICKET=FILE: it stays until a ticket has come into that file.
s_client() {
	([ -z "${TICKET:-}" ] || until_true 30 [ -s "$TICKET" ] && echo) | openssl s_client -connect "127.0.0.1:$PORT" -CAfile "$C/ca.crt" "$@" 2>&1 | tr -d '\0'
}
has 's_client -starttls postgres' 'Verify return code: 0 (ok)' \
	"$(TICKET=$WORK_DIR/session s_client -starttls postgres -sess_out "$WORK_DIR/session")"
has '... takes its session up again' 'Reused, TLSv1.3' "$(s_client -starttls postgres -sess_in "$WORK_DIR/session")"
has 'direct TLS' 'ALPN protocol: postgresql' "$(s_client -alpn postgresql)"
has 'direct TLS, another protocol: refused' 'alert no application protocol' "$(s_client -alpn http/1.1)"
s_client >/dev/null
check 'direct TLS without ALPN: refused' log_has 'TLS without SSLRequest, and without ALPN'
has 'TLS 1.1: refused' 'alert protocol version' "$(s_client -starttls postgres -tls1_1 -cipher ALL:@SECLEVEL=0)"

# --- much data, both sides with TLS; cancel ----------------------------------------------------------------

sum=$(head -c 100M /dev/zero | tr '\0' x | md5sum)
got=$("$PG_BIN/psql" -X -q -A -t "host=localhost port=$PORT user=postgres dbname=require sslmode=require" \
	-c "select repeat('x', 1048576) from generate_series(1, 100)" | tr -d '\n' | md5sum)
is '100 MB through TLS on both sides' "$sum" "$got"
admin_sql 'create table t (a text)' app
yes 'a line of some length that is copied in' | head -n 500000 | "$PG_BIN/psql" -X -q \
	"host=localhost port=$PORT user=postgres dbname=require sslmode=require" -c '\copy t from stdin'
is '20 MB by \copy' 500000 "$(admin_count t)"
beside "$PG_BIN/psql" -X "host=localhost port=$PORT user=postgres dbname=require sslmode=require" -c 'select pg_sleep(66)' \
	>"$WORK_DIR/sleep.out" 2>&1
sleeps() { [ "$(admin_count "pg_stat_activity where query like '%sleep(66)%' and state = 'active' and pid <> pg_backend_pid()")" = 1 ]; }
within 'a query runs' 10 sleeps
kill -INT "$BESIDE"
pid_gone "$BESIDE" 30000
has 'psql cancels it' 'canceling statement due to user request' "$(cat "$WORK_DIR/sleep.out")"

# The server is told by which name we know it.
mkfifo "$WORK_DIR/sni.in" # at the end of its input s_server ends
exec {sni}<>"$WORK_DIR/sni.in"
openssl s_server -accept "$SNI_PORT" -cert "$C/good.crt" -key "$C/good.key" -alpn postgresql -servername localhost \
	-cert2 "$C/good.crt" -key2 "$C/good.key" <&"$sni" >"$WORK_DIR/sni.out" 2>&1 &
CHILDREN+=($!)
told_sni() {
	PGCONNECT_TIMEOUT=2 sql sni 'select 1' >/dev/null
	grep -q 'Hostname in TLS extension: "localhost"' "$WORK_DIR/sni.out"
}
within 'SNI names the server' 30 told_sni

# A worker dies with a query on the second host: the steward finds it by that host's name, not by the first's.
beside "$PG_BIN/psql" -X "host=127.0.0.1 port=$PORT user=postgres dbname=second" -c 'select pg_sleep(66)' >/dev/null 2>&1
within 'a query runs on the second host' 20 sleeps
for i in 0 1 2; do [ "$(get "worker.$i.clients")" != 1 ] || kill -KILL "$(get "worker.$i.pid")"; done
slept() { ! sleeps; }
within '... its worker dies, and the query is cancelled' 30 slept
within '... the orphan is gone' 30 get_is steward.orphans 0
is '... by a name that fits' 0 "$(grep -c 'cancel request cannot reach the server' "$WORK_DIR/pgdrove.log")"

# A backend with TLS cannot move, so its place must: one backend, clients on each worker.
echo 'select 1;' >"$WORK_DIR/one.sql"
(cd "$WORK_DIR" && "$PG_BIN/pgbench" -n -f one.sql -h 127.0.0.1 -p "$PORT" -U postgres -c 9 -t 10 one >bench.out 2>&1)
has 'pool_size 1, three workers: every client is served' 'actually processed: 90/90' "$(cat "$WORK_DIR/bench.out")"
pooler_stop 'ends well'
is 'no secret and no key in the log' 0 "$(grep -c 'PRIVATE KEY' "$WORK_DIR/pgdrove.log")"

# --- a certificate is replaced under load -------------------------------------------------------------------

cert next ca /CN=localhost "$here"
own_file "$C/next.key"
install -m 0644 "$C/good.crt" "$C/now.crt"
install -m 0600 "$C/good.key" "$C/now.key"
own_file "$C/now.key"
pooler_conf <<-CONF
	workers = 3;
	pool_mode = "transaction";
	client_tls_sslmode = "require";
	$(own_cert now)
	databases = ( $(db app require "server_tls_ca_file = \"$C/ca.crt\";" | sed 's/,$//') );
CONF
pooler_start
shows() { openssl s_client -connect "127.0.0.1:$PORT" -starttls postgres </dev/null 2>/dev/null |
	openssl x509 -noout -serial 2>/dev/null | cmp -s - <(openssl x509 -noout -serial -in "$C/$1.crt"); }
# reload NAME
reload() { check "$1" reload_ends; }
# One crowd stays, the other connects for each transaction.
bench() {
	PGSSLMODE=require beside "$PG_BIN/pgbench" -n -f "$WORK_DIR/one.sql" -h 127.0.0.1 -p "$PORT" -U postgres \
		-c 6 -T 4 "$@" app
}
bench >"$WORK_DIR/stay.out" 2>&1
stay=$BESIDE
bench -C >"$WORK_DIR/come.out" 2>&1
come=$BESIDE
check 'the old certificate is shown' shows good
install -m 0600 "$C/next.key" "$C/now.key"
own_file "$C/now.key"
reload 'a reload with a key that does not fit'
check '... changes nothing, and says which file' log_has "client_tls_key_file: $C/now.key: the private key does not belong"
check '... the old certificate is shown' shows good
install -m 0644 "$C/next.crt" "$C/now.crt"
reload 'a reload with both'
within '... the new certificate is shown' 10 shows next
for _ in {1..5}; do reload 'a reload with nothing new'; done
wait "$stay" "$come"
for who in stay come; do
	is "$who: no transaction failed" '0 (0.000%)' "$(sed -n 's/^number of failed transactions: //p' "$WORK_DIR/$who.out")"
	is "$who: no error" 0 "$(grep -ci 'error\|aborted\|fatal' "$WORK_DIR/$who.out")"
done
is 'who stayed was not dropped' 6 "$(sed -n 's/^number of clients: //p' "$WORK_DIR/stay.out")"

# --- a listener's own settings are changed --------------------------------------------------------------------

crowd_start kept 'app sslmode=require'
kept() ( crowd kept "$1"; echo "$A $B" ) # C is ours
is 'six clients with TLS' '6 0' "$(kept 'open 6')"
# listener_has SETTINGS
listener_has() {
	sed -i "s|^listen = .*|listen = ( { host = \"127.0.0.1\"; port = $PORT; $1 } );|" "$WORK_DIR/pgdrove.conf"
	reload "a reload: the listener has [$1]"
}
comes() { "$PG_BIN/psql" -X -q -A -t "host=localhost port=$PORT user=postgres dbname=app sslmode=$1" -c 'select 1' 2>&1; }
listener_has 'client_tls_sslmode = "disable";'
has '... disable: nobody has TLS any more' 'server does not support SSL' "$(comes require)"
is '... who has none comes in' 1 "$(comes disable)"
listener_has "$(own_cert good) client_tls_sslmode = \"allow\";"
is '... allow: with TLS' 1 "$(comes require)"
is '... and without' 1 "$(comes disable)"
check '... with a certificate of its own' shows good
listener_has "$(own_cert nowhere)"
check '... a file that is missing: nothing is changed' log_has "client_tls_cert_file: $C/nowhere.crt: No such file"
check '... its certificate is shown' shows good
listener_has ''
has "... nothing: everybody's" 'SSL required' "$(comes disable)"
check '... certificate too' shows next
is '... and those who are there stay' '6 0' "$(kept 'query select 1')"
pooler_stop 'ends well'

# --- files that are wrong ------------------------------------------------------------------------------------

# told NAME WANTED TLS: what -t says of these lines.
told() {
	pooler_conf <<-CONF
		$3
		databases = ( { name = "app"; } );
	CONF
	has "-t: $1" "$2" "$("$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1)"
}
pair() { echo "client_tls_sslmode = \"require\"; client_tls_cert_file = \"$1\"; client_tls_key_file = \"$2\";"; }
install -m 0644 "$C/good.key" "$C/open.key"
openssl pkey -in "$C/good.key" -aes256 -passout pass:x -out "$C/locked.key"
chmod 0600 "$C/locked.key"
printf 'no pem\n' >"$C/none"
chmod 0600 "$C/none"
told 'all is well' 'configuration is valid' "$(pair "$C/good.crt" "$C/good.key")"
told 'no file' "client_tls_cert_file: $C/missing: No such file" "$(pair "$C/missing" "$C/good.key")"
told 'the line' 'pgdrove.conf:7: client_tls_cert_file' "$(pair "$C/missing" "$C/good.key")"
told 'no certificate' "client_tls_cert_file: $C/none: holds no certificate" "$(pair "$C/none" "$C/good.key")"
told 'no key' "client_tls_key_file: $C/none: holds no private key" "$(pair "$C/good.crt" "$C/none")"
told 'a key of another certificate' "client_tls_key_file: $C/expired.key: the private key does not belong to" "$(pair "$C/good.crt" "$C/expired.key")"
told 'a key that others can read' "client_tls_key_file: $C/open.key: the private key has" "$(pair "$C/good.crt" "$C/open.key")"
told 'a key with a pass phrase' 'a pass phrase cannot be given' "$(pair "$C/good.crt" "$C/locked.key")"
told 'a certificate is needed' 'client_tls_cert_file: is needed for client_tls_sslmode prefer' 'client_tls_sslmode = "prefer";'
told 'roots are needed' 'server_tls_ca_file: is needed for server_tls_sslmode verify-full' 'server_tls_sslmode = "verify-full";'
told 'roots that are none' "server_tls_ca_file: $C/none: holds no certificate" "server_tls_ca_file = \"$C/none\";"
told 'no list of revoked ones' "server_tls_crl_file: $C/good.crt: holds no list" "server_tls_crl_file = \"$C/good.crt\";"
told 'an unknown version' 'server_tls_protocols: tlsv9: expected' 'server_tls_protocols = "tlsv9";'
told 'an unknown cipher' 'server_tls_ciphers: ROT13: OpenSSL knows no such cipher' 'server_tls_ciphers = "ROT13";'
told 'an unknown cipher of TLS 1.3' 'server_tls13_ciphers: ROT13: OpenSSL knows no' 'server_tls13_ciphers = "ROT13";'
told 'an unknown curve' 'client_tls_ecdhcurve: bend: OpenSSL knows no' "$(pair "$C/good.crt" "$C/good.key") client_tls_ecdhcurve = \"bend\";"
told 'direct needs TLS' 'server_tls_negotiation: direct needs' 'server_tls_negotiation = "direct";'
told 'a certificate that has expired' "client_tls_cert_file $C/expired.crt: the certificate has expired" "$(pair "$C/expired.crt" "$C/expired.key")"

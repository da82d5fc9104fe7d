#!/usr/bin/env bash
#
# cert: client certificates, by name, by map and besides a password; SCRAM bound to the channel; SNI.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin cert
admin_sql "create role anna login; create role mapped login; create role dn login"
admin_sql "create role bound login password 'pw b'; create role strict login password 'pw s'"
e2e_ca ca
e2e_ca other
e2e_cert server ca /CN=localhost
e2e_cert anna ca /O=test/CN=anna
e2e_cert strict ca /CN=strict
e2e_cert stranger other /CN=anna
C=$CERTS
[ "$(id -u)" != 0 ] || cp "$C"/{anna,strict,stranger}.key "$WORK_DIR"/
for who in anna strict stranger; do
	[ -e "$WORK_DIR/$who.key" ] || cp "$C/$who.key" "$WORK_DIR/"
	chmod 0600 "$WORK_DIR/$who.key"
	chown "$(id -u)" "$WORK_DIR/$who.key"
done
cat >"$WORK_DIR/hba" <<-HBA
	hostssl app anna   all cert
	hostssl app mapped all cert map=m
	hostssl app dn     all cert clientname=DN map=d
	hostssl app strict all scram-sha-256 clientcert=verify-full
	hostssl app bound  all scram-sha-256
	hostssl plus all   all scram-sha-256-plus
	hostnossl app bound all scram-sha-256
HBA
printf 'm anna mapped\nd /O=test$ dn\n' >"$WORK_DIR/ident"
MORE_USERS=', { name = "bound"; password = "pw b"; }, { name = "strict"; password = "pw s"; }'
pooler_conf <<-CONF
	workers = 2;
	auth_type = "hba";
	auth_hba_file = "$WORK_DIR/hba";
	auth_ident_file = "$WORK_DIR/ident";
	$(client_tls prefer)
	client_tls_ca_file = "$C/ca.crt";
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; },
		{ name = "plus"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; } );
CONF
pooler_start
export PGSSLROOTCERT=$C/ca.crt
# login USER CERT|- [MORE]
login() {
	local with=''
	[ "$2" = - ] || with="sslcert=$C/$2.crt sslkey=$WORK_DIR/$2.key"
	"$PG_BIN/psql" -X -q -A -t -w "host=127.0.0.1 port=$PORT user=$1 dbname=app sslmode=verify-ca $with ${3:-}" \
		-c 'select current_user' 2>&1
}
is 'cert: the own name' anna "$(login anna anna)"
has 'cert: another name' 'certificate authentication failed for user "anna"' "$(login anna strict)"
check '... the log says whose' log_has 'for user "anna" \(28000\): the certificate is for strict'
has 'cert: none' 'connection requires a valid client certificate' "$(login anna -)"
has 'cert: of another root' 'rror' "$(login anna stranger)"
is 'cert: by a map' mapped "$(login mapped anna)"
has 'cert: the map knows no other' 'certificate authentication failed' "$(login mapped strict)"
is 'cert: by the whole name' dn "$(login dn anna)"
export PGPASSWORD='pw s'
is 'clientcert=verify-full and the password' strict "$(login strict strict)"
has 'clientcert=verify-full: another name' 'certificate authentication failed for user "strict"' "$(login strict anna)"
check '... the log says what was wanted' log_has '\(28000\): line 4 of auth_hba_file wants verify-full, and the certificate is for anna'
has 'clientcert=verify-full: none' 'connection requires a valid client certificate' "$(login strict -)"
PGPASSWORD=x
has '... and a wrong password' 'password authentication failed' "$(login strict strict)"
PGPASSWORD='pw b'
is 'SCRAM-SHA-256-PLUS' bound "$(login bound - channel_binding=require)"
is 'the client may do without' bound "$(login bound - channel_binding=disable)"
has 'without TLS it is not offered' 'channel binding' "$(login bound - 'channel_binding=require sslmode=disable')"
is 'without TLS, without binding' bound "$(login bound - sslmode=disable)"

# --- binding demanded: who does without is told, and the log says why ------------------------------------------

UNBOUND='connection requires channel binding (SCRAM-SHA-256-PLUS over TLS)'
# refused_unbound NAME REASON USER MORE
refused_unbound() {
	has "$1" "$UNBOUND" "$(login "$3" - "$4")"
	check "... 28000 in the log, and why" log_has "/$3@.*\(28000\): scram-sha-256-plus, and $2"
}
is 'scram-sha-256-plus, a rule: with binding' bound "$(login bound - 'dbname=plus channel_binding=require')"
refused_unbound 'a rule: without binding' 'the client has chosen SCRAM-SHA-256$' bound 'dbname=plus channel_binding=disable'
has 'a rule: without TLS no rule fits' 'no rule of auth_hba_file' "$(login bound - 'dbname=plus sslmode=disable')"
PGPASSWORD=x
has 'a rule: a wrong password' 'password authentication failed for user "bound"' "$(login bound - dbname=plus)"
PGPASSWORD='pw s'
sed -i 's/auth_type = "hba"/auth_type = "scram-sha-256-plus"/' "$WORK_DIR/pgdrove.conf"
check 'auth_type scram-sha-256-plus, by a reload' pooler_reload
is 'auth_type scram-sha-256-plus: with binding' strict "$(login strict - channel_binding=require)"
refused_unbound 'auth_type: without binding' 'the client has chosen SCRAM-SHA-256$' strict channel_binding=disable
refused_unbound 'auth_type: without TLS' 'the client came without TLS' strict sslmode=disable
has 'auth_type: an unknown user' 'password authentication failed for user "nobody"' "$(login nobody -)"
check '... the log says that' log_has 'user "nobody" \(28P01\): no such user'
pooler_stop 'ends well'

# Several certificates: the one for the name that the client has said (SNI), of another kind of key than the first.
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$C/second.key" 2>/dev/null
openssl req -new -key "$C/second.key" -subj /CN=second 2>/dev/null | openssl x509 -req -sha384 -CA "$C/ca.crt" \
	-CAkey "$C/ca.key" -set_serial 77 -days 30 -out "$C/second.crt" -extfile <(echo 'subjectAltName=DNS:*.second.test') 2>/dev/null
own_file "$C/second.key"
sed -i "s|$C/server.key|$C/server.key, $C/second.key|; s|$C/server.crt|$C/server.crt, $C/second.crt|" "$WORK_DIR/pgdrove.conf"
pooler_start
# by_name HOST [MORE]: as a client that checks the name, and binds to the certificate.
by_name() { login strict - "host=$1 hostaddr=127.0.0.1 sslmode=verify-full channel_binding=require ${2:-}"; }
for version in TLSv1.2 TLSv1.3; do
	only="ssl_min_protocol_version=$version ssl_max_protocol_version=$version"
	is "SNI, $version: the first name" strict "$(by_name localhost "$only")"
	is "SNI, $version: another one, by its wildcard" strict "$(by_name db.second.test "$only")"
	has "SNI, $version: a name that none has: the first is shown" 'does not match host name "db.third.test"' "$(by_name db.third.test "$only")"
	has "SNI, $version: who says no name: the same" 'does not match host name "db.second.test"' "$(by_name db.second.test "$only sslsni=0")"
done
# shown NAME ARGS...: the certificate's name, and whether the session was taken up again.
shown() {
	local name=$1
	shift
	(until_true 30 [ -s "$WORK_DIR/ticket" ] && echo) | openssl s_client -connect "127.0.0.1:$PORT" -starttls postgres \
		-servername "$name" "$@" 2>/dev/null | tr -d '\0' | sed -n 's/^subject=CN = //p; s/^\(New\|Reused\), TLS.*/\1/p' | tr '\n' ' '
}
is 'SNI: a session' 'second New ' "$(shown a.second.test -sess_out "$WORK_DIR/ticket")"
is '... is taken up again' 'second Reused ' "$(shown a.second.test -sess_in "$WORK_DIR/ticket")"
pooler_stop 'SNI: ends well'
t() { "$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1; }
sed -i "s|, $C/second.key|, $C/strict.key|" "$WORK_DIR/pgdrove.conf"
has 'SNI: a key of another certificate is told' "client_tls_key_file: $C/strict.key: the private key does not belong" "$(t)"
sed -i "s|, $C/strict.key|,|" "$WORK_DIR/pgdrove.conf"
has 'SNI: a name that is missing is told' 'client_tls_cert_file: '"$C/server.crt, $C/second.crt: a name is missing" "$(t)"
sed -i "s|key,\";|key\";|" "$WORK_DIR/pgdrove.conf"
has 'SNI: a key that is missing is told' 'as many are needed as there are certificates' "$(t)"
sed -i "s|, $C/second.crt||" "$WORK_DIR/pgdrove.conf"

# A certificate whose signature has no hash: there is nothing to bind to.
openssl genpkey -algorithm ED25519 -out "$C/ed.key" 2>/dev/null
openssl req -x509 -new -key "$C/ed.key" -subj /CN=localhost -days 30 -out "$C/ed.crt" 2>/dev/null
own_file "$C/ed.key"
sed -i "s|$C/server\.|$C/ed.|" "$WORK_DIR/pgdrove.conf"
pooler_start
refused_unbound 'an Ed25519 certificate' "our certificate's signature has no hash" strict "sslrootcert=$C/ed.crt"
pooler_stop 'ends well, again'

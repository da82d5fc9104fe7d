#!/usr/bin/env bash
#
# cert: client certificates, by name, by map and besides a password; SCRAM bound to the channel.

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
own_file "$C"/*.key
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
	hostnossl app bound all scram-sha-256
HBA
printf 'm anna mapped\nd /O=test$ dn\n' >"$WORK_DIR/ident"
MORE_USERS=', { name = "bound"; password = "pw b"; }, { name = "strict"; password = "pw s"; }'
pooler_conf <<-CONF
	workers = 2;
	auth_type = "hba";
	auth_hba_file = "$WORK_DIR/hba";
	auth_ident_file = "$WORK_DIR/ident";
	client_tls_sslmode = "prefer";
	client_tls_key_file = "$C/server.key";
	client_tls_cert_file = "$C/server.crt";
	client_tls_ca_file = "$C/ca.crt";
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
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
has 'clientcert=verify-full: none' 'connection requires a valid client certificate' "$(login strict -)"
PGPASSWORD=x
has '... and a wrong password' 'password authentication failed' "$(login strict strict)"
PGPASSWORD='pw b'
is 'SCRAM-SHA-256-PLUS' bound "$(login bound - channel_binding=require)"
is 'the client may do without' bound "$(login bound - channel_binding=disable)"
has 'without TLS it is not offered' 'channel binding' "$(login bound - 'channel_binding=require sslmode=disable')"
is 'without TLS, without binding' bound "$(login bound - sslmode=disable)"
pooler_stop 'ends well'

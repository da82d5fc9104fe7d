#!/usr/bin/env bash
#
# secrets: none of them is in a core dump of master, worker or steward: passwords (in clear, stored or typed in),
# verifiers, SCRAM keys, private keys of both TLS sides. Looked for in all memory that is not left out of dumps,
# after logins of every kind, after a reload, and after an upgrade that sessions move in.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin secrets
cp "$BIN" "$WORK_DIR/pgdrove" # it must find itself again for the upgrade
own_file "$WORK_DIR/pgdrove"
chmod 755 "$WORK_DIR" "$WORK_DIR/pgdrove"
BIN=$WORK_DIR/pgdrove
unset PGPASSWORD # pgdrove would have it in its environment
admin_sql "create role typed login password 'typed-in-clear-7101'"
admin_sql "create role looked login password 'looked-up-7102'"
admin_sql "create role asker login superuser password 'asker-inline-7103'"
admin_sql "create role listed login password 'listed-in-file-7104'"
admin_sql "create role inline login password 'inline-plain-7105'"
admin_sql "create role forced login password 'forced-of-database-7106'"
admin_sql "create role crypt login password 'never-stored-7107'"
verifier() { admin_sql "select rolpassword from pg_authid where rolname = '$1'"; }
CRYPT=$(verifier crypt) TYPED=$(verifier typed)
e2e_ca ca
e2e_cert ec ca /CN=localhost
e2e_cert shown ca /CN=forced
C=$CERTS
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$C/rsa.key" 2>/dev/null
openssl req -x509 -new -key "$C/rsa.key" -subj /CN=localhost -days 30 -out "$C/rsa.crt" 2>/dev/null
own_file "$C/rsa.key"
cluster_cert ec
cat >"$WORK_DIR/data/pg_hba.conf" <<-HBA
	local all all trust
	hostnossl all typed,inline all password
	host all all all scram-sha-256
HBA
admin_sql 'select pg_reload_conf()' >/dev/null
cat >"$WORK_DIR/hba" <<-HBA
	host    all typed          all password
	host    all listed         all md5
	host    all nobody         all ldap ldapserver=127.0.0.1 ldapbasedn=dc=a ldapbinddn=cn=b ldapbindpasswd=of-a-rule-7108
	host    all all            all scram-sha-256
HBA
printf '"listed" "listed-in-file-7104"\n"typed" "%s"\n' "$TYPED" | auth_file
own_file "$WORK_DIR/hba"
MORE_USERS=', { name = "asker"; password = "asker-inline-7103"; }, { name = "inline"; password = "inline-plain-7105"; },
	{ name = "crypt"; password = "'$CRYPT'"; }'
PG_PASSWORD=placeholder-7199 pooler_conf <<-CONF
	workers = 1;
	pool_mode = "transaction"; # a backend by TLS would keep its client from moving
	auth_type = "hba";
	auth_hba_file = "$WORK_DIR/hba";
	auth_file = "$WORK_DIR/users.txt";
	auth_user = "asker";
	$(client_tls prefer ec)
	server_tls_sslmode = "prefer";
	server_tls_key_file = "$C/shown.key";
	server_tls_cert_file = "$C/shown.crt";
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; },
		{ name = "clear"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; server_tls_sslmode = "disable"; },
		{ name = "forced"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; user = "forced";
		  password = "forced-of-database-7106"; } );
CONF
RSA_PORT=$(port_free)
sed -i "s|^listen = .*|listen = ( { host = \"127.0.0.1\"; port = $PORT; }, { host = \"127.0.0.1\"; port = $RSA_PORT; client_tls_key_file = \"$C/rsa.key\"; client_tls_cert_file = \"$C/rsa.crt\"; } );|" "$WORK_DIR/pgdrove.conf"

# Private numbers of a key, as hex. SCRAM keys are computed from the password and the verifier's salt.
key_hex() { openssl pkey -in "$1" -noout -text 2>/dev/null | sed -n "/^$2/,/^[a-zA-Z]/p" | grep '^ ' | tr -d ' :\n' | sed 's/^00//'; }
hmac() { printf '%s' "$2" | openssl dgst -sha256 -mac hmac -macopt "hexkey:$1" -r | cut -c 1-64; }
scram_key() {
	local salted
	salted=$(openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt "pass:$2" \
		-kdfopt "hexsalt:$(cut -d '$' -f 2 <<<"$1" | cut -d : -f 2 | base64 -d | od -An -tx1 | tr -d ' \n')" \
		-kdfopt iter:4096 PBKDF2 | tr -d ':\n' | tr A-F a-f)
	hmac "$salted" "$3"
}
{
	for text in typed-in-clear-7101 looked-up-7102 asker-inline-7103 listed-in-file-7104 inline-plain-7105 \
		forced-of-database-7106 never-stored-7107 of-a-rule-7108 placeholder-7199; do
		echo "password:$text text $text"
	done
	echo "verifier:crypt text ${CRYPT#*\$*\$}"
	echo "verifier:typed text ${TYPED#*\$*\$}"
	for name in ec shown; do echo "key:$name hex $(key_hex "$C/$name.key" priv)"; done
	for name in privateExponent prime1 prime2 exponent1 coefficient; do
		echo "rsa:$name hex $(key_hex "$C/rsa.key" $name)"
	done
	for name in ec shown rsa; do
		sed -n 3p "$C/$name.key" | sed "s/^/pem:$name text /"
	done
	echo "scram:crypt hex $(scram_key "$CRYPT" never-stored-7107 'Client Key')"
	echo "scram:typed hex $(scram_key "$TYPED" typed-in-clear-7101 'Client Key')"
	echo "server-key:crypt hex $(scram_key "$CRYPT" never-stored-7107 'Server Key')"
	echo "control:name text auth_hba_file"
} >"$WORK_DIR/needles"
is 'the keys are what they should be' 0 "$(grep -cE ' (hex|text) *$' "$WORK_DIR/needles")"

pooler_start
# as USER PASSWORD DB [MORE]
as() { PGPASSWORD=$2 "$PG_BIN/psql" -X -q -A -t -w "host=127.0.0.1 port=$PORT user=$1 dbname=$3 ${4:-}" -c 'select current_user' 2>&1; }
logins() {
	local tls
	for tls in disable require; do
		is "typed, $tls" typed "$(as typed typed-in-clear-7101 clear sslmode=$tls)"
		is "listed, $tls" listed "$(as listed listed-in-file-7104 app sslmode=$tls)"
		is "inline, $tls" inline "$(as inline inline-plain-7105 clear sslmode=$tls)"
		is "looked up, $tls" looked "$(as looked looked-up-7102 app sslmode=$tls)"
		is "forced, $tls" forced "$(as crypt never-stored-7107 forced sslmode=$tls)"
		is "pass-through, $tls" crypt "$(as crypt never-stored-7107 app sslmode=$tls)"
	done
	is 'by RSA' crypt "$(as crypt never-stored-7107 app "port=$RSA_PORT sslmode=require")"
	has 'a wrong one' 'password authentication failed' "$(as typed typed-in-clear-7101-not clear)"
}

# each_process COMMAND...: with the pid of each behind it. Not with AddressSanitizer: there are no dumps then, and
# secrets lie on its heap, where faults are seen.
each_process() {
	local pid
	[ -z "$ASAN" ] || return 0
	for pid in $POOLER $(pid_children "$POOLER"); do "$@" "$pid"; done
}
# dump_holds_none WHEN PID
dump_holds_none() {
	local name found
	name=$(tr '\0' ' ' <"/proc/$2/cmdline" | sed 's/pgdrove: \([a-z]*\).*/\1/')
	found=$("$TOOLS/tool_core" "$2" <"$WORK_DIR/needles")
	is "$1: $name: nothing but the name of an option" control:name "$(cut -d ' ' -f 1 <<<"$found" | sort -u | tr '\n' ' ' | sed 's/ $//')"
	[ "$found" = "${found#*$'\n'}" ] || echo "$found"
}
logins
each_process dump_holds_none 'after logins'
check 'a reload' pooler_reload
logins
each_process dump_holds_none 'after a reload'
# What is left out does hold them: the search has teeth.
vault_holds() { check 'the vault holds what is hidden' grep -q 'password:inline-plain-7105' <("$TOOLS/tool_core" -a "$1" <"$WORK_DIR/needles"); }
each_process vault_holds

# Sessions go to a new generation, with what their pools log in by: a password that was typed in, a client's key.
# session USER PASSWORD DB: stays; it is spoken to by session_says USER SQL.
session() {
	local fd
	mkfifo "$WORK_DIR/$1.in"
	# shellcheck disable=SC2034
	exec {fd}<>"$WORK_DIR/$1.in" # so that it never ends
	PGPASSWORD=$2 beside "$PG_BIN/psql" -X -q -A -t -w -f "$WORK_DIR/$1.in" \
		"host=127.0.0.1 port=$PORT user=$1 dbname=$3 sslmode=disable" >"$WORK_DIR/$1.out" 2>&1
}
answered() { [ "$(tail -n 1 "$WORK_DIR/$1.out")" = "$2" ]; }
session_says() {
	echo "$2" >"$WORK_DIR/$1.in"
	within "$3" 20 answered "$1" "$4"
}
session typed typed-in-clear-7101 clear
session crypt never-stored-7107 app
session_says typed "select 'one', current_user;" 'a session by password' 'one|typed'
session_says crypt "select 'one', current_user;" 'a session by SCRAM' 'one|crypt'
old=$POOLER
kill -USR2 "$old"
not_old() { POOLER=$(cat "$WORK_DIR/run/pgdrove.pid" 2>/dev/null) && [ -n "$POOLER" ] && [ "$POOLER" != "$old" ]; }
within 'a new generation' 60 not_old
within '... and the old one is gone' 30 pid_gone "$old" 100
session_says typed "select 'two', current_user;" 'the session by password goes on' 'two|typed'
session_says crypt "select 'two', current_user;" 'the session by SCRAM goes on' 'two|crypt'
is 'both have moved' 2 "$(get clients_received)"
each_process dump_holds_none 'after an upgrade'
logins
each_process dump_holds_none 'after an upgrade and logins'
for user in typed crypt; do echo '\q' >"$WORK_DIR/$user.in"; done
kill -TERM "$POOLER"
check 'it stops' pid_gone "$POOLER" 30000
wait "$old" 2>/dev/null
POOLER=

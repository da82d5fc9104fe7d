#!/usr/bin/env bash
#
# external: PAM and LDAP: right and wrong passwords, servers that are away, helpers that hang or
# die, nobody else waits; auth_failure_limit. PAM needs root (a file in /etc/pam.d), LDAP Debian's
# slapd, which runs here on a port and with a directory of its own.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin external scram-sha-256
admin_sql "create role anna login password 'pw a'; create role bert login password 'pw b'; create role slow login password 'pw s'"

# external_conf AUTH_TYPE [MORE]
external_conf() {
	pooler_conf <<-CONF
		workers = 2;
		pool_mode = "transaction";
		server_login_retry = "100ms";
		auth_type = "$1";
		databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
		${2:-}
	CONF
}
# login USER PASSWORD: the user's name at PostgreSQL, or what psql complains of.
login() {
	PGPASSWORD=$2 "$PG_BIN/psql" -X -q -A -t -w -h 127.0.0.1 -p "$PORT" -U "$1" -d app -c 'select current_user' 2>&1
}
helpers() { pgrep -P "$(get worker.0.pid),$(get worker.1.pid)" | wc -l; }
built() { "$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1 | grep -q 'is valid'; }

# --- PAM ------------------------------------------------------------------------------------------------

service=pgdrove-test-$$
pam_end() { rm -f "/etc/pam.d/$service"; }
pam_begin() {
	trap 'pam_end; e2e_end' EXIT
	cat >"$WORK_DIR/judge" <<-SCRIPT
		#!/bin/sh
		password=\$(tr -d '\\0')
		case \$PAM_USER in
		slow) sleep 60 ;;
		crash) kill -9 \$PPID ;;
		esac
		[ "\$PAM_USER \$PAM_RHOST \$password" = "anna 127.0.0.1 pw a" ]
	SCRIPT
	chmod 0755 "$WORK_DIR/judge"
	cat >"/etc/pam.d/$service" <<-PAM
		auth required pam_exec.so quiet expose_authtok $WORK_DIR/judge
		account required pam_permit.so
	PAM
}

external_conf pam "auth_pam_service = \"$service\"; client_login_timeout = \"10s\"; auth_helpers = 1;"
if [ "$(id -u)" != 0 ]; then
	echo 'ok PAM is left out: it needs root'
elif ! built; then
	has 'built without PAM: -t says so' 'built without PAM' "$("$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1)"
else
	pam_begin
	pooler_start
	is 'PAM: a right password, good for PostgreSQL too' anna "$(login anna 'pw a')"
	has 'PAM: a wrong one' 'PAM authentication failed for user "anna"' "$(login anna x)"
	check '... the log says why' log_has 'for user "anna" \(28000\): pam_authenticate: '
	has 'PAM: another user' 'PAM authentication failed for user "bert"' "$(login bert 'pw b')"
	for _ in 1 2 3 4 5 6 7 8 9; do login anna 'pw a'; done >"$WORK_DIR/many"
	is 'PAM: one after another' 9 "$(grep -cx anna "$WORK_DIR/many")"
	is 'PAM: helpers are used again' yes "$([ "$(helpers)" -le 2 ] && echo yes)"
	has 'PAM: a helper that dies' 'PAM authentication failed for user "crash"' "$(login crash x)"
	check '... the log says so' log_has 'auth helper [0-9]+: it has ended'
	is '... and is replaced' anna "$(login anna 'pw a')"
	beside login slow 'pw s' >"$WORK_DIR/slow.1"
	one=$BESIDE
	beside login slow 'pw s' >"$WORK_DIR/slow.2"
	wait "$one" "$BESIDE"
	has 'PAM: client_login_timeout counts' 'client_login_timeout' "$(cat "$WORK_DIR/slow.1" "$WORK_DIR/slow.2")"
	comes_again() { [ "$(login anna 'pw a')" = anna ]; }
	within 'PAM: helpers that hang are replaced' 30 comes_again
	is 'PAM: no password in the log' 0 "$(grep -c 'pw [abs]' "$WORK_DIR/pgdrove.log")"
	mapfile -t ours < <(pgrep -P "$(get worker.0.pid),$(get worker.1.pid)")
	pooler_stop 'PAM: ends well'
	none_stays() { ! kill -0 "${ours[@]}" 2>/dev/null; }
	within 'PAM: no helper stays' 10 none_stays
	sed -i "s/$service/$service-none/" "$WORK_DIR/pgdrove.conf"
	pooler_start
	has 'PAM: a service that does not exist' 'PAM authentication failed' "$(login anna 'pw a')"
	pooler_stop 'PAM: ends well without a service'
fi

# --- LDAP -----------------------------------------------------------------------------------------------

slapd_start() {
	LDAP_PORT=$(port_free)
	mkdir -p "$WORK_DIR/ldap/db"
	cat >"$WORK_DIR/ldap/slapd.conf" <<-CONF
		include /etc/ldap/schema/core.schema
		database ldif
		suffix "dc=test"
		rootdn "cn=root,dc=test"
		rootpw root
		directory $WORK_DIR/ldap/db
		access to attrs=userPassword by anonymous auth
		access to * by dn.exact="uid=reader,dc=test" read
	CONF
	cat >"$WORK_DIR/ldap/tree" <<-LDIF
		dn: dc=test
		objectClass: dcObject
		objectClass: organization
		dc: test
		o: test

	LDIF
	for who in 'anna pw a' 'bert pw b' 'reader pw r' 'twin pw 1'; do
		printf 'dn: uid=%s,dc=test\nobjectClass: person\nobjectClass: uidObject\nuid: %s\ncn: %s\nsn: x\nuserPassword: %s\n\n' \
			"${who%% *}" "${who%% *}" "$([ "${who%% *}" = twin ] && echo anna || echo "${who%% *}")" "${who#* }"
	done >>"$WORK_DIR/ldap/tree"
	/usr/sbin/slapadd -f "$WORK_DIR/ldap/slapd.conf" -l "$WORK_DIR/ldap/tree" >"$WORK_DIR/slapd.log" 2>&1 || return
	[ -z "$SERVICE_USER" ] || chown -R "$SERVICE_USER" "$WORK_DIR/ldap"
	slapd_again
}
slapd_again() {
	beside "${RUN_AS[@]}" /usr/sbin/slapd -d 0 -h "ldap://127.0.0.1:$LDAP_PORT" -f "$WORK_DIR/ldap/slapd.conf" >>"$WORK_DIR/slapd.log" 2>&1
	SLAPD=$BESIDE
	until_true 20 port_open "$LDAP_PORT"
}
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

simple='ldapprefix=\"uid=\" ldapsuffix=\",dc=test\"'
LDAP_PORT=1
external_conf ldap "auth_ldap_options = \"ldapserver=127.0.0.1 ldapport=1 $simple\";"
if ! built; then
	has 'built without LDAP: -t says so' 'built without LDAP' "$("$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1)"
elif [ ! -x /usr/sbin/slapd ]; then
	echo 'ok LDAP is left out: slapd is not installed'
else
	slapd_start || not_ok 'slapd starts' "$(tail -n 3 "$WORK_DIR/slapd.log")"
	external_conf ldap "auth_ldap_options = \"ldapserver=127.0.0.1 ldapport=$LDAP_PORT $simple\";"
	pooler_start
	is 'LDAP: simple bind' anna "$(login anna 'pw a')"
	has 'LDAP: a wrong password' 'LDAP authentication failed for user "anna"' "$(login anna x)"
	check '... the log says why' log_has 'for user "anna" \(28000\): bind as "uid=anna,dc=test": Invalid credentials'
	has 'LDAP: no such user' 'LDAP authentication failed for user "nobody"' "$(login nobody x)"
	has 'LDAP: a name that would be a DN' 'LDAP authentication failed' "$(login 'anna,ou=x' 'pw a')"
	check '... the log says why' log_has 'characters that LDAP gives a meaning'
	has 'LDAP: an empty password is no anonymous bind' 'password' "$(login anna '')"
	kill -TERM "$SLAPD"
	wait "$SLAPD" 2>/dev/null
	has 'LDAP: the server is away' 'LDAP authentication failed' "$(login anna 'pw a')"
	check '... the log says so' log_has "LDAP for user \"anna\": ldap://127.0.0.1:$LDAP_PORT|Can't contact LDAP server"
	slapd_again
	is 'LDAP: it is there again' anna "$(login anna 'pw a')"
	pooler_stop 'LDAP: ends well'

	# Buffers may be larger than what a helper can be asked.
	external_conf ldap "auth_ldap_options = \"ldapserver=127.0.0.1 ldapport=$LDAP_PORT $simple\"; pkt_buf = \"64kB\";"
	pooler_start
	has 'LDAP: a password longer than any' 'the password is too long' "$(login anna "$(printf '%40000s' x)")"
	check '... the log says so' log_has 'the password is too long \(28000\): longer than any'
	pooler_stop 'LDAP: a long one: ends well'

	# By rules, with a search.
	cat >"$WORK_DIR/hba" <<-HBA
		host all anna 127.0.0.0/8 ldap ldapserver="none.invalid 127.0.0.1" ldapport=$LDAP_PORT ldapbasedn="dc=test" ldapbinddn="uid=reader,dc=test" ldapbindpasswd="pw r"
		host all bert all ldap ldapurl="ldap://127.0.0.1:$LDAP_PORT/dc=test?cn?sub" ldapbinddn="uid=reader,dc=test" ldapbindpasswd="pw r"
		host all slow all ldap ldapserver=127.0.0.1 ldapport=$LDAP_PORT ldapbasedn="dc=test" ldapsearchfilter="(|(cn=\$username)(cn=anna))" ldapbinddn="uid=reader,dc=test" ldapbindpasswd="pw r"
		host all all  all ldap ldapserver=127.0.0.1 ldapport=$LDAP_PORT ldapbasedn="dc=test" ldapbinddn="uid=reader,dc=test" ldapbindpasswd=wrong
	HBA
	external_conf hba "auth_hba_file = \"$WORK_DIR/hba\"; auth_failure_limit = 3;"
	pooler_start
	is 'LDAP: search and bind, the second server' anna "$(login anna 'pw a')"
	is 'LDAP: by URL' bert "$(login bert 'pw b')"
	has 'LDAP: a search that finds several' 'LDAP authentication failed for user "slow"' "$(login slow x)"
	check '... the log says so' log_has 'several entries match'
	has 'LDAP: a search that may not' 'LDAP authentication failed for user "carl"' "$(login carl x)"
	check '... the log says so' log_has 'bind for the search: Invalid credentials'
	has 'LDAP: a wrong password after a search' 'LDAP authentication failed for user "bert"' "$(login bert x)"
	has 'auth_failure_limit: one more may fail' 'LDAP authentication failed for user "bert"' "$(login bert x)"
	# One is forgotten every 20 s: they do not count where those above have taken that long.
	for _ in 1 2 3 4 5 6; do ! get_is auth_blocked 0 || login bert x >"$WORK_DIR/out"; done
	blocked=$(get auth_blocked)
	has 'auth_failure_limit: then nobody from there is heard' 'too many failed logins from this address' "$(login anna 'pw a')"
	has '... with a hint' 'Try again in' "$(login anna 'pw a')"
	is 'auth_blocked counts' $((blocked + 2)) "$(get auth_blocked)"
	is 'LDAP: no password in the log' 0 "$(grep -c 'pw [abr]' "$WORK_DIR/pgdrove.log")"
	pooler_stop 'LDAP: rules: ends well'
fi
t() { "$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1; }
if built; then
	external_conf ldap 'auth_ldap_options = "ldapserver=a ldapprefix=x ldapbasedn=y";'
	has 'options that exclude each other are told' 'auth_ldap_options: ldapprefix and ldapsuffix exclude' "$(t)"
	external_conf ldap 'auth_ldap_options = "ldapserver=a ldapprefixx=x";'
	has 'an unknown option is told' 'auth_ldap_options: unknown option' "$(t)"
	external_conf hba "auth_hba_file = \"$WORK_DIR/hba\";"
	echo 'host all all all pam ldapserver=x' >"$WORK_DIR/hba"
	has 'an option of another method is told' "$WORK_DIR/hba:1: pam has the options pamservice" "$(t)"
fi

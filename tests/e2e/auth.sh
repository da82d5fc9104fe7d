#!/usr/bin/env bash
#
# auth: how clients prove who they are: every method against every kind of stored secret and every
# method of PostgreSQL's; refusals with their SQLSTATE and the true reason in the log; peer.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin auth scram-sha-256
# PostgreSQL's method by the name's first letter: md5, clear text, SCRAM.
cat >"$WORK_DIR/data/pg_hba.conf" <<-HBA
	local all all trust
	host all m_plain,m_md5 all md5
	host all c_plain,c_verifier all password
	host all all all scram-sha-256
HBA
admin_sql "set password_encryption = 'md5'; create role m_plain login password 'pw m'; create role m_md5 login password 'pw m'"
admin_sql "create role s_plain login password 'pw s'; create role s_verifier login password 'pw s'; create role s_md5 login password 'pw s'"
admin_sql "create role s_fast login password 'pw s'; create role s_other login password 'pw s'; create role c_plain login password 'pw c'; create role c_verifier login password 'pw c'"
admin_sql 'select pg_reload_conf()' >/dev/null

verifier() { admin_sql "select rolpassword from pg_authid where rolname = '$1'"; }
md5_of() { printf 'md5%s' "$(printf '%s%s' "$2" "$1" | md5sum | cut -c 1-32)"; }
# Another salt than PostgreSQL's: good for logging in here, not for going on there.
other=$(admin_sql "create role other login password 'pw s'" && verifier other)
auth_file <<-USERS
	; what PgBouncer reads, too
	"m_plain" "pw m"
	"m_md5" "$(verifier m_md5)"
	"s_plain" "pw s" anything
	"s_verifier" "$(verifier s_verifier)"
	"s_fast" "$(verifier s_fast)"
	"s_md5" "$(md5_of s_md5 'pw s')"
	"s_other" "$other"
	"c_plain" "pw c"
	"c_verifier" "$(verifier c_verifier)"
	"empty" ""
	"quo""ted" "x""y"
USERS

# auth_conf AUTH_TYPE [MORE]
auth_conf() {
	pooler_conf <<-CONF
		workers = 2;
		pool_mode = "transaction";
		pool_size = 3;
		server_login_retry = "100ms";
		auth_type = "$1";
		auth_file = "$WORK_DIR/users.txt";
		databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
		${2:-}
	CONF
	# $WORK_DIR/run is the account's, so that a socket can be made there
	mkdir -p "$WORK_DIR/run"
	own_file "$WORK_DIR/run"
	sed -i "s|^listen = .*|listen = ( { host = \"127.0.0.1\"; port = $PORT; }, { path = \"$WORK_DIR/run\"; port = $PORT; } );|" "$WORK_DIR/pgdrove.conf"
}
# login USER PASSWORD [DB] [HOST]: the user's name at PostgreSQL, or what psql complains of.
login() {
	PGPASSWORD=$2 "$PG_BIN/psql" -X -q -A -t -w -h "${4:-127.0.0.1}" -p "$PORT" -U "$1" -d "${3:-app}" \
		-v VERBOSITY=verbose -c 'select current_user' 2>&1
}
# comes USER PASSWORD; stays_out USER PASSWORD TEXT; server_refuses USER PASSWORD
comes() { is "$method: $1 comes in" "$1" "$(login "$1" "$2")"; }
stays_out() {
	has "$method: $1 with '$2' stays out" "password authentication failed for user \"$1\"" "$(login "$1" "$2")"
	check "$method: ... the log says: $3" log_has "refused: password authentication failed for user \"$1\" \(28P01\): $3"
}

for method in password md5 scram-sha-256; do
	: >"$WORK_DIR/pgdrove.log"
	auth_conf "$method"
	pooler_start
	comes m_plain 'pw m'
	comes s_plain 'pw s'
	comes s_plain 'pw s'
	comes c_plain 'pw c'
	comes s_verifier 'pw s'
	if [ "$method" != scram-sha-256 ]; then
		comes m_md5 'pw m'
	else
		stays_out m_md5 'pw m' 'an MD5 hash is stored'
	fi
	# These are good here, and PostgreSQL wants more than what is stored: it is there only after a login
	# in clear text.
	if [ "$method" = password ]; then
		comes s_md5 'pw s'
		comes s_other 'pw s'
		comes c_verifier 'pw c'
	else
		[ "$method" = scram-sha-256 ] || has "$method: s_md5 fails at PostgreSQL" \
			'no client has logged in with the verifier' "$(login s_md5 'pw s')"
		has "$method: s_other fails at PostgreSQL" 'no client has logged in with the verifier' "$(login s_other 'pw s')"
		has "$method: c_verifier fails at PostgreSQL" 'only a SCRAM verifier is known' "$(login c_verifier 'pw c')"
	fi
	stays_out m_plain 'pw' 'wrong password'
	stays_out s_plain 'pw m' 'wrong password'
	stays_out s_verifier 'pw S' 'wrong password'
	stays_out nobody 'pw s' 'no such user'
	stays_out empty ' ' 'no password is known'
	has "$method: a wrong password before a wrong database" 'password authentication failed' "$(login s_plain x none)"
	has "$method: a right one: 3D000" 'no such database: none' "$(login s_plain 'pw s' none)"
	is "$method: auth_failures counts" yes "$([ "$(get auth_failures)" -ge 6 ] && echo yes)"
	is "$method: no secret in the log" 0 "$(grep -cE 'pw [msc]|SCRAM-SHA-256\$|md5[0-9a-f]{32}' "$WORK_DIR/pgdrove.log")"
	pooler_stop "$method: ends well"
done

# By verifier alone a pool fills, also after the backends are gone: the key stays.
method=pass-through
none_left() { get_is backends 0 && backends_are 0 "usename = 's_verifier'"; } # as pgdrove sees it, too
auth_conf scram-sha-256
pooler_start
comes s_verifier 'pw s'
admin_sql "select pg_terminate_backend(pid) from pg_stat_activity where usename = 's_verifier'" >/dev/null
within 'its backends are gone' 10 none_left
comes s_verifier 'pw s'
# The key that one worker was shown logs in for clients of all: eight sessions by trust, for whom nobody proves anything.
cat >"$WORK_DIR/hba" <<-HBA
	host app   all all scram-sha-256
	host trust all all trust
HBA
own_file "$WORK_DIR/hba"
pooler_stop 'pass-through: ends'
auth_conf hba "auth_hba_file = \"$WORK_DIR/hba\";"
sed -i 's|^databases = ( |&{ name = "trust"; host = "127.0.0.1"; port = '"$PG_PORT"'; dbname = "app"; pool_size = 8; }, |' "$WORK_DIR/pgdrove.conf"
pooler_start
has 'pass-through: nobody has shown the key yet' 'no client has logged in with the verifier' "$(login s_verifier x trust)"
comes s_verifier 'pw s'
CROWD_USER=s_verifier crowd_start eight trust
crowd eight 'open 8'
is 'pass-through: eight sessions' '8 0' "$A $B"
crowd eight 'query begin'
both_have() { [ "$(get worker.0.clients)" -ge 2 ] && [ "$(get worker.1.clients)" -ge 2 ]; }
within '... of both workers' 10 both_have
within '... with a backend each' 10 backends_are 8 "usename = 's_verifier' and state = 'idle in transaction'"
crowd_tell eight end
admin_sql "alter role s_verifier password 'changed'"
admin_sql "select pg_terminate_backend(pid) from pg_stat_activity where usename = 's_verifier'" >/dev/null
within 'they are gone' 10 none_left
has 'a password changed at PostgreSQL: told' 'no client has logged in with the verifier' "$(login s_verifier 'pw s')"
pooler_stop 'pass-through: ends well'

# A login that takes long to check delays nobody: the worker goes on with others meanwhile.
method=slow
auth_conf scram-sha-256 'scram_iterations = 1000000;'
sed -i 's/workers = 2;/workers = 1;/' "$WORK_DIR/pgdrove.conf"
pooler_start
comes s_fast 'pw s' # its keys are stored, and cost nothing
for i in 1 2 3; do
	beside login s_plain "wrong $i" >"$WORK_DIR/slow.$i"
	slow=$BESIDE others=0
	while kill -0 "$slow" 2>/dev/null; do
		[ "$(login s_fast 'pw s')" = s_fast ] && others=$((others + 1))
		[ "$i" = 1 ] || break # derived by now, once for all
	done
	[ "$i" != 1 ] || is 'slow: others log in while its keys are derived' yes "$([ "$others" -ge 3 ] && echo yes)"
	wait "$slow" 2>/dev/null
	has "slow: it is answered, $i" 'password authentication failed for user "s_plain"' "$(cat "$WORK_DIR/slow.$i")"
done
pooler_stop 'slow: ends well'

# Clients that break the protocol, and secrets that fit nothing: each refusal's SQLSTATE and true reason.
# raw_refused NAME USER STATE REASON PACKET...: packets after the startup packet, each without its length: a type and
# a body, as printf's escapes.
raw_refused() {
	local name=$1 user=$2 state=$3 reason=$4 fd body
	shift 4
	body="user\\0$user\\0database\\0app\\0\\0"
	exec {fd}<>"/dev/tcp/127.0.0.1/$PORT" || return
	# shellcheck disable=SC2059
	{
		printf "$(u32 $((8 + 5 + ${#user} + 1 + 9 + 3 + 2)))$(u32 196608)$body" >&"$fd"
		for body in "$@"; do
			head -c 1 <&"$fd" >"$WORK_DIR/asked" # it has been asked
			printf "${body:0:1}$(u32 $((4 + $(printf "${body:1}" | wc -c))))${body:1}" >&"$fd"
		done
	}
	is "$method: $name: $state" "C$state" "$(timeout 20 cat <&"$fd" | tr '\0' '\n' | grep -aE '^C[0-9A-Z]{5}$')"
	check "$method: ... the log says why" log_has "app/$user@.*\($state\): $reason"
	exec {fd}>&-
}
FIRST='SCRAM-SHA-256\0\0\0\0\x10n,,n=,r=abcdefgh'
for method in password scram-sha-256 trust; do
	: >"$WORK_DIR/pgdrove.log"
	auth_conf "$method"
	pooler_start
	case $method in
	password)
		raw_refused 'not a password' s_plain 08P01 'expected a password response' 'Qselect 1\0'
		raw_refused 'no end' s_plain 08P01 'malformed password packet' 'ppw'
		raw_refused 'an empty one' s_plain 28P01 'empty password' 'p\0'
		raw_refused 'an empty one is stored' empty 28P01 'no password is known for this user' 'px\0'
		;;
	trust)
		raw_refused 'an unknown user' stranger 28000 'it stands neither in users nor in auth_file'
		;;
	*)
		raw_refused 'another mechanism' s_fast 08P01 'the client selected an invalid SASL mechanism' 'pGSSAPI\0\0\0\0\0'
		raw_refused 'PLUS, which was not offered' s_fast 08P01 'the client selected an invalid' "pSCRAM-SHA-256-PLUS\\0${FIRST#*0}"
		raw_refused 'no client-first' s_fast 08P01 'malformed SASL message' 'pSCRAM-SHA-256\0\xff\xff\xff\xff'
		raw_refused 'a broken client-first' s_fast 08P01 'malformed SCRAM message' 'pSCRAM-SHA-256\0\0\0\0\x01x'
		raw_refused 'no binding here' s_fast 08P01 'the client binds a channel' \
			'pSCRAM-SHA-256\0\0\0\0\x25p=tls-server-end-point,,n=,r=abcdefgh'
		raw_refused 'another nonce' s_fast 08P01 'invalid SCRAM nonce' "p$FIRST" 'pc=biws,r=abcdefgh,p=AAAA'
		raw_refused 'a long client-final' s_fast 08P01 'malformed SCRAM message: too long' "p$FIRST" "p$(printf 'x%.0s' {1..1100})"
		raw_refused 'an empty one is stored' empty 08P01 'invalid SCRAM nonce' "p$FIRST" 'pc=biws,r=abcdefgh,p=AAAA'
		stays_out empty x 'no password is known for this user'
		;;
	esac
	pooler_stop "$method: ends well"
done

# peer: the account's name. reject: nobody.
account=$(id -un)
auth_conf peer "users = ( { name = \"$account\"; password = \"$PG_PASSWORD\"; } );"
sed -i '0,/^users = /{/^users = /d}' "$WORK_DIR/pgdrove.conf"
pooler_start
has 'peer: not by TCP' 'peer authentication needs a Unix socket' "$(login "$account" x)"
has 'peer: another name' 'peer authentication failed for user "s_plain"' "$(login s_plain x app "$WORK_DIR/run")"
check '... the log says: the account' log_has "\(28000\): the account is $account"
has 'peer: the own name goes through to PostgreSQL' 'password authentication failed for user "'"$account"'"' \
	"$(login "$account" x app "$WORK_DIR/run")"
pooler_stop 'peer: ends well'
auth_conf reject
pooler_start
has 'reject' 'login rejected' "$(login s_plain 'pw s')"
check '... the log says so' log_has '\(28000\): auth_type reject'
pooler_stop 'reject: ends well'

# hba: the first rule that fits; peer with a map; a wrong line refuses the file.
cat >"$WORK_DIR/hba" <<-HBA
	local  all     all                   peer map=m
	host   all     c_plain  all          reject
	host   app     m_plain  127.0.0.0/8  md5
	host   other   all      samehost     trust
	host   app     s_plain,s_verifier 127.0.0.1 255.255.255.255 scram-sha-256
	hostssl all    all      all          trust
HBA
printf "m %s s_plain\n" "$account" >"$WORK_DIR/ident"
auth_conf hba "auth_hba_file = \"$WORK_DIR/hba\"; auth_ident_file = \"$WORK_DIR/ident\";"
sed -i 's|^databases = ( |&{ name = "other"; host = "127.0.0.1"; port = '"$PG_PORT"'; dbname = "app"; }, |' "$WORK_DIR/pgdrove.conf"
pooler_start
is 'hba: peer with a map' s_plain "$(login s_plain x app "$WORK_DIR/run")"
has 'hba: ... not for others' 'peer authentication failed for user "s_verifier"' "$(login s_verifier x app "$WORK_DIR/run")"
has 'hba: reject' 'login rejected' "$(login c_plain 'pw c')"
check '... the log says: the line' log_has '\(28000\): line 2 of auth_hba_file'
is 'hba: md5' m_plain "$(login m_plain 'pw m')"
is 'hba: scram-sha-256' s_plain "$(login s_plain 'pw s')"
has 'hba: scram-sha-256, wrong password' 'password authentication failed' "$(login s_plain 'pw')"
is 'hba: trust' s_plain "$(login s_plain x other)"
has 'hba: no rule' 'no rule of auth_hba_file lets user "s_md5" into database "app" from here' "$(login s_md5 'pw s')"

# hba: what rules say of names and addresses, by clients of two addresses of ours.
printf 's_plain,\nm_plain\n' >"$WORK_DIR/names"
cat >"$WORK_DIR/hba" <<-HBA
	host sameuser      all     all                 scram-sha-256
	host host          all     samehost            trust
	host net           all     samenet             trust
	host /^shop_[0-9]+$ /_plain$ all               trust
	host listed        @names  all                 trust
	host mask          all     127.0.0.0 255.255.255.254 trust
	host bits          all     127.0.0.2/32        trust
	host all           all     all                 reject
HBA
own_file "$WORK_DIR/names" "$WORK_DIR/hba"
sed -i 's|{ name = "other"; |{ name = "*"; |' "$WORK_DIR/pgdrove.conf"
check 'hba: other rules by a reload' pooler_reload
# from ADDRESS USER DB: "in", or the words of the refusal.
from() {
	# shellcheck disable=SC2016
	perl -MIO::Socket::INET -e '
		my ($from, $port, $user, $db) = @ARGV;
		my $s = IO::Socket::INET->new(LocalAddr => $from, PeerAddr => "127.0.0.1", PeerPort => $port) or die;
		my $body = "user\0$user\0database\0$db\0\0";
		print $s pack("NN", 8 + length $body, 196608) . $body;
		alarm 30;
		while (length $got < 9 or $got =~ /^E/) { sysread($s, $got, 4096, length $got) or last }
		print $got =~ /^R\0\0\0\x08\0\0\0\0/ ? "in" : $got =~ /^R/ ? "asked" : $got =~ /\0M([^\0]*)/ ? $1 : "?";' "$1" "$PORT" "$2" "$3"
}
is 'hba: sameuser: is asked' asked "$(from 127.0.0.1 s_plain s_plain)"
is 'hba: sameuser: and comes in' s_plain "$(login s_plain 'pw s' s_plain)"
is 'hba: sameuser: not into others' 'login rejected' "$(from 127.0.0.1 s_plain m_plain)"
is 'hba: samehost: our own address' in "$(from 127.0.0.1 s_plain host)"
is 'hba: samehost: no other of our network' 'login rejected' "$(from 127.0.0.2 s_plain host)"
is 'hba: samenet: any of our network' in "$(from 127.0.0.2 s_plain net)"
is 'hba: a regular expression for both' in "$(from 127.0.0.1 c_plain shop_12)"
is 'hba: ... another database' 'login rejected' "$(from 127.0.0.1 c_plain shop_x)"
is 'hba: ... another user' 'login rejected' "$(from 127.0.0.1 s_fast shop_12)"
is 'hba: @file: a name in it' in "$(from 127.0.0.1 m_plain listed)"
is 'hba: @file: a name that is not' 'login rejected' "$(from 127.0.0.1 c_plain listed)"
is 'hba: a mask: within' in "$(from 127.0.0.1 s_plain mask)"
is 'hba: a mask: outside' 'login rejected' "$(from 127.0.0.2 s_plain mask)"
is 'hba: a prefix: within' in "$(from 127.0.0.2 s_plain bits)"
is 'hba: a prefix: outside' 'login rejected' "$(from 127.0.0.1 s_plain bits)"
printf 's_plain\n\0m_plain\n' >"$WORK_DIR/names"
has 'hba: a zero byte in an @file is told' "$WORK_DIR/hba:5: a zero byte in @names" "$("$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1)"
for rule in 'samerole all' 'all +s_plain'; do
	echo "host $rule all trust" >"$WORK_DIR/hba"
	has "hba: $rule: is told" 'membership of a role cannot be known here' "$("$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1)"
done
printf 'local all all peer map=m\nhost all all all gss\n' >"$WORK_DIR/hba"
has 'hba: a wrong line is told' "$WORK_DIR/hba:2: expected a method" "$("$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1)"
printf 'local all all peer map=none\n' >"$WORK_DIR/hba"
has 'hba: an unknown map is told' "$WORK_DIR/hba:1: map=none does not stand" "$("$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1)"
printf 'local all all md5\n' >"$WORK_DIR/hba"
pooler_stop 'hba: ends well'

# A broken auth_file is told by line; one that everybody can read is told, too.
printf '"a" "b"\n\n"c" d\n' >"$WORK_DIR/users.txt"
out=$("$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1)
has 'auth_file: the line of an error' "$WORK_DIR/users.txt:3: auth_file: expected a secret" "$out"
printf '"a" "b"\n' >"$WORK_DIR/users.txt"
chmod 0644 "$WORK_DIR/users.txt"
has 'auth_file: readable for everybody' 'users.txt holds passwords and everybody can read it' \
	"$("$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1)"

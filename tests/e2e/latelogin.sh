#!/usr/bin/env bash
#
# latelogin: client_login_timeout covers each phase of a login: clients that stop in one, all at the same time, each
# end in time and no sooner, and are told why where the protocol has a word for it. What PAM and LDAP are asked is
# external.sh's. And: a login that its client gives up costs no hashing any more.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

LIMIT_MS=4000
e2e_begin latelogin
e2e_ca ca
e2e_cert server ca /CN=localhost
cat >"$WORK_DIR/hba" <<-HBA
	host password all all password
	host md5      all all md5
	host scram    all all scram-sha-256
	host lookup   all all scram-sha-256
	host all      all all trust
HBA
# One that takes its time for a login.
mkfifo "$WORK_DIR/server.in"
"$TOOLS/tool_server" <"$WORK_DIR/server.in" >"$WORK_DIR/server.out" &
CHILDREN+=($!)
exec {SERVER}>"$WORK_DIR/server.in"
echo 'delay 60000' >&"$SERVER"
until_true 30 [ -s "$WORK_DIR/server.out" ]
MUTE=$(head -n 1 "$WORK_DIR/server.out" | tr -dc 0-9)

pooler_conf <<-CONF
	workers = 2;
	pool_mode = "transaction";
	auth_type = "hba";
	auth_hba_file = "$WORK_DIR/hba";
	client_login_timeout = "${LIMIT_MS}ms";
	$(client_tls prefer)
	auth_user = "postgres";
	auth_query = "select \$1::text, pg_sleep(60)::text";
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; },
		$(for name in password md5 scram lookup; do echo "{ name = \"$name\"; host = \"127.0.0.1\"; port = $PG_PORT; dbname = \"app\"; },"; done)
		{ name = "mute"; host = "127.0.0.1"; port = $MUTE; } );
CONF
PROXY_PORT=$(port_free)
sed -i "s|^listen = .*|listen = ( { host = \"127.0.0.1\"; port = $PORT; }, { host = \"127.0.0.1\"; port = $PROXY_PORT; proxy_protocol = \"127.0.0.0/8\"; } );|" \
	"$WORK_DIR/pgdrove.conf"
pooler_start

# startup DB USER [MORE]: the packet, as printf's escapes; MORE: \0name\0value.
startup() {
	local body="user\\0$2\\0database\\0$1${3:-}\\0\\0"
	# shellcheck disable=SC2059
	echo "$(u32 $((8 + $(printf "$body" | wc -c))))$(u32 196608)$body"
}
# message TYPE BODY
message() {
	# shellcheck disable=SC2059
	echo "$1$(u32 $((4 + $(printf "$2" | wc -c))))$2"
}
# stops NAME PORT [PACKET...]: one packet after the other, each when the one before was answered, then nothing. What
# came at last is in NAME.said, after how long in NAME.ms.
stops() {
	local name=$1 port=$2 start fd
	shift 2
	start=$(now_ms)
	exec {fd}<>"/dev/tcp/127.0.0.1/$port" || return
	while [ $# -gt 0 ]; do
		# shellcheck disable=SC2059
		printf "$1" >&"$fd"
		shift
		[ $# = 0 ] || head -c 1 <&"$fd" >/dev/null
	done
	timeout 60 cat <&"$fd" | tr '\0' ' ' >"$WORK_DIR/$name.said"
	echo $(($(now_ms) - start)) >"$WORK_DIR/$name.ms"
	exec {fd}>&-
}
# The same, within TLS.
stops_in_tls() {
	local start
	start=$(now_ms)
	mkfifo "$WORK_DIR/tls.in"
	exec {tls}<>"$WORK_DIR/tls.in" # at its end s_client would end
	timeout 60 openssl s_client -quiet -connect "127.0.0.1:$PORT" -starttls postgres <&"$tls" 2>/dev/null | tr '\0' ' ' >"$WORK_DIR/in_tls.said"
	echo $(($(now_ms) - start)) >"$WORK_DIR/in_tls.ms"
}

phases=() crowd=()
phase() {
	stops "$@" &
	phases+=("$1") crowd+=($!)
}
SSL_REQUEST=$(u32 8)$(u32 80877103)
SCRAM_FIRST=$(message p 'SCRAM-SHA-256\0\0\0\0\x10n,,n=,r=abcdefgh')
phase silence "$PORT"
phase half_a_startup_packet "$PORT" "$(startup app postgres | cut -c 1-40)"
phase half_a_proxy_header "$PROXY_PORT" 'PROXY TCP4 203.0.113.9'
phase behind_a_proxy_header "$PROXY_PORT" 'PROXY TCP4 203.0.113.9 192.0.2.1 4711 5432\r\n'
phase behind_SSLRequest "$PORT" "$SSL_REQUEST"
phase in_the_handshake "$PORT" "$SSL_REQUEST" '\x16\x03\x01\x02\x00'
phase password_asked "$PORT" "$(startup password postgres)"
phase half_a_password "$PORT" "$(startup password postgres)" 'p\x00\x00\x00\x20half'
phase md5_asked "$PORT" "$(startup md5 postgres)"
phase scram_asked "$PORT" "$(startup scram postgres)"
phase scram_begun "$PORT" "$(startup scram postgres)" "$SCRAM_FIRST"
phase an_unknown_name_scram_begun "$PORT" "$(startup scram nobody)" "$SCRAM_FIRST"
phase auth_query "$PORT" "$(startup lookup looked_up)"
phase the_server_s_login "$PORT" "$(startup mute postgres)"
phase the_server_s_login_for_replication "$PORT" "$(startup mute postgres '\0replication\0database')"
stops_in_tls &
crowd+=($!)
phases+=(in_tls)
wait "${crowd[@]}"
for name in "${phases[@]}"; do
	ms=$(cat "$WORK_DIR/$name.ms")
	check "$name: not before client_login_timeout ($ms ms)" [ "$ms" -ge $((LIMIT_MS - 100)) ]
	case $name in
	behind_SSLRequest | in_the_handshake) ;; # nothing can be said in clear any more
	*) has "... is told" 'SFATAL VFATAL C57014 Mclient_login_timeout' "$(cat "$WORK_DIR/$name.said")" ;;
	esac
	check '... in time' [ "$ms" -lt $((LIMIT_MS + 30000)) ]
done
is 'each was counted' "${#phases[@]}" "$(get login_timeouts)"
nobody_left() { get_is clients 0; }
within 'nobody of them is left' 30 nobody_left
is 'and it serves' 1 "$(sql app 'select 1')"
pooler_stop 'ends well'

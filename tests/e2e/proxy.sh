#!/usr/bin/env bash
#
# proxy: the PROXY protocol: the client's address decides, in both versions; only who is trusted is
# believed, and must say it; TLS or not, in pieces or at once.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin proxy
cat >"$WORK_DIR/hba" <<-HBA
	host app all 203.0.113.0/24 trust
	host app all 2001:db8::/32 trust
	host other all 127.0.0.1/32 trust
	host app all all reject
HBA
pooler_conf <<-CONF
	workers = 1;
	auth_type = "hba";
	auth_hba_file = "$WORK_DIR/hba";
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; },
		{ name = "other"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; } );
CONF
PLAIN=$(port_free)
while [ "$PLAIN" = "$PORT" ]; do PLAIN=$(port_free); done
sed -i "s|^listen = .*|listen = ( { host = \"127.0.0.1\"; port = $PORT; proxy_protocol = \"192.0.2.7, 127.0.0.0/8\"; }, { host = \"127.0.0.1\"; port = $PLAIN; proxy_protocol = \"192.0.2.0/24\"; } );|" "$WORK_DIR/pgdrove.conf"
sed -i 's/^log_connections.*/log_connections = true;/' "$WORK_DIR/pgdrove.conf"
pooler_start

# said HEADER DB [PORT]: what comes back to the header and a startup packet, as far as it is text.
said() {
	local fd body="user\\0postgres\\0database\\0$2\\0\\0"
	exec {fd}<>"/dev/tcp/127.0.0.1/${3:-$PORT}" || return
	# shellcheck disable=SC2059
	printf "$1" >&"$fd"
	[ -z "${PAUSE:-}" ] || sleep "$PAUSE"
	# shellcheck disable=SC2059
	printf "$(u32 $((8 + 5 + 9 + 9 + ${#2} + 1 + 1)))$(u32 196608)$body" >&"$fd"
	# shellcheck disable=SC2016
	timeout 60 perl -e 'while (sysread(STDIN, $b, 400)) { $s .= $b; last if $s =~ /server_version/ } print $s' <&"$fd" |
		tr -c '[:print:]' ' '
	exec {fd}>&-
}
v1='PROXY TCP4 203.0.113.9 192.0.2.1 4711 5432\r\n'
v2='\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x0a\xc0\x00\x02\x01\x12\x68\x15\x38'
v2_6='\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x12\x69\x15\x38'
local='\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00'

has 'version 1: the rule for that address lets in' 'server_version' "$(said "$v1" app)"
within '... the log has its address' 10 log_has 'client app/postgres@203.0.113.9:4711: logged in'
PAUSE=0.3
has 'version 1, the startup packet later' 'server_version' "$(said "$v1" app)"
PAUSE=
has 'version 2' 'server_version' "$(said "$v2" app)"
within '... the log has its address' 10 log_has 'client app/postgres@203.0.113.10:4712: logged in'
has 'version 2, IPv6' 'server_version' "$(said "$v2_6" app)"
within '... the log has its address' 10 log_has 'client app/postgres@2001:db8::1:4713: logged in'
has 'another address meets another rule' 'login rejected' "$(said 'PROXY TCP4 198.51.100.1 192.0.2.1 1 2\r\n' app)"
has 'LOCAL: the balancer itself' 'server_version' "$(said "$local" other)"
has 'UNKNOWN: the same' 'server_version' "$(said 'PROXY UNKNOWN\r\n' other)"
is 'no header: closed without a word' '' "$(said '' app)"
is 'a broken header: the same' '' "$(said 'PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n' app)"
within '... the log says so' 10 log_has 'client -/-@127.0.0.1:[0-9]+: closed: no header of the PROXY protocol'
not_believed=$(said "$v1" app "$PLAIN")
is 'from elsewhere a header is not believed' no "$([[ $not_believed == *server_version* ]] && echo yes || echo no)"
has '... and not asked for' 'server_version' "$(said '' other "$PLAIN")"
pooler_stop 'ends well'
t() { "$BIN" -t -c "$WORK_DIR/pgdrove.conf" 2>&1; }
sed -i 's|192.0.2.7, 127.0.0.0/8|192.0.2.7, 127.0.0.0/33|' "$WORK_DIR/pgdrove.conf"
has 'a wrong network is told' "proxy_protocol: the length of the network's prefix is wrong" "$(t)"

#!/usr/bin/env bash
#
# spread: 400 idle connections over 4 workers lie within 10% of even; and again after one worker was
# killed and its clients have come back.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

CLIENTS=400

e2e_begin spread
pooler_conf <<CONF
workers = 4;
pool_mode = "transaction";
pool_size = 8;
databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
CONF
pooler_start

# The four workers' clients.
spread() { for w in 0 1 2 3; do get "worker.$w.clients"; done; }

even() {
	local n all='' bad=''
	for n in $(spread); do
		all+=" $n"
		[ "$n" -ge $((CLIENTS * 9 / 40)) ] && [ "$n" -le $((CLIENTS * 11 / 40)) ] || bad=yes
	done
	if [ -z "$bad" ]; then ok "$1 ($all )"; else not_ok "$1" "$all"; fi
}

crowd_start idle app
crowd idle "open $CLIENTS"
is 'all connect' "$CLIENTS 0" "$A $B"
even 'within 10% of even'

victim=$(get worker.2.pid) own=$(get worker.2.clients)
kill -KILL "$victim"
within 'replaced' 30 worker_replaced 2 "$victim"
crowd idle look
is 'only the killed one'\''s clients are lost' "$((CLIENTS - own)) $own" "$A $B"
crowd idle refill
is 'they come back' "$own 0" "$A $B"
even 'within 10% of even after kill and reconnect'
crowd idle 'query select 1'
is 'all are served' "$CLIENTS 0 0" "$A $B $C"
pooler_stop 'ends well with 400 idle clients'

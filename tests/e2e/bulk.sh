#!/usr/bin/env bash
#
# bulk: what is larger than any buffer: COPY in and out, one huge value, statements of 50 MB (simple, unnamed and named
# ones), a reader that stops reading.
# The workers' memory must stay small all the while, and other clients must be served.
#
# BULK_MB: size of the COPY (1024 in a release build, less under a sanitizer, which is slow).

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin bulk
MB=${BULK_MB:-$([ -n "$ASAN" ] && echo 64 || echo 1024)}
VALUE_MB=$([ -n "$ASAN" ] && echo 32 || echo 256)
# A sanitizer's own memory is not what we ask about; there the growth is bounded instead.
pooler_conf < <(
	cat <<-CONF
		workers = 2;
		pool_mode = "transaction";
		pool_size = 4;
		databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	CONF
)
pooler_start
admin_sql 'create table big (line text); alter table big set unlogged' app

# The workers' largest peak of resident memory so far, MB.
peak_mb() {
	local w
	for w in 0 1; do awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$(get "worker.$w.pid")/status"; done |
		sort -n | tail -n 1
}
bound=$([ -n "$ASAN" ] && echo $(($(peak_mb) + 64)) || echo 64)

psql_app() { "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d app "$@"; }

line=$(printf 'x%.0s' {1..1023})
lines=$((MB * 1024))
yes "$line" | head -n "$lines" | psql_app -c "\\copy big from stdin" 2>&1
is "\\copy of $MB MB in" "$lines" "$(admin_count big)"
check "... and the workers stay below $bound MB ($(peak_mb))" [ "$(peak_mb)" -lt "$bound" ]
is "\\copy of $MB MB out" $((MB * 1024 * 1024)) "$(psql_app -c '\copy big to stdout' | wc -c)"
check "... and the workers stay below $bound MB ($(peak_mb))" [ "$(peak_mb)" -lt "$bound" ]
admin_sql 'truncate big' app

is "one value of $VALUE_MB MB" $((VALUE_MB * 1024 * 1024 + 1)) \
	"$(psql_app -c "select repeat('y', $VALUE_MB * 1024 * 1024)" | wc -c)"
check "... and the workers stay below $bound MB ($(peak_mb))" [ "$(peak_mb)" -lt "$bound" ]

# A statement that is large itself.
STATEMENT_MB=50
{
	printf "select length('"
	head -c $((STATEMENT_MB * 1024 * 1024)) /dev/zero | tr '\0' z
	echo "');"
} >"$WORK_DIR/large.sql"
is "a simple query of $STATEMENT_MB MB" $((STATEMENT_MB * 1024 * 1024)) "$(psql_app -f "$WORK_DIR/large.sql")"
check "... and the workers stay below $bound MB ($(peak_mb))" [ "$(peak_mb)" -lt "$bound" ]

# A reader that stops: raw protocol, nothing is read.
raw_open app
raw_query "select repeat('z', $VALUE_MB * 1024 * 1024)"
stuck() { backends_are 1 "state = 'active' and wait_event = 'ClientWrite'"; }
within 'a slow reader holds its backend back' 60 stuck
is 'others are served meanwhile' 1 "$(sql app 'select 1')"
check "... and the workers stay below $bound MB ($(peak_mb))" [ "$(peak_mb)" -lt "$bound" ]
raw_close
idle_only() { backends_are 0 "state <> 'idle'"; }
within 'it leaves: the backend is free again' 8 idle_only
is 'and serves' 1 "$(sql app 'select 1')"

# With Parse the text is kept, for backends that have not seen it: there is one copy of it, and none when nobody
# has prepared it any more. (A sanitizer keeps what was freed for a while.)
before=$(peak_mb)
# The resident memory of all workers now, MB.
resident_mb() {
	for w in 0 1; do awk '/^VmRSS/ { print $2 / 1024 }' "/proc/$(get "worker.$w.pid")/status"; done |
		awk '{ sum += $1 } END { print int(sum) }'
}
rest=$(resident_mb)
given_back() { [ "$(resident_mb)" -lt $((rest + STATEMENT_MB / 2)) ]; }
times=$([ -n "$ASAN" ] && echo 6 || echo 3)
for mode in extended prepared; do
	has "$mode: a statement of $STATEMENT_MB MB, three times" 'actually processed: 3/3' "$("$PG_BIN/pgbench" -n -M $mode \
		-t 3 -f "$WORK_DIR/large.sql" -h 127.0.0.1 -p "$PORT" -U postgres app 2>&1)"
	most=$((before + STATEMENT_MB * times / 2))
	check "... costs less than one and a half times its size ($before, then $(peak_mb) MB)" [ "$(peak_mb)" -lt $most ]
	within "... which is given back ($rest MB before)" 5 given_back
done
pooler_stop 'ends well'

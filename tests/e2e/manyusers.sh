#!/usr/bin/env bash
#
# manyusers: 10,000 users in auth_file: what they cost in memory, in all processes together; a reload of them does not
# stall the loop that clients wait for; the first, the last and none of them come in.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

MANY=10000
COST_KB=20480 # less than that, by all processes
STALL_US=5000 # less than that, in each

e2e_begin manyusers scram-sha-256
printf 'local all all trust\nhost all all all scram-sha-256\n' >"$WORK_DIR/data/pg_hba.conf"
admin_sql "create role user_1 login password 'pw'; create role user_$MANY login password 'pw'; select pg_reload_conf()" >/dev/null
# list N: so many users, with verifiers as PostgreSQL has them.
list() {
	local name verifier
	verifier=$(admin_sql "select rolpassword from pg_authid where rolname = 'user_1'")
	{
		for ((i = 2; i < $1; i++)); do echo "\"user_$i\" \"$verifier\""; done
		for name in user_1 "user_$MANY"; do
			echo "\"$name\" \"$(admin_sql "select rolpassword from pg_authid where rolname = '$name'")\""
		done
	} | auth_file
}
# What only they have, of all processes, in kB.
own_kb() {
	local pid
	for pid in $POOLER $(pid_children "$POOLER"); do cat "/proc/$pid/smaps_rollup"; done | awk '/^Pss:/ { sum += $2 } END { print sum }'
}
# switches_us: how long each process's loop has stood still for each reload, one a line.
switches_us() { sed -n 's/.*the switch to configuration .* took \([0-9]*\) us of the loop$/\1/p' "$WORK_DIR/pgdrove.log" | sort -n; }
login() { PGPASSWORD=$2 "$PG_BIN/psql" -X -q -A -t -w -h 127.0.0.1 -p "$PORT" -U "$1" -d app -c 'select current_user' 2>&1; }

list 2
pooler_conf <<-CONF
	workers = 2;
	pool_mode = "transaction";
	log_level = "debug";
	auth_type = "scram-sha-256";
	auth_file = "$WORK_DIR/users.txt";
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
CONF
pooler_start
few=$(own_kb)
pooler_stop 'ends well with two users'

list $MANY
pooler_start
many=$(own_kb)
is 'the first comes in' user_1 "$(login user_1 pw)"
is 'the last comes in' "user_$MANY" "$(login user_$MANY pw)"
has 'one with another password does not' 'password authentication failed' "$(login user_77 x)"
[ -n "$ASAN" ] || check "$MANY users cost $((many - few)) kB in all processes, less than $COST_KB" [ $((many - few)) -lt $COST_KB ]

# Reloads while clients work. A machine under load takes the processor from a loop in the middle of a switch, too, so
# the middle one of all counts.
echo 'select 1;' >"$WORK_DIR/one.sql"
PGPASSWORD=pw beside "$PG_BIN/pgbench" -n -f "$WORK_DIR/one.sql" -h 127.0.0.1 -p "$PORT" -U user_1 -c 4 -T 600 app >"$WORK_DIR/bench.out" 2>&1
busy() { [ "$(get xact_count)" -gt 1000 ]; }
within 'clients work' 30 busy
for i in 1 2 3 4 5; do
	sed -i "2s/^\"[^\"]*\"/\"renamed_$i\"/" "$WORK_DIR/users.txt"
	pooler_reload
done
is 'five reloads are in force' 5 "$(grep -c 'reload: configuration .* in force' "$WORK_DIR/pgdrove.log")"
all_told() { mapfile -t took < <(switches_us) && [ "${#took[@]}" = 15 ]; }
within '... in both workers and the steward' 10 all_told
[ -n "$ASAN" ] || check "a reload of them takes ${took[7]} us of a loop (${took[0]} to ${took[-1]}), less than $STALL_US" \
	[ "${took[7]}" -lt $STALL_US ]
reloaded=$(own_kb)
[ -n "$ASAN" ] || check "... and $((reloaded - many)) kB stay behind five reloads" [ $((reloaded - few)) -lt $COST_KB ]
is 'the first comes in still' user_1 "$(login user_1 pw)"
pooler_stop 'ends well'

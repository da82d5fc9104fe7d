# shellcheck shell=bash disable=SC2034
#
# lib.sh: what the end-to-end tests share: a throwaway PostgreSQL and a pgdrove in front of it in a
# directory and on ports of their own, checks that print a line each, crowds of clients, and the end.
# Sourced, never run:
#
#   e2e_begin NAME [AUTH]       PostgreSQL with the database `app`
#   pooler_conf <<CONF          what is not as always: databases, modes, limits
#   pooler_start                ... is, has, check, within ...; leaving the script ends all
#
# Every process is started through here and stopped by its pid. PGDROVE_BIN names the binary; the
# tools of the same build are found beside it. PG18=yes: with PostgreSQL 18, which authmatrix.sh has fetched.

# shellcheck source=scripts/lib.sh
. scripts/lib.sh

BIN=$(realpath "${PGDROVE_BIN:-build/pgdrove}")
TOOLS=${BIN%/*}/tests/e2e
ASAN=
! grep -qc __asan_init "$BIN" || ASAN=yes

# --- checks -------------------------------------------------------------------------------------------

passed=0 failed=0

ok() {
	echo "ok $1"
	passed=$((passed + 1))
}

not_ok() {
	echo "FAIL $1${2:+: $2}"
	failed=$((failed + 1))
}

# is NAME WANTED GOT
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "wanted [$2], got [$3]"; fi; }

# has NAME PART GOT
has() { case $3 in *"$2"*) ok "$1" ;; *) not_ok "$1" "wanted [*$2*], got [${3:0:500}]" ;; esac }

# check NAME COMMAND...: it must succeed.
check() {
	local name=$1
	shift
	if "$@"; then ok "$name"; else not_ok "$name" "failed: $*"; fi
}

# until_true SECONDS COMMAND...: polls.
until_true() {
	local end=$(($(now_ms) + $1 * 1000))
	shift
	until "$@"; do
		[ "$(now_ms)" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# within NAME SECONDS COMMAND...: it must come to succeed; says after how long. A machine under load gets
# WITHIN_LEAST seconds at least: SECONDS says what is usual, and more is for what takes longer.
WITHIN_LEAST=30
within() {
	local name=$1 seconds=$(($2 > WITHIN_LEAST ? $2 : WITHIN_LEAST)) start
	shift 2
	start=$(now_ms)
	if until_true "$seconds" "$@"; then
		ok "$name ($(($(now_ms) - start)) ms)"
	else
		not_ok "$name" "not within $seconds s: $*"
	fi
}

# --- PostgreSQL -----------------------------------------------------------------------------------------

e2e_begin() {
	trap e2e_end EXIT
	trap 'exit 130' INT TERM
	ulimit -n "$(ulimit -Hn)"
	POOLER='' CHILDREN=()
	service_user_find
	pg_bin_find
	work_dir_make "$1"
	pg18_if_asked
	cluster_start "${2:-trust}"
	export PGPASSWORD=$PG_PASSWORD
	admin_sql 'create database app'
}

# postgres_answers PORT
postgres_answers() { until_true 60 "$PG_BIN/pg_isready" -q -h "$PG_SOCKETS" -p "$1"; }

# The cluster that cluster_start made, once more: after a stop, or a crash. Of that one somebody may still be there,
# beside whom no other starts.
cluster_again() {
	PG_PID=
	until_true 90 cluster_answers
}
cluster_answers() {
	if [ -z "$PG_PID" ] || pid_gone "$PG_PID" 0; then
		postgres_run data postgres.log
		PG_PID=$POSTGRES
	fi
	"$PG_BIN/pg_isready" -q -h "$PG_SOCKETS" -p "$PG_PORT"
}

# second_start DIR: another server, to which the first one streams; the test has made its cluster in $WORK_DIR/DIR.
# Reached through the Unix socket only, at SECOND_PORT; its log is DIR.log.
second_start() {
	SECOND_DIR=$1 SECOND_PORT=$(port_free)
	cat >>"$WORK_DIR/$1/postgresql.conf" <<-CONF
		listen_addresses = ''
		port = $SECOND_PORT
		unix_socket_directories = '$PG_SOCKETS'
		fsync = off
		wal_retrieve_retry_interval = 200ms
		wal_receiver_status_interval = 1s
	CONF
	postgres_run "$1" "$1.log"
	SECOND=$POSTGRES
	CHILDREN+=("$SECOND")
	check "the second PostgreSQL starts: $1" postgres_answers "$SECOND_PORT"
}
# second_sql DB SQL
second_sql() { "$PG_BIN/psql" -X -q -A -t -h "$PG_SOCKETS" -p "$SECOND_PORT" -U postgres -d "$1" -c "$2" 2>&1; }
second_stop() {
	check "the second PostgreSQL ends well: $SECOND_DIR" \
		"${RUN_AS[@]}" "$PG_BIN/pg_ctl" stop -s -m fast -D "$WORK_DIR/$SECOND_DIR"
	wait "$SECOND" 2>/dev/null
}

# cluster_cert NAME: the first one has this certificate, and TLS, from its next reload or start on.
cluster_cert() {
	install -m 0600 "$CERTS/$1.key" "$WORK_DIR/data/server.key"
	install -m 0600 "$CERTS/$1.crt" "$WORK_DIR/data/server.crt"
	own_file "$WORK_DIR"/data/server.{key,crt}
	echo 'ssl = on' >>"$WORK_DIR/data/postgresql.conf"
}

# admin COUNTED SQL, short: select count(*) from ...
admin_count() { admin_sql "select count(*) from $1" app; }

# e2e_stay DB: makes the function stay(NAME) there: whoever calls it is busy until `let_go NAME`, however long
# what the test does meanwhile takes. With ten minutes it gives up.
e2e_stay() {
	admin_sql "create function stay(name text) returns void language plpgsql security definer as \$\$
		begin
			for i in 1..30000 loop
				exit when (pg_stat_file('$WORK_DIR/go.' || name, true)).size is not null;
				perform pg_sleep(0.02);
			end loop;
		end \$\$" "$1"
}
let_go() { touch "$WORK_DIR/go.$1"; }
# stays NAME [N]: so many (1) are busy with it.
stays() { [ "$(admin_count "pg_stat_activity where state = 'active' and pid <> pg_backend_pid()
	and query like '%stay(''$1'')%'")" = "${2:-1}" ]; }

# The backends that work for pgdrove, seen by PostgreSQL. (Ours come through the Unix socket.)
backends() { admin_count "pg_stat_activity where datname = 'app' and client_addr is not null${1:+ and $1}"; }
backends_are() { [ "$(backends "${2:-}")" = "$1" ]; }

# --- pgdrove ----------------------------------------------------------------------------------------------

# auth_file: what is read becomes $WORK_DIR/users.txt.
auth_file() {
	cat >"$WORK_DIR/users.txt"
	chmod 0640 "$WORK_DIR/users.txt"
	own_file "$WORK_DIR/users.txt"
}

# client_tls MODE [NAME]: lines for pooler_conf: clients are shown this certificate (server).
client_tls() {
	cat <<-CONF
		client_tls_sslmode = "$1";
		client_tls_key_file = "$CERTS/${2:-server}.key";
		client_tls_cert_file = "$CERTS/${2:-server}.crt";
	CONF
}

# POSTGRES_HAS and MORE_USERS add to `users`.
pooler_conf() {
	PORT=$(port_free)
	{
		cat <<-CONF
			listen = ( { host = "127.0.0.1"; port = $PORT; } );
			run_dir = "$WORK_DIR/run";
			users = ( { name = "postgres"; password = "$PG_PASSWORD"; ${POSTGRES_HAS:-} }${MORE_USERS:-} );
			log_connections = false;
			log_disconnections = false;
		CONF
		[ -z "$SERVICE_USER" ] || echo "user = \"$SERVICE_USER\";"
		cat
	} >"$WORK_DIR/pgdrove.conf"
	chmod 0640 "$WORK_DIR/pgdrove.conf"
	own_file "$WORK_DIR/pgdrove.conf"
}

# pooler_run: just the process.
pooler_run() {
	(
		cd "$WORK_DIR" || exit 2
		export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=8${POOLER_ASAN:+:$POOLER_ASAN}
		[ -z "${POOLER_PRELOAD:-}" ] || export LD_PRELOAD=$POOLER_PRELOAD
		exec "$BIN" -c "$WORK_DIR/pgdrove.conf" >>"$WORK_DIR/pgdrove.log" 2>&1
	) &
	POOLER=$!
}

# Not the statistics that a dead one has left.
pooler_ready() { get_is master_pid "$POOLER" && get_is state ready; }

pooler_start() {
	pooler_run
	until_true 30 pooler_ready || {
		not_ok 'pgdrove starts' "$(tail -n 5 "$WORK_DIR/pgdrove.log")"
		exit 1
	}
}

# pooler_stop NAME: with SIGTERM, and it must end well.
pooler_stop() {
	kill -TERM "$POOLER"
	pid_gone "$POOLER" 30000 || kill -KILL "$POOLER"
	wait "$POOLER"
	is "$1" 0 $?
	POOLER=
}

# The pid of the master that serves now: after an upgrade another one than $POOLER.
master() { cat "$WORK_DIR/run/pgdrove.pid" 2>/dev/null; }

# With SIGHUP, until the log says how it ended, well or not.
reload_ends() {
	local before
	before=$(reloads | wc -l)
	kill -HUP "$(master)"
	until_true 60 reloads_after "$before"
}
reloads() { grep -E 'reload: (configuration .* is in force|nothing was changed)' "$WORK_DIR/pgdrove.log"; }
reloads_after() { [ "$(reloads | wc -l)" -gt "$1" ]; }
# The same, and well.
pooler_reload() { reload_ends && [[ $(reloads | tail -n 1) == *'is in force'* ]]; }

ASAN_OPTIONS=detect_leaks=0
export ASAN_OPTIONS

# sql DB SQL: through pgdrove, everything it says.
sql() {
	"$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d "$1" -c "$2" 2>&1
}
sql_is() { [ "$(sql "$2" "$3")" = "$1" ]; }
serves() { sql_is 1 app 'select 1'; }

# get NAME: a number of the statistics.
get() { "$BIN" stat --run-dir "$WORK_DIR/run" --get "$1" 2>/dev/null; }
get_is() { [ "$(get "$1")" = "$2" ]; }
log_has() { grep -qE "$1" "$WORK_DIR/pgdrove.log"; }

# What must agree when no client does anything; WRONG says what does not. `backends` may be replaced.
sums_agree() {
	local seen counted clients
	seen=$(backends) counted=$(get backends) clients=$(get clients) WRONG=
	[ "$(get steward.orphans)" = 0 ] || WRONG+="orphans: $(get steward.orphans); "
	[ "$seen" = "$counted" ] || WRONG+="backends: PostgreSQL shows $seen, pgdrove counts $counted; "
	[ $(($(get sv_idle) + $(get sv_active) + $(get sv_login))) = "$counted" ] ||
		WRONG+="backends: $(get sv_idle) idle, $(get sv_active) active, $(get sv_login) in login of $counted; "
	[ "$(get sv_active)" = 0 ] || WRONG+="$(get sv_active) backends serve nobody; "
	[ $(($(get cl_idle) + $(get cl_active) + $(get cl_waiting))) = "$clients" ] ||
		WRONG+="clients: $(get cl_idle) idle, $(get cl_active) active, $(get cl_waiting) wait of $clients; "
	[ -z "${1:-}" ] || [ "$clients" = "$1" ] || WRONG+="clients: $clients, not $1; "
	[ "$(backends "state <> 'idle'")" = 0 ] || WRONG+="a backend is not idle; "
	[ "$(admin_count "pg_locks where pid <> pg_backend_pid() and locktype <> 'virtualxid'")" = 0 ] ||
		WRONG+="a lock is held; "
	[ -z "$WRONG" ]
}

# adds_up NAME [CLIENTS]: after a fault, with clients that are all idle (so many): no slot, backend or lock
# has leaked, the counters agree with each other and with PostgreSQL, and it serves.
adds_up() {
	if until_true 30 sums_agree "${2:-}"; then
		ok "$1: no slot, backend or lock is lost, counters agree"
	else
		not_ok "$1: no slot, backend or lock is lost, counters agree" "$WRONG"
		"$BIN" stat --run-dir "$WORK_DIR/run" --pools
	fi
	within "$1: and it serves" 30 serves
}

# worker_replaced N PID: worker N lives, serves and is not PID any more.
worker_replaced() {
	local pid
	pid=$(get "worker.$1.pid")
	[ "${pid:-0}" != 0 ] && [ "$pid" != "$2" ] && get_is "worker.$1.state" 2
}

# --- certificates -------------------------------------------------------------------------------------------

# In $CERTS, for pgdrove to read; P-256, quick to make.
e2e_key() {
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$CERTS/$1.key" 2>/dev/null
	own_file "$CERTS/$1.key"
}
# e2e_ca NAME: a root.
e2e_ca() {
	CERTS=$WORK_DIR/certs
	mkdir -p "$CERTS"
	chmod 0755 "$CERTS"
	e2e_key "$1"
	openssl req -x509 -new -key "$CERTS/$1.key" -subj "/CN=$1" -days 30 -out "$CERTS/$1.crt" \
		-addext 'basicConstraints=critical,CA:TRUE' 2>/dev/null
}
# e2e_cert NAME CA SUBJECT [DIGEST]: for localhost and 127.0.0.1.
e2e_cert() {
	e2e_key "$1"
	openssl req -new -key "$CERTS/$1.key" -subj "$3" 2>/dev/null |
		openssl x509 -req "${4:--sha256}" -CA "$CERTS/$2.crt" -CAkey "$CERTS/$2.key" -set_serial "$RANDOM" -days 30 \
			-out "$CERTS/$1.crt" -extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:localhost') 2>/dev/null ||
		not_ok "a certificate: $1"
}

# --- helpers that run beside the test -----------------------------------------------------------------------

# beside COMMAND...: in the background, its pid in BESIDE; stopped at the end at the latest.
beside() {
	"$@" &
	BESIDE=$!
	CHILDREN+=("$BESIDE")
}

# psql_beside DB SQL OUTPUT
psql_beside() {
	beside "$PG_BIN/psql" -X -q -A -t -h 127.0.0.1 -p "$PORT" -U postgres -d "$1" -c "$2" >"$3" 2>&1
}

# others_start DB: six clients that share the backends with whoever is tested, each with a search_path and prepared
# statements of its own; each looks whether the path is still its.
others_start() {
	cat >"$WORK_DIR/others.sql" <<-SQL
		select set_config('search_path', 'other_' || (:client_id)::int, false);
		select 1 / (current_setting('search_path') = 'other_' || (:client_id)::int)::int;
		\sleep 10 ms
	SQL
	beside "$PG_BIN/pgbench" -n -M prepared -c 6 -T 3600 -f "$WORK_DIR/others.sql" -h 127.0.0.1 -p "$PORT" -U postgres "$1" \
		>"$WORK_DIR/others.log" 2>&1
	OTHERS=$BESIDE
}
others_well() { kill -0 "$OTHERS" && ! grep -i 'error\|aborted' "$WORK_DIR/others.log"; }
others_stop() {
	check 'those who share the backends had no error' others_well
	kill "$OTHERS" && wait "$OTHERS" 2>/dev/null
}

declare -A CROWD_IN CROWD_OUT

# crowd_start NAME DB: a tool_crowd. Its complaints are in $WORK_DIR/NAME.err.
crowd_start() {
	local in out fifo=$WORK_DIR/$1.fifo
	mkfifo "$fifo.in" "$fifo.out"
	"$TOOLS/tool_crowd" "host=127.0.0.1 port=$PORT user=${CROWD_USER:-postgres} dbname=$2" \
		<"$fifo.in" >"$fifo.out" 2>"$WORK_DIR/$1.err" &
	CHILDREN+=($!)
	exec {in}>"$fifo.in" {out}<"$fifo.out"
	CROWD_IN[$1]=$in CROWD_OUT[$1]=$out
	rm -f "$fifo.in" "$fifo.out"
}

# crowd_tell NAME COMMAND; crowd_hear NAME: the answer's numbers, into A, B and C.
crowd_tell() { echo "$2" >&"${CROWD_IN[$1]}"; }
crowd_hear() { read -r -t 120 -u "${CROWD_OUT[$1]}" _ A B C || A='' B='' C=''; }
crowd() {
	crowd_tell "$1" "$2"
	crowd_hear "$1"
}

# --- raw protocol, for clients that misbehave ---------------------------------------------------------------

# u32 N: four bytes, big end first, as printf's escapes.
u32() { printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)); }

# raw_open DB [USER]: a connection in RAW, the startup packet sent, no answer read.
raw_open() {
	local body user=${2:-postgres}
	body="user\\0$user\\0database\\0$1\\0\\0"
	exec {RAW}<>"/dev/tcp/127.0.0.1/$PORT" || return
	# shellcheck disable=SC2059
	printf "$(u32 $((8 + 5 + ${#user} + 1 + 9 + ${#1} + 1 + 1)))$(u32 196608)$body" >&"$RAW"
}
# raw_query SQL
raw_query() {
	# shellcheck disable=SC2059
	printf "Q$(u32 $((4 + ${#1} + 1)))" >&"$RAW"
	printf '%s\0' "$1" >&"$RAW"
}
raw_close() { exec {RAW}>&-; }
# refusal DB [USER]: the error that a login ends with, its fields in a line: "... C53300 Mtext ...".
refusal() {
	raw_open "$@" || return
	timeout 60 cat <&"$RAW" | tr '\0' ' '
	raw_close
}

# --- the end --------------------------------------------------------------------------------------------------

# Whoever of pgdrove there is: in $WORK_DIR, where programs that it has started may be, too.
poolers() {
	find /proc/[0-9]*/cwd -maxdepth 0 -lname "$WORK_DIR" 2>/dev/null | cut -d / -f 3 | while read -r pid; do
		[[ $(readlink "/proc/$pid/exe") != */pgdrove* ]] || echo "$pid"
	done
}
no_pooler() { [ -z "$(poolers)" ]; }
# Ends all of it: in the middle of an upgrade that is more than $POOLER.
poolers_end() {
	local pid
	[ -z "$POOLER" ] || pid_stop "$POOLER" INT 20000
	pid=$(master)
	if [ -n "$pid" ] && poolers | grep -qx "$pid"; then pid_stop "$pid" INT 20000; fi
	until_true 20 no_pooler && return
	not_ok 'all of pgdrove has ended' "pids $(poolers | xargs)"
	for pid in $(poolers); do kill -KILL "$pid" 2>/dev/null; done
}

e2e_end() {
	local rc=$? pid
	trap - EXIT INT TERM
	[ "$rc" = 0 ] || [ "$failed" != 0 ] || not_ok "the test ended early" "status $rc"
	for pid in "${CHILDREN[@]}"; do kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
	poolers_end
	cluster_stop
	is 'no sanitizer report' 0 "$(grep -cs 'Sanitizer\|runtime error\|ENSURE\|panic' "$WORK_DIR/pgdrove.log")"
	if [ "$failed" != 0 ]; then
		echo "--- the end of pgdrove's log:"
		tail -n 40 "$WORK_DIR/pgdrove.log" 2>/dev/null
	fi
	[ -n "${KEEP:-}" ] || rm -rf "$WORK_DIR"
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
	exit $?
}

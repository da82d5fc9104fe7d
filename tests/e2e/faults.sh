#!/usr/bin/env bash
#
# faults: workers and the master die in every way, under 100 clients; and what signals do.
#
# A worker's death costs its own clients' connections and nothing else: the count of clients that
# lost theirs must be the count it had. What was open on it is gone at PostgreSQL 5 s later.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin faults
# shellcheck disable=SC2034
POOLER_ASAN=handle_segv=0:handle_abort=0
settings() {
	cat <<-CONF
		workers = 4;
		pool_mode = "transaction";
		pool_size = 60;
		worker_timeout = "8s";
		shutdown_timeout = "20s";
		databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	CONF
}
pooler_conf < <(settings)
e2e_stay app
admin_sql 'create table rows as select i, 0 as v from generate_series(0, 199) i; alter table rows add primary key (i); create table marks (client int, n bigint)' app

# --- a worker dies ----------------------------------------------------------------------------------------

locked_rows() { echo $((200 - $(admin_count '(select 1 from rows for update skip locked) x'))); }
locked_rows_are() { [ "$(locked_rows)" = "$1" ]; }

# New connections, one after the other: "ok MS" or "lost TEXT", until the file `probe.stop` is there.
probe() {
	local start out
	while [ ! -e "$WORK_DIR/probe.stop" ]; do
		start=$(now_ms)
		if out=$(sql app 'select 1') && [ "$out" = 1 ]; then
			echo "ok $(($(now_ms) - start))"
		else
			echo "lost ${out//$'\n'/ }"
		fi
	done >"$WORK_DIR/probe.out"
}

# more_xacts N: so many more transactions than the first time it was asked.
more_xacts() {
	local now
	now=$(get xact_count)
	[ -n "$SINCE" ] || SINCE=$now
	[ $((now - SINCE)) -lt "$1" ] || SINCE=
	[ -z "$SINCE" ]
}
SINCE=

# worker_dies NAME SIGNAL SECONDS: 80 clients run queries, 20 hold a row lock each, worker 2 gets the
# signal and a successor must serve within SECONDS.
worker_dies() {
	local name=$1 victim own lost start took slowest
	crowd_start "busy$2" app
	crowd_start "held$2" app
	crowd "busy$2" 'open 80'
	crowd "held$2" 'open 20'
	crowd "held$2" 'query begin; update rows set v = v + 1 where i = :i'
	is "$name: 20 transactions hold a row each" '20 20' "$A $(locked_rows)"
	crowd_tell "busy$2" 'run select 1'
	rm -f "$WORK_DIR/probe.stop"
	beside probe
	within "$name: queries run" 10 more_xacts 500
	victim=$(get worker.2.pid)
	start=$(now_ms)
	kill -s "$2" "$victim"
	until_true 30 worker_replaced 2 "$victim"
	took=$(($(now_ms) - start))
	check "$name: the successor serves after $took ms (bound $3 s)" [ "$took" -le $(($3 * 1000)) ]
	within "$name: they go on" 10 more_xacts 500
	touch "$WORK_DIR/probe.stop"
	wait "$BESIDE"
	crowd_tell "busy$2" stop
	crowd_hear "busy$2"
	lost=$C own=$(grep -c '^lost' "$WORK_DIR/probe.out")
	is "$name: no error on a connection that lives" 0 "$B"
	check "$name: the others went on ($A queries)" [ "$A" -gt 200 ]
	# A login on the victim at that very moment may be lost with it; a refusal is never right.
	check "$name: new connections succeed throughout ($own of $(wc -l <"$WORK_DIR/probe.out") lost)" [ "$own" -le 1 ]
	is "$name: none was refused" 0 "$(grep -c 'refused\|timeout' "$WORK_DIR/probe.out")"
	slowest=$(sort -k2n <"$WORK_DIR/probe.out" | awk '$1 == "ok" { s = $2 } END { print s }')
	# A worker that hangs may have got the wake-up: after two silent seconds the others look too.
	check "$name: none waits long (slowest $slowest ms)" [ "$slowest" -lt 10000 ]
	crowd "held$2" look
	own=$A lost=$((lost + B))
	# Even shares, 100 on four: only the victim's are gone.
	check "$name: only its clients are lost ($lost)" [ "$lost" -ge 15 ] && check "$name: and no more" [ "$lost" -le 35 ]
	within "$name: its row locks are gone, the others' are held" 5 locked_rows_are "$own"
	within "$name: no orphan in pg_stat_activity" 5 no_orphan
	crowd "held$2" 'query commit'
	is "$name: the others'' transactions commit" "$own 0 0" "$A $B $C"
	is "$name: no row is locked" 0 "$(locked_rows)"
	crowd "busy$2" refill
	is "$name: its clients come back" 0 "$B"
	own=$(get worker.2.clients)
	check "$name: its share refills ($own of $(get clients))" [ "$own" -ge 12 ]
	crowd "busy$2" close
	crowd "held$2" close
	adds_up "$name" 0
}

# Every backend that PostgreSQL shows is one that a living worker counts.
counts_agree() { [ "$(get backends)" = "$(backends)" ]; }
# ... and nothing hangs in a transaction or query beyond the locks that are held on purpose.
no_orphan() { counts_agree && [ "$(backends "state like 'idle in%'")" = "$(locked_rows)" ]; }

pooler_start
worker_dies 'SIGKILL' KILL 7
check 'SIGKILL: it is noticed by itself, not by its silence' log_has 'worker 2 was killed by signal 9'
is '... and no other one' 0 "$(grep -c 'gave no sign of life' "$WORK_DIR/pgdrove.log")"
worker_dies 'SIGSTOP' STOP 30
worker_dies 'SIGSEGV' SEGV 20
has 'SIGSTOP: the log says why it was replaced' 'gave no sign of life' "$(grep 'aborting it' "$WORK_DIR/pgdrove.log")"
check 'SIGSEGV: the log names the signal' log_has 'worker 2 was killed by signal 11'

# --- signals that are meant for the master, or for nobody ---------------------------------------------------

pids=$(for w in 0 1 2 3; do get "worker.$w.pid"; done)
for sig in HUP USR1 USR2; do
	[ "$sig" = USR2 ] || kill -s "$sig" "$POOLER" # an upgrade: upgrade.sh
	for pid in $pids; do kill -s "$sig" "$pid"; done
done
for pid in $pids; do kill -s TERM "$pid" && kill -s INT "$pid"; done
sleep 0.5
is 'HUP, USR1, USR2 kill nobody; TERM and INT to a worker neither' "$pids" "$(for w in 0 1 2 3; do get "worker.$w.pid"; done)"
is 'and it serves' 1 "$(sql app 'select 1')"

# --- out of file descriptors ----------------------------------------------------------------------------------

crowd_start few app
crowd few 'open 8'
crowd few 'query select 1'
is 'out of file descriptors: eight clients' '8 0 0' "$A $B $C"
# The lowest number that is free there: some more can be had, and no others.
lowest_free() {
	local n=0
	while [ -e "/proc/$1/fd/$n" ]; do n=$((n + 1)); done
	echo "$n"
}
soft=$("${RUN_AS[@]}" prlimit --pid "$POOLER" --nofile --noheadings -o SOFT)
for pid in $pids; do "${RUN_AS[@]}" prlimit --pid "$pid" --nofile=$(($(lowest_free "$pid") + 3)): || not_ok 'prlimit'; done
crowd_start many app
crowd_tell many 'open 80'
within '... others cannot be accepted' 20 log_has 'cannot accept a client'
for _ in 1 2 3; do crowd few 'query select 1'; done
is '... who is connected is served' '8 0 0' "$A $B $C"
is '... no worker has died of it' "$pids" "$(for w in 0 1 2 3; do get "worker.$w.pid"; done)"
for pid in $pids; do "${RUN_AS[@]}" prlimit --pid "$pid" --nofile="$soft": || not_ok 'prlimit'; done
crowd_hear many
is '... there are some again: all others get in' '80 0' "$A $B"
crowd many 'query select 1'
is '... and are served' '80 0 0' "$A $B $C"
crowd few close
crowd many close
within '... and no backend is lost' 20 counts_agree

# --- kill -9 of the master ------------------------------------------------------------------------------------

crowd_start orphans app
crowd orphans 'open 20'
psql_beside app "begin; select stay('master'); select 42; commit" "$WORK_DIR/last"
last=$BESIDE
within 'a transaction runs' 10 stays master
old=$(pid_children "$POOLER")
kill -KILL "$POOLER"
wait "$POOLER" 2>/dev/null
start=$(now_ms)
pooler_start
check "master killed: a new start serves after $(($(now_ms) - start)) ms" [ $(($(now_ms) - start)) -lt 15000 ]
is 'master killed: new clients are served' 1 "$(sql app 'select 1')"
let_go master
wait "$last"
has 'master killed: a running transaction is finished' 42 "$(cat "$WORK_DIR/last")"
all_gone() { for pid in $old; do kill -0 "$pid" 2>/dev/null && return 1; done; return 0; }
within 'master killed: its children leave' 15 all_gone
within 'master killed: they leave no backend' 10 counts_agree

# --- TERM, twice; INT ---------------------------------------------------------------------------------------

crowd_start term app
crowd term 'open 40'
crowd_tell term 'run insert into marks values (:i, 1)'
psql_beside app "begin; select stay('term'); select 42; commit" "$WORK_DIR/last"
last=$BESIDE
within 'a transaction runs' 10 stays term
kill -TERM "$POOLER"
sleep 0.5
let_go term
pid_gone "$POOLER" 60000
wait "$POOLER"
is 'TERM under load: ends with 0' 0 $?
POOLER=
wait "$last"
has 'TERM under load: a running transaction is finished' 42 "$(cat "$WORK_DIR/last")"
crowd_tell term stop
crowd_hear term
is 'TERM under load: all clients are sent away' 40 "$C"
# libpq takes an error that comes between two queries for a notice, which has no client's name to it.
told=$(awk '/^FATAL:.*administrator command/ { n++ } /^client.*FATAL:.*administrator command/ { seen[$2] } END { print n + length(seen) }' "$WORK_DIR/term.err")
is 'TERM under load: with the right words' 40 "$told"
is 'TERM under load: what was confirmed is there, and no more' "$A" "$(admin_count marks)"

for sig in 'TERM TERM' INT QUIT; do
	pooler_start
	psql_beside app 'select pg_sleep(60)' "$WORK_DIR/last"
	until_true 30 backends_are 1 "query like '%pg_sleep(60)%' and state = 'active'"
	start=$(now_ms)
	for s in $sig; do kill -s "$s" "$POOLER" && sleep 0.3; done
	pid_gone "$POOLER" 60000
	wait "$POOLER"
	is "$sig ends with 0" 0 $?
	check "$sig: fast ($(($(now_ms) - start)) ms)" [ $(($(now_ms) - start)) -lt 18000 ] # shutdown_timeout is 20 s
	POOLER=
	within "$sig: no query is left running" 5 backends_are 0 "state <> 'idle'"
done

# --- a worker that dies at every start ---------------------------------------------------------------------

# epoll_create1 is the first thing a worker needs and the master does not: while the file `deny`
# exists, it fails.
cat >"$WORK_DIR/deny.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
int epoll_create1(int flags)
{
	int (*next)(int);

	if (access(getenv("DENY"), F_OK) == 0) {
		errno = EMFILE;
		return -1;
	}
	*(void **)&next = dlsym(RTLD_NEXT, "epoll_create1");
	return next(flags);
}
C
cc -shared -fPIC -o "$WORK_DIR/deny.so" "$WORK_DIR/deny.c" || not_ok 'a C compiler'
export DENY=$WORK_DIR/deny
POOLER_PRELOAD=$WORK_DIR/deny.so POOLER_ASAN+=:verify_asan_link_order=0

touch "$DENY"
pooler_run
pid_gone "$POOLER" 60000
wait "$POOLER"
check "every worker fails at boot: the master ends with $?" [ $? != 0 ]
check 'every worker fails at boot: and says so' log_has 'start failed: no worker could start'
rm "$DENY"

pooler_start
victim=$(get worker.1.pid)
before=$(grep -c 'worker 1 .*replacing it in' "$WORK_DIR/pgdrove.log")
touch "$DENY"
kill -KILL "$victim"
backed_off() { [ "$(grep -c 'worker 1 .*replacing it in' "$WORK_DIR/pgdrove.log")" -ge $((before + 4)) ]; }
within 'dies at every start: tried again and again' 15 backed_off
pauses=$(grep -oE 'worker 1 .*replacing it in [0-9.]+' "$WORK_DIR/pgdrove.log" | tail -n +$((before + 1)) | head -n 4 | awk '{ print $NF }')
is 'dies at every start: pauses grow' '0.1 0.2 0.4 0.8' "$(sort -nu <<<"$pauses" | xargs)"
is 'dies at every start: the others serve' 1 "$(sql app 'select 1')"
is 'dies at every start: stat says so' degraded "$(get health)"
rm "$DENY"
within 'dies at every start: back when it can' 20 worker_replaced 1 "$victim"
within 'healthy again' 20 get_is health healthy
pooler_stop 'ends well'

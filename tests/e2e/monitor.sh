#!/usr/bin/env bash
#
# monitor: what watches PgBouncer watches pgdrove. Every SHOW has the columns of Debian's pgbouncer, in its
# order (newer ones stand between them), and the queries of the community's Prometheus exporter, asked the
# same way of both, find the same metrics with values of a kind it can use.

set -u
cd "$(dirname "$0")/../.." || exit 2
# shellcheck source=tests/e2e/lib.sh
. tests/e2e/lib.sh

e2e_begin monitor
MORE_USERS=', { name = "boss"; }'
pooler_conf <<-CONF
	databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	pool_mode = "transaction";
	workers = 2;
	admin_users = "boss";
CONF
pooler_start

BOUNCER_PORT=$(port_free)
cat >"$WORK_DIR/pgbouncer.ini" <<-CONF
	[databases]
	app = host=127.0.0.1 port=$PG_PORT
	[pgbouncer]
	listen_addr = 127.0.0.1
	listen_port = $BOUNCER_PORT
	unix_socket_dir =
	auth_type = trust
	auth_file = $WORK_DIR/users
	pool_mode = transaction
	admin_users = boss
	logfile = $WORK_DIR/pgbouncer.log
CONF
printf '"boss" ""\n"postgres" "%s"\n' "$PG_PASSWORD" >"$WORK_DIR/users"
own_file "$WORK_DIR/pgbouncer.ini" "$WORK_DIR/users"
beside "${RUN_AS[@]}" /usr/sbin/pgbouncer -q "$WORK_DIR/pgbouncer.ini" >"$WORK_DIR/pgbouncer.out" 2>&1

# at PORT DB USER SQL [psql's option...]
at() { "$PG_BIN/psql" -X -q -A -h 127.0.0.1 -p "$1" -U "$3" -d "$2" -c "$4" "${@:5}" 2>&1; }
bouncer_serves() { [ "$(at "$BOUNCER_PORT" app postgres 'select 1' -t)" = 1 ]; }
within 'a real pgbouncer serves' 20 bouncer_serves
check 'so does pgdrove' serves

# --- columns ------------------------------------------------------------------------------------------

columns() { at "$1" pgbouncer boss "SHOW $2" -F ' ' -P footer=off | head -n 1; }
# Are PgBouncer's columns among ours, in the same order? reserve_pool has another name since 1.24.
stand_in_order() {
	local name=$1 theirs ours column rest
	theirs=$(columns "$BOUNCER_PORT" "$name") ours=$(columns "$PORT" "$name")
	rest=" $ours "
	for column in ${theirs//reserve_pool /reserve_pool_size }; do
		case $rest in
		*" $column "*) rest=" ${rest#*" $column "}" ;;
		*) not_ok "SHOW $name" "pgbouncer has $column [$theirs], we have [$ours]" && return ;;
		esac
	done
	ok "SHOW $name: pgbouncer's columns, in order"
}
for name in STATS STATS_TOTALS STATS_AVERAGES TOTALS POOLS CLIENTS SERVERS SOCKETS ACTIVE_SOCKETS DATABASES USERS \
	PEERS PEER_POOLS CONFIG STATE LISTS MEM DNS_HOSTS DNS_ZONES VERSION; do
	case $(columns "$BOUNCER_PORT" "$name") in
	*ERROR*) ok "SHOW $name: Debian's pgbouncer has it not" ;;
	*) stand_in_order "$name" ;;
	esac
done
first_column() { at "$1" pgbouncer boss "SHOW $2" -t | cut -d'|' -f1; }
is 'SHOW LISTS: no name is missing' '' \
	"$(comm -23 <(first_column "$BOUNCER_PORT" LISTS | sort) <(first_column "$PORT" LISTS | sort))"
is 'SHOW TOTALS: no name is missing' '' \
	"$(comm -23 <(first_column "$BOUNCER_PORT" TOTALS | sort) <(first_column "$PORT" TOTALS | sort))"
for name in client_encoding datestyle timezone standard_conforming_strings default_transaction_isolation; do
	is "SHOW $name" "$(at "$BOUNCER_PORT" pgbouncer boss "SHOW $name" | tr -d ',' | head -n 1)" \
		"$(at "$PORT" pgbouncer boss "SHOW $name" | tr -d ',' | head -n 1)"
done

# --- the exporter ---------------------------------------------------------------------------------------

# What prometheus-community's pgbouncer_exporter asks on one connection: SHOW STATS to begin with, then these,
# each a simple query; labels must be texts or whole numbers, values numbers. One line a metric.
cat >"$WORK_DIR/exporter.py" <<'PY'
import decimal, sys
import psycopg2

MAPS = {
    "databases": (["name", "host", "port", "database", "force_user", "pool_mode"],
                  ["pool_size", "max_connections", "current_connections", "paused", "disabled"]),
    "stats_totals": (["database"],
                     ["query_count", "query_time", "bytes_received", "bytes_sent", "wait_time", "xact_count", "xact_time"]),
    "pools": (["database", "user"],
              ["cl_active", "cl_active_cancel_req", "cl_waiting", "cl_waiting_cancel_req", "sv_active",
               "sv_active_cancel", "sv_being_canceled", "sv_idle", "sv_used", "sv_tested", "sv_login", "maxwait"]),
}
LISTS = ["databases", "users", "pools", "free_clients", "used_clients", "login_clients", "free_servers",
         "used_servers", "dns_names", "dns_zones", "dns_queries"]
CONFIG = ["max_client_conn", "max_user_connections"]

db = psycopg2.connect(host="127.0.0.1", port=sys.argv[1], user="boss", dbname="pgbouncer")
db.autocommit = True
with db.cursor() as c:
    c.execute("SHOW STATS")
    c.fetchall()
    c.execute("SHOW VERSION;")
    print("version", c.fetchall()[0][0].split()[0])
    for show, (labels, values) in MAPS.items():
        c.execute("SHOW %s;" % show)
        names = [d[0] for d in c.description]
        for row in c.fetchall():
            row = dict(zip(names, row))
            if row.get("name", row.get("database")) == "pgbouncer":
                continue
            for label in labels:
                assert row[label] is None or isinstance(row[label], (int, str)), (show, label, row[label])
            said = ",".join("%s=%s" % (k, row[k]) for k in labels)
            for value in values:
                assert isinstance(row[value], (int, float, decimal.Decimal)), (show, value, row[value])
                print("%s_%s{%s}" % (show, value, said))
                if value == "xact_count":
                    assert row[value] > 0, row
    c.execute("SHOW LISTS;")
    assert len(c.description) == 2
    lists = dict(c.fetchall())
    for name in LISTS:
        print("lists", name, float(lists[name]) >= 0)
    c.execute("SHOW CONFIG;")
    assert len(c.description) == 4
    config = {r[0]: r[1] for r in c.fetchall()}
    for name in CONFIG:
        print("config", name, float(config[name]) >= 0)
PY
exporter() { /usr/bin/python3 "$WORK_DIR/exporter.py" "$1" 2>&1; }
is "an exporter's queries find what they find at pgbouncer" "$(exporter "$BOUNCER_PORT")" "$(exporter "$PORT")"
is '... all of it' 38 "$(exporter "$PORT" | grep -c '[{]\|^lists\|^config\|^version')"
pooler_stop 'it ends well'

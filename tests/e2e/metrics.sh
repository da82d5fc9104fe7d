#!/usr/bin/env bash
#
# metrics: what Prometheus scrapes is what happened, passes promtool, and stays up when every worker is
# stopped; scrapers that are slow, many or hostile harm nobody; Debian's prometheus scrapes it; rules
# and dashboard name metrics that exist.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin metrics
METRICS=$(port_free)
pooler_conf < <(
	cat <<-CONF
		workers = 2;
		pool_mode = "transaction";
		metrics_listen = "127.0.0.1:$METRICS";
		databases = ( { name = "app"; host = "127.0.0.1"; port = $PG_PORT; } );
	CONF
)
pooler_start

# scrape PATH [curl's option...]: the answer.
scrape() { curl -s -S -m 20 "http://127.0.0.1:$METRICS$1" "${@:2}"; }
code() { scrape "$1" -o /dev/null -w '%{http_code}' "${@:2}"; }
# metric LINE'S BEGINNING: its value, without a fraction.
metric() { scrape /metrics | grep -F "$1" | head -n 1 | sed -E 's/.* ([0-9]+)(\.[0-9]+)?$/\1/'; }
metric_is() { [ "$(metric "$1")" = "$2" ]; }
P='database="app",user="postgres"'

# --- what it says -----------------------------------------------------------------------------------

"$PG_BIN/pgbench" -n -h 127.0.0.1 -p "$PORT" -U postgres -c 8 -j 2 -t 50 -f <(echo 'select 1;') app \
	>"$WORK_DIR/bench.log" 2>&1
is 'traffic' 0 $?
sql app 'select 1/0' >/dev/null
sql app 'select no_such_column' >/dev/null
within 'transactions are counted' 20 metric_is "pgdrove_pool_xact_count_total{$P}" 402
is '... queries too' "$(get query_count)" "$(metric "pgdrove_pool_query_count_total{$P}")"
is '... errors by class: 22' 1 "$(metric "pgdrove_pool_errors_total{$P,class=\"22\"}")"
is '... 42' 1 "$(metric "pgdrove_pool_errors_total{$P,class=\"42\"}")"
is '... 40' 0 "$(metric "pgdrove_pool_errors_total{$P,class=\"40\"}")"
waits() { metric "pgdrove_pool_wait_duration_seconds_count{$P}"; }
# A goodbye may have stood in the queue, too: unread, while nobody was free.
check 'waits' [ "$(waits)" -ge 402 ]
had=$(waits)
# The second query waits until it is known what the first one left.
"$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U postgres -d app -c 'create temp table t ()' -c 'select 1' >"$WORK_DIR/pin.out" 2>&1
within 'pins by reason' 20 metric_is "pgdrove_pool_pins_total{$P,reason=\"temp\"}" 1
is '... another' 0 "$(metric "pgdrove_pool_pins_total{$P,reason=\"listen\"}")"
for name in sv_given sv_received; do
	check "hand-overs: $name" [ -n "$(metric "pgdrove_pool_${name}_total{$P}")" ]
done
for name in restarts ledger_repairs; do
	is "$name" 0 "$(metric "pgdrove_worker_${name}_total{worker=\"0\"}")"
done
# Where the machine takes the processor from who holds the mutex there are some.
check 'ledger_stalls' [ -n "$(metric 'pgdrove_worker_ledger_stalls_total{worker="0"}')" ]
for name in query xact wait; do
	n=404
	[ "$name" != wait ] || n=$((had + 1)) # who keeps its backend does not wait for it
	within "histogram of $name: all of them" 20 metric_is "pgdrove_pool_${name}_duration_seconds_count{$P}" "$n"
	is '... in the last bucket' "$n" "$(metric "pgdrove_pool_${name}_duration_seconds_bucket{$P,le=\"+Inf\"}")"
done
is 'histogram of logins' "$(get logins)" "$(metric "pgdrove_pool_login_duration_seconds_count{$P}")"
is 'histogram of connects' "$(get sv_opened)" "$(metric "pgdrove_pool_connect_duration_seconds_count{$P}")"
scrape /metrics >"$WORK_DIR/metrics"
promtool check metrics <"$WORK_DIR/metrics" >"$WORK_DIR/promtool" 2>&1
is 'promtool finds nothing wrong' 0 $?
[ ! -s "$WORK_DIR/promtool" ] || head -n 5 "$WORK_DIR/promtool"

# --- HTTP -------------------------------------------------------------------------------------------

is 'healthz' 200 "$(code /healthz)"
is 'readyz' 200 "$(code /readyz)"
is 'HEAD' 200 "$(code /metrics -I)"
is 'a query string' 200 "$(code '/metrics?x=1')"
is 'another path' 404 "$(code /etc/passwd)"
is 'another method' 405 "$(code /metrics -X DELETE)"
is 'a head that is too long' 431 "$(code /metrics -H "X: $(head -c 6000 /dev/zero | tr '\0' x)")"
# said BYTES...: sent as they are; the first line of the answer.
said() {
	local fd line
	exec {fd}<>"/dev/tcp/127.0.0.1/$METRICS"
	printf '%b' "$*" >&"$fd"
	read -r -t 20 -u "$fd" line
	exec {fd}>&-
	printf '%s' "${line%$'\r'}"
}
is 'garbage' 'HTTP/1.1 400 Bad Request' "$(said 'hello\n\n')"
is 'a NUL byte' 'HTTP/1.1 400 Bad Request' "$(said 'GET /metrics\0 HTTP/1.1\r\n\r\n')"
head -c 100000 /dev/urandom >"/dev/tcp/127.0.0.1/$METRICS" 2>/dev/null
is 'after random bytes it answers' 200 "$(code /healthz)"

# More connections than it serves at a time, all silent: they are cut off at their deadline.
fds=()
for _ in {1..24}; do
	exec {fd}<>"/dev/tcp/127.0.0.1/$METRICS"
	fds+=("$fd")
done
check 'silent scrapers: clients do not notice' serves
answers() { [ "$(scrape /healthz -m 30 2>/dev/null)" = ok ]; }
within 'silent scrapers are cut off' 60 answers
for fd in "${fds[@]}"; do exec {fd}>&-; done

# --- when things are bad ----------------------------------------------------------------------------

pids=$(get worker.0.pid)\ $(get worker.1.pid)
# shellcheck disable=SC2086
kill -STOP $pids
has 'all workers stopped: it still answers' 'pgdrove_worker_heartbeat_seconds{worker="0"}' "$(scrape /metrics)"
# shellcheck disable=SC2086
kill -CONT $pids

# --- Prometheus -------------------------------------------------------------------------------------

PROM=$(port_free)
mkdir "$WORK_DIR/prom"
cat >"$WORK_DIR/prom.yml" <<-YAML
	global: { scrape_interval: 1s, evaluation_interval: 1s }
	rule_files: [ "$PWD/scripts/prometheus-rules.yml" ]
	scrape_configs: [ { job_name: pgdrove, static_configs: [ { targets: [ "127.0.0.1:$METRICS" ] } ] } ]
YAML
check 'promtool: the alert rules' promtool check rules scripts/prometheus-rules.yml >"$WORK_DIR/rules.log"
head -n 1 "$WORK_DIR/rules.log"
beside prometheus --config.file="$WORK_DIR/prom.yml" --storage.tsdb.path="$WORK_DIR/prom" \
	--web.listen-address="127.0.0.1:$PROM" >"$WORK_DIR/prom.log" 2>&1
scraped() {
	curl -s "http://127.0.0.1:$PROM/api/v1/query?query=pgdrove_pool_xact_count_total" | grep -q '"user":"postgres"'
}
within "Debian's prometheus has scraped it" 60 scraped

# Every metric that the rules and the dashboard name exists.
unknown=$(grep -ohE 'pgdrove_[a-z0-9_]+' scripts/prometheus-rules.yml scripts/grafana-dashboard.json | sort -u |
	while read -r name; do grep -qE "^${name}[{ ]" "$WORK_DIR/metrics" || echo "$name"; done)
is 'rules and dashboard name metrics that exist' '' "$unknown"
check 'the dashboard is JSON' python3 -c 'import json; json.load(open("scripts/grafana-dashboard.json"))'

# --- reload -----------------------------------------------------------------------------------------

sed -i "s/metrics_listen = .*/metrics_listen = \"\";/" "$WORK_DIR/pgdrove.conf"
kill -HUP "$POOLER"
silent() { ! scrape /healthz >/dev/null 2>&1; }
within 'a reload takes the listener away' 20 silent
check '... and clients go on' serves
"$BIN" -t -c <(sed 's/metrics_listen = .*/metrics_listen = "nowhere";/' "$WORK_DIR/pgdrove.conf") >"$WORK_DIR/bad" 2>&1
has 'a wrong address is refused' 'metrics_listen: expected an address' "$(cat "$WORK_DIR/bad")"
pooler_stop 'ends well'

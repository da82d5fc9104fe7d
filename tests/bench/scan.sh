# shellcheck shell=bash
#
# bench --scan: how fast SQL text is scanned, per core; see scan.c. Sourced by scripts/bench.

bench_scan() { build/tests/bench/scan; }

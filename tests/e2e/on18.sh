#!/usr/bin/env bash
#
# on18: what depends most on the server's version, with PostgreSQL 18: prepared statements, session state, the
# differential test. (Logins: authmatrix.sh.)
#
# PostgreSQL 18 is in build/pg18, put there by scripts/check; without it nothing is tested, unless PG18_WANTED is set.

set -u
cd "$(dirname "$0")/../.." || exit 2
BIN=${PGDROVE_BIN:-build/pgdrove}
passed=0 failed=0

# result NAME CODE
result() {
	if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
	echo "$([ "$2" = 0 ] && echo ok || echo FAIL) $1"
}

if [ -x build/pg18/bin/postgres ]; then
	export PG18=yes DIFFER_COUNT=500 DIFFER_KINDS=all
	for program in test_prepared test_session test_differ; do
		"${BIN%/*}/tests/e2e/$program"
		result "$program" $?
	done
else
	echo 'without PostgreSQL 18, which is not in build/pg18'
	[ -z "${PG18_WANTED:-}" ]
	result 'PostgreSQL 18 is there, or nobody has asked for it' $?
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

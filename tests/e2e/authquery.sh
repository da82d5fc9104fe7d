#!/usr/bin/env bash
#
# authquery: users that only PostgreSQL knows: SCRAM without any stored password, MD5, no password,
# no such user; what was found is kept, shared and asked for once; failures are told; nobody waits
# for somebody else's query.

set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/e2e/lib.sh

e2e_begin authquery scram-sha-256
cat >"$WORK_DIR/data/pg_hba.conf" <<-HBA
	local all all trust
	host all m_user all md5
	host all all all scram-sha-256
HBA
admin_sql "set password_encryption = 'md5'; create role m_user login password 'pw m'"
admin_sql "create role s_user login password 'pw s'; create role crowd login password 'pw c'; create role old login password 'pw o' valid until '2001-01-01'"
admin_sql "create role asker login password 'pw a'; create role forced login password 'pw f'; create role bare login; create role boss superuser login password 'pw b'"
admin_sql "create table calls (name text); create table pace (held bool); insert into pace values (false)" app
# Counts its calls, and has no answer while `pace` holds it (a minute at most).
admin_sql "create function lookup(n text) returns table (u text, p text) language plpgsql security definer as \$\$
	begin
		insert into calls values (n);
		for i in 1..3000 loop
			exit when not (select held from pace);
			perform pg_sleep(0.02);
		end loop;
		return query select rolname::text, case when rolvaliduntil < now() then null else rolpassword end
			from pg_authid where rolname = n and rolcanlogin;
	end \$\$; grant execute on function lookup to asker" app
admin_sql 'select pg_reload_conf()' >/dev/null
printf '"asker" "pw a"\n"forced" "pw f"\n"boss" "pw b"\n' | auth_file

# query_conf TTL [MORE]
query_conf() {
	pooler_conf <<-CONF
		workers = 2;
		pool_mode = "transaction";
		pool_size = 3;
		server_login_retry = "100ms";
		auth_type = "scram-sha-256";
		auth_file = "$WORK_DIR/users.txt";
		auth_user = "asker";
		auth_query = "select * from lookup(\$1)";
		auth_query_ttl = "$1";
		databases = (
			{ name = "app"; host = "127.0.0.1"; port = $PG_PORT; },
			{ name = "own"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; user = "forced"; },
			{ name = "elsewhere"; host = "127.0.0.1"; port = $PG_PORT; dbname = "postgres"; auth_dbname = "app"; },
			{ name = "broken"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; auth_query = "select nonsense"; },
			{ name = "one"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; auth_query = "select \$1::text"; },
			{ name = "empty"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; auth_query = "select \$1::text, ''"; },
			{ name = "two"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app";
			  auth_query = "select \$1::text, 'x' union all select \$1, 'y'"; },
			{ name = "other"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; auth_query = "select 'z', 'y' where \$1 <> ''"; },
			{ name = "stranger"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; auth_user = "nobody_known"; },
			{ name = "default"; host = "127.0.0.1"; port = $PG_PORT; dbname = "app"; auth_user = "boss"; auth_query = ""; },
			{ name = "down"; host = "127.0.0.1"; port = 1; } );
		${2:-}
	CONF
}
# login USER PASSWORD [DB]: the user's name at PostgreSQL, or what psql complains of.
login() {
	PGPASSWORD=$2 "$PG_BIN/psql" -X -q -A -t -w -h 127.0.0.1 -p "$PORT" -U "$1" -d "${3:-app}" \
		-v VERBOSITY=verbose -c 'select current_user' 2>&1
}
calls() { admin_count "calls where name = '$1'"; }
pace_holds() { admin_sql "update pace set held = $1" app; }

query_conf 1h
pooler_start
is 'scram-sha-256: nothing is stored here, PostgreSQL has a verifier' s_user "$(login s_user 'pw s')"
is '... again' s_user "$(login s_user 'pw s')"
is '... and it was asked once' 1 "$(calls s_user)"
is 'another database, the query elsewhere' s_user "$(login s_user 'pw s' elsewhere)"
is '... is the same question' 1 "$(calls s_user)"
is 'a database with a user of its own' forced "$(login s_user 'pw s' own)"
has 'a wrong password' 'password authentication failed for user "s_user"' "$(login s_user x)"
has 'a password that has expired' 'password authentication failed for user "old"' "$(login old 'pw o')"
check '... the log says so' log_has 'for user "old" \(28P01\): no password is known'
has 'a role without a password' 'password authentication failed for user "bare"' "$(login bare 'pw o')"
has 'no such user' 'password authentication failed for user "nobody"' "$(login nobody x)"
has 'no such user, again' 'password authentication failed for user "nobody"' "$(login nobody x)"
check '... the log says so' log_has 'for user "nobody" \(28P01\): no such user'
is '... it was asked once or twice' yes "$([ "$(calls nobody)" -le 2 ] && echo yes)"
has 'an odd name is a parameter' 'password authentication failed' "$(login "x' or ''='" x)"

is 'the right one is found anew' s_user "$(login s_user 'pw s')"
is 'the query that is built in' s_user "$(login s_user 'pw s' default)"
has '... heeds the expiry' 'password authentication failed' "$(login old 'pw o' default)"
admin_sql "alter role s_user password 'new s'"
sleep 1.1 # what is younger is not asked again
has 'a changed password: the first login still meets the old one' 'password authentication failed' "$(login s_user 'new s')"
is '... the next one asks again' s_user "$(login s_user 'new s')"
admin_sql "alter role s_user password 'pw s'"

has 'a query that fails' 'FATAL:  auth_query failed' "$(login s_user 'pw s' broken)"
check '... with F0000' log_has 'refused: auth_query failed \(F0000\): column "nonsense"'
check '... the log has the words' log_has 'auth_query for user "s_user": column "nonsense" does not exist \(42703\)'
has 'one column' 'auth_query failed' "$(login s_user 'pw s' one)"
check '... the log says so' log_has 'must return two columns'
has 'an empty password is found' 'password authentication failed for user "s_user"' "$(login s_user 'pw s' empty)"
check '... the log says so' log_has 'for user "s_user" \(28P01\): the stored password is empty, which fits nothing'
has 'two rows' 'auth_query failed' "$(login s_user 'pw s' two)"
check '... the log says so' log_has 'more than one row'
has 'another name' 'auth_query failed' "$(login s_user 'pw s' other)"
check '... the log says so' log_has 'another name than it was asked for'
has 'an auth_user without a password' 'auth_query failed' "$(login s_user 'pw s' stranger)"
check '... the log says so' log_has 'none is configured for this user.*asked in stranger as nobody_known'
has 'PostgreSQL is not there' 'FATAL:  auth_query failed' "$(login s_user 'pw s' down)"
check '... with 08006' log_has 'refused: auth_query failed \(08006\): cannot connect'
check '... the log says so' log_has 'auth_query for user "s_user": cannot connect to server'
is 'no secret in the log' 0 "$(grep -cE 'pw [smaofb]|new s|SCRAM-SHA-256\$|md5[0-9a-f]{32}' "$WORK_DIR/pgdrove.log")"
none_there() { get_is clients 0; }
within 'its sessions end by themselves' 20 none_there
pooler_stop 'ends well'

# A crowd of one user asks once a worker; others need not wait for a slow query.
query_conf 1h 'client_login_timeout = "40s";'
admin_sql 'truncate calls' app
pooler_start
is 'a first login' s_user "$(login s_user 'pw s')"
pace_holds true
crowd=()
for i in 1 2 3 4 5 6 7 8; do
	login crowd 'pw c' >"$WORK_DIR/crowd.$i" &
	crowd+=($!)
done
asked() { [ "$(admin_count "pg_stat_activity where usename = 'asker' and state = 'active'")" -ge 1 ]; }
within '... asked for another one, PostgreSQL takes its time' 20 asked
for i in 1 2 3 4; do login s_user 'pw s'; done >"$WORK_DIR/others"
is 'others come in meanwhile' 4 "$(grep -cx s_user "$WORK_DIR/others")"
is '... none of the crowd does' 0 "$(cat "$WORK_DIR"/crowd.? | wc -l)"
pace_holds false
wait "${crowd[@]}"
is 'all of the crowd came in' 8 "$(cat "$WORK_DIR"/crowd.? | grep -cx crowd)"
is 'a crowd of one user asks once a worker' yes "$([ "$(calls crowd)" -le 2 ] && echo yes)"
sed -i 's/client_login_timeout = "40s"/client_login_timeout = "4s"/' "$WORK_DIR/pgdrove.conf"
pooler_reload || not_ok 'a reload'
pace_holds true
before=$(now_ms)
has 'client_login_timeout counts, too' 'client_login_timeout' "$(login old x)"
is '... in time' yes "$([ $(($(now_ms) - before)) -lt 40000 ] && echo yes)"
pooler_stop 'ends well with a query under way'
pace_holds false

# An MD5 hash is enough for a server that asks for MD5.
query_conf 0
sed -i 's/^auth_type.*/auth_type = "md5";/' "$WORK_DIR/pgdrove.conf"
pooler_start
admin_sql 'truncate calls' app
is 'md5' m_user "$(login m_user 'pw m')"
is '... again' m_user "$(login m_user 'pw m')"
is 'auth_query_ttl 0: every login asks' 2 "$(calls m_user)"
is 'md5: a verifier makes it SCRAM' s_user "$(login s_user 'pw s')"
has 'md5: no such user' 'password authentication failed for user "nobody"' "$(login nobody x)"
pooler_stop 'md5: ends well'

# trust asks only whether there is such a user.
query_conf 1h
sed -i 's/^auth_type.*/auth_type = "trust";/' "$WORK_DIR/pgdrove.conf"
pooler_start
has 'trust: no such user' 'no such user: nobody' "$(login nobody x)"
check '... the log says why' log_has 'no such user: nobody \(28000\): auth_query does not find it'
has 'trust: one that PostgreSQL knows comes in, and has no password for it' 'no client has logged in with the verifier' "$(login s_user x)"
is 'trust: it goes on as the user of the database' forced "$(login s_user x own)"
pooler_stop 'trust: ends well'

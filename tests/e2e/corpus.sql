-- The corpus of dump.sh: statements of all kinds, in the manner of PostgreSQL's regression suite. psql runs it with -a.
-- What would outlive a transaction is undone again.
\set VERBOSITY verbose
\set SHOW_CONTEXT always
set client_min_messages = notice;


-- types, good and bad values
select 0::int as v;
select -2147483648::int as v;
select 2147483647::int as v;
select 2147483648::int as v;
select 'x'::int as v;
select 9223372036854775807::bigint as v;
select -1::bigint as v;
select 32767::smallint as v;
select 32768::smallint as v;
select 1.005::numeric(6,2) as v;
select 99999::numeric(6,2) as v;
select null::numeric(6,2) as v;
select 'NaN'::float8 as v;
select 'infinity'::float8 as v;
select 1e308::float8 as v;
select 'it''s'::text as v;
select E'a\tb\\'::text as v;
select U&'\0061'::text as v;
select $$dollar 'quoted'$$::text as v;
select $a$ $b$ ; $b$ $a$::text as v;
select '\x00ff'::bytea as v;
select '\xzz'::bytea as v;
select '2020-02-29'::date as v;
select '2021-02-29'::date as v;
select '2020-01-01 00:00:00+05'::timestamptz as v;
select '1 day 2:03'::interval as v;
select 'soon'::interval as v;
select '00000000-0000-0000-0000-000000000001'::uuid as v;
select 'short'::uuid as v;
select '{"a": [1, null, {"b": true}]}'::jsonb as v;
select '{a}'::jsonb as v;
select '{1,2,null}'::int[] as v;
select '{1,{2}}'::int[] as v;
select '10.0.0.0/8'::inet as v;
select '300.1.1.1'::inet as v;
select '(1,2)'::point as v;
select '[1,10)'::int4range as v;
select '[10,1)'::int4range as v;
select '101'::bit(3) as v;
select '1011'::bit(3) as v;
select 'yes'::boolean as v;
select 'maybe'::boolean as v;
select '<a/>'::xml as v;
select 'a fat cat'::tsvector as v;
select '12.34'::money as v;
select 'ab'::char(4) as v;
select 'n'::name as v;
select '1'::oid as v;
select '08:00:2b:01:02:03'::macaddr as v;

-- operators and functions
select 1 / 0;
select 5 % 3;
select 2 ^ 10;
select 'a' || 'b';
select 'abc' like 'a%';
select 'abc' ~ '(';
select substring('hello' from 2 for 3);
select position('l' in 'hello');
select overlay('abcdef' placing 'x' from 2 for 3);
select trim(both 'x' from 'xax');
select upper('ä');
select length(repeat('x', 100000));
select md5('a');
select encode('\x01'::bytea, 'base64');
select format('%I %L %s', 'a b', 'c''d', 1);
select to_char(1234.5, '9,999.99');
select to_date('2020 Jan', 'YYYY Mon');
select extract(epoch from interval '1 day');
select date_trunc('month', date '2020-05-17');
select age(date '2020-01-01', date '2019-02-03');
select greatest(1, null, 3);
select coalesce(null, 2);
select nullif(1, 1);
select case when false then 1 else 2 end;
select array[1,2] || 3;
select array_agg(x) from generate_series(1, 3) x;
select string_agg(x::text, ',' order by x desc) from generate_series(1, 3) x;
select percentile_cont(0.5) within group (order by x) from generate_series(1, 4) x;
select count(*) filter (where x > 1) from generate_series(1, 3) x;
select row(1, 'a', null);
select row(1, 2) = row(1, 2);
select unnest(array['a', 'b']);
select generate_series(1, 3);
select regexp_split_to_table('a,b', ',');
select json_build_object('a', 1, 'b', array[1,2]);
select jsonb_path_query('{"a":[1,2]}', '$.a[*]');
select '{"a":1}'::jsonb @> '{"a":1}';
select to_tsvector('english', 'fat cats') @@ 'cat'::tsquery;
select int4range(1, 5) * int4range(3, 9);
select '10.1.1.1'::inet << '10.0.0.0/8';
select sqrt(-1);
select ln(0);
select no_such_function(1);
select no_such_column;
select 'a' + 1;
select sum('a'::text);
select max(max(1));
select 1 where false;
select current_setting('no.such', true);
select pg_typeof(1.5);
select xmlelement(name a, 'b');
select set_config('a.b', 'c', true);
select current_setting('work_mem');
select txid_current() is not null;
select version() like 'Postgre%';
select current_user = session_user;
select lower('[1,2)'::int4range);
select width_bucket(5, 0, 10, 5);
select gcd(12, 18);

-- tables, constraints, indexes
create table a (id int primary key, b text not null default 'b', c numeric check (c > 0), unique (b, c));
create table a (id int);
create table if not exists a (id int);
create table child (id serial primary key, a_id int references a on delete cascade);
insert into a values (1, 'one', 1), (2, 'two', 2), (3, default, 3);
insert into a values (1, 'dup', 1);
insert into a (id, b) values (9, null);
insert into a values (10, 'neg', -1);
insert into child (a_id) values (1), (2);
insert into child (a_id) values (77);
delete from a where id = 1 returning *;
table child;
insert into a values (2, 'x', 5) on conflict (id) do update set b = excluded.b returning *;
insert into a values (2, 'y', 6) on conflict do nothing;
update a set c = c + 1 where id > 1 returning id, c;
update a set c = -c;
update a set no = 1;
alter table a add column d jsonb default '{}';
alter table a alter column c type bigint;
alter table a rename column d to e;
alter table a drop column nope;
alter table a add constraint positive check (id > 0) not valid;
alter table a validate constraint positive;
create index on a (b);
create index a_low on a (lower(b)) where id > 1;
create unique index on a (c);
drop index a_low;
reindex table a;
analyze a;
vacuum a;
vacuum (full, analyze) a;
cluster a using a_pkey;
truncate a;
truncate a, child restart identity;
insert into a select i, 'n' || i, i from generate_series(1, 50) i;
select count(*), min(b), max(c) from a;
create table part (k int, v text) partition by range (k);
create table part1 partition of part for values from (0) to (10);
insert into part values (5, 'in');
insert into part values (50, 'out');
create table part_rest partition of part default;
insert into part values (50, 'out');
select tableoid::regclass, * from part order by k;
create table p2 () inherits (a);
drop table a;
comment on table a is 'a comment; with a semicolon';
select obj_description('a'::regclass);
create view v as select id, b from a where id < 5;
select * from v order by id;
update v set b = 'by view' where id = 1;
create or replace view v as select 1;
create materialized view mv as select count(*) from a;
refresh materialized view mv;
select * from mv;
refresh materialized view concurrently mv;
create sequence sq start 5 increment 5;
select nextval('sq'), nextval('sq');
select setval('sq', 100);
alter sequence sq restart;
select last_value, is_called from sq;
create type mood as enum ('sad', 'ok');
alter type mood add value 'happy';
select 'happy'::mood > 'sad';
select 'angry'::mood;
create type pair as (x int, y text);
select (row(1, 'a')::pair).y;
create domain pos as int check (value > 0);
select 5::pos;
select (-5)::pos;
create extension if not exists pg_trgm;
create schema s1;
create table s1.t (x int);
set search_path = s1, public;
select * from t;
reset search_path;
select * from t;
drop schema s1;
drop schema s1 cascade;
create role corpus_role;
grant select on a to corpus_role;
revoke all on a from corpus_role;
drop role corpus_role;
create role corpus_role superuser nologin;
drop role corpus_role;
create rule r as on insert to mv do instead nothing;
create statistics st on id, c from a;
analyze a;
drop statistics st;
create policy p on a using (id = 1);
alter table a enable row level security;
alter table a disable row level security;
drop policy p on a;

-- functions, DO, triggers
create function add(int, int) returns int language sql as $$ select $1 + $2; $$;
select add(1, 2), add(1, null);
create function fails(n int) returns int language plpgsql as $body$
begin
	if n = 0 then raise exception 'zero; it is %', n using errcode = 'P0042', hint = 'take $another$'; end if;
	raise notice 'n is %', n;
	return 10 / (n - 1);
exception when division_by_zero then return -1;
end $body$;
select fails(2), fails(1);
select fails(0);
create procedure twice(inout n int) language plpgsql as $$ begin n := n * 2; commit; end $$;
call twice(21);
begin; call twice(1); rollback;
create function rows_of(n int) returns table (i int, s text) language sql as $$ select i, repeat('x', i) from generate_series(1, n) i $$;
select * from rows_of(3);
create function log_it() returns trigger language plpgsql as $$ begin raise notice '% %', tg_op, coalesce(new.id, old.id); return coalesce(new, old); end $$;
create trigger t before insert or update or delete on a for each row execute function log_it();
insert into a values (1000, 'trigger', 1000); update a set b = 'again' where id = 1000; delete from a where id = 1000;
drop trigger t on a; drop function log_it(); drop function log_it();
do $$ begin for i in 1..3 loop raise notice 'i = %', i; end loop; end $$;
do $$ begin perform 1 / 0; end $$;
do $outer$ begin execute $inner$ create table made_by_do (x int) $inner$; end $outer$; drop table made_by_do;
do language plpgsql 'begin raise warning ''old quotes''; end';
do $$ declare r record; begin for r in select id from a order by id limit 2 loop raise info '%', r.id; end loop; end $$;

-- queries
with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) select sum(n) from r;
with moved as (delete from a where id > 48 returning *) select count(*) from moved;
with x as materialized (select 1 as one) select * from x, x y;
select id, rank() over (order by c desc), lag(id) over w from a where id < 5 window w as (order by id);
select sum(c) over (order by id rows between 1 preceding and current row) from a where id < 5;
select id % 3 as g, count(*) from a group by 1 having count(*) > 1 order by 1;
select id % 2, id % 3, count(*) from a group by grouping sets ((1), (2), ()) order by 1, 2;
select id % 2, count(*) from a group by rollup (1) order by 1;
select distinct on (id % 3) id from a order by id % 3, id;
select 1 union select 1 union all select 2 order by 1;
select 1 intersect select 2;
select 1 except select 2;
values (1, 'a'), (2, 'b');
select * from a x join a y using (id) where id = 2;
select * from a natural join v where id = 2;
select x.id from a x left join part p on p.k = x.id where x.id = 5;
select * from generate_series(1, 2) i, lateral (select i * 2) s(d);
select exists (select 1 from a where id = 5), 5 in (select id from a), 5 > all (select 1);
select (select id from a);
select * from a tablesample system (100) where id = 3;
select id from a order by id desc nulls last limit 2 offset 1;
select id from a order by id fetch first 2 rows with ties;
select * from a where id = 1 for update;
select id from a where b = any (array['n2', 'n3']) order by id;
select array(select id from a order by id limit 3);
select x from json_to_recordset('[{"x":1},{"x":2}]') as t(x int);
select * from no_table;
select nope from a;
select * from a, a;
selec 1;
select;
select 1 as "Weird ""name;";
explain (costs off) select * from a where id = 1;
explain (costs off, verbose) select count(*) from a;
explain (analyze, costs off, timing off, summary off, buffers off) select 1;
explain (costs off, format json) select 1;
merge into a using (values (2, 'merged')) s(id, b) on a.id = s.id when matched then update set b = s.b;
lock table a;
copy (select 1, 'two', null) to stdout;
copy (select * from a where id < 4 order by id) to stdout with (format csv, header);
copy no_table from stdin;
/* a comment; /* nested; */ */ select 'after' -- and ; one more;
select 'a'
  'b';
select $1;
select 1; ; select 2;
security label on table a is 'x';
load 'no_such_library';
checkpoint;
notify nobody;
show server_encoding;
show all_of_it;
select pg_notify('c', 'p');
import foreign schema x from server y into z;
create publication pb for table a;
drop publication pb;
create event trigger e on ddl_command_start execute function add();
create collation de (locale = 'C');
select 'a' < 'B' collate de;
drop collation de;
create cast (text as int) with inout; drop cast (text as int);
create operator === (leftarg = int, rightarg = int, function = int4eq);
select 1 === 1;
drop operator === (int, int);
create aggregate mysum (int) (sfunc = int4pl, stype = int, initcond = 0);
select mysum(i) from generate_series(1, 4) i;
drop aggregate mysum (int);

-- transactions
begin; insert into a values (2000, 'gone', 2000); rollback; select count(*) from a where id = 2000;
begin; insert into a values (2001, 'kept', 2001); savepoint s; select 1/0; select 1; rollback to s; release s; commit; select count(*) from a where id = 2001;
begin; savepoint x; savepoint x; insert into a values (2002, 'x', 2002); rollback to x; rollback to x; release x; rollback to nope; commit;
begin isolation level serializable, read only; show transaction_isolation; insert into a values (2003, 'x', 1); end;
begin; set transaction isolation level repeatable read; select 1; set transaction isolation level serializable; abort;
start transaction; commit and chain; show transaction_isolation; rollback and no chain;
commit; rollback; savepoint outside; release outside;
begin; begin; select 1; commit; commit;
begin; set local work_mem = '1MB'; show work_mem; commit; show work_mem;
begin; set work_mem = '2MB'; rollback; show work_mem; set work_mem = '3MB'; show work_mem; reset work_mem; show work_mem;
begin; set constraints all deferred; commit; set timezone = 'UTC'; show timezone; set datestyle = 'German'; select date '2020-03-04'; set datestyle = 'nonsense'; reset datestyle; reset timezone;
select 1\; select 2\; select 1/0\; select 3;
insert into a values (3000, 'implicit', 3000)\; select 1/0; select count(*) from a where id = 3000;
begin\; insert into a values (3001, 'multi', 3001)\; commit\; select 1/0; delete from a where id = 3001;
prepare q (int) as select b from a where id = $1; execute q (2); execute q (3); execute q; prepare q as select 1; explain (costs off) execute q (2); deallocate q; execute q (1); deallocate q;
begin; prepare t as select 1; rollback; execute t; deallocate all; execute t;
begin; declare c cursor for select id from a order by id; fetch 2 from c; fetch backward 1 from c; move 3 in c; fetch c; fetch absolute 1 from c; update a set b = 'cur' where current of c; close c; fetch c; rollback;
begin; declare c scroll cursor for select id from a order by id; fetch last from c; fetch first from c; fetch prior from c; commit; fetch c;
declare nope cursor for select 1; declare h cursor with hold for select generate_series(1, 3); fetch 1 from h; select 'between'; fetch all from h; close h; close all;
create temp table tt (x int) on commit delete rows; begin; insert into tt values (1); select * from tt; commit; select * from tt; drop table tt;
begin; create temp table dropped (x int) on commit drop; insert into dropped values (1); commit; select * from dropped;
listen ch; notify ch; notify ch, 'payload'; begin; notify ch, 'late'; commit; unlisten ch; notify ch; listen ch; unlisten *;
select pg_advisory_lock(1); select pg_try_advisory_lock_shared(2); select count(*) from pg_locks where locktype = 'advisory'; select pg_advisory_unlock(1); select pg_advisory_unlock(1); select pg_advisory_unlock_all();
begin; select pg_advisory_xact_lock(3); select count(*) from pg_locks where locktype = 'advisory'; commit; select count(*) from pg_locks where locktype = 'advisory';
set role nobody_there; create role corpus_role; set role corpus_role; select current_user; create table denied (x int); reset role; select current_user; drop role corpus_role;
set session authorization default; set standard_conforming_strings = off; select 'a\\b'; reset standard_conforming_strings; set search_path = nowhere; select * from a; reset search_path; discard plans; discard sequences; discard temp;
begin; discard all; rollback; discard all; begin; vacuum; rollback; begin; create database x; rollback; create index concurrently a_c on a (b, c); drop index concurrently a_c; alter system set work_mem = '4MB'; alter system reset work_mem;
select lo_create(900001); select lo_put(900001, 0, 'twelve bytes'); select lo_get(900001, 3, 4); select lo_unlink(900001); select lo_unlink(900001);
begin; select lo_from_bytea(900002, 'abc'); select lo_open(900002, 262144); select loread(0, 2); select lo_lseek(0, 0, 2); select lo_close(0); select lo_unlink(900002); rollback;
copy part from stdin;
1	one
2	\N
60	with\ttab
\.
copy part from stdin with (format csv);
3,"quoted, comma"
4,
\.
copy part (k) from stdin;
not a number
\.
begin; copy part from stdin;
7	in a transaction
\.
select count(*) from part; rollback; select count(*) from part;
table part order by k;
copy part to stdout; copy (select 1) to stdout; copy part from '/no/such/file'; copy (select count(*) from part) to program 'cat >/dev/null';

-- each command that psql's \h knows and that is not above
create database corpus_db; alter database corpus_db with connection limit 5; alter database corpus_db set work_mem = '1MB'; drop database corpus_db; drop database if exists corpus_db; drop database corpus_db;
create tablespace nowhere location '/no/such/directory'; set allow_in_place_tablespaces = on; create tablespace corpus_space location ''; alter tablespace corpus_space set (random_page_cost = 3);
create table spaced (x int) tablespace corpus_space; drop tablespace corpus_space; drop table spaced; drop tablespace corpus_space; reset allow_in_place_tablespaces;
create user corpus_user; alter user corpus_user with password 'x'; alter role corpus_user set work_mem = '2MB'; create group corpus_group; alter group corpus_group add user corpus_user; alter group corpus_group rename to corpus_group2;
create schema owned authorization corpus_user; create table owned.t (x int); alter table owned.t owner to corpus_user; reassign owned by corpus_user to postgres; alter schema owned owner to corpus_user; drop owned by corpus_user; select * from owned.t;
alter default privileges in schema public grant select on tables to corpus_group2; alter default privileges in schema public revoke select on tables from corpus_group2; drop schema if exists owned cascade; drop group corpus_group2; drop user corpus_user; drop user corpus_user;
begin; create table two_phases (x int); prepare transaction 'corpus one'; select count(*) from pg_prepared_xacts; select * from two_phases; commit prepared 'corpus one'; select * from two_phases; drop table two_phases;
begin; create table two_phases (x int); set local work_mem = '5MB'; prepare transaction 'corpus two'; show work_mem; rollback prepared 'corpus two'; rollback prepared 'corpus two'; begin; select 1/0; prepare transaction 'corpus three'; rollback;
begin; create temp table not_twice (x int); prepare transaction 'corpus four'; select * from not_twice; commit prepared 'corpus four';
begin; savepoint one; select 1/0; rollback to savepoint one; release savepoint one; rollback transaction to savepoint one; commit;
create table made as select i, i * i as sq from generate_series(1, 3) i; select i, sq into made_into from made where i > 1; table made_into; create table if not exists made as select 1; drop table made, made_into;
create foreign data wrapper corpus_fdw; alter foreign data wrapper corpus_fdw options (add a '1'); create server corpus_server foreign data wrapper corpus_fdw; alter server corpus_server version '2'; create user mapping for current_user server corpus_server options (user 'u'); alter user mapping for current_user server corpus_server options (set user 'v');
create foreign table far (x int) server corpus_server; alter foreign table far add column y text; select * from far; insert into far values (1); drop foreign table far; drop user mapping for current_user server corpus_server; drop server corpus_server; drop foreign data wrapper corpus_fdw;
create access method corpus_am type index handler bthandler; drop access method corpus_am; create access method corpus_am type index handler no_handler;
create conversion corpus_conv for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8; alter conversion corpus_conv rename to corpus_conv2; drop conversion corpus_conv2;
create language corpus_lang handler plpgsql_call_handler; alter language corpus_lang rename to corpus_lang2; drop language corpus_lang2; create transform for int language sql (from sql with function prsd_lextype(internal), to sql with function int4recv(internal)); drop transform for int language sql;
create text search parser corpus_parser (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype); alter text search parser corpus_parser rename to corpus_parser2; drop text search parser corpus_parser2;
create text search template corpus_template (lexize = dsimple_lexize); alter text search template corpus_template rename to corpus_template2; drop text search template corpus_template2;
create text search dictionary corpus_dict (template = simple); alter text search dictionary corpus_dict (accept = false); create text search configuration corpus_conf (copy = english); alter text search configuration corpus_conf alter mapping for asciiword with corpus_dict; select to_tsvector('corpus_conf', 'fat cats'); drop text search configuration corpus_conf; drop text search dictionary corpus_dict;
create operator family corpus_family using btree; alter operator family corpus_family using btree rename to corpus_family2; drop operator family corpus_family2 using btree; create operator class corpus_class for type uuid using hash as storage uuid; alter operator class corpus_class using hash rename to corpus_class2; drop operator class corpus_class2 using hash; drop operator family corpus_class using hash;
create operator ==== (leftarg = int, rightarg = int, function = int4eq); alter operator ==== (int, int) set (restrict = eqsel); drop operator ==== (int, int); create collation corpus_c (locale = 'C'); alter collation corpus_c rename to corpus_d; drop collation corpus_d;
create aggregate total (int) (sfunc = int4pl, stype = int, initcond = 0); alter aggregate total (int) rename to totals; drop aggregate totals (int); create domain short as text check (length(value) < 5); alter domain short set not null; select 'longer'::short; drop domain short;
create function one() returns int language sql as 'select 1'; alter function one() immutable; alter routine one() cost 5; drop routine one(); create procedure nothing() language sql as 'select 1'; alter procedure nothing() security definer; call nothing(); drop procedure nothing();
create function notes() returns event_trigger language plpgsql as $$ begin raise notice 'event %', tg_tag; end $$; create event trigger corpus_event on ddl_command_start execute function notes(); create table noted (x int); alter event trigger corpus_event disable; drop table noted; drop event trigger corpus_event; drop function notes();
create extension if not exists hstore; alter extension hstore update; select 'a=>1'::hstore -> 'a'; drop extension hstore; select 'a=>1'::hstore;
create table many (x int, y int); create index many_x on many (x); alter index many_x rename to many_x2; create statistics many_st on x, y from many; alter statistics many_st set statistics 50; create rule many_rule as on delete to many do instead nothing; alter rule many_rule on many rename to many_rule2; delete from many; drop rule many_rule2 on many;
create function trig() returns trigger language plpgsql as 'begin return new; end'; create trigger many_trig before insert on many for each row execute function trig(); alter trigger many_trig on many rename to many_trig2; insert into many values (1, 2); drop trigger many_trig2 on many; drop function trig(); create policy many_pol on many; alter policy many_pol on many using (true); drop policy many_pol on many;
create view many_v as select x from many; alter view many_v rename to many_w; table many_w; drop view many_w; create materialized view many_m as select x from many; alter materialized view many_m rename to many_n; drop materialized view many_n; create sequence many_s; alter sequence many_s increment 3; select nextval('many_s'); drop sequence many_s;
create publication corpus_pub for table many; alter publication corpus_pub set (publish = 'insert'); create subscription corpus_sub connection 'dbname=none' publication corpus_pub with (connect = false); alter subscription corpus_sub set (slot_name = none); begin; alter subscription corpus_sub refresh publication; rollback; drop subscription corpus_sub; drop publication corpus_pub; drop table many;
select lo_create(900003); alter large object 900003 owner to postgres; comment on large object 900003 is 'large'; select lo_unlink(900003); create type couple as (a int); alter type couple add attribute b text; drop type couple; create type couple as enum ('x'); alter type couple rename value 'x' to 'y'; select 'y'::couple; drop type couple;

-- psql
select 1 as one, 'two' as two \gset
\echo :one :'two'
select format('select %s;', i) from generate_series(1, 3) i \gexec
select id, b from a where id < 4 order by id \gx
select 1 as a, 2 as b \gdesc
select r, c, count(*) from (values (1, 'x'), (2, 'y')) t(r, c) group by 1, 2 \crosstabview
\copy part to '/dev/null'
\copy (select 1) to stdout
\if true
select 'in if';
\else
select 'not';
\endif
\x on
table part1;
\x off
\pset null '(null)'
select null;
\pset null ''
\bogus
\conninfo_nope
\set AUTOCOMMIT off
insert into part values (8, 'no autocommit');
rollback;
select count(*) from part where k = 8;
commit;
\set AUTOCOMMIT on
\set ON_ERROR_ROLLBACK on
begin; select 1/0; select 'goes on'; commit;
\set ON_ERROR_ROLLBACK off
\set FETCH_COUNT 7
select i from generate_series(1, 20) i;
select 1 / (15 - i) from generate_series(1, 20) i;
\unset FETCH_COUNT
\errverbose
\d
\d a
\d+ a
\d part
\dt
\di+ a_pkey
\dv
\df add
\sf fails
\sv v
\dT+ mood
\dD
\dn
\dp a
\dx
\lo_list
\ef_nope

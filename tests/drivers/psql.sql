-- psql: the simple protocol: PREPARE, COPY, cursors, large objects, session state, 50 MB each way, \d commands. Its
-- pipelines are several statements in a query.
\set VERBOSITY verbose
insert into items values (1, 'one'), (2, null);
begin; insert into items values (3, 'gone'); rollback;
begin; select 1/0; select 1; rollback;
begin; savepoint a; select 1/0; rollback to a; insert into items values (4, 'four'); commit;
select 1\; insert into items values (7, 'undone')\; select 1/0\; select 2;
select count(*) from items where id = 7;
copy items from stdin;
5	five
6	\N
\.
copy (select * from items order by id) to stdout;
begin; declare c cursor for select id from items order by id; fetch 2 from c; fetch all from c; commit;
begin; select lo_create(424242); select lo_put(424242, 0, 'large'); select lo_get(424242); select lo_unlink(424242); commit;
select null::int, true, 1.5::numeric, date '2020-01-01', array[1, 2], '\x00ff'::bytea, '{"a": 1}'::jsonb;
prepare put (int, text) as insert into items values ($1, $2);
execute put (20, 'prepared'); execute put (21, null);
prepare put as select 1;
begin; execute put (20, 'twice'); execute put (22, 'aborted'); rollback;
execute put (23, 'after'); deallocate put; execute put (24, 'gone');
select * from items order by id;
create temp table mine (a int); insert into mine values (1), (2); begin; drop table mine; rollback;
select * from mine; drop table mine;
select pg_advisory_lock(77), pg_try_advisory_lock(77); select pg_advisory_unlock(77), pg_advisory_unlock(77);
select pg_advisory_unlock(77);
listen news; begin; notify news, 'not yet'; rollback; notify news, 'now'; unlisten news; notify news, 'unheard';
create schema apart; set search_path = apart, public; show search_path; create table inner_table (); \d
begin; set local search_path = pg_catalog; show search_path; rollback; show search_path;
drop schema apart cascade; reset search_path; show search_path;
\getenv mb DRIVERS_MB
select repeat('z', :mb << 20) as big \gset
select length(:'big'), md5(:'big') = md5(repeat('z', :mb << 20)) as same;
\d
\d items
\dt items
\dn
\df lo_put

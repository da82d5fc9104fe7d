-- psql: the simple protocol, \d commands, COPY, cursors, large objects.
\set VERBOSITY verbose
insert into items values (1, 'one'), (2, null);
begin; insert into items values (3, 'gone'); rollback;
begin; select 1/0; select 1; rollback;
begin; savepoint a; select 1/0; rollback to a; insert into items values (4, 'four'); commit;
copy items from stdin;
5	five
6	\N
\.
copy (select * from items order by id) to stdout;
begin; declare c cursor for select id from items order by id; fetch 2 from c; fetch all from c; commit;
begin; select lo_create(424242); select lo_put(424242, 0, 'large'); select lo_get(424242); select lo_unlink(424242); commit;
select null::int, true, 1.5::numeric, date '2020-01-01', array[1, 2], '\x00ff'::bytea, '{"a": 1}'::jsonb;
\d
\d items
\dt items
\dn
\df lo_put

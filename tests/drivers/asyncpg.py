# asyncpg: everything is a named prepared statement, kept in a cache; binary; COPY; cursors; session state.
import sys
sys.path.pop(0)  # or this file would be the module
import asyncio, asyncpg, hashlib, io, os


async def main():
    db, other = await asyncpg.connect(ssl=False), await asyncpg.connect(ssl=False)
    for i in range(20):
        await db.execute("insert into items values ($1, $2)", i, None if i % 3 == 0 else "name %d" % i)
    for i in range(20):
        print(await asyncio.gather(db.fetchval("select $1::int * 2", i), other.fetchval("select $1::int * 3", i)))
    st = await db.prepare("select name from items where id = $1")
    for i in range(5):
        print(await st.fetchval(i))
    for sql in ("select 1/0", "selec", "insert into items values (1, 'twice')"):
        try:
            async with db.transaction():
                await db.execute("insert into items values (500, 'gone')")
                print(await db.fetch(sql))
        except asyncpg.PostgresError as e:
            print(e.sqlstate, e)
    await db.executemany("insert into items values ($1, $2)", [(i, "many") for i in range(600, 700)])
    try:
        await db.executemany("insert into items values ($1, $2)", [(700, "gone"), (601, "twice")])
    except asyncpg.PostgresError as e:
        print(e.sqlstate, await db.fetchval("select count(*) from items where id = 700"))
    print(list(await db.fetchrow("select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2], $1::bytea", b"\0\xff")))
    print(await db.copy_records_to_table("items", records=[(i, "copied") for i in range(1000, 6000)]))
    out = io.BytesIO()
    print(await db.copy_from_query("select * from items order by id", output=out), hashlib.md5(out.getvalue()).hexdigest())
    try:
        await db.copy_records_to_table("items", records=[(1, "twice")])
    except asyncpg.PostgresError as e:
        print(e.sqlstate)
    async with db.transaction():
        total = 0
        async for row in db.cursor("select id from items order by id", prefetch=100):
            total += row[0]
        print(total)
    async with db.transaction():
        oid = await db.fetchval("select lo_from_bytea(0, $1)", b"x" * 100000)
        fd = await db.fetchval("select lo_open($1, 262144)", oid)
        print([len(await db.fetchval("select loread($1, 60000)", fd)) for i in range(2)])
        print(await db.fetchval("select lo_unlink($1)", oid))
    await db.execute("set search_path = pg_catalog")
    print(await other.fetchval("show search_path"), await db.fetchval("show search_path"))
    await db.execute("reset search_path; create temp table mine (a int)")
    await other.fetchval("select 1")
    print(await db.fetchval("insert into mine values ($1) returning a", 5))
    await db.execute("drop table mine; select pg_advisory_lock(77)")
    print(await other.fetchval("select pg_try_advisory_lock(77)"), await db.fetchval("select pg_advisory_unlock(77)"))
    heard = asyncio.get_running_loop().create_future()
    await db.add_listener("news", lambda con, pid, channel, payload: heard.set_result((channel, payload)))
    await other.execute("notify news, 'now'")
    print(await heard)
    await db.reset()
    size = int(os.environ["DRIVERS_MB"]) << 20
    row = await db.fetchrow("select length($1), repeat('y', $2)", "z" * size, size)
    print(row[0], row[1] == "y" * size)
    await db.close()
    await other.close()

asyncio.run(main())

# asyncpg: everything is a named prepared statement, kept in a cache; binary; COPY; cursors.
import sys
sys.path.pop(0)  # or this file would be the module
import asyncio, asyncpg, io, os


async def main():
    db = await asyncpg.connect(ssl=False)
    for i in range(20):
        await db.execute("insert into items values ($1, $2)", i, None if i % 3 == 0 else "name %d" % i)
    for i in range(20):
        print(await db.fetchval("select $1::int * 2", i))
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
    print(list(await db.fetchrow("select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2], $1::bytea", b"\0\xff")))
    print(await db.copy_records_to_table("items", records=[(i, "copied") for i in range(1000, 6000)]))
    out = io.BytesIO()
    print(await db.copy_from_query("select * from items order by id", output=out), len(out.getvalue()))
    async with db.transaction():
        total = 0
        async for row in db.cursor("select id from items order by id", prefetch=100):
            total += row[0]
        print(total)
    size = int(os.environ["DRIVERS_MB"]) << 20
    row = await db.fetchrow("select length($1), repeat('y', $2)", "z" * size, size)
    print(row[0], len(row[1]))
    await db.close()

asyncio.run(main())

# SQLAlchemy over psycopg2: inspection, sessions, savepoints, streaming, COPY and large objects of the driver below it,
# session state. Then over asyncpg, whose statements are all prepared by name and kept.
import sys
sys.path.pop(0)  # or this file would be the module
import asyncio, hashlib, io, os, select

os.environ["SQLALCHEMY_SILENCE_UBER_WARNING"] = "1"
import psycopg2
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, declarative_base

engine = sa.create_engine("postgresql+psycopg2:///")
size = int(os.environ["DRIVERS_MB"]) << 20
Base = declarative_base()


class Item(Base):
    __tablename__ = "items"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.Text)


class Kind(Base):
    __tablename__ = "kinds"
    id = sa.Column(sa.Integer, primary_key=True)
    amount = sa.Column(sa.Numeric(10, 2))
    day = sa.Column(sa.Date)
    data = sa.Column(sa.LargeBinary)
    tags = sa.Column(ARRAY(sa.Text))
    doc = sa.Column(JSONB)


def one(connection, sql, **values):
    return connection.execute(sa.text(sql), values).scalar()


Kind.__table__.create(engine)
print([(c["name"], str(c["type"])) for c in sa.inspect(engine).get_columns("items")])
with Session(engine) as s:
    s.add_all([Item(id=i, name="name %d" % i) for i in range(100)])
    s.commit()
    s.add(Item(id=500))
    s.rollback()
    try:
        with s.begin_nested():
            s.execute(sa.text("select 1/0"))
    except sa.exc.DBAPIError as e:
        print(e.orig.pgcode)
    s.get(Item, 5).name = "five"
    s.commit()
    print([(i.id, i.name) for i in s.query(Item).filter(Item.id < 10).order_by(Item.id)])
    print(s.query(sa.func.count(Item.id)).scalar())
    for i in range(2000, 4000):
        s.add(Item(id=i))
    s.add(Kind(id=1, amount=1.5, tags=["a", None], doc={"a": [1, None]}, data=b"\0\xff"))
    s.add(Kind(id=2))
    s.commit()
    print([(k.amount, k.day, k.data and bytes(k.data), k.tags, k.doc) for k in s.query(Kind).order_by(Kind.id)])
    s.add(Item(id=5, name="twice"))
    try:
        s.flush()
    except sa.exc.IntegrityError as e:
        print(e.orig.pgcode)
    s.rollback()
    print(s.get(Item, 5).name)

with engine.connect() as db, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
    rows = db.execution_options(stream_results=True, yield_per=100).execute(sa.select(Item.id).order_by(Item.id))
    print(sum(r[0] for r in rows))
    db = db.execution_options(stream_results=False)
    raw = db.connection.connection
    cur = raw.cursor()
    cur.copy_from(io.StringIO("".join("%d\tcopied\n" % i for i in range(10000, 15000))), "items")
    out = io.StringIO()
    cur.copy_expert("copy (select * from items order by id) to stdout", out)
    print(hashlib.md5(out.getvalue().encode()).hexdigest())
    lo = raw.lobject(0, "wb")
    print(lo.write(b"x" * 100000))
    lo.unlink()
    one(db, "select 1")
    raw.commit()
    try:
        cur.copy_from(io.StringIO("20000\tfirst\n1\ttwice\n"), "items")
    except psycopg2.Error as e:
        print(e.pgcode)
    raw.rollback()
    print(one(db, "select count(*) from items where id = 20000"))
    raw.commit()
    one(other, "select 1")
    db.execute(sa.text("set search_path = pg_catalog"))
    db.execute(sa.text("create temp table mine (a int)"))
    db.execute(sa.text("select pg_advisory_lock(77)"))
    db.execute(sa.text("listen news"))
    db.execute(sa.text("prepare get as select name from public.items where id = $1"))
    raw.commit()
    print(one(other, "show search_path"), one(db, "show search_path"))
    print(one(db, "execute get (5)"), one(db, "insert into mine values (5) returning a"))
    print(one(other, "select pg_try_advisory_lock(77)"), one(db, "select pg_advisory_unlock(77)"))
    raw.commit()
    other.execute(sa.text("notify news, 'now'"))
    while not raw.notifies:
        select.select([raw], [], [])
        raw.poll()
    print(raw.notifies[0].channel, raw.notifies[0].payload)
    for sql in ("unlisten news", "deallocate get", "drop table mine", "reset search_path"):
        db.execute(sa.text(sql))
    raw.commit()
    row = db.execute(sa.text("select length(:a), repeat('y', :b)"), {"a": "z" * size, "b": size}).one()
    print(row[0], row[1] == "y" * size)


async def prepared():
    over_asyncpg = create_async_engine("postgresql+asyncpg:///?ssl=disable")
    async with AsyncSession(over_asyncpg) as s, over_asyncpg.connect() as other:
        for i in range(20):
            print((await s.execute(sa.select(Item.name).where(Item.id == i))).scalar(),
                  (await other.execute(sa.select(sa.literal(i) * 2))).scalar())
            await s.commit()
            await other.commit()
        s.add(Item(id=600, name="gone"))
        await s.flush()
        await s.rollback()
        try:
            s.add_all([Item(id=601, name="gone"), Item(id=5, name="twice")])
            await s.flush()
        except sa.exc.IntegrityError as e:
            print(e.orig.sqlstate)
        await s.rollback()
        print((await s.get(Item, 5)).name, await s.get(Item, 600), await s.get(Item, 601))
        rows = await s.stream(sa.select(Item.id).order_by(Item.id).execution_options(yield_per=100))
        print(sum([r[0] async for r in rows]))
        k = await s.get(Kind, 1)
        print(k.amount, k.data, k.tags, k.doc)
        await s.commit()
        await s.execute(sa.text("set search_path = pg_catalog"))
        await s.commit()
        print((await other.execute(sa.text("show search_path"))).scalar(),
              (await s.execute(sa.text("show search_path"))).scalar())
        await s.execute(sa.text("reset search_path"))
        await s.commit()
        print((await s.get(Item, 5, populate_existing=True)).name)
    await over_asyncpg.dispose()

asyncio.run(prepared())
Kind.__table__.drop(engine)

# psycopg2: parameters are put in by the client; SQL PREPARE, COPY, server cursors, large objects, session state. It has
# neither prepared statements of the protocol nor pipelines.
import sys
sys.path.pop(0)  # or this file would be the module
import hashlib, io, os, psycopg2, select
from psycopg2.extras import Json

db, other = psycopg2.connect(""), psycopg2.connect("")
other.autocommit = True
cur, aside = db.cursor(), other.cursor()


def one(cursor, sql, values=None):
    cursor.execute(sql, values)
    return cursor.fetchone()


for i in range(20):
    cur.execute("insert into items values (%s, %s)", (i, None if i % 3 == 0 else "name %d" % i))
db.commit()
cur.execute("insert into items values (100, 'gone')")
db.rollback()
for sql in ("select 1/0", "select 1", "insert into items values (1, 'twice')"):
    try:
        print(one(cur, sql))
    except psycopg2.Error as e:
        print(e.pgcode, e.pgerror)
db.rollback()
cur.execute("prepare get (int) as select name from items where id = $1")
db.commit()
for i in range(20):
    print(one(cur, "execute get (%s)", (i,)), one(aside, "select %s", (i,)))
    db.commit()
cur.execute("deallocate get")
row = one(cur, "select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2], %s, %s::jsonb, %s",
          (psycopg2.Binary(b"\0\xff"), Json({"a": 1}), None))
print([bytes(v) if isinstance(v, memoryview) else v for v in row])
cur.copy_from(io.StringIO("".join("%d\tcopied\n" % i for i in range(1000, 6000))), "items")
out = io.StringIO()
cur.copy_expert("copy (select * from items order by id) to stdout", out)
print(hashlib.md5(out.getvalue().encode()).hexdigest(), out.getvalue()[:80])
db.commit()
try:
    cur.copy_from(io.StringIO("1\ttwice\n"), "items")
except psycopg2.Error as e:
    print(e.pgcode)
db.rollback()
named = db.cursor("walk")
named.itersize = 100
named.execute("select id from items order by id")
print(sum(r[0] for r in named))
db.commit()
held = db.cursor("held", withhold=True)
held.execute("select id from items order by id")
db.commit()
print(held.fetchmany(3))
held.close()
lo = db.lobject(0, "wb")
lo.write(b"x" * 100000)
lo.seek(0)
print(lo.tell())
oid = lo.oid
lo.close()
db.commit()
print(len(db.lobject(oid, "rb").read()))
db.lobject(oid).unlink()
db.commit()
cur.execute("set search_path = pg_catalog")
db.commit()
print(one(aside, "show search_path"), one(cur, "show search_path"))
cur.execute("reset search_path")
cur.execute("create temp table mine (a int)")
db.commit()
print(one(cur, "insert into mine values (5) returning a"))
cur.execute("drop table mine")
cur.execute("select pg_advisory_lock(77)")
db.commit()
print(one(aside, "select pg_try_advisory_lock(77)"), one(cur, "select pg_advisory_unlock(77)"))
cur.execute("listen news")
db.commit()
aside.execute("notify news, 'now'")
while not db.notifies:
    select.select([db], [], [])
    db.poll()
print(db.notifies[0].channel, db.notifies[0].payload)
cur.execute("unlisten news")
db.commit()
size = int(os.environ["DRIVERS_MB"]) << 20
row = one(cur, "select length(%s), repeat('y', %s)", ("z" * size, size))
print(row[0], row[1] == "y" * size)
db.rollback()

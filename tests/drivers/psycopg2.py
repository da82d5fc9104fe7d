# psycopg2: parameters are put in by the client; COPY, server cursors, large objects.
import sys
sys.path.pop(0)  # or this file would be the module
import io, os, psycopg2
db = psycopg2.connect("")
cur = db.cursor()
for i in range(20):
    cur.execute("insert into items values (%s, %s)", (i, None if i % 3 == 0 else "name %d" % i))
db.commit()
cur.execute("insert into items values (100, 'gone')")
db.rollback()
for sql in ("select 1/0", "select 1", "insert into items values (1, 'twice')"):
    try:
        cur.execute(sql)
        print(cur.fetchall())
    except psycopg2.Error as e:
        print(e.pgcode, e.pgerror)
db.rollback()
cur.execute("select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2], %s, '{\"a\":1}'::jsonb",
            (psycopg2.Binary(b"\0\xff"),))
row = cur.fetchone()
print([bytes(v) if isinstance(v, memoryview) else v for v in row])
cur.copy_from(io.StringIO("".join("%d\tcopied\n" % i for i in range(1000, 6000))), "items")
out = io.StringIO()
cur.copy_expert("copy (select * from items order by id) to stdout", out)
print(len(out.getvalue()), out.getvalue()[:80])
db.commit()
named = db.cursor("walk")
named.itersize = 100
named.execute("select id from items order by id")
print(sum(r[0] for r in named))
db.commit()
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
size = int(os.environ["DRIVERS_MB"]) << 20
cur.execute("select length(%s), repeat('y', %s)", ("z" * size, size))
row = cur.fetchone()
print(row[0], len(row[1]))
db.rollback()

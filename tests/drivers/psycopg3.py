# psycopg 3: prepared by itself from the fifth time on; pipeline mode; binary; COPY; server cursors; session state.
import logging
import hashlib, os, psycopg

# It logs, at times, that an aborted pipeline was left, with its address and port.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)
db, other = psycopg.connect(""), psycopg.connect("", autocommit=True)
for i in range(20):
    db.execute("insert into items values (%s, %s)", (i, None if i % 3 == 0 else "name %d" % i))
    db.commit()
for i in range(20):
    print(db.execute("select %s::int * 2", (i,), prepare=True).fetchone())
    print(other.execute("select %s::int * 3", (i,)).fetchone())
    db.commit()
for sql in ("select 1/0", "select 1", "selec"):
    try:
        print(db.execute(sql).fetchall())
    except psycopg.Error as e:
        print(e.sqlstate, e)
db.rollback()
with db.pipeline():
    cur = [db.execute("select %s::int + 1, name from items where id = %s", (i, i)) for i in range(12)]
for c in cur:
    print(c.fetchall())
db.commit()
try:
    with db.pipeline() as p:
        a = db.execute("select 7 as a")
        db.execute("select 1/0")
        db.execute("select 8 as b")
        p.sync()
except psycopg.Error as e:
    print(e.sqlstate, e)
db.rollback()
print(db.execute("select 'on'").fetchone())
with db.pipeline() as p:
    with db.transaction():
        db.execute("insert into items values (100, 'kept')")
    p.sync()
    try:
        with db.transaction():
            db.execute("insert into items values (101, 'gone')")
            db.execute("insert into items values (1, 'twice')")
            p.sync()
    except psycopg.Error as e:
        print(e.sqlstate)
    c = db.execute("select id from items where id >= 100")
print(c.fetchall())
db.commit()
cur = db.cursor(binary=True)
print(cur.execute("select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2], %b::bytea", (b"\0\xff",)).fetchone())
with db.cursor().copy("copy items from stdin") as copy:
    for i in range(1000, 6000):
        copy.write_row((i, "copied"))
db.commit()
with db.cursor().copy("copy (select * from items order by id) to stdout") as copy:
    print(hashlib.md5(b"".join(bytes(block) for block in copy)).hexdigest())
try:
    with db.cursor().copy("copy items from stdin") as copy:
        copy.write_row((1, "twice"))
except psycopg.Error as e:
    print(e.sqlstate)
db.rollback()
with db.cursor("walk") as named:
    named.itersize = 100
    named.execute("select id from items order by id")
    print(sum(r[0] for r in named))
db.commit()
with db.transaction():
    oid = db.execute("select lo_from_bytea(0, %s)", (b"x" * 100000,)).fetchone()[0]
    fd = db.execute("select lo_open(%s, 262144)", (oid,)).fetchone()[0]
    print(len(db.execute("select loread(%s, 60000)", (fd,), binary=True).fetchone()[0]),
          len(db.execute("select loread(%s, 60000)", (fd,), binary=True).fetchone()[0]))
    print(db.execute("select lo_unlink(%s)", (oid,)).fetchone())
db.execute("set search_path = pg_catalog")
db.commit()
print(other.execute("show search_path").fetchone(), db.execute("show search_path").fetchone())
db.execute("reset search_path")
db.execute("create temp table mine (a int)")
db.commit()
print(db.execute("insert into mine values (%s) returning a", (5,)).fetchone())
db.execute("drop table mine")
db.execute("select pg_advisory_lock(77)")
db.commit()
print(other.execute("select pg_try_advisory_lock(77)").fetchone(), db.execute("select pg_advisory_unlock(77)").fetchone())
db.execute("listen news")
db.commit()
other.execute("notify news, 'now'")
for n in db.notifies():
    print(n.channel, n.payload)
    break
db.execute("unlisten news")
db.commit()
size = int(os.environ["DRIVERS_MB"]) << 20
row = db.execute("select length(%s), repeat('y', %s)", ("z" * size, size)).fetchone()
print(row[0], row[1] == "y" * size)

# Django's ORM: introspection, schema editor, queries, atomic blocks, savepoints, server-side cursors; COPY and large
# objects of the driver below it; session state. Over psycopg2: no prepared statements but SQL's, no pipelines.
import sys
sys.path.pop(0)  # or a file beside this one would be the driver
import datetime, hashlib, io, os, select

import django
import psycopg2
from django.conf import settings

place = {"ENGINE": "django.db.backends.postgresql", "NAME": "app", "USER": "postgres",
         "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"]}
settings.configure(DATABASES={"default": place, "other": dict(place)}, USE_TZ=True, TIME_ZONE="UTC",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField")
django.setup()
from django.db import Error, connection, connections, models, transaction


class Item(models.Model):
    name = models.TextField(null=True)

    class Meta:
        app_label = "drivers"
        db_table = "items"


class Note(models.Model):
    item = models.ForeignKey(Item, on_delete=models.CASCADE)
    tags = models.JSONField()
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "drivers"
        db_table = "notes"


class Kind(models.Model):
    amount = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    day = models.DateField(null=True)
    data = models.BinaryField(null=True)
    uuid = models.UUIDField(null=True)
    spent = models.DurationField(null=True)

    class Meta:
        app_label = "drivers"
        db_table = "kinds"


def run(sql, values=None, on=connection):
    with on.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone() if cursor.description else None


with connection.schema_editor() as editor:
    editor.create_model(Note)
    editor.create_model(Kind)
print(connection.introspection.table_names())
Item.objects.bulk_create(Item(id=i, name="name %d" % i if i % 3 else None) for i in range(3000))
for i in range(20):
    print(Item.objects.get(id=i).name)
try:
    with transaction.atomic():
        Item.objects.create(id=5000, name="gone")
        Item.objects.create(id=1, name="twice")
except Error as e:
    print(e.__cause__.pgcode)
with transaction.atomic():
    Item.objects.create(id=5001, name="kept")
    try:
        with transaction.atomic():
            connection.cursor().execute("select 1/0")
    except Error as e:
        print(e.__cause__.pgcode)
    Item.objects.select_for_update().filter(id=5).update(name="five")
for i in range(10):
    Note.objects.create(item_id=i, tags={"n": i})
print([(n.item.name, n.tags) for n in Note.objects.select_related("item").order_by("id")])
print(list(Note.objects.filter(tags__n__gte=7).values_list("item_id", flat=True).order_by("id")))
print(sum(i.id for i in Item.objects.order_by("id").iterator(chunk_size=100)))
print(Item.objects.aggregate(models.Count("id"), models.Max("id")))
Kind.objects.create(amount="1.50", day=datetime.date(2020, 1, 1), data=b"\0\xff", uuid="12345678123456781234567812345678",
                    spent=datetime.timedelta(days=1, seconds=5))
Kind.objects.create()
for k in Kind.objects.order_by("id"):
    print(k.amount, k.day, k.data and bytes(k.data), k.uuid, k.spent)
with connection.cursor() as cursor:
    cursor.copy_from(io.StringIO("".join("%d\tcopied\n" % i for i in range(10000, 15000))), "items")
    out = io.StringIO()
    cursor.copy_expert("copy (select * from items order by id) to stdout", out)
    print(hashlib.md5(out.getvalue().encode()).hexdigest())
    try:
        cursor.copy_from(io.StringIO("20000\tfirst\n10000\ttwice\n"), "items")
    except psycopg2.Error as e:
        print(e.pgcode)
print(Item.objects.filter(id=20000).count())
pg, other = connection.connection, connections["other"]
with transaction.atomic():
    lo = pg.lobject(0, "wb")
    print(lo.write(b"x" * 100000))
    lo.unlink()
run("prepare get as select name from items where id = $1")
run("set search_path = pg_catalog, public")
print(run("show search_path", on=other), run("show search_path"), run("execute get (5)"))
run("deallocate get")
run("reset search_path")
run("create temp table mine (a int)")
run("select 1", on=other)
print(run("insert into mine values (%s) returning a", (5,)))
run("drop table mine")
run("select pg_advisory_lock(77)")
print(run("select pg_try_advisory_lock(77)", on=other), run("select pg_advisory_unlock(77)"))
run("listen news")
run("notify news, 'now'", on=other)
while not pg.notifies:
    select.select([pg], [], [])
    pg.poll()
print(pg.notifies[0].channel, pg.notifies[0].payload)
run("unlisten news")
size = int(os.environ["DRIVERS_MB"]) << 20
row = run("select length(%s), repeat('y', %s)", ("z" * size, size))
print(row[0], row[1] == "y" * size)
with connection.schema_editor() as editor:
    editor.delete_model(Note)
    editor.delete_model(Kind)

# Django's ORM: introspection, schema editor, queries, atomic blocks, savepoints, server-side cursors.
import sys
sys.path.pop(0)  # or a file beside this one would be the driver
import os

import django
from django.conf import settings

settings.configure(DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": "app", "USER": "postgres",
    "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"]}}, USE_TZ=True, TIME_ZONE="UTC",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField")
django.setup()
from django.db import Error, connection, models, transaction


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


with connection.schema_editor() as editor:
    editor.create_model(Note)
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
with connection.schema_editor() as editor:
    editor.delete_model(Note)

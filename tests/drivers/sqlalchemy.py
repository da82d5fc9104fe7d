# SQLAlchemy over psycopg2: its inspection queries, sessions, savepoints.
import sys
sys.path.pop(0)  # or this file would be the module
import sqlalchemy as sa
from sqlalchemy.orm import Session, declarative_base

engine = sa.create_engine("postgresql+psycopg2:///")
Base = declarative_base()


class Item(Base):
    __tablename__ = "items"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.Text)


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

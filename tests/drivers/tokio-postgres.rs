// tokio-postgres: prepared statements, pipelined queries, transactions, COPY, portals.
use futures_util::{future, SinkExt, TryStreamExt};
use std::env;
use tokio_postgres::{Client, Error, NoTls};

fn state(e: &Error) -> String {
    match e.as_db_error() {
        Some(d) => format!("{} {}", d.code().code(), d.message()),
        None => format!("{e}"),
    }
}

async fn open() -> Result<Client, Error> {
    let config = format!(
        "host={} port={} user=postgres dbname=app",
        env::var("PGHOST").unwrap(),
        env::var("PGPORT").unwrap()
    );
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn refused(db: &mut Client, sql: &str) -> Result<(), Error> {
    let tx = db.transaction().await?;
    tx.execute("insert into items values (5000, 'gone')", &[]).await?;
    for text in [sql, "select 1"] {
        if let Err(e) = tx.execute(text, &[]).await {
            println!("{}", state(&e));
        }
    }
    tx.rollback().await
}

async fn run() -> Result<(), Error> {
    let (mut db, other) = (open().await?, open().await?);
    let put = db.prepare("insert into items values ($1, $2)").await?;
    for i in 0..20i32 {
        let name = (i % 3 != 0).then(|| format!("name {i}"));
        db.execute(&put, &[&i, &name]).await?;
    }
    let get = db.prepare("select id, name from items where id = $1").await?;
    let twice = other.prepare("select $1::int * 2").await?;
    for i in 0..20i32 {
        let (a, b) = future::try_join(db.query_one(&get, &[&i]), other.query_one(&twice, &[&i])).await?;
        println!("{} {:?} {}", a.get::<_, i32>(0), a.get::<_, Option<String>>(1), b.get::<_, i32>(0));
    }
    for sql in ["select 1/0", "selec", "insert into items values (1, 'twice')"] {
        refused(&mut db, sql).await?;
    }
    let ids: Vec<i32> = (0..12).collect();
    let rows = future::try_join_all(ids.iter().map(|i| async { db.query(&get, &[i]).await })).await?;
    println!("{:?}", rows.iter().map(|r| r[0].get::<_, i32>(0)).collect::<Vec<_>>());
    let mut sink = Box::pin(db.copy_in("copy items from stdin").await?);
    for i in 1000..6000 {
        sink.send(std::io::Cursor::new(format!("{i}\tcopied\n").into_bytes())).await?;
    }
    println!("{}", sink.as_mut().finish().await?);
    let out: Vec<_> = db.copy_out("copy (select * from items order by id) to stdout").await?.try_collect().await?;
    println!("{}", out.iter().map(|b| b.len()).sum::<usize>());
    let tx = db.transaction().await?;
    let portal = tx.bind("select id from items order by id", &[]).await?;
    let mut sum = 0i64;
    loop {
        let rows = tx.query_portal(&portal, 100).await?;
        if rows.is_empty() {
            break;
        }
        sum += rows.iter().map(|r| r.get::<_, i32>(0) as i64).sum::<i64>();
    }
    println!("{sum}");
    tx.commit().await?;
    db.batch_execute("set search_path = pg_catalog; create temp table mine (a int)").await?;
    other.batch_execute("select 1").await?;
    println!("{:?}", db.query_one("show search_path", &[]).await?.get::<_, String>(0));
    println!("{:?}", other.query_one("show search_path", &[]).await?.get::<_, String>(0));
    println!("{}", db.execute("insert into mine values (1), (2)", &[]).await?);
    let size = env::var("DRIVERS_MB").unwrap().parse::<usize>().unwrap() << 20;
    let row = db
        .query_one("select length($1), repeat('y', $2)", &[&"z".repeat(size), &(size as i32)])
        .await?;
    println!("{} {}", row.get::<_, i32>(0), row.get::<_, String>(1).len());
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(e) = run().await {
        println!("failed: {}", state(&e));
        std::process::exit(1);
    }
}

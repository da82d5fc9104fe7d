// tokio-postgres: prepared statements, pipelined queries, transactions, COPY, portals, session state. Large objects are
// PostgreSQL's functions.
use futures_util::{future, SinkExt, TryStreamExt};
use std::env;
use std::sync::{Arc, Mutex};
use tokio_postgres::{AsyncMessage, Client, Error, NoTls};

fn state(e: &Error) -> String {
    match e.as_db_error() {
        Some(d) => format!("{} {}", d.code().code(), d.message()),
        None => format!("{e}"),
    }
}

type Heard = Arc<Mutex<Vec<String>>>;

async fn open() -> Result<(Client, Heard), Error> {
    let config = format!(
        "host={} port={} user=postgres dbname=app",
        env::var("PGHOST").unwrap(),
        env::var("PGPORT").unwrap()
    );
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = heard.clone();
    tokio::spawn(async move {
        let mut connection = connection;
        while let Some(Ok(m)) = future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(n) = m {
                into.lock().unwrap().push(format!("{} {}", n.channel(), n.payload()));
            }
        }
    });
    Ok((client, heard))
}

async fn large(db: &mut Client) -> Result<(), Error> {
    let tx = db.transaction().await?;
    let oid: u32 = tx.query_one("select lo_from_bytea(0, $1)", &[&vec![0u8; 100000]]).await?.get(0);
    let fd: i32 = tx.query_one("select lo_open($1, 262144)", &[&oid]).await?.get(0);
    for _ in 0..2 {
        println!("{}", tx.query_one("select loread($1, 60000)", &[&fd]).await?.get::<_, Vec<u8>>(0).len());
    }
    println!("{}", tx.query_one("select lo_unlink($1)", &[&oid]).await?.get::<_, i32>(0));
    tx.commit().await
}

async fn types(db: &Client) -> Result<(), Error> {
    let r = db
        .query_one("select null::int, true, 1.5::float8, array[1, 2], $1::bytea, 'a'::\"char\"", &[&vec![0u8, 255]])
        .await?;
    println!(
        "{:?} {} {} {:?} {:?} {}",
        r.get::<_, Option<i32>>(0),
        r.get::<_, bool>(1),
        r.get::<_, f64>(2),
        r.get::<_, Vec<i32>>(3),
        r.get::<_, Vec<u8>>(4),
        r.get::<_, i8>(5)
    );
    Ok(())
}

async fn session(db: &Client, other: &Client, heard: &Heard) -> Result<(), Error> {
    db.batch_execute("set search_path = pg_catalog; create temp table mine (a int)").await?;
    other.batch_execute("select 1").await?;
    println!("{:?}", db.query_one("show search_path", &[]).await?.get::<_, String>(0));
    println!("{:?}", other.query_one("show search_path", &[]).await?.get::<_, String>(0));
    println!("{}", db.execute("insert into mine values (1), (2)", &[]).await?);
    db.batch_execute("drop table mine; reset search_path; select pg_advisory_lock(77)").await?;
    println!("{}", other.query_one("select pg_try_advisory_lock(77)", &[]).await?.get::<_, bool>(0));
    println!("{}", db.query_one("select pg_advisory_unlock(77)", &[]).await?.get::<_, bool>(0));
    db.batch_execute("listen news").await?;
    other.batch_execute("notify news, 'now'").await?;
    while heard.lock().unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    println!("{:?}", heard.lock().unwrap());
    db.batch_execute("unlisten news").await
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
    let ((mut db, heard), (other, _)) = (open().await?, open().await?);
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
    let mixed = ["select 1/1", "select 1/0", "selec", "select 4"];
    for r in future::join_all(mixed.iter().map(|sql| db.query_one(*sql, &[]))).await {
        match r {
            Ok(row) => println!("{}", row.get::<_, i32>(0)),
            Err(e) => println!("{}", state(&e)),
        }
    }
    let mut sink = Box::pin(db.copy_in("copy items from stdin").await?);
    for i in 1000..6000 {
        sink.send(std::io::Cursor::new(format!("{i}\tcopied\n").into_bytes())).await?;
    }
    println!("{}", sink.as_mut().finish().await?);
    let mut sink = Box::pin(db.copy_in("copy items from stdin").await?);
    sink.send(std::io::Cursor::new(b"1\ttwice\n".to_vec())).await?;
    if let Err(e) = sink.as_mut().finish().await {
        println!("{}", state(&e));
    }
    let out: Vec<_> = db.copy_out("copy (select * from items order by id) to stdout").await?.try_collect().await?;
    let sum = out.iter().flatten().fold(0u64, |sum, b| sum.wrapping_mul(31).wrapping_add(*b as u64));
    println!("{} {sum:x}", out.iter().map(|b| b.len()).sum::<usize>());
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
    large(&mut db).await?;
    types(&db).await?;
    session(&db, &other, &heard).await?;
    let size = env::var("DRIVERS_MB").unwrap().parse::<usize>().unwrap() << 20;
    let row = db
        .query_one("select length($1), repeat('y', $2)", &[&"z".repeat(size), &(size as i32)])
        .await?;
    println!("{} {}", row.get::<_, i32>(0), row.get::<_, String>(1) == "y".repeat(size));
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(e) = run().await {
        println!("failed: {}", state(&e));
        std::process::exit(1);
    }
}

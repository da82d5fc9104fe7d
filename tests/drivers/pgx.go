// pgx: its statement cache, batches, COPY, large objects, cursors, errors in transactions, LISTEN.
package main

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

var ctx = context.Background()

func state(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code + " " + e.Message
	}
	return fmt.Sprint(err)
}

func open() *pgx.Conn {
	db, err := pgx.Connect(ctx, "")
	must(err)
	return db
}

func refused(db *pgx.Conn, sql string) {
	tx, err := db.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "insert into items values ($1, $2)", 5000, "gone")
	must(err)
	_, err = tx.Exec(ctx, sql)
	fmt.Println(state(err))
	_, err = tx.Exec(ctx, "select 1")
	fmt.Println(state(err))
	must(tx.Rollback(ctx))
}

func batch(db *pgx.Conn) {
	b := &pgx.Batch{}
	for i := 0; i < 10; i++ {
		b.Queue("select $1::int + 1", i)
	}
	b.Queue("select 1/0")
	b.Queue("select 7")
	r := db.SendBatch(ctx, b)
	for i := 0; i < 12; i++ {
		var n int
		fmt.Println(state(r.QueryRow().Scan(&n)), n)
	}
	_ = r.Close()
}

func copyOut(db *pgx.Conn) {
	sum := md5.New()
	tag, err := db.PgConn().CopyTo(ctx, sum, "copy (select * from items order by id) to stdout")
	fmt.Printf("%v %v %x\n", tag, err, sum.Sum(nil))
}

func large(db *pgx.Conn) {
	tx, err := db.Begin(ctx)
	must(err)
	los := tx.LargeObjects()
	oid, err := los.Create(ctx, 0)
	must(err)
	lo, err := los.Open(ctx, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
	must(err)
	n, err := lo.Write(make([]byte, 100000))
	fmt.Println(n, err)
	at, err := lo.Seek(50000, 0)
	fmt.Println(at, err)
	n, err = lo.Read(make([]byte, 60000))
	fmt.Println(n, err)
	must(los.Unlink(ctx, oid))
	must(tx.Commit(ctx))
}

func oneOf(db *pgx.Conn) one {
	return func(sql string) (text string) {
		if err := db.QueryRow(ctx, sql).Scan(&text); err != pgx.ErrNoRows {
			must(err)
		}
		return text
	}
}

// The driver has no cursors of its own: SQL.
func cursor(db *pgx.Conn) {
	tx, err := db.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "declare walk cursor for select id from items order by id")
	must(err)
	walk(func() (rows, error) { return tx.Query(ctx, "fetch 500 from walk") })
	must(tx.Commit(ctx))
}

func types(db *pgx.Conn) {
	var null *int
	var t bool
	var n, j string
	var day time.Time
	var list []int32
	var b []byte
	must(db.QueryRow(ctx, `select null::int, true, 1.5::numeric::text, date '2020-01-01', array[1,2], $1::bytea,
		'{"a":1}'::jsonb::text`, []byte{0, 255}).Scan(&null, &t, &n, &day, &list, &b, &j))
	fmt.Println(null, t, n, day, list, b, j)
}

func listen(db, other *pgx.Conn) {
	_, err := db.Exec(ctx, "listen news")
	must(err)
	_, err = other.Exec(ctx, "notify news, 'now'")
	must(err)
	n, err := db.WaitForNotification(ctx)
	must(err)
	fmt.Println(n.Channel, n.Payload)
	_, err = db.Exec(ctx, "unlisten news")
	must(err)
}

func main() {
	db, other := open(), open()
	for i := 0; i < 20; i++ {
		var name *string
		if i%3 != 0 {
			s := fmt.Sprint("name ", i)
			name = &s
		}
		_, err := db.Exec(ctx, "insert into items values ($1, $2)", i, name)
		must(err)
	}
	for i := 0; i < 20; i++ {
		var id, n int
		var name *string
		must(db.QueryRow(ctx, "select id, name from items where id = $1", i).Scan(&id, &name))
		must(other.QueryRow(ctx, "select $1::int * 2", i).Scan(&n))
		fmt.Println(id, name != nil, n)
	}
	for _, sql := range badStatements {
		refused(db, sql)
	}
	batch(db)
	rows := [][]interface{}{}
	for i := 1000; i < 6000; i++ {
		rows = append(rows, []interface{}{i, "copied"})
	}
	n, err := db.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"id", "name"}, pgx.CopyFromRows(rows))
	fmt.Println(n, err)
	_, err = db.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"id", "name"}, pgx.CopyFromRows(rows))
	fmt.Println(state(err))
	copyOut(db)
	large(db)
	cursor(db)
	types(db)
	sessionState(oneOf(db), oneOf(other))
	listen(db, other)
	size := bigSize()
	var length int
	var back string
	must(db.QueryRow(ctx, "select length($1), repeat('y', $2)", strings.Repeat("z", size), size).Scan(&length, &back))
	fmt.Println(length, back == strings.Repeat("y", size))
	must(db.Close(ctx))
	must(other.Close(ctx))
}

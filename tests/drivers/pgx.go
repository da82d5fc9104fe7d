// pgx: its statement cache, batches, COPY, large objects, cursors, errors in transactions, LISTEN.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

var ctx = context.Background()

func must(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

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
	must(los.Unlink(ctx, oid))
	must(tx.Commit(ctx))
}

func session(db, other *pgx.Conn) {
	var a, b string
	_, err := db.Exec(ctx, "set search_path = pg_catalog")
	must(err)
	must(other.QueryRow(ctx, "show search_path").Scan(&b))
	must(db.QueryRow(ctx, "show search_path").Scan(&a))
	fmt.Println(a, b)
	_, err = db.Exec(ctx, "reset search_path; create temp table mine (a int); listen news")
	must(err)
	_, err = other.Exec(ctx, "notify news, 'now'")
	must(err)
	n, err := db.WaitForNotification(ctx)
	must(err)
	fmt.Println(n.Channel, n.Payload)
	tag, err := db.Exec(ctx, "insert into mine values ($1)", 5)
	fmt.Println(tag, err)
	_, err = db.Exec(ctx, "drop table mine; unlisten news")
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
	for _, sql := range []string{"select 1/0", "selec", "insert into items values (1, 'twice')"} {
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
	large(db)
	session(db, other)
	mb, _ := strconv.Atoi(os.Getenv("DRIVERS_MB"))
	size := mb << 20
	var length int
	var back string
	must(db.QueryRow(ctx, "select length($1), repeat('y', $2)", strings.Repeat("z", size), size).Scan(&length, &back))
	fmt.Println(length, len(back))
	must(db.Close(ctx))
	must(other.Close(ctx))
}

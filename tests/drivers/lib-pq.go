// lib/pq under database/sql: unnamed and named statements, transactions, COPY, LISTEN. It has neither pipelines nor
// large objects nor cursors of its own: those are SQL. It has no COPY TO.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"
)

var ctx = context.Background()

func state(err error) string {
	if e, ok := err.(*pq.Error); ok {
		return string(e.Code) + " " + e.Message
	}
	return fmt.Sprint(err)
}

func refused(db *sql.DB, text string) {
	tx, err := db.Begin()
	must(err)
	_, err = tx.Exec("insert into items values ($1, $2)", 5000, "gone")
	must(err)
	_, err = tx.Exec(text)
	fmt.Println(state(err))
	_, err = tx.Exec("select 1")
	fmt.Println(state(err))
	fmt.Println(tx.Rollback())
}

func copyIn(db *sql.DB) {
	tx, err := db.Begin()
	must(err)
	st, err := tx.Prepare(pq.CopyIn("items", "id", "name"))
	must(err)
	for i := 1000; i < 6000; i++ {
		_, err = st.Exec(i, "copied")
		must(err)
	}
	_, err = st.Exec()
	fmt.Println(state(err))
	must(st.Close())
	must(tx.Commit())
}

func copyTwice(db *sql.DB) {
	tx, err := db.Begin()
	must(err)
	st, err := tx.Prepare(pq.CopyIn("items", "id", "name"))
	must(err)
	_, err = st.Exec(1, "twice")
	must(err)
	_, err = st.Exec()
	fmt.Println(state(err))
	must(tx.Rollback())
}

func oneOf(db *sql.DB) one {
	return func(text string) (value string) {
		if err := db.QueryRow(text).Scan(&value); err != sql.ErrNoRows {
			must(err)
		}
		return value
	}
}

func large(db *sql.DB) {
	tx, err := db.Begin()
	must(err)
	var oid, fd, n int
	must(tx.QueryRow("select lo_from_bytea(0, $1)", make([]byte, 100000)).Scan(&oid))
	must(tx.QueryRow("select lo_open($1, 262144)", oid).Scan(&fd))
	for i := 0; i < 2; i++ {
		must(tx.QueryRow("select length(loread($1, 60000))", fd).Scan(&n))
		fmt.Println(n)
	}
	must(tx.QueryRow("select lo_unlink($1)", oid).Scan(&n))
	must(tx.Commit())
}

func cursor(db *sql.DB) {
	tx, err := db.Begin()
	must(err)
	_, err = tx.Exec("declare walk cursor for select id from items order by id")
	must(err)
	walk(func() (rows, error) { return tx.Query("fetch 500 from walk") })
	must(tx.Commit())
}

func types(db *sql.DB) {
	var null sql.NullInt32
	var t bool
	var n, j string
	var day time.Time
	var list []int32
	var b []byte
	must(db.QueryRow(`select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2], $1::bytea, '{"a":1}'::jsonb`,
		[]byte{0, 255}).Scan(&null, &t, &n, &day, pq.Array(&list), &b, &j))
	fmt.Println(null, t, n, day, list, b, j)
}

func listen(db *sql.DB) {
	l := pq.NewListener("", time.Second, time.Minute, nil)
	must(l.Listen("news"))
	_, err := db.Exec("notify news, 'now'")
	must(err)
	n := <-l.Notify
	fmt.Println(n.Channel, n.Extra)
	must(l.Close())
}

func main() {
	db, err := sql.Open("postgres", "")
	must(err)
	db.SetMaxOpenConns(1)
	put, err := db.Prepare("insert into items values ($1, $2)")
	must(err)
	get, err := db.Prepare("select id, name from items where id = $1")
	must(err)
	for i := 0; i < 20; i++ {
		_, err = put.Exec(i, sql.NullString{String: fmt.Sprint("name ", i), Valid: i%3 != 0})
		must(err)
	}
	for i := 0; i < 20; i++ {
		var id int
		var name sql.NullString
		must(get.QueryRow(i).Scan(&id, &name))
		fmt.Println(id, name)
	}
	for _, text := range badStatements {
		refused(db, text)
	}
	copyIn(db)
	copyTwice(db)
	large(db)
	cursor(db)
	types(db)
	var a, b int
	must(db.QueryRow("select count(*), sum(id) from items").Scan(&a, &b))
	fmt.Println(a, b)
	other, err := sql.Open("postgres", "")
	must(err)
	other.SetMaxOpenConns(1)
	sessionState(oneOf(db), oneOf(other))
	must(other.Close())
	listen(db)
	size := bigSize()
	var length int
	var back string
	must(db.QueryRow("select length($1), repeat('y', $2)", strings.Repeat("z", size), size).Scan(&length, &back))
	fmt.Println(length, back == strings.Repeat("y", size))
	must(put.Close())
	must(db.Close())
}

// lib/pq under database/sql: unnamed and named statements, transactions, COPY, LISTEN.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
)

var ctx = context.Background()

func must(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

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
	for _, text := range []string{"select 1/0", "selec", "insert into items values (1, 'twice')"} {
		refused(db, text)
	}
	copyIn(db)
	var a, b int
	must(db.QueryRow("select count(*), sum(id) from items").Scan(&a, &b))
	fmt.Println(a, b)
	listen(db)
	mb, _ := strconv.Atoi(os.Getenv("DRIVERS_MB"))
	size := mb << 20
	var length int
	var back string
	must(db.QueryRow("select length($1), repeat('y', $2)", strings.Repeat("z", size), size).Scan(&length, &back))
	fmt.Println(length, len(back))
	must(put.Close())
	must(db.Close())
}

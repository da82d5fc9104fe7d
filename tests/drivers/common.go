// What the Go drivers share: it is built together with each of them.
package main

import (
	"fmt"
	"os"
	"strconv"
)

func must(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

// bigSize is how long the big value is, in bytes.
func bigSize() int {
	mb, err := strconv.Atoi(os.Getenv("DRIVERS_MB"))
	must(err)
	return mb << 20
}

var badStatements = []string{"select 1/0", "selec", "insert into items values (1, 'twice')"}

// rows is what the drivers' rows have in common.
type rows interface {
	Next() bool
	Scan(...interface{}) error
	Err() error
}

// walk sums the numbers that a cursor gives; fetch asks it for the next ones.
func walk(fetch func() (rows, error)) {
	sum, n := 0, 1
	for n > 0 {
		some, err := fetch()
		must(err)
		for n = 0; some.Next(); n++ {
			var id int
			must(some.Scan(&id))
			sum += id
		}
		must(some.Err())
	}
	fmt.Println(sum)
}

// one gives the first value of a query's first row as text, whatever the driver.
type one func(sql string) string

// sessionState changes what a session is, and looks whether another one sees it.
func sessionState(db, other one) {
	db("set search_path = pg_catalog")
	fmt.Println(other("show search_path"), db("show search_path"))
	db("reset search_path")
	db("create temp table mine (a int)")
	other("select 'one'")
	fmt.Println(db("insert into mine values (5) returning a::text"))
	db("drop table mine")
	db("select pg_advisory_lock(77)::text")
	fmt.Println(other("select pg_try_advisory_lock(77)::text"), db("select pg_advisory_unlock(77)::text"))
}

/*
 * scan: how fast SQL text is scanned, for `scripts/bench --scan`: for each of several texts MB/s of
 * CPU time, the best of some runs: of the scanner (proto/sql.h), and of the short cut before it if
 * that says the text is plain. No server, no pooler.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/sql.h"

#define LARGE 1048576U
#define BYTES 100000000U /* a run's */
#define RUNS  5

struct text {
	const char *what, *sql;
};

static double
cpu_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool
scanned(const char *sql, size_t len)
{
	static struct sql_scan scan;
	static bool ready;

	if (!ready)
		sql_init(&scan);
	ready = true;
	sql_begin(&scan, 0);
	sql_feed(&scan, sql, len);
	return sql_end(&scan)->nstatements > 0;
}

static bool
plain(const char *sql, size_t len)
{
	return sql_is_plain(sql, len);
}

/* MB/s; it must say yes. */
static double
speed(bool (*look)(const char *, size_t), const char *sql)
{
	size_t len = strlen(sql), n, times = BYTES / len;
	double best = 0, began, took;
	int run;

	for (run = 0; run < RUNS; run++) {
		began = cpu_s();
		for (n = 0; n < times; n++)
			if (!look(sql, len))
				errx(1, "not understood: %.60s", sql);
		took = cpu_s() - began;
		if ((double)(times * len) / 1e6 / took > best)
			best = (double)(times * len) / 1e6 / took;
	}
	return best;
}

/* A line again and again; head and tail around it. */
static const char *
large(const char *head, const char *line, const char *tail)
{
	size_t room = LARGE + strlen(head) + strlen(line) + strlen(tail) + 1, len;
	char *text = malloc(room);

	if (text == NULL)
		err(1, "memory");
	len = (size_t)snprintf(text, room, "%s", head);
	while (len < LARGE)
		len += (size_t)snprintf(text + len, room - len, "%s", line);
	snprintf(text + len, room - len, "%s", tail);
	return text;
}

int
main(void)
{
	const struct text texts[] = {
	    {"pgbench -S", "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;"},
	    {"UPDATE", "UPDATE accounts SET balance = balance + 10 WHERE id = 5"},
	    {"INSERT", "INSERT INTO orders (id, name, total) VALUES (1, 'customer', 12.50)"},
	    {"a join",
		"select a.id, a.name, b.total from accounts a join orders b on b.account = a.id "
		"where a.region = 7 and b.state = 3 order by b.total desc limit 20"},
	    {"an ORM's", "SELECT \"users\".\"id\", \"users\".\"name\", \"users\".\"email\" FROM "
			 "\"users\" INNER JOIN "
			 "\"posts\" ON \"posts\".\"user_id\" = \"users\".\"id\" WHERE "
			 "\"users\".\"active\" = $1 AND "
			 "\"posts\".\"created_at\" > $2 ORDER BY \"users\".\"id\" ASC LIMIT $3"},
	    {"1 MB of INSERTs",
		large("",
		    "INSERT INTO orders (id, name, total) VALUES (17, 'customer 17', 12.50);\n",
		    "")},
	    {"1 MB of VALUES", large("INSERT INTO orders VALUES ",
				   "(17, 'customer 17', 12.50, now()), ", "(1, '', 0, now())")},
	    {"1 MB in a string",
		large("insert into t values ('", "it''s a long text, of words; ", "')")},
	    {"1 MB in $$", large("create function f() returns int as $$", " select 1; -- 'x'\n",
			       "$$ language sql")},
	    {"1 MB of comment", large("/*", " /* nested */ 'words' ", "*/ select 1")},
	};
	size_t i;

	printf("%-20s %9s %14s %16s\n", "text", "bytes", "scanner MB/s", "short cut MB/s");
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *sql = texts[i].sql;
		printf("%-20s %9zu %14.0f", texts[i].what, strlen(sql), speed(scanned, sql));
		if (plain(sql, strlen(sql)))
			printf(" %16.0f", speed(plain, sql));
		printf("\n");
	}
	return 0;
}

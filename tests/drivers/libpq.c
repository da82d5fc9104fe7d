/* libpq: prepared statements, pipelines with errors, single rows, COPY, large objects by function
 * call, LISTEN. */
#include <libpq-fe.h>
#include <libpq/libpq-fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static PGconn *
conn_open(void)
{
	PGconn *db = PQconnectdb("");

	if (PQstatus(db) != CONNECTION_OK) {
		printf("failed: %s\n", PQerrorMessage(db));
		exit(1);
	}
	return db;
}

/* Prints and frees it. */
static void
show(PGresult *res)
{
	printf("%s %s", PQresStatus(PQresultStatus(res)), PQcmdStatus(res));
	if (PQresultErrorField(res, PG_DIAG_SQLSTATE))
		printf(" %s %s", PQresultErrorField(res, PG_DIAG_SQLSTATE),
		    PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY));
	for (int row = 0; row < PQntuples(res) && row < 40; row++)
		for (int col = 0; col < PQnfields(res); col++)
			printf("%s%s", col ? "|" : "\n  ",
			    PQgetisnull(res, row, col) ? "null" : PQgetvalue(res, row, col));
	printf("\n");
	PQclear(res);
}

static void
run(PGconn *db, const char *sql)
{
	show(PQexec(db, sql));
}

static void
run_one(PGconn *db, const char *name, const char *a, const char *b)
{
	show(PQexecPrepared(db, name, b ? 2 : 1, (const char *[]){a, b}, NULL, NULL, 0));
}

static void
prepared(PGconn *db, PGconn *other)
{
	char id[12];

	show(PQprepare(db, "put", "insert into items values ($1, $2)", 0, NULL));
	show(PQprepare(db, "get", "select id, name from items where id = $1", 0, NULL));
	show(PQprepare(other, "get", "select $1::int * 2", 0, NULL));
	show(PQprepare(db, "get", "select 1", 0, NULL));
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "%d", i);
		run_one(db, "put", id, "name");
		run_one(db, "get", id, NULL);
		run_one(other, "get", id, NULL);
	}
	show(PQdescribePrepared(db, "get"));
	run(db, "deallocate get");
	run_one(db, "get", "1", NULL);
	run_one(other, "get", "1", NULL);
}

static void
failures(PGconn *db)
{
	const char *const bad[] = {
	    "select 1/0", "selec", "insert into items values (1, 'twice')", NULL};

	for (const char *const *sql = bad; *sql; sql++) {
		run(db, "begin");
		run(db, "insert into items values (5000, 'gone')");
		run(db, *sql);
		show(PQexecParams(db, "select 1", 0, NULL, NULL, NULL, NULL, 0));
		run(db, "rollback");
	}
	run(db, "begin; savepoint s");
	run(db, "select 1/0");
	run(db, "rollback to s; insert into items values (5001, 'kept'); commit");
}

static void
pipeline_send(PGconn *db, const char *sql, const char *value)
{
	if (!PQsendQueryParams(db, sql, value != NULL, NULL, &value, NULL, NULL, 0))
		printf("failed: %s\n", PQerrorMessage(db));
}

/* The results up to as many Syncs. */
static void
pipeline_read(PGconn *db, int syncs)
{
	while (syncs > 0) {
		PGresult *res = PQgetResult(db);

		if (res == NULL) /* between two queries */
			continue;
		syncs -= PQresultStatus(res) == PGRES_PIPELINE_SYNC;
		show(res);
	}
}

static void
pipeline(PGconn *db)
{
	PQenterPipelineMode(db);
	for (int i = 0; i < 10; i++)
		pipeline_send(db, "select $1::int + 1", "41");
	PQpipelineSync(db);
	pipeline_send(db, "insert into items values (6000, $1)", "undone with the group");
	pipeline_send(db, "select 1/$1::int", "0");
	pipeline_send(db, "select 'skipped'", NULL);
	PQpipelineSync(db);
	pipeline_send(db, "select count(*) from items where id = 6000", NULL);
	PQpipelineSync(db);
	pipeline_send(db, "begin", NULL);
	pipeline_send(db, "selec", NULL);
	PQpipelineSync(db);
	pipeline_send(db, "select 'aborted'", NULL);
	PQpipelineSync(db);
	pipeline_send(db, "rollback", NULL);
	PQsendFlushRequest(db);
	PQpipelineSync(db);
	pipeline_read(db, 6);
	PQexitPipelineMode(db);
}

static void
single_rows(PGconn *db)
{
	PGresult *res;
	int rows = 0;

	PQsendQuery(db, "select 1/(30000 - i) from generate_series(1, 40000) i");
	PQsetSingleRowMode(db);
	while ((res = PQgetResult(db)) != NULL) {
		rows += PQresultStatus(res) == PGRES_SINGLE_TUPLE;
		if (PQresultStatus(res) != PGRES_SINGLE_TUPLE)
			show(res);
		else
			PQclear(res);
	}
	printf("%s\n", rows > 0 ? "single rows came" : "none came");
}

static void
copy(PGconn *db)
{
	char line[32], *out;
	unsigned long bytes = 0, sum = 0;
	int len;

	for (int fails = 0; fails < 2; fails++) {
		show(PQexec(db, "copy items from stdin"));
		for (int i = 10000; i < 15000; i++) {
			len = snprintf(line, sizeof(line), "%d\tcopied\n", i + fails * 5000);
			PQputCopyData(db, line, len);
		}
		PQputCopyEnd(db, fails ? "gave up" : NULL);
		show(PQgetResult(db));
		PQclear(PQgetResult(db));
	}
	show(PQexec(db, "copy (select * from items order by id) to stdout"));
	while ((len = PQgetCopyData(db, &out, 0)) > 0) {
		bytes += (unsigned)len;
		for (int i = 0; i < len; i++)
			sum = sum * 31 + (unsigned char)out[i];
		PQfreemem(out);
	}
	printf("%lu %lx\n", bytes, sum);
	while (PQgetResult(db) != NULL)
		;
}

static void
large(PGconn *db)
{
	char block[8192] = "large";
	Oid oid;
	int fd;

	run(db, "begin");
	oid = lo_creat(db, INV_READ | INV_WRITE);
	fd = lo_open(db, oid, INV_READ | INV_WRITE);
	for (int i = 0; i < 10; i++)
		printf("%d ", lo_write(db, fd, block, sizeof(block)));
	printf("%d ", lo_lseek(db, fd, 0, SEEK_SET));
	printf("%d %s ", lo_read(db, fd, block, sizeof(block)), block);
	printf("%d ", lo_tell(db, fd));
	printf("%d\n", lo_close(db, fd));
	run(db, "commit");
	run(db, "begin");
	fd = lo_open(db, oid, INV_READ);
	printf("%d\n", lo_read(db, fd, block, sizeof(block)));
	printf("%d %s", lo_write(db, fd, block, 1), PQerrorMessage(db));
	run(db, "rollback");
	printf("%d\n", lo_unlink(db, oid));
	printf("%d\n", lo_unlink(db, oid));
}

static void
session(PGconn *db, PGconn *other)
{
	PGnotify *heard;

	run(db, "set search_path = pg_catalog");
	run(other, "show search_path");
	run(db, "show search_path; reset search_path");
	run(db, "create temp table mine (a int); insert into mine values (1)");
	run(other, "select 1");
	run(db, "select * from mine; drop table mine");
	run(db, "select pg_advisory_lock(77)");
	run(other, "select pg_try_advisory_lock(77)");
	run(db, "select pg_advisory_unlock(77)");
	run(other, "select pg_try_advisory_lock(77), pg_advisory_unlock(77)");
	run(db, "listen news");
	run(other, "notify news, 'now'");
	while ((heard = PQnotifies(db)) == NULL) {
		poll(&(struct pollfd){.fd = PQsocket(db), .events = POLLIN}, 1, -1);
		PQconsumeInput(db);
	}
	printf("%s %s\n", heard->relname, heard->extra);
	PQfreemem(heard);
	run(db, "unlisten news");
	run(db,
	    "begin; declare walk cursor for select id from items order by id; fetch 3 from walk");
	run(db, "move all from walk");
	run(db, "commit");
	run(db, "declare held cursor with hold for select id from items order by id");
	run(db, "fetch 2 from held");
	run(db, "close held");
}

static void
big(PGconn *db)
{
	size_t size = (size_t)atoi(getenv("DRIVERS_MB")) << 20;
	char *value = malloc(size + 1), text[16];
	PGresult *res;

	memset(value, 'z', size);
	value[size] = 0;
	snprintf(text, sizeof(text), "%zu", size);
	res = PQexecParams(db, "select length($1), repeat('y', $2)", 2, NULL,
	    (const char *[]){value, text}, NULL, NULL, 0);
	memset(value, 'y', size);
	printf("%s %d %d\n", PQgetvalue(res, 0, 0), PQgetlength(res, 0, 1),
	    memcmp(PQgetvalue(res, 0, 1), value, size));
	PQclear(res);
	free(value);
}

int
main(void)
{
	PGconn *db = conn_open(), *other = conn_open();

	prepared(db, other);
	failures(db);
	pipeline(db);
	single_rows(db);
	copy(db);
	large(db);
	session(db, other);
	run(db, "select null::int, true, 1.5::numeric, date '2020-01-01', array[1, 2], "
		"'\\x00ff'::bytea, '{\"a\": 1}'::jsonb");
	big(db);
	PQfinish(db);
	PQfinish(other);
	return 0;
}

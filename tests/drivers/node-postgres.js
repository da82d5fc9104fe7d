// node-postgres: named statements, unnamed ones, transactions, types, COPY, cursors, session state; two connections. It
// sends one query at a time: no pipelines.
const { Client } = require("pg");
const Cursor = require("pg-cursor");
const copy = require("pg-copy-streams");
const { createHash } = require("crypto");
const { Readable } = require("stream");
const { pipeline } = require("stream/promises");
const fail = (e) => console.log(e.code, e.message);

async function refused(db, sql) {
	await db.query("begin");
	await db.query("insert into items values (5000, 'gone')");
	await db.query(sql).catch(fail);
	await db.query("select 1").catch(fail);
	await db.query("rollback");
}

// The driver has no large objects of its own: PostgreSQL's functions.
async function large(db) {
	await db.query("begin");
	const oid = (await db.query("select lo_from_bytea(0, $1) as oid", [Buffer.alloc(100000)])).rows[0].oid;
	const fd = (await db.query("select lo_open($1, 262144) as fd", [oid])).rows[0].fd;
	for (let i = 0; i < 2; i++) console.log((await db.query("select loread($1, 60000) as b", [fd])).rows[0].b.length);
	console.log((await db.query("select lo_unlink($1)", [oid])).rows);
	await db.query("commit");
}

async function copies(db) {
	const rows = (from) => Readable.from(Array.from({ length: 5000 }, (_, i) => `${i + from}\tcopied\n`));
	const into = () => db.query(copy.from("copy items from stdin"));
	await pipeline(rows(1000), into());
	await pipeline(rows(1), into()).catch(fail);
	const md5 = createHash("md5");
	for await (const chunk of db.query(copy.to("copy (select * from items order by id) to stdout"))) md5.update(chunk);
	console.log(md5.digest("hex"));
}

async function cursors(db) {
	let sum = 0, rows;
	await db.query("begin");
	const walk = db.query(new Cursor("select id from items order by id"));
	while ((rows = await walk.read(100)).length) for (const r of rows) sum += r.id;
	await walk.close();
	await db.query("commit");
	const part = db.query(new Cursor("select id from items where id > $1 order by id", [10]));
	console.log(sum, await part.read(3), await part.close());
	const bad = db.query(new Cursor("select 1 / (150 - i) from generate_series(1, 200) i"));
	console.log((await bad.read(100)).length);
	await bad.read(100).catch(fail);
}

async function main() {
	const db = new Client(), other = new Client();
	await db.connect();
	await other.connect();
	const put = { name: "put", text: "insert into items values ($1, $2)" };
	for (let i = 0; i < 20; i++) await db.query({ ...put, values: [i, i % 3 ? "name " + i : null] });
	const get = { name: "get", text: "select id, name from items where id = $1" };
	const clash = { name: "get", text: "select 'other', $1::int" };
	for (let i = 0; i < 20; i++) {
		const both = await Promise.all([db.query({ ...get, values: [i] }), other.query({ ...clash, values: [i] })]);
		console.log(both.map((r) => JSON.stringify(r.rows)).join(" "));
	}
	for (const sql of ["select 1/0", "selec", "insert into items values (1, 'twice')"]) await refused(db, sql);
	const many = await Promise.all([1, 2, 3, 4].map((i) => db.query("select $1::int * 2 as n", [i])));
	console.log(many.map((r) => r.rows[0].n));
	console.log((await db.query({ rowMode: "array", text:
		"select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2], $1::bytea, '{\"a\":1}'::jsonb",
		values: [Buffer.from([0, 255])] })).rows);
	await db.query("create schema if not exists apart; set search_path = apart, public");
	await other.query("select 1");
	console.log((await db.query("show search_path")).rows, (await other.query("show search_path")).rows);
	await db.query("drop schema apart; reset search_path");
	await db.query("create temp table mine (a int)");
	await other.query("select 1");
	console.log((await db.query("insert into mine values (1), (2) returning a")).rows);
	await db.query("drop table mine");
	console.log((await db.query("select pg_advisory_lock(77) is null as got")).rows);
	console.log((await other.query("select pg_try_advisory_lock(77) as got")).rows);
	console.log((await db.query("select pg_advisory_unlock(77) as freed")).rows);
	const told = new Promise((done) => db.once("notification", done));
	await db.query("listen news");
	await other.query("notify news, 'now'");
	const n = await told;
	console.log(n.channel, n.payload);
	await db.query("unlisten news");
	await large(db);
	await copies(db);
	await cursors(db);
	await db.query("begin");
	await db.query("declare walk cursor for select id from items order by id");
	console.log((await db.query("fetch 3 from walk")).rows, (await db.query("fetch all from walk")).rowCount);
	await db.query("commit");
	const size = parseInt(process.env.DRIVERS_MB) * 1048576;
	const r = await db.query("select length($1) as a, repeat('y', $2) as b", ["z".repeat(size), size]);
	console.log(r.rows[0].a, r.rows[0].b === "y".repeat(size));
	await db.end();
	await other.end();
}
main().catch((e) => { console.log(e); process.exit(1); });

// TypeORM over node-postgres: its schema building, repositories, query builder, transactions, savepoints, streams,
// types, session state, COPY by the driver below it. It has no prepared statements and no pipelines.
require("reflect-metadata");
const { DataSource, EntitySchema } = require("typeorm");
const copy = require("pg-copy-streams");
const { createHash } = require("crypto");
const { Readable } = require("stream");
const { pipeline } = require("stream/promises");

const Item = new EntitySchema({
	name: "Item", tableName: "items",
	columns: { id: { type: "int", primary: true }, name: { type: "text", nullable: true } },
});
const Note = new EntitySchema({
	name: "Note", tableName: "notes",
	columns: { id: { type: "int", primary: true, generated: true }, text: { type: "varchar" },
		at: { type: "timestamptz", default: () => "now()" }, tags: { type: "jsonb" } },
	relations: { item: { type: "many-to-one", target: "Item" } },
});

const Kind = new EntitySchema({
	name: "Kind", tableName: "kinds",
	columns: { id: { type: "int", primary: true }, amount: { type: "numeric", nullable: true }, day: { type: "date", nullable: true },
		data: { type: "bytea", nullable: true }, list: { type: "int", array: true, nullable: true } },
});

async function copies(db) {
	const runner = db.createQueryRunner(), client = await runner.connect();
	const rows = (from) => Readable.from(Array.from({ length: 2000 }, (_, i) => `${i + from}\tcopied\n`));
	const into = () => client.query(copy.from("copy items from stdin"));
	await pipeline(rows(10000), into());
	await pipeline(rows(9999), into()).catch((e) => console.log(e.code));
	const md5 = createHash("md5");
	for await (const chunk of client.query(copy.to("copy (select * from items order by id) to stdout"))) md5.update(chunk);
	console.log(md5.digest("hex"), await db.getRepository("Item").count());
	await runner.query("begin");
	await runner.query("declare walk cursor for select id from items order by id");
	console.log((await runner.query("fetch 3 from walk")), (await runner.query("fetch all from walk")).length);
	await runner.query("commit");
	await runner.release();
}

async function session(db) {
	const one = db.createQueryRunner(), two = db.createQueryRunner();
	const told = new Promise((done) => one.connect().then((client) => client.once("notification", done)));
	await one.query("set search_path = pg_catalog");
	console.log(await two.query("show search_path"), await one.query("show search_path"));
	await one.query("reset search_path");
	await one.query("create temp table mine (a int)");
	await two.query("select 1");
	console.log(await one.query("insert into mine values ($1) returning a", [5]));
	await one.query("drop table mine");
	await one.query("select pg_advisory_lock(77)");
	console.log(await two.query("select pg_try_advisory_lock(77)"), await one.query("select pg_advisory_unlock(77)"));
	await one.query("listen news");
	await two.query("notify news, 'now'");
	console.log((await told).payload);
	await one.query("unlisten news");
	await one.startTransaction();
	const [{ oid }] = await one.query("select lo_from_bytea(0, $1) as oid", [Buffer.alloc(100000)]);
	console.log(await one.query("select length(lo_get($1)), lo_unlink($1)", [oid]));
	await one.commitTransaction();
	await one.release();
	await two.release();
}

async function main() {
	const db = new DataSource({ type: "postgres", host: process.env.PGHOST, port: +process.env.PGPORT,
		username: process.env.PGUSER, database: process.env.PGDATABASE, entities: [Item, Note, Kind], synchronize: true });
	await db.initialize();
	const items = db.getRepository("Item"), notes = db.getRepository("Note");
	await items.save(Array.from({ length: 100 }, (_, i) => ({ id: i, name: i % 3 ? "name " + i : null })));
	for (let i = 0; i < 20; i++) console.log(await items.findOneBy({ id: i }));
	await db.transaction(async (m) => {
		await m.save("Item", { id: 500, name: "gone" });
		throw new Error("undone");
	}).catch((e) => console.log(e.message));
	await db.transaction(async (m) => {
		await m.save("Item", { id: 501, name: "kept" });
		await m.transaction((inner) => inner.query("select 1/0")).catch((e) => console.log(e.code));
		await m.save("Item", { id: 502, name: "kept" });
	});
	await items.insert({ id: 1, name: "twice" }).catch((e) => console.log(e.code));
	for (let i = 0; i < 10; i++) await notes.save({ text: "note " + i, tags: { n: i }, item: { id: i } });
	console.log((await notes.find({ relations: ["item"], order: { id: "ASC" } })).map((n) => [n.text, n.tags, n.item]));
	console.log(await items.createQueryBuilder("i").where("i.id between :a and :b", { a: 5, b: 8 }).orderBy("i.id").getMany());
	console.log(await items.count());
	let sum = 0;
	await items.insert(Array.from({ length: 3000 }, (_, i) => ({ id: 1000 + i })));
	for await (const row of await items.createQueryBuilder("i").orderBy("i.id").stream()) sum += row.i_id;
	console.log(sum);
	const kinds = db.getRepository("Kind");
	await kinds.save([{ id: 1, amount: "1.5", day: "2020-01-01", data: Buffer.from([0, 255]), list: [1, 2] }, { id: 2 }]);
	console.log(await kinds.find({ order: { id: "ASC" } }));
	await copies(db);
	await session(db);
	const size = parseInt(process.env.DRIVERS_MB) * 1048576;
	const [r] = await db.query("select length($1) as a, repeat('y', $2) as b", ["z".repeat(size), size]);
	console.log(r.a, r.b === "y".repeat(size));
	await db.query("drop table notes");
	await db.destroy();
}
main().catch((e) => { console.log(e); process.exit(1); });

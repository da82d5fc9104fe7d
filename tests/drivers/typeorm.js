// TypeORM over node-postgres: its schema building, repositories, query builder, transactions, savepoints.
require("reflect-metadata");
const { DataSource, EntitySchema } = require("typeorm");

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

async function main() {
	const db = new DataSource({ type: "postgres", host: process.env.PGHOST, port: +process.env.PGPORT,
		username: process.env.PGUSER, database: process.env.PGDATABASE, entities: [Item, Note], synchronize: true });
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
	await db.query("drop table notes");
	await db.destroy();
}
main().catch((e) => { console.log(e); process.exit(1); });

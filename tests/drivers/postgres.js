// postgres.js: every query is a named statement of its own making and pipelined; COPY, cursors, large objects, session
// state.
const postgres = require("postgres");
const { createHash } = require("crypto");
const { Readable } = require("stream");
const { pipeline } = require("stream/promises");
const fail = (e) => console.log(e.code, e.message);

async function main() {
	const sql = postgres({ max: 1, onnotice: () => {} }), other = postgres({ max: 1, onnotice: () => {} });
	for (let i = 0; i < 20; i++) await sql`insert into items values (${i}, ${i % 3 ? "name " + i : null})`;
	const all = [];
	for (let i = 0; i < 20; i++) all.push(sql`select id, name from items where id = ${i}`, other`select ${i}::int as n`);
	for (const r of await Promise.all(all)) console.log(JSON.stringify(r));
	for (const text of ["select 1/0", "selec", "insert into items values (1, 'twice')"])
		await sql.begin(async (tx) => {
			await tx`insert into items values (5000, 'gone')`;
			await tx.unsafe(text);
		}).catch(fail);
	await sql.begin(async (tx) => {
		await tx`insert into items values (600, 'kept')`;
		await tx.savepoint((sp) => sp`select 1/0`).catch(fail);
		await tx`insert into items values (601, 'kept')`;
	});
	await sql.begin((tx) => [tx`select 1 as a`, tx`select 2 as b`, tx`select 3 as c`])
		.then((r) => console.log(JSON.stringify(r)));
	const mixed = [sql`select 1 as a`, sql`select 1 / ${0}::int`, sql.unsafe("selec"), sql`select 4 as a`];
	for (const r of await Promise.allSettled(mixed)) r.reason ? fail(r.reason) : console.log(JSON.stringify(r.value));
	await sql.begin((tx) => [tx`insert into items values (602, 'gone')`, tx`select 1 / ${0}::int`, tx`select 3 as c`])
		.catch(fail);
	console.log(await sql`select id from items where id >= 600`.values());
	console.log(await sql`select null::int, true as t, 1.5::numeric as n, array[1,2] as a, ${Buffer.from([0, 255])}::bytea
		as b, ${sql.json({ a: 1 })}::jsonb as j`.values());
	await pipeline(Readable.from(Array.from({ length: 5000 }, (_, i) => `${i + 1000}\tcopied\n`)),
		await sql`copy items from stdin`.writable());
	await pipeline(Readable.from(["1000\ttwice\n"]), await sql`copy items from stdin`.writable()).catch(fail);
	const md5 = createHash("md5");
	// Less than a stream's mark of 16 kB: above it the driver pauses its socket, and does not resume it when the COPY ends
	// in that state. Whatever comes next waits for ever, with PostgreSQL directly too.
	for await (const chunk of await sql`copy (select * from items where id < 2000 order by id) to stdout`.readable())
		md5.update(chunk);
	console.log(md5.digest("hex"));
	let sum = 0;
	await sql`select id from items order by id`.cursor(100, (rows) => { for (const r of rows) sum += r.id; });
	console.log(sum);
	for await (const rows of sql`select id from items where id > ${10} order by id`.cursor(3)) {
		console.log(JSON.stringify(rows));
		break; // closes the portal
	}
	await sql`select 1 / (150 - i) from generate_series(1, 200) i`.cursor(100, () => {}).catch(fail);
	await sql.begin(async (tx) => {
		const [{ oid }] = await tx`select lo_from_bytea(0, ${Buffer.alloc(100000)}) as oid`;
		const [{ fd }] = await tx`select lo_open(${oid}, 262144) as fd`;
		for (let i = 0; i < 2; i++) console.log((await tx`select loread(${fd}, 60000) as b`)[0].b.length);
		console.log(await tx`select lo_unlink(${oid})`.values());
	});
	await sql`set search_path = pg_catalog`;
	console.log(await other`show search_path`.values(), await sql`show search_path`.values());
	await sql.unsafe("reset search_path; create temp table mine (a int)");
	await other`select 1`;
	console.log(await sql`insert into mine values (5) returning a`.values());
	await sql`drop table mine`;
	await sql`select pg_advisory_lock(77)`;
	console.log(await other`select pg_try_advisory_lock(77)`.values(), await sql`select pg_advisory_unlock(77)`.values());
	let heard;
	const told = new Promise((done) => { heard = done; });
	await sql.listen("news", heard);
	await other.notify("news", "now");
	console.log(await told);
	const size = parseInt(process.env.DRIVERS_MB) * 1048576;
	const [r] = await sql`select length(${"z".repeat(size)}) as a, repeat('y', ${size}) as b`;
	console.log(r.a, r.b === "y".repeat(size));
	await sql.end();
	await other.end();
}
main().catch((e) => { console.log(e); process.exit(1); });

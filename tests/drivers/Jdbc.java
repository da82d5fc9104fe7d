// pgjdbc: prepareThreshold 1 and 5, batches, fetchSize cursors, COPY, large objects, errors, session state.
import java.sql.*;
import java.io.*;

public class Jdbc {
	static String one(Connection db, String sql) throws SQLException {
		try (ResultSet r = db.createStatement().executeQuery(sql)) {
			return r.next() ? r.getString(1) : "nothing";
		}
	}

	static void failures(Connection db) throws SQLException {
		for (String sql : new String[] {"select 1/0", "selec", "insert into items values (1, 'twice')"}) {
			try {
				db.createStatement().executeUpdate("insert into items values (5000, 'gone')");
				db.createStatement().execute(sql);
			} catch (SQLException e) {
				System.out.println(e.getSQLState() + " " + e.getMessage());
			}
			try {
				one(db, "select 1");
			} catch (SQLException e) {
				System.out.println(e.getSQLState() + " " + e.getMessage());
			}
			db.rollback();
		}
		Savepoint s = db.setSavepoint();
		try (PreparedStatement in = db.prepareStatement("insert into items values (?, 'batch')")) {
			for (int id : new int[] {6000, 6001, 1, 6002}) {
				in.setInt(1, id);
				in.addBatch();
			}
			in.executeBatch();
		} catch (BatchUpdateException e) {
			System.out.println(e.getSQLState() + " " + e.getUpdateCounts().length);
		}
		db.rollback(s);
		System.out.println(one(db, "select count(*) from items where id >= 6000"));
		db.commit();
	}

	static void large(Connection db) throws Exception {
		var api = db.unwrap(org.postgresql.PGConnection.class).getLargeObjectAPI();
		long oid = api.createLO();
		try (var lo = api.open(oid)) {
			lo.write(new byte[300000]);
			lo.seek(100000);
			System.out.println(lo.read(500000).length + " " + lo.size64());
		}
		api.delete(oid);
		db.commit();
	}

	static void types(Connection db) throws SQLException {
		try (PreparedStatement p = db.prepareStatement("select ?::int, ?::bool, ?::numeric, ?::date, ?::int[], ?::bytea, ?::jsonb")) {
			for (int i = 0; i < 8; i++) { // beyond the threshold its values are binary
				p.setNull(1, Types.INTEGER);
				p.setBoolean(2, true);
				p.setBigDecimal(3, new java.math.BigDecimal("1.5"));
				p.setDate(4, Date.valueOf("2020-01-01"));
				p.setArray(5, db.createArrayOf("int4", new Object[] {1, null, i}));
				p.setBytes(6, new byte[] {0, -1});
				p.setString(7, "{\"a\": 1}");
				try (ResultSet r = p.executeQuery()) {
					r.next();
					System.out.println(r.getObject(1) + " " + r.getBoolean(2) + " " + r.getBigDecimal(3) + " " + r.getDate(4) + " "
							+ r.getArray(5) + " " + r.getBytes(6).length + " " + r.getString(7));
				}
			}
		}
	}

	static void session(Connection db, Connection other) throws SQLException {
		db.createStatement().execute("set search_path = pg_catalog");
		System.out.println(one(other, "show search_path") + " " + one(db, "show search_path"));
		db.createStatement().execute("reset search_path; create temp table mine (a int)");
		one(other, "select 1");
		System.out.println(one(db, "insert into mine values (5) returning a"));
		db.createStatement().execute("drop table mine");
		one(db, "select pg_advisory_lock(77)");
		System.out.println(one(other, "select pg_try_advisory_lock(77)") + one(db, "select pg_advisory_unlock(77)"));
		db.createStatement().execute("listen news");
		other.createStatement().execute("notify news, 'now'");
		for (var n : db.unwrap(org.postgresql.PGConnection.class).getNotifications(0))
			System.out.println(n.getName() + " " + n.getParameter());
		db.createStatement().execute("unlisten news");
	}

	static void run(int threshold) throws Exception {
		String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT")
				+ "/app?user=postgres&sslmode=disable&prepareThreshold=" + threshold;
		try (Connection db = DriverManager.getConnection(url); Connection other = DriverManager.getConnection(url)) {
			System.out.println("threshold " + threshold);
			db.createStatement().executeUpdate("truncate items");
			try (PreparedStatement in = db.prepareStatement("insert into items values (?, ?)")) {
				for (int i = 0; i < 1000; i++) {
					in.setInt(1, i);
					in.setString(2, i % 3 == 0 ? null : "name " + i);
					in.addBatch();
				}
				System.out.println(in.executeBatch().length);
			}
			PreparedStatement get = db.prepareStatement("select id, name from items where id = ?");
			for (int i = 0; i < 20; i++) {
				get.setInt(1, i);
				try (ResultSet r = get.executeQuery()) {
					while (r.next()) System.out.println(r.getInt(1) + " " + r.getString(2));
				}
			}
			db.setAutoCommit(false);
			failures(db);
			large(db);
			PreparedStatement walk = db.prepareStatement("select id from items order by id");
			walk.setFetchSize(50);
			long sum = 0;
			try (ResultSet r = walk.executeQuery()) {
				while (r.next()) sum += r.getInt(1);
			}
			System.out.println(sum);
			db.commit();
			db.setAutoCommit(true);
			var copy = db.unwrap(org.postgresql.PGConnection.class).getCopyAPI();
			StringBuilder rows = new StringBuilder();
			for (int i = 10000; i < 15000; i++) rows.append(i).append("\tcopied\n");
			System.out.println(copy.copyIn("copy items from stdin", new StringReader(rows.toString())));
			StringWriter all = new StringWriter();
			System.out.println(copy.copyOut("copy (select * from items order by id) to stdout", all));
			System.out.println(all.toString().hashCode());
			try {
				copy.copyIn("copy items from stdin", new StringReader("1\ttwice\n"));
			} catch (SQLException e) {
				System.out.println(e.getSQLState());
			}
			types(db);
			session(db, other);
			int size = Integer.parseInt(System.getenv("DRIVERS_MB")) << 20;
			PreparedStatement big = db.prepareStatement("select length(?), repeat('y', ?)");
			big.setString(1, "z".repeat(size));
			big.setInt(2, size);
			try (ResultSet r = big.executeQuery()) {
				while (r.next()) System.out.println(r.getInt(1) + " " + r.getString(2).equals("y".repeat(size)));
			}
		}
	}

	public static void main(String[] args) throws Exception {
		run(5);
		run(1);
	}
}

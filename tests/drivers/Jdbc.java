// pgjdbc: prepareThreshold 1 and 5, batches, fetchSize cursors, COPY, errors in transactions.
import java.sql.*;
import java.io.*;

public class Jdbc {
	static void run(int threshold) throws Exception {
		String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT")
				+ "/app?user=postgres&sslmode=disable&prepareThreshold=" + threshold;
		try (Connection db = DriverManager.getConnection(url)) {
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
			for (String sql : new String[] {"select 1/0", "selec", "insert into items values (1, 'twice')"}) {
				try {
					db.createStatement().executeUpdate("insert into items values (5000, 'gone')");
					db.createStatement().execute(sql);
				} catch (SQLException e) {
					System.out.println(e.getSQLState() + " " + e.getMessage());
				}
				db.rollback();
			}
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
			System.out.println(copy.copyOut("copy items to stdout", new StringWriter()));
			int size = Integer.parseInt(System.getenv("DRIVERS_MB")) << 20;
			PreparedStatement big = db.prepareStatement("select length(?), repeat('y', ?)");
			big.setString(1, "z".repeat(size));
			big.setInt(2, size);
			try (ResultSet r = big.executeQuery()) {
				while (r.next()) System.out.println(r.getInt(1) + " " + r.getString(2).length());
			}
		}
	}

	public static void main(String[] args) throws Exception {
		run(5);
		run(1);
	}
}

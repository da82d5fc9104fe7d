# ruby-pg: prepared by name, exec_params, pipelines, COPY, large objects, errors in transactions, session state.
require "pg"
require "digest"
db, other = PG.connect, PG.connect
db.prepare("in", "insert into items values ($1, $2)")
db.prepare("get", "select id, name from items where id = $1")
20.times { |i| db.exec_prepared("in", [i, i % 3 == 0 ? nil : "name #{i}"]) }
20.times { |i| p db.exec_prepared("get", [i]).values }
begin
  db.prepare("get", "select 1")
rescue PG::Error => e
  puts e.message
end
["select 1/0", "selec", "insert into items values (1, 'twice')"].each do |sql|
  begin
    db.transaction do
      db.exec("insert into items values (100, 'gone')")
      begin
        db.exec_params(sql)
      rescue PG::Error => e
        puts e.result.error_field(PG::PG_DIAG_SQLSTATE), e.message
      end
      db.exec_params("select 'aborted'")
    end
  rescue PG::Error => e
    puts e.result.error_field(PG::PG_DIAG_SQLSTATE), e.message
  end
end
p db.exec_params("select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2]").values
db.copy_data("copy items from stdin") { 1000.upto(5999) { |i| db.put_copy_data("#{i}\tcopied\n") } }
all = +""
db.copy_data("copy (select * from items order by id) to stdout") { while (l = db.get_copy_data) do all << l end }
p Digest::MD5.hexdigest(all)
p db.describe_prepared("get").nfields
db.exec("deallocate get")
begin
  db.exec_prepared("get", [1])
rescue PG::Error => e
  puts e.message
end
begin
  db.copy_data("copy items from stdin") { db.put_copy_data("1\ttwice\n") }
rescue PG::Error => e
  puts e.result.error_field(PG::PG_DIAG_SQLSTATE)
end
db.enter_pipeline_mode
["select 1", "select 1/0", "select 2"].each { |sql| db.send_query_params(sql, []) }
db.pipeline_sync
db.send_query_params("select $1::int", [3])
db.pipeline_sync
syncs = 0
while syncs < 2
  begin
    r = db.get_result or next
    syncs += 1 if r.result_status == PG::PGRES_PIPELINE_SYNC
    p r.res_status(r.result_status), r.ntuples
    r.check
  rescue PG::Error => e
    puts e.message
  end
end
db.exit_pipeline_mode
db.transaction do
  oid = db.lo_creat
  lo = db.lo_open(oid, PG::INV_READ | PG::INV_WRITE)
  p db.lo_write(lo, "x" * 100000), db.lo_lseek(lo, 0, PG::SEEK_SET), db.lo_read(lo, 200000).size
  db.lo_close(lo)
  db.lo_unlink(oid)
end
db.transaction do
  db.exec("declare walk cursor for select id from items order by id")
  sum = 0
  sum += r.column_values(0).sum(&:to_i) while (r = db.exec("fetch 500 from walk")).ntuples > 0
  p sum
end
db.exec("set search_path = pg_catalog")
p other.exec("show search_path").values, db.exec("show search_path").values
db.exec("reset search_path; create temp table mine (a int)")
other.exec("select 1")
p db.exec_params("insert into mine values ($1) returning a", [5]).values
db.exec("drop table mine")
db.exec("select pg_advisory_lock(77)")
p other.exec("select pg_try_advisory_lock(77)").values, db.exec("select pg_advisory_unlock(77)").values
db.exec("listen news")
other.exec("notify news, 'now'")
db.wait_for_notify { |channel, _pid, payload| puts channel, payload }
db.exec("unlisten news")
size = ENV["DRIVERS_MB"].to_i << 20
row = db.exec_params("select length($1), repeat('y', $2)", ["z" * size, size]).values[0]
p row[0], row[1] == "y" * size

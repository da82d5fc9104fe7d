# ruby-pg: prepared by name, exec_params, COPY, errors in transactions.
require "pg"
db = PG.connect
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
    db.transaction { db.exec("insert into items values (100, 'gone')"); db.exec_params(sql) }
  rescue PG::Error => e
    puts e.result.error_field(PG::PG_DIAG_SQLSTATE), e.message
  end
end
p db.exec_params("select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2]").values
db.copy_data("copy items from stdin") { 1000.upto(5999) { |i| db.put_copy_data("#{i}\tcopied\n") } }
n = 0
db.copy_data("copy (select * from items order by id) to stdout") { while (l = db.get_copy_data) do n += l.size end }
p n
p db.describe_prepared("get").nfields
if ENV["DRIVERS_ALL"] # does not work through pgdrove yet
  db.exec("deallocate get")
  begin
    db.exec_prepared("get", [1])
  rescue PG::Error => e
    puts e.message
  end
end
size = ENV["DRIVERS_MB"].to_i << 20
row = db.exec_params("select length($1), repeat('y', $2)", ["z" * size, size]).values[0]
p row[0], row[1].size

# DBD::Pg: server-side prepared statements under names of its own, COPY, large objects, session state. It has no
# pipelines.
use strict; use warnings; use DBI; use DBD::Pg; use Digest::MD5 'md5_hex';
my $db = DBI->connect("dbi:Pg:", "", "", {RaiseError => 0, PrintError => 0, AutoCommit => 1});
my $other = $db->clone;
sub one { my ($on, $sql) = @_; my @row = $on->selectrow_array($sql); return $row[0] }
my $in = $db->prepare("insert into items values (?, ?)");
$in->execute($_, $_ % 3 ? "name $_" : undef) for 0 .. 19;
my $get = $db->prepare("select id, name from items where id = ?");
for (0 .. 19) { $get->execute($_); print join("|", map { defined ? $_ : "null" } $get->fetchrow_array), "\n"; }
$db->begin_work; $db->do("insert into items values (100, 'gone')"); $db->rollback;
for my $sql ("select 1/0", "selec", "insert into items values (1, 'twice')") {
	$db->begin_work;
	for ($sql, "select 1") { $db->do($_); print $db->state, " ", $db->errstr, "\n"; }
	$db->rollback;
}
print join("|", map { defined ? ref $_ ? "@$_" : $_ : "null" } $db->selectrow_array(
	"select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2]")), "\n";
$db->do("copy items from stdin");
$db->pg_putcopydata("$_\tcopied\n") for 1000 .. 5999;
print $db->pg_putcopyend, "\n";
$db->do("copy (select * from items order by id) to stdout");
my ($line, $all) = ("", "");
$all .= $line while $db->pg_getcopydata($line) >= 0;
print md5_hex($all), "\n";
$db->begin_work;
my $lo = $db->pg_lo_creat($db->{pg_INV_READ} | $db->{pg_INV_WRITE});
my $fd = $db->pg_lo_open($lo, $db->{pg_INV_WRITE});
print $db->pg_lo_write($fd, "x" x 100000, 100000), "\n";
$db->pg_lo_close($fd); $db->pg_lo_unlink($lo); $db->commit;
print $db->do("savepoint s"), "\n" if $db->begin_work;
$db->do("select 1/0"); print $db->state, "\n"; $db->do("rollback to s");
$db->do("insert into items values (200, 'kept')"); $db->commit;
$db->do("copy items from stdin"); $db->pg_putcopydata("1\ttwice\n"); $db->pg_putcopyend; print $db->state, "\n";
$db->begin_work;
$db->do("declare walk cursor for select id from items order by id");
my ($sum, $rows) = (0, 1);
while ($rows > 0) {
	my $some = $db->selectcol_arrayref("fetch 500 from walk");
	$rows = @$some; $sum += $_ for @$some;
}
print "$sum\n"; $db->commit;
$db->do("set search_path = pg_catalog");
print one($other, "show search_path"), one($db, "show search_path"), "\n";
$db->do("reset search_path"); $db->do("create temp table mine (a int)");
one($other, "select 1"); print one($db, "insert into mine values (5) returning a"), "\n"; $db->do("drop table mine");
$db->do("select pg_advisory_lock(77)");
print one($other, "select pg_try_advisory_lock(77)"), one($db, "select pg_advisory_unlock(77)"), "\n";
$db->do("listen news"); $other->do("notify news, 'now'");
my $heard; 1 until $heard = $db->pg_notifies;
print "$heard->[0] $heard->[2]\n"; $db->do("unlisten news");
my $bytes = $db->prepare("select ?::bytea"); $bytes->bind_param(1, "\0\xff", {pg_type => DBD::Pg::PG_BYTEA()});
$bytes->execute; print unpack("H*", $bytes->fetchrow_array), "\n";
my $size = $ENV{DRIVERS_MB} << 20;
my @row = $db->selectrow_array("select length(?), repeat('y', ?::int)", undef, "z" x $size, $size);
print "$row[0] ", $row[1] eq "y" x $size ? "same" : "other", "\n";

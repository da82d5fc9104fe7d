# DBD::Pg: server-side prepared statements under names of its own, COPY, large objects.
use strict; use warnings; use DBI;
my $db = DBI->connect("dbi:Pg:", "", "", {RaiseError => 0, PrintError => 0, AutoCommit => 1});
my $in = $db->prepare("insert into items values (?, ?)");
$in->execute($_, $_ % 3 ? "name $_" : undef) for 0 .. 19;
my $get = $db->prepare("select id, name from items where id = ?");
for (0 .. 19) { $get->execute($_); print join("|", map { defined ? $_ : "null" } $get->fetchrow_array), "\n"; }
$db->begin_work; $db->do("insert into items values (100, 'gone')"); $db->rollback;
for my $sql ("select 1/0", "selec", "insert into items values (1, 'twice')") {
	$db->begin_work; $db->do($sql); print $db->state, " ", $db->errstr, "\n"; $db->rollback;
}
print join("|", map { defined ? ref $_ ? "@$_" : $_ : "null" } $db->selectrow_array(
	"select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2]")), "\n";
$db->do("copy items from stdin");
$db->pg_putcopydata("$_\tcopied\n") for 1000 .. 5999;
print $db->pg_putcopyend, "\n";
$db->do("copy (select * from items order by id) to stdout");
my ($line, $n) = ("", 0);
$n += length $line while $db->pg_getcopydata($line) >= 0;
print "$n\n";
$db->begin_work;
my $lo = $db->pg_lo_creat($db->{pg_INV_READ} | $db->{pg_INV_WRITE});
my $fd = $db->pg_lo_open($lo, $db->{pg_INV_WRITE});
print $db->pg_lo_write($fd, "x" x 100000, 100000), "\n";
$db->pg_lo_close($fd); $db->pg_lo_unlink($lo); $db->commit;
my $size = $ENV{DRIVERS_MB} << 20;
my @row = $db->selectrow_array("select length(?), repeat('y', ?::int)", undef, "z" x $size, $size);
print "$row[0] ", length $row[1], "\n";

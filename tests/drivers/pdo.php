<?php // PDO: prepared statements under names of its own, large objects, COPY.
$db = new PDO("pgsql:host=" . getenv("PGHOST") . ";port=" . getenv("PGPORT") . ";dbname=app;sslmode=disable", "postgres");
$in = $db->prepare("insert into items values (?, ?)");
for ($i = 0; $i < 20; $i++) $in->execute([$i, $i % 3 ? "name $i" : null]);
$get = $db->prepare("select id, name from items where id = :id");
for ($i = 0; $i < 20; $i++) { $get->execute(["id" => $i]); echo json_encode($get->fetchAll(PDO::FETCH_NUM)), "\n"; }
foreach (["select 1/0", "selec", "insert into items values (1, 'twice')"] as $sql) {
	$db->beginTransaction();
	try { $db->exec("insert into items values (100, 'gone')"); $db->query($sql); }
	catch (PDOException $e) { echo $e->getCode(), " ", $e->getMessage(), "\n"; }
	$db->rollBack();
}
echo json_encode($db->query("select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2]")->fetch(PDO::FETCH_NUM)), "\n";
$rows = [];
for ($i = 1000; $i < 6000; $i++) $rows[] = "$i\tcopied";
$db->pgsqlCopyFromArray("items", $rows);
echo count($db->pgsqlCopyToArray("items")), "\n";
$db->beginTransaction();
$oid = $db->pgsqlLOBCreate();
$lo = $db->pgsqlLOBOpen($oid, "w");
echo fwrite($lo, str_repeat("x", 8000)), "\n";
$lo = null;
$db->pgsqlLOBUnlink($oid);
$db->commit();
$size = intval(getenv("DRIVERS_MB")) << 20;
ini_set("memory_limit", "1G");
$big = $db->prepare("select length(?), repeat('y', ?::int)");
$big->execute([str_repeat("z", $size), $size]);
$row = $big->fetch(PDO::FETCH_NUM);
echo $row[0], " ", strlen($row[1]), "\n";

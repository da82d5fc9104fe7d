<?php // PDO: prepared statements under names of its own, large objects, COPY, cursors, session state. No pipelines.
$place = "pgsql:host=" . getenv("PGHOST") . ";port=" . getenv("PGPORT") . ";dbname=app;sslmode=disable";
$db = new PDO($place, "postgres");
$other = new PDO($place, "postgres");
function one($on, $sql) { return json_encode($on->query($sql)->fetchColumn()); }
$in = $db->prepare("insert into items values (?, ?)");
for ($i = 0; $i < 20; $i++) $in->execute([$i, $i % 3 ? "name $i" : null]);
$get = $db->prepare("select id, name from items where id = :id");
for ($i = 0; $i < 20; $i++) { $get->execute(["id" => $i]); echo json_encode($get->fetchAll(PDO::FETCH_NUM)), "\n"; }
foreach (["select 1/0", "selec", "insert into items values (1, 'twice')"] as $sql) {
	$db->beginTransaction();
	$db->exec("insert into items values (100, 'gone')");
	foreach ([$sql, "select 1"] as $text)
		try { $db->query($text); } catch (PDOException $e) { echo $e->getCode(), " ", $e->getMessage(), "\n"; }
	$db->rollBack();
}
echo json_encode($db->query("select null::int, true, 1.5::numeric, date '2020-01-01', array[1,2]")->fetch(PDO::FETCH_NUM)), "\n";
$rows = [];
for ($i = 1000; $i < 6000; $i++) $rows[] = "$i\tcopied";
$db->pgsqlCopyFromArray("items", $rows);
echo md5(implode($db->pgsqlCopyToArray("items"))), "\n";
$db->beginTransaction();
$oid = $db->pgsqlLOBCreate();
$lo = $db->pgsqlLOBOpen($oid, "w");
echo fwrite($lo, str_repeat("x", 8000)), "\n";
$lo = null;
$db->pgsqlLOBUnlink($oid);
$db->commit();
try { $db->pgsqlCopyFromArray("items", ["1\ttwice"]); } catch (PDOException $e) { echo $e->getCode(), "\n"; }
$db->beginTransaction();
$db->exec("savepoint s");
try { $db->query("select 1/0"); } catch (PDOException $e) { echo $e->getCode(), "\n"; }
$db->exec("rollback to s; insert into items values (200, 'kept')");
$db->commit();
$db->beginTransaction();
$walk = $db->prepare("select id from items order by id", [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
$walk->execute();
for ($sum = 0; ($row = $walk->fetch(PDO::FETCH_NUM)); ) $sum += $row[0];
echo $sum, json_encode($walk->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 3)), "\n";
$walk = null;
$db->commit();
$bytes = $db->prepare("select ?::bytea, ?::int");
$bytes->bindValue(1, "\0\xff", PDO::PARAM_LOB);
$bytes->bindValue(2, null, PDO::PARAM_NULL);
$bytes->execute();
$row = $bytes->fetch(PDO::FETCH_NUM);
echo bin2hex(stream_get_contents($row[0])), json_encode($row[1]), "\n";
$bytes = null;
$db->exec("set search_path = pg_catalog");
echo one($other, "show search_path"), one($db, "show search_path"), "\n";
$db->exec("reset search_path; create temp table mine (a int)");
one($other, "select 1");
echo one($db, "insert into mine values (5) returning a"), "\n";
$db->exec("drop table mine");
one($db, "select pg_advisory_lock(77)");
echo one($other, "select pg_try_advisory_lock(77)"), one($db, "select pg_advisory_unlock(77)"), "\n";
$db->exec("listen news");
$other->exec("notify news, 'now'");
$heard = $db->pgsqlGetNotify(PDO::FETCH_ASSOC, 60000);
echo $heard["message"], $heard["payload"], "\n";
$db->exec("unlisten news");
$size = intval(getenv("DRIVERS_MB")) << 20;
ini_set("memory_limit", "1G");
$big = $db->prepare("select length(?), repeat('y', ?::int)");
$big->execute([str_repeat("z", $size), $size]);
$row = $big->fetch(PDO::FETCH_NUM);
echo $row[0], " ", $row[1] === str_repeat("y", $size) ? "same" : "other", "\n";

"""Tools on the spool: a snapshot under load, a check beside a running daemon, damage, a repair, a move."""
import glob
import json
import os
import threading

from fakehop import FakeHop
from place import check, test, wait_for
from postern import Postern


def _later(place, **options):
	hop = FakeHop(place.ip, replies={"RCPT": "450 4.2.1 later"})
	return hop, Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}, **options)


def _ids(postern):
	return {m["id"] for m in postern.queue()}


@test
def a_snapshot_under_load_has_all_that_was_acknowledged_before(place):
	hop, postern = _later(place, spool={"segment-size": "1MiB"})
	postern.start()
	acknowledged, is_over = [], threading.Event()
	body = "Subject: t\r\n\r\n" + "x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 400

	def load():
		while not is_over.is_set():
			acknowledged.append(postern.send(data=body))
	threads = [threading.Thread(target=load) for _ in range(3)]
	for t in threads:
		t.start()
	try:
		wait_for(lambda: len(acknowledged) >= 60, "some mail is there", 30)
		for i in range(0, 30, 2):  # what is gone must not come back
			postern.control("remove", acknowledged[i])
		gone, before = set(acknowledged[0:30:2]), set(acknowledged)
		said = postern.control("spool", "snapshot", place.path("copy"))
		check("written to" in said, "it says so", said)
		said = postern.control("spool", "check")
		check("no damage" in said and "DAMAGE" not in said, "a check beside it finds nothing", said)
	finally:
		is_over.set()
		for t in threads:
			t.join()
	wait_for(lambda: "spool-unpinned" in postern.log(), "the segments are let go")
	postern.stop()
	said = postern.control("spool", "check", place.path("copy"))
	check(said.count("closed in order") == 2 and "DAMAGE" not in said, "the copy is whole", said)
	moved = Postern(place, name="moved", routes=postern.routes, workers=1)
	os.makedirs(moved.folder, exist_ok=True)
	os.rename(place.path("copy"), moved.folder + "/spool")
	os.chmod(moved.folder, 0o755)
	moved.start()
	there = _ids(moved)
	check(before - gone <= there, "all acknowledged mail", len(before - gone - there))
	check(not gone & there, "nothing that was gone", gone & there)
	hop.replies = {}
	moved.control("flush")
	wait_for(lambda: len(hop.messages) >= len(there), lambda: f"{len(hop.messages)} of {len(there)}", 40)
	moved.stop()


@test
def damage_is_told_and_a_repair_leaves_it_out(place):
	hop, postern = _later(place, workers=1)
	postern.start()
	ids = [postern.send(sender=f"s{i}@client.test", data=f"Subject: t\r\n\r\nmessage number {i}\r\n") for i in range(5)]
	said = postern.control("spool", "check", "--repair", place.path("new"), status=2)
	check("stop it first" in said, "not beside a running one", said)
	postern.stop()
	check("5 messages" in postern.control("spool", "check", "--shard", "0"), "all are there")
	segment = sorted(glob.glob(postern.folder + "/spool/0/*.segment"))[0]
	with open(segment, "r+b") as f:
		at = f.read().index(b"message number 2")
		f.seek(at)
		f.write(b"M")
	said = postern.control("spool", "check", status=1)
	for words in ("DAMAGED in 1 place", f"message {ids[2]}: LOST", "from <s2@client.test>", "to <to@hop.test>"):
		check(words in said, words, said)
	lines = [json.loads(l) for l in postern.control("spool", "check", "--json", status=1).splitlines()]
	check([l["message"] for l in lines if l["kind"] == "message"] == [ids[2]], "as JSON", lines)
	said = postern.control("spool", "check", "--repair", place.path("new"), status=1)
	check("4 messages" in said, "written", said)
	said = postern.control("spool", "check", "--repair", place.path("new"), status=2)
	check("not empty" in said, "nothing is written over", said)
	os.rename(postern.folder + "/spool", postern.folder + "/damaged")
	os.rename(place.path("new"), postern.folder + "/spool")
	hop.replies = {}
	postern.start()
	wait_for(lambda: len(hop.messages) == 4, lambda: f"{len(hop.messages)} of 4", 20)
	postern.wait_for_empty_queue()
	postern.stop()


@test
def a_snapshot_of_a_stopped_one_takes_the_lock(place):
	_, postern = _later(place, workers=2)
	postern.start()
	sent = {postern.send() for _ in range(8)}
	pids = postern.pids()
	postern.process.kill()
	postern.process.wait()
	wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "all of it is gone")
	# the workers' sockets are still there
	postern.control("spool", "snapshot", place.path("copy"))
	said = postern.control("spool", "check", "--json", place.path("copy"))
	shards = [json.loads(l) for l in said.splitlines() if '"kind":"shard"' in l]
	check(sum(s["living"] for s in shards) == len(sent), "all of it", shards)
	said = postern.control("spool", "check", place.path("nowhere"), status=2)
	check("nowhere" in said, "says what it cannot read", said)

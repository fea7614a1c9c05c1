"""kill -9 at any moment: nothing acknowledged is lost, what comes twice is explained."""
import collections
import os
import random
import signal
import time

from place import Failure, check, kill_quietly, test, wait_for
from postern import Postern

ROUNDS = 200
WINDOW_S = 0.5  # between a next hop's 250 and our record of it, on a busy machine


class Sink:
	"""The C sink: remembers the id of every message it answered with 250."""

	def __init__(self, place, certificate):
		self.ids = place.path("arrived")
		self.process = place.start("sink", [place.build("optimised") + "/tests/bench/smtpsink", "-i", self.ids,
						    "-c", certificate[0], "-k", certificate[1]])
		wait_for(lambda: "listening" in place.log("sink"), "the sink")
		self.port = int(place.log("sink").split()[1])

	def arrivals(self):
		"""{id: [when it arrived, ...]}; fails on a changed message."""
		found = collections.defaultdict(list)
		with open(self.ids) as f:
			for line in f:
				if line.endswith("\n"):
					name, verdict, when = line.split()
					check(verdict == "ok", f"message {name} arrived {verdict}")
					found[name].append(float(when))
		return found


def _fates(path):
	fates = {}
	with open(path) as f:
		for line in f:
			if line.endswith("\n"):
				word, name = line.split()
				fates[name] = word
	return fates


def _await_workers(postern, count, seconds=30):
	wait_for(lambda: len(postern.worker_pids()) >= count, "the workers are back", seconds, 0.005)


def _is_alive(pid):
	try:
		with open(f"/proc/{pid}/stat") as f:
			return f.read().rsplit(")", 1)[1].split()[0] != "Z"
	except OSError:  # gone, perhaps just now
		return False


def _rounds(place, rounds, tls):
	"""Kill under load; then account for every message."""
	certificate = place.certificate("sink", "sink.test")
	sink = Sink(place, certificate)
	postern = Postern(place, routes={"sink.test": f"smtp 127.0.0.1:{sink.port}"}, build="optimised", workers=2, shutdown="1s",
			  retry={"first": "1s", "pause": "1s", "longest": "2s"},
			  rules={"sink.test": 'require = "encrypt"' if tls else 'require = "none"'})
	postern.start()
	rng = random.Random(1)
	load_log = place.path("fates")
	load = place.start("load", [postern.programs + "/tests/bench/smtpload", "-k", "-c", "8", "-s", "100000000", "-m", "3",
				    "-l", "6000", "-d", "3600", "-o", load_log,
				    *(["-t", "starttls"] if tls else []), f"{place.ip}:{postern.port}"])
	kills, killed_at, of_this_daemon = collections.Counter(), [], 0
	for _ in range(rounds):
		_await_workers(postern, 2)
		time.sleep(rng.random() * 0.5)
		killed_at.append(time.monotonic())
		# A worker that dies young for the second time is made to wait, so the daemon goes then.
		if of_this_daemon < 2:
			kill_quietly(postern.worker_pids()[of_this_daemon])
			of_this_daemon += 1
			kills["worker"] += 1
			continue
		pids, of_this_daemon = postern.pids(), 0
		if rng.random() < 0.5:
			kills["supervisor, the workers end by themselves"] += 1
			kill_quietly(pids[0])
		else:
			kills["supervisor and workers"] += 1
			for pid in pids[::rng.choice((1, -1))]:
				kill_quietly(pid)
		postern.process.wait()
		wait_for(lambda: not any(_is_alive(p) for p in pids), "all of it is gone", 30, 0.01)
		postern.start()
	_await_workers(postern, 2)
	time.sleep(1)
	load.terminate()
	load.wait()
	fates = _fates(load_log)
	acked = {name for name, word in fates.items() if word == "acked"}
	try:
		wait_for(lambda: acked <= set(sink.arrivals()), "all acknowledged messages arrive", 60, 0.5)
	except Failure:
		missing = acked - set(sink.arrivals())
		check(False, f"{len(missing)} of {len(acked)} acknowledged messages LOST", sorted(missing)[:10],
		      f"queue: {str(postern.queue())[:600]}")
	wait_for(lambda: not postern.queue(), lambda: f"an empty queue: {str(postern.queue())[:500]}", 60, 0.5)
	arrived = sink.arrivals()
	twice = {name: times for name, times in arrived.items() if len(times) > 1}
	# A message may come twice only where a process died between the sink's 250 and our record of it.
	unexplained = {name: times for name, times in twice.items()
		       if not any(-0.1 < kill - first < WINDOW_S for first in times[:-1] for kill in killed_at)}
	check(not unexplained, f"{len(unexplained)} messages came twice with no kill behind the first",
	      list(unexplained.items())[:5])
	print(f"NOTE {rounds} kills ({dict(kills)}): {len(fates)} messages, {len(acked)} acknowledged, "
	      f"{len(arrived)} arrived, {len(twice)} of them twice (a kill behind the first time), 0 lost")
	check(len(acked) > rounds, f"there was load: {len(acked)} acknowledged")
	postern.stop()


@test(weight=200)
def nothing_acknowledged_is_lost_in_150_kills_in_clear(place):
	_rounds(place, max(5, int(ROUNDS * 0.75 * place.scale)), False)


@test(weight=90)
def nothing_acknowledged_is_lost_in_50_kills_over_tls(place):
	_rounds(place, max(5, int(ROUNDS * 0.25 * place.scale)), True)


@test(weight=10)
def a_stopped_supervisor_takes_its_workers_along(place):
	postern = Postern(place, routes={"sink.test": "smtp 127.0.0.1:1"}).start()
	pids = postern.worker_pids()
	os.kill(postern.process.pid, signal.SIGKILL)
	postern.process.wait()

	def all_gone():
		return not any(os.path.exists(f"/proc/{p}") for p in pids)
	wait_for(all_gone, "the workers end by themselves", 20, 0.1)

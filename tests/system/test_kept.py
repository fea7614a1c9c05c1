"""Plans outlive postern-policyd: it ends, is killed, and still answers, while no name server does."""
import json
import os
import signal
import stat

from place import check, test, wait_for
from test_hops import World
from test_socketmap import NOTHING, PORT, _Maps, _secure


def _life(w, config):
	program = w.place.build() + "/smtpd/postern-policyd"
	starts = w.place.log("policyd").count("policyd-start")
	process = w.place.start("policyd", [program, "-c", config])
	wait_for(lambda: process.poll() is not None or w.place.log("policyd").count("policyd-start") > starts,
		 lambda: w.place.log("policyd"))
	check(process.poll() is None, "it runs", w.place.log("policyd"))
	return process


def _explain(w, config, domain):
	said = w.place.run([w.place.build() + "/smtpd/posternctl", "-c", config, "explain", "--json", domain], status=None)
	return json.loads(said)


@test(weight=15)
def plans_outlive_a_stop_and_a_kill(place):
	w = World(place)
	w.domain("ee.org")
	w.add("ee.org", w.tlsa("mx.ee.org"))
	w.domain("sts.org", state="unsigned")
	w.policy("sts.org", "mx.sts.org")
	w.domain("new.org")
	w.net.open()
	cache = place.path("state/mta-sts.db")
	user = 'user = "nobody"\n' if os.geteuid() == 0 else ""
	config = place.write("policyd.conf", f'hostname = "mx.postern.test"\nrun-directory = "{place.path("run")}"\n{user}'
		f'mta-sts {{ cache = "{cache}" }}\nresolver {{ timeout = "2s" }}\nsocketmap "127.0.0.1:{PORT}" {{ }}\n')
	table = {"ee.org": "dane-only", "sts.org": _secure("mx.sts.org"), "no-such-name.org": NOTHING}
	process, maps = _life(w, config), _Maps(place)
	maps(table)
	before = _explain(w, config, "ee.org")
	check(place.end(process) == 0, "it ends well", place.log("policyd"))
	mode = os.stat(cache + ".plans")
	check(stat.S_IMODE(mode.st_mode) == 0o600, "its file is its own", oct(mode.st_mode))
	for server in w.net.servers:
		place.end(server)
	for _ in range(2):
		process = _life(w, config)
		maps(table)
		check(_explain(w, config, "ee.org")["plan"]["hosts"] == before["plan"]["hosts"], "explain says the same")
		status = json.loads(place.run([place.build() + "/smtpd/posternctl", "-c", config, "--json", "status"])
			.splitlines()[-1])  # beside another MTA there is no worker, and that is no fault
		check(status["policyd"] == "running" and status["pid"] == process.pid and status["plans"] == 3, "status", status)
		check(maps.ask("new.org") == "TEMP", "what nobody asked for is not known")
		process.send_signal(signal.SIGKILL)
		process.wait()
	log = place.log("policyd")
	check(log.count(" plans=3") == 2 and "policy-warning" not in log, "two lives of three plans", log)
	with open(cache + ".plans", "r+b") as f:
		f.seek(os.path.getsize(cache + ".plans") // 2)
		f.write(b"\xff" * 64)
	process = _life(w, config)
	check("kept plans are damaged" in place.log("policyd"), "damage is told", place.log("policyd"))
	check(place.end(process) == 0, "and nothing else", place.log("policyd"))

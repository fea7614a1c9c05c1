"""Policy under faults: what was learned stays learned, what is broken stays its owner's trouble, and nothing goes
out unprotected meanwhile."""
import glob
import os
import re
import signal

from internet import host_ip, tlsa
from peers import Postfix
from place import check, children_of, test, wait_for
from test_hops import World, _start


def _policyd_pid(postern):
	"""Of the policy brain, 0 when it is not there."""
	for pid in children_of(postern.process.pid):
		try:
			if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "postern-policyd":
				return pid
		except OSError:
			pass
	return 0


def _send(postern, *domains):
	with postern.client() as c:
		for domain in domains:
			c.mail("from@client.test", f"to@{domain}", f"Subject: {domain}\r\n\r\nx\r\n")


def _outcome(postern, domain, after=0, seconds=30):
	"""The first delivery line for the domain behind the place in the log."""
	return postern.wait_for_log(rf"[^\n]* delivery [^\n]*to=to@{re.escape(domain)} [^\n]*", seconds, after).group(0)


def _sts_world(place, **options):
	w = World(place)
	w.domain("sts.org", state="unsigned")
	w.policy("sts.org", "mx.sts.org")
	w.domain("plain.org", certificate=None, state="unsigned")
	_start(w, **options)
	return w


@test(weight=15)
def a_policy_survives_restart_and_no_fault_relaxes_it(place):
	w = _sts_world(place)
	_send(w.postern, "sts.org")
	check("outcome=delivered" in _outcome(w.postern, "sts.org"), "delivered")
	w.postern.stop()
	os.remove(place.path("state/mta-sts.db.plans"))  # the policy alone must do it
	# The policy host is gone and the mail host turned bad: what was promised still holds.
	w.net.web["mta-sts.sts.org"] = (w.net.web["mta-sts.sts.org"][0], lambda r: r.answer("no", "404 Not Found"))
	w.hops["mx.sts.org"].use_certificate(w.certificate("mx.stranger.example"))
	seen = len(w.postern.log())
	w.postern.start()
	_send(w.postern, "sts.org")
	line = _outcome(w.postern, "sts.org", seen)
	check("outcome=deferred" in line and "mx.stranger.example" in line, "still enforced", line)
	check(len(w.hops["mx.sts.org"].messages) == 1, "nothing more came")
	w.postern.stop()


@test(weight=15)
def a_damaged_cache_is_set_aside_with_a_warning(place):
	w = _sts_world(place)
	_send(w.postern, "sts.org")
	_outcome(w.postern, "sts.org")
	w.postern.stop()
	path = place.path("state/mta-sts.db")
	check(os.path.exists(path), "the cache is there", str(glob.glob(place.path("state/*"))))
	for extra in glob.glob(path + "-*"):
		os.remove(extra)
	with open(path, "r+b") as f:
		size = os.path.getsize(path)
		f.seek(0)
		f.write(b"\xff" * min(size, 4096))
	seen = len(w.postern.log())
	w.postern.start()
	w.postern.wait_for_log(r"set aside as", after=seen)
	check(glob.glob(path + ".damaged-*"), "it was kept", str(glob.glob(place.path("state/*"))))
	_send(w.postern, "sts.org", "plain.org")
	check("level=verify" in _outcome(w.postern, "sts.org", seen), "fetched again")
	check("outcome=delivered" in _outcome(w.postern, "plain.org", seen), "others go on")
	w.postern.stop()


@test(weight=20)
def policyd_killed_in_the_middle_loses_and_leaks_nothing(place):
	w = World(place)
	w.domain("ee.org")
	w.add("ee.org", w.tlsa("mx.ee.org"))
	w.domain("sts.org", state="unsigned")
	w.policy("sts.org", "mx.sts.org")
	w.net.zone("silent.org", [], "silent")
	postern = _start(w)
	pid = wait_for(lambda: _policyd_pid(postern), "policyd runs")
	workers = [p for p in children_of(postern.process.pid) if p != pid]
	_send(postern, "silent.org", "ee.org")
	os.kill(pid, signal.SIGKILL)
	_send(postern, "sts.org")
	other = wait_for(lambda: _policyd_pid(postern) not in (0, pid) and _policyd_pid(postern), "it is started again")
	for domain in ("ee.org", "sts.org"):
		line = _outcome(postern, domain)
		check("outcome=delivered" in line and " tls=TLS" in line, "delivered under its policy", line)
	check([p for p in children_of(postern.process.pid) if p != other] == workers, "the worker lived on")
	# Stopped, not dead: nothing is sent on a guess, and all goes out when it answers again.
	os.kill(other, signal.SIGSTOP)
	count = len(w.hops["mx.sts.org"].messages)
	seen = len(postern.log())
	_send(postern, "sts.org")
	with postern.client() as c:  # meanwhile the worker serves
		c.command("NOOP", 250)
	check(len(w.hops["mx.sts.org"].messages) == count, "nothing went out")
	os.kill(other, signal.SIGCONT)
	check("outcome=delivered" in _outcome(postern, "sts.org", seen), "delivered then")
	postern.stop()


@test(weight=15)
def neighbours_on_the_same_host_do_not_suffer(place):
	"""KumoMTA's fault (kumomta#484): one domain's broken policy blocked others on the same host."""
	w = World(place)
	w.domain("host.net", state="unsigned")
	for name in ("bad.org", "one.org", "two.org", "strict.org"):
		w.net.zone(name, ["@ MX 10 mx.host.net."], "unsigned")
	w.policy("bad.org", "elsewhere.example")
	w.policy("strict.org", "mx.host.net")
	postern = _start(w)
	_send(postern, *["bad.org", "one.org", "strict.org", "two.org"] * 5)
	for name, outcome in (("bad.org", "deferred"), ("one.org", "delivered"), ("two.org", "delivered"),
			      ("strict.org", "delivered")):
		check(f"outcome={outcome} " in _outcome(postern, name), name, _outcome(postern, name))
	wait_for(lambda: len(w.hops["mx.host.net"].messages) == 15, "fifteen arrive")
	postern.stop()


@test(weight=30)
def real_postfix_hosts_under_dane_and_mta_sts(place):
	w = World(place)
	hosts = {}
	everybody = "mynetworks = 0.0.0.0/0"
	for i, (label, names) in enumerate((("mx.dane.org", ["whatever.example"]), ("mx.sts.org", ["mx.sts.org"]),
					    ("mx.broken.org", ["mx.other.example"]))):
		ip = host_ip(200 + i)
		certificate = w.certificate(*names)
		hosts[label] = Postfix(place, certificate, extra=everybody, name=f"postfix{i}", ip=ip, port=25)
		zone = label[3:]
		w.net.mx_zone(zone, [(10, "mx", ip)], state="signed" if zone == "dane.org" else "unsigned")
		if zone == "dane.org":
			w.add(zone, f"_25._tcp.mx TLSA {tlsa(certificate[0], '3 1 1', place)}")
		else:
			w.policy(zone, label)
	postern = _start(w)
	_send(postern, "dane.org", "sts.org", "broken.org")
	check("verified=domain" in _outcome(postern, "dane.org"), "DANE", _outcome(postern, "dane.org"))
	check("verified=domain" in _outcome(postern, "sts.org"), "MTA-STS", _outcome(postern, "sts.org"))
	check("outcome=deferred" in _outcome(postern, "broken.org"), "refused", _outcome(postern, "broken.org"))
	wait_for(lambda: hosts["mx.dane.org"].delivered() and hosts["mx.sts.org"].delivered(), "they came")
	check(not hosts["mx.broken.org"].delivered(), "nothing came there")
	postern.stop()

"""postern-policyd asked by Postfix's own client of socketmap, beside what Postern's relay decides of the same domains."""
import base64
import hashlib
import os
import resource
import signal
import socket
import ssl
import struct
import subprocess

import test_hops
from client import Client
from fakehop import FakeHop
from internet import Internet, host_ip
from peers import Postfix
from place import check, test, wait_for
from postern import Postern
from test_hops import World

PORT = 8642
NOTHING = "NOTFOUND"
TEMP = "TEMP"


def _secure(*names):
	return f"secure match={':'.join(names)} servername=hostname"


class _Maps:
	"""postmap -q, and the protocol by hand."""

	def __init__(self, place, address=f"inet:127.0.0.1:{PORT}"):
		self.place, self.address = place, address
		self.folder = os.path.dirname(place.write("postfix/main.cf", "compatibility_level = 3.6\n"))

	def ask(self, key, map="postfix"):
		done = subprocess.run(["postmap", "-c", self.folder, "-q", key, f"socketmap:{self.address}:{map}"],
				      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
		if done.returncode == 0:
			return done.stdout.strip()
		for words, answer in (("temporary error", TEMP), ("permanent error", "PERM")):
			if words in done.stderr:
				return answer
		check(not done.stderr, "no other trouble", done.stderr)
		return NOTHING

	def __call__(self, table, map="postfix"):
		wrong = []
		for key, wanted in table.items():
			said = self.ask(key, map)
			if said != wanted:
				wrong.append(f"{map} {key}: {said}; wanted {wanted}")
		check(not wrong, f"{len(wrong)} of {len(table)} answers are wrong", *wrong)


def _netstring(text):
	return f"{len(text.encode())}:{text},".encode()


def _connect():
	s = socket.create_connection(("127.0.0.1", PORT), 60)
	s.settimeout(60)
	return s


def _read(s, count):
	"""That many answers."""
	got, found = b"", []
	while True:
		while b":" in got and len(found) < count:
			length, rest = got.split(b":", 1)
			if len(rest) <= int(length):
				break
			check(rest[int(length):int(length) + 1] == b",", "a comma", rest[:80])
			found.append(rest[:int(length)].decode())
			got = rest[int(length) + 1:]
		if len(found) == count:
			check(not got, "no more than that", got)
			return found
		more = s.recv(65536)
		check(more, "the connection stays", found, got)
		got += more


def _start(w):
	w.net.open()
	folder = w.place.path("state")
	w.postern = Postern(w.place, workers=1, routes={**w.routes, "*": "mx"}, rules=w.rules, retry={"first": "1h"},
			    sections=w.exceptions + f'mta-sts {{ cache = "{folder}/mta-sts.db" fetch-timeout = "5s" }}\n'
			    f'socketmap "127.0.0.1:{PORT}" {{ }}\n').start()
	w.postern.wait_for_log("socketmap-listen")
	return _Maps(w.place)


def _agree(w, maps):
	"""What the relay did is no more and no less than what Postfix is told. Mail that went in clear may go in clear;
	mail that stayed has an answer by which it stays."""
	strict = ("dane-only", "secure", "verify", "encrypt", "fingerprint", "dane", TEMP)
	wrong = []
	for domain, outcome, _, _, tls, _, _ in w.rows:
		answer = maps.ask(domain)
		level = answer.split()[0]
		if (tls is False and level not in (NOTHING, "may", "none", "dane")) or \
				(outcome == "deferred" and level not in strict) or \
				(outcome == "delivered" and answer == TEMP) or (outcome == "failed" and answer != NOTHING):
			wrong.append(f"{domain}: {outcome}, tls {tls}; but {answer}")
	check(not wrong, "both doors agree", *wrong)


@test(weight=45)
def dane_is_told(place):
	w = World(place)
	test_hops._dane(w)
	maps = _start(w)
	test_hops._play(w)
	only = ("ee.org", "other-key.org", "ta.org", "ta-name.org", "ee-expired.org", "dane-clear.org", "cname.org",
		"forged-one.org", "EE.org", "ee.org:25", "ee.org.", "[mx.ee.org]", "[MX.ee.org]:25")
	some = ("unusable.org", "unusable-clear.org", "hosted.net", "forged-all.org", "one-of-three.org", "silent-one.org")
	none = ("insecure.org", "implicit.org", "no-mail.org", "nowhere.org", "nothing-there.org", ".org", ".ee.org",
		"[11.5.0.1]", "11.5.0.1", "[IPv6:2001:db8::1]:25", "ee.org:26")
	table = {**dict.fromkeys(only, "dane-only"), **dict.fromkeys(some, "dane"), **dict.fromkeys(none, NOTHING),
		 "all-broken.org": TEMP, "signatures-expired.org": TEMP, "ee.org:moon": "PERM"}
	maps(table)
	maps(table, "postfix-tlsrpt")
	_agree(w, maps)
	check(maps.ask("ee.org", "no-such-map") == "PERM", "an unknown map")
	with _connect() as s:  # Sendmail does DANE by itself, and waits for 5 s
		s.sendall(_netstring("sts ee.org") + _netstring("sts silent-one.org") + _netstring("sts all-broken.org"))
		said = _read(s, 3)
		check(said[:2] == ["NOTFOUND "] * 2 and said[2].startswith("TEMP "), "Sendmail", said)
	w.postern.stop()


@test(weight=45)
def mta_sts_is_told(place):
	w = World(place)
	test_hops._sts(w)
	maps = _start(w)
	test_hops._play(w)
	policies = {name: _secure("mx." + name) for name in ("sts.org", "sts-name.org", "sts-expired.org", "sts-clear.org",
							     "sts-two.org")}
	policies.update({"sts-mx.org": _secure("elsewhere.example"), "sts-wildcard.org": _secure(".sts-wildcard.org")})
	table = {**policies, "both.org": "dane-only", "dane-first.org": "dane-only", "sts-testing.org": NOTHING,
		 "sts-none.org": NOTHING, "[mx.sts.org]": NOTHING, "sts.org:25": _secure("mx.sts.org")}
	table.update({name: NOTHING for name in w.net.zones if name.startswith("web-")})
	maps(table)
	_agree(w, maps)
	report = (" policy_type=sts policy_domain={0} mx_host_pattern={1} {{ policy_string = version: STSv1 }} "
		  "{{ policy_string = mode: {2} }} {{ policy_string = mx: {1} }} {{ policy_string = max_age: 86400 }}")
	maps({"sts.org": policies["sts.org"] + report.format("sts.org", "mx.sts.org", "enforce"),
	      "sts-wildcard.org": policies["sts-wildcard.org"] +
	      report.format("sts-wildcard.org", "*.sts-wildcard.org", "enforce"),
	      "sts-testing.org": NOTHING,
	      "both.org": "dane-only", "sts-none.org": NOTHING}, "postfix-tlsrpt")
	with _connect() as s:
		s.sendall(b"".join(_netstring(f"sts {d}") for d in ("sts.org", "both.org", "sts-testing.org", "web-type.org")))
		said = _read(s, 4)
		check(said == ["OK " + _secure("mx.sts.org"), "OK " + _secure("mx.both.org"), "NOTFOUND ", "NOTFOUND "],
		      "what Sendmail is told", said)
	w.postern.stop()


@test(weight=30)
def rules_and_exceptions_are_told(place):
	w = World(place)
	w.domain("sts.org", state="unsigned")
	w.policy("sts.org", "mx.sts.org")
	test_hops._rules(w)
	w.rules["named.org"] = 'require = verify names = { "a.example", ".b.example" }'
	w.rules["pinned.org"] = f'require = verify key-pins = {{ "sha256:{"0a" * 32}" }}'
	w.rules["own.org"] = f'require = verify authority = "{w.net.ca}"'
	w.rules["never.org"] = "require = none"
	w.rules["low.org"] = "require = may"
	for name in ("named.org", "pinned.org", "own.org", "never.org", "low.org"):
		w.domain(name, certificate=None, state="unsigned")
	maps = _start(w)
	test_hops._play(w)
	maps({"at-13.org": "encrypt protocols=>=TLSv1.3", "dane-only.org": "dane-only", "excepted.org": "may",
	      "without-dane.org": "encrypt", "verify.org": _secure("verify.org", ".verify.org"),
	      "verify-elsewhere.org": _secure("verify-elsewhere.org", ".verify-elsewhere.org"),
	      "sts.org": _secure("mx.sts.org"), "never.org": "none", "low.org": "may",
	      "named.org": "verify match=a.example:.b.example servername=hostname",
	      "pinned.org": "fingerprint match=" + ":".join(["0A"] * 32) + " servername=hostname",
	      "own.org": _secure("own.org", ".own.org") + f" tafile={w.net.ca}"})
	w.rows = [r for r in w.rows if r[0] != "smart.example"]  # a route of ours, which Postfix would have as well
	_agree(w, maps)
	w.postern.stop()


def _small(place):
	"""One domain of each kind, without mail hosts behind."""
	w = World(place)
	for name in ("sts.org", "gone.org"):
		w.net.mx_zone(name, [(10, "mx", host_ip(1))], state="unsigned")
		w.policy(name, "mx." + name)
	w.net.mx_zone("plain.org", [(10, "mx", host_ip(2))], state="unsigned")
	return w


@test(weight=12)
def a_policy_in_force_outlives_its_domain_and_a_restart(place):
	w = _small(place)
	maps = _start(w)
	maps({"gone.org": _secure("mx.gone.org"), "plain.org": NOTHING})
	pid = wait_for(w.postern.policyd_pid, "postern-policyd runs")
	# From now on nobody answers for any domain.
	os.kill(pid, signal.SIGKILL)
	for name, process in place.processes:
		if name in ("nsd-zones", "nsd-top"):
			process.kill()
	def is_back():
		found = w.postern.policyd_pid()
		return found if found and found != pid else None
	wait_for(is_back, "it is started again")
	wait_for(lambda: w.postern.log().count("socketmap-listen") == 2, "and listens again")
	check(maps.ask("gone.org") == _secure("mx.gone.org"), "the policy is in force")
	w.postern.stop()


@test(weight=12)
def thousands_of_idle_slow_and_mad_clients_disturb_nobody(place):
	w = _small(place)
	maps = _start(w)
	maps({"sts.org": _secure("mx.sts.org")})
	_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
	resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 10000), most))
	crowd = [_connect() for _ in range(min(most, 10000) * 4 // 10)]
	for i, s in enumerate(crowd):
		if i % 3 == 1 and i > len(crowd) // 2:
			s.sendall(b"14:postfix sts")
		elif i % 3 == 2 and i > len(crowd) // 2:  # some are gone already
			s.sendall(os.urandom(20).replace(b":", b"x") + b"x")
	deaf = _connect()
	deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
	deaf.settimeout(0.2)
	try:
		while True:
			deaf.sendall(_netstring("postfix sts.org") * 1000)
	except TimeoutError:
		pass
	with _connect() as s:
		s.sendall(_netstring("postfix sts.org") * 5000)
		check(set(_read(s, 5000)) == {"OK " + _secure("mx.sts.org")}, "5000 answers")
	last, _, mad = crowd[len(crowd) // 3 * 3 - 3:len(crowd) // 3 * 3]
	told = mad.recv(200)
	check(b":PERM this is no request" in told, "the mad one is told", told)
	last.sendall(_netstring("postfix plain.org"))
	check(_read(last, 1) == ["NOTFOUND "], "the idle one is served")
	if len(crowd) > 3500:
		check(crowd[0].recv(1) == b"", "the longest idle made room")
	deaf.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
	for s in [deaf, *crowd]:
		s.close()
	maps({"sts.org": _secure("mx.sts.org")})
	w.postern.stop()


@test(weight=10)
def half_closed_stuck_and_reloaded_under_load_it_goes_on(place):
	w = _small(place)
	w.net.zone("silent.org", [], "silent")
	maps = _start(w)
	good = _secure("mx.sts.org")
	maps({"sts.org": good})

	# It asks for what takes long, and for more behind that, and never reads.
	stuck = _connect()
	stuck.sendall(b"".join(_netstring(f"postfix d{i}.silent.org") for i in range(100)) + _netstring("postfix sts.org") * 3000)
	# More questions than there are places.
	crowd = [_connect() for _ in range(30)]
	for i, s in enumerate(crowd):
		s.sendall(b"".join(_netstring(f"sts d{i}-{j}.silent.org") for j in range(90)) + _netstring("sts sts.org"))

	# It says that no more comes, and leaves a request in the middle.
	with _connect() as s:
		s.sendall(_netstring("postfix sts.org") * 5000 + _netstring("sts d.silent.org") + b"19:postfix")
		s.shutdown(socket.SHUT_WR)
		check(set(_read(s, 5001)[:5000]) == {"OK " + good}, "5000 answers")
		check(s.recv(1) == b"", "then it is over")

	# What is asked goes on over a reload, and the connections do, too.
	with _connect() as s:
		s.sendall(_netstring("postfix sts.org"))
		check(_read(s, 1) == ["OK " + good], "before")
		w.postern.rules["sts.org"] = 'require = verify names = { "other.example" }'
		w.postern.configure()
		check("reload-done" in w.postern.reload(), "reloaded")
		s.sendall(_netstring("postfix sts.org"))
		check(_read(s, 1) == ["OK verify match=other.example servername=hostname"], "after")
	for s in crowd:  # Sendmail's patience, in rounds of so many as have a place
		check(_read(s, 91)[90].startswith("OK secure match="), "each is served in the end")
		s.close()
	maps({"plain.org": NOTHING})
	stuck.close()
	w.postern.stop()


@test(weight=10)
def alone_it_listens_where_the_file_says(place):
	net = Internet(place)
	net.mx_zone("plain.org", [(10, "mx", host_ip(1))], state="unsigned")
	net.open()
	path = place.path("maps.sock")
	def write(port, level):
		user = 'user = "nobody"\n' if os.geteuid() == 0 else ""
		place.write("alone.conf", f'hostname = "mx.postern.test"\nrun-directory = "{place.path("run")}"\n{user}'
			    f'mta-sts {{ cache = "{place.path("state/mta-sts.db")}" }}\nresolver {{ check = {{}} }}\n'
			    f'socketmap "127.0.0.1:{port}" {{ }}\nsocketmap "{path}" {{ }}\n'
			    f'domain "plain.org" {{ outbound {{ require = {level} }} }}\n')
	low = 700 if os.geteuid() == 0 else 7000
	write(low, "encrypt")
	process = place.start("alone", [place.build() + "/smtpd/postern-policyd", "-c", place.path("alone.conf")])
	wait_for(lambda: "policyd-start" in place.log("alone"), lambda: place.log("alone"))
	_Maps(place, f"inet:127.0.0.1:{low}")({"plain.org": "encrypt"})
	_Maps(place, f"unix:{path}")({"plain.org": "encrypt"})
	write(PORT, "none")
	process.send_signal(signal.SIGHUP)
	wait_for(lambda: "policyd-reload" in place.log("alone"), lambda: place.log("alone"))
	_Maps(place)({"plain.org": "none"})
	_Maps(place, f"unix:{path}")({"plain.org": "none"})
	try:
		socket.create_connection(("127.0.0.1", low), 5)
		check(False, "the old port is closed")
	except ConnectionRefusedError:
		pass
	if os.geteuid() == 0:
		write(700, "may")  # not any more: it is nobody now
		process.send_signal(signal.SIGHUP)
		wait_for(lambda: "reload-failed" in place.log("alone"), lambda: place.log("alone"))
		check("cannot listen on 127.0.0.1:700" in place.log("alone"), "it says which", place.log("alone"))
		_Maps(place)({"plain.org": "none"})
	check(place.end(process) == 0, "it ends well", place.log("alone"))


# ---- a Postfix that delivers ---------------------------------------------------------------------------


def _spki(place, certificate):
	"""sha256 of the key, as a key pin wants it."""
	key = place.run(["openssl", "x509", "-noout", "-pubkey", "-in", certificate[0]])
	body = "".join(line for line in key.splitlines() if "-" not in line)
	return "sha256:" + hashlib.sha256(base64.b64decode(body)).hexdigest()


@test(weight=15)
def every_word_is_understood_by_a_real_postfix(place):
	ca = place.ca()  # once: it is another each time
	good, other = place.certificate("good", "mx.good.example"), place.certificate("other", "mx.other.example")
	own = f'require = verify authority = "{ca}"'
	foreign = place.ca("foreign")
	rows = [  # rule, what the host has, delivered: how; or stays: why
		('require = encrypt minimum = "TLS1.3"', {}, "TLSv1.3", None),
		('require = encrypt minimum = "TLS1.3"', {"maximum": ssl.TLSVersion.TLSv1_2}, None, "TLS"),
		("require = encrypt", {"certificate": None}, None, "TLS is required"),
		(own + ' names = { "mx.good.example" }', {}, "TLS", None),
		(own + ' names = { ".good.example", "else.example" }', {}, "TLS", None),
		(own.replace(ca, foreign) + ' names = { "mx.good.example" }', {}, None, "not verified"),
		(own + ' names = { "mx.good.example" }', {"certificate": other}, None, "not verified"),
		('require = verify names = { "mx.good.example" }', {}, None, "not verified"),
		(f'require = verify key-pins = {{ "{_spki(place, good)}", "{_spki(place, other)}" }}', {}, "TLS", None),
		(f'require = verify key-pins = {{ "{_spki(place, other)}" }}', {}, None, "not verified"),
		("require = none", {}, "clear", None),
		("require = may", {}, "TLS", None),
		("require = may", {"certificate": None}, "clear", None),
	]
	port, maps = place.free_port(), place.free_port()
	hops, rules, transports = [], "", ""
	for i, (rule, options, _, _) in enumerate(rows):
		ip = f"{place.ip.rsplit('.', 1)[0]}.{200 + i}"
		hops.append(FakeHop(ip, **{"certificate": good, "port": port, **options}))
		rules += f'domain "{ip}" {{ outbound {{ {rule} }} }}\n'
		transports += f"d{i}.test smtp:[{ip}]:{port}\n"
	user = 'user = "nobody"\n' if os.geteuid() == 0 else ""
	config = place.write("alone.conf", f'hostname = "mx.postern.test"\nrun-directory = "{place.path("run")}"\n{user}'
			     f'mta-sts {{ cache = "" }}\nresolver {{ check = {{}} forward = {{ "{place.ip}@{place.free_port()}" }} '
			     f'timeout = "1s" }}\nsocketmap "{place.ip}:{maps}" {{ }}\n{rules}')
	place.start("alone", [place.build() + "/smtpd/postern-policyd", "-c", config])
	wait_for(lambda: "policyd-start" in place.log("alone"), lambda: place.log("alone"))
	postfix = Postfix(place, extra="virtual_mailbox_domains =\nmaximal_backoff_time = 300s\nsmtp_tls_loglevel = 1\n"
		f"transport_maps = texthash:{place.write('transport', transports)}\n"
		f"smtp_tls_policy_maps = socketmap:inet:{place.ip}:{maps}:postfix\n")
	with Client(place.ip, postfix.port) as c:
		for i in range(len(rows)):
			c.mail("from@client.test", f"to@d{i}.test", "Subject: x\r\n\r\nx\r\n")
	def log():
		with open(postfix.folder + "/maillog") as f:
			return f.read()
	def line(i):
		found = [l for l in log().splitlines() if f"to=<to@d{i}.test>" in l and "status=" in l]
		return found[0] if found else ""
	wait_for(lambda: all(line(i) for i in range(len(rows))), lambda: log()[-3000:], 60)
	unknown = [l for l in log().splitlines() if "configuration problem" in l or "attribute" in l]
	check(not unknown, "every word is known", *unknown)
	wrong = []
	for i, (rule, _, how, why) in enumerate(rows):
		came = [m.tls or "clear" for m in hops[i].messages]
		is_good = len(came) == 1 and (how == came[0] or (how == "TLS" and came[0] != "clear")) if how else \
			not came and "status=deferred" in line(i) and why in line(i)
		if not is_good:
			wrong.append(f"{rule}: wanted {how or why}: {came} {line(i)}")
	check(not wrong, "Postfix does as it is told", *wrong)

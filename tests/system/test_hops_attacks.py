"""Attacks on mail's way: by whoever owns a zone, a policy host or a mail host, and by whoever sits on the way and
has no keys. Nothing goes out with less protection than it was promised, and nobody else's mail notices."""
import gzip
import os
import re
import signal
import socket
import struct

from internet import host_ip
from place import check, test, wait_for
from postern import NAME
from privatenet import NameServer, soa
from test_hops import ENFORCE, World, _outcome_line, _play, _start

A, NS, MX, TXT, CNAME = 1, 2, 15, 16, 5


def _name(text):
	return b"".join(bytes([len(l)]) + l.encode() for l in text.split(".") if l) + b"\0"


def _record(kind, data, ttl=60):
	return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def _text(words):
	return _record(TXT, bytes([len(words)]) + words.encode())


class Liar(NameServer):
	"""What a name server, or whoever is on the way to it, says of an unsigned zone. says: {(name, type): [records]},
	or a number (an error) or "SILENCE" for it; other questions: no such record."""

	def __init__(self, ip, says):
		self.says = dict(says)
		super().__init__({}, ip)

	def _answer(self, query, is_tcp):
		labels, end = [], 12
		while query[end]:
			labels.append(query[end + 1:end + 1 + query[end]].decode("latin-1").lower())
			end += 1 + query[end]
		kind = struct.unpack(">H", query[end + 1:end + 3])[0]
		said = self.says.get((".".join(labels), kind), [])
		self.asked.append((".".join(labels), kind))
		if said == "SILENCE":
			return None
		code, records = (said, []) if isinstance(said, int) else (0, said)
		authority = [] if records or code == 2 else [soa(60, 60)]
		return (query[:2] + struct.pack(">HHHHH", 0x8400 | code, 1, len(records), len(authority), 0) +
			query[12:end + 5] + b"".join(records) + b"".join(authority))


def _send(postern, *domains):
	with postern.client() as c:
		for domain in domains:
			c.mail("from@client.test", f"to@{domain}", f"Subject: {domain}\r\n\r\nx\r\n")


def _outcome(postern, domain, after=0, seconds=40):
	return postern.wait_for_log(rf"[^\n]* delivery [^\n]*to=to@{re.escape(domain)} [^\n]*", seconds, after).group(0)


# ---- the owner of a zone ---------------------------------------------------------------------------


def _hostile_zones(w):
	junk = [f"_25._tcp.mx TLSA 1 1 1 {i:064x}" for i in range(200)]
	w.domain("good.org")
	w.add("good.org", w.tlsa("mx.good.org"))
	w.expect("good.org", "delivered", host="mx.good.org", tls=True, verified="domain")

	w.domain("many-mx.org")
	w.add("many-mx.org", *(f"@ MX 20 dead{i}" for i in range(120)))
	w.expect("many-mx.org", "delivered", host="mx.many-mx.org")

	w.net.zone("all-dead.org", [f"@ MX 20 dead{i}" for i in range(120)])
	w.expect("all-dead.org", "deferred", "all-dead.org")

	w.net.zone("circle.org", ["@ MX 10 a", "a CNAME b", "b CNAME a"])
	w.expect("circle.org", "deferred", "a.circle.org")
	w.net.zone("self-circle.org", ["@ TXT x", "circle CNAME circle", "@ MX 10 circle"])
	w.expect("self-circle.org", "deferred", "circle.self-circle.org")

	w.domain("chain.org", hosts=())
	w.add("chain.org", "@ MX 10 c0", *(f"c{i} CNAME c{i + 1}" for i in range(40)), f"c40 A {w.hop('c0.chain.org')}")
	w.expect("chain.org", "deferred", "c0.chain.org")

	w.domain("odd-mx.org")
	w.add("odd-mx.org", "@ MX 1 a\\000b", "@ MX 1 \\255\\254", "@ MX 1 a\\.b", "@ MX 1 a\\032b",
	      "@ MX 1 *.x", "@ MX 1 %s%n.x")
	w.expect("odd-mx.org", "delivered", host="mx.odd-mx.org")
	w.net.zone("odd-alone.org", ["@ MX 1 a\\000b"])
	w.expect("odd-alone.org", "deferred", "name of a host")

	w.domain("address-mx.org")
	w.add("address-mx.org", "@ MX 1 11.5.0.1.")
	w.expect("address-mx.org", "delivered", host="mx.address-mx.org")
	w.net.zone("address-alone.org", ["@ MX 1 11.5.0.1."])
	w.expect("address-alone.org", "deferred", "address")

	# X1: a "." beside others says nothing.
	w.domain("dot-beside.org")
	w.add("dot-beside.org", "@ MX 0 .")
	w.expect("dot-beside.org", "delivered", host="mx.dot-beside.org")

	w.net.zone("own-name.org", [f"@ MX 10 {NAME}."])
	w.expect("own-name.org", "deferred", NAME)

	w.domain("lives-short.org")
	w.net.zones["lives-short.org"].records = [re.sub(r"^(\S+) ", r"\1 0 ", r)
						  for r in w.net.zones["lives-short.org"].records]
	w.expect("lives-short.org", "delivered", host="mx.lives-short.org")
	w.domain("lives-long.org")
	w.net.zones["lives-long.org"].records = [re.sub(r"^(\S+) ", r"\1 2147483647 ", r)
						 for r in w.net.zones["lives-long.org"].records]
	w.expect("lives-long.org", "delivered", host="mx.lives-long.org")

	# D12, D13: more records than we look at, in any order: what we did not see is not taken for unusable.
	w.domain("many-tlsa.org", certificate=w.certificate("mx.stranger.example"))
	w.add("many-tlsa.org", *junk)
	w.expect("many-tlsa.org", "deferred", "TLSA")
	w.domain("some-tlsa.org", certificate=w.certificate("mx.stranger2.example"))
	w.add("some-tlsa.org", *junk[:20], w.tlsa("mx.some-tlsa.org"))
	w.expect("some-tlsa.org", "delivered", host="mx.some-tlsa.org", verified="domain")


@test(weight=40)
def hostile_zones_harm_nobody_else(place):
	w = World(place)
	_hostile_zones(w)
	_start(w)
	_play(w)
	w.postern.stop()


# ---- who sits on the way ---------------------------------------------------------------------------


def _way(place):
	"""dyn.org, unsigned, with a policy; its name server is the liar's."""
	w = World(place)
	ip = w.hop("mx.dyn.org", "good")
	evil = w.hop("mx.evil.org")
	address = "11.6.0.1"
	w.net.zone("org", ["dyn NS ns.dyn", f"ns.dyn A {address}"])
	w.net.policy("dyn.org", ENFORCE.format(mx="mx.dyn.org"))
	w.domain("plain.org", certificate=None, state="unsigned")
	truth = {("dyn.org", MX): [_record(MX, b"\0\n" + _name("mx.dyn.org"))],
		 ("mx.dyn.org", A): [_record(A, socket.inet_aton(ip))],
		 ("_mta-sts.dyn.org", TXT): [_text("v=STSv1; id=1;")],
		 ("mta-sts.dyn.org", A): [_record(A, socket.inet_aton("11.4.0.1"))]}
	_start(w)
	w.liar = Liar(address, truth)
	_send(w.postern, "dyn.org")
	line = _outcome(w.postern, "dyn.org")
	check("level=verify" in line and "outcome=delivered" in line, "delivered under its policy", line)
	return w, ip, evil, truth


def _restart(w):
	"""What was learned of DNS is forgotten, the plans made of it, too; the policies are not."""
	w.postern.stop()
	os.remove(w.place.path("state/mta-sts.db.plans"))
	w.postern.start()


def _is_kept(w, what, lies, *words):
	seen = len(w.postern.log())
	_restart(w)
	w.liar.says = lies
	_send(w.postern, "dyn.org")
	line = _outcome(w.postern, "dyn.org", seen)
	check("outcome=deferred" in line and all(word in line for word in words), what, line)


@test(weight=40)
def lies_of_dns_do_not_lift_a_policy_that_was_learned(place):
	w, ip, evil, truth = _way(place)
	to_evil = {**truth, ("dyn.org", MX): [_record(MX, b"\0\n" + _name("mx.evil.dyn.org"))],
		   ("mx.evil.dyn.org", A): [_record(A, socket.inet_aton(evil))]}
	to_evil_address = {**truth, ("mx.dyn.org", A): [_record(A, socket.inet_aton(evil))]}
	_is_kept(w, "another host", to_evil, "mx.evil.dyn.org")
	_is_kept(w, "another address", to_evil_address, "STARTTLS")
	for what, said in (("no record", []), ("a failing record", 2), ("two records", [_text("v=STSv1; id=1;"),
			   _text("v=STSv1; id=2;")]), ("an odd record", [_text("v=STSv1; id=-;")])):
		_is_kept(w, what, {**to_evil_address, ("_mta-sts.dyn.org", TXT): said}, "STARTTLS")
	# A new id leads to the liar's own policy host, which has no certificate for the name (M6, M18).
	w.net.web["mta-sts.dyn.org"] = (w.certificate("mta-sts.evil.example"),
					lambda r: r.answer("version: STSv1\nmode: none\nmax_age: 86400\n"))
	asked = len(w.net.asked_web)
	_is_kept(w, "a forged id", {**to_evil_address, ("_mta-sts.dyn.org", TXT): [_text("v=STSv1; id=evil;")]},
		 "STARTTLS")
	check(not w.net.asked_web[asked:], "nothing was asked of the stranger", str(w.net.asked_web[asked:]))
	check(not w.hops["mx.evil.org"].messages and
	      not any(l.upper().startswith("MAIL") for l in w.hops["mx.evil.org"].lines), "nothing reached the stranger",
	      str(w.hops["mx.evil.org"].lines))
	check(len(w.hops["mx.dyn.org"].messages) == 1, "nothing but the first mail came")
	w.postern.stop()


# ---- the owner of a policy host ----------------------------------------------------------------------


def _cut(r):
	"""Without a length, and without the goodbye of TLS: whoever is on the way can make this end."""
	r.raw("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
	      "version: STSv1\nmode: enforce\nmx: nowhere.example\nmax_age: 6")
	r.socket.shutdown(socket.SHUT_RDWR)


@test(weight=40)
def hostile_policy_hosts_harm_nobody_else(place):
	"""Each answer would be an enforced policy that nobody fulfils, were it believed."""
	w = World(place)
	text = ENFORCE.format(mx="nowhere.example")
	head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	length = f"Content-Length: {len(text)}\r\n"
	answers = {
		"cut.org": _cut,
		"gzip.org": lambda r: r.raw(head.encode() + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" +
					    gzip.compress(text.encode())),
		"many-heads.org": lambda r: r.raw("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 2000 + head + length + "\r\n" +
						  text),
		"long-head.org": lambda r: r.raw(head + "X: " + "y" * 200000 + "\r\n" + length + "\r\n" + text),
		"negative.org": lambda r: r.raw(head + "Content-Length: -1\r\n\r\n" + text),
		"huge-length.org": lambda r: r.raw(head + "Content-Length: 99999999999999999999\r\n\r\n" + text),
		"huge-chunk.org": lambda r: r.raw(head + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + text),
		"other-coding.org": lambda r: r.raw(head + "Transfer-Encoding: gzip\r\n\r\n" + text),
		"http2.org": lambda r: r.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 200),
		"http09.org": lambda r: r.raw(text),
		"status-2000.org": lambda r: r.raw(head.replace("200", "2000") + length + "\r\n" + text),
		"partial.org": lambda r: r.answer(text, "206 Partial Content"),
		"two-types.org": lambda r: r.raw(head + "Content-Type: text/html\r\n" + length + "\r\n" + text),
		"blank-lines.org": lambda r: r.answer(text.replace("\n", "\n\n")),
		"no-mx.org": lambda r: r.answer("version: STSv1\nmode: enforce\nmax_age: 86400\n"),
		"mark.org": lambda r: r.raw(head.encode() + b"\r\n\xef\xbb\xbf" + text.encode()),
		"nothing.org": lambda r: None,
	}
	for name, serve in answers.items():
		w.domain(name, certificate=None, state="unsigned")
		w.policy(name, "", serve=serve)
		w.expect(name, "delivered", tls=False)
	w.domain("sts.org", state="unsigned")
	w.policy("sts.org", "mx.sts.org")
	w.expect("sts.org", "delivered", host="mx.sts.org", tls=True, level="verify")
	_start(w)
	_play(w)
	check(" level=verify " in _outcome_line(w.postern, "sts.org"), "the good one's policy was had")
	w.postern.stop()


# ---- the owner of a mail host ------------------------------------------------------------------------


@test(weight=30)
def a_session_of_a_weaker_demand_serves_no_stronger_one(place):
	"""T5. One host, one address, a certificate that is nobody's: domains that ask for no proof make idle
	connections and sessions there, in every order with those that do."""
	w = World(place)
	stranger = w.certificate("mx.stranger.example")
	w.hop("mx.host.net", stranger)
	ip = host_ip(len(w.hops) - 1)
	w.net.mx_zone("host.net", [(10, "mx", ip)], state="unsigned")
	for name in ("may.org", "strict.org", "rule.org", "newest.org", "testing.org"):
		w.net.zone(name, ["@ MX 10 mx.host.net."], "unsigned")
	w.policy("strict.org", "mx.host.net")
	w.policy("testing.org", "mx.host.net", "testing")
	w.rules["rule.org"] = 'require = verify names = { "mx.host.net" }'
	w.rules["newest.org"] = 'require = encrypt minimum = "TLS1.3"'
	_start(w)
	for _ in range(3):
		seen = len(w.postern.log())
		_send(w.postern, "may.org", "testing.org", "strict.org", "rule.org", "may.org", "newest.org")
		for name in ("may.org", "testing.org", "newest.org"):
			check("outcome=delivered" in _outcome(w.postern, name, seen), name, _outcome(w.postern, name, seen))
		for name in ("strict.org", "rule.org"):
			line = _outcome(w.postern, name, seen)
			check("outcome=deferred" in line and "mx.stranger.example" in line, name, line)
	hop = w.hops["mx.host.net"]
	got = [m.recipients[0] for m in hop.messages]
	check(not {"to@strict.org", "to@rule.org"} & set(got), "nothing unproven went out", str(got))
	w.postern.stop()


@test(weight=20)
def before_tls_nobody_can_make_mail_bounce(place):
	"""Whoever is on the way answers instead of a host that must show who it is: mail waits for a better day (M18)."""
	w = World(place)
	for i, (what, said) in enumerate((("BANNER", "554 5.7.1 go away"), ("EHLO", "550 5.7.1 no"),
					  ("STARTTLS", "554 5.7.0 never"), ("BANNER", "CLOSE"))):
		name = f"lied{i}.org"
		w.domain(name, state="unsigned", replies={what: said, "HELO": "550 5.7.1 no"})
		w.policy(name, f"mx.{name}")
		w.expect(name, "deferred")
	_start(w)
	_play(w)
	w.postern.stop()


# ---- policyd -------------------------------------------------------------------------------------------


@test(weight=20)
def while_policyd_stands_still_a_reload_and_a_restart_leak_nothing(place):
	w = World(place)
	w.domain("plain.org", certificate=None, state="unsigned")
	w.domain("sts.org", state="unsigned", certificate=w.certificate("mx.stranger.example"))
	w.policy("sts.org", "mx.sts.org")
	postern = _start(w)
	pid = wait_for(postern.policyd_pid, "policyd runs")
	os.kill(pid, signal.SIGSTOP)
	_send(postern, "plain.org", "sts.org")
	postern.rules["plain.org"] = "require = encrypt"
	postern.configure()
	postern.process.send_signal(signal.SIGHUP)
	postern.wait_for_log(r" reload because=SIGHUP")
	os.kill(pid, signal.SIGKILL)
	postern.wait_for_log(r" reload-(done|failed)")
	line = _outcome(postern, "sts.org")
	check("outcome=deferred" in line, "sts.org", line)
	line = _outcome(postern, "plain.org")
	check("outcome=deferred" in line, "plain.org as its rule was changed", line)
	# Who came in its place knows the new rules.
	seen = len(postern.log())
	wait_for(lambda: postern.control("flush") is not None and " delivery " in postern.log()[seen:], "another try")
	line = _outcome(postern, "plain.org", seen)
	check("STARTTLS" in line and "postern.conf:" in line, "plain.org by the new rule", line)
	check(not w.hops["mx.plain.org"].messages and not w.hops["mx.sts.org"].messages, "nothing went out")
	postern.stop()

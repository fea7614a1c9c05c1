"""postern-policyd beside postfix-mta-sts-resolver, which many run today: the same zones, the same policies, the same
bytes asked of both. One table says what each answers and, where they differ, why ours is as it is."""
import os
import socket

from internet import Internet, host_ip, tlsa
from peers import MtaStsDaemon, start_unbound
from place import check, test, wait_for

PORT = 8642
ENFORCE = "version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: {max_age}\n"
NOTHING, CLOSED = "NOTFOUND ", "(closed)"
BROKEN = "PERM this is no request: a netstring of at most 10000 bytes is wanted"
SAME = object()


def _secure(*names):
	return f"OK secure match={':'.join(names)} servername=hostname"


def _netstring(text):
	payload = text.encode() if isinstance(text, str) else text
	return b"%d:%s," % (len(payload), payload)


# What is asked (a key, or bytes as they are), its answer (versions 1.1 of Debian 12 and 1.5 of Debian 13, a pair where they
# differ), ours, why we differ.
TABLE = [
	# ---- policies
	("enforce.org", _secure("mx.enforce.org"), SAME, ""),
	("wildcard.org", _secure(".wildcard.org"), SAME, ""),
	("testing.org", NOTHING, SAME, ""),
	("none.org", NOTHING, SAME, ""),
	("no-record.org", NOTHING, SAME, ""),
	("two-records.org", NOTHING, SAME, ""),
	("no-such-domain.org", NOTHING, SAME, ""),
	("bad-id.org", _secure("mx.bad-id.org"), NOTHING,
	 "an id is letters and digits (RFC 8461 3.1); another record is no record"),
	("broken-policy.org", NOTHING, SAME, ""),
	("no-mx.org", NOTHING, SAME, ""),
	("expired-web.org", NOTHING, SAME, ""),
	("other-name-web.org", NOTHING, SAME, ""),
	("redirect.org", NOTHING, SAME, ""),
	("html.org", NOTHING, SAME, ""),
	("web-down.org", NOTHING, SAME, ""),
	("age-0.org", _secure("mx.age-0.org"), SAME, ""),
	("age-most.org", _secure("mx.age-most.org"), SAME, ""),
	("age-beyond.org", NOTHING, _secure("mx.age-beyond.org"),
	 "a max_age above the most there is counts as the most: whoever wishes for more is not left with nothing"),
	("no-age.org", NOTHING, SAME, ""),
	("words.org", "OK secure match=mx.words.org ciphers=null servername=hostname", NOTHING,
	 "what a policy says never becomes an attribute of Postfix: such a policy is none"),
	# ---- what is not MTA-STS
	("dane.org", _secure("mx.dane.org"), "OK dane-only",
	 "DANE is never overridden by MTA-STS (RFC 8461 2)"),
	("dane-alone.org", NOTHING, "OK dane-only", "the MX is proven by DNSSEC, its hosts have TLSA records"),
	("rule.org", NOTHING, "OK encrypt protocols=>=TLSv1.3", "a rule of our file"),
	("excepted.org", _secure("mx.excepted.org"), "OK may", "an exception in our file, with a reason and an end"),
	("servfail.org", NOTHING, "TEMP ", "a domain whose MX records cannot be had may have DANE: the mail waits"),
	# ---- keys as they really arrive
	(".enforce.org", NOTHING, SAME, ""),
	("ENFORCE.Org", _secure("mx.enforce.org"), SAME, ""),
	("enforce.org.", _secure("mx.enforce.org"), SAME, ""),
	("enforce.org:25", _secure("mx.enforce.org"), SAME, ""),
	("[mx.enforce.org]:25", NOTHING, SAME, ""),
	("[enforce.org]:25", _secure("mx.enforce.org"), SAME, ""),
	("xn--bcher-kva.org", _secure("mx.xn--bcher-kva.org"), SAME, ""),
	("b\u00fccher.org", (CLOSED, _secure("mx.xn--bcher-kva.org")), _secure("mx.xn--bcher-kva.org"),
	 "the same domain, as Postfix with SMTPUTF8 writes it"),
	("192.0.2.1", NOTHING, SAME, ""),
	("[192.0.2.1]", NOTHING, SAME, ""),
	("[IPv6:2001:db8::1]:25", NOTHING, SAME, ""),
	("enforce.org:moon", _secure("mx.enforce.org"), "PERM ", "no such port"),
	# ---- hostile
	("", NOTHING, SAME, ""),
	(" enforce.org\n", _secure("mx.enforce.org"), "PERM ", "a key with white space is no name; PERM tells the operator"),
	(b"\0enforce.org", NOTHING, "PERM ", "the same"),
	(b"enforce\xff.org", CLOSED, NOTHING, "the same"),
	("x" * 300 + ".org", CLOSED, NOTHING, "no name; Postfix asks for more domains on the same connection"),
	("x" * 5000, CLOSED, NOTHING, "it takes 1,024 bytes, we take 10,000"),
	(_netstring("postfix"), NOTHING, "PERM ", "no key at all"),
	(_netstring("other-map enforce.org"), _secure("mx.enforce.org"), "PERM ", "a wrong name in main.cf should be seen"),
	(_netstring("postfix testing.org") + _netstring("postfix enforce.org"), NOTHING + _secure("mx.enforce.org"), SAME, ""),
	(b"019:postfix enforce.org,", _secure("mx.enforce.org"), BROKEN + CLOSED, "a netstring's length has no leading zero"),
	(b"99999999999999999999:", CLOSED, BROKEN + CLOSED, "the client's log says what was wrong"),
	(b"19:postfix enforce.org;", CLOSED, BROKEN + CLOSED, "the same"),
	(b"GET / HTTP/1.0\r\n\r\n", CLOSED, BROKEN + CLOSED, "the same"),
]


def _zones(net):
	"""A domain of each kind; its mail host is never talked to."""
	def domain(name, mx=None, more=(), state="unsigned", mode="enforce", max_age="86400", **options):
		text = ENFORCE.format(mode=mode, mx=mx or "mx." + name, max_age=max_age)
		net.mx_zone(name, [(10, "mx", host_ip(1))], [*net.policy(name, text, **options), *more], state)
	proof = tlsa(net.place.certificate("dane", "mx.dane.org")[0], place=net.place)
	for name in ("enforce.org", "excepted.org", "xn--bcher-kva.org"):
		domain(name)
	domain("wildcard.org", "*.wildcard.org")
	domain("testing.org", mode="testing")
	domain("none.org", mode="none")
	domain("two-records.org", more=['_mta-sts TXT "v=STSv1; id=2;"'])
	domain("bad-id.org", record="v=STSv1; id=a-b;")
	domain("broken-policy.org", serve=lambda r: r.answer("mode: enforce\n\0\x01"))
	domain("no-mx.org", serve=lambda r: r.answer("version: STSv1\nmode: enforce\nmax_age: 86400\n"))
	domain("no-age.org", serve=lambda r: r.answer("version: STSv1\nmode: enforce\nmx: mx.no-age.org\n"))
	domain("expired-web.org", certificate=net.place.certificate("old", "mta-sts.expired-web.org", expired=True))
	domain("other-name-web.org", certificate=net.place.certificate("other", "mta-sts.other.example"))
	domain("redirect.org", serve=lambda r: r.redirect("https://mta-sts.enforce.org/.well-known/mta-sts.txt"))
	domain("html.org", serve=lambda r: r.answer(ENFORCE.format(mode="enforce", mx="mx.html.org", max_age=86400),
						    kind="text/html"))
	for name, max_age in (("age-0", "0"), ("age-most", "31557600"), ("age-beyond", "31557601")):
		domain(name + ".org", max_age=max_age)
	domain("words.org", "mx.words.org ciphers=null")
	domain("dane.org", more=[f"_25._tcp.mx TLSA {proof}"], state="signed")
	net.mx_zone("dane-alone.org", [(10, "mx", host_ip(1))], [f"_25._tcp.mx TLSA {proof}"])
	for name in ("no-record.org", "rule.org"):
		net.mx_zone(name, [(10, "mx", host_ip(1))], state="unsigned")
	net.mx_zone("web-down.org", [(10, "mx", host_ip(1))], ['_mta-sts TXT "v=STSv1; id=1;"', "mta-sts A 11.4.9.9"],
		    "unsigned")
	net.zone("servfail.org", [], "broken")
	net.open()


def _policyd(place):
	user = 'user = "nobody"\n' if os.geteuid() == 0 else ""
	config = place.write("policyd.conf", f'hostname = "mx.postern.test"\nrun-directory = "{place.path("run")}"\n{user}'
		f'mta-sts {{ cache = "{place.path("state/mta-sts.db")}" }}\nresolver {{ check = {{}} }}\n'
		f'socketmap "127.0.0.1:{PORT}" {{ }}\n'
		'domain "rule.org" { outbound { require = encrypt minimum = "TLS1.3" } }\n'
		'exception "excepted.org" { require = "may" reason = "ticket 4711" until = "2099-12-31" }\n')
	process = place.start("policyd", [place.build() + "/smtpd/postern-policyd", "-c", config])
	wait_for(lambda: "policyd-start" in place.log("policyd"), lambda: place.log("policyd"))
	return process


def _ask(port, asked):
	"""What comes for it; CLOSED behind that if a good request then gets no answer any more."""
	request = asked
	if isinstance(asked, str) or not asked[:1].isdigit() and not asked.startswith(b"GET"):
		request = _netstring(b"postfix " + (asked.encode() if isinstance(asked, str) else asked))
	with socket.create_connection(("127.0.0.1", port), 60) as s:
		s.sendall(request + _netstring("postfix wildcard.org"))
		s.shutdown(socket.SHUT_WR)
		got, answers = b"", []
		try:
			while more := s.recv(65536):
				got += more
		except ConnectionResetError:
			pass
	while got:
		length, rest = got.split(b":", 1)
		check(rest[int(length):int(length) + 1] == b",", "a netstring", got)
		answers.append(rest[:int(length)].decode())
		got = rest[int(length) + 1:]
	is_open = answers and answers[-1] == _secure(".wildcard.org")
	return "".join(answers[:-1]) if is_open else "".join(answers) + CLOSED


@test(weight=20)
def the_same_answers_as_postfix_mta_sts_resolver_but_for_reasons(place):
	net = Internet(place)
	_zones(net)
	start_unbound(place)
	peer = MtaStsDaemon(place, net.ca).start()
	policyd = _policyd(place)
	is_later, wrong = not place.run(["dpkg-query", "-Wf", "${Version}", "postfix-mta-sts-resolver"]).startswith("1.1"), []
	for asked, its, ours, why in TABLE:
		its = its if isinstance(its, str) else its[is_later]
		its_said, said = _ask(peer.port, asked), _ask(PORT, asked)
		if its_said != its:
			wrong.append(f"{asked!r:.60}: it says {its_said!r}, not {its!r}")
		wanted = its if ours is SAME else ours
		if said != wanted and not (wanted in ("TEMP ", "PERM ") and said.startswith(wanted) and not said.endswith(CLOSED)):
			wrong.append(f"{asked!r:.60}: we say {said!r}, not {wanted!r}; {why}")
		check((ours is SAME) != bool(why), f"{asked!r:.60}: a reason where the answers differ, only there")
	check(not wrong, f"{len(wrong)} answers are not those of the table", *wrong)
	peer.stop()
	check(place.end(policyd) == 0, "it ends well", place.log("policyd"))

"""Mail to the open Internet: DANE, MTA-STS and rules decide at every hop. One table of domains, each with its own
zone, policy, hosts and certificates; nothing in the programs knows that this Internet is the test's."""
import re
import ssl

from fakehop import FakeHop
from internet import Internet, host_ip, tlsa
from place import check, test, wait_for
from postern import Postern

TLS12 = ssl.TLSVersion.TLSv1_2
ENFORCE = "version: STSv1\nmode: enforce\nmx: {mx}\nmax_age: 86400\n"


class World:
	def __init__(self, place):
		self.place, self.net, self.rows, self.hops = place, Internet(place), [], {}
		self.rules, self.exceptions, self.routes = {}, "", {}

	def certificate(self, *names, **options):
		return self.place.certificate("cert-" + names[0], *names, **options)

	def with_ca(self, certificate):
		"""The same with the CA behind it, as DANE-TA wants."""
		with open(certificate[0]) as leaf, open(self.net.ca) as ca:
			chain = self.place.write("keys/" + certificate[0].rsplit("/", 1)[1] + ".chain",
						 leaf.read() + ca.read())
		return chain, certificate[1]

	def hop(self, label, certificate=None, **options):
		"""A mail host, at an address of its own; label is "mx.example.org"."""
		ip = host_ip(len(self.hops))
		if certificate == "good":
			certificate = self.certificate(label)
		self.hops[label] = FakeHop(ip, certificate, port=25, **options)
		self.hops[label].certificate = certificate
		return ip

	def domain(self, name, hosts=("mx",), certificate="good", records=(), state="signed", **options):
		"""A zone with MX hosts mx, mx2, ..., each with a good certificate unless said otherwise."""
		found = [(10 * (i + 1), label, self.hop(f"{label}.{name}", certificate, **options))
			 for i, label in enumerate(hosts)]
		self.net.mx_zone(name, found, list(records), state)
		return self

	def tlsa(self, host, words="3 1 1", certificate=None, place=None):
		"""The record for the certificate a host really has, or for another."""
		certificate = certificate or self.hops[host].certificate[0]
		label = host.split(".")[0]
		return f"_25._tcp.{label} TLSA {tlsa(certificate, words, self.place)}"

	def add(self, name, *records):
		self.net.zones[name].records += records

	def policy(self, name, mx, mode="enforce", **options):
		text = ENFORCE.replace("enforce", mode).format(mx=mx)
		self.add(name, *self.net.policy(name, text, **options))

	def expect(self, name, outcome, *words, host=None, tls=None, status=None, **logged):
		self.rows.append((name, outcome, words, host, tls, status, logged))


def _dane(w):
	w.domain("ee.org")
	w.add("ee.org", w.tlsa("mx.ee.org"))
	w.expect("ee.org", "delivered", host="mx.ee.org", tls=True, verified="domain")

	w.domain("other-key.org")
	w.add("other-key.org", w.tlsa("mx.other-key.org", certificate=w.certificate("elsewhere.org")[0]))
	w.expect("other-key.org", "deferred", "mx.other-key.org", "TLSA", status="4.7.5")

	chain = w.with_ca(w.certificate("mx.ta.org"))
	w.domain("ta.org", certificate=chain)
	w.add("ta.org", w.tlsa("mx.ta.org", "2 1 1", w.net.ca))
	w.expect("ta.org", "delivered", host="mx.ta.org", tls=True, verified="domain")

	w.domain("ta-name.org", certificate=w.with_ca(w.certificate("mx.wrong.example")))
	w.add("ta-name.org", w.tlsa("mx.ta-name.org", "2 1 1", w.net.ca))
	w.expect("ta-name.org", "deferred", "mx.wrong.example", status="4.7.5")

	w.domain("ee-expired.org", certificate=w.certificate("anything.example", expired=True))
	w.add("ee-expired.org", w.tlsa("mx.ee-expired.org", "3 0 2"))
	w.expect("ee-expired.org", "delivered", host="mx.ee-expired.org", tls=True)

	w.domain("unusable.org", certificate=w.certificate("self.example"))
	w.add("unusable.org", "_25._tcp.mx TLSA 1 1 1 " + "ab" * 32)
	w.expect("unusable.org", "delivered", host="mx.unusable.org", tls=True, level="encrypt", policy="dane",
		 verified="no")

	w.domain("unusable-clear.org", certificate=None)
	w.add("unusable-clear.org", "_25._tcp.mx TLSA 3 1 1 abcd")
	w.expect("unusable-clear.org", "deferred", "STARTTLS", status="4.7.4")

	w.domain("dane-clear.org", certificate=None)
	w.add("dane-clear.org", w.tlsa("mx.dane-clear.org", certificate=w.certificate("x.example")[0]))
	w.expect("dane-clear.org", "deferred", "STARTTLS", status="4.7.4")

	# D3: the host whose records cannot be proven is out, not the domain.
	w.domain("forged-one.org", hosts=("mx", "mx2"))
	w.add("forged-one.org", "_25._tcp.mx TLSA 3 1 1 " + "11" * 32, w.tlsa("mx2.forged-one.org"))
	w.net.zones["forged-one.org"].state = ("tampered", "11" * 32, "22" * 32)
	w.expect("forged-one.org", "delivered", host="mx2.forged-one.org", tls=True, verified="domain")

	w.domain("forged-all.org")
	w.add("forged-all.org", "_25._tcp.mx TLSA 3 1 1 " + "11" * 32)
	w.net.zones["forged-all.org"].state = ("tampered", "11" * 32, "22" * 32)
	w.expect("forged-all.org", "deferred", "mx.forged-all.org")

	# One host of three: SERVFAIL for its address (Zuplu#172, #189).
	w.domain("one-of-three.org", hosts=("mx2", "mx3"))
	w.add("one-of-three.org", "@ MX 1 mx.dead.one-of-three.org.")
	w.net.zone("dead.one-of-three.org", [], "broken")
	w.expect("one-of-three.org", "delivered", host="mx2.one-of-three.org", tls=True)

	w.domain("silent-one.org", hosts=("mx2",))
	w.add("silent-one.org", "@ MX 1 mx.dead.silent-one.org.")
	w.net.zone("dead.silent-one.org", [], "silent")
	w.expect("silent-one.org", "delivered", host="mx2.silent-one.org", tls=True)

	w.net.zone("all-broken.org", [], "broken")
	w.expect("all-broken.org", "deferred", "all-broken.org")

	w.domain("signatures-expired.org", state="expired")
	w.expect("signatures-expired.org", "deferred", "signature")

	# Unsigned zone: TLSA records prove nothing; in clear as ever.
	w.domain("insecure.org", certificate=None, state="unsigned")
	w.add("insecure.org", "_25._tcp.mx TLSA 3 1 1 " + "11" * 32)
	w.expect("insecure.org", "delivered", host="mx.insecure.org", tls=False)

	# An unsigned domain at a signed provider: DANE per host (D5), proving the host only.
	w.net.zone("hosted.net", ["@ MX 10 mx.ee.org."], "unsigned")
	w.expect("hosted.net", "delivered", host="mx.ee.org", tls=True, verified="host")

	# A host behind a CNAME (D8): records at the end of the chain.
	ip = w.hop("real.cname.org", "good")
	w.net.zone("cname.org", ["@ MX 10 mx", "mx CNAME real", f"real A {ip}",
				 w.tlsa("real.cname.org")])
	w.expect("cname.org", "delivered", tls=True, verified="domain")

	w.domain("implicit.org", hosts=())
	ip = w.hop("implicit.org", "good")
	w.add("implicit.org", f"@ A {ip}")
	w.expect("implicit.org", "delivered", host="implicit.org", tls=True)

	w.net.zone("no-mail.org", ["@ MX 0 ."])
	w.expect("no-mail.org", "failed", status="5.1.10")
	w.expect("nowhere.org", "failed", "nowhere.org")
	w.net.zone("nothing-there.org", ["@ TXT x"])
	w.expect("nothing-there.org", "failed")


def _sts(w):
	w.domain("sts.org", state="unsigned")
	w.policy("sts.org", "mx.sts.org")
	w.expect("sts.org", "delivered", host="mx.sts.org", tls=True, verified="domain", level="verify", policy="sts")

	w.domain("sts-name.org", certificate=w.certificate("mx.other.example"), state="unsigned")
	w.policy("sts-name.org", "mx.sts-name.org")
	w.expect("sts-name.org", "deferred", "mx.other.example", status="4.7.5")

	w.domain("sts-expired.org", certificate=w.certificate("mx.sts-expired.org", expired=True), state="unsigned")
	w.policy("sts-expired.org", "mx.sts-expired.org")
	w.expect("sts-expired.org", "deferred", "expired", status="4.7.5")

	w.domain("sts-clear.org", certificate=None, state="unsigned")
	w.policy("sts-clear.org", "mx.sts-clear.org")
	w.expect("sts-clear.org", "deferred", "STARTTLS", status="4.7.4")

	w.domain("sts-two.org", hosts=("bad", "mx"), state="unsigned")
	w.policy("sts-two.org", "mx.sts-two.org")
	w.expect("sts-two.org", "delivered", host="mx.sts-two.org", tls=True)

	w.domain("sts-mx.org", state="unsigned")
	w.policy("sts-mx.org", "elsewhere.example")
	w.expect("sts-mx.org", "deferred", "mx.sts-mx.org", status="4.7.5")

	w.domain("sts-wildcard.org", hosts=("a.mx",), state="unsigned")
	w.policy("sts-wildcard.org", "*.sts-wildcard.org")
	w.expect("sts-wildcard.org", "deferred", "a.mx.sts-wildcard.org", status="4.7.5")

	w.domain("sts-testing.org", certificate=w.certificate("mx.other2.example"), state="unsigned")
	w.policy("sts-testing.org", "mx.sts-testing.org", "testing")
	w.expect("sts-testing.org", "delivered", host="mx.sts-testing.org", tls=True, verified="no")

	w.domain("sts-none.org", certificate=None, state="unsigned")
	w.policy("sts-none.org", "mx.sts-none.org", "none")
	w.expect("sts-none.org", "delivered", tls=False)

	# Policies that cannot be had: as if there were none (M20).
	text = ENFORCE.format(mx="nowhere.example")
	answers = {
		"web-redirect.org": lambda r: r.redirect("https://mta-sts.sts.org/.well-known/mta-sts.txt"),
		"web-missing.org": lambda r: r.answer(text, "404 Not Found"),
		"web-type.org": lambda r: r.answer(text, kind="text/html"),
		"web-large.org": lambda r: r.answer(text + "x: " + "y" * 65536 + "\n"),
		"web-chunked.org": lambda r: r.chunked(320 * 1024),
		"web-trickle.org": lambda r: r.trickle(text),
		"web-garbage.org": lambda r: r.answer("mode: enforce\n\0\x01"),
	}
	for name, serve in answers.items():
		w.domain(name, certificate=None, state="unsigned")
		w.policy(name, "", serve=serve)
		w.expect(name, "delivered", tls=False)
	for name, certificate in (
			("web-expired.org", w.certificate("mta-sts.web-expired.org", expired=True)),
			("web-name.org", w.certificate("mta-sts.other.example"))):
		w.domain(name, certificate=None, state="unsigned")
		w.policy(name, "nowhere.example", certificate=certificate)
		w.expect(name, "delivered", tls=False)
	w.domain("web-record.org", certificate=None, state="unsigned")
	w.policy("web-record.org", "nowhere.example", record="v=STSv1; id=a-b;")
	w.expect("web-record.org", "delivered", tls=False)

	# M21: DANE fails, MTA-STS would pass; and the other way round (D20: DANE alone decides).
	w.domain("both.org")
	w.policy("both.org", "mx.both.org")
	w.add("both.org", w.tlsa("mx.both.org", certificate=w.certificate("y.example")[0]))
	w.expect("both.org", "deferred", "TLSA", status="4.7.5")
	w.domain("dane-first.org", certificate=w.certificate("z.example"))
	w.policy("dane-first.org", "elsewhere.example")
	w.add("dane-first.org", w.tlsa("mx.dane-first.org"))
	w.expect("dane-first.org", "delivered", host="mx.dane-first.org", tls=True)


def _rules(w):
	w.domain("at-13.org", maximum=TLS12, state="unsigned")
	w.rules["at-13.org"] = 'require = encrypt minimum = "TLS1.3"'
	w.expect("at-13.org", "deferred", "at-13.org", status="4.7.5")

	w.domain("dane-only.org")
	w.rules["dane-only.org"] = "require = dane-only"
	w.expect("dane-only.org", "deferred", "postern.conf:", status="4.7.5")

	w.domain("excepted.org")
	w.add("excepted.org", w.tlsa("mx.excepted.org", certificate=w.certificate("v.example")[0]))
	w.exceptions += ('exception "excepted.org" { require = "may" reason = "their key was changed, ticket 4711" '
			 'until = "2099-12-31" }\n')
	w.expect("excepted.org", "delivered", host="mx.excepted.org", tls=True, policy="exception")

	w.domain("without-dane.org")
	w.add("without-dane.org", w.tlsa("mx.without-dane.org", certificate=w.certificate("u.example")[0]))
	w.rules["without-dane.org"] = "require = encrypt dane = false"
	w.expect("without-dane.org", "delivered", host="mx.without-dane.org", tls=True)

	# Verified by the domain's own name, since the MX record of an unsigned zone proves nothing.
	w.domain("verify.org", state="unsigned")
	w.rules["verify.org"] = "require = verify"
	w.expect("verify.org", "delivered", host="mx.verify.org", tls=True, level="verify")
	w.net.zone("verify-elsewhere.org", ["@ MX 10 mx.verify.org."], "unsigned")
	w.rules["verify-elsewhere.org"] = "require = verify"
	w.expect("verify-elsewhere.org", "deferred", "verify-elsewhere.org", status="4.7.5")

	# Smart host: the rule of the recipient's domain, hosts and policy of the smart host's.
	w.routes["smart.example"] = "mx sts.org"
	w.expect("smart.example", "delivered", host="mx.sts.org", tls=True, verified="domain")


def _start(w, workers=1):
	w.net.open()
	routes = {**w.routes, "*": "mx"}
	folder = w.place.path("state")
	w.postern = Postern(w.place, workers=workers, routes=routes, rules=w.rules,
			    sections=w.exceptions + f'mta-sts {{ cache = "{folder}/mta-sts.db" fetch-timeout = "5s" }}\n',
			    retry={"first": "1h"}).start()
	return w.postern


def _outcome_line(postern, domain):
	found = [l for l in postern.log().splitlines()
		 if " delivery " in l and f"to=to@{domain} " in l]
	return found[0] if found else None


def _judge(w, row):
	"""What is wrong with this row; None: nothing."""
	domain, outcome, words, host, tls, status, logged = row
	line = _outcome_line(w.postern, domain)
	if f"outcome={outcome} " not in line:
		return f"{domain}: not {outcome}: {line}"
	missing = [word for word in words if word not in line]
	wanted = {**logged, **({"host": host} if host else {}), **({"status": status} if status else {})}
	missing += [f"{k}={v}" for k, v in wanted.items() if f" {k}={v} " not in line]
	if tls is not None:
		missing += [] if tls == (" tls=TLS" in line) else [f"tls={tls}"]
	if missing:
		return f"{domain}: lacks {missing}: {line}"
	hop = w.hops.get(f"mx.{domain}")
	if outcome != "delivered" and hop and any(l.upper().startswith(("MAIL", "RCPT")) for l in hop.lines):
		return f"{domain}: a byte of mail left: {hop.lines}"
	if host and not any(f"to@{domain}" in m.recipients for m in w.hops[host].messages):
		return f"{domain}: nothing came at {host}"
	return None


def _play(w):
	with w.postern.client() as c:
		for row in w.rows:
			c.mail("from@client.test", f"to@{row[0]}", f"Subject: {row[0]}\r\n\r\nx\r\n")
	waiting = [row[0] for row in w.rows]
	def is_over():
		waiting[:] = [d for d in waiting if not _outcome_line(w.postern, d)]
		return not waiting
	wait_for(is_over, lambda: f"an outcome for {waiting}\n{w.postern.log()[-3000:]}", 90, 0.2)
	wrong = list(filter(None, (_judge(w, row) for row in w.rows)))
	check(not wrong, f"{len(wrong)} of {len(w.rows)} domains went wrong", *wrong)


@test(weight=40)
def dane_decides_host_by_host(place):
	w = World(place)
	_dane(w)
	_start(w)
	_play(w)
	w.postern.wait_for_log(r"dnssec-check result=good")
	check(w.hops["mx.ee.org"].messages[0].sni == "mx.ee.org", "SNI", w.hops["mx.ee.org"].messages[0].sni)
	w.postern.stop()


@test(weight=40)
def mta_sts_decides_and_its_faults_do_not(place):
	w = World(place)
	_sts(w)
	_start(w)
	_play(w)
	check(w.hops["mx.sts.org"].messages[0].sni == "mx.sts.org", "SNI (M15)")
	w.postern.wait_for_log(r"sts-testing .*sts-testing.org")
	w.postern.stop()


@test(weight=25)
def rules_and_exceptions_have_their_place(place):
	w = World(place)
	w.domain("sts.org", state="unsigned")
	w.policy("sts.org", "mx.sts.org")
	_rules(w)
	_start(w)
	_play(w)
	w.postern.stop()

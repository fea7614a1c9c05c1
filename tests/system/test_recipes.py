"""The recipes of contrib/ as they stand. One table of domains, both doors: what Postern's own relay does with the
mail is what a Postfix does that asks postern-policyd."""
import os
import re

import test_hops
import test_relay
from client import Client
from peers import Postfix, start_unbound
from place import SOURCE, check, test, wait_for
from recipe import Recipe
from test_hops import TLS12, World

OUTCOMES = {"delivered": "sent", "deferred": "deferred", "failed": "bounced"}


class _Recipe(Recipe):
	"""contrib/postfix."""
	PEER, MAP = Postfix, "postfix"

	def __init__(self, w):
		more = "".join(f'domain "{domain}" {{ outbound {{\n{rule}\n}} }}\n' for domain, rule in w.rules.items())
		super().__init__(w.place, "postfix", more)

	def start(self):
		start_unbound(self.place)  # Postfix does DANE by itself
		self.start_policyd()
		self.postfix = self.PEER(self.place, extra="virtual_mailbox_domains =\nmaximal_backoff_time = 1h\n")
		put_in = re.search(r"grep \^smtp .* postconf -e$", self.file("README.md"), re.M).group(0)
		self.run("sh", "-c", put_in)
		self.more()
		self.run("postfix", "reload")

	def more(self):
		"""What README.md has newer ones do."""

	def run(self, *words, status=0):
		"""A command of README.md."""
		return self.place.run(words, status=status, cwd=SOURCE, env=self.postfix.environment())

	def ask(self, domain, status=0):
		words = self.run("postmap", "-q", domain, f"socketmap:inet:127.0.0.1:8642:{self.MAP}", status=status)
		return "".join(l for l in words.splitlines() if "overriding earlier entry" not in l)

	def log(self):
		return self.postfix.log()

	def line(self, domain):
		found = re.findall(rf"^.* to=<postfix@{re.escape(domain)}>.* status=.*$", self.log(), re.M)
		return found[0] if found else ""


def _differs(w, domain, outcome, host=None):
	"""What Postfix does by nature of its own."""
	w.differs[domain] = (outcome, host)


def _judge(w, recipe, row):
	"""What Postfix did otherwise than Postern's relay; None: nothing."""
	domain, outcome, _, host, tls, _, _ = row
	outcome, host = w.differs.get(domain, (outcome, host))
	line = recipe.line(domain)
	if f"status={OUTCOMES[outcome]}" not in line:
		return f"{domain}: not {outcome}: {line}"
	came = [(label, m) for label, hop in w.hops.items() for m in hop.messages
		if any(f"postfix@{domain}" in r for r in m.recipients)]
	if outcome != "delivered":
		return f"{domain}: it came at {came[0][0]}: {line}" if came else None
	if len(came) != 1 or (host and came[0][0] != host):
		return f"{domain}: not at {host}: {[label for label, _ in came]}: {line}"
	if tls is not None and bool(came[0][1].tls) != tls:
		return f"{domain}: TLS {came[0][1].tls}: {line}"
	return None


def _both_doors(w):
	"""Mail for every domain by Postern's relay, then by Postfix."""
	recipe = _Recipe(w)
	w.exceptions += recipe.demands
	test_hops._start(w)
	test_hops._play(w)
	_by_postfix(w, recipe)
	return recipe


def _by_postfix(w, recipe):
	recipe.start()
	with Client(recipe.postfix.ip, recipe.postfix.port) as c:
		for row in w.rows:
			c.mail("from@client.test", f"postfix@{row[0]}", f"Subject: {row[0]}\r\n\r\nx\r\n")
	missing = lambda: [row[0] for row in w.rows if not recipe.line(row[0])]
	wait_for(lambda: not missing(), lambda: f"an outcome for {missing()}\n{recipe.log()[-3000:]}", 120, 0.2)
	wrong = list(filter(None, (_judge(w, recipe, row) for row in w.rows)))
	check(not wrong, f"{len(wrong)} of {len(w.rows)} domains went wrong", *wrong)
	unknown = [l for l in recipe.log().splitlines() if "configuration problem" in l or "unused parameter" in l]
	check(not unknown, "Postfix knows every word", *unknown)


def _world(place):
	w = World(place)
	w.differs = {}
	return w


def _rules(w):
	"""Those of the recipe."""
	w.domain("bank.example", state="unsigned", certificate=w.certificate("mail.bank.example", "mx.bank.example"))
	w.expect("bank.example", "delivered", host="mx.bank.example", tls=True, level="verify")
	w.domain("supplier.example", state="unsigned", maximum=TLS12)
	w.expect("supplier.example", "deferred", status="4.7.5")
	w.domain("partner.example")
	w.add("partner.example", w.tlsa("mx.partner.example", certificate=w.certificate("old.example")[0]))
	w.expect("partner.example", "delivered", host="mx.partner.example", tls=True, policy="exception")


def _levels(w):
	"""Rules of every other kind (the second table of ANSWERS.md)."""
	rules = w.rules
	for name, outcome in (("names.org", "delivered"), ("names-wrong.org", "deferred")):
		w.domain(name, state="unsigned", certificate=w.certificate("mail." + name))
		rules[name] = 'require = verify names = { "mail.names.org" }'
		w.expect(name, outcome, tls=outcome == "delivered" or None)
	forged = w.place.certificate("partner", "mx.partner.test", folder="partners")
	for name, outcome, key in (("pins.org", "delivered", forged), ("pins-wrong.org", "deferred", w.certificate("p.test"))):
		w.domain(name, state="unsigned", certificate=forged)
		rules[name] = f'require = verify key-pins = {{ "{test_relay._pin(w.place, key)}" }}'
		w.expect(name, outcome, tls=outcome == "delivered" or None)
	own = w.place.certificate("own", "mx.authority.org", folder="partners")
	for name, ca in (("authority.org", w.place.path("partners/ca.pem")), ("authority-wrong.org", w.net.ca)):
		w.domain(name, state="unsigned", certificate=own)
		rules[name] = f'require = verify names = {{ "mx.authority.org" }} authority = "{ca}"'
		w.expect(name, "deferred" if ca == w.net.ca else "delivered")
	w.domain("none.org", state="unsigned")
	rules["none.org"] = "require = none"
	w.expect("none.org", "delivered", tls=False)
	w.domain("only.org")
	w.add("only.org", w.tlsa("mx.only.org"))
	w.domain("only-missing.org")
	rules["only.org"] = rules["only-missing.org"] = "require = dane-only"
	w.expect("only.org", "delivered", tls=True)
	w.expect("only-missing.org", "deferred")


def _borrowed(w):
	"""Hosts with the certificate of another one that MTA-STS names: not named themselves; named, too."""
	w.domain("sts-borrowed.org", hosts=("bad", "mx"), state="unsigned", certificate=w.certificate("mx.sts-borrowed.org"))
	w.policy("sts-borrowed.org", "mx.sts-borrowed.org")
	w.expect("sts-borrowed.org", "delivered", host="mx.sts-borrowed.org", tls=True)
	w.domain("sts-star.org", state="unsigned", certificate=w.certificate("other.sts-star.org"))
	w.policy("sts-star.org", "*.sts-star.org")
	w.expect("sts-star.org", "deferred", status="4.7.5")


@test(weight=60)
def postfix_does_dane_as_the_relay_does(place):
	w = _world(place)
	test_hops._dane(w)
	# "may" in main.cf would let this one through.
	w.net.zone("hosted-wrong.net", ["@ MX 10 mx.other-key.org."], "unsigned")
	w.expect("hosted-wrong.net", "deferred", "TLSA", status="4.7.5")
	recipe = _both_doors(w)
	finger = recipe.run("posttls-finger", "-c", "-l", "dane", "ee.org")
	check("Verified TLS connection" in finger, "as README.md checks the resolver", finger)
	check(recipe.ask("ee.org") == "dane-only", "postmap -q", recipe.ask("ee.org"))
	check(recipe.ask("insecure.org", status=1) == "", "nothing to be said")

	# Nobody to ask: the mail is kept.
	w.place.end(recipe.policyd)
	with Client(recipe.postfix.ip, recipe.postfix.port) as c:
		c.mail("from@client.test", "later@insecure.org", "Subject: x\r\n\r\nx\r\n")
	kept = wait_for(lambda: re.search("to=<later@insecure.org>.*", recipe.log()), "an outcome").group(0)
	check("dsn=4.7.5, status=deferred (client TLS configuration problem)" in kept, "it is kept", kept)
	w.postern.stop()


@test(weight=60)
def postfix_does_mta_sts_and_rules_as_the_relay_does(place):
	w = _world(place)
	test_hops._sts(w)

	_rules(w)
	_levels(w)
	_borrowed(w)

	# A pattern with a star is for one label, in Postfix for any number of them (ANSWERS.md).
	_differs(w, "sts-wildcard.org", "delivered", "a.mx.sts-wildcard.org")

	# Postfix looks at the certificate alone (3.10.5 and later, asking postfix-tlsrpt, at the host, too).
	_differs(w, "sts-borrowed.org", "delivered", "bad.sts-borrowed.org")
	_differs(w, "sts-star.org", "delivered", "mx.sts-star.org")

	# MTA-STS of an unsigned domain at a host whose TLSA record does not fit: one or the other in Postfix.
	w.domain("provider.org")
	w.add("provider.org", w.tlsa("mx.provider.org", certificate=w.certificate("new.example")[0]))
	w.net.zone("sts-hosted.org", ["@ MX 10 mx.provider.org."], "unsigned")
	w.policy("sts-hosted.org", "mx.provider.org")
	w.expect("sts-hosted.org", "deferred", "TLSA", status="4.7.5")
	_differs(w, "sts-hosted.org", "delivered", "mx.provider.org")

	recipe = _both_doors(w)
	for domain, said in (("sts.org", "secure match=mx.sts.org servername=hostname"),
			     ("bank.example", "secure match=bank.example:.bank.example servername=hostname protocols=>=TLSv1.3"),
			     ("supplier.example", "encrypt protocols=>=TLSv1.3"), ("partner.example", "encrypt"),
			     ("both.org", "dane-only")):
		check(recipe.ask(domain) == said, f"postmap -q {domain}", recipe.ask(domain))
	check("ticket 4711" in recipe.explain("partner.example"), "explain", recipe.explain("partner.example"))
	w.postern.stop()

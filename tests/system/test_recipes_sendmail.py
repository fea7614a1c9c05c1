"""contrib/sendmail as it stands, behind a real Sendmail: mail goes or stays as with Postern's own relay, where Sendmail
can; and who is let in."""
import os
import re
import shutil
import ssl
import time

import test_hops
from client import Client
from internet import ROOTS
from peers import PEERS, Sendmail, start_unbound
from place import check, test, wait_for
from recipe import Recipe
from test_hops import TLS12, World

OUTSIDE = "11.6.0.1"  # a client that is not the loopback, which the milter exempts


class _Recipe(Recipe):
	"""contrib/sendmail."""

	def start(self, w):
		self._trust(w.net)
		start_unbound(self.place)
		self.start_policyd()
		self.milter = self.start_program("postern-milter", "milter-start")
		# confCACERT as Debian's starttls.m4 has it: who signs others is known by the recipe alone.
		self.sendmail = Sendmail(self.place, mc=self.file("postern.m4"), authority="chain")

	def _trust(self, net):
		"""/etc/ssl/certs with the test's authority, by its hash, too."""
		folder = self.place.path("certs")
		os.makedirs(folder)
		ca = shutil.copy(net.ca, f"{folder}/{os.path.basename(ROOTS)}")
		name = self.place.run(["openssl", "x509", "-noout", "-hash", "-in", ca]).strip()
		shutil.copy(ca, f"{folder}/{name}.0")
		net._mount(folder, os.path.dirname(ROOTS))

	def send(self, *recipients):
		with self.client() as c:
			c.command("EHLO client.test", 250)
			c.command("MAIL FROM:<from@client.test>", 250)
			for recipient in recipients:
				c.command(f"RCPT TO:<{recipient}>", 250)
			c.command("DATA", 354)
			c.send("Subject: x\r\n\r\nx\r\n.\r\n")
			check(c.reply().startswith("250"), "taken")

	def client(self, source=None):
		return Client(self.sendmail.ip, self.sendmail.port, source=source)


def _differs(w, domain, outcome, tls=None):
	"""What Sendmail does by nature of its own."""
	w.differs[domain] = (outcome, None, tls)


def _world(place):
	w = World(place)
	w.differs, w.whys = {}, {}
	test_hops._sts(w)

	# Debian's Sendmail has no DANE in it. Where it has, it stands above "sts".
	_differs(w, "both.org", "delivered", tls=True)
	_differs(w, "dane-first.org", "deferred")
	for domain, certificate in (("dane-other-key.org", "good"), ("dane-clear.org", None)):
		w.domain(domain, certificate=certificate)
		w.add(domain, w.tlsa("mx." + domain, certificate=w.certificate("elsewhere.org")[0]))
		w.expect(domain, "deferred")
		_differs(w, domain, "delivered", tls=certificate is not None)

	# Its own words for the sender's administrator.
	w.whys.update({"sts-clear.org": "does not support STARTTLS", "sts-expired.org": "authentication failed",
		       "sts-name.org": "not listed in SANs", "sts-mx.org": "not found in elsewhere.example"})

	# The rules of the recipe.
	w.domain("bank.example", state="unsigned", certificate=w.certificate("mail.bank.example", "mx.bank.example"))
	w.expect("bank.example", "delivered", host="mx.bank.example", tls=True)
	w.domain("partner.example", state="unsigned")
	w.policy("partner.example", "old.partner.example")
	w.expect("partner.example", "delivered", host="mx.partner.example", tls=True)

	# Known after 6 s only; Sendmail waits for 5. It asks again before RCPT.
	def slowly(request):
		time.sleep(6)
		request.answer(test_hops.ENFORCE.format(mx="mx.slow.org"))
	w.domain("slow.org", certificate=None, state="unsigned")
	w.policy("slow.org", "", serve=slowly)
	w.expect("slow.org", "deferred")

	w.domain("xn--bcher-kva.org", certificate=w.certificate("mx.other3.example"), state="unsigned")
	w.policy("xn--bcher-kva.org", "mx.xn--bcher-kva.org")
	w.expect("xn--bcher-kva.org", "deferred")

	# Two domains at one host with nobody's certificate: only one of them wants another.
	w.domain("shared-sts.org", state="unsigned",
		 certificate=place.certificate("forged", "mx.shared-sts.org", folder="forgers"))
	w.policy("shared-sts.org", "mx.shared-sts.org")
	w.net.zone("a-shared.org", ["@ MX 10 mx.shared-sts.org."], "unsigned")
	return w


def _arrived(w, recipient):
	return [(label, m) for label, hop in w.hops.items() for m in hop.messages if recipient in m.recipients]


def _outcome(w, recipe, recipient, kept=None):
	"""What became of it: "delivered", "deferred"; None: nothing yet."""
	if recipient in (recipe.sendmail.kept() if kept is None else kept):
		return "deferred"
	return "delivered" if _arrived(w, recipient) else None


def _wait(w, recipe, recipient, outcome):
	said = wait_for(lambda: _outcome(w, recipe, recipient), f"an outcome for {recipient}", 40, 0.1)
	check(said == outcome, f"{recipient} is {outcome}", said, recipe.sendmail.kept())


def _judge(w, row, kept):
	"""What Sendmail did otherwise than Postern's relay; None: nothing."""
	domain, outcome, _, host, tls, _, _ = row
	outcome, host, tls = w.differs.get(domain, (outcome, host, tls))
	came, why = _arrived(w, f"to@{domain}"), kept.get(f"to@{domain}")
	if outcome == "deferred":
		return f"{domain}: not kept: {came}, {why}" if came or w.whys.get(domain, "") not in (why or "") else None
	if len(came) != 1 or (host and came[0][0] != host) or why:
		return f"{domain}: not at {host}: {came}: {why}"
	return f"{domain}: TLS {came[0][1].tls}" if tls is not None and bool(came[0][1].tls) != tls else None


def _goes_out(w, recipe):
	for row in w.rows:
		recipe.send(f"to@{row[0]}")
	recipe.send("UPPER@STS-NAME.ORG")
	recipe.send("b@shared-sts.org", "a@a-shared.org")  # it begins with a-shared.org

	def missing():
		kept = recipe.sendmail.kept()
		return [row[0] for row in w.rows if not _outcome(w, recipe, f"to@{row[0]}", kept)]
	wait_for(lambda: not missing(), lambda: f"an outcome for {missing()}", 60, 0.2)
	kept = recipe.sendmail.kept()
	wrong = list(filter(None, (_judge(w, row, kept) for row in w.rows)))
	check(not wrong, f"{len(wrong)} of {len(w.rows)} domains went wrong", *wrong)
	check(w.hops["mx.sts.org"].messages[0].sni == "mx.sts.org", "SNI (M15)")
	_wait(w, recipe, "UPPER@STS-NAME.ORG", "deferred")
	_wait(w, recipe, "a@a-shared.org", "delivered")
	_wait(w, recipe, "b@shared-sts.org", "deferred")


def _is_it_right(recipe):
	"""README.md's look at it."""
	line = re.search(r"^ +echo '(.*)' \| sendmail (-bt) ", recipe.file("README.md"), re.M)
	for domain, words in (("sts.org", "returns secure match=mx.sts.org servername=hostname"), ("sts-none.org", "no match"),
			      ("bank.example", "secure match=bank.example:.bank.example servername=hostname")):
		said = recipe.sendmail.run(line.group(2), input=line.group(1).replace("example.org", domain) + "\n")
		check(words in said, f"/map sts {domain}", said)
	check("ticket 4711" in recipe.explain("partner.example"), "explain", recipe.explain("partner.example"))


def _nobody_to_ask(w, recipe):
	"""C11, M4: the mail is kept; promises outlive a restart and a web host that is gone."""
	w.place.end(recipe.policyd)
	recipe.send("later@sts-none.org")
	_wait(w, recipe, "later@sts-none.org", "deferred")
	check("sts map" in recipe.sendmail.kept()["later@sts-none.org"], "why", recipe.sendmail.kept())
	before = recipe.sendmail.kept()
	del before["later@sts-none.org"]
	w.net.web.clear()
	recipe.start_policyd()
	recipe.sendmail.run("-q")
	wait_for(lambda: _arrived(w, "later@sts-none.org"), "it goes when there is somebody to ask", 30)
	wait_for(lambda: "later@sts-none.org" not in recipe.sendmail.kept(), "it leaves the queue")
	check(recipe.sendmail.kept().keys() == before.keys(), "what is refused stays", before, recipe.sendmail.kept())
	recipe.send("again@sts.org")
	_wait(w, recipe, "again@sts.org", "delivered")


def _comes_in(w, recipe):
	with recipe.client(OUTSIDE) as c:
		c.command("EHLO client.test", 250)
		c.command("MAIL FROM:<a@bank.example>", "530 5.7.0 Must issue a STARTTLS command first")
		c.starttls(maximum=TLS12)
		c.command("EHLO client.test", 250)
		c.mail("a@bank.example", "in1@insecure.org", "Subject: x\r\n\r\nx\r\n")
		c.mail("a@supplier.example", "in2@insecure.org", "Subject: x\r\n\r\nx\r\n")
	for recipient, words in (("in1@insecure.org", "policy=pass"), ("in2@insecure.org", "policy=report")):
		_wait(w, recipe, recipient, "delivered")
		said = _arrived(w, recipient)[0][1].header("X-Postern-TLS")
		check("version=TLSv1.2" in said and words in said, "the facts", said)
	w.place.end(recipe.milter)
	with recipe.client(OUTSIDE) as c:
		said = [c.banner, c.command("EHLO client.test"), c.command("MAIL FROM:<a@bank.example>")]
		check(any(s.startswith("4") for s in said) and not said[-1].startswith("2"), "K1: told to come again", said)


def _fits_debians_file(recipe):
	"""README.md's line that puts it in."""
	line = re.search(r"^\s+(sed -i .*) /etc/mail/sendmail.mc$", recipe.file("README.md"), re.M).group(1)
	file = shutil.copy(PEERS + "/sendmail/usr/share/sendmail/cf/debian/sendmail.mc", recipe.place.path("sendmail.mc"))
	recipe.place.run(["sh", "-c", f"{line} {file}"])
	with open(file) as f:
		text = f.read()
	ours = "include(`/etc/mail/m4/postern.m4')dnl\n"
	check(text.count(ours) == 1 and text.index("access_db") < text.index(ours) < text.index("\nMAILER"), "put in", text)


@test(weight=60)
def sendmail_does_as_the_relay_does_where_it_can(place):
	w = _world(place)
	w.domain("insecure.org", certificate=None, state="unsigned")
	w.net.open()
	recipe = _Recipe(place, "sendmail")
	recipe.start(w)
	_goes_out(w, recipe)
	_is_it_right(recipe)
	_nobody_to_ask(w, recipe)
	_comes_in(w, recipe)
	_fits_debians_file(recipe)

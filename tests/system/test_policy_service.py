"""postern-policyd as the policy service of a real Postfix, by the recipe contrib/postfix/main.cf.inbound as it stands."""
import glob
import os
import re
import signal
import ssl
import subprocess

from client import Client
from peers import Postfix
from place import SOURCE, check, test, wait_for

OLD, NEW = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
RULES = """
domain "partner.example" { inbound { require = tls } }
domain "modern.example" { inbound { minimum = "TLS1.3" } }
domain "signed.example" { inbound { certificate-names = { "out.signed.example" } } }
domain "later.example" { inbound { require = tls mode = tempfail } }
domain "watch.example" { inbound { require = tls mode = report } }
domain "kept.example" { inbound { require = tls mode = quarantine } }
domain "bank.example" { inbound-recipients { require = tls } }
"""


def _pin(certificate):
	"""SHA-256 of the public key, by OpenSSL."""
	return subprocess.run(f"openssl x509 -in {certificate[0]} -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum",
			      shell=True, check=True, capture_output=True, text=True).stdout.split()[0]


def _read(name):
	with open(f"{SOURCE}/contrib/postfix/{name}") as f:
		return f.read()


class _House:
	"""A policyd alone, with no resolver to ask, and a Postfix that asks it."""

	def __init__(self, place, rules=RULES, inside="exempt = {}", extra=""):
		self.place, self.rules, self.inside = place, rules, inside
		self.port = place.free_port()
		self.configure()
		self.start()
		main = _read("main.cf.inbound").replace("127.0.0.1:8643", f"{place.ip}:{self.port}")
		check(main.count(str(self.port)) == 2, "the recipe names the service")
		ca = place.path("keys", "ca.pem")
		if not os.path.exists(ca):
			place.ca()
		self.postfix = Postfix(place, extra=f"{main}\nsmtpd_tls_CAfile = {ca}\n"
				       f"smtpd_tls_session_cache_database =\n{extra}\n")

	def configure(self):
		recipe = re.search(r"^#(policy-service .*) \{ .* \}$", _read("postern.conf"), re.M).group(1)
		recipe = recipe.replace("127.0.0.1:8643", f"{self.place.ip}:{self.port}")
		user = 'user = "nobody"\n' if os.geteuid() == 0 else ""
		self.config = self.place.write("policyd/postern.conf", f"""hostname = "mx.postern.test"
run-directory = "{self.place.path("policyd/run")}"
{user}{recipe} {{ {self.inside} }}
{self.rules}
""")

	def start(self):
		before = self.log().count("policyd-start")
		self.process = self.place.start("policyd", [self.place.build() + "/smtpd/postern-policyd", "-c", self.config])
		wait_for(lambda: self.log().count("policyd-start") > before, self.log)

	def log(self):
		return self.place.log("policyd")

	def client(self, maximum=None, certificate=None, says_ehlo_again=True):
		c = Client(self.postfix.ip, self.postfix.port)
		c.command("EHLO client.test", 250)
		if maximum:
			c.starttls(maximum=maximum, certificate=certificate)
			if says_ehlo_again:
				c.command("EHLO client.test", 250)
		return c

	def recipient(self, sender, to="x@c.example", **session):
		"""What is said to RCPT in a session of its own."""
		with self.client(**session) as c:
			c.command(f"MAIL FROM:<{sender}>", 250)
			reply = c.command(f"RCPT TO:<{to}>")
			c.command("QUIT", 221)
		return reply

	def stop(self):
		status = self.place.end(self.process, 20)
		check(status == 0, f"postern-policyd ended with status {status}", self.log()[-3000:])


@test(weight=10)
def E1_E5_sessions_are_let_in_by_what_they_show(place):
	good = place.certificate("client", "out.signed.example")
	other = place.certificate("client2", "50%off%s.example")
	forged = place.certificate("client3", "out.signed.example", folder="forgers")
	house = _House(place, RULES + f"""
domain "pinned.example" {{ inbound {{ key-pins = {{ "sha256:{_pin(forged)}" }} }} }}
""")
	check("dnssec-check" not in house.log() and "trust anchor" not in house.log(), "no resolver is needed", house.log())
	for sender, session, reply in (
		("a@partner.example", {}, "530 5.7.0 <x@c.example>: Recipient address rejected: Must issue a STARTTLS command first"),
		("a@partner.example", {"maximum": OLD}, "250"),
		("a@partner.example", {"maximum": NEW}, "250"),
		("a@modern.example", {"maximum": OLD}, "554 5.7.0 "),
		("a@modern.example", {"maximum": NEW}, "250"),
		# P3: TLS is known without a second EHLO
		("a@modern.example", {"maximum": NEW, "says_ehlo_again": False}, "250"),
		("a@modern.example", {"maximum": OLD, "says_ehlo_again": False}, "554 5.7.0 "),
		("a@signed.example", {"maximum": NEW}, "554 5.7.1 "),
		("a@signed.example", {"maximum": OLD, "certificate": good}, "250"),
		("a@signed.example", {"maximum": NEW, "certificate": good}, "250"),
		("a@signed.example", {"maximum": NEW, "certificate": forged}, "554 5.7.1 "),
		("a@signed.example", {"maximum": NEW, "certificate": other}, "554 5.7.1 "),
		# E5: the key counts whoever signed
		("a@pinned.example", {}, "530 "),
		("a@pinned.example", {"maximum": NEW}, "554 5.7.1 "),
		("a@pinned.example", {"maximum": NEW, "certificate": forged}, "250"),
		("a@pinned.example", {"maximum": OLD, "certificate": forged}, "250"),
		("a@pinned.example", {"maximum": NEW, "certificate": good}, "554 5.7.1 "),
		("a@later.example", {}, "451 4.7.0 "),
		("a@elsewhere.example", {}, "250"),
		("", {}, "250"),
	):
		said = house.recipient(sender, **session)
		check(said.startswith(reply), f"{sender} {session}: wanted {reply}", said)
	said = house.recipient("a@signed.example", maximum=NEW, certificate=other)
	check("[50%off%s.example]" in said, "percent signs are themselves", said)
	key = ":".join(re.findall("..", _pin(good).upper()))
	check(f"subject=out.signed.example issuer=" in house.log() and f"key={key}" in house.log(), "the log tells the key",
	      house.log()[-2000:])
	house.stop()


@test(weight=10)
def one_recipient_is_refused_several_messages_a_session(place):
	house = _House(place)
	with house.client() as c:
		for number in range(3):
			c.command("MAIL FROM:<a@b.example>", 250)
			c.command("RCPT TO:<x@c.example>", 250)
			said = c.command("RCPT TO:<joe@bank.example>", 530)
			check("our rule for mail to bank.example" in said, "refused", said)
			c.command("RCPT TO:<y@c.example>", 250)
			c.command("DATA", 354)
			c.send(f"Subject: {number}\r\n\r\nbody\r\n.\r\n")
			check(c.reply().startswith("250"), "taken")
			c.command("MAIL FROM:<a@partner.example>", 250)
			c.command("RCPT TO:<x@c.example>", 530)
			c.command("RSET", 250)
		c.mail("a@watch.example", ["u@c.example", "v@c.example", "w@c.example"], "Subject: watched\r\n\r\nbody\r\n")
		c.mail("a@kept.example", ["x@c.example", "y@c.example"], "Subject: kept\r\n\r\nbody\r\n")
		c.command("QUIT", 221)
	wait_for(lambda: len(house.postfix.delivered()) == 9, "nine copies arrive", 30)
	check(len(glob.glob(house.postfix.folder + "/queue/hold/*")) == 1, "one message is kept")
	with open(house.postfix.folder + "/maillog") as f:
		warned = re.findall(r"warn: RCPT .*Must issue a STARTTLS", f.read())
	check(len(warned) == 1, "the report is in Postfix's log, once for a message", *warned)
	house.process.send_signal(signal.SIGUSR1)
	counters = wait_for(lambda: re.findall("policy-service-counters .*", house.log()), "the counters")[-1]
	check("rejected=6 tempfailed=0 quarantined=1 reported=1 exempt=0 broken=0" in counters, "counted", counters)
	house.stop()


@test(weight=10)
def a_reload_reaches_the_next_request_and_without_policyd_mail_waits(place):
	house = _House(place)
	with house.client() as c:
		c.command("MAIL FROM:<a@partner.example>", 250)
		c.command("RCPT TO:<x@c.example>", 530)
		house.rules = 'domain "new.example" { inbound { require = tls } }'
		house.configure()
		house.process.send_signal(signal.SIGHUP)
		wait_for(lambda: "policyd-reload" in house.log(), house.log)
		c.command("RCPT TO:<x@c.example>", 250)
		c.command("RSET", 250)
		c.command("MAIL FROM:<a@new.example>", 250)
		c.command("RCPT TO:<x@c.example>", 530)
		house.process.kill()
		house.process.wait()
		said = c.command("RCPT TO:<x@c.example>")
		check(said.startswith("451 4.3.5"), "Postfix's own default", said)
		house.start()
		c.command("RCPT TO:<x@c.example>", 530)
		c.command("QUIT", 221)
	house.stop()


@test(weight=5)
def E5_other_digests_prove_nothing_and_the_reply_says_what_would(place):
	client = place.certificate("client", "out.signed.example")
	rules = f'domain "pinned.example" {{ inbound {{ key-pins = {{ "{_pin(client)}" }} }} }}'
	house = _House(place, rules, extra="smtpd_tls_fingerprint_digest = sha1")
	said = house.recipient("a@pinned.example", maximum=NEW, certificate=client)
	check(said.startswith("554 5.7.1 ") and "smtpd_tls_fingerprint_digest = sha256" in said, "refused", said)
	house.stop()


@test(weight=5)
def P4_P9_nothing_before_mail_and_services_by_context(place):
	house = _House(place, 'daemon "partners" { inbound { require = tls } }', extra="smtpd_delay_reject = no")
	ask = f"check_policy_service {{ inet:{place.ip}:{house.port}, policy_context=partners }}"
	for stage in ("client", "helo", "sender", "data", "end_of_data"):
		place.run(["postconf", "-c", house.postfix.folder + "/conf", "-e", f"smtpd_{stage}_restrictions = {ask}"])
	place.run(["postfix", "-c", house.postfix.folder + "/conf", "reload"])

	def refused():
		with house.client() as c:
			said = c.command("MAIL FROM:<a@b.example>")
			c.command("QUIT", 221)
		return said.startswith("530") and "our service partners" in said
	wait_for(refused, "it asks by its context")
	with house.client(NEW) as c:
		c.mail("a@b.example", ["x@c.example", "y@c.example"], "Subject: s\r\n\r\nbody\r\n")
		c.command("QUIT", 221)
	wait_for(lambda: len(house.postfix.delivered()) == 2, "it arrives", 30)
	house.inside = ""  # the loopback is exempt
	house.configure()
	house.process.send_signal(signal.SIGHUP)
	wait_for(lambda: "policyd-reload" in house.log(), house.log)
	with house.client() as c:
		c.command("MAIL FROM:<a@b.example>", 250)
		c.command("QUIT", 221)
	house.stop()

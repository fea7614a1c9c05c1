"""postern-milter behind a real Sendmail, which tells other things of its sessions than Postfix does."""
import glob
import ssl

from client import Client
from fakehop import FakeHop
from milter import NAME, Milter
from peers import Sendmail
from place import check, test, wait_for

RULES = """
domain "partner.example" { inbound { require = tls } }
domain "modern.example" { inbound { minimum = "TLS1.3" } }
domain "signed.example" { inbound { certificate-names = { "out.signed.example" } } }
domain "any.example" { inbound { require = certificate } }
domain "later.example" { inbound { require = tls mode = tempfail } }
domain "watch.example" { inbound { require = tls mode = report } }
domain "kept.example" { inbound { require = tls mode = quarantine } }
domain "bank.example" { inbound-recipients { require = tls } }
"""
OLD, NEW = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
HEADER = "X-Postern-TLS"


def _house(place, inside=f'exempt = {{}} header = "{HEADER}"'):
	milter = Milter(place, RULES, inside).start()
	hop = FakeHop(place.ip)
	mc = f"INPUT_MAIL_FILTER(`postern', `S=inet:{milter.port}@{place.ip}, F=T, T=S:10s;R:10s;E:1m')dnl"
	return milter, Sendmail(place, hop, mc=mc), hop


def _client(sendmail, maximum=None, certificate=None, says_ehlo_again=True):
	c = Client(sendmail.ip, sendmail.port)
	c.command("EHLO client.test", 250)
	if maximum:
		c.starttls(maximum=maximum, certificate=certificate)
		if says_ehlo_again:
			c.command("EHLO client.test", 250)
	return c


@test(weight=10)
def E1_P2_sessions_are_let_in_by_what_they_show(place):
	milter, sendmail, _ = _house(place)
	good = place.certificate("client", "out.signed.example")
	other = place.certificate("client2", "evil.example")
	percent = place.certificate("client4", "50%off%s.example")
	forged = place.certificate("client3", "out.signed.example", folder="forgers")
	for sender, maximum, certificate, reply in (
		("a@partner.example", None, None, "530 5.7.0 Must issue a STARTTLS command first"),
		("a@partner.example", OLD, None, "250"),
		("a@modern.example", OLD, None, "554 5.7.0 Our rule for mail from modern.example demands TLS1.3 and you speak TLS1.2"),
		("a@modern.example", NEW, None, "250"),
		("a@signed.example", NEW, None, "554 5.7.1 Our rule for mail from signed.example demands a client certificate "
		 "and you showed none"),
		("a@signed.example", OLD, good, "250"),
		("a@signed.example", NEW, good, "250"),
		("a@signed.example", NEW, other, "554 5.7.1 Our rule for mail from signed.example demands another client "
		 "certificate (its name); yours is for [evil.example]"),
		# the right names, by nobody we trust: {verify} = FAIL
		("a@signed.example", OLD, forged, "554 5.7.1 Our rule for mail from signed.example demands a client certificate "
		 "and yours is not accepted: FAIL"),
		("a@signed.example", NEW, forged, "554 5.7.1"),
		("a@any.example", NEW, other, "250"),
		("a@any.example", NEW, forged, "554 5.7.1"),
		("a@signed.example", NEW, percent, "554 5.7.1 Our rule for mail from signed.example demands another client "
		 "certificate (its name); yours is for [50%off%s.example]"),
		("a@later.example", None, None, "451 4.7.0 Must issue"),
		("", None, None, "250"),
	):
		with _client(sendmail, maximum, certificate) as c:
			said = c.command(f"MAIL FROM:<{sender}>")
			check(said.startswith(reply), f"{sender} {maximum} {certificate}: wanted {reply}", said)
			c.command("QUIT", 221)
	milter.stop()


@test(weight=10)
def P3_mail_right_after_starttls_has_tls(place):
	milter, sendmail, _ = _house(place)
	with _client(sendmail) as c:
		c.command("MAIL FROM:<a@partner.example>", 530)
		c.starttls()
		c.command("MAIL FROM:<a@partner.example>", 250)
		c.command("RCPT TO:<x@bank.example>", 250)
		c.command("QUIT", 221)
	milter.stop()


@test(weight=10)
def recipients_messages_and_the_header(place):
	milter, sendmail, hop = _house(place)
	with _client(sendmail) as c:
		for number in range(2):
			c.command("MAIL FROM:<a@b.example>", 250)
			c.command("RCPT TO:<x@c.example>", 250)
			c.command("RCPT TO:<joe@bank.example>", 530)
			c.command("RCPT TO:<y@c.example>", 250)
			c.command("DATA", 354)
			c.send(f"{HEADER}: forged\r\nSubject: {number}\r\n{HEADER.lower()}: forged\r\n{HEADER} : forged\r\n\r\nbody\r\n.\r\n")
			check(c.reply().startswith("250"), "taken")
			c.command("MAIL FROM:<a@partner.example>", 530)
			c.mail("a@watch.example", "w@c.example", f"Subject: watched {number}\r\n\r\nbody\r\n")
		c.command("QUIT", 221)
	wait_for(lambda: len(hop.messages) == 4, "four messages", 30)
	for m in hop.messages:
		head = m.data.split(b"\r\n\r\n")[0].decode()
		check(head.count(HEADER) + head.count(HEADER.lower()) == 1 and "forged" not in head, "one field, ours", head)
		is_watched = "Subject: watched" in head
		check(m.header(HEADER).startswith(f"{NAME}; version=none;") and
		      ("policy=report" in head) == is_watched and ("policy=pass" in head) != is_watched, "facts", head)
		check(not any("bank.example" in line for line in m.rcpt_lines), "without the refused one", m.rcpt_lines)
	milter.stop()


@test(weight=10)
def quarantine_daemons_and_an_end(place):
	milter, sendmail, hop = _house(place)
	with _client(sendmail) as c:
		c.mail("a@kept.example", "x@c.example", "Subject: kept\r\n\r\nbody\r\n")
		c.mail("a@b.example", "x@c.example", "Subject: free\r\n\r\nbody\r\n")
		c.command("QUIT", 221)
	wait_for(lambda: len(hop.messages) == 1, "the other goes on", 30)
	kept = glob.glob(sendmail.folder + "/queue/hf*")
	check(len(kept) == 1 and hop.messages[0].header("Subject") == "free", "one is kept", kept)
	milter.rules = 'daemon "MTA" { inbound { require = tls } }'
	milter.configure()
	milter.reload()
	with _client(sendmail) as c:
		said = c.command("MAIL FROM:<a@b.example>")
		check(said.startswith("530") and "our service MTA" in said, "by Sendmail's name of its daemon", said)
	# L5: a message that is done at MAIL speaks for itself alone
	milter.rules, milter.inside = RULES.replace("inbound-recipients", "inbound"), "exempt = {}"
	milter.configure()
	milter.reload()
	with _client(sendmail) as c:
		for _ in range(2):
			c.mail("a@b.example", "x@c.example", "Subject: s\r\n\r\nbody\r\n")
			c.command("MAIL FROM:<a@partner.example>", 530)
			c.command("MAIL FROM:<a@b.example>", 250)
			c.command("RSET", 250)
			c.command("MAIL FROM:<a@partner.example>", 530)
	# K1: F=T
	milter.stop()
	c = Client(sendmail.ip, sendmail.port)
	said = [c.banner, c.command("EHLO client.test"), c.command("MAIL FROM:<a@partner.example>")]
	check(any(s.startswith("4") for s in said) and not said[-1].startswith("2"), "told to come again", said)
	c.close()

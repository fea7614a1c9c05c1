"""milter: postern-milter under test, an MTA's side of the milter protocol, byte by byte, and clients of a real MTA
that asks it."""
import os
import signal
import socket
import ssl
import struct

from client import Client
from place import check, wait_for

NAME = "mx.postern.test"
ADDHDRS, CHGHDRS, QUARANTINE, SETSYMLIST = 0x01, 0x10, 0x20, 0x100
ALL_ACTIONS, ALL_STEPS = 0x1ff, 0x1fffff  # what Postfix 3.7 offers
NOCONNECT, NOHELO, NOMAIL, NORCPT, NOBODY, NOHDRS, NOEOH = (1 << i for i in range(7))
NR_HDR, NOUNKNOWN, NODATA, NR_CONN = 0x80, 0x100, 0x200, 0x1000
HEADER = "X-Postern-TLS"
WITH_HEADER = f'exempt = {{}} header = "{HEADER}"'
OLD, NEW = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
RULES = """
domain "partner.example" { inbound { require = tls } }
domain "modern.example" { inbound { minimum = "TLS1.3" } }
domain "signed.example" { inbound { certificate-names = { "out.signed.example" } } }
domain "any.example" { inbound { require = certificate } }
domain "strong.example" { inbound { minimum-bits = 256 refused-ciphers = { "*CBC*", "*AES_128*", "*CHACHA20*" } } }
domain "later.example" { inbound { require = tls mode = tempfail } }
domain "watch.example" { inbound { require = tls mode = report } }
domain "kept.example" { inbound { require = tls mode = quarantine } }
domain "bank.example" { inbound-recipients { require = tls } }
"""


class Milter:
	"""rules: the sections domain, client and daemon; inside: that of the section milter."""

	def __init__(self, place, rules="", inside="exempt = {}", name="milter", unix=False, build="sanitized"):
		self.place, self.name, self.rules, self.inside = place, name, rules, inside
		self.folder = place.path(name)
		self.port = None if unix else place.free_port()
		self.path = self.folder + "/run/milter.sock" if unix else None
		self.program = place.build(build) + "/smtpd/postern-milter"
		self.config_path = self.folder + "/postern.conf"
		self.process = None
		self.configure()

	@property
	def socket_words(self):
		"""As Postfix and postern.conf write it."""
		return f"unix:{self.path}" if self.path else f"inet:{self.place.ip}:{self.port}"

	def configure(self):
		user = 'user = "nobody"\n' if os.geteuid() == 0 else ""
		self.place.write(self.name + "/postern.conf", f"""
hostname = "{NAME}"
{user}milter "{self.socket_words}" {{ {self.inside} }}
{self.rules}
""")

	def start(self):
		check(os.path.exists(self.program), f"{self.program} is not built")
		self.process = self.place.start(self.name, [self.program, "-c", self.config_path],
						env={"ASAN_OPTIONS": "detect_leaks=1"})

		def answers():
			check(self.process.poll() is None, "it ended at once", self.log())
			try:
				self.connect().close()
				return True
			except OSError:
				return False
		wait_for(answers, "postern-milter listens", 20)
		return self

	def connect(self):
		if not self.path:
			return socket.create_connection((self.place.ip, self.port), timeout=20)
		s = socket.socket(socket.AF_UNIX)
		s.settimeout(20)
		s.connect(self.path)
		return s

	def stop(self):
		status = self.place.end(self.process, 30)
		check(status == 0, f"postern-milter ended with status {status}", self.log()[-3000:])

	def reload(self):
		seen = len(self.log())
		self.process.send_signal(signal.SIGHUP)
		wait_for(lambda: "milter-reload" in self.log()[seen:] or "reload-failed" in self.log()[seen:],
			 "the reload is answered")
		return self.log()[seen:]

	def counters(self):
		seen = len(self.log())
		self.process.send_signal(signal.SIGUSR1)
		line = wait_for(lambda: [l for l in self.log()[seen:].splitlines() if "milter-counters" in l],
				"the counters")[-1]
		return {k: int(v) for k, v in (w.split("=") for w in line.split() if "=" in w)}

	def log(self):
		return self.place.log(self.name)


class Mta:
	"""One connection of an MTA. Replies are (letter, bytes)."""

	def __init__(self, milter, actions=ALL_ACTIONS, steps=ALL_STEPS):
		self.socket = milter.connect()
		self.send("O", struct.pack("!III", 6, actions, steps))
		letter, data = self.receive()
		check(letter == "O", "it negotiates", letter)
		self.version, self.actions, self.steps = struct.unpack("!III", data[:12])
		self.macros, rest = {}, data[12:]
		while rest:
			stage, = struct.unpack("!I", rest[:4])
			text, _, rest = rest[4:].partition(b"\0")
			self.macros[stage] = text.decode().split()

	def send(self, letter, data=b""):
		self.socket.sendall(struct.pack("!I", len(data) + 1) + letter.encode() + data)

	def _exactly(self, count):
		data = b""
		while len(data) < count:
			more = self.socket.recv(count - len(data))
			check(more, "postern-milter closed the connection")
			data += more
		return data

	def receive(self):
		length, = struct.unpack("!I", self._exactly(4))
		data = self._exactly(length)
		return chr(data[0]), data[1:]

	def define(self, command, macros):
		words = b"".join(k.encode() + b"\0" + v.encode() + b"\0" for k, v in macros.items())
		self.send("D", command.encode() + words)

	def connected(self, ip="192.0.2.9", host="client.test", macros=None, family="4"):
		self.define("C", {"j": NAME, "v": "Postfix 3.7.11", "{daemon_name}": NAME, **(macros or {})})
		self.send("C", host.encode() + b"\0" + family.encode() +
			  (struct.pack("!H", 4711) + ip.encode() + b"\0" if family != "U" else b""))
		return ("c", b"") if self.steps & NR_CONN else self.receive()

	def helo(self, name="client.test", macros=None):
		self.define("H", macros or {})
		self.send("H", name.encode() + b"\0")
		return self.receive()

	def mail(self, sender, *parameters, macros=None):
		self.define("M", macros or {})
		self.send("M", b"".join(w.encode() + b"\0" for w in (f"<{sender}>", *parameters)))
		return self.receive()

	def recipient(self, address, macros=None):
		self.define("R", macros or {})
		self.send("R", f"<{address}>".encode() + b"\0")
		return self.receive()

	def header(self, name, value):
		self.send("L", name.encode() + b"\0" + value.encode() + b"\0")
		return ("c", b"") if self.steps & NR_HDR else self.receive()

	def end(self):
		"""[(letter, bytes)]: the changes, and last the answer."""
		self.define("E", {"i": "4ABCDEF"})
		self.send("E")
		replies = [self.receive()]
		while replies[-1][0] in "himq":
			replies.append(self.receive())
		return replies

	def abort(self):
		self.send("A")

	def close(self):
		try:
			self.send("Q")
			self.socket.close()
		except OSError:
			pass

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()


def tls(version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384", bits="256", **more):
	"""Macros of a session with TLS; cert_subject="x" and the like for more."""
	return {"{tls_version}": version, "{cipher}": cipher, "{cipher_bits}": bits,
		**{"{%s}" % k: v for k, v in more.items()}}


# ---- behind a real MTA, which has .ip and .port ----------------------------------------------------
def session(mta, maximum=None, certificate=None, says_ehlo_again=True):
	"""A client's, over TLS of the version given."""
	c = Client(mta.ip, mta.port)
	c.command("EHLO client.test", 250)
	if maximum:
		c.starttls(maximum=maximum, certificate=certificate)
		if says_ehlo_again:
			c.command("EHLO client.test", 250)
	return c


def certificates(place):
	"""By name, for the rows of check_senders."""
	return {"good": place.certificate("client", "out.signed.example"),
		"other": place.certificate("client2", "evil.example"),
		"percent": place.certificate("client4", "50%off%s.example"),
		"forged": place.certificate("client3", "out.signed.example", folder="forgers")}


def check_senders(place, mta, rows):
	"""rows: (sender, version or None, name of a certificate or None, how the reply to MAIL begins), after those
	that every MTA answers alike."""
	keys = certificates(place)
	other = "554 5.7.1 Our rule for mail from signed.example demands another client certificate (its name); yours is for "
	for sender, maximum, name, reply in (
		("a@partner.example", None, None, "530 5.7.0 Must issue a STARTTLS command first"),
		("a@partner.example", OLD, None, "250"),
		("a@modern.example", OLD, None, "554 5.7.0 Our rule for mail from modern.example demands TLS1.3 and you speak TLS1.2"),
		("a@modern.example", NEW, None, "250"),
		("a@signed.example", NEW, None, "554 5.7.1 Our rule for mail from signed.example demands a client certificate"),
		("a@signed.example", OLD, "good", "250"),
		("a@signed.example", NEW, "good", "250"),
		("a@signed.example", NEW, "other", other + "[evil.example]"),
		("a@signed.example", NEW, "percent", other + "[50%off%s.example]"),
		("a@signed.example", NEW, "forged", "554 5.7.1 Our rule for mail from signed.example demands a client certificate"),
		("a@later.example", None, None, "451 4.7.0 Must issue"),
		("", None, None, "250"),
		*rows,
	):
		with session(mta, maximum, keys.get(name)) as c:
			said = c.command(f"MAIL FROM:<{sender}>")
			check(said.startswith(reply), f"{sender} {maximum} {name}: wanted {reply}", said)
			c.command("QUIT", 221)
	with session(mta) as c:  # Q1: an MTA that knows no REQUIRETLS refuses it before we are asked
		said = c.command("MAIL FROM:<a@b.example> REQUIRETLS")
		check(said.startswith("5"), "no REQUIRETLS in clear", said)


def check_tls_right_after_starttls(mta):
	"""P3: who was refused in clear begins TLS and goes on without another EHLO."""
	with session(mta) as c:
		c.command("MAIL FROM:<a@partner.example>", 530)
		c.starttls()
		c.command("MAIL FROM:<a@partner.example>", 250)
		c.command("RCPT TO:<x@bank.example>", 250)
		c.command("QUIT", 221)


def send_watched(mta, count, head=""):
	"""Each time two recipients of three, a sender refused and one who is only reported, in one session."""
	with session(mta) as c:
		for number in range(count):
			c.command("MAIL FROM:<a@b.example>", 250)
			c.command("RCPT TO:<x@c.example>", 250)
			said = c.command("RCPT TO:<joe@bank.example>")
			check(said.startswith("530 5.7.0 Must issue a STARTTLS command first: our rule for mail to bank.example"),
			      "refused", said)
			c.command("RCPT TO:<y@c.example>", 250)
			c.command("DATA", 354)
			c.send(f"{head}Subject: {number}\r\n\r\nbody\r\n.\r\n")
			check(c.reply().startswith("250"), "taken")
			c.command("MAIL FROM:<a@partner.example>", 530)
			c.mail("a@watch.example", "w@c.example", f"Subject: watched {number}\r\n\r\nbody\r\n")
		c.command("QUIT", 221)


def check_watched(head, field):
	"""That field tells of this message and not of the one before."""
	is_watched = "Subject: watched" in head
	check(("policy=report" in field) == is_watched and ("policy=pass" in field) != is_watched,
	      "nothing of the one before", field, head)


def send_done_at_mail(mta, count):
	"""L5: a message that is accepted at MAIL speaks for itself alone."""
	with session(mta) as c:
		for _ in range(count):
			c.mail("a@b.example", "x@c.example", "Subject: s\r\n\r\nbody\r\n")
			c.command("MAIL FROM:<a@partner.example>", 530)
			c.command("MAIL FROM:<a@b.example>", 250)
			c.command("RSET", 250)
			c.command("MAIL FROM:<a@partner.example>", 530)


def send_one_to_keep(mta):
	with session(mta) as c:
		c.mail("a@kept.example", "x@c.example", "Subject: kept\r\n\r\nbody\r\n")
		c.mail("a@b.example", "x@c.example", "Subject: free\r\n\r\nbody\r\n")
		c.command("QUIT", 221)


def check_nobody_passes_without(mta):
	"""K1: the filter is gone. The MTA may say so as early as it likes."""
	c = Client(mta.ip, mta.port)
	said = [c.banner, c.command("EHLO client.test"), c.command("MAIL FROM:<a@partner.example>")]
	check(any(s.startswith("4") for s in said) and not said[-1].startswith("2"), "told to come again", said)
	c.close()

"""Bad input: the server answers or closes, stays up, keeps its memory, and harms nobody else."""
import os
import random
import resource
import select
import socket
import ssl
import time

from client import Client
from fakehop import FakeHop
from place import check, status_kib, test, wait_for
from postern import Postern


def _postern(place, **options):
	hop = FakeHop(place.ip)
	options.setdefault("session", {})
	return Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}, **options).start(), hop


def _rss_kib(postern):
	return sum(status_kib(pid, "VmRSS") for pid in postern.pids())


def _is_well(postern, hop):
	"""A proper session works, and no worker died."""
	seen = len(hop.messages)
	postern.send(tls=True)
	wait_for(lambda: len(hop.messages) > seen, lambda: "mail still goes through: " + postern.log()[-1500:])
	check("worker-exit" not in postern.log(), "no worker died", postern.log()[-3000:])


def _feed(place, postern, data, seconds=10):
	"""Send all of it, read all that comes; what came. Ends when the server closes or is silent."""
	s = socket.create_connection((place.ip, postern.port))
	s.setblocking(False)
	heard, end = b"", time.monotonic() + seconds
	while time.monotonic() < end:
		readable, writable, _ = select.select([s], [s] if data else [], [], 0.5)
		if not readable and not writable:
			break
		try:
			if readable:
				more = s.recv(65536)
				if not more:
					break
				heard = (heard + more)[-20000:]
			if writable:
				data = data[s.send(data[:65536]):]
		except (ConnectionError, BlockingIOError):
			break
	s.close()
	return heard


def _read_to_the_end(s):
	"""Until the server closes; a reset is a way to close."""
	try:
		while s.recv(65536):
			pass
	except ConnectionError:
		pass


@test(weight=10)
def ten_thousand_lines_of_garbage(place):
	postern, hop = _postern(place)
	rng = random.Random(42)
	verbs = [b"EHLO", b"MAIL FROM:", b"RCPT TO:", b"DATA", b"BDAT", b"STARTTLS", b"RSET", b"VRFY", b"NOOP", b"HELO",
		 b"QUIT", b"AUTH", b"HELP"]
	sent = 0
	while sent < 10000:
		lines = []
		for _ in range(40):
			junk = bytes(rng.randrange(256) for _ in range(rng.randrange(120)))
			kind = rng.randrange(4)
			if kind == 0:
				lines.append(junk)
			elif kind == 1:
				lines.append(rng.choice(verbs) + b" " + junk)
			elif kind == 2:
				lines.append(rng.choice(verbs) + b"<" + junk.replace(b"\n", b"") + b">")
			else:
				word = rng.choice(verbs)
				lines.append(bytes(c ^ 0x20 if rng.random() < .3 else c for c in word) +
					     rng.choice([b" 99999999999999999999", b" \0", b" <>", b" <a@b", b" :::", b" -1 LAST", b""]))
		sent += len(lines)
		_feed(place, postern, rng.choice([b"", b"EHLO x\r\n"]) + rng.choice([b"\r\n", b"\n"]).join(lines) + b"\r\n", 3)
	_is_well(postern, hop)
	postern.stop()


@test(weight=5)
def over_long_everything(place):
	postern, hop = _postern(place)
	hello = b"EHLO x\r\n"
	mail = hello + b"MAIL FROM:<f@client.test>\r\nRCPT TO:<to@hop.test>\r\nDATA\r\n"
	for what, data, answers in (
			("a command of 1 MB", b"A" * 1000000 + b"\r\n", (b"500", b"")),
			("a command of 1 MB without end", hello + b"NOOP " + b"A" * 1000000, (b"500", b"")),
			("EHLO of 3,000", b"EHLO " + b"x" * 3000 + b"\r\n", (b"500", b"501")),
			("a local part of 1,000", hello + b"MAIL FROM:<" + b"a" * 1000 + b"@x.test>\r\n", (b"50", b"55")),
			("a domain of 1,500", hello + b"MAIL FROM:<a@" + b"b" * 1500 + b".test>\r\n", (b"50", b"55")),
			("500 parameters", hello + b"MAIL FROM:<f@client.test>" + b" A=B" * 400 + b"\r\n", (b"50", b"55")),
			("a line of 2 MB in a message", mail + b"x" * 2000000 + b"\r\n.\r\n", (b"5",)),
			("NULs as commands", b"\0" * 10000, (b"",)),
			("NULs in a message", mail + b"Subject: \0\r\n\r\n" + b"\0" * 100000 + b"\r\n.\r\n", (b"250", b"5")),
			("100,000 header lines", mail + b"X: y\r\n" * 100000 + b"\r\n.\r\n", (b"250", b"5")),
			("200 Received lines", mail + b"Received: by x\r\n" * 200 + b"\r\n\r\n.\r\n", (b"554", b"5")),
			("3,000 recipients", hello + b"MAIL FROM:<f@client.test>\r\n" +
			 b"".join(b"RCPT TO:<r%d@hop.test>\r\n" % i for i in range(3000)) + b"RSET\r\n", (b"452",)),
			("a chunk of 20 digits", hello + b"MAIL FROM:<f@client.test>\r\nRCPT TO:<to@hop.test>\r\n"
			 b"BDAT 99999999999999999999 LAST\r\n", (b"50", b"55")),
			("a size of 20 digits", hello + b"MAIL FROM:<f@client.test> SIZE=99999999999999999999\r\n", (b"5",))):
		said = _feed(place, postern, data, 6)
		check(any(b"\r\n" + a in said or a == b"" for a in answers), f"{what}: one of {answers}", said[-600:])
	_is_well(postern, hop)
	postern.stop()


@test(weight=4)
def half_closed_sockets(place):
	postern, hop = _postern(place)
	for data in (b"", b"EHLO x\r\n", b"EHLO x\r\nMAIL FROM:<f@client.test>\r\nRCPT TO:<to@hop.test>\r\nDATA\r\n",
		     b"EHLO x\r\nMAIL FROM:<f@client.test>\r\nRCPT TO:<to@hop.test>\r\nDATA\r\nSubject: half\r\n",
		     b"EHLO x\r\nMAIL FROM:<f@client.test>\r\nRCPT TO:<to@hop.test>\r\nBDAT 1000\r\nabc", b"EHLO x\r\nSTARTTLS\r\n"):
		for _ in range(10):
			s = socket.create_connection((place.ip, postern.port), timeout=20)
			s.sendall(data)
			s.shutdown(socket.SHUT_WR)
			_read_to_the_end(s)
			s.close()
	check(not hop.messages, "no half message went on")
	# A client that sends everything, QUIT too, and closes its side at once gets its answers.
	with Client(place.ip, postern.port, banner=False) as c:
		c.send("EHLO x\r\nMAIL FROM:<f@client.test>\r\nRCPT TO:<to@hop.test>\r\nNOOP\r\nQUIT\r\n")
		c.raw.shutdown(socket.SHUT_WR)
		replies = [c.reply()[:3] for _ in range(6)]
		check(replies == ["220", "250", "250", "250", "250", "221"], "all answers", replies)
	_is_well(postern, hop)
	postern.stop()


@test(weight=12)
def a_client_that_reads_nothing(place):
	"""It sends for ever and never takes an answer: back-pressure stops it, memory stays."""
	postern, hop = _postern(place, build="optimised")
	_is_well(postern, hop)
	before = _rss_kib(postern)
	clients = []
	for _ in range(50):
		s = socket.socket()
		s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
		s.connect((place.ip, postern.port))
		s.setblocking(False)
		clients.append(s)
	end = time.monotonic() + 5
	sent = 0
	while time.monotonic() < end:
		_, writable, _ = select.select([], clients, [], 0.2)
		for s in writable:
			try:
				sent += s.send(b"NOOP\r\n" * 1000)
			except BlockingIOError:
				pass
			except ConnectionError:
				clients.remove(s)
	grown = _rss_kib(postern) - before
	print(f"NOTE 50 clients sent {sent >> 20} MiB and read nothing; memory grew by {grown} KiB")
	check(grown < 50 * 300, f"memory grew by {grown} KiB for 50 clients")
	_is_well(postern, hop)
	for s in clients:
		s.close()
	postern.stop()


@test(weight=15, alone=True)
def five_thousand_connections_that_never_speak(place):
	resource.setrlimit(resource.RLIMIT_NOFILE, (min(20000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
						    resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
	postern, hop = _postern(place, build="optimised", session={"command-timeout": "20s"})
	_is_well(postern, hop)
	before = _rss_kib(postern)
	silent = []
	for _ in range(5000):
		s = socket.socket()
		s.setblocking(False)
		s.connect_ex((place.ip, postern.port))
		silent.append(s)
		if len(silent) % 200 == 0:
			time.sleep(0.02)
	time.sleep(1)
	grown = _rss_kib(postern) - before
	print(f"NOTE 5,000 silent connections: {grown} KiB, {grown / 5000:.1f} KiB each")
	check(grown < 5000 * 16, f"{grown} KiB")
	_is_well(postern, hop)

	def closed():
		readable, _, _ = select_many(silent)
		return sum(readable) >= 5000
	wait_for(closed, "all are sent away after their time", 60, 0.5)
	for s in silent:
		s.close()
	_is_well(postern, hop)
	wait_for(lambda: _rss_kib(postern) - before < 5000 * 6, lambda: f"memory comes back: {_rss_kib(postern) - before} KiB", 20)
	postern.stop()


def select_many(sockets):
	"""For each socket: did the server close it?"""
	poll = select.poll()
	by_fd = {s.fileno(): i for i, s in enumerate(sockets)}
	for fd in by_fd:
		poll.register(fd, select.POLLIN)
	closed = [False] * len(sockets)
	for fd, _ in poll.poll(0):
		s = sockets[by_fd[fd]]
		try:
			while True:
				if not s.recv(4096):
					closed[by_fd[fd]] = True
					break
		except BlockingIOError:
			pass
		except ConnectionError:
			closed[by_fd[fd]] = True
	return closed, None, None


@test
def one_client_network_gets_its_share_only(place):
	postern, hop = _postern(place, workers=1, session={"connections-per-client": 10})
	held = [Client(place.ip, postern.port) for _ in range(10)]
	with Client(place.ip, postern.port) as c:
		check(c.banner.startswith("421"), "the eleventh", c.banner)
	held.pop().close()
	wait_for(lambda: Client(place.ip, postern.port).banner.startswith("220"), "room again", 5)
	for c in held:
		c.close()
	postern.stop()


@test
def too_many_errors_end_the_session(place):
	postern, hop = _postern(place, session={"errors-soft": 3, "errors-hard": 6})
	with postern.client() as c:
		replies = [c.command("WHAT")[:3] for _ in range(6)]
		check(replies[0] == "500" and "421" in (replies[-1], c.reply()[:3]), "421 in the end", replies)
	_is_well(postern, hop)
	postern.stop()


def _client_hello(server_name="mx.postern.test", maximum=ssl.TLSVersion.TLSv1_3):
	"""The bytes of a whole client side: ClientHello, and what follows after the server's answer."""
	context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
	context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
	context.maximum_version = maximum
	incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
	return context.wrap_bio(incoming, outgoing, server_hostname=server_name), incoming, outgoing


def _handshake_cut(place, postern, cut, maximum):
	"""Send only `cut` bytes of our side; True when the handshake was over before that."""
	tls, incoming, outgoing = _client_hello(maximum=maximum)
	with Client(place.ip, postern.port) as c:
		c.command("EHLO c.test", 250)
		c.command("STARTTLS", 220)
		left = cut
		while True:
			try:
				tls.do_handshake()
				is_over = True
			except ssl.SSLWantReadError:
				is_over = False
			data = outgoing.read()
			c.send(data[:left])
			if len(data) > left:
				return False
			left -= len(data)
			if is_over:
				return True
			more = c.raw.recv(65536)
			if not more:
				return True
			incoming.write(more)


@test(weight=20)
def handshakes_cut_at_every_byte(place):
	postern, hop = _postern(place)
	for maximum in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
		cut = 0
		while not _handshake_cut(place, postern, cut, maximum):
			cut += 1 if place.scale >= 1 else 7
		check(cut > 250, f"cut {cut} times")
	_is_well(postern, hop)
	postern.stop()


@test(weight=8)
def handshakes_with_bytes_changed(place):
	postern, hop = _postern(place)
	rng = random.Random(7)
	tls, _, outgoing = _client_hello()
	try:
		tls.do_handshake()
	except ssl.SSLWantReadError:
		pass
	hello = outgoing.read()
	for _ in range(300):
		broken = bytearray(hello)
		for _ in range(rng.randrange(1, 4)):
			broken[rng.randrange(len(broken))] = rng.randrange(256)
		with Client(place.ip, postern.port) as c:
			c.command("EHLO c.test", 250)
			c.command("STARTTLS", 220)
			c.send(bytes(broken))
			try:
				c.raw.shutdown(socket.SHUT_WR)
			except OSError:
				continue  # closed already
			_read_to_the_end(c.raw)
	_is_well(postern, hop)
	postern.stop()


@test(weight=6)
def a_slow_client_harms_nobody(place):
	"""One byte at a time, in commands and in a message, while others work."""
	postern, hop = _postern(place, workers=1)
	slow = Client(place.ip, postern.port)
	script = b"EHLO slow.test\r\nMAIL FROM:<f@client.test>\r\nRCPT TO:<to@hop.test>\r\n"
	for i in range(len(script)):
		slow.send(script[i:i + 1])
		if i % 10 == 0:
			_is_well(postern, hop)
	for _ in range(3):
		check(slow.reply().startswith("250"), "answered")
	slow.command("DATA", 354)
	for byte in b"Subject: slow\r\n\r\nx\r\n.\r\n":
		slow.send(bytes([byte]))
	check(slow.reply().startswith("250"), "taken")
	slow.close()
	postern.stop()


@test(weight=10)
def full_disk_takes_nothing_and_loses_nothing(place):
	"""Below minimum-free: 452, and everything goes on once there is room."""
	if os.geteuid() != 0:
		print("NOTE needs root for a small file system: left out")
		return
	small = place.path("small")
	os.makedirs(small)
	place.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs", small])
	place.cleanups.append(lambda: place.run(["umount", small], status=None))
	hop = FakeHop(place.ip, replies={"RCPT": "450 4.2.1 later"})
	postern = Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}, workers=1,
			  spool={"minimum-free": "1MiB", "segment-size": "1MiB"})
	postern.configure(postern.text().replace(postern.folder + "/spool", small + "/spool"))
	postern.start()
	accepted, refused = set(), 0
	body = "Subject: big\r\n\r\n" + ("x" * 70 + "\r\n") * 10000
	for _ in range(60):
		with postern.client() as c:
			reply = c.command("MAIL FROM:<f@client.test>")
			if not reply.startswith("250"):
				check(reply.startswith("452"), "452", reply)
				refused += 1
				break
			c.command("RCPT TO:<to@hop.test>", 250)
			reply = c.command("DATA")
			if reply.startswith("354"):
				c.send(body)
				reply = c.command(".")
			if reply.startswith("250"):
				accepted.add(reply.split("queued as ")[1])
			else:
				check(reply.startswith(("452", "451")), "452 or 451", reply)
				refused += 1
				break
	check(accepted and refused, f"{len(accepted)} accepted, {refused} refused")
	check(postern.process.poll() is None, "it stays up")
	hop.replies = {}
	postern.control("flush")
	wait_for(lambda: len(hop.messages) == len(accepted), lambda: f"{len(hop.messages)} of {len(accepted)}", 30)
	check(all(m.data.count(b"x" * 70) == 10000 for m in hop.messages), "every message whole")
	wait_for(lambda: not postern.queue(), "an empty queue")
	def takes_again():
		with postern.client() as c:
			return c.command("MAIL FROM:<f@client.test>").startswith("250")
	wait_for(takes_again, "it accepts again", 15, 0.5)
	postern.stop()

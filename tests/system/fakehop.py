"""fakehop: a next hop whose behaviour a test scripts: replies, TLS, certificates, silences."""
import hashlib
import re
import socket
import ssl
import threading


class Message:
	def __init__(self, sender, recipients, data, tls, sni, mail_line, rcpt_lines):
		self.sender, self.recipients, self.data = sender, recipients, data
		self.tls, self.sni = tls, sni           # "TLSv1.3" or None; the name asked for
		self.mail_line, self.rcpt_lines = mail_line, rcpt_lines

	@property
	def body(self):
		return self.data.split(b"\r\n\r\n", 1)[1] if b"\r\n\r\n" in self.data else b""

	@property
	def body_sha(self):
		return hashlib.sha256(self.body).hexdigest()

	def header(self, name):
		head = self.data.split(b"\r\n\r\n", 1)[0].decode(errors="replace")
		found = re.search(rf"(?im)^{re.escape(name)}:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", head)
		return found.group(1).strip() if found else None


class FakeHop:
	"""replies: {"MAIL": "451 4.3.0 no", "DOT": ...}; a value may be a list (the last one stays) or
	a function of the line. "CLOSE" closes, "SILENCE" says nothing more. LMTP with lmtp=True."""

	def __init__(self, ip, certificate=None, minimum=ssl.TLSVersion.TLSv1_2,
		     maximum=ssl.TLSVersion.TLSv1_3, offers=("PIPELINING", "8BITMIME", "SMTPUTF8"),
		     replies=None, port=0, lmtp=False, client_ca=None):
		self.ip, self.offers, self.lmtp = ip, list(offers), lmtp
		self.replies = dict(replies or {})
		self.messages, self.lines, self.connections, self.handshakes = [], [], 0, 0
		self.tls_errors = []
		self.lock = threading.Lock()
		self.open = set()
		self.context = None
		if certificate:
			self.use_certificate(certificate, minimum, maximum, client_ca)
		self.listener = socket.socket()
		self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		self.listener.bind((ip, port))
		self.listener.listen(512)
		self.port = self.listener.getsockname()[1]
		threading.Thread(target=self._accept, daemon=True).start()

	def use_certificate(self, certificate, minimum=ssl.TLSVersion.TLSv1_2,
			    maximum=ssl.TLSVersion.TLSv1_3, client_ca=None):
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		context.minimum_version, context.maximum_version = minimum, maximum
		context.load_cert_chain(*certificate)
		if client_ca:
			context.load_verify_locations(client_ca)
			context.verify_mode = ssl.CERT_OPTIONAL

		def remember(tls_socket, name, _context):
			tls_socket.sni_seen = name
		context.sni_callback = remember
		self.context = context

	def close(self):
		self.listener.close()
		for s in list(self.open):
			try:
				s.shutdown(socket.SHUT_RDWR)
			except OSError:
				pass

	def _accept(self):
		while True:
			try:
				connection, _ = self.listener.accept()
			except OSError:
				return
			self.connections += 1
			threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

	def _reply(self, what, line, default):
		reply = self.replies.get(what, default)
		if isinstance(reply, list):
			reply = reply.pop(0) if len(reply) > 1 else reply[0]
		return reply(line) if callable(reply) else reply

	def _serve(self, connection):
		session = _Session(self, connection)
		self.open.add(connection)
		try:
			session.run()
		except ssl.SSLError as e:
			self.tls_errors.append(str(e))
		except (OSError, _Over, ValueError):
			pass
		finally:
			self.open.discard(connection)
			try:
				session.socket.close()
			except OSError:
				pass


class _Over(Exception):
	pass


class _Session:
	def __init__(self, hop, connection):
		self.hop, self.socket, self.tls, self.sni = hop, connection, None, None
		self.client_subject = None
		connection.settimeout(60)
		self.file = connection.makefile("rb")
		self.forget()

	def forget(self):
		self.sender, self.recipients, self.mail_line, self.rcpt_lines = None, [], "", []
		self.chunks = b""

	def say(self, what, line, default):
		return self.send_reply(self.hop._reply(what, line, default))

	def send_reply(self, reply):
		if reply == "CLOSE":
			raise _Over
		if reply == "SILENCE":
			self.file.read()
			raise _Over
		self.socket.sendall(reply.encode() + b"\r\n")
		return reply.startswith(("2", "3"))

	def run(self):
		self.say("BANNER", "", "220 fakehop.test ESMTP")
		while True:
			raw = self.file.readline()
			if not raw:
				return
			line = raw.rstrip(b"\r\n").decode(errors="replace")
			with self.hop.lock:
				self.hop.lines.append(line)
			verb = line.split(" ")[0].upper()
			handler = getattr(self, "do_" + verb.lower(), None)
			if handler is None:
				self.say(verb, line, "500 5.5.1 what?")
			elif handler(line) == "over":
				return

	def do_ehlo(self, line):
		offers = list(self.hop.offers)
		if self.hop.context and not self.tls:
			offers.append("STARTTLS")
		lines = ["fakehop.test"] + offers
		self.forget()
		self.say("EHLO", line, "\r\n".join(
			f"250{'-' if i < len(lines) - 1 else ' '}{word}" for i, word in enumerate(lines)))

	do_lhlo = do_ehlo

	def do_helo(self, line):
		self.say("HELO", line, "250 fakehop.test")

	def do_starttls(self, line):
		if not self.say("STARTTLS", line, "220 2.0.0 go"):
			return
		self.socket = self.hop.context.wrap_socket(self.socket, server_side=True)
		self.hop.handshakes += 1
		self.hop.open.add(self.socket)
		self.file = self.socket.makefile("rb")
		self.tls = self.socket.version()
		self.sni = getattr(self.socket, "sni_seen", None)
		self.client_subject = self.socket.getpeercert() if self.hop.context.verify_mode else None

	def do_mail(self, line):
		self.forget()
		self.sender, self.mail_line = re.search(r"<(.*)>", line).group(1), line
		self.say("MAIL", line, "250 2.1.0 ok")

	def do_rcpt(self, line):
		if self.say("RCPT", line, "250 2.1.5 ok"):
			self.recipients.append(re.search(r"<(.*)>", line).group(1))
			self.rcpt_lines.append(line)

	def do_data(self, line):
		if not self.recipients:
			self.say("DATA", line, "554 5.5.1 no recipients")
			return
		if not self.say("DATA", line, "354 go"):
			return
		data = []
		while True:
			text = self.file.readline()
			if not text:
				raise _Over
			if text == b".\r\n":
				break
			data.append(text[1:] if text.startswith(b".") else text)
		self.take(b"".join(data))

	def do_bdat(self, line):
		words = line.split()
		self.chunks += self.file.read(int(words[1]))
		if words[-1].upper() == "LAST":
			self.take(self.chunks)
		else:
			self.say("BDAT", line, "250 2.0.0 chunk")

	def take(self, data):
		for _ in self.recipients if self.hop.lmtp else [0]:
			message = Message(self.sender, list(self.recipients), data, self.tls, self.sni,
					  self.mail_line, list(self.rcpt_lines))
			message.client_certificate = self.client_subject
			is_new = not self.hop.messages or self.hop.messages[-1].data is not data
			reply = self.hop._reply("DOT", "", "250 2.0.0 taken")
			if reply.startswith("2") and is_new:
				with self.hop.lock:
					self.hop.messages.append(message)
			self.send_reply(reply)
		self.forget()

	def do_rset(self, line):
		self.forget()
		self.say("RSET", line, "250 2.0.0 ok")

	def do_noop(self, line):
		self.say("NOOP", line, "250 2.0.0 ok")

	def do_quit(self, line):
		self.say("QUIT", line, "221 2.0.0 bye")
		return "over"

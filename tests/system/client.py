"""client: a plain SMTP client for tests that want to see and send every byte."""
import socket
import ssl

from place import check


class Client:
	def __init__(self, ip, port, timeout=30, banner=True, source=None):
		self.raw = socket.create_connection((ip, port), timeout=timeout,
						    source_address=(source, 0) if source else None)
		self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		self.socket, self.buffer = self.raw, b""
		self.banner = self.reply() if banner else None

	def send(self, data):
		self.socket.sendall(data.encode() if isinstance(data, str) else data)

	def line(self):
		"""A line without its end; empty at the end of the connection."""
		while b"\n" not in self.buffer:
			try:
				more = self.socket.recv(65536)
			except ConnectionResetError:
				more = b""
			if not more:
				rest, self.buffer = self.buffer, b""
				return rest.decode(errors="replace")
			self.buffer += more
		line, self.buffer = self.buffer.split(b"\n", 1)
		return line.rstrip(b"\r").decode(errors="replace")

	def reply(self):
		"""A whole reply, lines joined by newlines; empty when the server closed."""
		lines = []
		while True:
			line = self.line()
			lines.append(line)
			if len(line) < 4 or line[3] != "-":
				return "\n".join(lines)

	def command(self, line, expected=None):
		self.send(line + "\r\n")
		reply = self.reply()
		if expected is not None:
			check(reply.startswith(str(expected)), f"{line[:80]}: wanted {expected}", reply)
		return reply

	def starttls(self, ca=None, name=None, minimum=None, maximum=None, certificate=None):
		self.command("STARTTLS", 220)
		check(not self.buffer, "the server spoke before the handshake", self.buffer)
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = bool(ca and name)
		context.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
		if ca:
			context.load_verify_locations(ca)
		if certificate:
			context.load_cert_chain(*certificate)
		if minimum:
			context.minimum_version = minimum
		if maximum:
			context.maximum_version = maximum
		self.socket = context.wrap_socket(self.raw, server_hostname=name)
		return self

	def mail(self, sender, recipients, data, expected=250):
		self.command(f"MAIL FROM:<{sender}>", 250)
		for recipient in recipients if isinstance(recipients, (list, tuple)) else [recipients]:
			self.command(f"RCPT TO:<{recipient}>", 250)
		self.command("DATA", 354)
		if isinstance(data, str):
			data = data.encode()
		self.send(data.replace(b"\r\n.", b"\r\n..") + (b"" if data.endswith(b"\r\n") else b"\r\n"))
		return self.command(".", expected)

	def close(self):
		try:
			self.socket.close()
			self.raw.close()
		except OSError:
			pass

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()

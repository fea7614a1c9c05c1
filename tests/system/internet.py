"""internet: a small Internet of the test's own: root, top-level and other zones, signed or broken, with real
ports 53, 443 and 25, in a private network. Programs see nothing but an ordinary machine: the roots of DNS stand
at their real addresses, and the machine's trust anchor and authorities are the test's."""
import glob
import hashlib
import os
import re
import socket
import ssl
import threading
import time

from place import check, wait_for
from privatenet import MS_BIND, NameServer, _call, enter

ROOT_SERVERS = ["198.41.0.4", "199.9.14.201", "192.33.4.12", "199.7.91.13", "192.203.230.10", "192.5.5.241",
		"192.112.36.4", "198.97.190.53", "192.36.148.17", "192.58.128.30", "193.0.14.129", "199.7.83.42",
		"202.12.27.33"]
TOP_SERVER, ZONE_SERVER, BROKEN_SERVER, SILENT_SERVER = "11.1.0.1", "11.2.0.1", "11.3.0.1", "11.3.0.2"
WEB = "11.4.0.1"
ROOT_KEY, ROOTS = "/usr/share/dns/root.key", "/etc/ssl/certs/ca-certificates.crt"


def host_ip(number):
	"""Where the number-th mail host stands."""
	return f"11.5.{number // 250}.{1 + number % 250}"


def tlsa(certificate, words="3 1 1", place=None):
	"""The RDATA of a TLSA record for the first certificate of the file, in presentation form."""
	usage, selector, matching = words.split()
	with open(certificate) as f:
		pem = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", f.read(), re.S).group(0)
	data = ssl.PEM_cert_to_DER_cert(pem)
	if selector == "1":
		key = place.run(["openssl", "x509", "-noout", "-pubkey"], input=pem)
		body = place.run(["openssl", "pkey", "-pubin", "-pubout"], input=key)
		data = ssl.PEM_cert_to_DER_cert(body.replace("PUBLIC KEY", "CERTIFICATE"))
	if matching != "0":
		data = hashlib.new({"1": "sha256", "2": "sha512"}[matching], data).digest()
	return f"{words} {data.hex()}"


class Zone:
	def __init__(self, name, records, state):
		self.name, self.records, self.state = name, list(records), state


class Internet:
	"""net.zone(...) for each zone, net.web[...] for policies, then net.open()."""

	def __init__(self, place):
		self.place, self.folder, self.zones = place, place.path("internet"), {}
		self.web = {}           # host name -> (certificate, function of a _Request)
		self.asked_web = []
		os.makedirs(self.folder, exist_ok=True)
		enter(place)
		# Every address is ours: nothing leaves this machine, whatever is dialled.
		place.run(["ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo"])
		self.ca = place.ca()
		self.zone("", [])
		self.zone("dnssec-failed.org", ["@ A 11.5.255.1"], "expired")  # as in the real one: must fail

	def zone(self, name, records, state="signed"):
		"""records: lines as in a zone file, relative names allowed. state: signed, unsigned (no DS above),
		expired (signatures are), ("tampered", old, new): changed after signing, broken (its server says
		SERVFAIL), silent (its server says nothing)."""
		self.zones[name] = Zone(name, records, state)
		top = name.rsplit(".", 1)[-1]
		if top not in self.zones:
			self.zones[top] = Zone(top, [], "signed")

	def mx_zone(self, name, hosts, more=(), state="signed"):
		"""hosts: [(preference, label, ip)]"""
		lines = [f"@ MX {preference} {label}" for preference, label, _ in hosts]
		lines += [f"{label} A {ip}" for _, label, ip in hosts if ip]
		self.zone(name, lines + list(more), state)

	def policy(self, domain, text, certificate=None, serve=None, record="v=STSv1; id=1;"):
		"""Records for the zone of a domain with an MTA-STS policy; its file is served from now on."""
		host = "mta-sts." + domain
		certificate = certificate or self.place.certificate("web-" + domain, host)
		self.web[host] = (certificate, serve or (lambda r: r.answer(text)))
		return [f'_mta-sts TXT "{record}"', f"mta-sts A {WEB}"]

	# ---- zones -----------------------------------------------------------------------------
	def _server_of(self, zone):
		if zone.state in ("broken", "silent"):
			return BROKEN_SERVER if zone.state == "broken" else SILENT_SERVER
		return TOP_SERVER if zone.name and "." not in zone.name else ZONE_SERVER

	def _parent(self, name):
		labels = name.split(".")
		for i in range(1, len(labels)):
			if ".".join(labels[i:]) in self.zones:
				return ".".join(labels[i:])
		return ""

	def _write(self, zone, children):
		path = f"{self.folder}/{zone.name or 'root'}.zone"
		server = ROOT_SERVERS[0] if not zone.name else self._server_of(zone)
		lines = [f"$ORIGIN {zone.name}.", "$TTL 3600",
			 "@ SOA ns hostmaster 1 3600 900 86400 300", "@ NS ns", f"ns A {server}"] + zone.records
		for child in children:
			lines.append(f"{child.name}. NS ns.{child.name}.")
			lines.append(f"ns.{child.name}. A {self._server_of(child)}")
			if child.state not in ("unsigned", "broken", "silent"):
				with open(glob.glob(f"{self.folder}/K{child.name}.+*.ds")[0]) as f:
					lines.append(f.read().strip())
		with open(path, "w") as f:
			f.write("\n".join(lines) + "\n")
		if zone.state == "unsigned":
			return path
		key = self.place.run(["ldns-keygen", "-k", "-a", "ECDSAP256SHA256", (zone.name or "") + "."],
				     cwd=self.folder).strip().splitlines()[-1]
		times = ["-i", "20200101000000", "-e", "20200201000000"] if zone.state == "expired" else []
		self.place.run(["ldns-signzone", *times, "-f", path + ".signed", path, key], cwd=self.folder)
		if isinstance(zone.state, tuple):
			_, old, new = zone.state
			with open(path + ".signed") as f:
				text = f.read()
			check(old in text, f"{old!r} is in the signed zone {zone.name}", text[:2000])
			with open(path + ".signed", "w") as f:
				f.write(text.replace(old, new))
		return path + ".signed"

	def _build(self):
		files = {}
		for name in sorted(self.zones, key=lambda n: -n.count(".") if n else 1):
			zone = self.zones[name]
			if zone.state in ("broken", "silent"):
				continue
			children = [z for n, z in self.zones.items() if n and self._parent(n) == name]
			files[name] = self._write(zone, children)
		return files

	def _nsd(self, name, addresses, zones):
		folder = f"{self.folder}/{name}"
		os.makedirs(folder)
		lines = ["server:", *(f"  ip-address: {a}@53" for a in addresses), "  username: \"\"", "  chroot: \"\"",
			 "  server-count: 1", "  do-ip6: no", "  rrl-ratelimit: 0", "  rrl-whitelist-ratelimit: 0",
			 f"  zonesdir: {folder}", "  database: \"\"", f"  pidfile: {folder}/pid",
			 f"  xfrdfile: {folder}/xfrd", f"  zonelistfile: {folder}/list", "remote-control:",
			 "  control-enable: no"]
		for zone, path in zones.items():
			lines += ["zone:", f"  name: \"{zone}.\"", f"  zonefile: {path}"]
		config = self.place.write(f"internet/{name}/nsd.conf", "\n".join(lines) + "\n")
		return self.place.start("nsd-" + name, ["nsd", "-d", "-c", config])

	def _wait_for_dns(self, address):
		query = b"\x12\x34\0\0\0\1\0\0\0\0\0\0\0\0\2\0\1"
		def answers():
			with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
				s.settimeout(0.2)
				try:
					s.sendto(query, (address, 53))
					return s.recv(4096)[:2] == query[:2]
				except OSError:
					return False
		wait_for(answers, f"a name server answers at {address}")

	def open(self):
		files = self._build()
		self.servers = [self._nsd("roots", ROOT_SERVERS, {"": files.pop("")}),
			self._nsd("top", [TOP_SERVER], {n: p for n, p in files.items() if "." not in n}),
			self._nsd("zones", [ZONE_SERVER], {n: p for n, p in files.items() if "." in n})]
		self.broken = NameServer({}, BROKEN_SERVER, default=2)
		self.silent = NameServer({}, SILENT_SERVER, default="SILENCE")
		with open(glob.glob(f"{self.folder}/K.+*.key")[0]) as f:
			self._mount(self.place.write("root.key", f.read()), ROOT_KEY)
		self._mount(self.ca, ROOTS)
		threading.Thread(target=self._serve_web, daemon=True).start()
		for address in (ROOT_SERVERS[0], TOP_SERVER, ZONE_SERVER):
			self._wait_for_dns(address)
		return self

	def _mount(self, ours, theirs):
		theirs = os.path.realpath(theirs)
		check(os.path.exists(theirs), f"{theirs} is missing: contrib/packages --install build test")
		_call("mount", ours.encode(), theirs.encode(), None, MS_BIND, None)

	# ---- the web -----------------------------------------------------------------------------
	def _context(self, certificate):
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		context.load_cert_chain(*certificate)
		return context

	def _serve_web(self):
		contexts = {}
		def choose(tls_socket, name, _context):
			tls_socket.name_seen = name
			if name in self.web:
				certificate = self.web[name][0]
				tls_socket.context = contexts.setdefault(certificate, self._context(certificate))
		first = self._context(self.place.certificate("web-unknown", "unknown.invalid"))
		first.sni_callback = choose
		listener = socket.create_server((WEB, 443), backlog=200)
		while True:
			connection, _ = listener.accept()
			threading.Thread(target=self._serve_one, args=(first, connection), daemon=True).start()

	def _serve_one(self, context, connection):
		try:
			connection.settimeout(60)
			with context.wrap_socket(connection, server_side=True) as s:
				name = getattr(s, "name_seen", None)
				head = b""
				while b"\r\n\r\n" not in head and len(head) < 65536:
					more = s.recv(65536)
					if not more:
						return
					head += more
				self.asked_web.append((name, head.split(b"\r\n")[0].decode()))
				if name in self.web:
					self.web[name][1](_Request(s))
		except OSError:
			pass


class _Request:
	def __init__(self, connection):
		self.socket = connection

	def raw(self, text):
		self.socket.sendall(text if isinstance(text, bytes) else text.encode())

	def answer(self, body, status="200 OK", kind="text/plain", more=""):
		self.raw(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
			 f"Connection: close\r\n{more}\r\n{body}")

	def redirect(self, to):
		self.answer("", "301 Moved", more=f"Location: {to}\r\n")

	def chunked(self, size):
		self.raw("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
		for _ in range(size // 4096):
			self.raw(b"1000\r\n" + b"x" * 4096 + b"\r\n")
		self.raw("0\r\n\r\n")

	def trickle(self, body):
		self.raw(f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n")
		for c in body:
			self.raw(c)
			time.sleep(1)

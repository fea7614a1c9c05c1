"""privatenet: this test's process moves into a network of its own, with a name server of the test's.

What is started afterwards is there too: nothing outside is reached, port 53 is free, and
/etc/resolv.conf is the test's, without any knob in the programs."""
import ctypes
import fcntl
import os
import socket
import struct
import threading

from place import Failure

NEWUSER, NEWNS, NEWNET = 0x10000000, 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *arguments):
	if getattr(_libc, name)(*arguments) != 0:
		raise Failure(f"{name}: {os.strerror(ctypes.get_errno())}")


def _map_ourselves(uid, gid):
	for name, words in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
		with open(f"/proc/self/{name}", "w") as f:
			f.write(words)


def enter(place):
	"""Once, before anything is started."""
	uid, gid = os.geteuid(), os.getegid()
	_call("unshare", NEWNET | NEWNS | (NEWUSER if uid else 0))
	if uid:
		_map_ourselves(uid, gid)
	with socket.socket() as s:
		fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
	_call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
	resolv_conf = place.write("resolv.conf", "nameserver 127.0.0.1\n")
	_call("mount", resolv_conf.encode(), os.path.realpath("/etc/resolv.conf").encode(), None, MS_BIND, None)


# ---- a name server -------------------------------------------------------------------------------

NAME = b"\xc0\x0c"  # points at the question's


def _record(kind, data, ttl):
	return NAME + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def mx(preference, host, ttl=3600):
	labels = b"".join(bytes([len(l)]) + l.encode() for l in host.strip(".").split(".") if l)
	return _record(15, struct.pack(">H", preference) + labels + b"\0", ttl)


def soa(minimum=3600, ttl=3600):
	return _record(6, b"\0\0" + struct.pack(">IIIII", 1, 2, 3, 4, minimum), ttl)


class NameServer:
	"""zones: {name: [records]}, or an error's number (2: failure, 3: no such domain), or "SILENCE",
	or ("TCP", records): cut off over UDP. Other names get `default`: they do not exist."""

	def __init__(self, zones, ip="127.0.0.1", default=3):
		self.zones, self.asked, self.default = dict(zones), [], default
		self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		self.udp.bind((ip, 53))
		self.tcp = socket.create_server((ip, 53))
		for run in (self._serve_udp, self._serve_tcp):
			threading.Thread(target=run, daemon=True).start()

	def _answer(self, query, is_tcp):
		end, labels = 12, []
		while query[end]:
			labels.append(query[end + 1:end + 1 + query[end]].decode("latin-1"))
			end += 1 + query[end]
		name = ".".join(labels)
		self.asked.append(name)
		zone = self.zones.get(name, self.default)
		if zone == "SILENCE":
			return None
		is_cut = isinstance(zone, tuple) and not is_tcp
		records = [] if is_cut else zone[1] if isinstance(zone, tuple) else zone
		code = records if isinstance(records, int) else 0
		answers = records if not code else []
		authority = [] if answers or code == 2 or is_cut else [soa()]
		return (query[:2] + struct.pack(">HHHHH", 0x8180 | (0x0200 if is_cut else 0) | code, 1, len(answers),
						len(authority), 0) +
			query[12:end + 5] + b"".join(answers) + b"".join(authority))

	def _serve_udp(self):
		while True:
			query, peer = self.udp.recvfrom(4096)
			answer = self._answer(query, False)
			if answer:
				self.udp.sendto(answer, peer)

	def _serve_tcp(self):
		while True:
			connection, _ = self.tcp.accept()
			with connection, connection.makefile("rb") as incoming:
				length = incoming.read(2)
				if len(length) == 2:
					answer = self._answer(incoming.read(struct.unpack(">H", length)[0]), True)
					connection.sendall(struct.pack(">H", len(answer)) + answer)

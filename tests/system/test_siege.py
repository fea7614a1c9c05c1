"""Somebody patient and hostile: storms without an error, memory in small legal portions, lost operators."""
import os
import socket
import time

from client import Client
from fakehop import FakeHop
from place import check, status_kib, test, wait_for
from postern import Postern


def _postern(place, **options):
	hop = FakeHop(place.ip)
	return Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}, **options).start(), hop


def _storm(postern, begin, line, count):
	"""The replies to a line said count times behind some others, as far as they came."""
	with Client(postern.ip, postern.port) as c:
		for command in begin:
			c.command(command)
		replies, left = {}, count
		while left:
			some = min(left, 100)
			left -= some
			try:
				c.send(line * some)
			except ConnectionError:
				break
			for _ in range(some):
				reply = c.reply()
				if not reply:
					return replies
				replies[reply[:3]] = replies.get(reply[:3], 0) + 1
		return replies


MAIL = ["EHLO x", "MAIL FROM:<f@client.test>", "RCPT TO:<to@hop.test>"]


@test(weight=15)
def storms_without_an_error_end(place):
	postern, hop = _postern(place, session={"recipients": 100, "errors-soft": 6, "errors-hard": 8})
	for what, begin, line in (
			("empty chunks", MAIL, b"BDAT 0\r\n"),
			("refused recipients", MAIL + ["RCPT TO:<to@hop.test>"] * 99, b"RCPT TO:<one@hop.test>\r\n"),
			("NOOP", MAIL, b"NOOP\r\n"), ("EHLO", [], b"EHLO x\r\n"), ("VRFY", ["EHLO x"], b"VRFY a\r\n"),
			("begin and give up", ["EHLO x"], b"MAIL FROM:<f@client.test>\r\nRSET\r\n")):
		replies = _storm(postern, begin, line, 5000)
		check(replies.get("421") == 1, f"a storm ends: {what}", replies)
	postern.stop()


@test(weight=5)
def operators_who_hang_up_leave_nothing_behind(place):
	postern, hop = _postern(place, workers=1)
	hop.close()
	with postern.client() as c:
		for _ in range(3):
			c.command("MAIL FROM:<f@client.test>", 250)
			for i in range(1000):
				c.send(f"RCPT TO:<{'r' * 50}{i}@hop.test>\r\n")
			for i in range(1000):
				c.reply()
			c.command("DATA", 354)
			c.command("Subject: x\r\n\r\nx\r\n.", 250)
	def ask(how):
		s = socket.socket(socket.AF_UNIX)
		s.connect(postern.folder + "/run/worker-0.sock")
		s.sendall(b"postern1 queue\n")
		how(s)
		return s
	for _ in range(20):
		ask(lambda s: s.recv(1)).close()
	# whoever has closed his side still gets all of the answer
	s = ask(lambda s: s.shutdown(socket.SHUT_WR))
	s.settimeout(20)
	time.sleep(0.5)
	answer = b""
	while True:
		more = s.recv(65536)
		if not more:
			break
		answer += more
	check(answer.endswith(b"ok\n") and len(answer) > 300000, "the whole answer", len(answer), answer[-200:])
	check(len(postern.queue()) == 3, "the queue is told again")
	postern.stop()


@test
def a_first_line_with_a_blank_is_no_part_of_our_received_field(place):
	postern, hop = _postern(place)
	for first in (" for <someone@else.test>; Mon, 1 Jan 2001 00:00:00 +0000", "\tfolded"):
		postern.send(data=f"{first}\r\nSubject: x\r\n\r\nbody\r\n")
	wait_for(lambda: len(hop.messages) == 2, "both arrive")
	for m in hop.messages:
		check("2001" not in m.header("Received") and "folded" not in m.header("Received"), "our own field", m.data)
	postern.stop()


@test
def no_keys_are_logged_or_dumped(place):
	postern, hop = _postern(place)
	postern.stop()
	keys = place.path("keys.log")
	postern.environment["SSLKEYLOGFILE"] = keys
	postern.start()
	postern.send(tls=True)
	check(not os.path.exists(keys), "SSLKEYLOGFILE is not obeyed")
	postern.stop()


@test(weight=6)
def idle_clients_leave_descriptors_to_the_spool_and_the_relay(place):
	hop = FakeHop(place.ip)
	postern = Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}, workers=1,
			  spool={"segment-size": "1MiB"})
	start = place.start
	place.start = lambda name, command, **options: start(
		name, ["sh", "-c", 'ulimit -n 120; exec "$@"', "sh"] + command, **options)
	postern.start()
	c = postern.client()
	idle = [socket.create_connection((place.ip, postern.port)) for _ in range(200)]
	for _ in range(6):
		c.mail("f@client.test", "to@hop.test", b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 9000)
	wait_for(lambda: len(hop.messages) == 6, lambda: f"all go on: {len(hop.messages)}")
	check("trouble" not in postern.log(), "nothing lacks descriptors", postern.log()[-2000:])
	for s in idle:
		s.close()
	postern.stop()

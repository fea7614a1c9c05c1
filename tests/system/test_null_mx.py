"""Senders whose domains say by a null MX (RFC 7505) that they take no mail."""
import os
import time

from client import Client
from fakehop import FakeHop
from place import check, test, wait_for
from postern import Postern
from privatenet import NameServer, enter, mx

ZONES = {
	"null.test": [mx(0, ".")],
	"over-tcp.test": ("TCP", [mx(0, ".")]),
	"mail.test": [mx(10, "mx.mail.test")],
	"mixed.test": [mx(0, "."), mx(10, "mx.mixed.test")],
	"root-at-ten.test": [mx(10, ".")],
	"no-mx.test": [],
	"failing.test": 2,
	"silent.test": "SILENCE",
}


def _postern(place, wanted):
	"""Only 127.0.0.2 may relay: clients at other addresses are strangers."""
	enter(place)
	names = NameServer(ZONES)
	hop = FakeHop(place.ip)
	postern = Postern(place, workers=1, routes={"hop.test": f"smtp {place.ip}:{hop.port}"},
			  session={"refuse-null-mx-senders": wanted})
	postern.configure(postern.text().replace('client "127.0.0.0/8" {', 'client "127.0.0.2/32" {'))
	return postern.start(), names, hop


def _stranger(postern, source=None):
	c = Client(postern.ip, postern.port, source=source)
	c.command("EHLO client.test", 250)
	return c


def _threads(postern):
	return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in postern.pids())


@test(weight=8)
def a_sender_with_a_null_mx_is_refused_and_others_are_not(place):
	postern, names, hop = _postern(place, True)
	with _stranger(postern) as c:
		for domain in ("null.test", "over-tcp.test", "NULL.test"):
			reply = c.command(f"MAIL FROM:<a@{domain}>", 550)
			check(reply.startswith("550 5.7.27 "), "the reason", reply)
		check(names.asked == ["null.test", "over-tcp.test", "over-tcp.test"],
		      "asked once, over TCP where cut", names.asked)
		for sender in ("a@mail.test", "a@mixed.test", "a@root-at-ten.test", "a@no-mx.test", "a@unknown.test",
			       "a@failing.test", "", "a@[192.0.2.1]"):
			c.command(f"MAIL FROM:<{sender}>", 250)
			c.command("RSET", 250)
		asked = len(names.asked)
		# Known by now, trouble too: nothing is asked again.
		for domain in ("mail.test", "unknown.test", "failing.test", "null.test"):
			c.command(f"MAIL FROM:<a@{domain}>")
			c.command("RSET", 250)
		check(len(names.asked) == asked, "asked once", names.asked)
		c.mail("a@mail.test", "to@hop.test", "Subject: t\r\n\r\nx\r\n")
	wait_for(lambda: hop.messages, "delivered")
	postern.wait_for_log(r"refused command=MAIL argument=FROM:<a@null.test> code=550 status=5.7.27")
	postern.stop()


@test(weight=8)
def a_silent_name_server_costs_five_seconds_and_no_mail(place):
	postern, names, hop = _postern(place, True)
	with _stranger(postern) as c:
		start = time.monotonic()
		c.send("MAIL FROM:<a@silent.test>\r\nRCPT TO:<to@hop.test>\r\nDATA\r\n")
		with _stranger(postern) as other:  # meanwhile others are served
			other.command("MAIL FROM:<a@null.test>", 550)
		for expected in ("250 2.1.0", "250 2.1.5", "354"):
			reply = c.reply()
			check(reply.startswith(expected), expected, reply)
		seconds = time.monotonic() - start
		check(3 < seconds < 9, f"{seconds:.1f} s")
		c.send("x\r\n.\r\n")
		check(c.reply().startswith("250"), "accepted")
	wait_for(lambda: hop.messages, "delivered")
	# Ending does not wait for the thread that still waits for an answer.
	c = _stranger(postern)
	c.send("MAIL FROM:<a@silent.test>\r\n")
	postern.stop()


@test(weight=3)
def those_who_may_relay_are_not_looked_up(place):
	postern, names, _ = _postern(place, True)
	with _stranger(postern, source="127.0.0.2") as c:
		c.command("MAIL FROM:<a@null.test>", 250)
	check(not names.asked, "nothing is asked", names.asked)
	postern.stop()


@test(weight=3)
def by_default_nothing_is_looked_up(place):
	postern, names, hop = _postern(place, False)
	before = _threads(postern)
	with _stranger(postern) as c:
		c.mail("a@null.test", "to@hop.test", "Subject: t\r\n\r\nx\r\n")
	wait_for(lambda: hop.messages, "delivered")
	postern.wait_for_empty_queue()
	check(not names.asked, "nothing is asked", names.asked)
	check(_threads(postern) == before, "no thread more", before, _threads(postern))
	# Switched on by a reload, for sessions that begin then.
	with open(postern.config_path) as f:
		text = f.read()
	postern.configure(text.replace("refuse-null-mx-senders = false", "refuse-null-mx-senders = true"))
	check("reload-done" in postern.reload(), "reloaded")
	def is_refused():
		with _stranger(postern) as c:
			return c.command("MAIL FROM:<a@null.test>").startswith("550 5.7.27")
	wait_for(is_refused, "refused after the reload")
	postern.stop()

"""The peers themselves work: so that a failure elsewhere is ours."""
import socket

from client import Client
from fakehop import FakeHop
from peers import Dovecot, Exim, Postfix
from place import check, test, wait_for
from postfix310 import Postfix310


def _send_over_tls(place, port):
	with Client(place.ip, port) as c:
		c.command("EHLO a.test", 250)
		c.starttls()
		c.command("EHLO a.test", 250)
		c.mail("from@a.test", "to@b.test", "Subject: x\r\n\r\n.dot\r\nend\r\n")


@test
def fakehop_takes_mail_over_tls(place):
	hop = FakeHop(place.ip, place.certificate("hop", "hop.test"))
	_send_over_tls(place, hop.port)
	check(hop.messages[0].tls == "TLSv1.3", "TLS 1.3", hop.messages[0].tls)
	check(hop.messages[0].body == b".dot\r\nend\r\n", "body", hop.messages[0].body)


@test(weight=3)
def postfix_takes_mail_over_tls(place):
	postfix = Postfix(place)
	_send_over_tls(place, postfix.port)
	wait_for(postfix.delivered, "delivered")
	check(b".dot\nend\n" in postfix.delivered()[0], "body", postfix.delivered())


@test(weight=3)
def postfix_310_takes_mail_over_tls(place):
	postfix = Postfix310(place)
	_send_over_tls(place, postfix.port)
	wait_for(postfix.delivered, "delivered")
	check(b".dot\nend\n" in postfix.delivered()[0], "body", postfix.delivered())
	version = place.run(postfix.program("/usr/sbin/postconf", "-hd", "mail_version"))
	check(version.startswith("3.10."), "its version", version)


@test(weight=3)
def exim_takes_mail_over_tls(place):
	exim = Exim(place)
	_send_over_tls(place, exim.port)
	wait_for(exim.delivered, "delivered")
	check(b".dot\nend\n" in exim.delivered()[0], "body", exim.delivered())


@test(weight=3)
def dovecot_takes_mail_over_lmtp(place):
	dovecot = Dovecot(place)
	with socket.socket(socket.AF_UNIX) as s:
		s.connect(dovecot.socket)
		f = s.makefile("rwb")
		f.readline()
		for line in ("LHLO a.test", "MAIL FROM:<a@a.test>", "RCPT TO:<user@b.test>", "DATA",
			     "Subject: x\r\n\r\nbody\r\n."):
			f.write(line.encode() + b"\r\n")
			f.flush()
			while f.readline()[3:4] == b"-":
				pass
	wait_for(dovecot.delivered, "delivered")

"""What comes in: real clients, the handshake as others see it, and who may send what."""
import json
import os
import re
import ssl
import subprocess

from client import Client
from fakehop import FakeHop
from place import check, test, wait_for
from postern import NAME, Postern

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def _postern(place, hop=None, **options):
	hop = hop or FakeHop(place.ip)
	return Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}, **options).start(), hop


# ---- clients -------------------------------------------------------------------------------------

@test(weight=3)
def smtp_source_sends_two_hundred(place):
	postern, hop = _postern(place)
	place.run(["smtp-source", "-s", "10", "-m", "200", "-l", "10240", "-f", "from@client.test",
		   "-t", "to@hop.test", f"{place.ip}:{postern.port}"])
	wait_for(lambda: len(hop.messages) == 200, lambda: f"{len(hop.messages)} of 200", 60)
	postern.wait_for_empty_queue()
	postern.stop()


@test
def swaks_sends_over_starttls(place):
	postern, hop = _postern(place)
	said = place.run(["swaks", "--server", place.ip, "--port", str(postern.port), "--tls", "--tls-verify",
			  "--tls-ca-path", place.path("keys/ca.pem"), "--from", "from@client.test",
			  "--to", "to@hop.test", "--ehlo", "client.test"], status=None)
	if "failed host verification" in said:  # newer ones hold it against the address
		said = place.run(["swaks", "--server", place.ip, "--port", str(postern.port), "--tls", "--from",
				  "from@client.test", "--to", "to@hop.test", "--ehlo", "client.test"])
	wait_for(lambda: hop.messages, lambda: said[-3000:])
	check("with ESMTPS" in hop.messages[0].header("Received"), "Received", hop.messages[0].header("Received"))
	received = hop.messages[0].header("Received")
	check("TLS" in received and re.search(r"client\.test \(.*127\.0\.0\.1", received, re.S),
	      "the tls clause and the client", received)
	postern.stop()


def _openssl(place, port, *options, input="QUIT\r\n"):
	done = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"{place.ip}:{port}",
			       "-ign_eof", *options], input=input, stdout=subprocess.PIPE,
			      stderr=subprocess.STDOUT, text=True, errors="replace", timeout=30)
	return done.stdout


@test(weight=3)
def the_name_asked_for_picks_the_certificate(place):
	"""Two names, each with RSA and ECDSA; a name nobody knows and no name get the first."""
	certificates = [place.certificate("one-ecdsa", "one.test"),
			place.certificate("one-rsa", "one.test", kind="rsa"),
			place.certificate("two-ecdsa", "two.test", "*.two.test"),
			place.certificate("two-rsa", "two.test", "*.two.test", kind="rsa")]
	postern, _ = _postern(place, certificates=certificates)
	ca = place.path("keys/ca.pem")
	for sni, algorithm, name, kind in (
			("one.test", "ECDSA+SHA256", "one.test", "id-ecPublicKey"),
			("one.test", "RSA-PSS+SHA256:RSA+SHA256", "one.test", "rsaEncryption"),
			("two.test", "ECDSA+SHA256", "two.test", "id-ecPublicKey"),
			("TWO.test", "RSA-PSS+SHA256:RSA+SHA256", "two.test", "rsaEncryption"),
			("deep.two.test", "ECDSA+SHA256", "two.test", "id-ecPublicKey"),
			("unknown.test", "ECDSA+SHA256", "one.test", "id-ecPublicKey"),
			(None, "ECDSA+SHA256", "one.test", "id-ecPublicKey")):
		for version in ("-tls1_3", "-tls1_2"):
			said = _openssl(place, postern.port, version, "-CAfile", ca, "-sigalgs", algorithm,
					*(["-servername", sni] if sni else ["-noservername"]))
			pem = re.search(r"-----BEGIN CERT.*?END CERTIFICATE-----", said, re.S)
			if not pem and kind == "rsaEncryption" and version == "-tls1_3":
				continue  # the CA's own ECDSA signature is not among those offered
			check(pem, f"{sni} {version} {algorithm}: a certificate", said[-2500:])
			shown = place.run(["openssl", "x509", "-noout", "-subject", "-text"], input=pem.group(0))
			check(name in shown and kind in shown, f"{sni} {version}: {name} {kind}", shown[:1200])
	postern.stop()


@test
def openssl_hands_over_mail_in_tls12_and_tls13(place):
	postern, hop = _postern(place)
	for version in ("-tls1_2", "-tls1_3"):
		said = _openssl(place, postern.port, version, "-quiet", "-crlf",
				input="EHLO c.test\nMAIL FROM:<f@c.test>\nRCPT TO:<to@hop.test>\nDATA\n"
				"Subject: x\n\nbody\n.\nQUIT\n")
		check("queued as" in said, f"{version}: accepted", said[-2000:])
	wait_for(lambda: len(hop.messages) == 2, "both delivered")
	postern.stop()


@test
def tls_1_1_is_impossible(place):
	postern, _ = _postern(place)
	for version in ("-tls1_1", "-tls1"):
		said = _openssl(place, postern.port, version, "-cipher", "ALL:@SECLEVEL=0")
		check("Cipher is (NONE)" in said or "New, (NONE)" in said, f"{version} is refused", said[-1500:])
	text = postern.text().replace(postern.listen or "{  }", "{  }")
	for minimum in ("TLS1.1", "TLS1.0", "SSL3"):
		postern.configure(text.replace(f'listen "{place.ip}:{postern.port}" {{  }}',
					       f'listen "{place.ip}:{postern.port}" {{ minimum = "{minimum}" }}'))
		said = postern.control("check-config", status=None)
		check("minimum" in said, f"check-config refuses minimum {minimum}", said)
	postern.stop()


@test
def a_tls13_only_listener_refuses_tls12(place):
	certificate = place.certificate("server", NAME)
	hop = FakeHop(place.ip)
	postern = Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}, certificates=[certificate])
	postern.listen = 'minimum = "TLS1.3"'
	postern.configure()
	postern.start()
	said = _openssl(place, postern.port, "-tls1_2")
	check("(NONE)" in said, "TLS 1.2 is refused", said[-1500:])
	said = _openssl(place, postern.port, "-tls1_3")
	check("TLSv1.3" in said, "TLS 1.3 works", said[-1500:])
	wait_for(lambda: "session-end" in postern.log(), "the log tells of the failed handshake")
	postern.stop()


@test
def gnutls_cli_verifies_us(place):
	postern, _ = _postern(place)
	said = place.run(["gnutls-cli", "--starttls-proto=smtp", "--x509cafile", place.path("keys/ca.pem"),
			  "--sni-hostname", NAME, "--verify-hostname", NAME, "-p", str(postern.port), place.ip],
			 input="QUIT\r\n", status=None)
	check("The certificate is trusted" in said and "Handshake was completed" in said, "trusted", said[-2500:])
	postern.stop()


@test
def session_tickets_resume_between_workers(place):
	"""One secret shared by all: a ticket from one worker is good at the other."""
	postern, _ = _postern(place, workers=2)
	session = place.path("session.pem")
	resumed = 0
	for i in range(8):
		_openssl(place, postern.port, "-tls1_3", "-sess_out", session, input="NOOP\r\nQUIT\r\n")
		said = _openssl(place, postern.port, "-tls1_3", "-sess_in", session)
		resumed += "Reused, TLSv1.3" in said
	check(resumed == 8, f"8 of 8 resumed, not {resumed}")
	postern.stop()


# ---- who may, and how -----------------------------------------------------------------------------

@test
def never_an_open_relay(place):
	postern, hop = _postern(place)
	text = postern.text().replace('client "127.0.0.0/8" { relay = true }', "")
	postern.configure(text + f'\nroute "*" {{ to = "smtp {place.ip}:{hop.port}" }}\n')
	check("reload-done" in postern.reload(), "reloaded", postern.log()[-1500:])
	with postern.client() as c:
		c.command("MAIL FROM:<f@client.test>", 250)
		for recipient in ("to@elsewhere.test", "to%elsewhere.test@hop.test.elsewhere.test",
				  "@hop.test:to@elsewhere.test", '"to@elsewhere.test"@other.test',
				  "to@[127.0.0.1]", "to"):
			reply = c.command(f"RCPT TO:<{recipient}>")
			check(reply.startswith("5"), f"{recipient} is refused", reply)
		c.command("RCPT TO:<to@hop.test>", 250)
	postern.stop()


@test
def a_refusing_route_is_told_at_once(place):
	"""Taken and bounced, a forged sender would get the report."""
	postern, hop = _postern(place)
	postern.routes.update({"closed.test": "refuse 5.2.1 closed for good", "busy.test": "refuse 4.2.1 moving"})
	postern.configure()
	check("reload-done" in postern.reload(), "reloaded", postern.log()[-1500:])
	with postern.client() as c:
		c.command("MAIL FROM:<f@client.test>", 250)
		for recipient, expected in (("a@closed.test", "550 5.2.1 closed for good"),
					    ("a@busy.test", "450 4.2.1 moving"), ("a@nowhere.test", "550 5.4.4 ")):
			reply = c.command(f"RCPT TO:<{recipient}>")
			check(reply.startswith(expected), f"{recipient}: {expected}", reply)
		c.command("RCPT TO:<to@hop.test>", 250)
	postern.stop()


@test
def a_client_certificate_may_relay(place):
	ca = place.ca()
	certificate = place.certificate("trusted", "trusted.test")
	stranger = place.certificate("stranger", "trusted.test", folder="strangers")
	postern, hop = _postern(place)
	postern.listen = f'client-authority = "{ca}"'
	text = postern.text().replace('client "127.0.0.0/8" { relay = true }',
				      'relay-certificates { names = {"trusted.test"} }')
	postern.configure(text + f'\nroute "*" {{ to = "smtp {place.ip}:{hop.port}" }}\n')
	check("reload-done" in postern.reload(), "reloaded", postern.log()[-1500:])
	for shown, expected in ((certificate, "250"), (stranger, "5"), (None, "5")):
		with postern.client(tls=True, certificate=shown) as c:
			c.command("MAIL FROM:<f@client.test>", 250)
			reply = c.command("RCPT TO:<to@elsewhere.test>")
			check(reply.startswith(expected), f"{shown}: {expected}", reply)
	postern.stop()


@test
def inbound_rules_demand_tls_of_a_sender_domain(place):
	postern, hop = _postern(place, sections="""
domain "secret.test" { inbound { require = "tls"
	minimum = "TLS1.3" } }
""")
	with postern.client() as c:
		reply = c.command("MAIL FROM:<f@secret.test>")
		check(reply.startswith("530") and "STARTTLS" in reply, "in clear: 530", reply)
		c.command("MAIL FROM:<f@client.test>", 250)
	with postern.client(tls=True, maximum=TLS12) as c:
		reply = c.command("MAIL FROM:<f@secret.test>")
		check(reply.startswith("5") and "TLS1.3" in reply, "TLS 1.2: refused", reply)
	with postern.client(tls=True) as c:
		c.mail("f@secret.test", "to@hop.test", "Subject: s\r\n\r\n.\r\n")
	wait_for(lambda: hop.messages, "delivered")
	postern.stop()


@test
def inbound_rules_know_recipients_ciphers_and_modes(place):
	postern, hop = _postern(place, sections="""
domain "hop.test" { inbound-recipients { require = tls mode = tempfail } }
domain "watch.test" { inbound { require = tls mode = report } }
domain "strong.test" { inbound { minimum-bits = 256 } }
domain "strange.test" { inbound { ciphers = { "*CCM*" } } }
""")
	with postern.client() as c:
		c.command("MAIL FROM:<f@client.test>", 250)
		reply = c.command("RCPT TO:<to@hop.test>")
		check(reply.startswith("451 4.7.0 Must issue a STARTTLS command first: our rule for mail to hop.test"),
		      "in clear: come again", reply)
		c.command("RSET", 250)
		c.command("MAIL FROM:<f@watch.test>", 250)
		postern.wait_for_log('inbound-report .*rule=".*watch.test.*reason="Must issue')
	with postern.client(tls=True) as c:
		c.command("MAIL FROM:<f@strong.test>", 250)
		c.command("RSET", 250)
		reply = c.command("MAIL FROM:<f@strange.test>")
		check(reply.startswith("554 5.7.0 Our rule for mail from strange.test does not admit the cipher TLS_AES_"),
		      "another cipher", reply)
		c.mail("f@watch.test", "to@hop.test", "Subject: s\r\n\r\n.\r\n")
	wait_for(lambda: hop.messages, "delivered")
	check(postern.log().count("inbound-report") == 1, "reported once", postern.log()[-2000:])
	postern.stop()


@test
def starttls_is_offered_once_and_forgets_everything(place):
	postern, _ = _postern(place)
	with Client(place.ip, postern.port) as c:
		check("STARTTLS" in c.command("EHLO c.test", 250), "offered")
		c.command("MAIL FROM:<f@client.test>", 250)
		c.command("RSET", 250)
		c.starttls()
		reply = c.command("MAIL FROM:<f@client.test>")
		check(reply.startswith("503"), "EHLO is needed again", reply)
		check("STARTTLS" not in c.command("EHLO c.test", 250), "not offered twice")
		reply = c.command("STARTTLS")
		check(reply.startswith("5"), "refused twice", reply)
	postern.stop()


@test
def plaintext_behind_starttls_is_refused(place):
	"""CVE-2011-0411: nothing sent in clear may be taken for TLS."""
	postern, _ = _postern(place)
	with Client(place.ip, postern.port) as c:
		c.command("EHLO c.test", 250)
		c.send("STARTTLS\r\nMAIL FROM:<evil@client.test>\r\n")
		reply = c.reply()
		check(reply.startswith("5") or reply == "", "refused", reply)
		check(c.reply() == "", "closed")
	postern.stop()


@test
def smuggling_ends_no_message(place):
	"""Only CRLF.CRLF ends a message; a bare LF or CR refuses it."""
	postern, hop = _postern(place)
	for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\n.\r", b"\r\r\n.\r\r\n", b"\0\r\n.\0\r\n"):
		with postern.client() as c:
			c.command("MAIL FROM:<f@client.test>", 250)
			c.command("RCPT TO:<to@hop.test>", 250)
			c.command("DATA", 354)
			c.send(b"Subject: a\r\n\r\nbody" + end +
			       b"MAIL FROM:<evil@client.test>\r\nRCPT TO:<to@hop.test>\r\nDATA\r\n"
			       b"Subject: smuggled\r\n\r\nx\r\n.\r\n")
			reply = c.reply()
			check(not reply.startswith("354"), f"{end!r} ended the message", reply)
	postern.send(data="Subject: last\r\n\r\nx\r\n")
	wait_for(lambda: any(b"Subject: last" in m.data for m in hop.messages), "the last arrives")
	check(not any(m.sender == "evil@client.test" for m in hop.messages), "nothing smuggled",
	      [m.sender for m in hop.messages])
	check(all(b"\n" not in m.data.replace(b"\r\n", b"") and b"\r" not in m.data.replace(b"\r\n", b"")
		  for m in hop.messages), "no bare CR or LF goes on")
	postern.stop()


@test
def extensions_are_as_announced(place):
	postern, hop = _postern(place)
	with postern.client() as c:
		words = c.command("EHLO c.test", 250)
		for word in ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING",
			     "DSN", "STARTTLS", "LIMITS"):
			check(word in words, f"offers {word}", words)
		c.send("MAIL FROM:<f@client.test> BODY=8BITMIME SIZE=100\r\nRCPT TO:<to@hop.test>\r\nBDAT 16\r\n"
		       "Subject: chunk\r\n" "BDAT 8 LAST\r\n\r\nbody\r\n")
		for expected in ("250", "250", "250", "250"):
			reply = c.reply()
			check(reply.startswith(expected), "chunks in one packet", reply)
		c.command("MAIL FROM:<f@client.test> SIZE=99999999999", 552)
		check(c.command("VRFY x").startswith("252"), "VRFY")
		check(c.command("HELP").startswith("214"), "HELP")
		check(c.command("EXPN x").startswith("50"), "EXPN")
	wait_for(lambda: hop.messages, "delivered")
	check(hop.messages[0].body == b"body\r\n", "the chunks", hop.messages[0].body)
	postern.stop()


@test
def posternctl_tells_of_the_queue(place):
	postern, hop = _postern(place, FakeHop(place.ip, replies={"RCPT": "450 4.2.1 come back"}),
				retry={"first": "1h", "pause": "1h"})
	message = postern.send(data="Subject: stuck\r\n\r\nbody of it\r\n")
	postern.wait_for_log("outcome=deferred")
	check(message in postern.control("queue"), "queue", postern.control("queue"))
	shown = postern.control("queue", "show", message)
	check("to@hop.test" in shown and "come back" in shown, "queue show", shown)
	check("body of it" in postern.control("queue", "cat", message), "queue cat")
	check(json.loads(postern.control("queue", "--json").splitlines()[0]), "queue --json")
	check("worker" in postern.control("status"), "status", postern.control("status"))
	postern.control("check-config")
	hop.replies = {}
	postern.control("flush")
	wait_for(lambda: hop.messages, "flush tries at once")
	postern.wait_for_empty_queue()
	hop.replies = {"RCPT": "450 4.2.1 come back"}
	message = postern.send()
	wait_for(lambda: postern.log().count("outcome=deferred") >= 2, "deferred again")
	postern.control("remove", message, "--yes")
	postern.wait_for_empty_queue()
	check(len(hop.messages) == 1, "removed, not delivered")
	check(os.path.exists(postern.folder + "/run"), "the run directory")
	postern.stop()

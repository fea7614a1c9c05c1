"""What leaves: to real servers, and under every rule; what a rule forbids stays and says why."""
import base64
import hashlib
import os
import random
import ssl

from fakehop import FakeHop
from peers import Dovecot, Exim, Postfix
from place import check, status_kib, test, wait_for
from postern import Postern

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def _mail(size=20000, seed=1):
	"""Lines that tempt: dots, long lines, 8-bit, trailing blanks."""
	rng = random.Random(seed)
	lines = [b"Subject: tempting", b"From: <from@client.test>", b"", b".", b"..", b". dot", b"trailing \t ",
		 b"", b"From the start", b"x" * 990, "grüße".encode()]
	while sum(map(len, lines)) < size:
		lines.append(bytes(rng.choices(b"abc .", k=rng.randrange(80))))
	return b"\r\n".join(lines) + b"\r\n"


def _one(place, rule, certificate=None, route_host=None, **hop_options):
	"""(postern, hop): one message on its way to a scripted hop under this rule for its domain."""
	hop = FakeHop(place.ip, certificate, **hop_options)
	postern = Postern(place, routes={"hop.test": f"smtp {route_host or place.ip}:{hop.port}"},
			  rules={"hop.test": rule} if rule else {}).start()
	postern.send()
	return postern, hop


def _delivered(place, rule, certificate=None, version=None, **hop_options):
	postern, hop = _one(place, rule, certificate, **hop_options)
	wait_for(lambda: hop.messages, lambda: "delivered: " + postern.log()[-1500:])
	check(hop.messages[0].tls == version, f"over {version}", str(hop.messages[0].tls))
	postern.wait_for_empty_queue()
	postern.stop()
	return postern, hop


def _deferred(place, rule, words, certificate=None, **hop_options):
	"""The message stays; log and queue say the same words; not one byte of mail left."""
	postern, hop = _one(place, rule, certificate, **hop_options)
	postern.wait_for_log(r"outcome=deferred")
	line = next(l for l in postern.log().splitlines() if "outcome=deferred" in l)
	for word in words:
		check(word in line, f"the log says {word!r}", line)
	check(not hop.messages and not any(l.upper().startswith(("MAIL", "RCPT", "DATA", "BDAT"))
					   for l in hop.lines), "no byte of mail", hop.lines)
	queue = postern.queue()
	check(len(queue) >= 1 and "to@hop.test" in str(queue), "it is in the queue", queue)
	for word in words:
		check(word in str(queue), f"the queue says {word!r}", queue)
	postern.stop()
	return postern, hop


# ---- rules ---------------------------------------------------------------------------------------

@test
def verify_passes_with_the_right_name_and_ca(place):
	certificate = place.certificate("hop", "hop.test")
	rule = f'require = "verify"\n\tnames = {{"hop.test"}}\n\tauthority = "{place.path("keys/ca.pem")}"'
	postern, hop = _delivered(place, rule, certificate, "TLSv1.3")
	check(hop.messages[0].sni == "hop.test", "SNI", str(hop.messages[0].sni))


@test
def verify_by_the_host_name_of_the_route(place):
	certificate = place.certificate("hop", "localhost")
	hop = FakeHop("127.0.0.1", certificate)
	postern = Postern(place, routes={"hop.test": f"smtp localhost:{hop.port}"}, rules={
		"hop.test": f'require = "verify"\n\tauthority = "{place.path("keys/ca.pem")}"'}).start()
	postern.send()
	wait_for(lambda: hop.messages, lambda: postern.log()[-1500:])
	check(hop.messages[0].sni == "localhost", "SNI", str(hop.messages[0].sni))
	hop.close()


@test
def verify_defers_on_the_wrong_name(place):
	certificate = place.certificate("hop", "other.test")
	_deferred(place, f'require = "verify"\n\tnames = {{"hop.test"}}\n\tauthority = "{place.path("keys/ca.pem")}"',
		  ["other.test", "none of which is", "hop.test", "verify"], certificate)


@test
def verify_defers_on_an_expired_certificate(place):
	certificate = place.certificate("hop", "hop.test", expired=True)
	_deferred(place, f'require = "verify"\n\tnames = {{"hop.test"}}\n\tauthority = "{place.path("keys/ca.pem")}"',
		  ["expired", "2021-01-01"], certificate)


@test
def verify_defers_on_an_unknown_authority(place):
	certificate = place.certificate("hop", "hop.test", folder="strangers")
	ca = place.ca("keys")
	_deferred(place, f'require = "verify"\n\tnames = {{"hop.test"}}\n\tauthority = "{ca}"',
		  ["is not valid to", "ca.pem"], certificate)


def _pin(place, certificate):
	der = os.path.join(place.folder, "key.der")
	place.run(["sh", "-c", f"certtool --load-certificate {certificate[0]} --pubkey-info --outder --outfile {der}"])
	with open(der, "rb") as f:
		return "sha256:" + base64.b64encode(hashlib.sha256(f.read()).digest()).decode()


@test
def a_pinned_key_needs_no_authority(place):
	certificate = place.certificate("hop", "whatever.test")
	_delivered(place, f'require = "verify"\n\tkey-pins = {{"{_pin(place, certificate)}"}}', certificate, "TLSv1.3")


@test
def a_wrong_pin_defers(place):
	certificate = place.certificate("hop", "hop.test")
	other = place.certificate("other", "hop.test")
	_deferred(place, f'require = "verify"\n\tkey-pins = {{"{_pin(place, other)}"}}', ["key-pins", "sha256:"],
		  certificate)


@test
def encrypt_defers_without_starttls(place):
	_deferred(place, 'require = "encrypt"', ["offers no STARTTLS", "encrypt"])


@test
def encrypt_defers_when_starttls_is_refused(place):
	certificate = place.certificate("hop", "hop.test")
	_deferred(place, 'require = "encrypt"', ["454", "encrypt"], certificate,
		  replies={"STARTTLS": "454 4.7.0 TLS is out of order"})


@test
def encrypt_takes_any_certificate(place):
	_delivered(place, 'require = "encrypt"', place.certificate("hop", "x.test", expired=True), "TLSv1.3")


@test
def tls13_is_demanded_of_a_tls12_peer(place):
	certificate = place.certificate("hop", "hop.test")
	_deferred(place, 'require = "encrypt"\n\tminimum = "TLS1.3"', ["TLS1.3", "demands"], certificate,
		  maximum=TLS12)


@test
def tls12_peers_are_served_by_default(place):
	_delivered(place, 'require = "encrypt"', place.certificate("hop", "hop.test"), "TLSv1.2", maximum=TLS12)


@test
def may_uses_tls_when_offered(place):
	_delivered(place, None, place.certificate("hop", "hop.test"), "TLSv1.3")


@test
def may_falls_back_to_clear_and_says_so(place):
	certificate = place.certificate("hop", "hop.test")
	postern, hop = _delivered(place, 'require = "may"', certificate, None,
				  replies={"STARTTLS": "454 4.7.0 TLS is out of order"})
	check("allows clear text" in postern.log(), "the log says that it went in clear", postern.log()[-1500:])


@test
def may_goes_in_clear_without_starttls(place):
	_delivered(place, 'require = "may"', None, None)


@test
def none_never_starts_tls(place):
	_, hop = _delivered(place, 'require = "none"', place.certificate("hop", "hop.test"), None)
	check(not any(l.upper().startswith("STARTTLS") for l in hop.lines), "no STARTTLS", hop.lines)


@test
def the_most_specific_domain_wins(place):
	hop = FakeHop(place.ip)
	postern = Postern(place, routes={"*": f"smtp {place.ip}:{hop.port}"}, rules={
		"*": 'require = "none"', ".example.test": 'require = "encrypt"',
		"open.example.test": 'require = "none"'}).start()
	for domain in ("example.test", "open.example.test", "x.example.test"):
		postern.send(to=f"to@{domain}")
	wait_for(lambda: len(hop.messages) == 2, lambda: postern.log()[-2000:])
	postern.wait_for_log("outcome=deferred")
	check(sorted(m.recipients[0] for m in hop.messages) == ["to@example.test", "to@open.example.test"],
	      "who came", [m.recipients for m in hop.messages])
	postern.stop()


@test
def two_rules_never_share_a_connection(place):
	"""The same next hop, one domain may go in clear, the other wants a verified name."""
	certificate = place.certificate("hop", "other.test")
	hop = FakeHop(place.ip, certificate)
	to = f"smtp {place.ip}:{hop.port}"
	postern = Postern(place, routes={"may.test": to, "strict.test": to}, workers=1, rules={
		"strict.test": f'require = "verify"\n\tnames = {{"hop.test"}}\n\tauthority = "{place.path("keys/ca.pem")}"'}).start()
	postern.send(to="a@may.test")
	wait_for(lambda: hop.messages, "the first")
	postern.send(to="b@strict.test")
	postern.wait_for_log("outcome=deferred")
	check(len(hop.messages) == 1, "the strict one stayed", [m.recipients for m in hop.messages])
	postern.stop()


@test
def plaintext_behind_the_starttls_reply_is_refused(place):
	"""CVE-2011-0411 from the other side: a hop (or somebody between) that speaks too early."""
	certificate = place.certificate("hop", "hop.test")
	_deferred(place, 'require = "encrypt"', ["plaintext follows", "STARTTLS"], certificate,
		  replies={"STARTTLS": "220 2.0.0 go\r\n250 2.0.0 injected"})


# ---- outcomes ------------------------------------------------------------------------------------

@test
def each_recipient_has_its_own_outcome(place):
	replies = {"RCPT": lambda line: {"good": "250 2.1.5 ok", "late": "450 4.2.1 later",
					 "bad": "550 5.1.1 nobody"}[line.split("<")[1].split("@")[0]]}
	hop, bounces = FakeHop(place.ip, replies=replies), FakeHop(place.ip)
	postern = Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}",
					 "client.test": f"smtp {place.ip}:{bounces.port}"}).start()
	postern.send(to=["good@hop.test", "late@hop.test", "bad@hop.test"])
	wait_for(lambda: hop.messages and bounces.messages, lambda: postern.log()[-2000:])
	check(hop.messages[0].recipients == ["good@hop.test"], "one delivered", hop.messages[0].recipients)
	bounce = bounces.messages[0]
	check(bounce.sender == "" and bounce.recipients == ["from@client.test"], "a bounce from <>",
	      bounce.sender, bounce.recipients)
	text = bounce.data.decode()
	for word in ("multipart/report", "delivery-status", "Final-Recipient: rfc822;", "bad@hop.test",
		     "5.1.1", "Action: failed"):
		check(word.lower() in text.lower(), f"the bounce says {word}", text)
	check("late@hop.test" not in text and "good@hop.test" not in text.split("delivery-status", 1)[1].split("Subject: t")[0],
	      "only the failed one", text)
	queue = str(postern.queue())
	check("late@hop.test" in queue and "450" in queue, "the late one waits with its reason", queue)
	hop.replies = {}
	wait_for(lambda: len(hop.messages) == 2, lambda: "tried again: " + postern.log()[-1500:], 20)
	check(hop.messages[1].recipients == ["late@hop.test"], "only the late one", hop.messages[1].recipients)
	postern.wait_for_empty_queue()
	postern.stop()


@test
def a_bounce_never_answers_a_bounce(place):
	hop = FakeHop(place.ip, replies={"RCPT": "550 5.1.1 nobody"})
	postern = Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}).start()
	postern.send(sender="")
	postern.wait_for_log("outcome=failed")
	postern.wait_for_empty_queue()
	postern.stop()


@test
def a_lost_final_answer_is_tried_again(place):
	hop = FakeHop(place.ip, replies={"DOT": ["CLOSE", "250 2.0.0 taken"]})
	postern = Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}).start()
	postern.send()
	wait_for(lambda: hop.messages, lambda: postern.log()[-1500:], 20)
	postern.wait_for_empty_queue()
	postern.stop()


@test
def many_messages_share_connections(place):
	hop = FakeHop(place.ip, place.certificate("hop", "hop.test"))
	postern = Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}, workers=1).start()
	with postern.client() as c:
		for i in range(100):
			c.mail("from@client.test", f"to{i}@hop.test", f"Subject: {i}\r\n\r\nbody\r\n")
	wait_for(lambda: len(hop.messages) == 100, lambda: f"{len(hop.messages)} of 100 " + postern.log()[-1000:], 30)
	check(hop.connections <= 40, "connections are used again", hop.connections)
	check(len({m.recipients[0] for m in hop.messages}) == 100, "none twice")
	postern.stop()


# ---- real servers --------------------------------------------------------------------------------

def _through(place, server, rule, words="smtp"):
	postern = Postern(place, routes={"hop.test": f"smtp {place.ip}:{server.port}"},
			  rules={"hop.test": rule}).start()
	mails = [_mail(size, seed) for seed, size in enumerate((500, 20000, 300000))]
	for mail in mails:
		postern.send(data=mail, tls=True)
	wait_for(lambda: len(server.delivered()) == 3, lambda: f"three delivered: {postern.log()[-2000:]}", 20, 0.2)
	wanted = sorted(hashlib.sha256(m.split(b"\r\n\r\n", 1)[1].replace(b"\r\n", b"\n")).hexdigest() for m in mails)
	got = sorted(hashlib.sha256(m.split(b"\n\n", 1)[1]).hexdigest() for m in server.delivered())
	check(wanted == got, "bodies unchanged", wanted, got)
	received = server.delivered()[0].decode(errors="replace")
	check("by mx.postern.test" in received and "with ESMTPS" in received, "our Received line", received[:1500])
	postern.wait_for_empty_queue()
	postern.stop()


@test(weight=6)
def postfix_gets_it_verified_over_tls13(place):
	certificate = place.certificate("postfix", "postfix.test")
	_through(place, Postfix(place, certificate), f'require = "verify"\n\tminimum = "TLS1.3"\n'
		 f'\tnames = {{"postfix.test"}}\n\tauthority = "{place.path("keys/ca.pem")}"')


@test(weight=6)
def postfix_with_tls12_only_gets_it(place):
	postfix = Postfix(place, place.certificate("postfix", "postfix.test", kind="rsa"),
			  protocols="!SSLv2, !SSLv3, !TLSv1, !TLSv1.1, !TLSv1.3")
	_through(place, postfix, 'require = "encrypt"')


@test(weight=4)
def exim_gets_it_verified(place):
	certificate = place.certificate("exim", "exim.test", kind="rsa")
	_through(place, Exim(place, certificate), f'require = "verify"\n\tnames = {{"exim.test"}}\n'
		 f'\tauthority = "{place.path("keys/ca.pem")}"')


@test(weight=4)
def dovecot_gets_it_over_lmtp(place):
	dovecot = Dovecot(place)
	postern = Postern(place, routes={"hop.test": f"lmtp unix:{dovecot.socket}"}).start()
	mail = _mail()
	postern.send(to=["one@hop.test", "two@hop.test"], data=mail)
	wait_for(lambda: len(dovecot.delivered()) == 2, lambda: postern.log()[-2000:], 20, 0.2)
	for message in dovecot.delivered():
		check(message.split(b"\n\n", 1)[1] == mail.split(b"\r\n\r\n", 1)[1].replace(b"\r\n", b"\n"), "unchanged")
	postern.wait_for_empty_queue()
	postern.stop()


@test(weight=4)
def mail_is_unchanged_through_three_hops(place):
	"""Postern to Postern to Postern to a hop: 8-bit, dots, long lines, chunking in between."""
	hop = FakeHop(place.ip, place.certificate("hop", "hop.test"))
	ca = place.path("keys/ca.pem")
	rule = f'require = "verify"\n\tminimum = "TLS1.3"\n\tnames = {{"mx.postern.test"}}\n\tauthority = "{ca}"'
	third = Postern(place, name="third", routes={"hop.test": f"smtp {place.ip}:{hop.port}"}).start()
	second = Postern(place, name="second", routes={"hop.test": f"smtp {place.ip}:{third.port}"},
			 rules={"hop.test": rule}).start()
	first = Postern(place, name="first", routes={"hop.test": f"smtp {place.ip}:{second.port}"},
			rules={"hop.test": rule}).start()
	mails = {}
	for seed in range(12):
		mail = _mail(100 + seed * 40000, seed)
		mails[hashlib.sha256(mail.split(b"\r\n\r\n", 1)[1]).hexdigest()] = mail
		first.send(data=mail)
	wait_for(lambda: len(hop.messages) == 12, lambda: f"{len(hop.messages)} of 12; {third.log()[-800:]}", 30)
	check({m.body_sha for m in hop.messages} == set(mails), "bodies unchanged")
	trace = hop.messages[0].data.decode(errors="replace")
	check(trace.count("\r\nReceived:") + trace.startswith("Received:") == 3, "three Received lines", trace[:2000])
	for p in (first, second, third):
		p.wait_for_empty_queue()
		p.stop()


@test(weight=8)
def messages_of_25_megabytes_are_streamed(place):
	"""In and out over TLS, four at once, unchanged; never whole in memory."""
	certificate = place.certificate("sink", "sink.test")
	sink = place.start("sink", [place.build("optimised") + "/tests/bench/smtpsink", "-i", place.path("ids"),
				    "-c", certificate[0], "-k", certificate[1]])
	wait_for(lambda: "listening" in place.log("sink"), "the sink")
	port = place.log("sink").split()[1]
	postern = Postern(place, routes={"sink.test": f"smtp 127.0.0.1:{port}"}, build="optimised", workers=1,
			  rules={"sink.test": 'require = "encrypt"'}).start()
	before = max(status_kib(pid, "VmHWM") for pid in postern.worker_pids())
	place.run([postern.programs + "/tests/bench/smtpload", "-t", "starttls", "-c", "4", "-s", "12", "-l", "25000000",
		   f"{place.ip}:{postern.port}"])

	def arrived():
		with open(place.path("ids")) as f:
			return [line.split()[1] for line in f]
	wait_for(lambda: len(arrived()) == 12, lambda: f"{arrived()}", 60)
	check(arrived() == ["ok"] * 12, "unchanged", arrived())
	grown = max(status_kib(pid, "VmHWM") for pid in postern.worker_pids()) - before
	print(f"NOTE 12 messages of 25 MB in and out over TLS: memory grew by {grown} KiB at most")
	check(grown < 12 << 10, f"memory grew by {grown} KiB")
	postern.wait_for_empty_queue()
	postern.stop()
	check(sink.poll() is None, "the sink lives")


@test
def maildir_is_the_simplest_next_hop(place):
	folder = place.path("maildirs")
	os.makedirs(folder)
	os.chmod(folder, 0o777)
	postern = Postern(place, routes={"hop.test": f"maildir {folder}/%u"}).start()
	postern.send(to="someone@hop.test")
	new = folder + "/someone/new"
	wait_for(lambda: os.path.isdir(new) and os.listdir(new), lambda: postern.log()[-1500:])
	with open(os.path.join(new, os.listdir(new)[0]), "rb") as f:
		text = f.read()
	check(b"Received: " in text and text.endswith(b"body\n"), "the message", text)
	postern.wait_for_empty_queue()
	postern.stop()

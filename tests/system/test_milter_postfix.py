"""postern-milter behind a real Postfix: what clients see, and what arrives."""
import glob

from milter import (HEADER, NAME, NEW, OLD, RULES, WITH_HEADER, Milter, check_nobody_passes_without, check_senders,
		    check_tls_right_after_starttls, check_watched, send_done_at_mail, send_one_to_keep, send_watched, session)
from peers import Postfix
from place import check, test, wait_for


def _postfix(place, milter, extra="", **options):
	ca = place.ca()
	return Postfix(place, extra=f"""
smtpd_milters = {milter.socket_words}
milter_default_action = tempfail
milter_command_timeout = 15s
smtpd_tls_ask_ccert = yes
smtpd_tls_CAfile = {ca}
smtpd_tls_session_cache_database =
{extra}
""", **options)


def _fields(message):
	head = message.split(b"\n\n")[0].replace(b"\n\t", b" ").replace(b"\n ", b" ").decode()
	return [line for line in head.split("\n") if line.lower().startswith(HEADER.lower() + ":")]


def _house(place, inside=WITH_HEADER, rules=RULES, **options):
	milter = Milter(place, rules, inside).start()
	return milter, _postfix(place, milter, **options)


@test(weight=10)
def E1_sessions_are_let_in_by_what_they_show(place):
	milter, postfix = _house(place)
	check_senders(place, postfix, (
		("a@partner.example", NEW, None, "250"),
		("a@modern.example", None, None, "530"),
		("a@signed.example", None, None, "530"),
		("a@signed.example", OLD, "other", "554 5.7.1"),
		("a@strong.example", NEW, None, "250"),
		("a@elsewhere.example", None, None, "250"),
	))
	check("subject=evil.example" in milter.log(), "the log knows the certificate", milter.log()[-1500:])
	milter.stop()


@test(weight=10)
def P3_mail_right_after_starttls_has_tls(place):
	milter, postfix = _house(place)
	for maximum, reply in ((OLD, "554 5.7.0"), (NEW, "250")):
		with session(postfix, maximum, says_ehlo_again=False) as c:
			c.command("MAIL FROM:<a@partner.example>", 250)
			c.command("RSET", 250)
			said = c.command("MAIL FROM:<a@modern.example>")
			check(said.startswith(reply), "it knows the version", said)
			c.command("QUIT", 221)
	check_tls_right_after_starttls(postfix)
	milter.stop()


@test(weight=10)
def one_recipient_is_refused_several_messages_a_session(place):
	milter, postfix = _house(place)
	send_watched(postfix, 3)
	# three with two recipients each, three with one
	messages = wait_for(lambda: len(postfix.delivered()) == 9 and postfix.delivered(), "nine copies", 30)
	for m in messages:
		fields = _fields(m)
		check(len(fields) == 1, "one field each", fields)
		check_watched(m.decode(), fields[0])
	milter.stop()


@test(weight=10)
def the_header_tells_and_copies_that_came_along_are_gone(place):
	milter, postfix = _house(place)
	certificate = place.certificate("client", "out.signed.example")
	forged = f"{HEADER}: forged; policy=pass\r\n"
	message = f"{forged}From: a@b.example\r\n{HEADER.lower()}: forged\r\nSubject: s\r\n{forged}\r\n{HEADER}: in the body\r\n"
	with session(postfix) as c:
		c.mail("a@watch.example", "clear@c.example", message)
		c.command("QUIT", 221)
	with session(postfix, NEW, certificate) as c:
		c.mail("a@signed.example", "tls@c.example", message)
		c.command("QUIT", 221)
	messages = wait_for(lambda: len(postfix.delivered()) == 2 and postfix.delivered(), "two messages", 30)
	for m in messages:
		fields = _fields(m)
		check(len(fields) == 1 and "forged" not in fields[0], "ours alone", fields)
		check(b"X-Postern-TLS: in the body" in m, "the body stays")
		check(b"Received: from client.test" in m, "the others stay", m[:600])
		if b"tls@c.example" in m:
			check("version=TLSv1.3; cipher=TLS_AES_256_GCM_SHA384; bits=256;" in fields[0] and
			      'certificate=verified; name="out.signed.example"; policy=pass' in fields[0], "facts", fields)
		else:
			check(f"{HEADER}: {NAME}; version=none; policy=report; reason=\"Must issue a STARTTLS" in fields[0],
			      "facts", fields)
	check(milter.counters()["forged"] == 6, "counted", milter.counters())
	check("milter-message action=report id=" in milter.log(), "with Postfix' id", milter.log()[-1500:])
	milter.stop()


@test(weight=10)
def quarantine_is_postfix_hold_queue(place):
	milter, postfix = _house(place)
	send_one_to_keep(postfix)
	wait_for(lambda: len(postfix.delivered()) == 1, "the other arrives", 30)
	held = glob.glob(postfix.folder + "/queue/hold/*")
	check(len(held) == 1, "one is kept", held)
	milter.stop()


@test(weight=10)
def a_reload_drops_no_session_and_an_end_is_a_tempfail(place):
	milter, postfix = _house(place)
	with session(postfix) as old:
		old.command("MAIL FROM:<a@partner.example>", 530)
		milter.rules = 'domain "new.example" { inbound { require = tls } }'
		milter.configure()
		check("milter-reload" in milter.reload(), "reloaded")
		old.command("MAIL FROM:<a@partner.example>", 530)  # as it began
		old.mail("a@new.example", "x@c.example", "Subject: old\r\n\r\nbody\r\n")
		with session(postfix) as c:
			c.command("MAIL FROM:<a@new.example>", 530)
			c.mail("a@partner.example", "x@c.example", "Subject: new\r\n\r\nbody\r\n")
			c.command("QUIT", 221)
		old.command("QUIT", 221)
	wait_for(lambda: len(postfix.delivered()) == 2, "both arrive", 30)
	milter.stop()
	check_nobody_passes_without(postfix)
	milter.start()
	with session(postfix) as c:
		c.command("MAIL FROM:<a@new.example>", 530)
	milter.stop()


@test(weight=10)
def P8_what_comes_from_the_machine_itself_is_exempt(place):
	milter, postfix = _house(place, inside=f'header = "{HEADER}"')  # as by default
	with session(postfix) as c:  # from 127.0.0.1
		c.mail("a@partner.example", "x@bank.example", f"{HEADER}: of the first pass\r\n\r\nbody\r\n")
		c.command("QUIT", 221)
	m = wait_for(postfix.delivered, "it arrives", 30)[0]
	check([f.split(": ")[1] for f in _fields(m)] == ["of the first pass"], "left alone", _fields(m))
	milter.stop()


@test(weight=10)
def L5_a_message_that_is_done_at_mail_speaks_for_itself_alone(place):
	milter, postfix = _house(place, inside="exempt = {}", rules='domain "partner.example" { inbound { require = tls } }')
	send_done_at_mail(postfix, 3)
	wait_for(lambda: len(postfix.delivered()) == 3, "three arrive", 30)
	milter.stop()


@test(weight=10)
def daemons_by_name_and_port(place):
	milter, postfix = _house(place)
	for title in (f":{postfix.port}", "postfix.test"):
		milter.rules = f'daemon "{title}" {{ inbound {{ require = tls }} }}\ndaemon ":1" {{ inbound {{ require = certificate }} }}'
		milter.configure()
		milter.reload()
		with session(postfix) as c:
			said = c.command("MAIL FROM:<a@b.example>")
			check(said.startswith("530") and title.lstrip(":") in said, "refused", said)
		with session(postfix, NEW) as c:
			c.command("MAIL FROM:<a@b.example>", 250)
	milter.stop()


@test(weight=10)
def a_unix_socket_serves_postfix(place):
	milter = Milter(place, RULES, WITH_HEADER + ' socket-group = "postfix"', unix=True).start()
	postfix = _postfix(place, milter)
	with session(postfix) as c:
		c.command("MAIL FROM:<a@partner.example>", 530)
		c.mail("a@b.example", "x@c.example", "Subject: s\r\n\r\nbody\r\n")
		c.command("QUIT", 221)
	m = wait_for(postfix.delivered, "it arrives", 30)[0]
	check("version=none; policy=pass" in _fields(m)[0], "the field", _fields(m))
	milter.stop()

"""postern-milter: the milter protocol as an MTA speaks it, byte by byte, and Debian's miltertest."""
import os
import resource
import shutil
import signal
import stat
import struct
import threading
import time

from milter import (ADDHDRS, ALL_ACTIONS, ALL_STEPS, CHGHDRS, NAME, NOBODY, NODATA, NOEOH, NOHDRS, NOHELO, NORCPT, NOUNKNOWN,
		    NR_CONN, NR_HDR, QUARANTINE, RULES, SETSYMLIST, WITH_HEADER, Milter, Mta, tls)
from place import check, test, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))


def _is(reply, letter, words=b""):
	check(reply[0] == letter and words in reply[1], f"wanted {letter} {words!r}", repr(reply))


@test
def L2_only_what_is_used_is_asked_for(place):
	milter = Milter(place, RULES).start()
	with Mta(milter) as mta:
		check(mta.steps == NOHELO | NOBODY | NOUNKNOWN | NOEOH | NOHDRS | NR_CONN | NR_HDR,
		      "steps spared", hex(mta.steps))
		check(mta.actions == SETSYMLIST | QUARANTINE, "actions", hex(mta.actions))
		# 0 connect, 2 envfrom
		check(sorted(mta.macros) == [0, 2], "stages with lists", mta.macros)
		check({"{tls_version}", "{cipher}", "{cipher_bits}", "{verify}", "{cert_subject}", "{cert_issuer}",
		       "{cn_subject}", "i"} == set(mta.macros[2]), "at MAIL", mta.macros)
		check({"v", "{daemon_name}", "{daemon_port}"} == set(mta.macros[0]), "at connect", mta.macros)
	milter.rules = 'domain "partner.example" { inbound { require = tls } }'
	milter.inside = 'header = "X-Postern-TLS"'
	milter.configure()
	milter.reload()
	with Mta(milter) as mta:
		check(mta.actions == SETSYMLIST | ADDHDRS | CHGHDRS, "with a header", hex(mta.actions))
		check(not mta.steps & NOHDRS and mta.steps & NR_HDR, "headers are seen", hex(mta.steps))
		check(mta.steps & NORCPT, "no rule of recipients, no RCPT", hex(mta.steps))
		mta.connected()
		_is(mta.mail("a@partner.example", macros=tls()), "c")
		check(not mta.steps & NODATA, "over TCP DATA is answered", hex(mta.steps))
		mta.recipient("x@c.example")
		mta.send("T")
		_is(mta.receive(), "c")
	beside = Milter(place, RULES, unix=True, name="beside").start()
	with Mta(beside) as mta:
		check(mta.steps & NODATA, "and only there", hex(mta.steps))
	beside.stop()
	# with nothing to ask for afterwards a message is done at MAIL, but the next one is not
	milter.inside = "exempt = {}"
	milter.configure()
	milter.reload()
	with Mta(milter) as mta:
		check(mta.steps & NODATA and mta.steps & NORCPT and mta.steps & NOHDRS, "nor DATA", hex(mta.steps))
		mta.connected()
		_is(mta.mail("a@b.example"), "a")
		_is(mta.mail("a@partner.example"), "y", b"530")
		_is(mta.mail("a@b.example"), "a")
	milter.rules, milter.inside = RULES, "exempt = {}"
	milter.configure()
	milter.reload()
	# an MTA that cannot be asked for macros, nor be spared replies: HELO's macros are what there is
	with Mta(milter, ALL_ACTIONS & ~SETSYMLIST, 0x7f) as mta:
		check(not mta.macros and not mta.steps & NOHELO, "HELO is seen", mta.macros, hex(mta.steps))
		_is(mta.connected(), "c")
		_is(mta.helo(macros=tls()), "c")
		_is(mta.mail("a@partner.example"), "c")
	with Mta(milter, ALL_ACTIONS & ~SETSYMLIST, 0x7f) as mta:
		mta.connected()
		_is(mta.helo(), "c")
		_is(mta.mail("a@partner.example"), "y", b"530 5.7.0 Must issue")
	milter.stop()


@test
def E4_replies_say_what_is_missing(place):
	milter = Milter(place, RULES).start()
	rows = (
		("a@partner.example", {}, "y", b"530 5.7.0 Must issue a STARTTLS command first: our rule for mail from "
		 b"partner.example demands TLS\0"),
		("a@partner.example", tls("TLSv1.2"), "c", b""),
		("a@partner.example", tls("TLSv1"), "y", b"554 5.7.0 Our rule for mail from partner.example demands TLS1.2"),
		("a@modern.example", tls("TLSv1.2"), "y", b"demands TLS1.3 and you speak TLS1.2"),
		("a@modern.example", tls(), "c", b""),
		("a@signed.example", tls(), "y", b"554 5.7.1 Our rule for mail from signed.example demands a client"),
		("a@signed.example", tls(cert_subject="out.signed.example", cert_issuer="CA"), "c", b""),
		("a@signed.example", tls(cert_subject="evil.example", cert_issuer="CA"), "y", b"yours is for [evil.example]"),
		("a@strong.example", tls(cipher="ECDHE-RSA-AES128-SHA", bits="128"), "y", b"554 5.7.0 "),
		("a@strong.example", tls(cipher="ECDHE-RSA-AES256-SHA384"), "y", b"does not admit the cipher"),
		("a@strong.example", tls(), "c", b""),
		("a@later.example", {}, "y", b"451 4.7.0 Must issue"),
		("a%41@partner.example", {}, "y", b"530"),
		("a@elsewhere.example", {}, "c", b""),
		("", {}, "c", b""),
	)
	for sender, macros, letter, words in rows:
		with Mta(milter) as mta:
			mta.connected()
			_is(mta.mail(sender, macros=macros), letter, words)
	check("milter-objection action=reject code=530" in milter.log(), "a line in the log", milter.log()[-2000:])
	counted = milter.counters()
	check(counted["rejected"] == 8 and counted["tempfailed"] == 1, "counted", counted)
	milter.stop()


@test
def P2_sendmail_must_say_that_it_verified(place):
	milter = Milter(place, RULES).start()
	subject = {"cert_subject": "/O=Signed+20Ltd/CN=out.signed.example", "cn_subject": "out.signed.example",
		   "cert_issuer": "/CN=out.signed.example"}
	for verify, letter in (("OK", "c"), ("FAIL", "y"), ("NO", "y"), (None, "y")):
		with Mta(milter) as mta:
			mta.connected(macros={"v": "8.17.1.9"})
			more = {"verify": verify} if verify else {}
			_is(mta.mail("a@signed.example", macros=tls(**subject, **more)), letter)
	# and whoever does not say that he is Postfix is believed no sooner
	with Mta(milter) as mta:
		mta.connected(macros={"v": ""})
		_is(mta.mail("a@signed.example", macros=tls(cert_subject="out.signed.example")), "y", b"554 5.7.1")
	milter.stop()


@test
def K6_a_message_knows_nothing_of_the_one_before(place):
	milter = Milter(place, RULES, WITH_HEADER).start()
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("a@kept.example"), "c")  # will be kept back
		_is(mta.recipient("x@b.example"), "c")
		mta.header("X-Postern-TLS", "forged")
		mta.abort()
		_is(mta.mail("a@partner.example", macros=tls()), "c")
		_is(mta.recipient("x@b.example"), "c")
		replies = mta.end()
		check([r[0] for r in replies] == ["i", "c"], "neither kept nor cleaned", replies)
		check(b"version=TLSv1.3" in replies[0][1] and b"policy=pass" in replies[0][1], "facts", replies)
		# without an abort in between
		_is(mta.mail("a@watch.example"), "c")
		_is(mta.mail("a@partner.example", macros=tls("TLSv1.2")), "c")
		mta.recipient("x@c.example")
		replies = mta.end()
		check(b"version=TLSv1.2" in replies[0][1] and b"policy=pass" in replies[0][1], "facts", replies)
	milter.stop()


@test
def one_recipient_is_refused_the_others_are_kept(place):
	milter = Milter(place, RULES).start()
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("a@b.example"), "c")
		_is(mta.recipient("x@c.example"), "c")
		_is(mta.recipient("joe@Bank.Example"), "y", b"530 5.7.0 Must issue a STARTTLS command first: our rule for "
		    b"mail to Bank.Example")
		_is(mta.recipient("y@c.example"), "c")
		check([r[0] for r in mta.end()] == ["c"], "the message goes on")
		_is(mta.mail("a@b.example", macros=tls()), "c")
		_is(mta.recipient("joe@bank.example"), "c")
	milter.stop()


@test
def modes_report_and_keep_back(place):
	milter = Milter(place, RULES, WITH_HEADER).start()
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("a@watch.example"), "c")
		mta.recipient("x@c.example")
		replies = mta.end()
		check([r[0] for r in replies] == ["i", "c"] and b"policy=report;\n\treason=\"Must issue" in replies[0][1],
		      "reported in the header", replies)
		_is(mta.mail("a@kept.example"), "c")
		mta.recipient("x@c.example")
		replies = mta.end()
		check([r[0] for r in replies] == ["i", "q", "c"] and b"Must issue a STARTTLS" in replies[1][1],
		      "kept back", replies)
	# an MTA that keeps nothing back does not let it pass for that
	with Mta(milter, ALL_ACTIONS & ~QUARANTINE) as mta:
		mta.connected()
		_is(mta.mail("a@kept.example"), "y", b"451 4.7.0")
	counted = milter.counters()
	check((counted["reported"], counted["quarantined"], counted["tempfailed"]) == (1, 1, 1), "counted", counted)
	check("action=report" in milter.log() and "action=quarantine" in milter.log(), "logged", milter.log()[-2000:])
	milter.stop()


@test
def incoming_copies_of_the_header_are_taken_out(place):
	milter = Milter(place, RULES, 'exempt = { "192.0.2.77" } header = "X-Postern-TLS"').start()
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("a@b.example"), "c")
		mta.recipient("x@c.example")
		for name in ("X-Postern-TLS", "Subject", "x-postern-tls ", "X-POSTERN-TLS", "X-Postern-TLS2"):
			mta.header(name, "mx.postern.test; version=TLSv1.3; policy=pass")
		replies = mta.end()
		check([r[0] for r in replies] == ["m", "m", "m", "i", "c"], "three go, one comes", replies)
		check([struct.unpack("!I", r[1][:4])[0] for r in replies[:3]] == [3, 2, 1], "the last first", replies)
		check(all(r[1][4:] == b"X-Postern-TLS\0\0" for r in replies[:3]), "emptied", replies)
		check(replies[3][1].startswith(b"\0\0\0\0X-Postern-TLS\0" + NAME.encode() + b"; version=none; policy=pass"),
		      "ours on top", replies)
		check(milter.counters()["forged"] == 3, "counted")
	# what comes back from a filter keeps what it was given at first
	with Mta(milter) as mta:
		mta.connected(ip="192.0.2.77")
		_is(mta.mail("a@partner.example"), "a")
	milter.stop()


@test
def P8_P9_loopback_and_named_daemons_are_exempt(place):
	milter = Milter(place, RULES, 'exempt-daemons = { "reinject", ":10025" }').start()
	for arguments, letter in (
		({"ip": "127.0.0.1"}, "a"), ({"ip": "::1", "family": "6"}, "a"),
		({"host": "localhost", "family": "U"}, "a"),  # sendmail -bs, pickup
		({"host": "elsewhere", "family": "U"}, "y"),
		({"ip": "192.0.2.9"}, "y"),
		({"macros": {"{daemon_name}": "reinject"}}, "a"),
		({"macros": {"{daemon_port}": "10025"}}, "a"),
		({"macros": {"{daemon_port}": "25"}}, "y"),
	):
		with Mta(milter) as mta:
			_is(mta.connected(**arguments), "c")  # P4: nothing is refused yet
			_is(mta.mail("a@partner.example"), letter)
	check(milter.counters()["exempt"] == 5, "counted", milter.counters())
	milter.stop()


@test
def Q1_requiretls_needs_tls_and_has_no_value(place):
	milter = Milter(place, RULES).start()
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("a@b.example", "SIZE=100", "RequireTLS"), "y", b"530 5.7.0 Must issue a STARTTLS command first: "
		    b"REQUIRETLS")
		_is(mta.mail("a@b.example", "REQUIRETLS", macros=tls("TLSv1.2")), "c")
		_is(mta.mail("a@b.example", "SIZE=100", "XREQUIRETLS"), "c")
		_is(mta.mail("a@b.example", "requiretls=yes", macros=tls()), "y", b"501 5.5.4 REQUIRETLS has no value")
		_is(mta.mail("a@b.example", "REQUIRETLS=", "REQUIRETLS", macros=tls()), "y", b"501 5.5.4")
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("", "REQUIRETLS"), "y", b"530")  # bounces, too
		_is(mta.mail("a@b.example", "REQUIRETLS=yes"), "y", b"530")
	check("rule=\"RFC 8689\"" in milter.log(), "the log says whose rule", milter.log()[-800:])
	milter.inside = "mode = report"  # and the loopback is exempt
	milter.configure()
	milter.reload()
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("a@b.example", "REQUIRETLS"), "c")
		_is(mta.mail("a@b.example", "REQUIRETLS=yes", macros=tls()), "c")
	check(milter.log().count("action=report") == 2, "reported", milter.log()[-800:])
	with Mta(milter) as mta:
		mta.connected(ip="127.0.0.1")
		_is(mta.mail("a@b.example", "REQUIRETLS"), "a")
	milter.stop()


@test
def L1_percent_signs_come_through(place):
	milter = Milter(place, 'domain "*" { inbound { require = tls } }').start()
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("a@50%off%s.example"), "y", b"our rule for mail from 50%%off%%s.example demands TLS\0")  # doubled on the wire
	milter.stop()


@test
def P4_P5_nothing_is_refused_before_mail_and_no_id_is_needed(place):
	milter = Milter(place, 'client "192.0.2.0/24" { inbound { require = certificate } }').start()
	with Mta(milter, ALL_ACTIONS & ~SETSYMLIST, 0x7f) as mta:  # each stage with a reply
		_is(mta.connected(), "c")
		_is(mta.helo(), "c")
		_is(mta.helo(macros=tls()), "c")  # after STARTTLS
		_is(mta.mail(""), "y", b"554 5.7.1")
		check(" id=" not in milter.log(), "no id was told", milter.log())
	milter.stop()


@test(weight=5)
def K3_hundreds_of_sessions_are_served_at_once(place):
	milter = Milter(place, RULES).start()
	sessions = [Mta(milter) for _ in range(300)]
	for mta in sessions:
		mta.connected()
	with Mta(milter) as mta:  # beside those who are silent
		mta.connected()
		_is(mta.mail("a@partner.example"), "y", b"530")
	begin = time.monotonic()
	for mta in sessions:  # all become ready before any is read
		mta.define("M", {})
		mta.send("M", b"<a@partner.example>\0")
	for mta in sessions:
		_is(mta.receive(), "y", b"530")
	took = time.monotonic() - begin
	check(took < 8, f"300 answers took {took:.1f} s, an MTA waits ten")  # sanitizers and a busy machine included
	for mta in sessions:
		mta.close()
	milter.stop()


@test(weight=5)
def thousands_of_silent_connections_keep_nobody_waiting(place):
	soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
	resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
	milter = Milter(place, RULES, build="optimised").start()
	silent = [milter.connect() for _ in range(1500)]  # not even a first word
	sessions = [Mta(milter) for _ in range(1500)]
	threads = len(os.listdir(f"/proc/{milter.process.pid}/task"))
	check(threads < 50, "a thread for each would be too many", threads)
	begin = time.monotonic()
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("a@partner.example"), "y", b"530")
	took = time.monotonic() - begin
	check(took < 5, f"one who speaks waited {took:.1f} s")
	milter.stop()  # with all of them there
	for s in silent + [m.socket for m in sessions]:
		s.close()


@test
def a_header_does_not_wait_for_the_kernel_of_the_mta(place):
	milter = Milter(place, RULES, WITH_HEADER).start()
	waits = []
	with Mta(milter) as mta:
		mta.connected()
		for _ in range(9):
			_is(mta.mail("a@b.example"), "c")
			_is(mta.recipient("x@c.example"), "c")
			mta.define("E", {"i": "4ABCDEF"})
			mta.send("E")
			check(mta.receive()[0] == "i", "the field")
			begin = time.monotonic()
			check(mta.receive()[0] == "c", "the answer")
			waits.append(time.monotonic() - begin)
	# 40 ms each where two small packets wait for an acknowledgement in between
	check(sorted(waits)[4] < 0.03, "the answer comes right behind", waits)
	milter.stop()


@test
def K4_libmilter_takes_no_signal_from_us(place):
	milter = Milter(place, RULES).start()
	ours = 1 << signal.SIGHUP - 1 | 1 << signal.SIGTERM - 1 | 1 << signal.SIGINT - 1
	tasks, pid = f"/proc/{milter.process.pid}/task", str(milter.process.pid)

	def takers():
		"""Who waits for a signal in sigwait has it unblocked meanwhile."""
		found = []
		for task in os.listdir(tasks):
			with open(f"{tasks}/{task}/status") as f:
				blocked = int([l for l in f if l.startswith("SigBlk")][0].split()[1], 16)
			if blocked & ours != ours:
				found.append(task)
		return found
	with Mta(milter) as mta:  # its threads are all there
		mta.connected()
		_is(mta.mail("a@partner.example"), "y", b"530")
		wait_for(lambda: len(os.listdir(tasks)) >= 5 and takers() == [pid], "only our own thread takes them", 10)
	milter.stop()


@test
def it_ends_at_once_with_sessions_open(place):
	for unix in (False, True):
		milter = Milter(place, RULES, unix=unix, name=f"milter{unix}").start()
		with Mta(milter) as mta:
			mta.connected()
			begin = time.monotonic()
			milter.stop()
			took = time.monotonic() - begin
		# libmilter alone looks every five seconds; a leak check is in this
		check(took < 3, f"it took {took:.1f} s")


@test
def clients_by_name_and_daemons(place):
	milter = Milter(place, """
client ".partner.example" { inbound { require = tls } }
client "192.0.2.0/24" { inbound { minimum = "TLS1.3" mode = tempfail } }
daemon "smtps" { inbound { require = certificate } }
""").start()
	for arguments, macros, letter, words in (
		({"ip": "198.51.100.1", "host": "mx.partner.example"}, {}, "y", b"the client mx.partner.example"),
		({"ip": "198.51.100.1", "host": "unknown"}, {}, "c", b""),
		({"ip": "198.51.100.1", "host": "mx.partner.example"}, tls("TLSv1.2"), "c", b""),
		({"ip": "192.0.2.1", "host": "x.example"}, tls("TLSv1.2"), "y", b"451 4.7.0 Our rule for clients in 192.0.2.0/24"),
		({"ip": "198.51.100.1", "macros": {"{daemon_name}": "smtps"}}, tls(), "y", b"554 5.7.1 Our rule for our service smtps"),
		({"ip": "198.51.100.1", "macros": {"{daemon_name}": "smtps"}}, tls(cert_issuer="CA"), "c", b""),
	):
		with Mta(milter) as mta:
			mta.connected(**arguments)
			_is(mta.mail("", macros=macros), letter.replace("c", "a"), words)  # done: no rule of recipients
	milter.stop()


@test
def a_reload_is_for_sessions_to_come(place):
	milter = Milter(place, RULES).start()
	old = Mta(milter)
	old.connected()
	_is(old.mail("a@partner.example"), "y", b"530")
	milter.rules = 'domain "new.example" { inbound { require = tls } }'
	milter.configure()
	check("milter-reload" in milter.reload(), "reloaded")
	_is(old.mail("a@partner.example"), "y", b"530")  # as it began
	_is(old.mail("a@new.example"), "c")
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("a@partner.example"), "a")
		_is(mta.mail("a@new.example"), "y", b"530")
		milter.rules = "domain {"
		milter.configure()
		check("reload-failed" in milter.reload(), "a bad file changes nothing")
		_is(mta.mail("a@new.example"), "y", b"530")
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("a@new.example"), "y", b"530")
	old.close()
	milter.stop()


@test
def reloads_under_load_disturb_nobody(place):
	milter = Milter(place, RULES).start()
	problems, is_over = [], threading.Event()

	def work():
		try:
			while not is_over.is_set():
				with Mta(milter) as clear, Mta(milter) as mta:
					clear.connected()
					mta.connected()
					for _ in range(5):
						_is(clear.mail("a@partner.example"), "y", b"530")
						_is(mta.mail("a@partner.example", macros=tls()), "c")
						_is(mta.recipient("x@bank.example"), "c")
						check([r[0] for r in mta.end()] == ["c"], "it goes on")
		except Exception as e:
			problems.append(e)
	threads = [threading.Thread(target=work) for _ in range(8)]
	for t in threads:
		t.start()
	for _ in range(int(20 * place.scale) + 2):
		check("milter-reload" in milter.reload(), "reloaded")
	is_over.set()
	for t in threads:
		t.join()
	check(not problems, "no session was disturbed", problems[:3])
	milter.stop()


@test
def bytes_that_are_no_protocol_end_one_connection(place):
	milter = Milter(place, RULES).start()
	with Mta(milter) as good:
		good.connected()
		for junk in (b"\xff\xff\xff\xffO", b"\0\0\0\0", b"GET / HTTP/1.0\r\n\r\n", b"\0\0\0\x01M", b"\0\0\0\x0dO" + b"\0" * 12):
			s = milter.connect()
			s.sendall(junk)
			s.shutdown(1)
			s.close()
		_is(good.mail("a@partner.example"), "y", b"530")
		_is(good.mail("a@partner.example", macros=tls()), "c")
	# an MTA that leaves in the middle
	for _ in range(20):
		mta = Mta(milter)
		mta.connected()
		mta.mail("a@b.example")
		mta.socket.close()
	milter.stop()


@test
def a_unix_socket_has_mode_and_owner_and_one_holder(place):
	milter = Milter(place, RULES, 'exempt = {} socket-mode = "0600"', unix=True).start()
	mode = os.stat(milter.path)
	check(stat.S_ISSOCK(mode.st_mode) and stat.S_IMODE(mode.st_mode) == 0o600, "mode", oct(mode.st_mode))
	if os.geteuid() == 0:
		check(mode.st_uid != 0, "given to the user", mode.st_uid)
		check(os.stat(f"/proc/{milter.process.pid}").st_uid != 0 or
		      "Uid:\t0" not in open(f"/proc/{milter.process.pid}/status").read(), "it is not root")
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("a@partner.example"), "y", b"530")
	second = place.start("second", [milter.program, "-c", milter.config_path])
	check(second.wait(20) == 1 and "start-failed" in place.log("second"), "the second does not start", place.log("second"))
	with Mta(milter) as mta:
		mta.connected()
		_is(mta.mail("a@partner.example"), "y", b"530")
	os.kill(milter.process.pid, signal.SIGKILL)
	milter.process.wait()
	milter.start()  # over the socket that a dead one left
	milter.stop()


@test
def a_file_without_a_milter_says_so(place):
	milter = Milter(place)
	place.write("milter/postern.conf", 'hostname = "mx.postern.test"\n')
	process = place.start("refused", [milter.program, "-c", milter.config_path])
	check(process.wait(20) == 1 and "no section milter" in place.log("refused"), "it says why", place.log("refused"))
	check(": ok" in place.run([milter.program, "-c", milter.config_path, "--check"]), "--check")
	milter.configure()
	said = place.run([milter.program, "-c", milter.config_path, "--check"])
	check("milter          inet:" in said and "rule: reject" in said, "--check with one", said)


@test
def miltertest_scripts(place):
	program = shutil.which("miltertest")
	check(program, "miltertest is not installed: contrib/packages --install test")
	milter = Milter(place, RULES, WITH_HEADER).start()
	folder = HERE + "/miltertest"
	for script in sorted(os.listdir(folder)):
		place.run([program, "-s", f"{folder}/{script}", "-D", f"socket=inet:{milter.port}@{place.ip}"])
	check(milter.counters()["rejected"] >= 4, "the scripts were served", milter.counters())
	milter.stop()

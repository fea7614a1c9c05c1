"""postern-milter behind a real Sendmail, which tells other things of its sessions than Postfix does."""
import glob

from fakehop import FakeHop
from milter import (HEADER, NAME, NEW, OLD, RULES, WITH_HEADER, Milter, check_nobody_passes_without, check_senders,
		    check_tls_right_after_starttls, check_watched, send_done_at_mail, send_one_to_keep, send_watched, session)
from peers import Sendmail
from place import check, test, wait_for


def _house(place, inside=WITH_HEADER):
	milter = Milter(place, RULES, inside).start()
	hop = FakeHop(place.ip)
	mc = f"INPUT_MAIL_FILTER(`postern', `S=inet:{milter.port}@{place.ip}, F=T, T=S:10s;R:10s;E:1m')dnl"
	return milter, Sendmail(place, hop, mc=mc), hop


@test(weight=10)
def E1_P2_sessions_are_let_in_by_what_they_show(place):
	milter, sendmail, _ = _house(place)
	check_senders(place, sendmail, (
		("a@signed.example", NEW, None, "554 5.7.1 Our rule for mail from signed.example demands a client certificate "
		 "and you showed none"),
		# the right names, by nobody we trust: {verify} = FAIL
		("a@signed.example", OLD, "forged", "554 5.7.1 Our rule for mail from signed.example demands a client certificate "
		 "and yours is not accepted: FAIL"),
		("a@any.example", NEW, "other", "250"),
		("a@any.example", NEW, "forged", "554 5.7.1"),
	))
	milter.stop()


@test(weight=10)
def P3_mail_right_after_starttls_has_tls(place):
	milter, sendmail, _ = _house(place)
	check_tls_right_after_starttls(sendmail)
	milter.stop()


@test(weight=10)
def recipients_messages_and_the_header(place):
	milter, sendmail, hop = _house(place)
	send_watched(sendmail, 2, f"{HEADER}: forged\r\n{HEADER.lower()}: forged\r\n{HEADER} : forged\r\n")
	wait_for(lambda: len(hop.messages) == 4, "four messages", 30)
	for m in hop.messages:
		head = m.data.split(b"\r\n\r\n")[0].decode()
		check(head.count(HEADER) + head.count(HEADER.lower()) == 1 and "forged" not in head, "one field, ours", head)
		check(m.header(HEADER).startswith(f"{NAME}; version=none;"), "facts", head)
		check_watched(head, m.header(HEADER))
		check(not any("bank.example" in line for line in m.rcpt_lines), "without the refused one", m.rcpt_lines)
	milter.stop()


@test(weight=10)
def quarantine_daemons_and_an_end(place):
	milter, sendmail, hop = _house(place)
	send_one_to_keep(sendmail)
	wait_for(lambda: len(hop.messages) == 1, "the other goes on", 30)
	kept = glob.glob(sendmail.folder + "/queue/hf*")
	check(len(kept) == 1 and hop.messages[0].header("Subject") == "free", "one is kept", kept)
	milter.rules = 'daemon "MTA" { inbound { require = tls } }'
	milter.configure()
	milter.reload()
	with session(sendmail) as c:
		said = c.command("MAIL FROM:<a@b.example>")
		check(said.startswith("530") and "our service MTA" in said, "by Sendmail's name of its daemon", said)
	# L5: a message that is done at MAIL speaks for itself alone
	milter.rules, milter.inside = RULES.replace("inbound-recipients", "inbound"), "exempt = {}"
	milter.configure()
	milter.reload()
	send_done_at_mail(sendmail, 2)
	# K1: F=T
	milter.stop()
	check_nobody_passes_without(sendmail)

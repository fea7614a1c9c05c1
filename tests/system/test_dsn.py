"""Reports to senders, read by somebody else's parser: Python's email package, strictly."""
import email
import email.policy

from fakehop import FakeHop
from place import check, test, wait_for
from postern import Postern


def _parse(data):
	"""The report; any defect the parser finds, anywhere in it, is a failure."""
	report = email.message_from_bytes(data, policy=email.policy.SMTP)
	for part in report.walk():
		check(not part.defects, "no defects", part.get_content_type(), part.defects)
		for name, value in part.items():
			check(not getattr(value, "defects", ()), "no defects in " + name, str(value),
			      getattr(value, "defects", ()))
	check(report.get_content_type() == "multipart/report", "its type", report.get_content_type())
	check(report.get_param("report-type") == "delivery-status", "report-type", report["content-type"])
	check(all(len(line) <= 998 for line in data.split(b"\r\n")), "no line is too long")
	check(b"\n" not in data.replace(b"\r\n", b"") and b"\r" not in data.replace(b"\r\n", b""),
	      "no bare newline")
	return report


def _bounce(place, reply, to=("bad@hop.test",), sender="from@client.test", **mail):
	hop = FakeHop(place.ip, replies={"RCPT": reply})
	back = FakeHop(place.ip)
	postern = Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}",
					 "client.test": f"smtp {place.ip}:{back.port}"}).start()
	postern.send(sender=sender, to=list(to), **mail)
	wait_for(lambda: back.messages, lambda: postern.log()[-2000:])
	postern.wait_for_empty_queue()
	postern.stop()
	return back.messages[0]


@test
def a_failure_report_is_what_rfc_3464_says(place):
	message = _bounce(place, "550-5.1.1 nobody\r\n550 5.1.1 of this name", ["bad@hop.test", "worse@hop.test"])
	report = _parse(message.data)
	check(report["to"] == "from@client.test" and "MAILER-DAEMON@" in report["from"], "from and to",
	      report["from"], report["to"])
	check(report["auto-submitted"] == "auto-replied", "RFC 3834", report["auto-submitted"])
	check(report["date"].datetime is not None and report["message-id"], "date and id")
	human, status, returned = report.get_payload()
	check(human.get_content_type() == "text/plain" and "bad@hop.test" in human.get_content() and
	      "nobody" in human.get_content(), "words for people", human.get_content())
	check(status.get_content_type() == "message/delivery-status", "the machine's part")
	blocks = status.get_payload()
	check(len(blocks) == 3, "one block for the message and one per recipient", len(blocks))
	check(blocks[0]["reporting-mta"].startswith("dns;") and blocks[0]["arrival-date"], "about the message",
	      blocks[0].items())
	told = {b["final-recipient"].split(";")[1].strip(): b for b in blocks[1:]}
	check(set(told) == {"bad@hop.test", "worse@hop.test"}, "recipients", told)
	for block in blocks[1:]:
		check(block["action"] == "failed" and block["status"] == "5.1.1", "action and status",
		      block.items())
		check(block["diagnostic-code"].startswith("smtp; 550 5.1.1 nobody"), "the hop's words",
		      block["diagnostic-code"])
		check(block["remote-mta"] == f"dns; [{place.ip}]", "who said it", block["remote-mta"])
	check(returned.get_content_type() == "text/rfc822-headers", "the header comes back")
	check("Subject:" in returned.get_payload(), "whole", returned.get_payload())


@test
def hostile_words_do_not_break_a_report(place):
	words = "550 5.7.1 \x01\x1b[2J\xff\xfe --=_boundary-- Final-Recipient: rfc822; other@hop.test " + "w" * 1500
	report = _parse(_bounce(place, words).data)
	blocks = report.get_payload()[1].get_payload()
	check(len(blocks) == 2 and "bad@hop.test" in blocks[1]["final-recipient"], "one recipient",
	      [b.items() for b in blocks])

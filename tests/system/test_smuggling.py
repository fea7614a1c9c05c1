"""SMTP smuggling: whatever stands around a dot, posternd and the hop behind it see the same messages."""
import re
import socket
import time

from client import Client
from fakehop import FakeHop
from place import check, test, wait_for
from postern import Postern

PIECES = (b"", b"\r", b"\n", b"\r\n", b"\0", b"\r\r\n", b"\n\r", b"\r\n\r", b"\r\n\n", b"\r\0\n")
INSIDE = (b"MAIL FROM:<evil@client.test>\r\nRCPT TO:<evil@hop.test>\r\nDATA\r\n"
	  b"Subject: evil\r\n\r\nevil\r\n.\r\n")
HEAD = b"Subject: n\r\n\r\nbody"


def _content(data, normalises):
	"""What a strict reader of RFC 5321 finds: (content, whether it may be kept, what lies behind)."""
	end = 0 if data.startswith(b".\r\n") else data.index(b"\r\n.\r\n") + 2
	content, behind = data[:end], data[end + 3:]
	content = re.sub(rb"(^|\r\n)\.", rb"\1", content)
	return *_kept(content, normalises), behind


def _kept(content, normalises):
	is_good = b"\0" not in content
	if normalises:
		content = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
	else:
		is_good = is_good and not re.search(rb"\r(?!\n)|(?<!\r)\n", content)
	return content, is_good


def _send(postern, data, pieces):
	"""In one packet, or with the bytes around the dot in packets of their own. All replies."""
	with Client(postern.ip, postern.port) as c:
		for line in ("EHLO x", "MAIL FROM:<f@client.test>", "RCPT TO:<to@hop.test>"):
			c.command(line, 250)
		if pieces[0] is None:
			c.command("DATA", 354)
		for piece in pieces[1:]:
			c.send(piece)
			if len(pieces) > 2:
				time.sleep(0.002)
		c.raw.shutdown(socket.SHUT_WR)
		replies = []
		while True:
			reply = c.reply()
			if not reply:
				return replies
			replies.append(reply)


def _around(data, at):
	return [data[:at]] + [data[i:i + 1] for i in range(at, at + 8)] + [data[at + 8:]]


def _judge(what, replies, kept):
	taken = sum("queued as" in r for r in replies)
	check(taken == len(kept), f"{what}: {len(kept)} messages, not {taken}", *replies)


def _all_of(place, setting):
	hop = FakeHop(place.ip)
	postern = Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}, name="p-" + setting,
			  session={"bare-newlines": setting}).start()
	normalises, expected = setting == "normalise", []
	for before in PIECES:
		for after in PIECES:
			data = HEAD + before + b"." + after + INSIDE + b"\r\n.\r\n"
			content, is_good, behind = _content(data, normalises)
			kept = [content] if is_good else []
			# behind a true end an empty command, be it ended by a bare LF, is only a mistake
			if behind.startswith(INSIDE) or (normalises and behind.startswith(b"\n" + INSIDE)):
				kept.append(b"Subject: evil\r\n\r\nevil\r\n")
			for pieces in ([None, data], [None] + _around(data, len(HEAD))):
				_judge((setting, "DATA", before, after, len(pieces)), _send(postern, data, pieces), kept)
				expected += kept
			# the same bytes as a chunk: no end in them, whatever they look like
			data = HEAD + before + b"." + after + INSIDE
			content, is_good = _kept(data, normalises)
			chunk = b"BDAT %d LAST\r\n" % len(data)
			for pieces in ([chunk, chunk + data], [chunk] + _around(chunk + data, len(chunk) + len(HEAD))):
				kept = [content] if is_good else []
				_judge((setting, "BDAT", before, after, len(pieces)), _send(postern, data, pieces), kept)
				expected += kept
	wait_for(lambda: len(hop.messages) >= len(expected), lambda: f"{len(expected)} at the hop: {len(hop.messages)}", 60)
	postern.wait_for_empty_queue()
	found = sorted(re.sub(rb"\AReceived:[^\r]*\r\n(?:\t[^\r]*\r\n)*", b"", m.data) for m in hop.messages)
	check(found == sorted(expected), "the hop has the same messages",
	      [m for m in found if m not in expected][:3], [m for m in expected if m not in found][:3])
	postern.stop()


@test(weight=20)
def every_byte_around_a_dot_refused(place):
	_all_of(place, "refuse")


@test(weight=20)
def every_byte_around_a_dot_normalised(place):
	_all_of(place, "normalise")

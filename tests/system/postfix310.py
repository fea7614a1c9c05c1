"""postfix310: a Postfix that reports TLS (3.10 of Debian 13), in a root folder of its own beside the system's.

The folder holds programs and libraries only. Over it lie, in a mount name space of this test's, the machine's
/etc, /dev, /proc and /run, and the test's folder at its own place: every path means the same inside and outside."""
import os

from peers import Postfix
from place import PEERS, check
from privatenet import MS_BIND, MS_PRIVATE, MS_REC, NEWNS, _call

ROOT = PEERS + "/postfix310"
MACHINE = ("/etc", "/dev", "/proc", "/run")


def _mount(theirs, flags=MS_BIND | MS_REC):
	os.makedirs(ROOT + theirs, exist_ok=True)
	_call("mount", theirs.encode(), (ROOT + theirs).encode(), None, flags, None)


def _open_root(place):
	check(os.path.exists(ROOT + "/usr/lib/postfix/sbin/master"),
	      "Postfix 3.10 is not unpacked: contrib/packages --install test")
	check(os.geteuid() == 0, "Postfix in a root folder of its own is started by root only: use contrib/check")
	_call("unshare", NEWNS)
	_call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
	for folder in MACHINE:
		_mount(folder)
	top = "/" + place.folder.split("/")[1]  # of this test alone, so that nobody's files get in the way
	os.makedirs(ROOT + top, exist_ok=True)
	_call("mount", b"tmpfs", (ROOT + top).encode(), b"tmpfs", 0, None)
	_mount(place.folder, MS_BIND)


class Postfix310(Postfix):
	"""After privatenet.enter(), if that is wanted at all; one for each test."""
	CHROOT = "y"  # as Debian has it

	def __init__(self, place, extra="", **options):
		_open_root(place)
		super().__init__(place, extra="meta_directory = /usr/lib/postfix/etc\n" + extra, **options)

	def program(self, *words):
		return ["chroot", ROOT, *words]

	def environment(self):
		for name in ("postconf", "postfix", "postmap", "posttls-finger"):
			self.place.write("commands/" + name, f'#!/bin/sh\nexec chroot {ROOT} /usr/sbin/{name} "$@"\n', 0o755)
		own = super().environment()
		return {**own, "PATH": self.place.path("commands") + ":" + own["PATH"]}

"""contrib/systemd for postern-policyd and postern-milter alone, with contrib/sendmail's configuration: would they start?"""
import os
import re
import socket

from milter import Mta
from place import SOURCE, check, test, wait_for
from recipe import in_a_month
from test_hops import World
from unit import House, Unit


class _Service:
	def __init__(self, place, house, name):
		self.place, self.unit, self.house = place, Unit(name), house
		self.notify = f"@postern-{os.getpid()}-{name}"
		self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		self.socket.bind("\0" + self.notify[1:])
		self.socket.setblocking(False)

	def start(self):
		environment = {"NOTIFY_SOCKET": self.notify, "ASAN_OPTIONS": "detect_leaks=0"}  # leaks are looked for by ptrace
		before = self.house.start(self.unit, "ExecStartPre", environment)
		check(before.wait(20) == 0, "ExecStartPre", self.log())
		self.process = self.house.start(self.unit, "ExecStart", environment)
		wait_for(lambda: self._is_ready(), lambda: self.log())

	def _is_ready(self):
		check(self.process.poll() is None, "it ended", self.log())
		try:
			return b"READY=1" in self.socket.recv(300)
		except BlockingIOError:
			return False

	def connect(self):
		return socket.create_connection(("127.0.0.1", 8891), 20)

	def log(self):
		return self.place.log(self.unit.name)

	def check_confined(self):
		with open(f"/proc/{self.process.pid}/status") as f:
			status = dict(re.findall(r"^(\w+):\t(.*)$", f.read(), re.M))
		check(status["Uid"].split()[0] == str(self.house.uid) and status["CapBnd"] == status["CapEff"] == "0" * 16 and
		      status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", "it lives as its unit says", status)

	def reload(self, words):
		check(self.unit["ExecReload"] == "/bin/kill -HUP $MAINPID", "reload", self.unit["ExecReload"])
		self.process.send_signal(1)
		wait_for(lambda: words in self.log(), lambda: self.log())

	def stop(self):
		check(self.place.end(self.process) == 0, "it ends well", self.log())


def _ask(key):
	with socket.create_connection(("127.0.0.1", 5461), 20) as s:
		s.settimeout(20)
		s.sendall(b"%d:sts %s," % (len(key) + 4, key))
		return s.recv(4096)


@test(weight=15)
def policyd_and_the_milter_start_as_their_units_say(place):
	if os.geteuid() != 0:
		print("NOTE units are tried as root only")
		return
	w = World(place)
	w.domain("sts.org", state="unsigned")
	w.policy("sts.org", "mx.sts.org")
	w.net.open()
	with open(SOURCE + "/contrib/sendmail/postern.conf") as f:
		config = re.sub('until = ".*"', f'until = "{in_a_month()}"', f.read())
	house = House(place, ("postern-policyd", "postern-milter"), config)
	for name in ("postern-policyd", "postern-milter"):
		said = place.run(["systemd-analyze", "verify", "--man=no", f"{SOURCE}/contrib/systemd/{name}.service"], status=None)
		wrong = [l for l in said.splitlines() if name in l and f"/usr/sbin/{name} is not executable" not in l]
		check(not wrong, "systemd-analyze verify", *wrong)
	policyd, milter = _Service(place, house, "postern-policyd"), _Service(place, house, "postern-milter")
	policyd.start()
	milter.start()
	check(b"OK secure match=mx.sts.org servername=hostname" in _ask(b"sts.org"), "policyd answers", policyd.log())
	with Mta(milter) as mta:
		mta.connected()
		mta.helo()
		letter, words = mta.mail("a@bank.example")
		check(letter == "y" and words.startswith(b"530"), "the milter answers", letter, words)
	for service, words in ((policyd, "policyd-reload"), (milter, "milter-reload")):
		service.check_confined()
		service.reload(words)
		check("warning" not in service.log(), "nothing to warn of", service.log())
	check(b"OK secure" in _ask(b"sts.org"), "policyd answers again")
	milter.stop()
	policyd.stop()
	kept = os.stat(house.root + "/var/lib/postern/mta-sts.db")
	check(kept.st_uid == house.uid and kept.st_size > 0, "what it learned is kept")
	check(os.listdir(house.root + "/run/postern") == [], "nothing is left", os.listdir(house.root + "/run/postern"))


@test
def what_is_pasted_finds_its_folders(place):
	"""Debian as it comes has some below /etc, and none for sysusers.d."""
	units = [f"contrib/systemd/{name}.service" for name in ("postern", "postern-policyd", "postern-milter")]
	for name in ("README.md", "contrib/postfix/README.md", "contrib/sendmail/README.md", *units):
		root = place.path(name.replace("/", "-"))
		for folder in ("systemd/system", "tmpfiles.d", "mail/m4"):
			os.makedirs(f"{root}/etc/{folder}")
		with open(f"{SOURCE}/{name}") as f:
			lines = re.findall(r"^[# ]+((?:install|cp) .*? /etc/\S+)", f.read(), re.M)
		for line in lines:
			place.run(["sh", "-c", line.replace(" /etc/", f" {root}/etc/")],
				  cwd=os.path.join(SOURCE, os.path.dirname(name) if name in units else ""))
		check(os.path.exists(root + "/etc/sysusers.d/postern.conf"), "the user is put in", name, *lines)
		check(os.listdir(root + "/etc/systemd/system"), "and a unit", name, *lines)
		place.run(["systemd-sysusers", "--root=" + root])

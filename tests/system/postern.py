"""postern: an instance under test: its configuration, its processes, its queue and its log."""
import json
import os
import re
import signal

from client import Client
from place import Failure, check, children_of, comm_of, tree_of, wait_for

NAME = "mx.postern.test"


class Postern:
	"""routes: {domain: words}; rules: {domain: the inside of outbound { }}; sections: more text.
	Options of a section are given as a dict by the section's name, e.g. session={"messages": 5}."""

	def __init__(self, place, routes=None, rules=None, sections="", certificates=None,
		     build="sanitized", workers=2, name="postern", shutdown="5s", **options):
		self.place, self.name, self.workers = place, name, workers
		self.folder, self.shutdown = place.path(name), shutdown
		self.port, self.ip = place.free_port(), place.ip
		self.programs = place.build(build)
		self.config_path = self.folder + "/postern.conf"
		self.routes, self.rules, self.sections = dict(routes or {}), dict(rules or {}), sections
		self.listen = ""
		self.certificates = certificates
		if certificates is None:
			self.certificates = [place.certificate(name + "-server", NAME)]
		self.options = {
			"session": {"connections-per-client": 20000, "connections": 20000, "messages": 1000},
			"retry": {"first": "2s", "pause": "1s"},
			"spool": {"minimum-free": "16MiB"},
		}
		for section, values in options.items():
			self.options.setdefault(section, {}).update(values)
		self.process = None
		self.environment = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
				    "UBSAN_OPTIONS": "print_stacktrace=1"}
		self.configure()

	# ---- configuration ---------------------------------------------------------------------
	def text(self):
		def value(v):
			if isinstance(v, bool):
				return "true" if v else "false"
			return str(v) if isinstance(v, int) else f'"{v}"'
		lines = [f'hostname = "{NAME}"', f"workers = {self.workers}",
			 f'run-directory = "{self.folder}/run"', f'shutdown = "{self.shutdown}"',
			 f'listen "{self.ip}:{self.port}" {{ {self.listen} }}',
			 'client "127.0.0.0/8" { relay = true }']
		if os.geteuid() == 0:
			lines.append('user = "nobody"')
		self.options["spool"]["directory"] = self.folder + "/spool"
		for i, (chain, key) in enumerate(self.certificates):
			lines.append(f'certificate "c{i}" {{\n\tchain = "{chain}"\n\tkey = "{key}"\n}}')
		for section, values in self.options.items():
			inside = "".join(f"\t{k} = {value(v)}\n" for k, v in values.items())
			lines.append(f"{section} {{\n{inside}}}")
		for domain, words in self.routes.items():
			lines.append(f'route "{domain}" {{ to = "{words}" }}')
		for domain, inside in self.rules.items():
			lines.append(f'domain "{domain}" {{ outbound {{\n\t{inside}\n}} }}')
		return "\n".join(lines) + "\n" + self.sections + "\n"

	def configure(self, text=None):
		self.place.write(self.name + "/postern.conf", text or self.text())

	# ---- life ------------------------------------------------------------------------------
	def start(self):
		seen = len(self.log())
		program = self.programs + "/smtpd/posternd"
		check(os.path.exists(program), f"{program} is not built")
		self.process = self.place.start(self.name, [program, "-c", self.config_path],
						env=self.environment)
		self.place.wait_for_port(self.port, self.process)
		wait_for(lambda: " ready " in self.log()[seen:] or '"ready"' in self.log()[seen:], "it is ready")
		return self

	def stop(self, seconds=30):
		status = self.place.end(self.process, seconds)
		check(status == 0, f"posternd ended with status {status}")

	def reload(self):
		seen = len(self.log())
		self.process.send_signal(signal.SIGHUP)
		wait_for(lambda: re.search(r" (reload-done|reload-failed)", self.log()[seen:]),
			 "the reload is answered")
		return self.log()[seen:]

	def worker_pids(self):
		return [pid for pid in children_of(self.process.pid) if comm_of(pid).startswith("posternd")]

	def policyd_pid(self):
		"""None: it does not run (now)."""
		found = [p for p in children_of(self.process.pid) if comm_of(p) == "postern-policyd"]
		return found[0] if found else None

	def pids(self):
		return tree_of(self.process.pid)

	# ---- looking ---------------------------------------------------------------------------
	def log(self):
		return self.place.log(self.name)

	def wait_for_log(self, pattern, seconds=15, after=0):
		return wait_for(lambda: re.search(pattern, self.log()[after:]),
				lambda: f"a log line like {pattern!r}", seconds)

	def control(self, *words, status=0):
		return self.place.run([self.programs + "/smtpd/posternctl", "-c", self.config_path, *words],
				      status=status, env={**os.environ, **self.environment})

	def queue(self):
		"""[{id, sender, recipients: [{...}]}] as posternctl queue --json gives it."""
		return [json.loads(line) for line in self.control("queue", "--json").splitlines()]

	def wait_for_empty_queue(self, seconds=15):
		wait_for(lambda: not self.queue(), lambda: f"an empty queue: {self.queue()}", seconds, 0.1)

	# ---- handing it mail -------------------------------------------------------------------
	def client(self, tls=False, **tls_options):
		c = Client(self.ip, self.port)
		c.command("EHLO client.test", 250)
		if tls:
			c.starttls(**tls_options)
			c.command("EHLO client.test", 250)
		return c

	def send(self, sender="from@client.test", to="to@hop.test", data="Subject: t\r\n\r\nbody\r\n", tls=False):
		"""The id in the queue."""
		with self.client(tls) as c:
			reply = c.mail(sender, to, data)
			c.command("QUIT", 221)
		found = re.search(r"queued as (\S+)", reply)
		if not found:
			raise Failure(f"no id in {reply!r}")
		return found.group(1)

"""place: where one system test lives: its folder, its loopback address, its processes, its clean-up."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PEERS = os.environ.get("POSTERN_PEERS") or os.path.join(
	os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "postern-peers")


class Failure(Exception):
	"""What was promised did not happen."""


def test(function=None, weight=1, alone=False):
	"""Marks a test. weight: seconds, roughly (the long ones start first); alone: nothing beside it."""
	def mark(f):
		f.is_test, f.weight, f.alone = True, weight, alone
		return f
	return mark(function) if function else mark


def check(condition, words, *details):
	if not condition:
		raise Failure(words + "".join(f"\n    {d!r}" if not isinstance(d, str) else f"\n    {d}"
					      for d in details))


def wait_for(question, words, seconds=15, pause=0.02):
	"""The first true answer of question(); fails with the words (or their value, if callable)."""
	end = time.monotonic() + seconds
	while True:
		answer = question()
		if answer:
			return answer
		if time.monotonic() > end:
			raise Failure(f"not within {seconds} s: {words() if callable(words) else words}")
		time.sleep(pause)


def as_root(command):
	return command if os.geteuid() == 0 else ["sudo", "-n"] + command


class Place:
	def __init__(self, name, builds, scale=1.0):
		self.name = name
		self.builds = builds      # {"sanitized": folder, "optimised": folder}
		self.scale = scale        # how much of the long tests to run
		self.folder = tempfile.mkdtemp(prefix=f"postern-{name}-")
		os.chmod(self.folder, 0o755)
		# An address of our own, so that ports never meet those of a test beside us.
		n = os.getpid() % (250 * 250)
		self.ip = f"127.{64 + os.getpid() // (250 * 250) % 64}.{1 + n // 250}.{1 + n % 250}"
		self.processes = []       # (name, Popen, log path)
		self.cleanups = []
		self.logs = []

	def path(self, *names):
		return os.path.join(self.folder, *names)

	def write(self, name, text, mode=0o644):
		path = self.path(name)
		os.makedirs(os.path.dirname(path), exist_ok=True)
		with open(path, "w") as f:
			f.write(text)
		os.chmod(path, mode)
		return path

	def free_port(self):
		with socket.socket() as s:
			s.bind((self.ip, 0))
			return s.getsockname()[1]

	def build(self, kind="sanitized"):
		return self.builds.get(kind) or next(iter(self.builds.values()))

	# ---- processes -------------------------------------------------------------------------
	def start(self, name, command, stdin=subprocess.DEVNULL, env=None, **options):
		log = self.path(name + ".log")
		if log not in self.logs:
			self.logs.append(log)
		with open(log, "ab") as out:
			process = subprocess.Popen(command, stdin=stdin, stdout=out, stderr=out,
						   env={**os.environ, **(env or {})}, **options)
		self.processes.append((name, process))
		return process

	def run(self, command, input=None, timeout=60, status=0, **options):
		done = subprocess.run(command, input=input, stdout=subprocess.PIPE,
				      stderr=subprocess.STDOUT, timeout=timeout, text=True,
				      errors="replace", **options)
		if status is not None:
			check(done.returncode == status,
			      f"{' '.join(command)}: status {done.returncode}, not {status}", done.stdout[-3000:])
		return done.stdout

	def end(self, process, seconds=20):
		"""SIGTERM, then SIGKILL; the exit status."""
		if process.poll() is None:
			process.terminate()
			try:
				process.wait(seconds)
			except subprocess.TimeoutExpired:
				process.kill()
				process.wait()
		return process.returncode

	def log(self, name):
		try:
			with open(self.path(name + ".log"), errors="replace") as f:
				return f.read()
		except FileNotFoundError:
			return ""

	def wait_for_port(self, port, process=None, ip=None, seconds=30):
		def is_open():
			if process is not None and process.poll() is not None:
				raise Failure(f"ended at once with status {process.returncode}")
			try:
				with socket.create_connection((ip or self.ip, port), timeout=5) as s:
					s.settimeout(10)
					return s.recv(4) == b"220 "
			except OSError:
				return False
		wait_for(is_open, f"nobody answers on port {port}", seconds)

	# ---- keys ------------------------------------------------------------------------------
	def ca(self, folder="keys"):
		self.run([SOURCE + "/contrib/throwaway-ca", self.path(folder), "ca"])
		return self.path(folder, "ca.pem")

	def certificate(self, name, *dns_names, kind="ecdsa", folder="keys", expired=False):
		"""(certificate path, key path), signed by the folder's CA, which is made if needed."""
		if not os.path.exists(self.path(folder, "ca.pem")):
			self.ca(folder)
		self.run([SOURCE + "/contrib/throwaway-ca", self.path(folder), name, kind, *dns_names],
			 env={**os.environ, "EXPIRED": "yes" if expired else "no"})
		return self.path(folder, name + ".pem"), self.path(folder, name + ".key")

	# ---- the end ---------------------------------------------------------------------------
	def close(self):
		for cleanup in reversed(self.cleanups):
			try:
				cleanup()
			except Exception as e:  # the next clean-up must still happen
				print(f"    (clean-up: {e})")
		for name, process in reversed(self.processes):
			self.end(process)

	def remove(self):
		try:
			shutil.rmtree(self.folder)
		except OSError:
			subprocess.run(as_root(["rm", "-rf", self.folder]), check=False)

	def show_logs(self, lines=40):
		for path in self.logs:
			try:
				with open(path, errors="replace") as f:
					tail = f.read().splitlines()[-lines:]
			except OSError:
				continue
			print(f"    --- {path}")
			for line in tail:
				print("    | " + line[:400])


def children_of(pid):
	"""Pids of the living children."""
	try:
		with open(f"/proc/{pid}/task/{pid}/children") as f:
			return [int(p) for p in f.read().split()]
	except (FileNotFoundError, ProcessLookupError):
		return []


def comm_of(pid):
	"""The short name of a process; "" when it is gone."""
	try:
		with open(f"/proc/{pid}/comm") as f:
			return f.read().strip()
	except (FileNotFoundError, ProcessLookupError):  # gone before, or while we read
		return ""


def tree_of(pid):
	pids = [pid]
	for p in pids:
		pids += children_of(p)
	return pids


def status_kib(pid, key):
	"""A size from /proc/PID/status, such as VmRSS; 0 when it is gone."""
	try:
		with open(f"/proc/{pid}/status") as f:
			for line in f:
				if line.startswith(key + ":"):
					return int(line.split()[1])
	except FileNotFoundError:
		pass
	return 0


def kill_quietly(pid, number=signal.SIGKILL):
	try:
		os.kill(pid, number)
		return True
	except ProcessLookupError:
		return False

"""machine: processor time and memory of a tree of processes, and a journaled disk for the queues."""
import os
import subprocess
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")


def children_of(pid):
	pids = []
	try:
		for thread in os.listdir(f"/proc/{pid}/task"):
			with open(f"/proc/{pid}/task/{thread}/children") as f:
				pids += [int(p) for p in f.read().split()]
	except OSError:
		pass
	return pids


def tree_of(pid):
	pids = [pid]
	for p in pids:
		pids += children_of(p)
	return pids


def cpu_of_threads(pid):
	"""Seconds its living threads ran, to the nanosecond: the ticks of /proc/PID/stat are cut off for
	each process, which would hide a quarter of what many short processes use."""
	total = 0
	for thread in os.listdir(f"/proc/{pid}/task"):
		with open(f"/proc/{pid}/task/{thread}/schedstat") as f:
			total += int(f.read().split()[0])
	return total / 1e9


def cpu_of_tree(pid):
	"""Seconds, with children that ended (they are counted in the parent that waited for them)."""
	seconds = 0
	for p in tree_of(pid):
		try:
			with open(f"/proc/{p}/stat") as f:
				seconds += sum(map(int, f.read().rsplit(")", 1)[1].split()[13:15])) / TICK
			seconds += cpu_of_threads(p)
		except OSError:
			pass
	return seconds


def machine_cpu():
	"""Seconds all processors were busy."""
	with open("/proc/stat") as f:
		fields = list(map(int, f.readline().split()[1:]))
	return (sum(fields[:8]) - fields[3] - fields[4]) / TICK


def memory_of_tree(pid):
	"""MiB, proportional share (PSS): what the machine would have more without them."""
	kib = 0
	for p in tree_of(pid):
		try:
			with open(f"/proc/{p}/smaps_rollup") as f:
				kib += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
		except OSError:
			pass
	return kib / 1024


class MemoryWatch:
	"""The most memory_of_tree while something runs."""

	def __init__(self, pid):
		self.pid, self.most, self.is_over = pid, 0, False
		self.thread = threading.Thread(target=self._watch, daemon=True)
		self.thread.start()

	def _watch(self):
		while not self.is_over:
			self.most = max(self.most, memory_of_tree(self.pid))
			time.sleep(0.02)

	def peak(self):
		self.is_over = True
		self.thread.join()
		return self.most


class Journaled:
	"""A folder on an ext4 with a journal: a loop device if possible, else a plain folder."""

	def __init__(self, work, given, size="6G"):
		self.loop = None
		self.mounted = False
		self.folder = os.path.join(given or work, "queues")
		os.makedirs(self.folder, exist_ok=True)
		self.words = f"plain folder {self.folder} (fsync as cheap as its file system)"
		if given:
			return
		image = os.path.join(work, "disk")
		quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
		try:
			subprocess.run(["truncate", "-s", size, image], check=True)
			subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image],
				       check=True, **quiet)
			self.loop = subprocess.run(
				["losetup", "--find", "--show", "--direct-io=on", image], check=True, text=True,
				stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip()
			subprocess.run(["mount", self.loop, self.folder], check=True, **quiet)
			self.mounted = True
			os.chmod(self.folder, 0o755)
			self.words = "ext4 with a journal on a loop device"
		except (subprocess.CalledProcessError, FileNotFoundError):
			self.close()

	def close(self):
		if self.mounted:
			subprocess.run(["umount", self.folder], check=False)
			self.mounted = False
		if self.loop:
			subprocess.run(["losetup", "-d", self.loop], check=False)
			self.loop = None

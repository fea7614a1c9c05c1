"""unit: a service of contrib/systemd/ lives as its file says, as far as that goes without systemd: as its user, in a
file system of its own that is read-only but for its directories, without capabilities, with its system calls alone."""
import ctypes
import os
import pwd
import re
import resource
import shlex
import shutil
import socket
import struct
import subprocess

from place import SOURCE, Failure, check
from privatenet import MS_BIND, MS_PRIVATE, MS_REC, NEWNS, _call

MS_RDONLY, MS_REMOUNT = 1, 32
PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 22, 24, 38
ALLOW, EPERM, EAFNOSUPPORT = 0x7fff0000, 0x00050001, 0x00050061
PROT_WRITE, PROT_EXEC = 2, 4
NUMBER_AT, FIRST_AT, THIRD_AT = 0, 16, 32  # in struct seccomp_data
HOST = ("usr/bin", "usr/lib", "usr/lib64", "usr/share", "etc/ssl", "etc/nsswitch.conf", "etc/hosts", "etc/services",
	"etc/resolv.conf", "etc/ld.so.cache", "etc/unbound", "dev/null", "dev/random", "dev/urandom", "proc")
_libc = ctypes.CDLL(None, use_errno=True)


class Unit:
	def __init__(self, name):
		self.name, self.settings = name, {}
		with open(f"{SOURCE}/contrib/systemd/{name}.service") as f:
			for key, value in re.findall(r"^(\w+)=(.*)$", f.read(), re.M):
				self.settings[key] = value

	def __getitem__(self, key):
		return self.settings[key]

	def directories(self):
		"""[(path, mode)] that systemd would make and give to the user."""
		return [(f"{top}/{self[key]}", int(self.settings.get(key + "Mode", "0755"), 8))
			for key, top in (("RuntimeDirectory", "/run"), ("StateDirectory", "/var/lib")) if key in self.settings]

	def system_calls(self, place):
		"""The numbers of this machine for what SystemCallFilter= lets through."""
		names, sets = set(), [self["SystemCallFilter"]]
		while sets:
			said = place.run(["systemd-analyze", "syscall-filter", sets.pop()])
			words = [line.strip() for line in said.splitlines()[1:]]
			sets += [w for w in words if w.startswith("@")]
			names.update(w for w in words if w and w[0] not in "@#")
		defined = place.run(["gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"])
		numbers = dict(re.findall(r"^#define __NR_(\w+) (\d+)$", defined, re.M))
		return {name: int(numbers[name]) for name in names | {"socket", "mmap", "mprotect"} if name in numbers}


class House:
	"""The root of the file system a service sees: this machine's libraries, our programs and files at their places."""

	def __init__(self, place, programs, config):
		self.place, self.root = place, place.path("house")
		for path in HOST:
			self._stand_for(path)
		for link, to in (("lib", "usr/lib"), ("lib64", "usr/lib64"), ("bin", "usr/bin"), ("sbin", "usr/sbin")):
			os.symlink(to, f"{self.root}/{link}")
		for program in programs:
			self.put(f"{place.build('optimised')}/smtpd/{program}", f"usr/sbin/{program}", 0o755)
		self.put(SOURCE + "/contrib/systemd/postern.sysusers", "etc/sysusers.d/postern.conf")
		place.run(["systemd-sysusers", "--root=" + self.root])
		with open(self.root + "/etc/passwd") as f:
			uid, gid = re.search(r"^postern:.*?:(\d+):(\d+):", f.read(), re.M).groups()
		self.uid, self.gid = int(uid), int(gid)
		place.write("house/etc/postern/postern.conf", config)

	def _stand_for(self, path):
		if os.path.isdir("/" + path):
			os.makedirs(f"{self.root}/{path}")
		elif os.path.exists("/" + path):
			self.place.write("house/" + path, "")

	def put(self, source, path, mode=0o644):
		os.makedirs(os.path.dirname(f"{self.root}/{path}"), exist_ok=True)
		os.chmod(shutil.copy(source, f"{self.root}/{path}"), mode)

	def start(self, unit, line, environment):
		"""A line of the unit, Exec...=, in its confinement."""
		for path, mode in unit.directories():
			os.makedirs(self.root + path, exist_ok=True)
			os.chmod(self.root + path, mode)
			os.chown(self.root + path, self.uid, self.gid)
		os.makedirs(self.root + "/tmp", exist_ok=True)
		calls = unit.system_calls(self.place)
		log = open(self.place.path(unit.name + ".log"), "ab")
		self.place.logs.append(log.name)
		process = subprocess.Popen(shlex.split(unit[line]), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
					   preexec_fn=lambda: self._confine(unit, calls), cwd="/")
		self.place.processes.append((unit.name, process))
		return process

	# ---- in the child ------------------------------------------------------------------------
	def _confine(self, unit, calls):
		self._move_in([path for path, _ in unit.directories()])
		os.umask(int(unit["UMask"], 8))
		most = min(int(unit["LimitNOFILE"]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
		resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
		check(unit["CapabilityBoundingSet"] == "" and unit["NoNewPrivileges"] == "yes", "as we do it here")
		for capability in range(64):
			_libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
		check(pwd.getpwnam(unit["User"]).pw_uid == self.uid and unit["Group"] == unit["User"], "the user of sysusers")
		os.setgroups([])
		os.setresgid(self.gid, self.gid, self.gid)
		os.setresuid(self.uid, self.uid, self.uid)
		check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges")
		_filter(calls, unit["RestrictAddressFamilies"].split())

	def _move_in(self, writable):
		_call("unshare", NEWNS)
		_call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
		_bind(self.root, self.root)
		for path in HOST:
			if os.path.exists("/" + path):
				_bind("/" + path, f"{self.root}/{path}")
		for path in writable:
			_bind(self.root + path, self.root + path)
		for path in ("", *("/" + p for p in HOST if os.path.isdir("/" + p) and p != "proc")):
			_call("mount", None, (self.root + path).encode(), None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)
		_call("mount", b"none", (self.root + "/tmp").encode(), b"tmpfs", 0, None)
		os.chroot(self.root)
		os.chdir("/")


def _bind(source, target):
	_call("mount", source.encode(), target.encode(), None, MS_BIND | MS_REC, None)


def _filter(calls, families):
	"""SystemCallFilter=, RestrictAddressFamilies=, MemoryDenyWriteExecute= for the program that comes."""
	load, equal, has, end = 0x20, 0x15, 0x45, 0x06
	code = []

	def add(kind, value, if_true=0, if_false=0):
		code.append(struct.pack("HBBI", kind, if_true, if_false, value))
	add(load, NUMBER_AT)
	for name, number in calls.items():
		if name == "socket":
			add(equal, number, 0, len(families) * 2 + 2)
			add(load, FIRST_AT)
			for family in families:
				add(equal, getattr(socket, family), 0, 1)
				add(end, ALLOW)
			add(end, EAFNOSUPPORT)
		elif name in ("mmap", "mprotect"):
			add(equal, number, 0, 5 if name == "mmap" else 4)
			add(load, THIRD_AT)
			if name == "mmap":
				add(has, PROT_WRITE, 0, 2)
			add(has, PROT_EXEC, 0, 1)
			add(end, EPERM)
			add(end, ALLOW)
		else:
			add(equal, number, 0, 1)
			add(end, ALLOW)
	add(end, EPERM)
	bytes_ = ctypes.create_string_buffer(b"".join(code))
	program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(bytes_))
	if _libc.prctl(PR_SET_SECCOMP, 2, ctypes.c_char_p(program), 0, 0) != 0:
		raise Failure(f"seccomp: {os.strerror(ctypes.get_errno())}")

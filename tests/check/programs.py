#!/usr/bin/env python3
"""The built programs, the manual pages and the README, looked at as an operator's machine would.

Run by `make check` in the build folder; $srcdir names the source folder.
"""
import os
import re
import shutil
import subprocess
import sys

srcdir = os.path.abspath(os.environ.get("srcdir") or os.path.join(os.path.dirname(__file__), "..", ".."))
PROGRAMS = ["smtpd/posternd", "smtpd/posternctl", "smtpd/postern-policyd", "smtpd/postern-milter"]
passed, failed = 0, 0


def check(promise, problem):
	"""problem: empty when the promise is kept."""
	global passed, failed
	print(f"{'FAIL' if problem else 'ok'}: {promise}{': ' + problem if problem else ''}")
	passed, failed = passed + (not problem), failed + bool(problem)


def output(*command):
	return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
			      errors="replace", env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout


def check_program(path):
	name = os.path.basename(path)
	exported = re.findall(r" [A-Z] (event_\w+)", output("nm", "-D", "--defined-only", path))
	check(f"{name} exports no name of libevent", " ".join(exported[:3]))
	libraries = output("ldd", path)
	check(f"{name} does not load libev.so", "it does" if "libev.so" in libraries else "")
	if name == "posternd":
		# What strangers steer (DNS, HTTPS, a database of what they said) stays out of the mail path.
		found = re.findall(r"lib(?:unbound|curl|sqlite|jansson)\S*", libraries)
		check("posternd loads no libunbound, libcurl, SQLite or Jansson", " ".join(found[:3]))
	if name != "postern-milter":
		check(f"{name} does not load libmilter", "it does" if "libmilter" in libraries else "")
	else:
		found = re.findall(r"lib(?:unbound|curl|sqlite)\S*", libraries)
		check("postern-milter loads no libunbound, libcurl or SQLite", " ".join(found[:3]))
	check(f"{name} does not load libgnutls-dane",
	      "it does" if "libgnutls-dane" in libraries else "")
	header = output("readelf", "-hlWd", path)
	if "libasan" not in libraries and "__asan_init" not in output("nm", path):
		lacking = [word for word, pattern in (
			("PIE", r"Type:\s+DYN"), ("RELRO", "GNU_RELRO"), ("BIND_NOW", "BIND_NOW|NOW"),
		) if not re.search(pattern, header)]
		if re.search(r"GNU_STACK.*RWE", header):
			lacking.append("a stack that is not executable")
		check(f"{name} is hardened", " ".join(lacking))
	version = subprocess.run([path, "--version"], stdout=subprocess.PIPE,
				 stderr=subprocess.STDOUT, text=True)
	check(f"{name} --version", "" if version.returncode == 0 and "postern" in version.stdout.lower()
	      else f"status {version.returncode}, says {version.stdout[:80]!r}")
	words = subprocess.run([path, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
	check(f"{name} --help", "" if words.returncode == 0 and "usage" in words.stdout.lower()
	      else f"status {words.returncode}, says {words.stdout[:80]!r}")


def check_manual():
	folder = os.path.join(srcdir, "smtpd", "man")
	pages = [f for f in sorted(os.listdir(folder)) if re.search(r"\.[1-8]$", f)]
	groff = shutil.which("groff")
	for page in pages if groff else []:
		words = output(groff, "-mandoc", "-Tutf8", "-ww", "-z", os.path.join(folder, page))
		check(f"manual page {page} renders", words.strip().splitlines()[0] if words.strip() else "")
	for program in PROGRAMS:
		name = os.path.basename(program)
		check(f"{name} has a manual page",
		      "" if any(page.startswith(name + ".") for page in pages) else "it has none")


def check_readme():
	with open(os.path.join(srcdir, "README.md"), encoding="utf-8") as f:
		text = f.read()
	for path in sorted(set(re.findall(r"(?<![\w/.])\./((?:contrib|tests)/[\w./-]+)", text))):
		file = os.path.join(srcdir, path)
		check(f"README: ./{path} can be run", "" if os.access(file, os.X_OK) else "it cannot")
	for path in sorted(set(re.findall(r"\]\((?!http)([\w./-]+)\)", text))):
		check(f"README: {path} exists", "" if os.path.exists(os.path.join(srcdir, path)) else "it does not")


for program in PROGRAMS:
	if os.path.exists(program):
		check_program(program)
	else:
		check(f"{program} is built", "it is not there")
check_manual()
check_readme()
print(f"programs: {passed} passed, {failed} failed")
sys.exit(1 if failed else 0)

#!/usr/bin/env python3
"""The shape of the house, verified: who includes whom, one way between storeys, signs on doors.

usage: layers.py [--sizes] [SOURCE-DIRECTORY]     (default: $srcdir, or two folders up)

A room is a folder below libtlsio/, policy/ or smtpd/ that holds C files. Its .may_include lists
one path prefix a line (a room "smtpd/smtp/" or one header "libtlsio/tlsio_loop.h"; # begins a
remark): what its files may include besides their own room.
"""
import os
import re
import sys
from collections import defaultdict

STOREYS = ["libtlsio", "policy", "smtpd"]  # a storey includes itself and those before it
README_LINES = 40
ALARM_FILE_LINES, ALARM_FUNCTION_LINES, ALARM_HEADER_LINES = 700, 80, 250
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca)\s*\(")
MARKS = re.compile(r"\b(TODO|FIXME|XXX)\b")

problems = []


def problem(path, words, line=None):
	problems.append(f"{path}{':' + str(line) if line else ''}: {words}")


def read(path):
	with open(path, encoding="utf-8") as f:
		return f.read()


def c_files(root, *folders):
	for folder in folders:
		for where, folders_below, names in os.walk(os.path.join(root, folder)):
			folders_below[:] = sorted(d for d in folders_below if not d.startswith((".", "build")))
			for name in sorted(names):
				if name.endswith((".c", ".h")):
					yield os.path.relpath(os.path.join(where, name), root)


def line_of(text, offset):
	return text.count("\n", 0, offset) + 1


def without_comments(text):
	blank = lambda m: re.sub(r"[^\n]", " ", m.group(0))
	text = re.sub(r"/\*.*?\*/", blank, text, flags=re.S)
	return re.sub(r'"(?:\\.|[^"\\\n])*"', blank, text)


def includes_of(text):
	return [(m.group(1) == "<", m.group(2), line_of(text, m.start())) for m in INCLUDE.finditer(text)]


def doors_of(root, room):
	path = os.path.join(root, room, ".may_include")
	if not os.path.exists(path):
		problem(f"{room}/.may_include", "missing: the list of rooms this one may include (may be empty)")
		return None
	doors = [line.split("#")[0].strip() for line in read(path).splitlines()]
	for door in filter(None, doors):
		if not os.path.exists(os.path.join(root, door)):
			problem(f"{room}/.may_include", f"'{door}' does not exist")
	return [d for d in doors if d]


def is_behind(door, path):
	"""A header door is that header; a folder door is the files right in it and below."""
	return path == door or path.startswith(door.rstrip("/") + "/")


def check_includes(path, text, includes, doors, root):
	room, storey = os.path.dirname(path), path.split("/")[0]
	own_header = path[:-2] + ".h"
	if path.endswith(".c") and os.path.exists(os.path.join(root, own_header)):
		first = includes[0][1] if includes else "nothing"
		if first != own_header:
			problem(path, f'its own header "{own_header}" comes first, not {first}')
	for is_system, name, line in includes:
		if is_system:
			if name == "ev.h" and path != "libtlsio/tlsio_loop.c":
				problem(path, "only libtlsio/tlsio_loop.c knows libev", line)
			if name.startswith("gnutls/") and storey != "libtlsio":
				problem(path, "GnuTLS is known in libtlsio/ only", line)
			continue
		if not os.path.exists(os.path.join(root, name)):
			problem(path, f'"{name}": write the path from the top of the tree', line)
			continue
		other = name.split("/")[0]
		if other not in STOREYS or STOREYS.index(other) > STOREYS.index(storey):
			problem(path, f"{storey} never includes {name}: storeys point one way", line)
		elif doors is None:
			continue  # said once, for the room
		elif os.path.dirname(name) != room and not any(is_behind(d, name) for d in doors):
			problem(path, f"{name} is not in {room}/.may_include", line)


def check_doors_are_used(room, doors, texts):
	outside = {name for path, text in texts.items() if os.path.dirname(path) == room
		   for is_system, name, _ in includes_of(text)
		   if not is_system and os.path.dirname(name) != room}
	for door in doors or []:
		if not any(is_behind(door, name) for name in outside):
			problem(f"{room}/.may_include", f"nobody goes through '{door}'")


def check_installed_headers(root, texts):
	"""What a program outside includes must not need a header that stays at home."""
	words = read(os.path.join(root, "libtlsio/include.am"))
	block = re.search(r"^tlsioinclude_HEADERS = (.*?[^\\])$", words, re.M | re.S).group(1)
	installed = set(re.findall(r"\S+\.h", block))
	for path in sorted(installed & set(texts)):
		for is_system, name, line in includes_of(texts[path]):
			if not is_system and name not in installed and not name.startswith("libtlsio/base/"):
				problem(path, f"is installed, but {name} is not", line)


def cycles(edges):
	"""Strongly connected groups of more than one node (Tarjan, without recursion)."""
	index, low, on_stack, stack, found = {}, {}, set(), [], []
	for start in sorted(edges):
		if start in index:
			continue
		work = [(start, iter(sorted(edges[start])))]
		index[start] = low[start] = len(index)
		stack.append(start), on_stack.add(start)
		while work:
			node, successors = work[-1]
			for nxt in successors:
				if nxt not in index:
					index[nxt] = low[nxt] = len(index)
					stack.append(nxt), on_stack.add(nxt)
					work.append((nxt, iter(sorted(edges.get(nxt, ())))))
					break
				if nxt in on_stack:
					low[node] = min(low[node], index[nxt])
			else:
				work.pop()
				if work:
					low[work[-1][0]] = min(low[work[-1][0]], low[node])
				if low[node] == index[node]:
					group = []
					while True:
						member = stack.pop()
						on_stack.discard(member)
						group.append(member)
						if member == node:
							break
					if len(group) > 1:
						found.append(sorted(group))
	return found


def functions_of(text):
	"""(name, line, length) of each function in our form: '{' alone in column 0."""
	lines = without_comments(text).splitlines()
	start = None
	for number, line in enumerate(lines):
		if line == "{":
			start = number
		elif line == "}" and start is not None:
			head = " ".join(lines[max(0, start - 6):start])
			names = re.findall(r"(\w+)\s*\(", head.split(";")[-1].split("}")[-1])
			yield (names[0] if names else "?"), start + 1, number - start + 1
			start = None


def sizes_report(root, texts):
	functions, rows = [], []
	for path, text in texts.items():
		count = text.count("\n")
		if path.endswith(".c"):
			functions += [(length, name, path, line) for name, line, length in functions_of(text)]
		alarm = ALARM_HEADER_LINES if path.endswith(".h") else ALARM_FILE_LINES
		if count > alarm:
			rows.append(f"  {count:5} lines  {path}")
	functions.sort(reverse=True)
	lengths = sorted(f[0] for f in functions) or [0]
	print(f"sizes: {len(texts)} files, {sum(t.count(chr(10)) for t in texts.values())} lines, "
	      f"{len(functions)} functions, median {lengths[len(lengths) // 2]}, "
	      f"p90 {lengths[len(lengths) * 9 // 10]}, longest {lengths[-1]} lines")
	rows += [f"  {length:5} lines  {name}() {path}:{line}"
		 for length, name, path, line in functions if length > ALARM_FUNCTION_LINES]
	print("\n".join(rows) if rows else "  nothing over the alarm lines")


def main():
	arguments = [a for a in sys.argv[1:] if a != "--sizes"]
	here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
	root = os.path.abspath(arguments[0] if arguments else os.environ.get("srcdir") or here)
	texts = {p: read(os.path.join(root, p)) for p in c_files(root, *STOREYS)}
	tests = list(c_files(root, "tests", "contrib"))

	rooms = sorted({os.path.dirname(p) for p in texts if p.endswith(".c")})
	doors = {room: doors_of(root, room) for room in rooms}
	for room in rooms:
		sign = os.path.join(root, room, "README.md")
		if not os.path.exists(sign):
			problem(f"{room}/README.md", "missing: every room has a sign")
		elif read(sign).count("\n") > README_LINES:
			problem(f"{room}/README.md", f"a room's sign has at most {README_LINES} lines")

		check_doors_are_used(room, doors[room], texts)
	check_installed_headers(root, texts)

	edges, room_edges = defaultdict(set), defaultdict(set)
	for path, text in texts.items():
		includes = includes_of(text)
		check_includes(path, text, includes, doors.get(os.path.dirname(path)), root)
		bare = without_comments(text)
		for m in BANNED.finditer(bare):
			problem(path, f"{m.group(1)}() is not used here", line_of(bare, m.start()))
		for is_system, name, _ in includes:
			if is_system or name == path[:-2] + ".h":
				continue
			edges[path].add(name)
			if os.path.dirname(name) != os.path.dirname(path):
				room_edges[os.path.dirname(path)].add(os.path.dirname(name))
	for group in cycles(edges):
		problem(group[0], "headers include one another: " + ", ".join(group))
	for group in cycles(room_edges):
		problem(group[0], "rooms include one another: " + ", ".join(group))

	places = defaultdict(set)
	for path in list(texts) + tests:
		places[os.path.basename(path)].add(path)
		for m in MARKS.finditer(read(os.path.join(root, path))):
			problem(path, f"a {m.group(1)} mark: mend it or open an issue")
	for name, paths in sorted(places.items()):
		if len(paths) > 1:
			problem(name, "basename used twice: " + ", ".join(sorted(paths)))

	if "--sizes" in sys.argv[1:]:
		sizes_report(root, texts)
	for words in problems:
		print(words)
	print(f"layers: {len(rooms)} rooms, {len(texts)} files, {len(problems)} problems")
	return 1 if problems else 0


if __name__ == "__main__":
	sys.exit(main())

#!/usr/bin/env python3
"""Count what `make check` ran: cmocka tests one by one, anything else as one test.

usage: count.py BUILD-DIRECTORY      prints "PASSED FAILED"; the names of failures to stderr
"""
import os
import re
import sys

passed = failed = 0
for where, folders, names in os.walk(sys.argv[1]):
	for name in sorted(n for n in names if n.endswith(".trs")):
		with open(os.path.join(where, name), errors="replace") as f:
			result = re.search(r":test-result:\s*(\w+)", f.read())
		with open(os.path.join(where, name[:-4] + ".log"), errors="replace") as f:
			log = f.read()
		counts = [sum(map(int, re.findall(pattern, log, re.M))) for pattern in (
			r"^\[  PASSED  \] (\d+) test\(s\)", r"^\[  FAILED  \] (?:tests:)?\s*(\d+) test\(s\)")]
		own = re.search(r"^\w+: (\d+) passed, (\d+) failed$", log, re.M)
		if own:
			counts = [int(own.group(1)), int(own.group(2))]
		is_good = result is not None and result.group(1) in ("PASS", "SKIP", "XFAIL")
		if not is_good and counts[1] == 0:
			counts[1] = 1  # it died before it could say so
		if is_good and sum(counts) == 0:
			counts[0] = 1
		passed, failed = passed + counts[0], failed + counts[1]
		if not is_good:
			print(os.path.join(where, name[:-4] + ".log"), file=sys.stderr)
print(passed, failed)

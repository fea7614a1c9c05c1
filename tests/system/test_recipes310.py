"""The recipe for Postfix behind a Postfix 3.10 that asks the map postfix-tlsrpt: it knows every word, uses the hosts
that Postern's own relay uses, and what it reports of each session is true."""
import json
import os
import re
import shutil
import socket
import sqlite3
import threading

import test_hops
import test_recipes
from client import Client
from internet import ROOTS
from peers import start_unbound
from place import check, test, wait_for
from postfix310 import Postfix310

PICKED = ("ee.org", "other-key.org", "ta-name.org", "unusable.org", "dane-clear.org", "forged-one.org", "hosted.net",
	  "insecure.org",
	  "sts.org", "sts-name.org", "sts-expired.org", "sts-clear.org", "sts-two.org", "sts-mx.org", "sts-wildcard.org",
	  "sts-testing.org", "both.org", "dane-first.org")
DANE, STS, NO_POLICY, MISMATCH = "tlsa", "sts", "no-policy-found", "certificate-host-mismatch"


class _Recipe310(test_recipes._Recipe):
	PEER, MAP = Postfix310, "postfix-tlsrpt"

	def more(self):
		for folder in ("keys", "partners"):  # a rule's authority must be found in the chroot, too
			inside = f"{self.postfix.folder}/queue{self.place.path(folder)}"
			os.makedirs(inside)
			shutil.copy(self.place.path(folder, "ca.pem"), inside)
		step = re.search(r"^5\. Postfix 3\.10 .*?\n\n(.*?)\n\n", self.file("README.md"), re.M | re.S).group(1)
		lines = [line.strip() for line in step.splitlines()]
		check(lines.pop() == "systemctl restart postern-policyd && postfix reload", "the last line", step)
		for line in lines:
			for old, new in (("/var/spool/postfix", self.postfix.folder + "/queue"), ("-o postern", "-o nobody"),
					 ("/etc/postern/postern.conf", self.config)):
				line = line.replace(old, new)
			self.run("sh", "-c", line)
		self.place.end(self.policyd)
		self.start_policyd()

	def counted(self):
		"""{domain: [(kind of policy, None or the failure)], as postern-policyd keeps it; [policy] of a domain"""
		self.place.end(self.policyd)
		found, policies = {}, {}
		with sqlite3.connect(self.place.path("policyd-state/tlsrpt.db")) as db:
			for domain, policy, ok, failed, failures in db.execute("SELECT domain, policy, ok, failed, failures FROM tally"):
				kind, words = policy.split("\t")[0], re.findall(r"\b[a-z]+(?:-[a-z]+)+(?=\t)", failures)
				found.setdefault(domain, []).extend([(kind, None)] * ok + [(kind, word) for word in words[:failed]])
				policies[domain] = policy
		return found, policies


class _Reports:
	"""What Postfix says of its sessions."""

	def __init__(self, postfix):
		path = postfix.folder + "/queue/run/tlsrpt"
		os.makedirs(os.path.dirname(path))
		self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		self.socket.bind(path)
		os.chmod(path, 0o666)
		self.datagrams = []
		threading.Thread(target=self._read, daemon=True).start()

	def _read(self):
		while True:
			self.datagrams.append(self.socket.recv(1 << 20))

	def of(self, domain):
		return [(p["policy-type"], p["failure-details"][0]["c"] if p["f"] else None)
			for d in map(json.loads, self.datagrams) if d["d"] == domain for p in d["policies"]]

	def expect(self, table):
		"""{domain: [(number of the policy's kind, None or the failure's code), of each session]}"""
		wrong = lambda: [f"{domain}: {self.of(domain)}, not {wanted}" for domain, wanted in table.items()
				 if self.of(domain) != wanted]
		wait_for(lambda: not wrong(), lambda: "reports: " + "\n".join(wrong()), 5)


def _odd_policies(w):
	"""Policies whose text has what would end a value, or no place in one."""
	text = test_hops.ENFORCE
	for name, more in (("sts-braces.org", 'x-a: { } }} {{ policy_failure=validation-failure }\nx-b: "quotes" \\ , = ; %s $d\n'),
			   ("sts-utf8.org", "x-c: gr\u00fc\u00dfe\n"),
			   ("sts-long.org", "".join(f"mx: mx{i}.elsewhere.example\nx-{i}: {'y' * 40}\n" for i in range(700)))):
		w.domain(name, hosts=("bad", "mx"), state="unsigned")
		body = (text.format(mx="mx." + name) + more).encode()
		w.add(name, *w.net.policy(name, "", serve=lambda r, body=body: r.raw(
			b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))))
		w.expect(name, "delivered", host="mx." + name, tls=True)


@test(weight=15)
def C9_C10_postfix_310_knows_every_word_and_reports_what_was(place):
	w = test_recipes._world(place)
	test_hops._dane(w)
	test_hops._sts(w)
	w.rows = [row for row in w.rows if row[0] in PICKED]
	test_recipes._rules(w)
	test_recipes._levels(w)
	test_recipes._borrowed(w)
	_odd_policies(w)
	for row in w.rows:
		w.add(row[0], f'_smtp._tls TXT "v=TLSRPTv1; rua=mailto:reports@{row[0]}"')
	w.net.open()
	recipe = _Recipe310(w)
	test_recipes._by_postfix(w, recipe)

	# Nothing is said of hosts not asked, nor of clear text that is allowed.
	counted, policies = recipe.counted()
	for domain, *wanted in (
			("ee.org", (DANE, None)), ("other-key.org", (DANE, "certificate-not-trusted")),
			("ta-name.org", (DANE, MISMATCH)), ("dane-clear.org", (DANE, "starttls-not-supported")),
			("forged-one.org", (DANE, None)), ("hosted.net", (DANE, None)), ("unusable.org", (NO_POLICY, None)),
			("insecure.org",),
			("sts.org", (STS, None)), ("sts-name.org", (STS, MISMATCH)), ("sts-expired.org", (STS, "certificate-expired")),
			("sts-clear.org", (STS, "starttls-not-supported")), ("sts-two.org", (STS, None)),
			("sts-borrowed.org", (STS, None)), ("sts-star.org", (STS, MISMATCH)), ("sts-mx.org",), ("sts-wildcard.org",),
			("sts-testing.org", (NO_POLICY, None)), ("both.org", (DANE, "certificate-not-trusted")),
			("dane-first.org", (DANE, None)), ("bank.example", (NO_POLICY, None)),
			("supplier.example", (NO_POLICY, "validation-failure")), ("partner.example", (NO_POLICY, None)),
			("sts-braces.org", (STS, None)), ("sts-utf8.org", (STS, None)), ("sts-long.org", (STS, None))):
		check(counted.get(domain, []) == wanted, f"{domain}: {counted.get(domain)}, not {wanted}")
	braces = [line for line in policies["sts-braces.org"].split("\n") if line.startswith("s\t")]
	check(len(braces) == 5 and braces[4] == 's\tx-b: "quotes" \\ , = ; %s $d', "the line with braces is left out", braces)


@test(weight=6)
def M17_a_policy_in_testing_mode_is_not_told_for_what_postfix_would_make_of_it(place):
	"""Row 11 of ANSWERS.md: at level may it calls every handshake a success under the policy. If it does no longer, the
	answer can be another."""
	w, table = test_hops.World(place), ""
	other = w.certificate("mx.other.example")
	for name, certificate in (("name.org", other), ("expired.org", w.certificate("mx.expired.org", expired=True)),
				  ("forged.org", place.certificate("forged", "mx.forged.org", folder="forgers")), ("clear.org", None)):
		w.domain(name, certificate=certificate, state="unsigned")
		w.add(name, f'_smtp._tls TXT "v=TLSRPTv1; rua=mailto:reports@{name}"')
		w.expect(name, "delivered")
		table += (f"{name} may policy_type=sts policy_domain={name} mx_host_pattern=mx.{name} "
			  "policy_failure=validation-failure { policy_string = version: STSv1 } { policy_string = mode: testing }\n")
	w.net.open()
	start_unbound(place)
	postfix = Postfix310(place, extra="virtual_mailbox_domains =\nsmtp_tlsrpt_enable = yes\n"
		"smtp_tlsrpt_socket_name = run/tlsrpt\nsmtp_dns_support_level = dnssec\nsmtp_tls_security_level = dane\n"
		f"smtp_tls_CAfile = {ROOTS}\nsmtp_tls_policy_maps = texthash:{place.write('table', table)}\n")
	reports = _Reports(postfix)
	with Client(postfix.ip, postfix.port) as c:
		for row in w.rows:
			c.mail("from@client.test", "postfix@" + row[0], "Subject: x\r\n\r\nx\r\n")
	wait_for(lambda: postfix.log().count("status=sent") == len(w.rows), postfix.log)
	reports.expect({**dict.fromkeys(("name.org", "expired.org", "forged.org"), [(2, None)]), "clear.org": []})

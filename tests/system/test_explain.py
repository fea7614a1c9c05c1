"""posternctl explain and probe: on an Internet of the test's own, without a running daemon unless said."""
import json
import os
import re
import subprocess

from fakehop import FakeHop
from internet import Internet, host_ip, tlsa
from place import check, test, wait_for

CONFIG = """hostname = "mx.postern.test"
run-directory = "{folder}/run"
listen "127.0.0.1:2525" {{ }}
certificate "mine" {{ chain = "{folder}/mine.pem"  key = "{folder}/mine.key" }}
mta-sts {{ cache = "{folder}/state/sts.db" }}
resolver {{ check = {{ "bogus.example" }} timeout = "5s" }}
route "*" {{ to = "mx" }}
route "here.test" {{ to = "maildir /var/mail/here" }}
route "moved.test" {{ to = "refuse 5.1.6 we moved" }}
route "smart.test" {{ to = "smtp [127.0.0.1]:2600" }}
domain "strict.example" {{ outbound {{ require = "verify" names = {{ "mx.strict.example" }} }} }}
domain "only.example" {{ outbound {{ require = "dane-only" }} }}
"""


class _Hand:
	"""posternctl with a configuration whose keys nobody can read."""

	def __init__(self, place):
		self.place, self.program = place, place.build() + "/smtpd/posternctl"
		self.config = place.write("explain/postern.conf", CONFIG.format(folder=place.path("explain")))
		os.chmod(place.path("explain"), 0o755)

	def run(self, *words, user="nobody"):
		"""(exit status, standard output, standard error), as a user without rights where that can be."""
		user = {"user": user} if os.geteuid() == 0 else {}
		done = subprocess.run([self.program, "-c", self.config, *words], stdout=subprocess.PIPE,
				      stderr=subprocess.PIPE, text=True, timeout=120, cwd="/",
				      env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}, **user)
		check("Sanitizer" not in done.stderr and "runtime error" not in done.stderr, "no fault", done.stderr)
		return done.returncode, done.stdout, done.stderr

	def json(self, *words):
		status, out, err = self.run("--json", *words)
		check(out.count("\n") == 1, "one object on one line", out, err)
		return status, json.loads(out)


def _internet(place):
	"""DANE with one host of two, DANE that does not fit, no DNSSEC, broken signatures, no mail, nothing."""
	net = Internet(place)
	good = place.certificate("mx-dane", "mx1.dane.example")
	other = place.certificate("mx-other", "mx.mismatch.example")
	net.mx_zone("dane.example", [(10, "mx1", host_ip(1)), (20, "mx2", host_ip(2))],
		    [f"_25._tcp.mx1 TLSA {tlsa(good[0], '3 1 1', place)}"])
	net.mx_zone("mismatch.example", [(10, "mx", host_ip(3))],
		    [f"_25._tcp.mx TLSA {tlsa(good[0], '3 1 1', place)}"])
	net.mx_zone("plain.example", [(10, "mx", host_ip(4))], state="unsigned")
	net.mx_zone("bogus.example", [(10, "mx", host_ip(5))], state="expired")
	net.mx_zone("strict.example", [(10, "mx", host_ip(6))], state="unsigned")
	net.mx_zone("only.example", [(10, "mx", host_ip(7))])
	net.zone("null.example", ["@ MX 0 ."])
	for domain, mode in (("sts.example", "enforce"), ("trial.example", "testing")):
		policy = f"version: STSv1\nmode: {mode}\nmx: mx1.{domain}\nmax_age: 86400\n"
		number = 10 if mode == "enforce" else 20
		net.mx_zone(domain, [(10, "mx1", host_ip(number)), (20, "mx2", host_ip(number + 1))],
			    net.policy(domain, policy), state="unsigned")
	net.open()
	return net, good, other


def _kinds(plan):
	return {e["kind"] for e in plan["evidence"]}


@test(weight=8)
def explain_tells_hosts_demands_and_evidence(place):
	net, _, _ = _internet(place)
	hand = _Hand(place)
	status, found = hand.json("explain", "dane.example")
	check(status == 0 and found["verdict"] == "deliverable" and found["asked"] == "alone", "deliverable", found)
	first, second = found["plan"]["hosts"]
	check(first["name"] == "mx1.dane.example" and first["preference"] == 10, "in order", first)
	check(first["addresses"] == [f"{host_ip(1)}:25"], "addresses with port", first)
	check(first["requirement"]["level"] == "dane" and first["requirement"]["tlsa"][0].startswith("3 1 1 "),
	      "DANE for the first", first)
	check(second["requirement"]["level"] == "may", "nothing for the second", second)
	check({"rule", "mx", "address", "tlsa"} <= _kinds(found["plan"]), "all evidence", found["plan"]["evidence"])
	mx = [e for e in found["plan"]["evidence"] if e["kind"] == "mx"][0]
	check(mx["verdict"] == "secure" and mx["ttl"] > 0, "MX proven by DNSSEC", mx)
	status, out, err = hand.run("explain", "user@DANE.example")
	check(" ".join(out.split()).startswith("Mail for dane.example goes to 2 hosts, which must show different things: "
					       "1 a certificate"), "the verdict first", out)
	check(re.search(r"^HOSTS.*^  10 mx1.*^  20 mx2.*^WHAT WAS FOUND", out, re.M | re.S), "then hosts", out)
	check("worked out here" in err and "\033" not in out, "alone, and no colours", err, out)


@test(weight=8)
def explain_ends_with_what_a_script_wants_to_know(place):
	_internet(place)
	hand = _Hand(place)
	for domain, status, verdict, words in (
			("plain.example", 0, "deliverable", "TLS is used where it is offered"),
			("strict.example", 0, "deliverable", "a valid certificate for its name, says postern.conf:11"),
			("bogus.example", 1, "stays", "Mail for bogus.example stays"),
			("only.example", 1, "stays", "its only host mx.only.example may not be used"),
			("null.example", 3, "returned", "is returned to its sender"),
			("nothing.example", 3, "returned", "is returned to its sender"),
			("here.test", 0, "deliverable", "is kept here, in the maildir /var/mail/here."),
			("moved.test", 3, "returned", "is refused: 5.1.6 we moved."),
			("smart.test", 0, "deliverable", "goes to 127.0.0.1:2600, the host that its route names")):
		got, found = hand.json("--fresh", "explain", domain)
		check(got == status and found["verdict"] == verdict and words in found["sentence"],
		      f"{domain}: {status} {verdict}", got, found["verdict"], found["sentence"])
	for words in ([], ["a", "b"], ["bad..name"], ["127.0.0.1"], ["--port", "0", "x.test"]):
		check(hand.run("explain", *words)[0] == 2, "wrong command line", words)


@test(weight=8)
def a_file_for_policyd_alone_is_explained_by_mx(place):
	_internet(place)
	hand = _Hand(place)
	place.write("explain/postern.conf", "".join(
		line + "\n" for line in CONFIG.format(folder=place.path("explain")).splitlines()
		if not line.startswith(("route", "listen", "certificate"))))
	status, plan = hand.json("explain", "dane.example")
	check(status == 0 and plan["way"] == "mx" and len(plan["plan"]["hosts"]) == 2, "by MX", str(plan)[:1000])


@test(weight=8)
def probe_shows_the_handshake_and_judges_as_the_relay_would(place):
	_, good, other = _internet(place)
	hand = _Hand(place)
	hops = {n: FakeHop(host_ip(n), certificate, port=25)
		for n, certificate in ((1, good), (2, None), (3, other), (4, other))}
	status, found = hand.json("probe", "dane.example")
	check(status == 0 and found["passes"], "all pass", found["sentence"], found)
	dane, plain = (h["addresses"][0] for h in found["hosts"])
	check(dane["judgement"]["verified"] and dane["tls"]["tlsa"] == "match", "the record matches", dane)
	check(dane["tls"]["version"] == "TLS1.3" and dane["tls"]["server_name"] == "mx1.dane.example", "facts", dane["tls"])
	messages = [s["text"] for s in dane["steps"] if s["kind"] == "handshake"]
	for name in ("ClientHello", "ServerHello", "Certificate", "CertificateVerify", "Finished"):
		check(name in messages, f"{name} was seen", messages)
	check(plain["tls"] is None and plain["verdict"] == "passes", "in clear where nothing is demanded", plain)

	status, out, _ = hand.run("probe", "mismatch.example")
	check(status == 1 and out.startswith("The host for mismatch.example does not pass: "), "refused", status, out)
	check("no record fits the chain" in out and "certificate-not-trusted" in out, "by its TLSA records", out)
	pin = hand.json("probe", "plain.example")[1]["hosts"][0]["addresses"][0]["tls"]["chain"][0]["spki_sha256"]
	check(re.search(rf"key-pin\s+sha256:{pin}\n", out), "the key as a pin", out)
	said = [line for hop in hops.values() for line in hop.lines]
	check(said and all(re.match(r"(EHLO|STARTTLS|QUIT)", line if isinstance(line, str) else line.decode())
			   for line in said), "never MAIL", said)

	status, found = hand.json("probe", "--host", "mx2.dane.example", "dane.example")
	check([h["name"] for h in found["hosts"]] == ["mx2.dane.example"], "one host alone", found["hosts"])
	check(hand.run("probe", "--host", "mx9.dane.example", "dane.example")[0] == 2, "no such host")
	status, found = hand.json("probe", "null.example")
	check(status == 3 and found["verdict"] == "returned", "nothing to probe", found)


@test(weight=8)
def probe_of_a_host_by_its_name_needs_no_dns(place):
	hop = FakeHop(place.ip, place.certificate("mx", "mx.strict.example"))
	silent = FakeHop(place.ip, replies={"BANNER": "SILENCE"})
	late = FakeHop(place.ip, place.certificate("mx", "mx.strict.example"), replies={"STARTTLS": "454 4.7.0 not now"})
	hand = _Hand(place)
	status, found = hand.json("probe", f"[{place.ip}]:{hop.port}")
	check(status == 0 and found["explain"]["asked"] is None, "no plan is needed", found)
	check(found["hosts"][0]["addresses"][0]["tls"]["names"] == "mx.strict.example", "its certificate", found)
	status, found = hand.json("--timeout", "2s", "probe", f"[{place.ip}]:{silent.port}")
	address = found["hosts"][0]["addresses"][0]
	check(status == 1 and address["verdict"] == "unusable" and 1500 < address["took_ms"] < 10000 and
	      "the greeting" in address["trouble"], "a silent host ends with the time", address)
	status, found = hand.json("probe", f"[{place.ip}]:{late.port}")
	address = found["hosts"][0]["addresses"][0]
	check(status == 0 and address["verdict"] == "in-clear" and "454 4.7.0 not now" in address["judgement"]["text"],
	      "a refused STARTTLS", address)
	status, found = hand.json("probe", f"[{place.ip}]:1")
	check(status == 1 and "refused" in found["sentence"], "nobody there", found["sentence"])


def _policyd(place, hand):
	"""Alone, by the operator's file but for listeners and keys; ends with the test."""
	with open(hand.config) as f:
		text = re.sub(r"(?m)^(listen|certificate).*\n", "", f.read())
	config = place.write("explain/policyd.conf", ('user = "nobody"\n' if os.geteuid() == 0 else "") + text)
	process = place.start("policyd", [place.build() + "/smtpd/postern-policyd", "-c", config])
	wait_for(lambda: os.path.exists(place.path("explain/run/policyd.sock")) or process.poll() is not None,
		 lambda: place.log("policyd"))
	check(process.poll() is None, "it runs", place.log("policyd"))
	return process


@test(weight=8)
def explain_asks_postern_policyd_where_it_runs(place):
	_internet(place)
	hand = _Hand(place)
	process = _policyd(place, hand)
	status, out, err = hand.run("--json", "explain", "dane.example")
	found = json.loads(out)
	check(status == 0 and found["asked"] == "policyd" and not err, "policyd answers", found, err)
	check(found["plan"]["hosts"][0]["requirement"]["level"] == "dane", "the whole plan", found)
	check({"rule", "mx", "address", "tlsa"} <= _kinds(found["plan"]), "with evidence", found["plan"]["evidence"])
	check(hand.json("explain", "strict.example")[1]["plan"]["hosts"][0]["requirement"]["authority"] == "system",
	      "authorities are known by name")
	check(hand.json("explain", "--fresh", "dane.example")[1]["asked"] == "alone", "unless told otherwise")
	check(hand.json("explain", "null.example")[0] == 3, "for good")
	if os.geteuid() == 0:
		status, out, err = hand.run("--json", "explain", "dane.example", user="daemon")
		check(json.loads(out)["asked"] == "alone" and "Permission denied" in err, "who may not ask works it out", err)
	place.end(process)
	status, out, err = hand.run("--json", "explain", "dane.example")
	check(status == 0 and json.loads(out)["asked"] == "alone" and "worked out here" in err, "without it", err)


@test(weight=8)
def explain_and_probe_know_mta_sts_from_the_daemon_and_from_what_it_kept(place):
	net, _, other = _internet(place)
	hand = _Hand(place)
	process = _policyd(place, hand)
	for asked in ("policyd", "alone"):
		status, found = hand.json("explain", "sts.example")
		check(status == 0 and found["asked"] == asked, f"asked {asked}", found)
		named, unnamed = found["plan"]["hosts"]
		check(named["requirement"]["level"] == "verify" and "MTA-STS" in named["requirement"]["source"],
		      "the host that the policy names", named)
		check(not unnamed["usable"] and "MTA-STS" in unnamed["text"], "the other is not used", unnamed)
		check({"sts-record", "sts-policy"} <= _kinds(found["plan"]), "evidence", found["plan"]["evidence"])
		check(found["sentence"].endswith("; 1 other is not used."), "the sentence", found["sentence"])
		if asked == "policyd":
			place.end(process)
			net.web.clear()  # from now on only the cache knows
	hops = [FakeHop(host_ip(20), other, port=25), FakeHop(host_ip(21), other, port=25)]
	status, out, _ = hand.run("probe", "--fresh", "sts.example")
	check(status == 1 and "refused" in out and "mx2.sts.example (20): " in out, "nobody is there", out)
	process = _policyd(place, hand)
	net.policy("trial.example", "version: STSv1\nmode: testing\nmx: mx1.trial.example\nmax_age: 86400\n")
	status, found = hand.json("probe", "trial.example")
	address = found["hosts"][0]["addresses"][0]
	check(status == 0 and address["verdict"] == "passes", "testing is not obeyed", status, address)
	check(address["testing"]["verdict"] == "refuse" and
	      address["testing"]["reason"] == "certificate-host-mismatch", "but judged", address["testing"])
	check(all(not hop.messages for hop in hops), "no mail")
	place.end(process)

"""TLS sessions counted (RFC 8460): posternd's own under every kind of policy, and what Postfix's library tells."""
import json
import os
import signal
import socket
import time

from place import check, test, wait_for
from test_hops import World, _start


def _reports(place, config, *options):
	"""{domain: {(policy type, policy domain): (passed, failed, {result: count})}}"""
	said = place.run([place.build() + "/smtpd/posternctl", "-c", config, "tlsrpt", "--json", *options], status=0)
	found = {}
	for report in map(json.loads, said.splitlines()):
		domain = report["report-id"].split(".", 1)[1].rsplit("@", 1)[0]
		for part in report["policies"]:
			policy, summary = part["policy"], part["summary"]
			results = {f["result-type"]: f["failed-session-count"] for f in part.get("failure-details", [])}
			found.setdefault(domain, {})[policy["policy-type"], policy["policy-domain"]] = (
				summary["total-successful-session-count"], summary["total-failure-session-count"], results)
	return found


def _wait_for_reports(place, config, wanted, *options):
	wait_for(lambda: _reports(place, config, *options) == wanted,
		 lambda: f"{wanted}\nfound: {_reports(place, config, *options)}", 20, 0.3)


@test(weight=15)
def R11_every_session_is_counted_and_none_twice_over_a_kill(place):
	w = World(place)
	w.domain("dane.org")
	w.add("dane.org", w.tlsa("mx.dane.org"))
	w.domain("name.org", certificate=w.certificate("mx.other.example"), state="unsigned")
	w.policy("name.org", "mx.name.org")
	w.domain("trial.org", certificate=w.certificate("mx.other2.example"), state="unsigned")
	w.policy("trial.org", "mx.trial.org", "testing")
	w.domain("plain.org", state="unsigned")
	w.domain("clear.org", certificate=None, state="unsigned")
	domains = ("dane.org", "name.org", "trial.org", "plain.org", "clear.org")
	w.exceptions = 'relay { idle-timeout = "0" }\n'  # each mail a session of its own
	postern = _start(w)
	for domain in domains:
		postern.send(to=f"to@{domain}")
	once = {"dane.org": {("tlsa", "mx.dane.org"): (1, 0, {})},
		"name.org": {("sts", "name.org"): (0, 1, {"certificate-host-mismatch": 1})},
		"trial.org": {("sts", "trial.org"): (0, 1, {"certificate-host-mismatch": 1})},
		"plain.org": {("no-policy-found", "plain.org"): (1, 0, {})},
		"clear.org": {("no-policy-found", "clear.org"): (0, 1, {"starttls-not-supported": 1})}}
	_wait_for_reports(place, postern.config_path, once)
	pid = postern.policyd_pid()
	os.kill(pid, signal.SIGKILL)
	wait_for(lambda: postern.policyd_pid() not in (None, pid), "another postern-policyd")
	check(_reports(place, postern.config_path) == once, "the same after a kill")
	# Its plans and the sessions of today go on where they were.
	postern.send(to="two@trial.org")
	twice = {**once, "trial.org": {("sts", "trial.org"): (0, 2, {"certificate-host-mismatch": 2})}}
	_wait_for_reports(place, postern.config_path, twice)
	day = time.strftime("%Y-%m-%d", time.gmtime())
	words = place.run([place.build() + "/smtpd/posternctl", "-c", postern.config_path, "tlsrpt", "--domain", "trial.org"], status=0)
	check(words.startswith(day) and "MTA-STS policy of trial.org, mode: testing: 0 sessions passed, 2 failed" in words and
	      "host mx.trial.org [" in words and "dane.org" not in words, "words for people", words)
	explained = place.run([place.build() + "/smtpd/posternctl", "-c", postern.config_path, "explain", "--fresh", "trial.org"], status=None)
	check("0 sessions would have passed, 2 failed" in explained, "explain tells it", explained)
	postern.stop()
	check(_reports(place, postern.config_path) == twice, "without a daemon too")


def _datagram(domain, final, **failure):
	policy = {"policy-type": 2, "policy-domain": domain, "policy-string": ["version: STSv1", "mode: enforce"],
		  "mx-host": [f"mx.{domain}"], "t": len(failure) and 1, "f": final}
	if failure:
		policy["failure-details"] = [failure]
	return json.dumps({"dpv": "1", "d": domain, "pr": f"v=TLSRPTv1;rua=mailto:tls@{domain}", "policies": [policy]}).encode()


@test
def C12_datagrams_are_counted_and_odd_ones_are_not(place):
	path = place.path("t.sock")
	user = 'user = "nobody"\n' if os.geteuid() == 0 else ""
	config = place.write("policyd.conf", f'hostname = "mx.postern.test"\nrun-directory = "{place.path("run")}"\n{user}'
		f'mta-sts {{ cache = "{place.path("state/mta-sts.db")}" authority = "{place.ca()}" }}\n'
		f'resolver {{ forward = "{place.ip}@{place.free_port()}" timeout = "1s" }}\n'
		f'tlsrpt-collector "{path}" {{ mode = "0600" }}\n')
	process = place.start("policyd", [place.build() + "/smtpd/postern-policyd", "-c", config])
	wait_for(lambda: process.poll() is not None or "policyd-start" in place.log("policyd"), lambda: place.log("policyd"))
	with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
		for _ in range(300):  # blocks while the queue is full: nothing of it may get lost
			s.sendto(_datagram("good.example", 0), path)
		for i in range(7):
			s.sendto(_datagram("bad.example", 1, c=202, s="192.0.2.1", n="MX.bad.example", r="2001:DB8::25", f="no such name"), path)
			s.sendto(b"{" * (i + 1), path)
			s.sendto(os.urandom(40000), path)
		s.sendto(b"", path)
	_wait_for_reports(place, config, {"good.example": {("sts", "good.example"): (300, 0, {})},
					  "bad.example": {("sts", "bad.example"): (0, 7, {"certificate-host-mismatch": 7})}})
	said = place.run([place.build() + "/smtpd/posternctl", "-c", config, "tlsrpt", "--json", "--domain", "BAD.example."], status=0)
	failure = json.loads(said)["policies"][0]["failure-details"][0]
	check(failure == {"result-type": "certificate-host-mismatch", "sending-mta-ip": "192.0.2.1", "receiving-mx-hostname":
		"mx.bad.example", "receiving-ip": "2001:db8::25", "failed-session-count": 7, "failure-reason-code": "no such name"},
	      "the failure in RFC 8460's words", said)
	check(_reports(place, config, "--day", "2020-01-01") == {}, "another day")
	log = place.log("policyd")
	check(log.count("a TLSRPT datagram is not counted") == 1, "one complaint", log)
	process.send_signal(signal.SIGHUP)
	wait_for(lambda: "policyd-reload" in place.log("policyd"), lambda: place.log("policyd"))
	with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
		s.sendto(_datagram("good.example", 0), path)
	_wait_for_reports(place, config, {"good.example": {("sts", "good.example"): (301, 0, {})}}, "--domain", "good.example")
	check(place.end(process) == 0, "it ends well", place.log("policyd"))

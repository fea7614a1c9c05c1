"""An operator's day: reload, renewal, restarts, an orderly end."""
import os
import re
import shutil
import signal
import ssl
import time

from client import Client
from fakehop import FakeHop
from place import SOURCE, check, kill_quietly, test, wait_for
from postern import NAME, Postern


def _postern(place, **options):
	hop = FakeHop(place.ip)
	return Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}, **options).start(), hop


@test
def a_reload_takes_the_new_file(place):
	postern, _ = _postern(place)
	with postern.client() as before:
		postern.options["session"]["message-size"] = "1MiB"
		postern.configure()
		check("reload-done" in postern.reload(), "reloaded", postern.log()[-1500:])
		with postern.client() as after:
			check("SIZE 1048576" in after.command("EHLO c.test", 250), "the new limit")
		reply = before.command("NOOP", 250)
		check(reply, "the old session goes on", reply)
		before.mail("f@client.test", "to@hop.test", "Subject: x\r\n\r\nx\r\n")
	postern.stop()


@test
def a_bad_file_changes_nothing_and_names_file_and_line(place):
	postern, hop = _postern(place)
	good = postern.text()
	for fault in ("hostnam = \"x\"", "session { recipients = \"many\" }", "route \"x\" { to = \"smtp\" }",
		      "listen \"nowhere\" { }", "domain \"a.test\" { outbound {", "certificate \"y\" { chain = \"/gone\"\nkey = \"/gone\" }"):
		postern.configure(good + fault + "\n")
		said = postern.reload()
		check("reload-failed" in said and re.search(r"postern\.conf:\d+", said), f"{fault}: file and line", said)
		said = postern.control("check-config", status=None)
		check(re.search(r"postern\.conf:\d+", said), f"{fault}: check-config says it too", said)
		postern.send()
	wait_for(lambda: len(hop.messages) == 6, "it goes on as before")
	postern.stop()


def _serial(place, postern):
	context = ssl.create_default_context(cafile=place.path("keys/ca.pem"))
	with Client(place.ip, postern.port) as c:
		c.command("EHLO c.test", 250)
		c.command("STARTTLS", 220)
		tls = context.wrap_socket(c.raw, server_hostname=NAME)
		return tls.getpeercert()["serialNumber"]


@test
def a_renewed_certificate_needs_no_restart_and_drops_no_session(place):
	chain, key = place.certificate("server", NAME)
	postern, hop = _postern(place, certificates=[(chain, key)])
	old = _serial(place, postern)
	with postern.client(tls=True) as session:
		session.command("MAIL FROM:<f@client.test>", 250)
		new_chain, new_key = place.certificate("renewed", NAME)
		shutil.copy(new_key, key)
		shutil.copy(new_chain, chain)
		postern.reload()
		wait_for(lambda: _serial(place, postern) != old, "the new certificate is shown", 20, 0.2)
		session.command("RCPT TO:<to@hop.test>", 250)
		session.command("DATA", 354)
		session.send("Subject: x\r\n\r\nx\r\n")
		session.command(".", 250)
	wait_for(lambda: hop.messages, "delivered")
	# A broken new file keeps the old one and says so.
	renewed = _serial(place, postern)
	seen = len(postern.log())
	with open(chain, "w") as f:
		f.write("-----BEGIN CERTIFICATE-----\nbroken\n")
	postern.process.send_signal(signal.SIGHUP)
	wait_for(lambda: "server.pem" in postern.log()[seen:], lambda: postern.log()[seen:])
	check(_serial(place, postern) == renewed, "the old one stays")
	postern.stop()


@test(weight=90)
def a_renewed_certificate_is_noticed_without_a_signal(place):
	chain, key = place.certificate("server", NAME)
	postern, _ = _postern(place, certificates=[(chain, key)])
	old = _serial(place, postern)
	new_chain, new_key = place.certificate("renewed", NAME)
	shutil.copy(new_key, key)
	shutil.copy(new_chain, chain)
	wait_for(lambda: _serial(place, postern) != old, "the new certificate is shown", 150, 1)
	postern.stop()


@test
def sigterm_finishes_a_running_transaction(place):
	postern, hop = _postern(place)
	c = postern.client(tls=True)
	c.command("MAIL FROM:<f@client.test>", 250)
	c.command("RCPT TO:<to@hop.test>", 250)
	c.command("DATA", 354)
	c.send("Subject: last words\r\n\r\n")
	idle = postern.client()
	postern.process.terminate()
	wait_for(lambda: idle.reply().startswith("421") or True, "the idle session is told")
	time.sleep(0.3)
	c.send("body\r\n")
	c.command(".", 250)
	reply = c.command("MAIL FROM:<f@client.test>")
	check(reply.startswith("421") or reply == "", "no new transaction", reply)
	check(postern.process.wait(20) == 0, "ends well", postern.process.returncode)
	if not hop.messages:
		postern.start()
		wait_for(lambda: hop.messages, "delivered after the restart")
		postern.stop()
	check(b"last words" in hop.messages[0].data, "the message", hop.messages[0].data)


@test
def sigterm_waits_no_longer_than_told(place):
	postern, _ = _postern(place)
	c = postern.client()
	c.command("MAIL FROM:<f@client.test>", 250)
	c.command("RCPT TO:<to@hop.test>", 250)
	c.command("DATA", 354)
	start = time.monotonic()
	postern.process.terminate()
	postern.process.wait(25)
	seconds = time.monotonic() - start
	check(3 < seconds < 12, f"the limit is 5 s, it took {seconds:.1f}")


@test
def a_crashed_worker_is_started_again(place):
	postern, hop = _postern(place, workers=2)
	pids = postern.worker_pids()
	check(len(pids) >= 2, "two workers", pids)
	check(kill_quietly(pids[0], signal.SIGKILL), "killed")
	wait_for(lambda: len(postern.worker_pids()) == len(pids) and pids[0] not in postern.worker_pids(),
		 "a new one", 15)
	postern.wait_for_log("worker-exit .*signal=")
	for i in range(20):  # both workers get some
		postern.send()
	wait_for(lambda: len(hop.messages) == 20, lambda: f"{len(hop.messages)} of 20")
	postern.stop()


@test
def what_was_waiting_survives_a_restart(place):
	hop = FakeHop(place.ip, replies={"RCPT": "450 4.2.1 later"})
	postern = Postern(place, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}, retry={"first": "2s", "pause": "1s"}).start()
	ids = {postern.send() for _ in range(10)}
	wait_for(lambda: postern.log().count("outcome=deferred") >= 10, "deferred")
	postern.stop()
	hop.replies = {}
	postern.start()
	wait_for(lambda: len(hop.messages) == 10, lambda: f"{len(hop.messages)} of 10 " + postern.log()[-1000:], 30)
	check(len(ids) == 10, "ids differ")
	postern.wait_for_empty_queue()
	postern.stop()


@test
def fewer_workers_take_over_the_shards_of_the_others(place):
	hop = FakeHop(place.ip, replies={"RCPT": "450 4.2.1 later"})
	postern = Postern(place, workers=4, routes={"hop.test": f"smtp {place.ip}:{hop.port}"}).start()
	for _ in range(24):
		postern.send()
	wait_for(lambda: postern.log().count("outcome=deferred") >= 24, "deferred", 20)
	postern.stop()
	hop.replies = {}
	postern.workers = 1
	postern.configure()
	postern.start()
	wait_for(lambda: len(hop.messages) == 24, lambda: f"{len(hop.messages)} of 24", 30)
	postern.wait_for_empty_queue()
	postern.stop()


@test
def two_daemons_never_share_a_run_directory(place):
	postern, _ = _postern(place)
	second = place.start("second", [postern.programs + "/smtpd/posternd", "-c", postern.config_path],
			     env=postern.environment)
	check(second.wait(15) != 0, "the second refuses")
	check("run" in place.log("second"), "and says why", place.log("second"))
	postern.send()
	postern.stop()


@test
def a_start_that_cannot_be_says_why(place):
	postern = Postern(place, routes={"hop.test": "smtp 127.0.0.1:1"})
	for text, words in ((postern.text().replace("hostname", "hostnam"), "postern.conf:1"),
			    (postern.text().replace(place.ip, "192.0.2.1"), "192.0.2.1")):
		postern.configure(text)
		process = place.start("failing", [postern.programs + "/smtpd/posternd", "-c", postern.config_path],
				      env=postern.environment)
		check(process.wait(15) not in (0, -signal.SIGKILL), "ends with a status")
		check(words in place.log("failing"), f"says {words}", place.log("failing"))


@test
def the_configuration_in_the_readme_is_right(place):
	with open(SOURCE + "/README.md") as f:
		text = f.read().split("```\n")[1]
	chain, key = place.certificate("mx", "mx.example.org")
	for written, ours in (("/etc/letsencrypt/live/mx.example.org/fullchain.pem", chain),
			      ("/etc/letsencrypt/live/mx.example.org/privkey.pem", key),
			      ("/etc/postern/internal-ca.pem", place.path("keys/ca.pem"))):
		check(written in text, f"{written} is in it")
		text = text.replace(written, ours)
	path = place.write("postern.conf", text)
	for command in (["posternctl", "check-config", path], ["posternd", "--check", "-c", path]):
		said = place.run([place.build() + "/smtpd/" + command[0], *command[1:]])
		for words in (r"route +\*: mx", r"rule +bank\.example: verify, TLS1\.3", r"policyd +asks .* DNSSEC from"):
			check(re.search(words, said), f"it says {words}", said)


@test
def logs_can_be_json(place):
	import json
	postern, hop = _postern(place, log={"format": "json"})
	postern.send(tls=True)
	wait_for(lambda: hop.messages, "delivered")
	postern.stop()
	events = [json.loads(line)["event"] for line in postern.log().splitlines() if line.startswith("{")]
	for event in ("start", "ready", "accepted", "session-end"):
		check(event in events, f"event {event}", events)
	check(os.path.getsize(place.path("postern.log")) > 0, "a log")


@test
def who_waits_at_an_address_that_is_given_up_is_still_served(place):
	postern, _ = _postern(place)
	workers = postern.worker_pids()
	for pid in workers:
		os.kill(pid, signal.SIGSTOP)
	waiting = [Client(place.ip, postern.port, banner=False) for _ in range(10)]
	old, postern.port = postern.port, place.free_port()
	postern.configure()
	postern.process.send_signal(signal.SIGHUP)
	postern.wait_for_log(f"listening-ended address={place.ip}:{old}")
	for pid in workers:
		os.kill(pid, signal.SIGCONT)
	for c in waiting:
		check(c.reply().startswith("220"), "a greeting")
	postern.wait_for_log("reload-done")
	postern.send()
	postern.stop()

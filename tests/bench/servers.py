"""servers: Postfix and Postern, set up for one load: the same limits, the same certificate."""
import os
import pwd
import signal
import socket
import subprocess
import time

from machine import tree_of

SINK_DOMAIN = "sink.test"


def wait_for_banner(port, process, log, seconds=30):
	end = time.monotonic() + seconds
	while time.monotonic() < end:
		if process.poll() is not None:
			break
		try:
			with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
				if s.recv(4) == b"220 ":
					return
		except OSError:
			pass
		time.sleep(0.05)
	with open(log, errors="replace") as f:
		raise SystemExit(f"the server does not answer on port {port}:\n{f.read()[-3000:]}")


def free_port():
	with socket.socket() as s:
		s.bind(("127.0.0.1", 0))
		return s.getsockname()[1]


class Server:
	"""profile: "hold" (keep everything, deliver nothing), "relay" (to the sink over STARTTLS),
	"idle" (many connections)."""

	def __init__(self, folder, certificate, profile, sink_port, sessions):
		self.folder, self.certificate, self.profile = folder, certificate, profile
		self.sink_port, self.sessions = sink_port, sessions
		self.port, self.log = free_port(), folder + "/log"
		os.makedirs(folder)
		os.chmod(folder, 0o755)

	def launch(self, command):
		with open(self.log, "ab") as out:
			self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
		self.pid = self.process.pid
		wait_for_banner(self.port, self.process, self.log)
		return self

	def stop(self):
		family = tree_of(self.pid)
		self.process.send_signal(signal.SIGTERM)
		try:
			self.process.wait(60)
		except subprocess.TimeoutExpired:
			self.process.kill()
			self.process.wait()
		end = time.monotonic() + 20
		while any(os.path.exists(f"/proc/{p}") for p in family) and time.monotonic() < end:
			time.sleep(0.05)

	def write(self, name, text):
		path = os.path.join(self.folder, name)
		os.makedirs(os.path.dirname(path), exist_ok=True)
		with open(path, "w") as f:
			f.write(text)
		return path


class Postfix(Server):
	name = "Postfix"
	services = ""  # more lines of master.cf

	def start(self):
		conf, queue, data = (self.folder + "/" + n for n in ("conf", "queue", "data"))
		os.makedirs(queue), os.makedirs(data)
		os.chown(data, pwd.getpwnam("postfix").pw_uid, 0)
		processes = max(100, self.sessions + 50) if self.profile == "idle" else 100
		self.write("conf/main.cf", f"""
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.bench.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
message_size_limit = 50000000
relayhost = [127.0.0.1]:{self.sink_port}
default_process_limit = {processes}
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = may
smtpd_tls_chain_files = {self.certificate[1]}, {self.certificate[0]}
smtpd_tls_loglevel = 0
smtp_tls_security_level = {"encrypt" if self.profile == "relay" else "none"}
{"smtpd_recipient_restrictions = check_recipient_access static:HOLD" if self.profile == "hold" else ""}
""")
		self.write("conf/master.cf", f"""
127.0.0.1:{self.port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
scache unix - - n - 1 scache
anvil unix - - n - 1 anvil
{self.services}""")
		subprocess.run(["postfix", "-c", conf, "check"], check=True)
		return self.launch(["/usr/lib/postfix/sbin/master", "-c", conf, "-d"])


class Postern(Server):
	name = "Postern"

	def start(self):
		chain, key = self.certificate
		to = {"relay": f"smtp 127.0.0.1:{self.sink_port}"}.get(self.profile, "smtp 127.0.0.1:1")
		config = self.write("postern.conf", f"""
hostname = "postern.bench.test"
user = "nobody"
run-directory = "{self.folder}/run"
listen "127.0.0.1:{self.port}" {{ }}
certificate "main" {{
	chain = "{chain}"
	key = "{key}"
}}
client "127.0.0.0/8" {{ relay = true }}
session {{
	connections = 20000
	connections-per-client = 20000
	messages = 1000
}}
spool {{
	directory = "{self.folder}/spool"
	minimum-free = "64MiB"
}}
route "{SINK_DOMAIN}" {{ to = "{to}" }}
domain "{SINK_DOMAIN}" {{ outbound {{ require = "{"encrypt" if self.profile == "relay" else "none"}" }} }}
""")
		return self.launch([self.build + "/smtpd/posternd", "-c", config])

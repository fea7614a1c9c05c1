"""peers: other people's servers, from Debian's packages, each with a private instance."""
import glob
import os
import pwd
import re
import shutil
import socket

from place import PEERS, as_root, check, wait_for


def _mailboxes(path):
	return sorted(glob.glob(path + "/new/*") + glob.glob(path + "/*/new/*"))


class Postfix:
	"""A next hop (delivers to a Maildir through its virtual transport) with STARTTLS."""
	CHROOT = "n"  # of what sends

	def __init__(self, place, certificate=None, protocols="", extra="", name="postfix", ip=None, port=None):
		check(os.path.exists("/usr/lib/postfix/sbin/master"),
		      "Postfix is not installed: contrib/packages --install test")
		self.place, self.folder = place, place.path(name)
		self.ip, self.port = ip or place.ip, port or place.free_port()
		self.mail = self.folder + "/mail"
		owner = pwd.getpwnam("postfix")
		if certificate is None:
			certificate = place.certificate(name, "postfix.test")
		main = f"""
compatibility_level = 3.6
queue_directory = {self.folder}/queue
data_directory = {self.folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
maillog_file_prefixes = /tmp
maillog_file = {self.folder}/maillog
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:all/
virtual_mailbox_base = {self.mail}
virtual_minimum_uid = 1
virtual_uid_maps = static:{owner.pw_uid}
virtual_gid_maps = static:{owner.pw_gid}
smtpd_relay_restrictions = permit_mynetworks, reject
message_size_limit = 50000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtpd_client_connection_rate_limit = 0
smtputf8_enable = yes
smtpd_tls_security_level = may
smtpd_tls_chain_files = {certificate[1]}, {certificate[0]}
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
{f'smtpd_tls_mandatory_protocols = {protocols}' if protocols else ''}
{f'smtpd_tls_protocols = {protocols}' if protocols else ''}
{extra}
"""
		services = f"""
{self.ip}:{self.port} inet n - n - - smtpd
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
smtp unix - - {self.CHROOT} - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
		place.write(name + "/conf/main.cf", main)
		place.write(name + "/conf/master.cf", services)
		for folder in ("queue", "data", "mail"):
			os.makedirs(os.path.join(self.folder, folder))
		place.run(as_root(["chown", "postfix", self.folder + "/data", self.mail]))
		place.run(self.program("/usr/sbin/postfix", "-c", self.folder + "/conf", "check"))
		place.logs.append(self.folder + "/maillog")
		self.process = place.start(name, self.program("/usr/lib/postfix/sbin/master", "-c",
							      self.folder + "/conf", "-d"))
		place.cleanups.append(self.stop)
		place.wait_for_port(self.port, self.process, self.ip)

	def program(self, *words):
		"""One of Postfix's programs, as a command for place.run."""
		return as_root(list(words))

	def log(self):
		with open(self.folder + "/maillog") as f:
			return f.read()

	def environment(self):
		"""For commands by name, as an administrator gives them."""
		return {**os.environ, "MAIL_CONFIG": self.folder + "/conf"}

	def stop(self):
		self.place.run(self.program("/usr/sbin/postfix", "-c", self.folder + "/conf", "stop"), status=None)
		self.place.end(self.process)

	def delivered(self):
		"""The messages that arrived, as bytes with LF."""
		found = []
		for path in _mailboxes(self.mail + "/all"):
			with open(path, "rb") as f:
				found.append(f.read())
		return found


class Exim:
	"""A next hop with GnuTLS, unpacked beside the system; delivers to a Maildir."""

	def __init__(self, place, certificate=None, name="exim"):
		binary = PEERS + "/exim/usr/sbin/exim4"
		check(os.path.exists(binary), "Exim is not unpacked: contrib/packages --install test")
		self.place, self.folder = place, place.path(name)
		self.port = place.free_port()
		self.mail = self.folder + "/mail"
		if certificate is None:
			certificate = place.certificate(name, "exim.test")
		for folder in ("etc", "spool", "log", "mail"):
			os.makedirs(os.path.join(self.folder, folder))
		# Where Exim's own user can execute it.
		binary = shutil.copy(binary, self.folder + "/exim4")
		for i, target in enumerate(("cert.pem", "key.pem")):
			with open(certificate[i]) as f:
				place.write(f"{name}/etc/{target}", f.read())
		place.write(name + "/etc/exim4.conf", f"""
exim_path = {binary}
primary_hostname = exim.test
spool_directory = {self.folder}/spool
log_file_path = {self.folder}/log/%slog
exim_user = Debian-exim
exim_group = Debian-exim
never_users = root
local_interfaces = {place.ip}
daemon_smtp_ports = {self.port}
pid_file_path = {self.folder}/exim.pid
tls_advertise_hosts = *
tls_certificate = {self.folder}/etc/cert.pem
tls_privatekey = {self.folder}/etc/key.pem
smtp_accept_max = 200
message_size_limit = 50M
rfc1413_query_timeout = 0s
host_lookup =
disable_ipv6
keep_environment =
acl_smtp_rcpt = accept
acl_smtp_data = accept
begin routers
all:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {self.mail}
  maildir_format
  user = Debian-exim
  group = Debian-exim
  create_directory
begin retry
* * F,1h,1m
""")
		place.run(as_root(["chown", "-R", "root", self.folder + "/etc"]))
		place.run(as_root(["chown", "Debian-exim", self.folder + "/etc/key.pem", self.mail,
				   self.folder + "/spool", self.folder + "/log"]))
		place.logs += [self.folder + "/log/mainlog", self.folder + "/log/paniclog"]
		# Its configuration has a fixed place: a private mount there, in a mount name space.
		self.process = place.start(name, as_root([
			"unshare", "-m", "sh", "-c",
			f"mkdir -p /etc/exim4 && mount --bind {self.folder}/etc /etc/exim4 && exec {binary} -bdf -q1m"]))
		place.cleanups.append(self.stop)
		place.wait_for_port(self.port, self.process)

	def stop(self):
		try:
			with open(self.folder + "/exim.pid") as f:
				self.place.run(as_root(["kill", f.read().strip()]), status=None)
		except FileNotFoundError:
			pass
		self.place.end(self.process)

	def delivered(self):
		found = []
		for path in _mailboxes(self.mail):
			found.append(self.place.run(as_root(["cat", path])).encode())
		return found


class Sendmail:
	"""An MTA with STARTTLS, unpacked beside the system; hands all mail on to `hop`, or to the world."""

	def __init__(self, place, hop=None, certificate=None, mc="", name="sendmail", authority="ca"):
		root = PEERS + "/sendmail"
		binary = root + "/usr/libexec/sendmail/sendmail"
		check(os.path.exists(binary), "Sendmail is not unpacked: contrib/packages --install test")
		self.place, self.folder = place, place.path(name)
		self.ip, self.port, self.binary = place.ip, place.free_port(), binary
		chain, key = certificate or place.certificate(name, "sendmail.test")
		keys = f"/run/postern-{name}-{os.getpid()}"  # it trusts no files below /tmp
		place.cleanups.append(lambda: place.run(as_root(["rm", "-rf", keys])))
		place.run(as_root(["install", "-d", keys]))
		for source, target in ((chain, "chain"), (key, "key"), (place.path("keys", "ca.pem"), "ca")):
			place.run(as_root(["install", "-m", "600", source, f"{keys}/{target}.pem"]))
		os.makedirs(self.folder + "/queue")
		place.run(as_root(["chown", "-R", "root", self.folder]))
		cf = root + "/usr/share/sendmail/cf"
		place.write(name + "/services", f"hosts {'files' if hop else 'dns files'}\naliases files\n")
		smart_host = f"define(`SMART_HOST', `relay:[{hop.ip}]')dnl\n" \
			f"define(`RELAY_MAILER_ARGS', `TCP $h {hop.port}')dnl" if hop else "dnl"
		place.write(name + "/sendmail.mc", f"""
include(`{cf}/m4/cf.m4')dnl
OSTYPE(`linux')dnl
define(`confPID_FILE', `{self.folder}/pid')dnl
define(`QUEUE_DIR', `{self.folder}/queue')dnl
define(`STATUS_FILE', `{self.folder}/statistics')dnl
define(`confCONTROL_SOCKET_NAME', `')dnl
define(`confSERVICE_SWITCH_FILE', `{self.folder}/services')dnl
define(`confHOSTS_FILE', `/etc/hosts')dnl
undefine(`ALIAS_FILE')dnl
define(`confDOMAIN_NAME', `sendmail.test')dnl
define(`confDEF_USER_ID', `65534:65534')dnl
define(`confDELIVERY_MODE', `background')dnl
define(`confTO_IDENT', `0')dnl
define(`confTO_RESOLVER_RETRANS', `1s')dnl
define(`confTO_RESOLVER_RETRY', `1')dnl
define(`confBAD_RCPT_THROTTLE', `0')dnl
define(`confREFUSE_LA', `10000')dnl
define(`confQUEUE_LA', `10000')dnl
define(`confDELAY_LA', `10000')dnl
define(`confLOG_LEVEL', `14')dnl
define(`confCACERT', `{keys}/{authority}.pem')dnl
define(`confCACERT_PATH', `{keys}')dnl
define(`confSERVER_CERT', `{keys}/chain.pem')dnl
define(`confSERVER_KEY', `{keys}/key.pem')dnl
define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe,GroupReadableKeyFile')dnl
{smart_host}
DAEMON_OPTIONS(`Port={self.port}, Addr={self.ip}, Name=MTA')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`promiscuous_relay')dnl
{mc}
MAILER(`smtp')dnl
""")
		place.write(name + "/sendmail.cf", place.run(
			f"m4 -D_CF_DIR_={cf}/ {self.folder}/sendmail.mc 2>{self.folder}/m4.log", shell=True))
		self.process = place.start(name, as_root([
			"unshare", "-u", "sh", "-c", f"hostname sendmail.test && exec {binary} -bD -C{self.folder}/sendmail.cf "
			f"-X{self.folder}/traffic"]))
		place.logs.append(self.folder + "/traffic")
		place.wait_for_port(self.port, self.process)

	def run(self, words, input=None):
		"""The program, with this configuration."""
		return self.place.run(as_root(["unshare", "-u", "sh", "-c", "hostname sendmail.test && exec "
			f"{self.binary} -C{self.folder}/sendmail.cf -X{self.folder}/traffic {words}"]), input=input)

	def kept(self):
		"""{recipient: why}: what was tried and stayed in the queue."""
		found = {}
		for path in glob.glob(self.folder + "/queue/?f*"):
			lines = self.place.run(as_root(["cat", path]), status=None).splitlines()
			why = [l[1:] for l in lines if l.startswith("M")]
			for recipient in re.findall(r"^R\w*:<(.*)>$", "\n".join(lines), re.M) if why else ():
				found[recipient] = why[-1]
		return found


class Dovecot:
	"""LMTP on a unix socket, delivering to Maildirs."""

	def __init__(self, place, name="dovecot"):
		check(os.path.exists("/usr/sbin/dovecot"),
		      "Dovecot is not installed: contrib/packages --install test")
		self.place, self.folder = place, place.path(name)
		self.socket = self.folder + "/lmtp"
		version = place.run(["/usr/sbin/dovecot", "--version"]).split(".")
		os.makedirs(self.folder + "/mail")
		place.run(as_root(["chown", "nobody", self.folder + "/mail"]))
		modern = (int(version[0]), int(version[1])) >= (2, 4)
		config = ("dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n" if modern else "")
		config += f"""
base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = {self.folder}/dovecot.log
protocols = lmtp
ssl = no
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
first_valid_uid = 1
mail_uid = nobody
mail_gid = nogroup
"""
		if modern:
			config += f"""
mail_driver = maildir
mail_path = {self.folder}/mail/%{{user}}
passdb static {{
  passdb_static_password = x
}}
userdb static {{
  userdb_static_allow_all_users = yes
  fields {{
    uid = nobody
    gid = nogroup
    home = {self.folder}/mail/%{{user}}
  }}
}}
"""
		else:
			config += f"""
mail_location = maildir:{self.folder}/mail/%u
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={self.folder}/mail/%u allow_all_users=yes
}}
"""
		config += f"""
service lmtp {{
  unix_listener {self.socket} {{
    mode = 0666
  }}
}}
"""
		path = place.write(name + "/dovecot.conf", config)
		place.logs.append(self.folder + "/dovecot.log")
		self.process = place.start(name, as_root(["/usr/sbin/dovecot", "-F", "-c", path]))
		place.cleanups.append(lambda: place.end(self.process))

		def answers():
			check(self.process.poll() is None, "Dovecot ended at once", place.log(name))
			try:
				with socket.socket(socket.AF_UNIX) as s:
					s.settimeout(5)
					s.connect(self.socket)
					return s.recv(4) == b"220 "
			except OSError:
				return False
		wait_for(answers, "Dovecot does not answer", 20)

	def delivered(self):
		found = []
		for path in _mailboxes(self.folder + "/mail"):
			with open(path, "rb") as f:
				found.append(f.read())
		return found


def start_unbound(place):
	"""The validating resolver of a machine in a network of its own (internet.py), at 127.0.0.1:53."""
	config = place.write("unbound/unbound.conf", "server:\n interface: 127.0.0.1\n do-ip6: no\n "
		'username: ""\n chroot: ""\n pidfile: ""\n use-syslog: no\n do-daemonize: no\n '
		f'directory: "{place.path("unbound")}"\n trust-anchor-file: "/usr/share/dns/root.key"\n'
		"remote-control:\n control-enable: no\n")
	check(os.path.exists("/usr/sbin/unbound"), "Unbound is not installed: contrib/packages --install test")
	# A copy: AppArmor lets the one at its own place read its own folder only.
	program = shutil.copy("/usr/sbin/unbound", place.path("unbound/unbound"))
	place.start("unbound", [program, "-d", "-c", config])
	wait_for(lambda: "start of service" in place.log("unbound"), lambda: place.log("unbound"))


class MtaStsDaemon:
	"""postfix-mta-sts-resolver: policies by socketmap, as its package sets it up but for the places."""

	PROGRAM = "/usr/bin/mta-sts-daemon"

	def __init__(self, place, authorities, cache="internal", size=10000, grace_s=60, port=8461, uses_uvloop=False,
		     name="mta-sts-daemon", before=()):
		check(os.path.exists(self.PROGRAM),
		      "postfix-mta-sts-resolver is not installed: contrib/packages --install test")
		self.place, self.name, self.port = place, name, port
		options = f"cache_size: {size}" if cache == "internal" else f"filename: {place.path(name + '.db')}"
		self.config = place.write(name + ".yml", f"host: 127.0.0.1\nport: {port}\nshutdown_timeout: 1\n"
			f"cache_grace: {grace_s}\ncache:\n  type: {cache}\n  options:\n    {options}\n")
		self.command = [*before, self.PROGRAM, "-v", "warn", "-c", self.config,
				*([] if uses_uvloop else ["--disable-uvloop"])]
		# The machine's authorities, and no proxy of the environment's.
		self.environment = {"SSL_CERT_FILE": authorities, "HTTPS_PROXY": "", "https_proxy": ""}

	def start(self):
		self.process = self.place.start(self.name, self.command, env=self.environment)
		def is_open():
			check(self.process.poll() is None, "it runs", self.place.log(self.name))
			try:
				socket.create_connection(("127.0.0.1", self.port), 5).close()
				return True
			except ConnectionRefusedError:
				return False
		wait_for(is_open, lambda: self.place.log(self.name), 30)
		return self

	def stop(self):
		self.place.end(self.process)

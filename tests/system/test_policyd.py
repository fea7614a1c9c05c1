"""postern-policyd: beside posternd's workers, and alone beside another MTA."""
import os
import re
import shutil
import signal
import socket
import stat

from place import check, comm_of, test, wait_for
from postern import Postern

HELLO = b"\x0b\0\0\0\1\0\0\0\0\2\0\1\0x\0"  # format 2, program "x"


def _options(place):
	"""No resolver is asked but a port of ours where nobody answers: quick to fail, and nothing leaves."""
	return {"resolver": {"forward": f"{place.ip}@{place.free_port()}", "timeout": "1s", "trust-anchor": _anchor(place)},
		"mta-sts": {"cache": place.path("state/mta-sts.db"), "authority": place.ca()}}


def _anchor(place):
	return place.write("anchor", ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n")


def _postern(place, **options):
	return Postern(place, routes={"*": "mx"}, **{**_options(place), **options})


def _pid_of_policyd(postern, other_than=None):
	def pid():
		found = postern.policyd_pid()
		return found if found != other_than else None
	return wait_for(pid, "postern-policyd runs")


def _greeting(path):
	with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
		s.settimeout(10)
		s.connect(path)
		s.sendall(HELLO)
		return s.recv(64)


@test
def it_comes_back_when_it_is_killed_and_no_worker_notices(place):
	postern = _postern(place).start()
	workers = sorted(postern.worker_pids())
	check(len(workers) == postern.workers, "the workers", workers)
	pid = _pid_of_policyd(postern)
	path = postern.folder + "/run/policyd.sock"
	check(b"postern-policyd" in _greeting(path), "it greets")
	if os.geteuid() == 0:
		check(os.stat(f"/proc/{pid}").st_uid != 0, "it is not root")
	check(f"policyd   pid {pid}, up " in postern.control("status"), "its status", postern.control("status"))
	mode = os.stat(path)
	check(stat.S_IMODE(mode.st_mode) == 0o660, "the socket's mode", oct(mode.st_mode))
	for _ in range(2):
		os.kill(pid, signal.SIGKILL)
		# the socket stays: who asks now waits for the next one
		check(b"postern-policyd" in _greeting(path), "the next one greets who waited")
		pid = _pid_of_policyd(postern, pid)
		check(sorted(postern.worker_pids()) == workers, "the workers are the same", postern.worker_pids())
	pids = postern.pids()
	postern.stop()
	wait_for(lambda: not any(comm_of(p).startswith("postern") for p in pids), "no process is left")
	check(not os.path.exists(path), "nor its socket")
	log = postern.log()
	check(log.count("policyd-exit") == 3, "three ends in the log", log[-3000:])
	check(log.rfind("policyd-exit") > log.rfind("worker-exit"), "it ends after the workers", log[-3000:])


@test
def descriptors_and_secrets_of_the_supervisor_stay_there(place):
	postern = _postern(place).start()
	pid = _pid_of_policyd(postern)
	wait_for(lambda: "dnssec-check" in postern.log(), "it runs")
	folder = f"/proc/{pid}/fd"
	targets = [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)] if os.access(folder, os.R_OK) else []
	check(not any("spool" in t or t.endswith(".pid") for t in targets), "none of the spool, no lock", targets)
	with open("/proc/net/tcp") as f:
		inodes = [line.split()[9] for line in f if line.split()[3] == "0A"]
	check(not any(f"socket:[{i}]" in targets for i in inodes), "no listening TCP socket", targets)
	bundles = [fd for fd in os.listdir(folder) if "memfd:" in os.readlink(f"{folder}/{fd}")] if targets else []
	for fd in bundles:
		with open(f"{folder}/{fd}", "rb") as f:
			bundle = f.read()
		check(b"hostname" in bundle, "the configuration is in it")
		check(b"PRIVATE KEY" not in bundle, "no key is")
	if os.geteuid() == 0:
		check(len(bundles) == 1, "one bundle", targets)
	postern.stop()


@test
def a_reload_begins_and_ends_it(place):
	postern = Postern(place, routes={"hop.test": f"smtp {place.ip}:1"}, **_options(place)).start()
	path = postern.folder + "/run/policyd.sock"
	check(postern.policyd_pid() is None and not os.path.exists(path), "nobody needs it")
	workers = sorted(postern.worker_pids())
	postern.routes["*"] = "mx"
	postern.configure()
	check("reload-done" in postern.reload(), "reloaded", postern.log()[-1500:])
	pid = _pid_of_policyd(postern)
	check(b"postern-policyd" in _greeting(path), "it greets")
	check("policyd-reload" in _reload(postern), "it lives by the new file", postern.log()[-1500:])
	postern.options["resolver"]["timeout"] = "2s"  # another resolver, another brain, the same clients
	postern.configure()
	_reload(postern)
	check(b"postern-policyd" in _greeting(path), "it greets with another resolver")
	check(postern.policyd_pid() == pid, "the same process")
	check(os.path.isdir(place.path("state")), "the folder for what it learns")
	del postern.routes["*"]
	postern.configure()
	check("reload-done" in postern.reload(), "reloaded", postern.log()[-1500:])
	wait_for(lambda: postern.policyd_pid() is None, "it is gone")
	check(not os.path.exists(path), "and its socket")
	check(sorted(postern.worker_pids()) == workers, "the workers are the same")
	postern.stop()


def _reload(postern):
	seen = len(postern.log())
	check("reload-done" in postern.reload(), "reloaded", postern.log()[-1500:])
	postern.wait_for_log("policyd-reload", after=seen)
	return postern.log()[seen:]


@test
def without_a_way_to_validate_it_says_so(place):
	postern = _postern(place).start()
	postern.wait_for_log(r"dnssec-check.*result=unknown")
	postern.stop()


@test
def a_folder_of_somebody_else_is_no_place_for_policies(place):
	if os.geteuid() != 0:
		return
	postern = _postern(place)
	os.makedirs(place.path("state"))  # root's
	process = place.start("refused", [postern.programs + "/smtpd/posternd", "-c", postern.config_path])
	check(process.wait(20) != 0, "it does not start")
	check("state directory" in place.log("refused"), "and says why", place.log("refused"))


@test
def without_its_program_posternd_does_not_start(place):
	postern = _postern(place)
	program = place.path("elsewhere", "posternd")
	os.makedirs(os.path.dirname(program))
	shutil.copy(postern.programs + "/smtpd/posternd", program)
	process = place.start("refused", [program, "-c", postern.config_path])
	check(process.wait(20) != 0, "it does not start")
	check("cannot find the program postern-policyd" in place.log("refused"), "and says why", place.log("refused"))
	postern.routes.clear()
	postern.configure()
	process = place.start("serves", [program, "-c", postern.config_path])
	wait_for(lambda: " ready " in place.log("serves"), lambda: place.log("serves"))
	check(place.end(process) == 0, "where nobody needs it, it starts")


@test
def there_is_one_for_each_run_directory(place):
	postern = _postern(place).start()
	path = postern.folder + "/run/policyd.sock"
	inode = os.stat(path).st_ino
	process = place.start("second", [postern.programs + "/smtpd/postern-policyd", "-c", postern.config_path])
	check(process.wait(20) != 0, "none beside posternd's")
	check("another one is running" in place.log("second"), "and it says so", place.log("second"))
	check(os.stat(path).st_ino == inode and b"postern-policyd" in _greeting(path), "the socket is whose it was")
	postern.stop()
	process = place.start("alone", [postern.programs + "/smtpd/postern-policyd", "-c", postern.config_path])
	wait_for(lambda: "policyd-start" in place.log("alone"), lambda: place.log("alone"))
	third = place.start("third", [postern.programs + "/smtpd/posternd", "-c", postern.config_path])
	check(third.wait(20) != 0 and "another one is running" in place.log("third"), "nor posternd beside it", place.log("third"))
	check(b"postern-policyd" in _greeting(path), "it still greets")
	check(place.end(process) == 0, "it ends well")


# ---- alone -------------------------------------------------------------------------------------------


def _alone_text(place):
	options = _options(place)
	lines = ['hostname = "mx.postern.test"', f'run-directory = "{place.path("run")}"']
	if os.geteuid() == 0:
		lines.append('user = "nobody"')
	for section, values in options.items():
		lines.append(section + " {\n" + "".join(f'\t{k} = "{v}"\n' for k, v in values.items()) + "}")
	return "\n".join(lines) + "\n"


def _alone(place, env=None):
	config = place.write("alone.conf", _alone_text(place))
	program = place.build() + "/smtpd/postern-policyd"
	starts = place.log("alone").count("policyd-start")
	process = place.start("alone", [program, "-c", config], env=env)
	wait_for(lambda: process.poll() is not None or place.log("alone").count("policyd-start") > starts,
		 lambda: place.log("alone"))
	check(process.poll() is None, "it runs", place.log("alone"))
	return process, config, program


@test
def it_lives_alone_too(place):
	process, config, program = _alone(place)
	path = place.path("run/policyd.sock")
	check(b"postern-policyd" in _greeting(path), "it greets")
	check(re.search(r"descriptors=[1-9]\d{2,}", place.log("alone")), "it has descriptors", place.log("alone"))
	if os.geteuid() == 0:
		check(os.stat(f"/proc/{process.pid}").st_uid != 0, "it is not root any more")
	second = place.start("second", [program, "-c", config])
	check(second.wait(20) != 0 and "another one is running" in place.log("second"), "one at a time", place.log("second"))
	process.send_signal(signal.SIGHUP)
	wait_for(lambda: "policyd-reload" in place.log("alone"), "it reloads")
	with open(config, "a") as f:
		f.write('resolver-of-the-moon = "x"\n')
	process.send_signal(signal.SIGHUP)
	wait_for(lambda: "reload-failed" in place.log("alone") and "alone.conf:" in place.log("alone"), "a bad file is told")
	check(b"postern-policyd" in _greeting(path), "and changes nothing")
	check(place.end(process) == 0, "it ends well", place.log("alone"))
	process, _, _ = _alone(place)  # over what the last one left
	check(b"postern-policyd" in _greeting(path), "it greets again")
	check(place.end(process) == 0, "it ends well")


@test
def it_tells_the_service_manager(place):
	notify = place.path("notify")
	with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
		s.bind(notify)
		os.chmod(notify, 0o777)
		s.settimeout(20)
		process, _, _ = _alone(place, env={"NOTIFY_SOCKET": notify})
		check(b"READY=1" in s.recv(200), "ready")
		place.end(process)
		check(b"STOPPING=1" in s.recv(200), "stopping")


@test
def check_says_whether_the_file_is_good(place):
	config = place.write("alone.conf", _alone_text(place))
	program = place.build() + "/smtpd/postern-policyd"
	check("ok" in place.run([program, "-c", config, "--check"]), "a good one")
	place.write("alone.conf", _alone_text(place) + "nonsense\n")
	said = place.run([program, "-c", config, "--check"], status=None)
	check("alone.conf:" in said, "a bad one", said)

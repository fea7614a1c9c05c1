"""recipe: a folder of contrib/ as it stands, on this machine, in the test's Internet."""
import os
import re
import time

from place import SOURCE, check, wait_for


def in_a_month():
	return time.strftime("%Y-%m-%d", time.gmtime(time.time() + 30 * 86400))


class Recipe:
	"""Only places are others than the files say: folders, who to be; and the day of the exception. more: of the test's
	own, behind it."""

	def __init__(self, place, folder, more=""):
		self.place, self.folder = place, folder
		text, run = self.file("postern.conf"), place.path("policyd")
		for old, new in (('"/run/postern"', f'"{run}"'),
				 ('"/var/lib/postern/mta-sts.db"', f'"{place.path("policyd-state/mta-sts.db")}"'),
				 ('"postern"', '"nobody"'), (re.search('until = (".*")', text).group(1), f'"{in_a_month()}"')):
			check(text.count(old) == 1, f"{old} is in the recipe")
			text = text.replace(old, new)
		if os.geteuid() != 0:
			text = text.replace('user = "nobody"\n', "")
		self.demands = "".join(re.findall(r"^(?:domain|exception) .*?^}\n", text, re.M | re.S))
		self.config = place.write("recipe.conf", text + more)

	def file(self, name):
		with open(f"{SOURCE}/contrib/{self.folder}/{name}") as f:
			return f.read()

	def program(self, name, *words):
		return [f"{self.place.build()}/smtpd/{name}", "-c", self.config, *words]

	def start_program(self, name, event):
		"""postern-policyd or postern-milter, until it has said that it runs."""
		self.place.run(self.program(name, "--check"))
		before = self.place.log(name).count(event)
		process = self.place.start(name, self.program(name))
		wait_for(lambda: self.place.log(name).count(event) > before, lambda: self.place.log(name))
		return process

	def start_policyd(self):
		self.place.run(self.program("posternctl", "check-config"))
		self.policyd = self.start_program("postern-policyd", "policyd-start")

	def explain(self, domain):
		return self.place.run(self.program("posternctl", "explain", domain))

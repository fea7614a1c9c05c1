#include "smtpd/supervise/supervise_plan.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"

void supervise_plan_clear(struct supervise_plan *plan)
{
	free(plan->user);
	free(plan->run_directory);
	free(plan->spool_directory);
	free(plan->state_directory);
	free(plan->addresses);
	supervise_bundle_free(&plan->bundle);
	supervise_bundle_free(&plan->policyd_bundle);
	memset(plan, 0, sizeof(*plan));
}

static bool differs(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) != 0 : a != b;
}

static void keep_text(char **now, char *const *kept, const char *option)
{
	if (!differs(*now, *kept))
		return;
	log_say(LOG_LEVEL_WARNING, "reload-keeps",
		"a new value of '%s' needs a restart; until then it stays %s", option,
		*kept ? *kept : "unset");
	free(*now);
	*now = mem_dup(*kept);
}

void supervise_plan_keep(struct supervise_plan *now, const struct supervise_plan *kept)
{
	if (now->workers != kept->workers)
		log_say(LOG_LEVEL_WARNING, "reload-keeps",
			"a new value of 'workers' needs a restart; until then it stays %u",
			kept->workers);
	now->workers = kept->workers;
	keep_text(&now->user, &kept->user, "user");
	keep_text(&now->run_directory, &kept->run_directory, "run-directory");
	keep_text(&now->spool_directory, &kept->spool_directory, "spool directory");
}

int supervise_plan_identity(const struct supervise_plan *plan, struct process_identity *ret,
	struct err *err)
{
	if (!plan->user)
		return geteuid() == 0 ? err_set(err, ERR_INPUT, "started as root without 'user': name "
					"the user whom the workers shall be")
				      : 0;
	if (process_find_user(plan->user, ret, err) < 0)
		return -1;
	if (ret->uid == 0)
		log_say(LOG_LEVEL_WARNING, "workers-are-root",
			"user = root: whoever breaks into a worker has this machine");
	if (geteuid() != 0 && geteuid() != ret->uid)
		return err_set(err, ERR_INPUT, "only root can start workers as user '%s': start as "
			"root, or as that user", plan->user);
	return 0;
}

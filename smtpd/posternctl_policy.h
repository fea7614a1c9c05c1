/* posternctl_policy: the commands about policy: explain and probe.
 *
 * Joins:   config, routes, postern-policyd's door or the brain in this process, explain and probe.
 */
#ifndef SMTPD_POSTERNCTL_POLICY_H
#define SMTPD_POSTERNCTL_POLICY_H

#include <stdbool.h>

struct posternctl_policy {
	const char *config_path;   /* NULL: the usual one, or none */
	const char *run_directory; /* NULL: as configured */
	const char *port, *host, *timeout; /* as given; NULL */
	bool is_json, is_fresh, wants_all;
};

/* argv[0] is the command's name. The exit status: enum explain_status, 2 for a wrong command line. */
int posternctl_explain(const struct posternctl_policy *options, int argc, char **argv);
int posternctl_probe(const struct posternctl_policy *options, int argc, char **argv);

#endif

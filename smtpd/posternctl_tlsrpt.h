/* posternctl_tlsrpt: the command tlsrpt: TLS sessions as postern-policyd counted them.
 *
 * Joins:   config (where the tally is), policy/tlsrpt (rows, reports). Reads the file beside a running
 *          daemon, and changes nothing.
 */
#ifndef SMTPD_POSTERNCTL_TLSRPT_H
#define SMTPD_POSTERNCTL_TLSRPT_H

#include <stdbool.h>

struct posternctl_tlsrpt {
	const char *config_path; /* NULL: the usual one, or none */
	const char *domain, *day; /* as given; NULL: all */
	bool is_json;
};

/* argv[0] is the command's name. The exit status. */
int posternctl_tlsrpt(const struct posternctl_tlsrpt *options, int argc, char **argv);

#endif

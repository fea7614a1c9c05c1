/* posternctl_spool: the commands about spool directories: check (and repair), snapshot.
 *
 * Joins:   spool's tools, control (a running worker is asked to keep its segments), the terminal.
 */
#ifndef SMTPD_POSTERNCTL_SPOOL_H
#define SMTPD_POSTERNCTL_SPOOL_H

#include <stdbool.h>

struct posternctl_spool {
	const char *directory;	   /* of the spool, as configured */
	const char *run_directory; /* where the workers' sockets are */
	const char *shard, *repair; /* as given; NULL */
	bool is_json;
};

/* argv[0] is "check" or "snapshot". The exit status: 0 well, 1 damage found or nothing done, 2 cannot
 * be read, or a wrong command line. */
int posternctl_spool(const struct posternctl_spool *options, int argc, char **argv);

#endif

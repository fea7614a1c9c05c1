/* program_options: the command line that posternd, postern-policyd and postern-milter have in common.
 *
 * For:     their main(); posternctl has commands and reads its own.
 * Promise: --help and --version are answered, mistakes are told with the usage; nothing else is printed.
 */
#ifndef SMTPD_PROGRAM_OPTIONS_H
#define SMTPD_PROGRAM_OPTIONS_H

#include <stdbool.h>

struct program_options {
	const char *name, *usage; /* given */
	bool may_be_supervised;	  /* given: --supervised, by which posternd starts its own */
	const char *config_path;  /* CHECK_CONFIG_PATH unless named */
	bool is_check, is_supervised;
};

/* false: there is nothing more to do than to end with *ret_status. */
bool program_options_read(struct program_options *options, int argc, char **argv, int *ret_status);

#endif

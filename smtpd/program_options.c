#include "smtpd/program_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "smtpd/check_config.h"

static bool refuse(const struct program_options *options, int *ret_status)
{
	fputs(options->usage, stderr);
	*ret_status = 2;
	return false;
}

static bool tell(const struct program_options *options, bool is_help)
{
	if (is_help)
		fputs(options->usage, stdout);
	else
		printf("%s (" PACKAGE_NAME ") " PACKAGE_VERSION "\n", options->name);
	return false;
}

bool program_options_read(struct program_options *options, int argc, char **argv, int *ret_status)
{
	struct option known[] = { { "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'k' }, { "foreground", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' },
		{ "supervised", no_argument, NULL, 's' }, { NULL, 0, NULL, 0 } };
	int option;
	if (!options->may_be_supervised)
		known[5] = known[6];
	options->config_path = CHECK_CONFIG_PATH;
	*ret_status = EXIT_SUCCESS;
	while ((option = getopt_long(argc, argv, "c:", known, NULL)) != -1) {
		if (option == 'c')
			options->config_path = optarg;
		else if (option == 'k')
			options->is_check = true;
		else if (option == 's')
			options->is_supervised = true;
		else if (option == 'h' || option == 'V')
			return tell(options, option == 'h');
		else if (option != 'f')
			return refuse(options, ret_status);
	}
	if (optind == argc)
		return true;
	fprintf(stderr, "%s: unexpected argument '%s'\n", options->name, argv[optind]);
	return refuse(options, ret_status);
}

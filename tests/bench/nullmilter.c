/* nullmilter: the least a filter can do, so that a bench can tell what the mail server's own side of the
 * milter protocol costs, and libmilter.
 *
 * usage: nullmilter [-m] SOCKET     in libmilter's words, "inet:8891@127.0.0.1"; ends with SIGTERM
 *	-m  takes MAIL with one macro and accepts the message there; else it asks to be told nothing
 */
#include <libmilter/mfapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int takes_mail;

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps,
	unsigned long unused2, unsigned long unused3, unsigned long *ret_actions,
	unsigned long *ret_steps, unsigned long *ret_unused2, unsigned long *ret_unused3)
{
	char mail[] = "{tls_version}";
	unsigned long spared = SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NORCPT | SMFIP_NOHDRS |
		SMFIP_NOBODY | SMFIP_NODATA | SMFIP_NOUNKNOWN | SMFIP_NOEOH;

	(void)unused2;
	(void)unused3;
	if (!takes_mail)
		spared |= SMFIP_NOMAIL;
	else if (actions & SMFIF_SETSYMLIST)
		smfi_setsymlist(ctx, SMFIM_ENVFROM, mail);
	*ret_actions = SMFIF_SETSYMLIST & actions;
	*ret_steps = spared & steps;
	*ret_unused2 = *ret_unused3 = 0;
	return SMFIS_CONTINUE;
}

static sfsistat on_mail(SMFICTX *ctx, char **words)
{
	(void)ctx;
	(void)words;
	return SMFIS_ACCEPT;
}

int main(int argc, char **argv)
{
	static char name[] = "nullmilter";
	struct smfiDesc description = {
		.xxfi_name = name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = SMFIF_SETSYMLIST,
		.xxfi_envfrom = on_mail,
		.xxfi_negotiate = on_negotiate,
	};
	int option;

	while ((option = getopt(argc, argv, "m")) != -1)
		takes_mail |= option == 'm';
	if (optind + 1 != argc) {
		fprintf(stderr, "usage: nullmilter [-m] SOCKET\n");
		return 2;
	}
	if (smfi_register(description) != MI_SUCCESS || smfi_setconn(argv[optind]) != MI_SUCCESS)
		return EXIT_FAILURE;
	return smfi_main() == MI_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}

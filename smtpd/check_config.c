#include "smtpd/check_config.h"

#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/netaddr.h"
#include "libtlsio/base/process.h"
#include "smtpd/config/config.h"

static const char *tls_words(const struct config_listener *l)
{
	if (!l->tls)
		return "no TLS";
	if (l->session.tls == SESSION_TLS_IMPLICIT)
		return "TLS from the first byte";
	return l->session.requires_tls ? "STARTTLS required" : "STARTTLS offered";
}

int check_config(const char *path)
{
	struct err err;
	char address[NETADDR_TEXT_BYTES];
	uint8_t secret[TLSIO_TICKET_SECRET_BYTES];
	tlsio_tickets_make_secret(secret);
	struct config *config = config_load(path, &config_source_disk, secret, &err);
	if (!config) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_FAILURE;
	}
	struct process_identity user;
	if (config->user && process_find_user(config->user, &user, &err) < 0)
		fprintf(stderr, "warning: 'user': %s\n", err.text); /* a file for another machine? */
	for (char **warning = config->warnings; *warning; warning++)
		fprintf(stderr, "warning: %s\n", *warning);
	printf("%s: ok\n", path);
	printf("  host name       %s\n", config->hostname);
	printf("  workers         %ld%s%s\n", config->workers, config->user ? ", as user " : "",
		config->user ? config->user : "");
	printf("  spool           %s\n", config->spool.directory);
	printf("  run directory   %s\n", config->run_directory);
	for (size_t i = 0; i < config->listener_count; i++)
		printf("  listens on      %s, %s\n",
			netaddr_format(&config->listeners[i].address, address),
			tls_words(&config->listeners[i]));
	config_unref(&config);
	return EXIT_SUCCESS;
}

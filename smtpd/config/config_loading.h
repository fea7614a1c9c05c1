/* config_loading: one config under construction; internal to this room.
 *
 * Holds:   the parsed file, authorities already loaded, warnings so far.
 * Promise: every file is read through the source and recorded.
 */
#ifndef SMTPD_CONFIG_CONFIG_LOADING_H
#define SMTPD_CONFIG_CONFIG_LOADING_H

#include <confuse.h>
#include <stdbool.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "libtlsio/tlsio_trust.h"
#include "smtpd/config/config.h"
#include "smtpd/config/config_text.h"

struct config_loaded;

struct config_loading {
	struct config *config; /* being filled */
	const struct config_source *source;
	const uint8_t *ticket_secret;
	struct config_text text;
	cfg_t *cfg; /* all but the sections of config_parse_is_alone; annotated */
	struct config_loaded *loaded; /* authorities, by path */
	size_t file_count;
	size_t warning_count;
	bool has_route;
	bool has_mx_route, has_host_route, has_dane_rule;
	/* The first place that demands a client's certificate, "file:line"; NULL none. */
	char *wants_client_certificates;
};

enum { CONFIG_AUTHORITY_BYTES = 8 << 20 };

/* path as it is. Appends to ret. */
int config_loading_read(struct config_loading *l, const char *path, size_t max_bytes,
	struct buf *ret, struct err *err);
void config_loading_warn(struct config_loading *l, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* "system", or a PEM file named in `place`. Gives; loaded once for one config. */
struct tlsio_trust *config_loading_authority(struct config_loading *l, const cfg_t *place,
	const char *name, uint8_t ret_sha256[32], struct err *err);
void config_loading_clear(struct config_loading *l);

/* "postern.conf:12 domain "example.org"", for the words of rules. Gives. */
char *config_loading_place(const cfg_t *section);

/* Reads the file with all it includes and parses it into l->cfg. */
int config_parse(struct config_loading *l, const char *path, struct err *err);
/* Sections that come in thousands: libConfuse compares the title of each with all before and keeps
 * a copy of the table for each, so they are parsed one by one, each handed to read and forgotten. */
bool config_parse_is_alone(const struct config_statement *statement);
int config_parse_each(struct config_loading *l, const char *name,
	int (*read)(struct config_loading *l, cfg_t *section, struct err *err), struct err *err);

/* The parts of the file, in order. */
int config_tls_read(struct config_loading *l, struct err *err);   /* listen, certificate */
int config_rules_read(struct config_loading *l, struct err *err); /* domain, exception, route */
int config_inbound_read(struct config_loading *l, struct err *err); /* client, daemon */
int config_doors_read(struct config_loading *l, struct err *err); /* milter, policy-service; before the rules */
/* The sections inbound and inbound-recipients of a domain. */
int config_inbound_read_domain(struct config_loading *l, cfg_t *domain, const char *source,
	struct err *err);
int config_brain_read(struct config_loading *l, struct err *err); /* resolver, mta-sts */

#endif

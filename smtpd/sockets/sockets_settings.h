/* sockets_settings: the addresses in the titles of a door's sections:  socketmap "127.0.0.1:8642" { }.
 *
 * For:     smtpd/config reads them, postern-policyd opens what they name (sockets). Pure.
 * Errors:  "file:line: in socketmap "x": ...", see base/conf.h.
 */
#ifndef SMTPD_SOCKETS_SOCKETS_SETTINGS_H
#define SMTPD_SOCKETS_SOCKETS_SETTINGS_H

#include <confuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/netaddr.h"

struct sockets_address {
	char *section; /* whose: "socketmap" */
	char *text;    /* as written */
	char *path;    /* of a unix socket; NULL: address */
	struct netaddr address;
};

struct sockets_settings {
	struct sockets_address *all;
	size_t count;
};

/* Appends the address in the title of a section. An address said twice is an error. port: where the
 * title says none. */
int sockets_settings_add(struct sockets_settings *settings, cfg_t *section, uint16_t port,
	struct err *err);
/* The one of them that is the same place; NULL: none. */
const struct sockets_address *sockets_settings_find(const struct sockets_settings *settings,
	const struct sockets_address *address);
/* Strangers may reach it. */
bool sockets_settings_is_open(const struct sockets_address *address);
void sockets_settings_clear(struct sockets_settings *settings);

#endif

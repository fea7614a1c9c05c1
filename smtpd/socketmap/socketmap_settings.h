/* socketmap_settings: the sections  socketmap "127.0.0.1:8642" { }  of the file. Pure.
 *
 * For:     smtpd/config reads them, postern-policyd opens what they name (socketmap_sockets).
 */
#ifndef SMTPD_SOCKETMAP_SOCKETMAP_SETTINGS_H
#define SMTPD_SOCKETMAP_SOCKETMAP_SETTINGS_H

#include <confuse.h>
#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/netaddr.h"

enum { SOCKETMAP_PORT = 8642 };

struct socketmap_address {
	char *text;	     /* as written */
	char *path;	     /* of a unix socket; NULL: address */
	struct netaddr address;
};

struct socketmap_settings {
	struct socketmap_address *all;
	size_t count;
};

cfg_opt_t *socketmap_settings_options(void);
/* Appends the address in the title of a section. An address said twice is an error. */
int socketmap_settings_add(struct socketmap_settings *settings, cfg_t *section, struct err *err);
/* Strangers may reach it. */
bool socketmap_settings_is_open(const struct socketmap_address *address);
void socketmap_settings_clear(struct socketmap_settings *settings);

#endif

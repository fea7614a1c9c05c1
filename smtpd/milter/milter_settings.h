/* milter_settings: the section `milter` of the file.
 *
 * For:     smtpd/config reads it, the other files of the room act by it.
 * Errors:  "file:line: in milter "unix:/x": 'option' ...", see base/conf.h.
 */
#ifndef SMTPD_MILTER_MILTER_SETTINGS_H
#define SMTPD_MILTER_MILTER_SETTINGS_H

#include <confuse.h>
#include <sys/types.h>

#include "libtlsio/base/err.h"
#include "smtpd/inbound/inbound_settings.h"

/* Whose macros they are: Postfix tells of verified certificates only, Sendmail of all. */
enum milter_mta { MILTER_MTA_AUTO, MILTER_MTA_POSTFIX, MILTER_MTA_SENDMAIL };

struct milter_settings {
	char *socket;	  /* as written, NULL: the file has no section `milter` */
	char *connection; /* the same in libmilter's words: "unix:/path", "inet:8891@127.0.0.1" */
	char *socket_path; /* of a unix socket; NULL */
	char *socket_group; /* NULL: that of the user */
	mode_t socket_mode;
	enum milter_mta mta;
	struct inbound_settings inbound;
	char *header; /* the field with the facts of TLS; NULL: none */
};

cfg_opt_t *milter_settings_options(void);
int milter_settings_read(cfg_t *section, struct milter_settings *ret, struct err *err);
void milter_settings_clear(struct milter_settings *settings);

#endif

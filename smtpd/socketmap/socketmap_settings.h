/* socketmap_settings: the sections  socketmap "127.0.0.1:8642" { }  of the file. Pure.
 *
 * For:     smtpd/config reads their titles by sockets_settings, postern-policyd opens what they name.
 */
#ifndef SMTPD_SOCKETMAP_SOCKETMAP_SETTINGS_H
#define SMTPD_SOCKETMAP_SOCKETMAP_SETTINGS_H

#include <confuse.h>

enum { SOCKETMAP_PORT = 8642 };

cfg_opt_t *socketmap_settings_options(void);

#endif

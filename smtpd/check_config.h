/* check_config: read a configuration as posternd would, and say what is wrong with it.
 *
 * For:     posternd --check and posternctl check-config: the same words from both.
 */
#ifndef SMTPD_CHECK_CONFIG_H
#define SMTPD_CHECK_CONFIG_H

#define CHECK_CONFIG_PATH POSTERN_SYSCONFDIR "/postern/postern.conf" /* unless another is named */

/* Words to standard output and error. Returns the exit status: 0 it can be used. */
int check_config(const char *path);

#endif

/* relay_settings: the `relay` section. */
#ifndef SMTPD_RELAY_RELAY_SETTINGS_H
#define SMTPD_RELAY_RELAY_SETTINGS_H

#include <confuse.h>
#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/err.h"

struct relay_settings {
	char *hostname;		     /* for EHLO; from the top of the file, set by config */
	int64_t connect_ms;	     /* 30s */
	int64_t greeting_ms;	     /* 5m, also EHLO */
	int64_t tls_ms;		     /* 60s STARTTLS reply and 60s handshake */
	int64_t command_ms;	     /* 5m MAIL, RCPT */
	int64_t data_ms;	     /* 2m DATA reply */
	int64_t block_ms;	     /* 3m without progress while sending a body */
	int64_t final_ms;	     /* 10m after the final dot */
	int64_t idle_ms;	     /* 5s a finished connection waits for more */
	long messages_per_connection; /* 100 */
	long recipients_per_message; /* 50 in one transaction */
	long addresses_most;	     /* 5 addresses tried for one attempt */
	bool resume_tls;	     /* remember TLS sessions; default yes */
};

cfg_opt_t *relay_settings_options(void);
int relay_settings_read(cfg_t *section, struct relay_settings *ret, struct err *err);
void relay_settings_clear(struct relay_settings *settings);

#endif

/* session_settings: the `session` section: limits of what a client may do. */
#ifndef SMTPD_SESSION_SESSION_SETTINGS_H
#define SMTPD_SESSION_SESSION_SETTINGS_H

#include <confuse.h>
#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/err.h"

enum session_bare { SESSION_BARE_REFUSE, SESSION_BARE_NORMALISE };

struct session_settings {
	char *hostname;		      /* banner, Received; from the top of the file, set by config */
	uint64_t command_bytes;	      /* 2048 */
	uint64_t line_bytes;	      /* 64 KiB: longest line of a message */
	uint64_t message_bytes;	      /* 50 MiB: SIZE */
	long recipients;	      /* 1000 per message */
	uint64_t envelopes_bytes;     /* 256 MiB: envelopes under way in all sessions of a worker */
	long messages;		      /* 100 per connection */
	long errors_soft;	      /* 10: from here replies are delayed 1 s */
	long errors_hard;	      /* 20: 421 and close */
	long hops;		      /* 100 Received fields */
	long connections;	      /* all clients, per worker: 10000 */
	long connections_per_client;  /* per IPv4 address / IPv6 /64: 50 */
	int64_t command_ms;	      /* 5m between commands */
	int64_t data_ms;	      /* 3m without a byte of data */
	int64_t tls_ms;		      /* 60s for a handshake */
	int64_t session_ms;	      /* 1h in all; a transaction may finish, in as much again */
	uint64_t data_rate_bytes;     /* slowest acceptable data, bytes/s over a minute: 100 */
	enum session_bare bare_newlines; /* refuse (default) | normalise */
	bool refuse_null_mx_senders;  /* off; RFC 7505 section 4.2, by ask_sender */
};

cfg_opt_t *session_settings_options(void);
int session_settings_read(cfg_t *section, struct session_settings *ret, struct err *err);
void session_settings_clear(struct session_settings *settings);

#endif

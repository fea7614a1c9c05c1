/* session_log: the lines a session leaves: one per accepted message, per refusal, and at its end.
 *
 * Keys, the same everywhere: msg client hello tls suite group sni.
 */
#ifndef SMTPD_SESSION_SESSION_LOG_H
#define SMTPD_SESSION_SESSION_LOG_H

#include "smtpd/session/session_client.h"

void session_log_accepted(const struct session_client *client, uint64_t id);
void session_log_refusal(const struct session_client *client, enum smtp_verb verb,
	struct str argument, const struct session_refusal *refusal);
/* why: what ended it from the other side, or NULL. */
void session_log_end(const struct session_client *client, const struct err *why);
/* Plaintext behind STARTTLS: a broken client, or somebody in between. */
void session_log_leftover(const struct session_client *client, size_t bytes);
/* A question about the sender took too long; the mail is taken. */
void session_log_unanswered(const struct session_client *client);
void session_log_turned_away(const struct netaddr *client, const char *reason);

#endif

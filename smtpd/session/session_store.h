/* session_store: a session's message into the spool: Received field, content, envelope.
 *
 * For:     session_client (these are the machine's store actions; ctx is the client).
 * Promise: on_done of the spool reaches session_client_stored, unless the client went away first:
 *          then nobody is told and the message stays.
 */
#ifndef SMTPD_SESSION_SESSION_STORE_H
#define SMTPD_SESSION_SESSION_STORE_H

#include "smtpd/session/session_client.h"

int session_store_begin(void *ctx, struct err *err);
int session_store_write(void *ctx, struct str content, struct err *err);
void session_store_commit(void *ctx);
void session_store_abandon(void *ctx);

#endif

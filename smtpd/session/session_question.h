/* session_question: something about a sender that the house has to look up first.
 *
 * For:     session_client (these are the machine's actions; ctx is the client), session.h.
 * Holds:   what the gate knows the question by, and a time limit; exists only while asked.
 * Promise: after an ask that said true, session_client_answered comes once, from the loop, unless
 *          it was forgotten first. No answer in time is no objection: mail is not lost to DNS.
 */
#ifndef SMTPD_SESSION_SESSION_QUESTION_H
#define SMTPD_SESSION_SESSION_QUESTION_H

#include "smtpd/session/session_client.h"

#define SESSION_QUESTION_MS 5000

/* False: there is nothing to ask. */
bool session_question_ask(void *ctx, struct str sender_domain);
void session_question_forget(void *ctx);

#endif

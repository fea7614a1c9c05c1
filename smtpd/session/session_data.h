/* session_data: the message itself: DATA, BDAT (RFC 3030), and its end. For session_machine.
 *
 * Promise: content that is refused is still taken to its true end, then refused, so that no byte
 *          of it is ever read as a command; content that goes on for ever ends the session.
 */
#ifndef SMTPD_SESSION_SESSION_DATA_H
#define SMTPD_SESSION_SESSION_DATA_H

#include "smtpd/session/session_machine.h"

void session_data_run_data(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed);
void session_data_run_chunk(struct session_machine *m, struct str argument,
	const struct session_parsed *parsed);
/* Phases DATA and CHUNK: content off the front of input. Returns the bytes used. */
size_t session_data_take(struct session_machine *m, struct str input);
void session_data_stored(struct session_machine *m, uint64_t id, const struct err *why);

#endif

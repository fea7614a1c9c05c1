/* control_server: the worker's side of posternctl: one request, one answer, never in mail's way.
 *
 * For:     control_worker, which has the commands.
 * Holds:   at most 16 clients of one listening unix socket.
 * Promise: only root, the worker's own user and members of its group are answered; an answer is
 *          made in slices, one per turn and only while the client reads; a client that is slow or
 *          silent is dropped after 30 s.
 */
#ifndef SMTPD_CONTROL_SERVER_H
#define SMTPD_CONTROL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/tlsio_loop.h"
#include "smtpd/control/control_protocol.h"

struct control_server;
struct control_answer;

struct control_command {
	const char *name; /* NULL ends the table */
	size_t arguments_least, arguments_most;
	/* Ends in control_answer_ok, _error or _more. request is borrowed for the call. */
	void (*run)(void *ctx, struct control_answer *answer, const struct control_request *request);
};

/* fd is a listening socket, borrowed; commands and ctx borrowed. */
struct control_server *control_server_new(struct tlsio_loop *loop, int fd,
	const struct control_command *commands, void *ctx);
void control_server_free(struct control_server **server);

/* Where records and data are appended, at most CONTROL_SLICE_BYTES or so in one call of run or
 * step. */
#define CONTROL_SLICE_BYTES 65536
struct buf *control_answer_out(struct control_answer *answer);
void control_answer_ok(struct control_answer *answer);
void control_answer_error(struct control_answer *answer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* step runs in later turns until it calls _ok or _error; takes state: end_state frees it when the
 * answer is over or its client went away. */
void control_answer_more(struct control_answer *answer,
	void (*step)(void *state, struct control_answer *answer), void (*end_state)(void *state),
	void *state);
/* From step: the next one comes after so much time. */
void control_answer_pause(struct control_answer *answer, int64_t ms);

#endif

/* socketmap_answer: a plan -> the one answer that holds for all its hosts. Pure.
 *
 * For:     socketmap_server.
 * Promise: ANSWERS.md, row by row (tested so): never less than what Postern's own relay would ask of a
 *          domain but where the page says so; "OK " has words behind it, "NOTFOUND" a space
 *          (without either Postfix takes the answer for another). No answer is longer than
 *          SOCKETMAP_ANSWER_BYTES_MOST.
 */
#ifndef SMTPD_SOCKETMAP_SOCKETMAP_ANSWER_H
#define SMTPD_SOCKETMAP_SOCKETMAP_ANSWER_H

#include "libtlsio/base/buf.h"
#include "policy/policy_plan.h"
#include "smtpd/socketmap/socketmap_request.h"

enum { SOCKETMAP_ANSWER_BYTES_MOST = 100000 }; /* Postfix reads no more */

/* Appends "OK secure match=...", "NOTFOUND ", "TEMP why", "PERM why". */
void socketmap_answer_write(struct buf *into, enum socketmap_map map, const struct policy_plan *plan);
/* For requests without a plan. */
void socketmap_answer_not_found(struct buf *into);
void socketmap_answer_refuse(struct buf *into, const char *why);

#endif

/* policy_null_mx: does a domain say by a null MX (RFC 7505) that it takes no mail?
 *
 * For:     the worker joins it to session's gate: such a sender may be refused (section 4.2).
 * Holds:   a bounded queue of domains; two threads once one is needed; answers, bounded too, for
 *          what their TTL says, but a minute at least and an hour at most.
 * Promise: one event per question, later, unless cancelled; a domain is asked about once, however
 *          many ask; a resolver that hangs costs its threads and nothing else. There is no time
 *          limit: who asks has his own, and cancels.
 * Errors:  whatever goes wrong with the look-up is UNKNOWN, which is no reason to refuse mail.
 */
#ifndef POLICY_POLICY_NULL_MX_H
#define POLICY_POLICY_NULL_MX_H

#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_loop.h"
#include "policy/policy_null_mx_answer.h"

struct policy_null_mx;
struct policy_null_mx_question;

/* Blocks; called from a thread of its own. */
typedef struct policy_null_mx_answer (*policy_null_mx_function)(const char *domain);
/* Asks the servers of /etc/resolv.conf. */
struct policy_null_mx_answer policy_null_mx_system(const char *domain);

struct policy_null_mx *policy_null_mx_new(struct tlsio_loop *loop,
	policy_null_mx_function function);
/* Questions must be cancelled before. Does not wait for a thread that hangs. */
void policy_null_mx_free(struct policy_null_mx **n);

/* domain: A-labels in lower case. on_answer: the question is over, forget it. NULL: too much is
 * asked already, take it as UNKNOWN. */
struct policy_null_mx_question *policy_null_mx_ask(struct policy_null_mx *n, struct str domain,
	void (*on_answer)(void *ctx, enum policy_null_mx_result result), void *ctx);
/* No event any more. Accepts NULL, sets NULL. */
void policy_null_mx_cancel(struct policy_null_mx_question **question);

#endif

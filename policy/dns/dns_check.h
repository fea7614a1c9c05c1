/* dns_check: does validation really work here? Asked at start-up.
 *
 * For:     postern-policyd, which logs it; posternctl explain, which prints it.
 * How:     each name of settings->check must fail as bogus, and the root's own answer (its SOA or NS
 *          set, or the zone of the anchor) must come secure. A resolver that answers the broken name
 *          does not validate, or a forwarder strips signatures.
 */
#ifndef POLICY_DNS_DNS_CHECK_H
#define POLICY_DNS_DNS_CHECK_H

#include "policy/dns/dns.h"

enum dns_check_result {
	DNS_CHECK_GOOD,
	DNS_CHECK_NOT_VALIDATING, /* DANE is not in effect here: say it loudly */
	DNS_CHECK_UNKNOWN,	  /* no answer either way: no network? */
};
struct dns_check;
/* One event, later. words: a plain sentence with the remedy. */
struct dns_check *dns_check_start(struct tlsio_loop *loop, struct dns *dns,
	const struct dns_settings *settings,
	void (*on_over)(void *ctx, enum dns_check_result result, const char *words), void *ctx);
/* Accepts NULL, sets NULL. */
void dns_check_cancel(struct dns_check **check);

#endif

/* policy_names: what must be asked of a host so that a requirement can be held against its answer. Pure.
 *
 * For:     relay before a handshake, and a probe, which is to see what the relay would: both give
 *          them to tlsio_client.
 */
#ifndef POLICY_POLICY_NAMES_H
#define POLICY_POLICY_NAMES_H

#include "policy/policy_requirement.h"

/* The name to ask for (SNI): what TLSA records say (RFC 7672 8.1), else the host dialled (RFC 8461
 * 7.1); of an address the first whole name of the rule, so that a server with many certificates shows
 * the one that will be looked for. NULL: none. r and host may be NULL. Borrowed from them. */
const char *policy_names_server(const struct policy_requirement *r, const char *host);

/* Room for the next one's names. */
size_t policy_names_most(const struct policy_requirement *r,
	const struct policy_requirement *testing);
/* Reference names, most wanted first: the rule's, or else those of DANE, or else the host; behind them
 * what a testing policy wants, so that it is judged by the same handshake. All three may be NULL.
 * How many; borrowed from them. */
size_t policy_names_reference(const struct policy_requirement *r,
	const struct policy_requirement *testing, const char *host, const char **ret);

/* The names are a domain and all hosts below it: what policy_combine asks of a host that only an unproven
 * MX record names. For words. */
bool policy_names_are_domain(const struct policy_requirement *r);

#endif

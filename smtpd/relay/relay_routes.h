/* relay_routes: recipient domain -> words of a route: most specific wins. Immutable.
 *
 * Lookup:  as policy_rules: exact, ".parent", ..., "*". A domain with a route other than "*" is
 *          one of ours: anybody may send to it. "*" is for clients that may relay.
 */
#ifndef SMTPD_RELAY_RELAY_ROUTES_H
#define SMTPD_RELAY_RELAY_ROUTES_H

#include "policy/policy_rules.h"
#include "smtpd/relay/relay_destination.h"

struct relay_routes;

struct relay_routes *relay_routes_new(void);
/* Checks the words. rules: whose requirement for the domain a destination gets. */
int relay_routes_add(struct relay_routes *routes, struct str domain, struct str words,
	struct err *err);
/* Gives a reference (relay_destination_unref), from a cache: the same domain gives the same object
 * as long as the same rule holds for it. Never NULL: no route gives RELAY_REFUSE. now_s: wall clock;
 * exceptions end. The maildir's %d is filled in; %u is not. */
struct relay_destination *relay_routes_find(struct relay_routes *routes,
	struct policy_rules *rules, struct str domain, int64_t now_s);
/* Every route as it stands in the file: "example.org", ".example.org" or "*", and its words. */
void relay_routes_each(const struct relay_routes *routes,
	void (*on_route)(void *ctx, const char *domain, const char *words), void *ctx);
bool relay_routes_is_ours(const struct relay_routes *routes, struct str domain);
struct relay_routes *relay_routes_ref(struct relay_routes *routes);
void relay_routes_unref(struct relay_routes **routes);

#endif

/* policy_domain: domain names in one form, and tables of "most specific wins". Pure.
 *
 * For:     policy_rules, policy_inbound, the routes of relay: all look up domains the same way.
 * Form:    A-labels, ASCII lower case, no trailing dot. U-labels are turned by libidn2.
 * Table:   keys "example.org" (itself), ".example.org" (any host below, not itself), "*" (the
 *          rest). "mail.a.example.org" asks for itself, then ".a.example.org",
 *          ".example.org", ".org", "*".
 */
#ifndef POLICY_POLICY_DOMAIN_H
#define POLICY_POLICY_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

#define POLICY_DOMAIN_BYTES 256 /* 253 bytes of name (RFC 1035 2.3.4), a leading dot, a NUL */

/* A domain name into its one form. Refuses empty labels, labels over 63, names over 253 bytes and
 * bytes no host or domain name has. */
int policy_domain_parse(struct str text, char ret[POLICY_DOMAIN_BYTES], struct err *err);
/* The same, or ".domain", or "*". */
int policy_domain_parse_pattern(struct str text, char ret[POLICY_DOMAIN_BYTES], struct err *err);

struct policy_domain_table;

struct policy_domain_table *policy_domain_table_new(void);
/* pattern in its one form; value not NULL. False when the pattern is there already. */
bool policy_domain_table_add(struct policy_domain_table *table, const char *pattern, void *value);
/* The value of the most specific pattern, or NULL. domain as a peer wrote it: any case, with or
 * without trailing dot, U-labels too; what is no domain name gets the value of "*". */
void *policy_domain_table_find(const struct policy_domain_table *table, struct str domain);
/* The same, but not "*". */
void *policy_domain_table_find_named(const struct policy_domain_table *table, struct str domain);
/* Every pattern in the order it was added, "*" last. */
void policy_domain_table_each(const struct policy_domain_table *table,
	void (*on_value)(void *ctx, const char *pattern, void *value), void *ctx);
/* free_value (may be NULL) is called once per pattern. Accepts NULL, sets NULL. */
void policy_domain_table_free(struct policy_domain_table **table, void (*free_value)(void *value));

#endif

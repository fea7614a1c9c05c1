/* dns_settings: the `resolver` section.
 *
 *	resolver {
 *		forward = { "127.0.0.1", "192.0.2.53@5353" }   # validating resolvers; default: ask from the roots
 *		trust-anchor = "/usr/share/dns/root.key"       # root.key of the system unless given
 *		timeout = "10s"                                # for one question, all servers tried
 *		cache-size = "64MiB"
 *		check = { "dnssec-failed.org" }                # names that must fail: the self-check; {} switches it off
 *		stub "corp.example" { servers = { "192.0.2.53@53" } }  # asked there, validated like all else
 *		insecure = { "corp.example" }                  # domains never validated (no anchor below)
 *	}
 */
#ifndef POLICY_DNS_DNS_SETTINGS_H
#define POLICY_DNS_DNS_SETTINGS_H

#include <confuse.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"

struct dns_stub {
	char *zone;
	char **servers; /* "address" or "address@port"; NULL-terminated */
};

struct dns_settings {
	char **forward;	     /* NULL-terminated; empty: iterate from the roots */
	char *trust_anchor;  /* path; content comes in anchor_text */
	char *anchor_text;   /* the file's bytes (config reads files, this room does not); NULL: none,
			      * nothing can be validated */
	int64_t timeout_ms;
	uint64_t cache_bytes;
	char **check;	     /* NULL-terminated */
	struct dns_stub *stubs;
	size_t stub_count;
	char **insecure;     /* NULL-terminated */
};

cfg_opt_t *dns_settings_options(void);
/* Leaves anchor_text NULL. */
int dns_settings_read(cfg_t *section, struct dns_settings *ret, struct err *err);
void dns_settings_copy(const struct dns_settings *from, struct dns_settings *ret);
void dns_settings_clear(struct dns_settings *settings);

#endif

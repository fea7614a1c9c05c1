/* plan_host: what DNS says of one host: addresses, and the TLSA records that count.
 *
 * For:     plan_domain, which starts one for every MX target.
 * Source:  RFC 7672 2.1.2, 2.2.2, 2.2.3; POLICY_PLAN_ADDRESSES_MOST addresses are kept.
 * Promise: over within PLAN_HOST_LIMIT_MS of its beginning; a hanging look-up of one address family
 *          does not hold up the other for longer than PLAN_HOST_PATIENCE_MS; on_over comes once,
 *          later, unless the host is over as soon as it is made (an address, an odd name).
 */
#ifndef POLICY_PLAN_PLAN_HOST_H
#define POLICY_PLAN_PLAN_HOST_H

#include "libtlsio/tlsio_loop.h"
#include "policy/dns/dns.h"
#include "policy/policy_combine.h"
#include "policy/policy_plan.h"

enum {
	PLAN_HOST_LIMIT_MS = 15000,
	PLAN_HOST_PATIENCE_MS = 8000,
	PLAN_HOST_NAMES_MOST = 4,
	PLAN_FAILURE_TTL_S = 30, /* what could not be found out is asked again then */
	/* Association data of one host's records together; what is beyond is not looked at. */
	PLAN_HOST_TLSA_BYTES_MOST = 16384,
};

enum plan_host_state {
	PLAN_HOST_OPEN,
	PLAN_HOST_GOOD,	      /* addresses and a DANE finding */
	PLAN_HOST_NO_ADDRESS, /* proven or plain: the name is not there or has no address */
	PLAN_HOST_OUT,	      /* text says why */
};

struct plan_host_setup {
	struct tlsio_loop *loop;
	struct dns *dns;
	const char *name; /* copied */
	unsigned preference;
	uint16_t port;
	bool may_be_address; /* the next hop itself; an MX record must not name one (RFC 5321 5.1) */
	bool uses_dane;
	bool is_by_mx; /* found by DNS alone: addresses of our own machine are not taken */
	/* Further reference names besides the TLSA base domain (RFC 7672 3.2.2). Borrowed; NULL: none. */
	const char *next_hop;
	const char *next_hop_canonical;
	bool is_own_reference; /* the host's name counts beside its expansion: it is the next hop */
	bool wants_evidence;
	void (*on_over)(void *ctx);
	void *ctx;
};

struct plan_host {
	/* Results. */
	enum plan_host_state state;
	char *name;
	unsigned preference;
	struct netaddr addresses[POLICY_PLAN_ADDRESSES_MOST];
	size_t address_count;
	bool is_secure; /* NO_ADDRESS: DNSSEC proves it */
	struct policy_dane_finding dane;
	enum policy_reason reason;
	char *text;
	uint32_t ttl_s;		   /* the smallest that all this rests on */
	struct policy_plan *notes; /* holds the evidence, where wanted; else NULL */
	struct plan_host_parts *parts;
};

/* Over at once (an address, an odd name), or open until plan_host_begin and its answers. */
struct plan_host *plan_host_new(const struct plan_host_setup *setup);
/* Asks. Once; the host is open. */
void plan_host_begin(struct plan_host *host);
/* Looks nothing up any more: what is still open failed. No event. */
void plan_host_stop(struct plan_host *host);
/* Accepts NULL, sets NULL. No event any more. */
void plan_host_free(struct plan_host **host);
/* What is being asked: "A, AAAA", "_25._tcp.mx.example.org TLSA". Returns into. */
const char *plan_host_open_words(const struct plan_host *host, char *into, size_t capacity);

/* "192.0.2.1", "[192.0.2.1]", "2001:db8::1", "[IPv6:2001:db8::1]". */
bool plan_host_is_address(const char *name, uint16_t port, struct netaddr *ret);

#endif

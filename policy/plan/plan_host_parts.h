/* plan_host_parts: what the two files of plan_host share: addresses (plan_host.c), then DANE
 * (plan_host_dane.c).
 */
#ifndef POLICY_PLAN_PLAN_HOST_PARTS_H
#define POLICY_PLAN_PLAN_HOST_PARTS_H

#include "policy/plan/plan_host.h"

enum { FAMILIES = 2, BASES_MOST = 2 };

struct family {
	struct plan_host *host;
	enum dns_type type;
	struct dns_question *question;
	bool is_in;
	enum dns_result result;
	enum dns_security security;
	char *canonical; /* FOUND through a CNAME */
	char *why;
	struct netaddr addresses[POLICY_PLAN_ADDRESSES_MOST];
	size_t count;
};

struct plan_host_parts {
	struct dns *dns;
	uint16_t port;
	bool uses_dane, is_own_reference, is_by_mx;
	struct netaddr refused; /* an address that was not taken; family NONE: none */
	const char *next_hop, *next_hop_canonical;
	void (*on_over)(void *ctx);
	void *ctx;
	struct tlsio_timer timer;
	bool is_starting, is_stopping; /* no event then */
	bool is_impatient, has_failed;
	struct family families[FAMILIES]; /* A, AAAA */
	/* DANE. */
	bool is_dane;		       /* addresses are done */
	struct dns_question *question; /* CNAME, or TLSA of one base */
	char asked[DNS_NAME_BYTES];
	char *bases[BASES_MOST]; /* candidates for the TLSA base domain, in order */
	size_t base_count, bases_asked;
	struct policy_tlsa *all, *selected;
	size_t all_count;
	const char *names[PLAN_HOST_NAMES_MOST];
	char *words; /* of a DANE_ERROR */
};

/* Ends the host: cancels what is open, tells. The host may be gone on return. */
void plan_host_end(struct plan_host *host, enum plan_host_state state);
void plan_host_count_ttl(struct plan_host *host, const struct dns_answer *answer);

/* The host has addresses. is_secure: all that are used; canonical: end of the CNAME chain, or NULL. */
void plan_host_find_dane(struct plan_host *host, bool is_secure, const char *canonical);
/* No answer in time: an error (D3). */
void plan_host_give_up_dane(struct plan_host *host);
void plan_host_clear_dane(struct plan_host *host);

#endif

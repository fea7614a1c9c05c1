/* policy_inbound_demand: what one inbound rule demands of a session, and whether it is met. Pure.
 *
 * For:     policy_inbound, which finds the rules that hold.
 * Facts:   what a door knows of a session: posternd all of it (policy_inbound_facts_of_peer), a milter or a
 *          policy service what the MTA in front tells. What a door does not know is never taken for granted.
 */
#ifndef POLICY_POLICY_INBOUND_DEMAND_H
#define POLICY_POLICY_INBOUND_DEMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/netaddr.h"
#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_peer.h"
#include "policy/policy_requirement.h"

/* What becomes of mail that does not meet a rule; mildest first. */
enum policy_inbound_mode {
	POLICY_INBOUND_UNSET, /* as the door does where a rule says nothing */
	POLICY_INBOUND_REPORT,
	POLICY_INBOUND_QUARANTINE,
	POLICY_INBOUND_TEMPFAIL,
	POLICY_INBOUND_REJECT,
};
/* "unset", "report", "quarantine", "tempfail", "reject" */
const char *policy_inbound_mode_name(enum policy_inbound_mode mode);

struct policy_inbound_demand {
	bool requires_tls;
	/* Each of the rest implies TLS. */
	enum tlsio_version minimum;	/* 0 = any (1.2 is the floor) */
	unsigned minimum_bits;		/* of the cipher's key; 0 any */
	char **ciphers;			/* policy_cipher patterns, any of; none given: all */
	size_t cipher_count;
	char **refused_ciphers;
	size_t refused_cipher_count;
	/* One of the names (CA-verified) or one of the pins (the leaf's key); with neither given
	 * any CA-verified certificate. */
	bool requires_certificate;
	char **names;			/* SAN dNSNames, any of; behind an MTA the common name */
	size_t name_count;
	struct policy_pin *pins;
	size_t pin_count;
	enum policy_inbound_mode mode;
	char *source;
};

/* Gives a copy; free with policy_inbound_demand_free. */
struct policy_inbound_demand *policy_inbound_demand_copy(const struct policy_inbound_demand *from);
void policy_inbound_demand_copy_into(struct policy_inbound_demand *into,
	const struct policy_inbound_demand *from);
/* All it holds, not the struct itself; then it is zero. */
void policy_inbound_demand_clear(struct policy_inbound_demand *demand);
void policy_inbound_demand_free(void *demand);

enum policy_inbound_certificate {
	POLICY_INBOUND_CERTIFICATE_NONE,       /* none was shown */
	POLICY_INBOUND_CERTIFICATE_UNVERIFIED, /* one was shown that proves nothing */
	POLICY_INBOUND_CERTIFICATE_UNSEEN,     /* none, or one that proves nothing: the MTA tells no more */
	POLICY_INBOUND_CERTIFICATE_VERIFIED,
};

/* Of one session; all text borrowed. */
struct policy_inbound_facts {
	struct netaddr client;
	struct str client_name; /* as the MTA resolved it, there and back; empty: unknown */
	struct str daemon;	/* the MTA's name for the service that took the session; empty: unknown */
	uint16_t port;		/* at which it was taken; 0 unknown */
	bool has_tls;
	unsigned version; /* as enum tlsio_version, and 10 and 11; 0: one we do not know */
	struct str cipher; /* by either name, see policy_cipher */
	unsigned bits;	   /* of its key */
	enum policy_inbound_certificate certificate;
	struct str certificate_fault; /* why it proves nothing, for the reply; may be empty */
	struct str common_name; /* of a verified certificate, from a door that sees no other name */
	const uint8_t *key_sha256; /* of the certificate's key, 32 bytes: who shows a certificate holds its
				      key, whoever signed it; NULL: none, or the door cannot tell */
	struct str key_fault; /* why the door cannot tell, for the reply; may be empty */
	const struct tlsio_peer *peer; /* the chain itself, where the door has it: names are then taken
					  from there; NULL otherwise */
	enum policy_inbound_mode default_mode; /* what the door does where a rule says nothing */
};

/* What posternd's own sessions know. peer NULL: in clear. Borrows peer; text for certificate_fault. */
void policy_inbound_facts_of_peer(const struct netaddr *client, const struct tlsio_peer *peer,
	struct policy_inbound_facts *ret);

struct policy_inbound_refusal {
	enum policy_inbound_mode mode; /* never UNSET */
	int code;	      /* 530 "STARTTLS first" (RFC 3207 4), 554 too weak, no certificate; 451
				 instead of both with mode tempfail */
	const char *enhanced; /* "5.7.0", "5.7.1", "4.7.0"; static */
	const char *source;   /* the rule's place; lives as long as the rules */
	char text[300];	      /* what is missing and how to mend it; ASCII, one line */
};
/* True when the session shows what is demanded. whose: "mail from x.example", for the words. */
bool policy_inbound_demand_is_met(const struct policy_inbound_demand *demand,
	const struct policy_inbound_facts *facts, const char *whose,
	struct policy_inbound_refusal *ret_refusal);

/* The certificate was verified and carries one of the names. */
bool policy_inbound_shows_name(const struct policy_inbound_facts *facts, char *const *names,
	size_t count);
/* The client holds one of the keys, whoever signed the certificate. */
bool policy_inbound_shows_key(const struct policy_inbound_facts *facts,
	const struct policy_pin *pins, size_t count);

#endif

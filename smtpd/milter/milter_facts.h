/* milter_facts: what an MTA's macros tell of the TLS session. Pure.
 *
 * For:     milter_callbacks asks for the macros, inbound_verdict judges what came out.
 * Postfix: {cert_subject} and {cert_issuer} are common names, there only when the certificate was verified.
 * Sendmail: they are whole names ("/O=x+20y/CN=z", bytes as +XX) of any certificate that was shown, so only
 *          {verify} = OK makes them count; the name is {cn_subject}. Any MTA not known to be Postfix is
 *          taken for Sendmail: the other way round a self-signed certificate would pass.
 * Promise: what is missing, too long or not understood proves nothing.
 */
#ifndef SMTPD_MILTER_MILTER_FACTS_H
#define SMTPD_MILTER_MILTER_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/netaddr.h"
#include "policy/policy_inbound_demand.h"
#include "smtpd/milter/milter_settings.h"

/* As smfi_getsymval gave them; NULL: the MTA sent none. */
struct milter_macros {
	const char *tls_version;  /* {tls_version} "TLSv1.3" */
	const char *cipher;	  /* {cipher} */
	const char *cipher_bits;  /* {cipher_bits} */
	const char *verify;	  /* {verify}, Sendmail */
	const char *cert_subject; /* {cert_subject} */
	const char *cert_issuer;  /* {cert_issuer} */
	const char *cn_subject;	  /* {cn_subject}, Sendmail */
};

#define MILTER_FACTS_TEXT 256

struct milter_facts {
	bool is_tls;
	unsigned version; /* 10 to 13; 0: not understood */
	unsigned bits;
	char version_text[16]; /* "TLSv1.3", as the MTA says it */
	char cipher[80];
	enum policy_inbound_certificate certificate;
	char verify[32];	       /* Sendmail's word */
	char subject[MILTER_FACTS_TEXT]; /* escapes undone; of any certificate, for people */
	char issuer[MILTER_FACTS_TEXT];
	char common_name[MILTER_FACTS_TEXT]; /* of a verified one only; else empty */
};

/* Of one connection. */
struct milter_client {
	struct netaddr address;
	struct str name;   /* as the MTA resolved it; empty: unknown */
	struct str daemon; /* {daemon_name} */
	uint16_t port;	   /* {daemon_port} */
};

/* version: the MTA's {v} macro; NULL none. Never AUTO. */
enum milter_mta milter_facts_mta(enum milter_mta wanted, const char *version);
/* mta: POSTFIX or SENDMAIL. */
void milter_facts_read(const struct milter_macros *macros, enum milter_mta mta,
	struct milter_facts *ret);
/* As the rules want them; borrows the texts of client and facts. */
struct policy_inbound_facts milter_facts_shown(const struct milter_facts *facts,
	const struct milter_client *client, enum policy_inbound_mode default_mode);

#endif

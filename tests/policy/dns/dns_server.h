/* dns_server: nsd on 127.0.0.1 with zones made for the occasion, some of them signed.
 *
 * For:     tests and measurements of policy/dns. Needs nsd, ldns-keygen and ldns-signzone.
 * Holds:   a temporary folder, one nsd child (which dies with us) on a free port.
 */
#ifndef TESTS_POLICY_DNS_DNS_SERVER_H
#define TESTS_POLICY_DNS_DNS_SERVER_H

#include "policy/dns/dns_settings.h"

enum dns_server_zone {
	DNS_SERVER_PLAIN,
	DNS_SERVER_SIGNED,
	DNS_SERVER_SIGNED_NSEC3,
	DNS_SERVER_EXPIRED,  /* signatures of long ago */
	DNS_SERVER_TAMPERED, /* after signing, 192.0.2.66 becomes 192.0.2.67 and TTL 300 stays */
	DNS_SERVER_BROKEN,   /* the server has no file for it: SERVFAIL */
};

struct dns_server;
/* NULL: a tool is missing (said on stderr). */
struct dns_server *dns_server_new(void);
/* records: master file lines below SOA and NS, which are put in front (minimum 77). */
void dns_server_add(struct dns_server *server, const char *zone, enum dns_server_zone kind,
	const char *records);
/* Signs, starts, returns when it serves. -1: said on stderr. */
int dns_server_start(struct dns_server *server);
void dns_server_free(struct dns_server **server);
int dns_server_port(const struct dns_server *server);
/* Stubs for every zone, anchors of the signed ones, 5 s, 8 MiB, no checks. */
void dns_server_settings(const struct dns_server *server, struct dns_settings *ret);
/* One more stub. */
void dns_server_stub(struct dns_settings *settings, const char *zone, int port);

#endif

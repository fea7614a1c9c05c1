#include "policy/dns/dns.h"

/* Apart from dns.c, so that a test with another resolver in its place has the words all the same. */

const char *dns_type_name(enum dns_type type)
{
	switch (type) {
	case DNS_A:
		return "A";
	case DNS_CNAME:
		return "CNAME";
	case DNS_MX:
		return "MX";
	case DNS_TXT:
		return "TXT";
	case DNS_AAAA:
		return "AAAA";
	case DNS_TLSA:
		return "TLSA";
	}
	return "?";
}

const char *dns_verdict_name(enum dns_result result, enum dns_security security)
{
	if (security == DNS_BOGUS)
		return "bogus";
	if (result == DNS_FAILED)
		return "error";
	return security == DNS_SECURE ? "secure" : "insecure";
}

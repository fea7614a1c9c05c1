#include "tests/policy/door/make_plan.h"

#include <string.h>

#include "libtlsio/base/mem.h"

static void add_address(struct policy_plan_host *host, const char *text)
{
	host->addresses = mem_resize_array(
		host->addresses, host->address_count + 1, sizeof(*host->addresses));
	netaddr_parse(str_of(text), 25, &host->addresses[host->address_count++], NULL);
}

static struct policy_requirement *by_dane(struct tlsio_trust *trust)
{
	char key[32], own[] = "mx1.example.org", base[] = "example.org", rule_name[] = ".example.org";
	char *names[] = { own, base };
	char *rule_names[] = { rule_name };
	char file[] = "own-ca.pem", source[] = "postern.conf:12 domain \"example.org\"";
	struct policy_tlsa records[] = {
		{ .usage = 3, .selector = 1, .matching = 1, .data = str_from(key, sizeof(key)) },
		{ .usage = 2, .selector = 0, .matching = 0, .data = STR("\x30\0 a certificate\n") },
	};
	struct policy_pin pin;
	memset(key, 0xab, sizeof(key));
	memset(&pin, 0xcd, sizeof(pin));
	struct policy_requirement from = { .level = POLICY_LEVEL_DANE, .minimum = TLSIO_TLS13,
		.names = rule_names, .name_count = 1, .trust = trust,
		.trust_name = trust ? file : NULL, .trust_sha256 = { 1, 2, 3 }, .pins = &pin,
		.pin_count = 1, .tlsa = records, .tlsa_count = 2, .dane_names = names,
		.dane_name_count = 2, .server_name = own, .origin = POLICY_ORIGIN_DANE, .source = source };
	return policy_requirement_new(&from);
}

static struct policy_requirement *by_level(enum policy_level level)
{
	struct policy_requirement from = { .level = level, .minimum = TLSIO_TLS12 };
	return policy_requirement_new(&from);
}

struct policy_plan *make_plan_rich(struct tlsio_trust *trust)
{
	struct policy_plan *plan = policy_plan_new("example.org", "mail.example.org");
	memcpy(plan->rule_fingerprint, "0123456789abcdef0123456789abcdef", 33);
	plan->made_s = 1767225600;
	plan->expires_s = 1767229200;
	struct policy_plan_host *host = policy_plan_add_host(plan, "mx1.example.org", 10);
	add_address(host, "192.0.2.1:25");
	add_address(host, "[2001:db8::1]:25");
	host->requirement = by_dane(trust);
	host->is_domain_proven = true;
	host = policy_plan_add_host(plan, "mx2.example.org", 20);
	add_address(host, "192.0.2.2:25");
	host->requirement = by_level(POLICY_LEVEL_MAY);
	host->testing = by_level(POLICY_LEVEL_VERIFY);
	host->testing_reason = POLICY_REASON_VALIDATION_FAILURE;
	policy_plan_add_report(host, &(struct policy_report){ .type = POLICY_REPORT_TLSA,
		.measure = POLICY_REPORT_BY_FAILURE, .failure = POLICY_REASON_TLSA_INVALID,
		.identity = UINT64_C(0xfedcba9876543210), .domain = (char *)"mx2.example.org" });
	policy_plan_add_report(host, &(struct policy_report){ .type = POLICY_REPORT_STS,
		.measure = POLICY_REPORT_BY_TESTING, .identity = 1, .domain = (char *)"example.org" });
	host = policy_plan_add_host(plan, "mx3.example.org", 65535);
	host->reason = POLICY_REASON_DNSSEC_INVALID;
	host->text = mem_dup("the TLSA records of mx3.example.org cannot be looked up");
	policy_plan_add_evidence(plan, POLICY_EVIDENCE_MX, "mail.example.org", "secure", 300, 12,
		"10 mx1.example.org");
	policy_plan_add_evidence(plan, POLICY_EVIDENCE_NOTE, "", "", -1, -1, "caf\xc3\xa9");
	return plan;
}

struct policy_plan *make_plan_plain(const char *domain, int64_t expires_s)
{
	struct policy_plan *plan = policy_plan_new(domain, domain);
	memcpy(plan->rule_fingerprint, "0123456789abcdef0123456789abcdef", 33);
	plan->expires_s = expires_s;
	for (unsigned i = 0; i < 2; i++) {
		struct policy_plan_host *host =
			policy_plan_add_host(plan, i ? "mx2.example.org" : "mx1.example.org", 10);
		add_address(host, "192.0.2.1:25");
		host->requirement = by_level(POLICY_LEVEL_MAY);
	}
	return plan;
}

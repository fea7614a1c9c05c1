/* door_wire's largest piece: plans. */
#include <stdio.h>
#include <string.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"
#include "policy/door/door_bytes.h"
#include "policy/door/door_wire.h"

/* what a plan may hold, besides the limits of policy_plan.h */
enum {
	NAMES_MOST = 1000,
	PINS_MOST = 1000,
	DANE_NAMES_MOST = 64,
	TEXT_BYTES_MOST = 1000,
	SOURCE_BYTES_MOST = 4096, /* begins with the path of a file */
	FINGERPRINT_BYTES = 32,
	REASON_MOST = POLICY_REASON_STS_WEBPKI_INVALID,
};

/* ---- writing ------------------------------------------------------------------------------------------ */

static void put_count(struct door_out *out, size_t count, size_t most)
{
	out->is_too_much |= count > most;
	door_out_u16(out, count <= most ? count : 0);
}

static void put_names(struct door_out *out, char *const *names, size_t count, size_t most)
{
	put_count(out, count, most);
	for (size_t i = 0; i < count && !out->is_too_much; i++)
		door_out_text(out, names[i]);
}

static void put_trust(struct door_out *out, const struct policy_requirement *r)
{
	door_out_u8(out, r->trust != NULL);
	door_out_text(out, r->trust_name);
	if (r->trust || r->trust_name)
		door_out_raw(out, r->trust_sha256, sizeof(r->trust_sha256));
}

static void put_requirement(struct door_out *out, const struct policy_requirement *r)
{
	door_out_u8(out, r != NULL);
	if (!r)
		return;
	door_out_u8(out, r->level);
	door_out_u8(out, r->minimum);
	door_out_u8(out, r->origin);
	put_names(out, r->names, r->name_count, NAMES_MOST);
	put_trust(out, r);
	put_count(out, r->pin_count, PINS_MOST);
	for (size_t i = 0; i < r->pin_count && !out->is_too_much; i++)
		door_out_raw(out, r->pins[i].spki_sha256, sizeof(r->pins[i].spki_sha256));
	put_count(out, r->tlsa_count, POLICY_TLSA_MOST);
	for (size_t i = 0; i < r->tlsa_count && !out->is_too_much; i++) {
		door_out_u8(out, r->tlsa[i].usage);
		door_out_u8(out, r->tlsa[i].selector);
		door_out_u8(out, r->tlsa[i].matching);
		door_out_bytes(out, r->tlsa[i].data);
	}
	put_names(out, r->dane_names, r->dane_name_count, DANE_NAMES_MOST);
	door_out_text(out, r->server_name);
	door_out_line(out, r->source, SOURCE_BYTES_MOST);
	door_out_raw(out, r->fingerprint, FINGERPRINT_BYTES);
}

static void put_reports(struct door_out *out, const struct policy_plan_host *host)
{
	door_out_u8(out, (unsigned)host->report_count);
	for (size_t i = 0; i < host->report_count; i++) {
		const struct policy_report *report = &host->reports[i];
		uint8_t identity[8];
		codec_put_u64(identity, report->identity);
		door_out_u8(out, report->type);
		door_out_u8(out, report->measure);
		door_out_u8(out, report->failure);
		door_out_raw(out, identity, sizeof(identity));
		door_out_text(out, report->domain);
	}
}

static void put_host(struct door_out *out, const struct policy_plan_host *host)
{
	door_out_text(out, host->name);
	door_out_u32(out, host->preference);
	put_count(out, host->address_count, POLICY_PLAN_ADDRESSES_MOST);
	for (size_t i = 0; i < host->address_count && !out->is_too_much; i++) {
		const struct netaddr *a = &host->addresses[i];
		door_out_u8(out, a->family);
		door_out_u16(out, a->port);
		door_out_raw(out, a->bytes, sizeof(a->bytes));
	}
	put_requirement(out, host->requirement);
	door_out_u8(out, host->reason);
	door_out_line(out, host->text, TEXT_BYTES_MOST);
	put_requirement(out, host->testing);
	door_out_u8(out, host->testing_reason);
	door_out_u8(out, host->is_domain_proven);
	put_reports(out, host);
}

static void put_evidence(struct door_out *out, const struct policy_evidence *e)
{
	door_out_u8(out, e->kind);
	door_out_line(out, e->subject, TEXT_BYTES_MOST);
	door_out_line(out, e->verdict, TEXT_BYTES_MOST);
	door_out_line(out, e->text, TEXT_BYTES_MOST);
	door_out_i64(out, e->ttl_s);
	door_out_i64(out, e->age_s);
}

/* False: more than a frame holds; nothing was appended. */
static bool put_plan(struct buf *into, uint32_t id, const struct policy_plan *plan,
	size_t evidence_count)
{
	struct door_out out;
	door_out_begin(&out, into, DOOR_PLAN, id);
	door_out_text(&out, plan->rule_domain);
	door_out_text(&out, plan->next_hop);
	door_out_u8(&out, plan->state);
	door_out_u8(&out, plan->reason);
	door_out_line(&out, plan->text, TEXT_BYTES_MOST);
	door_out_text(&out, plan->rule_fingerprint);
	door_out_i64(&out, plan->made_s);
	door_out_i64(&out, plan->expires_s);
	put_count(&out, plan->host_count, POLICY_PLAN_HOSTS_MOST);
	for (size_t i = 0; i < plan->host_count && !out.is_too_much; i++)
		put_host(&out, &plan->hosts[i]);
	put_count(&out, evidence_count, POLICY_PLAN_EVIDENCE_MOST);
	for (size_t i = 0; i < evidence_count && !out.is_too_much; i++)
		put_evidence(&out, &plan->evidence[i]);
	if (door_out_end(&out) <= DOOR_PLAN_BYTES_MOST && !out.is_too_much)
		return true;
	buf_truncate(into, out.start);
	return false;
}

void door_wire_plan(struct buf *into, uint32_t id, const struct policy_plan *plan)
{
	if (put_plan(into, id, plan, plan->evidence_count) || put_plan(into, id, plan, 0))
		return;
	struct policy_plan *instead = policy_plan_new(plan->rule_domain, plan->next_hop);
	instead->made_s = plan->made_s;
	instead->expires_s = plan->expires_s;
	memcpy(instead->rule_fingerprint, plan->rule_fingerprint, sizeof(plan->rule_fingerprint));
	policy_plan_end(instead, POLICY_PLAN_DEFER, POLICY_REASON_VALIDATION_FAILURE,
		"the plan for %s is larger than %d KiB: its hosts or their TLSA records are too many",
		plan->next_hop, DOOR_PLAN_BYTES_MOST / 1024);
	put_plan(into, id, instead, 0);
	policy_plan_unref(&instead);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* Where a requirement is put together before policy_requirement_new copies it. */
struct desk {
	char *names[NAMES_MOST];
	char *dane_names[DANE_NAMES_MOST];
	struct policy_tlsa tlsa[POLICY_TLSA_MOST];
};

struct reading {
	struct door_in in;
	const struct door_authorities *authorities;
	struct desk *desk;
	char refusal[200]; /* well-formed, but not to be used: why */
};

static size_t get_names(struct door_in *in, char **names, size_t most)
{
	size_t count = door_in_u16(in, (unsigned)most);
	for (size_t i = 0; i < count && !in->fault; i++)
		names[i] = (char *)(uintptr_t)door_in_text(in, DOOR_NAME_BYTES_MOST);
	return count;
}

static void get_trust(struct reading *reading, struct policy_requirement *r)
{
	struct door_in *in = &reading->in;
	bool has_trust = door_in_u8(in, 1);
	r->trust_name = (char *)(uintptr_t)door_in_text_or_none(in, SOURCE_BYTES_MOST);
	const void *sha256 = has_trust || r->trust_name ? door_in_raw(in, sizeof(r->trust_sha256))
							: NULL;
	if (!sha256)
		return;
	memcpy(r->trust_sha256, sha256, sizeof(r->trust_sha256));
	if (!has_trust)
		return;
	const char *name = r->trust_name ? r->trust_name : "";
	r->trust = reading->authorities && reading->authorities->find
			   ? reading->authorities->find(reading->authorities->ctx, name, sha256)
			   : NULL;
	if (!r->trust)
		snprintf(reading->refusal, sizeof(reading->refusal),
			"the plan demands authorities '%.80s' that this program does not have in that "
			"form: one of the two has not seen the last reload", name);
}

static void get_records(struct door_in *in, struct policy_requirement *r, struct desk *desk)
{
	r->tlsa = desk->tlsa;
	r->tlsa_count = door_in_u16(in, POLICY_TLSA_MOST);
	for (size_t i = 0; i < r->tlsa_count && !in->fault; i++) {
		r->tlsa[i].usage = (uint8_t)door_in_u8(in, 0xff);
		r->tlsa[i].selector = (uint8_t)door_in_u8(in, 0xff);
		r->tlsa[i].matching = (uint8_t)door_in_u8(in, 0xff);
		r->tlsa[i].data = door_in_bytes(in, POLICY_TLSA_DATA_BYTES);
	}
}

static void get_parts(struct reading *reading, struct policy_requirement *r)
{
	struct door_in *in = &reading->in;
	r->level = (enum policy_level)door_in_u8(in, POLICY_LEVEL_DANE_ONLY);
	r->minimum = (enum tlsio_version)door_in_u8(in, TLSIO_TLS13);
	r->origin = (enum policy_origin)door_in_u8(in, POLICY_ORIGIN_STS);
	if (!in->fault && r->minimum != TLSIO_TLS12 && r->minimum != TLSIO_TLS13)
		in->fault = "has an unknown TLS version";
	r->names = reading->desk->names;
	r->name_count = get_names(in, r->names, NAMES_MOST);
	get_trust(reading, r);
	r->pin_count = door_in_u16(in, PINS_MOST);
	r->pins = (struct policy_pin *)(uintptr_t)door_in_raw(
		in, r->pin_count * sizeof(struct policy_pin));
	get_records(in, r, reading->desk);
	r->dane_names = reading->desk->dane_names;
	r->dane_name_count = get_names(in, r->dane_names, DANE_NAMES_MOST);
	r->server_name = (char *)(uintptr_t)door_in_text_or_none(in, DOOR_NAME_BYTES_MOST);
	r->source = (char *)(uintptr_t)door_in_text(in, SOURCE_BYTES_MOST);
}

/* Gives; NULL where none was sent, or after a fault. */
static struct policy_requirement *get_requirement(struct reading *reading)
{
	struct policy_requirement from = { 0 };
	if (!door_in_u8(&reading->in, 1))
		return NULL;
	get_parts(reading, &from);
	const void *fingerprint = door_in_raw(&reading->in, FINGERPRINT_BYTES);
	if (reading->in.fault || reading->refusal[0])
		return NULL;
	struct policy_requirement *r = policy_requirement_new(&from);
	if (memcmp(r->fingerprint, fingerprint, FINGERPRINT_BYTES) == 0)
		return r;
	/* Not understood as it was meant: obeying it could be weaker than what was decided. */
	reading->in.fault = "demands something else than its fingerprint says";
	policy_requirement_unref(&r);
	return NULL;
}

static void get_addresses(struct door_in *in, struct policy_plan_host *host)
{
	size_t count = door_in_u16(in, POLICY_PLAN_ADDRESSES_MOST);
	if (count)
		host->addresses = mem_array(count, sizeof(*host->addresses));
	for (size_t i = 0; i < count && !in->fault; i++) {
		struct netaddr *a = &host->addresses[i];
		*a = (struct netaddr){ 0 };
		a->family = (uint8_t)door_in_u8(in, NETADDR_IPV6);
		a->port = (uint16_t)door_in_u16(in, 0xffff);
		const void *bytes = door_in_raw(in, sizeof(a->bytes));
		if (a->family == NETADDR_NONE && !in->fault)
			in->fault = "has an address of no family";
		if (bytes)
			memcpy(a->bytes, bytes, a->family == NETADDR_IPV4 ? 4 : 16);
		host->address_count++;
	}
}

static void get_reports(struct reading *reading, struct policy_plan_host *host)
{
	struct door_in *in = &reading->in;
	size_t count = door_in_u8(in, POLICY_REPORTS_MOST);
	for (size_t i = 0; i < count && !in->fault; i++) {
		struct policy_report report = { 0 };
		report.type = (enum policy_report_type)door_in_u8(in, POLICY_REPORT_STS);
		report.measure =
			(enum policy_report_measure)door_in_u8(in, POLICY_REPORT_BY_FAILURE);
		report.failure = (enum policy_reason)door_in_u8(in, REASON_MOST);
		const void *identity = door_in_raw(in, 8);
		report.identity = identity ? codec_get_u64(identity) : 0;
		report.domain = (char *)(uintptr_t)door_in_text(in, DOOR_NAME_BYTES_MOST);
		if (report.measure == POLICY_REPORT_BY_REQUIREMENT && !host->requirement &&
			!in->fault && !reading->refusal[0])
			in->fault = "reports by a requirement that is not there";
		policy_plan_add_report(host, &report);
	}
}

static void get_host(struct reading *reading, struct policy_plan *plan)
{
	struct door_in *in = &reading->in;
	const char *name = door_in_text(in, DOOR_NAME_BYTES_MOST);
	struct policy_plan_host *host = policy_plan_add_host(plan, name, door_in_u32(in));
	get_addresses(in, host);
	host->requirement = get_requirement(reading);
	host->reason = (enum policy_reason)door_in_u8(in, REASON_MOST);
	host->text = mem_dup(door_in_text_or_none(in, TEXT_BYTES_MOST));
	host->testing = get_requirement(reading);
	host->testing_reason = (enum policy_reason)door_in_u8(in, REASON_MOST);
	host->is_domain_proven = door_in_u8(in, 1);
	get_reports(reading, host);
	if (!*name && !in->fault)
		in->fault = "has a host without a name";
	if (!host->requirement && !host->text && !in->fault && !reading->refusal[0])
		in->fault = "has a host without a requirement and without a reason";
}

static void get_evidence(struct door_in *in, struct policy_plan *plan)
{
	enum policy_evidence_kind kind =
		(enum policy_evidence_kind)door_in_u8(in, POLICY_EVIDENCE_NOTE);
	const char *subject = door_in_text(in, TEXT_BYTES_MOST);
	const char *verdict = door_in_text(in, TEXT_BYTES_MOST);
	const char *text = door_in_text(in, TEXT_BYTES_MOST);
	int64_t ttl_s = door_in_i64(in);
	int64_t age_s = door_in_i64(in);
	policy_plan_add_evidence(plan, kind, subject, verdict, ttl_s, age_s, "%s", text);
}

static struct policy_plan *get_head(struct door_in *in)
{
	const char *rule_domain = door_in_text(in, DOOR_NAME_BYTES_MOST);
	const char *next_hop = door_in_text(in, DOOR_NAME_BYTES_MOST);
	struct policy_plan *plan = policy_plan_new(rule_domain, next_hop);
	plan->state = (enum policy_plan_state)door_in_u8(in, POLICY_PLAN_NO_DOMAIN);
	plan->reason = (enum policy_reason)door_in_u8(in, REASON_MOST);
	plan->text = mem_dup(door_in_text_or_none(in, TEXT_BYTES_MOST));
	if (plan->state != POLICY_PLAN_READY && !plan->text && !in->fault)
		in->fault = "says no reason";
	str_copy(str_of(door_in_text(in, FINGERPRINT_BYTES)), plan->rule_fingerprint,
		sizeof(plan->rule_fingerprint));
	plan->made_s = door_in_i64(in);
	plan->expires_s = door_in_i64(in);
	return plan;
}

struct policy_plan *door_wire_read_plan(struct str body, const struct door_authorities *authorities,
	struct err *err)
{
	struct desk desk;
	struct reading reading = { .in = { .rest = body }, .authorities = authorities,
		.desk = &desk };
	struct door_in *in = &reading.in;
	struct policy_plan *plan = get_head(in);
	size_t host_count = door_in_u16(in, POLICY_PLAN_HOSTS_MOST);
	for (size_t i = 0; i < host_count && !in->fault; i++)
		get_host(&reading, plan);
	size_t evidence_count = door_in_u16(in, POLICY_PLAN_EVIDENCE_MOST);
	for (size_t i = 0; i < evidence_count && !in->fault; i++)
		get_evidence(in, plan);
	int failed = door_in_end(in, "a plan", err);
	if (!failed && reading.refusal[0])
		failed = err_set(err, ERR_INPUT, "%s", reading.refusal);
	if (failed)
		policy_plan_unref(&plan);
	return plan;
}

#include "smtpd/delegation/delegation_log.h"

#include "libtlsio/base/log.h"

static void show(struct log_line *l, const char *key, struct str value)
{
	if (value.length)
		log_str(l, key, value);
}

static void show_attribute(struct log_line *l, const char *key,
	const struct delegation_request *request, enum delegation_attribute attribute)
{
	show(l, key, delegation_request_value(request, attribute));
}

void delegation_log_objection(const struct delegation_request *request,
	const struct delegation_facts *facts, const struct policy_inbound_refusal *refusal)
{
	const struct delegation_request *q = request;
	const struct policy_inbound_refusal *r = refusal;
	struct str version = delegation_request_value(q, DELEGATION_ENCRYPTION_PROTOCOL);
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "policy-service-objection");
	log_text(&l, "action", policy_inbound_mode_name(r->mode));
	if (r->mode >= POLICY_INBOUND_TEMPFAIL)
		log_number(&l, "code", r->code);
	show_attribute(&l, "at", q, DELEGATION_PROTOCOL_STATE);
	show_attribute(&l, "client", q, DELEGATION_CLIENT_ADDRESS);
	show(&l, "name", facts->shown.client_name);
	log_str(&l, "from", delegation_request_value(q, DELEGATION_SENDER));
	show_attribute(&l, "to", q, DELEGATION_RECIPIENT);
	show_attribute(&l, "id", q, DELEGATION_QUEUE_ID);
	show_attribute(&l, "instance", q, DELEGATION_INSTANCE);
	show_attribute(&l, "user", q, DELEGATION_SASL_USERNAME);
	log_str(&l, "tls", version.length ? version : STR("none"));
	show_attribute(&l, "cipher", q, DELEGATION_ENCRYPTION_CIPHER);
	show_attribute(&l, "sni", q, DELEGATION_TLS_SNI);
	show(&l, "subject", str_of(facts->common_name));
	show(&l, "issuer", str_of(facts->issuer));
	show_attribute(&l, "key", q, DELEGATION_CCERT_PUBKEY_FINGERPRINT);
	log_text(&l, "rule", r->source);
	log_text(&l, "reason", r->text);
	log_end(&l);
}

void delegation_log_broken(const char *why)
{
	log_say(LOG_LEVEL_WARNING, "policy-service-trouble",
		"what came is no request of Postfix: %s; the connection is closed without an answer", why);
}

void delegation_log_counters(const struct delegation_counters *counters)
{
	const struct delegation_counters *c = counters;
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "policy-service-counters");
	log_number(&l, "requests", (int64_t)c->requests);
	log_number(&l, "rejected", (int64_t)c->rejected);
	log_number(&l, "tempfailed", (int64_t)c->tempfailed);
	log_number(&l, "quarantined", (int64_t)c->quarantined);
	log_number(&l, "reported", (int64_t)c->reported);
	log_number(&l, "exempt", (int64_t)c->exempt);
	log_number(&l, "broken", (int64_t)c->broken);
	log_end(&l);
}

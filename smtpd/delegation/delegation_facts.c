#include "smtpd/delegation/delegation_facts.h"

#include "libtlsio/base/codec.h"
#include "smtpd/inbound/inbound_verdict.h"
#include "smtpd/inbound/inbound_words.h"

/* VRFY and ETRN carry no mail. */
static enum delegation_stage read_stage(struct str state)
{
	static const struct str late[] = { { "RCPT", 4 }, { "DATA", 4 }, { "BDAT", 4 },
		{ "END-OF-MESSAGE", 14 } };
	if (str_equal(state, STR("MAIL")))
		return DELEGATION_STAGE_MAIL;
	for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
		if (str_equal(state, late[i]))
			return DELEGATION_STAGE_RECIPIENT;
	}
	return DELEGATION_STAGE_EARLY;
}

static uint16_t read_port(struct str text)
{
	uint64_t port;
	return str_to_u64(text, 65535, &port) ? (uint16_t)port : 0;
}

/* "6E:F9:...": 32 bytes, or nothing that is comparable with a SHA-256. */
static void read_key(const struct delegation_request *r, struct delegation_facts *f)
{
	struct str key = delegation_request_value(r, DELEGATION_CCERT_PUBKEY_FINGERPRINT);
	if (codec_unhex(key, f->key_sha256, sizeof(f->key_sha256)))
		f->shown.key_sha256 = f->key_sha256;
	else if (key.length)
		f->shown.key_fault = STR("our server does not tell keys by SHA-256, which "
			"smtpd_tls_fingerprint_digest = sha256 there would mend");
}

static void read_certificate(const struct delegation_request *r, struct delegation_facts *f)
{
	struct str subject = delegation_request_value(r, DELEGATION_CCERT_SUBJECT);
	struct str issuer = delegation_request_value(r, DELEGATION_CCERT_ISSUER);
	struct policy_inbound_facts *shown = &f->shown;
	bool is_whole = inbound_words_name(subject, true, f->common_name, sizeof(f->common_name));
	inbound_words_name(issuer, true, f->issuer, sizeof(f->issuer));
	if (is_whole)
		shown->common_name = str_of(f->common_name);
	shown->certificate_fault = STR("no authority that we trust has signed it");
	shown->certificate = subject.length || issuer.length ? POLICY_INBOUND_CERTIFICATE_VERIFIED
		: delegation_request_value(r, DELEGATION_CCERT_FINGERPRINT).length ||
			delegation_request_value(r, DELEGATION_CCERT_PUBKEY_FINGERPRINT).length
		? POLICY_INBOUND_CERTIFICATE_UNVERIFIED
		: POLICY_INBOUND_CERTIFICATE_NONE;
	read_key(r, f);
}

static void read_tls(const struct delegation_request *r, struct delegation_facts *f)
{
	struct str version = delegation_request_value(r, DELEGATION_ENCRYPTION_PROTOCOL);
	struct policy_inbound_facts *shown = &f->shown;
	if (version.length == 0)
		return;
	shown->has_tls = true;
	shown->version = inbound_words_version(version);
	shown->cipher = delegation_request_value(r, DELEGATION_ENCRYPTION_CIPHER);
	shown->bits = inbound_words_bits(
		delegation_request_value(r, DELEGATION_ENCRYPTION_KEYSIZE), shown->cipher);
	read_certificate(r, f);
}

void delegation_facts_read(const struct delegation_request *request,
	const struct inbound_settings *settings, struct delegation_facts *ret)
{
	const struct delegation_request *r = request;
	*ret = (struct delegation_facts){ .stage = read_stage(
		delegation_request_value(r, DELEGATION_PROTOCOL_STATE)) };
	struct policy_inbound_facts *shown = &ret->shown;
	if (netaddr_parse(delegation_request_value(r, DELEGATION_CLIENT_ADDRESS), 0, &shown->client,
		    NULL) < 0)
		shown->client = (struct netaddr){ .family = NETADDR_NONE };
	shown->client_name =
		inbound_verdict_client_name(delegation_request_value(r, DELEGATION_CLIENT_NAME));
	shown->daemon = delegation_request_value(r, DELEGATION_POLICY_CONTEXT);
	shown->port = read_port(delegation_request_value(r, DELEGATION_SERVER_PORT));
	shown->certificate = POLICY_INBOUND_CERTIFICATE_NONE;
	shown->default_mode = settings->mode;
	read_tls(r, ret);
	ret->is_exempt = inbound_settings_exempts(settings, &shown->client, shown->daemon, shown->port);
}

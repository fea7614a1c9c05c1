#include "smtpd/milter/milter_facts.h"

#include <string.h>

#include "libtlsio/base/str.h"
#include "smtpd/inbound/inbound_words.h"

enum milter_mta milter_facts_mta(enum milter_mta wanted, const char *version)
{
	if (wanted != MILTER_MTA_AUTO)
		return wanted;
	return str_starts(str_of(version), STR("Postfix")) ? MILTER_MTA_POSTFIX
							    : MILTER_MTA_SENDMAIL;
}

static bool is_given(const char *value)
{
	return value && value[0];
}

/* Words that Sendmail puts where a certificate has no usable name. */
static bool is_bad_word(const char *name)
{
	return strncmp(name, "BadCertificate", 14) == 0;
}

static void read_postfix(const struct milter_macros *m, struct milter_facts *f)
{
	bool is_whole = inbound_words_name(str_of(m->cert_subject), false, f->subject,
		sizeof(f->subject));
	inbound_words_name(str_of(m->cert_issuer), false, f->issuer, sizeof(f->issuer));
	f->certificate = is_given(m->cert_subject) || is_given(m->cert_issuer)
		? POLICY_INBOUND_CERTIFICATE_VERIFIED
		: POLICY_INBOUND_CERTIFICATE_UNSEEN;
	if (is_whole)
		str_copy(str_of(f->subject), f->common_name, sizeof(f->common_name));
}

static void read_sendmail(const struct milter_macros *m, struct milter_facts *f)
{
	char name[MILTER_FACTS_TEXT];
	inbound_words_name(str_of(m->cert_subject), true, f->subject, sizeof(f->subject));
	inbound_words_name(str_of(m->cert_issuer), true, f->issuer, sizeof(f->issuer));
	str_copy(str_of(is_given(m->verify) ? m->verify : "none told"), f->verify,
		sizeof(f->verify));
	bool is_shown = is_given(m->cert_subject) || is_given(m->cert_issuer);
	if (!is_shown) {
		f->certificate = POLICY_INBOUND_CERTIFICATE_NONE;
		return;
	}
	if (!is_given(m->verify) || strcmp(m->verify, "OK") != 0) {
		f->certificate = POLICY_INBOUND_CERTIFICATE_UNVERIFIED;
		return;
	}
	f->certificate = POLICY_INBOUND_CERTIFICATE_VERIFIED;
	/* Not from {cert_subject}: "/O=x/CN=y" may be an organisation that calls itself so. */
	if (inbound_words_name(str_of(m->cn_subject), true, name, sizeof(name)) && !is_bad_word(name))
		str_copy(str_of(name), f->common_name, sizeof(f->common_name));
}

void milter_facts_read(const struct milter_macros *macros, enum milter_mta mta,
	struct milter_facts *ret)
{
	const struct milter_macros *m = macros;
	*ret = (struct milter_facts){ .certificate = POLICY_INBOUND_CERTIFICATE_NONE };
	if (!is_given(m->tls_version))
		return;
	ret->is_tls = true;
	ret->version = inbound_words_version(str_of(m->tls_version));
	str_copy(str_of(m->tls_version), ret->version_text, sizeof(ret->version_text));
	/* A name that does not fit fits no list either. */
	if (is_given(m->cipher) && !str_copy(str_of(m->cipher), ret->cipher, sizeof(ret->cipher)))
		ret->cipher[0] = '\0';
	ret->bits = inbound_words_bits(str_of(m->cipher_bits), str_of(ret->cipher));
	if (mta == MILTER_MTA_POSTFIX)
		read_postfix(m, ret);
	else
		read_sendmail(m, ret);
}

struct policy_inbound_facts milter_facts_shown(const struct milter_facts *facts,
	const struct milter_client *client, enum policy_inbound_mode default_mode)
{
	return (struct policy_inbound_facts){
		.client = client->address,
		.client_name = client->name,
		.daemon = client->daemon,
		.port = client->port,
		.has_tls = facts->is_tls,
		.version = facts->version,
		.cipher = str_of(facts->cipher),
		.bits = facts->bits,
		.certificate = facts->certificate,
		.certificate_fault = str_of(facts->verify),
		.common_name = str_of(facts->common_name),
		.default_mode = default_mode,
	};
}

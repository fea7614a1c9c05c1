#include "policy/policy_inbound_demand.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "policy/policy_cipher.h"

const char *policy_inbound_mode_name(enum policy_inbound_mode mode)
{
	static const char *const names[] = { "unset", "report", "quarantine", "tempfail",
		"reject" };
	return names[mode];
}

/* ---- demands ------------------------------------------------------------------------------------ */

static char **copy_texts(char *const *texts, size_t count)
{
	char **copy = count ? mem_array(count, sizeof(*copy)) : NULL;
	for (size_t i = 0; i < count; i++)
		copy[i] = mem_dup(texts[i]);
	return copy;
}

static void free_texts(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

void policy_inbound_demand_copy_into(struct policy_inbound_demand *into,
	const struct policy_inbound_demand *from)
{
	*into = *from;
	into->names = copy_texts(from->names, from->name_count);
	into->ciphers = copy_texts(from->ciphers, from->cipher_count);
	into->refused_ciphers = copy_texts(from->refused_ciphers, from->refused_cipher_count);
	into->pins = NULL;
	if (from->pin_count) {
		into->pins = mem_array(from->pin_count, sizeof(*into->pins));
		memcpy(into->pins, from->pins, from->pin_count * sizeof(*into->pins));
	}
	into->source = mem_dup(from->source);
}

struct policy_inbound_demand *policy_inbound_demand_copy(const struct policy_inbound_demand *from)
{
	struct policy_inbound_demand *copy = mem_zero(sizeof(*copy));
	policy_inbound_demand_copy_into(copy, from);
	return copy;
}

void policy_inbound_demand_clear(struct policy_inbound_demand *demand)
{
	free_texts(demand->names, demand->name_count);
	free_texts(demand->ciphers, demand->cipher_count);
	free_texts(demand->refused_ciphers, demand->refused_cipher_count);
	free(demand->pins);
	free(demand->source);
	*demand = (struct policy_inbound_demand){ 0 };
}

void policy_inbound_demand_free(void *demand)
{
	policy_inbound_demand_clear(demand);
	free(demand);
}

/* ---- facts -------------------------------------------------------------------------------------- */

void policy_inbound_facts_of_peer(const struct netaddr *client, const struct tlsio_peer *peer,
	struct policy_inbound_facts *ret)
{
	*ret = (struct policy_inbound_facts){ .client = *client, .peer = peer,
		.default_mode = POLICY_INBOUND_REJECT };
	if (!peer)
		return;
	const struct policy_cipher *cipher = policy_cipher_of_id(peer->suite_id);
	ret->has_tls = true;
	ret->version = peer->version;
	ret->cipher = str_of(peer->suite);
	ret->bits = cipher ? cipher->bits : 0;
	if (peer->chain_count == 0) {
		ret->certificate = POLICY_INBOUND_CERTIFICATE_NONE;
	} else {
		ret->key_sha256 = peer->chain[0].spki_sha256;
		ret->certificate = peer->chain_faults == 0 ? POLICY_INBOUND_CERTIFICATE_VERIFIED
							   : POLICY_INBOUND_CERTIFICATE_UNVERIFIED;
	}
}

/* TLS has made sure that the peer holds the leaf's key, whoever signed the certificate. */
bool policy_inbound_shows_key(const struct policy_inbound_facts *facts,
	const struct policy_pin *pins, size_t count)
{
	for (size_t i = 0; facts->key_sha256 && i < count; i++) {
		if (memcmp(facts->key_sha256, pins[i].spki_sha256, 32) == 0)
			return true;
	}
	return false;
}

/* As tlsio_peer_has_name does with a SAN: a star stands for one whole label, the first; wanted
 * ".example.net" means any name below. */
static bool common_name_is(struct str name, struct str wanted)
{
	if (wanted.length > 0 && wanted.at[0] == '.')
		return name.length > wanted.length && str_ends_nocase(name, wanted);
	if (str_starts(name, STR("*."))) {
		size_t dot = str_find(wanted, '.');
		return dot > 0 && dot < wanted.length &&
			str_equal_nocase(str_skip(name, 1), str_skip(wanted, dot));
	}
	return name.length > 0 && str_equal_nocase(name, wanted);
}

/* matched_name speaks of names a client asks for; here the peer is the client. */
bool policy_inbound_shows_name(const struct policy_inbound_facts *facts, char *const *names,
	size_t count)
{
	if (facts->certificate != POLICY_INBOUND_CERTIFICATE_VERIFIED)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (facts->peer ? tlsio_peer_has_name(facts->peer, names[i])
				: common_name_is(facts->common_name, str_of(names[i])))
			return true;
	}
	return false;
}

/* ---- is it met? ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 4, 5))) static bool refuse(struct policy_inbound_refusal *ret,
	int code, const char *enhanced, const char *format, ...)
{
	ret->code = code;
	ret->enhanced = enhanced;
	va_list args;
	va_start(args, format);
	vsnprintf(ret->text, sizeof(ret->text), format, args);
	va_end(args);
	for (char *c = ret->text; *c; c++)
		*c = (*c >= ' ' && *c < 0x7f) ? *c : '?';
	return false;
}

static bool refuse_other_name(const struct policy_inbound_demand *d,
	const struct policy_inbound_facts *f, const char *whose, struct policy_inbound_refusal *ret)
{
	char names[120];
	if (f->peer)
		tlsio_peer_names_text(f->peer, names, sizeof(names));
	else
		str_copy(f->common_name, names, sizeof(names));
	return refuse(ret, 554, "5.7.1",
		"Our rule for %s demands another client certificate%s; yours is for [%s]", whose,
		d->name_count ? " (its name)" : " (its key)", names);
}

static bool refuse_certificate(const struct policy_inbound_demand *d,
	const struct policy_inbound_facts *f, const char *whose, struct policy_inbound_refusal *ret)
{
	char faults[120];
	if (d->pin_count && f->key_fault.length) {
		str_copy(f->key_fault, faults, sizeof(faults));
		return refuse(ret, 554, "5.7.1",
			"Our rule for %s demands a client certificate by its key: %s", whose, faults);
	}
	switch (f->certificate) {
	case POLICY_INBOUND_CERTIFICATE_NONE:
		return refuse(ret, 554, "5.7.1",
			"Our rule for %s demands a client certificate and you showed none", whose);
	case POLICY_INBOUND_CERTIFICATE_UNSEEN:
		return refuse(ret, 554, "5.7.1",
			"Our rule for %s demands a client certificate and you showed none that we "
			"trust: send one from an authority known to us",
			whose);
	case POLICY_INBOUND_CERTIFICATE_UNVERIFIED:
		if (f->peer)
			tlsio_chain_faults_text(f->peer->chain_faults, faults, sizeof(faults));
		else
			str_copy(f->certificate_fault, faults, sizeof(faults));
		return refuse(ret, 554, "5.7.1",
			"Our rule for %s demands a client certificate and yours is not accepted: %s",
			whose, faults);
	case POLICY_INBOUND_CERTIFICATE_VERIFIED:
		break;
	}
	return refuse_other_name(d, f, whose, ret);
}

static bool meets_certificate(const struct policy_inbound_demand *d,
	const struct policy_inbound_facts *f, const char *whose, struct policy_inbound_refusal *ret)
{
	bool any_verified = d->name_count == 0 && d->pin_count == 0;
	if (any_verified && f->certificate == POLICY_INBOUND_CERTIFICATE_VERIFIED)
		return true;
	if (policy_inbound_shows_key(f, d->pins, d->pin_count) ||
		policy_inbound_shows_name(f, d->names, d->name_count))
		return true;
	return refuse_certificate(d, f, whose, ret);
}

static bool is_among(struct str cipher, char *const *patterns, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (policy_cipher_matches(patterns[i], cipher))
			return true;
	}
	return false;
}

static bool meets_cipher(const struct policy_inbound_demand *d, const struct policy_inbound_facts *f,
	const char *whose, struct policy_inbound_refusal *ret)
{
	char cipher[80];
	str_copy(f->cipher.length ? f->cipher : STR("an unknown cipher"), cipher, sizeof(cipher));
	if (f->bits < d->minimum_bits)
		return refuse(ret, 554, "5.7.0",
			"Our rule for %s demands a cipher of %u bits and yours, %s, has %u: offer a "
			"stronger one",
			whose, d->minimum_bits, cipher, f->bits);
	if (is_among(f->cipher, d->refused_ciphers, d->refused_cipher_count) ||
		(d->cipher_count && !is_among(f->cipher, d->ciphers, d->cipher_count)))
		return refuse(ret, 554, "5.7.0",
			"Our rule for %s does not admit the cipher %s: offer another", whose, cipher);
	return true;
}

static const char *version_name(unsigned version)
{
	switch (version) {
	case 10:
		return "TLS1.0";
	case 11:
		return "TLS1.1";
	case TLSIO_TLS12:
	case TLSIO_TLS13:
		return tlsio_version_name((enum tlsio_version)version);
	default:
		return "an unknown version";
	}
}

static bool meets(const struct policy_inbound_demand *d, const struct policy_inbound_facts *f,
	const char *whose, struct policy_inbound_refusal *ret)
{
	enum tlsio_version minimum = d->minimum ? d->minimum : TLSIO_TLS12;
	if (!d->requires_tls && !d->minimum && !d->minimum_bits && !d->cipher_count &&
		!d->refused_cipher_count && !d->requires_certificate)
		return true;
	/* RFC 3207 section 4: 530 before TLS; section 4.1: 554 when TLS is too weak. */
	if (!f->has_tls)
		return refuse(ret, 530, "5.7.0",
			"Must issue a STARTTLS command first: our rule for %s demands TLS", whose);
	if (f->version < (unsigned)minimum)
		return refuse(ret, 554, "5.7.0", "Our rule for %s demands %s and you speak %s",
			whose, tlsio_version_name(minimum), version_name(f->version));
	return meets_cipher(d, f, whose, ret) &&
		(!d->requires_certificate || meets_certificate(d, f, whose, ret));
}

bool policy_inbound_demand_is_met(const struct policy_inbound_demand *demand,
	const struct policy_inbound_facts *facts, const char *whose,
	struct policy_inbound_refusal *ret_refusal)
{
	struct policy_inbound_refusal *ret = ret_refusal;
	if (meets(demand, facts, whose, ret))
		return true;
	ret->source = demand->source;
	ret->mode = demand->mode ? demand->mode : facts->default_mode;
	if (ret->mode == POLICY_INBOUND_UNSET)
		ret->mode = POLICY_INBOUND_REJECT;
	if (ret->mode == POLICY_INBOUND_TEMPFAIL) {
		ret->code = 451;
		ret->enhanced = strcmp(ret->enhanced, "5.7.1") == 0 ? "4.7.1" : "4.7.0";
	}
	return false;
}

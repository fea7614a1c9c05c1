#include "libtlsio/tlsio_peer.h"

#include <stdio.h>

const char *tlsio_version_name(enum tlsio_version version)
{
	switch (version) {
	case TLSIO_TLS12:
		return "TLS1.2";
	case TLSIO_TLS13:
		return "TLS1.3";
	case TLSIO_VERSION_NONE:
		break;
	}
	return "none";
}

bool tlsio_version_parse(struct str text, enum tlsio_version *ret)
{
	if (str_starts_nocase(text, STR("TLSv")))
		text = str_skip(text, 4);
	else if (str_starts_nocase(text, STR("TLS")))
		text = str_skip(text, 3);
	if (str_equal(text, STR("1.2")))
		*ret = TLSIO_TLS12;
	else if (str_equal(text, STR("1.3")))
		*ret = TLSIO_TLS13;
	else
		return false;
	return true;
}

const char *tlsio_ocsp_name(enum tlsio_ocsp ocsp)
{
	static const char *const names[] = {
		[TLSIO_OCSP_NONE] = "none",
		[TLSIO_OCSP_GOOD] = "good",
		[TLSIO_OCSP_REVOKED] = "revoked",
		[TLSIO_OCSP_INVALID] = "invalid",
	};
	return names[ocsp];
}

static const struct {
	unsigned fault;
	const char *words;
} fault_words[] = {
	{ TLSIO_CHAIN_ABSENT, "no certificate was shown" },
	{ TLSIO_CHAIN_UNTRUSTED, "issuer is not trusted" },
	{ TLSIO_CHAIN_EXPIRED, "certificate has expired" },
	{ TLSIO_CHAIN_NOT_YET_VALID, "certificate is not yet valid" },
	{ TLSIO_CHAIN_REVOKED, "certificate is revoked" },
	{ TLSIO_CHAIN_WEAK, "certificate uses a weak key or signature" },
	{ TLSIO_CHAIN_WRONG_PURPOSE, "certificate is not meant for this purpose" },
	{ TLSIO_CHAIN_BROKEN, "certificate chain is broken" },
	{ TLSIO_CHAIN_UNCHECKED, "certificate was not checked" },
};

const char *tlsio_chain_faults_text(unsigned faults, char *text, size_t capacity)
{
	size_t used = 0;
	if (capacity == 0)
		return "";
	snprintf(text, capacity, "%s", faults ? "" : "valid");
	for (size_t i = 0; i < sizeof(fault_words) / sizeof(fault_words[0]); i++) {
		if (!(faults & fault_words[i].fault) || used >= capacity)
			continue;
		used += (size_t)snprintf(text + used, capacity - used, "%s%s", used ? "; " : "",
			fault_words[i].words);
	}
	return text;
}

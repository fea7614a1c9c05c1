#include "libtlsio/tlsio_failure.h"

#include <stdio.h>
#include <string.h>

#include "libtlsio/base/str.h"
#include "libtlsio/tlsio_priority.h"

enum { EXTENSION_SUPPORTED_VERSIONS = 43, WIRE_TLS10 = 0x0301, WIRE_TLS13 = 0x0304 };

/* GREASE values (RFC 8701), drafts and SSL are no versions. */
static unsigned version_bit(unsigned wire_version)
{
	if (wire_version < WIRE_TLS10 || wire_version > WIRE_TLS13)
		return 0;
	return TLSIO_PRIORITY_BIT(wire_version);
}

static int on_extension(void *ctx, unsigned id, const unsigned char *data, unsigned size)
{
	unsigned *offered = ctx;
	if (id != EXTENSION_SUPPORTED_VERSIONS || size < 3)
		return 0;
	*offered = 0;
	for (unsigned i = 1; i + 1 < size; i += 2)
		*offered |= version_bit((unsigned)(data[i] << 8 | data[i + 1]));
	return 0;
}

unsigned tlsio_failure_offered_versions(const gnutls_datum_t *client_hello)
{
	unsigned offered = 0;
	if (client_hello->size < 2)
		return 0;
	/* legacy_version means it and everything below. */
	unsigned legacy = (unsigned)(client_hello->data[0] << 8 | client_hello->data[1]);
	for (unsigned version = WIRE_TLS10; version <= legacy && version <= WIRE_TLS13; version++)
		offered |= version_bit(version);
	gnutls_ext_raw_parse(
		&offered, on_extension, client_hello, GNUTLS_EXT_RAW_FLAG_TLS_CLIENT_HELLO);
	return offered;
}

bool tlsio_failure_is_version(const struct tlsio_failure *f)
{
	/* GnuTLS says "no cipher suites" to a 1.2 client of a 1.3 server. */
	return f->is_server && f->is_handshake && f->offered && !(f->offered & f->accepted) &&
	       (f->rc == GNUTLS_E_NO_CIPHER_SUITES || f->rc == GNUTLS_E_UNKNOWN_CIPHER_SUITE ||
		       f->rc == GNUTLS_E_UNSUPPORTED_VERSION_PACKET);
}

static const char *highest_name(unsigned offered, char text[16])
{
	unsigned version = WIRE_TLS13;
	while (version > WIRE_TLS10 && !(offered & TLSIO_PRIORITY_BIT(version)))
		version--;
	snprintf(text, 16, "TLS1.%u", version - WIRE_TLS10);
	return text;
}

/* "GNUTLS_A_HANDSHAKE_FAILURE" -> "handshake_failure", as RFC 8446 writes it. */
static const char *alert_name(gnutls_alert_description_t alert, char text[48])
{
	const char *name = gnutls_alert_get_strname(alert);
	if (!name)
		return "unknown";
	if (strncmp(name, "GNUTLS_A_", 9) == 0)
		name += 9;
	snprintf(text, 48, "%s", name);
	str_lower_in_place(text, strlen(text));
	return text;
}

/* What an alert of the peer most likely says about us or about it. */
static const char *alert_meaning(
	const struct tlsio_failure *f, gnutls_alert_description_t alert, char text[96])
{
	if (alert == GNUTLS_A_PROTOCOL_VERSION) {
		snprintf(text, 96, "; it accepts no TLS version we offer (we demand %s%s)",
			tlsio_version_name(f->minimum),
			f->minimum == TLSIO_TLS13 ? "" : " or later");
		return text;
	}
	if (alert == GNUTLS_A_HANDSHAKE_FAILURE && f->is_handshake)
		return f->minimum == TLSIO_TLS13
			       ? "; probably it lacks TLS1.3, or a cipher suite or group in common"
			       : "; probably no cipher suite or group in common";
	if (alert == GNUTLS_A_UNKNOWN_CA || alert == GNUTLS_A_BAD_CERTIFICATE ||
		alert == GNUTLS_A_CERTIFICATE_EXPIRED || alert == GNUTLS_A_CERTIFICATE_UNKNOWN)
		return "; it refuses our certificate";
	if (alert == GNUTLS_A_CERTIFICATE_REQUIRED)
		return "; it demands a client certificate";
	return "";
}

static const struct {
	int rc;
	const char *words;
} sentences[] = {
	{ GNUTLS_E_NO_CIPHER_SUITES, "no cipher suite in common with the peer" },
	{ GNUTLS_E_UNKNOWN_CIPHER_SUITE, "no cipher suite in common with the peer" },
	{ GNUTLS_E_INSUFFICIENT_CREDENTIALS, "we have no certificate that the peer can use" },
	{ GNUTLS_E_UNSUPPORTED_VERSION_PACKET, "the peer speaks a TLS version we do not accept" },
	{ GNUTLS_E_NO_COMMON_KEY_SHARE, "no key exchange group in common with the peer" },
	{ GNUTLS_E_UNEXPECTED_PACKET, "the peer sent something that is not TLS" },
	{ GNUTLS_E_UNEXPECTED_PACKET_LENGTH, "the peer sent something that is not TLS" },
	{ GNUTLS_E_RECORD_OVERFLOW, "the peer sent a record that is too long" },
	{ GNUTLS_E_SAFE_RENEGOTIATION_FAILED,
		"the peer lacks secure renegotiation (RFC 5746), which TLS 1.2 needs" },
	{ GNUTLS_E_UNSAFE_RENEGOTIATION_DENIED,
		"the peer lacks secure renegotiation (RFC 5746), which TLS 1.2 needs" },
	{ GNUTLS_E_REHANDSHAKE, "the peer asked for a renegotiation, which we refuse" },
	{ GNUTLS_E_KEY_USAGE_VIOLATION,
		"the peer's certificate forbids signing with its key (key usage), as TLS must" },
	{ GNUTLS_E_DECRYPTION_FAILED, "a record from the peer could not be decrypted" },
	{ GNUTLS_E_PREMATURE_TERMINATION, "the peer closed the connection" },
};

static int tell_alert(const struct tlsio_failure *f, gnutls_session_t tls, struct err *err)
{
	char name[48], meaning[96];
	gnutls_alert_description_t alert = gnutls_alert_get(tls);
	return err_set(err, ERR_TLS, "peer sent alert %d %s%s", (int)alert, alert_name(alert, name),
		alert_meaning(f, alert, meaning));
}

int tlsio_failure_tell(const struct tlsio_failure *f, gnutls_session_t tls, struct err *err)
{
	char version[16];
	if (f->broken)
		return err_system(err, f->broken, "TLS %s: the connection broke",
			f->is_handshake ? "handshake" : "session");
	if (f->rc == GNUTLS_E_FATAL_ALERT_RECEIVED || f->rc == GNUTLS_E_WARNING_ALERT_RECEIVED)
		return tell_alert(f, tls, err);
	if (tlsio_failure_is_version(f))
		return err_set(err, ERR_TLS,
			"the peer offers no TLS version we accept (it offers %s at most, we "
			"demand %s%s)",
			highest_name(f->offered, version), tlsio_version_name(f->minimum),
			f->minimum == TLSIO_TLS13 ? "" : " or later");
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
		if (sentences[i].rc == f->rc)
			return err_set(err, ERR_TLS, "%s%s", sentences[i].words,
				f->is_handshake && f->rc == GNUTLS_E_PREMATURE_TERMINATION
					? " in the handshake"
					: "");
	return err_set(err, ERR_TLS, "TLS %s failed: %s", f->is_handshake ? "handshake" : "session",
		gnutls_strerror(f->rc));
}

#include "libtlsio/tlsio_failure.h"

#include <stdio.h>
#include <string.h>

#include "libtlsio/base/str.h"

enum { EXTENSION_SUPPORTED_VERSIONS = 43, WIRE_TLS10 = 0x0301, WIRE_TLS12 = 0x0303, WIRE_TLS13 };

static int on_extension(void *ctx, unsigned id, const unsigned char *data, unsigned size)
{
	uint16_t *highest = ctx;
	if (id != EXTENSION_SUPPORTED_VERSIONS || size < 3)
		return 0;
	*highest = 0;
	for (unsigned i = 1; i + 1 < size; i += 2) {
		uint16_t version = (uint16_t)(data[i] << 8 | data[i + 1]);
		/* GREASE values (RFC 8701) and drafts are no versions. */
		if (version <= WIRE_TLS13 && version > *highest)
			*highest = version;
	}
	return 0;
}

uint16_t tlsio_failure_highest_offer(const gnutls_datum_t *client_hello)
{
	if (client_hello->size < 2)
		return 0;
	uint16_t highest = (uint16_t)(client_hello->data[0] << 8 | client_hello->data[1]);
	gnutls_ext_raw_parse(&highest, on_extension, client_hello,
		GNUTLS_EXT_RAW_FLAG_TLS_CLIENT_HELLO);
	return highest;
}

bool tlsio_failure_is_version(const struct tlsio_failure *f)
{
	if (!f->is_server || !f->is_handshake || !f->offered)
		return false;
	switch (f->rc) {
	case GNUTLS_E_NO_CIPHER_SUITES: /* what GnuTLS says to a 1.2 client of a 1.3 server */
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
	case GNUTLS_E_UNKNOWN_CIPHER_SUITE:
		return f->offered < (f->minimum == TLSIO_TLS13 ? WIRE_TLS13 : WIRE_TLS12);
	default:
		return false;
	}
}

static const char *wire_version_name(uint16_t version, char text[16])
{
	if (version >= WIRE_TLS10 && version <= WIRE_TLS13)
		snprintf(text, 16, "TLS1.%d", version - WIRE_TLS10);
	else
		snprintf(text, 16, version == 0x0300 ? "SSL3.0" : "0x%04x", version);
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
static const char *alert_meaning(const struct tlsio_failure *f, gnutls_alert_description_t alert,
	char text[80])
{
	if (alert == GNUTLS_A_PROTOCOL_VERSION) {
		snprintf(text, 80, "; it accepts no TLS version we offer (we demand %s%s)",
			tlsio_version_name(f->minimum),
			f->minimum == TLSIO_TLS13 ? "" : " or later");
		return text;
	}
	if (alert == GNUTLS_A_HANDSHAKE_FAILURE && f->is_handshake)
		return "; probably no cipher suite in common";
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
	{ GNUTLS_E_UNSUPPORTED_VERSION_PACKET, "the peer chose a TLS version we do not accept" },
	{ GNUTLS_E_NO_COMMON_KEY_SHARE, "no key exchange group in common with the peer" },
	{ GNUTLS_E_UNEXPECTED_PACKET, "the peer sent something that is not TLS" },
	{ GNUTLS_E_UNEXPECTED_PACKET_LENGTH, "the peer sent something that is not TLS" },
	{ GNUTLS_E_RECORD_OVERFLOW, "the peer sent a record that is too long" },
	{ GNUTLS_E_SAFE_RENEGOTIATION_FAILED,
		"the peer lacks secure renegotiation (RFC 5746), which TLS 1.2 needs" },
	{ GNUTLS_E_UNSAFE_RENEGOTIATION_DENIED,
		"the peer lacks secure renegotiation (RFC 5746), which TLS 1.2 needs" },
	{ GNUTLS_E_REHANDSHAKE, "the peer asked for a renegotiation, which we refuse" },
	{ GNUTLS_E_DECRYPTION_FAILED, "a record from the peer could not be decrypted" },
	{ GNUTLS_E_PREMATURE_TERMINATION, "the peer closed the connection" },
};

static int tell_alert(const struct tlsio_failure *f, gnutls_session_t tls, struct err *err)
{
	char name[48], meaning[80];
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
			wire_version_name(f->offered, version), tlsio_version_name(f->minimum),
			f->minimum == TLSIO_TLS13 ? "" : " or later");
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
		if (sentences[i].rc == f->rc)
			return err_set(err, ERR_TLS, "%s%s", sentences[i].words,
				f->is_handshake && f->rc == GNUTLS_E_PREMATURE_TERMINATION ?
					" in the handshake" :
					"");
	return err_set(err, ERR_TLS, "TLS %s failed: %s",
		f->is_handshake ? "handshake" : "session", gnutls_strerror(f->rc));
}

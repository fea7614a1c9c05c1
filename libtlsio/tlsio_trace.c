#include "libtlsio/tlsio_trace.h"

/* TLS HandshakeType registry, what TLS 1.2 and 1.3 use. */
static const struct {
	uint8_t type;
	const char *name;
} messages[] = {
	{ 0, "HelloRequest" },
	{ 1, "ClientHello" },
	{ 2, "ServerHello" },
	{ 4, "NewSessionTicket" },
	{ 5, "EndOfEarlyData" },
	{ 8, "EncryptedExtensions" },
	{ 11, "Certificate" },
	{ 12, "ServerKeyExchange" },
	{ 13, "CertificateRequest" },
	{ 14, "ServerHelloDone" },
	{ 15, "CertificateVerify" },
	{ 16, "ClientKeyExchange" },
	{ 20, "Finished" },
	{ 22, "CertificateStatus" },
	{ 23, "SupplementalData" },
	{ 24, "KeyUpdate" },
	{ 25, "CompressedCertificate" },
};

const char *tlsio_trace_message_name(uint8_t type)
{
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		if (messages[i].type == type)
			return messages[i].name;
	return "unknown";
}

const char *tlsio_trace_record_name(uint8_t type)
{
	switch (type) {
	case 20:
		return "change_cipher_spec";
	case 21:
		return "alert";
	case 22:
		return "handshake";
	case 23:
		return "application_data";
	}
	return "unknown";
}

static void report_record(struct tlsio_tracer *t, bool is_incoming, struct tlsio_tracer_side *side)
{
	side->version = (uint16_t)(side->header[1] << 8 | side->header[2]);
	side->body_left = (size_t)(side->header[3] << 8 | side->header[4]);
	struct tlsio_trace_event event = {
		.kind = TLSIO_TRACE_RECORD,
		.is_incoming = is_incoming,
		.type = side->header[0],
		.name = tlsio_trace_record_name(side->header[0]),
		.record_version = side->version,
		.size_bytes = side->body_left,
	};
	t->trace(t->ctx, &event);
}

void tlsio_tracer_bytes(struct tlsio_tracer *t, bool is_incoming, const void *bytes, size_t length)
{
	struct tlsio_tracer_side *side = is_incoming ? &t->in : &t->out;
	const uint8_t *at = bytes, *end = at + length;
	while (at < end) {
		if (side->body_left > 0) {
			size_t skip = side->body_left;
			if (skip > (size_t)(end - at))
				skip = (size_t)(end - at);
			side->body_left -= skip;
			at += skip;
			continue;
		}
		side->header[side->header_bytes++] = *at++;
		if (side->header_bytes == sizeof(side->header)) {
			side->header_bytes = 0;
			report_record(t, is_incoming, side);
		}
	}
}

void tlsio_tracer_message(struct tlsio_tracer *t, bool is_incoming, uint8_t type, size_t size_bytes)
{
	struct tlsio_trace_event event = {
		.kind = TLSIO_TRACE_HANDSHAKE,
		.is_incoming = is_incoming,
		.type = type,
		.name = tlsio_trace_message_name(type),
		.record_version = is_incoming ? t->in.version : t->out.version,
		.size_bytes = size_bytes,
	};
	t->trace(t->ctx, &event);
}

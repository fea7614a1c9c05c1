#include "tests/smtpd/delegation/make_request.h"

#include <stdbool.h>
#include <string.h>

static const char *const lines[] = { "request=smtpd_access_policy", "protocol_state=RCPT",
	"protocol_name=ESMTP", "client_address=192.0.2.9", "client_name=mx.partner.example",
	"client_port=54978", "reverse_client_name=mx.partner.example", "server_address=198.51.100.1",
	"server_port=25", "helo_name=client.test", "sender=joe@partner.example",
	"recipient=x@bank.example", "recipient_count=0", "queue_id=", "instance=15c4.6b076035.d7745.0",
	"size=0", "etrn_domain=", "stress=", "sasl_method=", "sasl_username=", "sasl_sender=",
	"ccert_subject=", "ccert_issuer=", "ccert_fingerprint=", "ccert_pubkey_fingerprint=",
	"encryption_protocol=", "encryption_cipher=", "encryption_keysize=0", "policy_context=" };

static bool is_same_name(const char *a, const char *b)
{
	size_t length = strcspn(a, "=");
	return strncmp(a, b, length) == 0 && b[length] == '=';
}

static bool is_known(const char *line)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (is_same_name(lines[i], line))
			return true;
	}
	return false;
}

void make_request(struct buf *into, const char *const *changes)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const char *line = lines[i];
		for (const char *const *change = changes; *change; change++) {
			if (is_same_name(lines[i], *change))
				line = *change;
		}
		buf_printf(into, "%s\n", line);
	}
	for (const char *const *change = changes; *change; change++) {
		if (!is_known(*change))
			buf_printf(into, "%s\n", *change);
	}
	buf_append_byte(into, '\n');
}

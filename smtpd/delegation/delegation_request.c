#include "smtpd/delegation/delegation_request.h"

#include <stdbool.h>

static const char *const names[DELEGATION_ATTRIBUTES] = {
	[DELEGATION_REQUEST] = "request",
	[DELEGATION_PROTOCOL_STATE] = "protocol_state",
	[DELEGATION_CLIENT_ADDRESS] = "client_address",
	[DELEGATION_CLIENT_NAME] = "client_name",
	[DELEGATION_CLIENT_PORT] = "client_port",
	[DELEGATION_SERVER_PORT] = "server_port",
	[DELEGATION_SENDER] = "sender",
	[DELEGATION_RECIPIENT] = "recipient",
	[DELEGATION_QUEUE_ID] = "queue_id",
	[DELEGATION_INSTANCE] = "instance",
	[DELEGATION_SASL_USERNAME] = "sasl_username",
	[DELEGATION_CCERT_SUBJECT] = "ccert_subject",
	[DELEGATION_CCERT_ISSUER] = "ccert_issuer",
	[DELEGATION_CCERT_FINGERPRINT] = "ccert_fingerprint",
	[DELEGATION_CCERT_PUBKEY_FINGERPRINT] = "ccert_pubkey_fingerprint",
	[DELEGATION_ENCRYPTION_PROTOCOL] = "encryption_protocol",
	[DELEGATION_ENCRYPTION_CIPHER] = "encryption_cipher",
	[DELEGATION_ENCRYPTION_KEYSIZE] = "encryption_keysize",
	[DELEGATION_TLS_SNI] = "tls_sni",
	[DELEGATION_POLICY_CONTEXT] = "policy_context",
};

size_t delegation_request_length(struct str in, size_t *scanned)
{
	for (size_t i = *scanned; i < in.length; i++) {
		if (in.at[i] == '\n' && (i == 0 || in.at[i - 1] == '\n')) {
			*scanned = 0; /* for the request behind this one */
			return i + 1;
		}
	}
	*scanned = in.length;
	return 0;
}

/* Which of the names; DELEGATION_ATTRIBUTES: none. First those behind the one before: so they come. */
static size_t find(struct str name, size_t first)
{
	for (size_t i = 0; i < DELEGATION_ATTRIBUTES; i++) {
		size_t at = (first + i) % DELEGATION_ATTRIBUTES;
		if (str_equal(name, str_of(names[at])))
			return at;
	}
	return DELEGATION_ATTRIBUTES;
}

static bool has_control(struct str line)
{
	for (size_t i = 0; i < line.length; i++) {
		if ((unsigned char)line.at[i] < ' ' || line.at[i] == 0x7f)
			return true;
	}
	return false;
}

static int read_line(struct str line, size_t *next, struct delegation_request *ret, struct err *err)
{
	size_t equals = str_find(line, '=');
	if (has_control(line))
		return err_set(err, ERR_INPUT, "there is a control byte in it");
	if (equals == 0 || equals == line.length)
		return err_set(err, ERR_INPUT, "one of its lines is no name=value");
	size_t at = find(str_head(line, equals), *next);
	if (at == DELEGATION_ATTRIBUTES)
		return 0;
	if (ret->values[at].at)
		return err_set(err, ERR_INPUT, "it says %s twice", names[at]);
	ret->values[at] = str_skip(line, equals + 1);
	*next = at + 1;
	return 0;
}

int delegation_request_read(struct str whole, struct delegation_request *ret, struct err *err)
{
	struct str rest = whole, line;
	size_t next = 0;
	*ret = (struct delegation_request){ 0 };
	while (str_split(&rest, '\n', &line) && line.length > 0) {
		if (read_line(line, &next, ret, err) < 0)
			return -1;
	}
	if (!str_equal(delegation_request_value(ret, DELEGATION_REQUEST), STR("smtpd_access_policy")))
		return err_set(err, ERR_INPUT, "it does not say request=smtpd_access_policy");
	return 0;
}

struct str delegation_request_value(const struct delegation_request *request,
	enum delegation_attribute attribute)
{
	struct str value = request->values[attribute];
	return value.at ? value : STR("");
}

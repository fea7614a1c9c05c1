#include "policy/tlsrpt/tlsrpt_datagram.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "policy/policy_domain.h"

enum { DEPTH_MOST = 8 };

static const char version[] = "1";

/* One policy of the datagram, its names in lower case, its lists as arrays. */
struct part {
	char domain[TLSRPT_NAME_BYTES_MOST + 1];
	const char *strings[TLSRPT_STRINGS_MOST];
	const char *mx[TLSRPT_STRINGS_MOST];
	struct tlsrpt_failure failures[TLSRPT_FAILURES_MOST];
	char hosts[TLSRPT_FAILURES_MOST][TLSRPT_NAME_BYTES_MOST + 1];
	char helos[TLSRPT_FAILURES_MOST][TLSRPT_NAME_BYTES_MOST + 1];
};

static int refuse(struct err *err, const char *what)
{
	return err_set(err, ERR_PEER, "%s", what);
}

/* Before it is parsed: a parser that calls itself must not be sent deep. */
static bool is_deep(struct str bytes)
{
	bool is_text = false;
	unsigned depth = 0;
	for (size_t i = 0; i < bytes.length; i++) {
		char c = bytes.at[i];
		if (is_text && c == '\\')
			i++;
		else if (c == '"')
			is_text = !is_text;
		else if (!is_text && (c == '{' || c == '['))
			depth++;
		else if (!is_text && (c == '}' || c == ']') && depth > 0)
			depth--;
		if (depth > DEPTH_MOST)
			return true;
	}
	return false;
}

/* "" where it is absent. */
static int text_of(const json_t *object, const char *key, size_t most, const char **ret,
	struct err *err)
{
	const json_t *value = json_object_get(object, key);
	*ret = "";
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return err_set(err, ERR_PEER, "\"%s\" is no text", key);
	struct str text = str_from(json_string_value(value), json_string_length(value));
	if (text.length > most)
		return err_set(err, ERR_PEER, "\"%s\" is longer than %zu bytes", key, most);
	if (!tlsrpt_text_is_clean(text, most))
		return err_set(err, ERR_PEER, "\"%s\" holds control characters", key);
	*ret = text.at;
	return 0;
}

/* A whole number in 0..most; absent where that is allowed: `otherwise`. */
static int number_of(const json_t *object, const char *key, json_int_t most, json_int_t otherwise,
	json_int_t *ret, struct err *err)
{
	const json_t *value = json_object_get(object, key);
	*ret = otherwise;
	if (!value && otherwise >= 0)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
		json_integer_value(value) > most)
		return err_set(err, ERR_PEER, "\"%s\" is %s", key, value ? "out of place" : "absent");
	*ret = json_integer_value(value);
	return 0;
}

static int lower_name(const char *name, const char *key, char into[TLSRPT_NAME_BYTES_MOST + 1],
	struct err *err)
{
	size_t length = strlen(name);
	for (size_t i = 0; i < length; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return err_set(err, ERR_PEER, "\"%s\" is no name", key);
	if (length > 1 && name[length - 1] == '.')
		length--;
	memcpy(into, name, length);
	into[length] = '\0';
	str_lower_in_place(into, length);
	return 0;
}

static int list_of(const json_t *object, const char *key, const char **into, size_t *ret_count,
	struct err *err)
{
	const json_t *list = json_object_get(object, key);
	*ret_count = 0;
	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return err_set(err, ERR_PEER, "\"%s\" is no list", key);
	if (json_array_size(list) > TLSRPT_STRINGS_MOST)
		return err_set(err, ERR_PEER, "\"%s\" has more than %d entries", key,
			TLSRPT_STRINGS_MOST);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *value = json_array_get(list, i);
		if (!json_is_string(value) ||
			!tlsrpt_text_is_clean(
				str_from(json_string_value(value), json_string_length(value)),
				TLSRPT_POLICY_BYTES_MOST))
			return err_set(err, ERR_PEER,
				"\"%s\" has an entry that is no clean text", key);
		into[i] = json_string_value(value);
	}
	*ret_count = json_array_size(list);
	return 0;
}

/* Postfix (3.10, 3.11) says the whole reply to EHLO, of many lines. Its first word is the name that is
 * meant; one that could not stand in a report is left out, for it is optional. */
static int read_helo(const json_t *object, char into[TLSRPT_NAME_BYTES_MOST + 1], struct err *err)
{
	const json_t *value = json_object_get(object, "h");
	into[0] = '\0';
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return refuse(err, "\"h\" is no text");
	struct str name = str_from(json_string_value(value), json_string_length(value));
	name = str_head(name, str_find(name, '\n'));
	name = str_head(name, str_find(name, '\r'));
	if (str_starts_nocase(name, STR("250-")) || str_starts_nocase(name, STR("250 ")))
		name = str_skip(name, 4);
	name = str_head(name, str_find(name, ' '));
	if (tlsrpt_text_is_clean(name, TLSRPT_NAME_BYTES_MOST)) {
		memcpy(into, name.at, name.length);
		into[name.length] = '\0';
	}
	return 0;
}

static int read_failure(const json_t *object, struct tlsrpt_failure *ret, char *host, char *helo,
	struct err *err)
{
	json_int_t code;
	if (!json_is_object(object))
		return refuse(err, "a failure is no object");
	if (number_of(object, "c", 1000, -1, &code, err) < 0)
		return -1;
	if (!tlsrpt_result_of_code((int)code, &ret->result))
		return refuse(err, "a failure has an unknown result number");
	if (text_of(object, "s", TLSRPT_ADDRESS_BYTES_MOST, &ret->sending_ip, err) < 0 ||
		text_of(object, "n", TLSRPT_NAME_BYTES_MOST, &ret->mx_host, err) < 0 ||
		read_helo(object, helo, err) < 0 ||
		text_of(object, "r", TLSRPT_ADDRESS_BYTES_MOST, &ret->receiving_ip, err) < 0 ||
		text_of(object, "a", TLSRPT_WORDS_BYTES_MOST, &ret->additional, err) < 0 ||
		text_of(object, "f", TLSRPT_WORDS_BYTES_MOST, &ret->reason_code, err) < 0 ||
		lower_name(ret->mx_host, "n", host, err) < 0)
		return -1;
	ret->mx_host = host;
	ret->helo = helo;
	return 0;
}

static int read_failures(const json_t *policy, struct part *part, size_t *ret_count, struct err *err)
{
	const json_t *list = json_object_get(policy, "failure-details");
	*ret_count = 0;
	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return refuse(err, "\"failure-details\" is no list");
	if (json_array_size(list) > TLSRPT_FAILURES_MOST)
		return err_set(err, ERR_PEER, "\"failure-details\" has more than %d entries",
			TLSRPT_FAILURES_MOST);
	for (size_t i = 0; i < json_array_size(list); i++)
		if (read_failure(json_array_get(list, i), &part->failures[i], part->hosts[i],
			    part->helos[i], err) < 0)
			return -1;
	*ret_count = json_array_size(list);
	return 0;
}

static int read_type(const json_t *policy, enum policy_report_type *ret, struct err *err)
{
	json_int_t type;
	if (number_of(policy, "policy-type", 9, -1, &type, err) < 0)
		return -1;
	if (type != 1 && type != 2 && type != 9)
		return refuse(err, "\"policy-type\" is unknown");
	*ret = type == 1	? POLICY_REPORT_TLSA
		: type == 2	? POLICY_REPORT_STS
				: POLICY_REPORT_NO_POLICY;
	return 0;
}

static int read_policy(const json_t *policy, const char *reported, struct part *part,
	struct tlsrpt_outcome *ret, struct err *err)
{
	json_int_t final, total;
	const char *domain;
	*ret = (struct tlsrpt_outcome){ .policy = { .domain = part->domain,
		.strings = part->strings, .mx = part->mx }, .failures = part->failures };
	if (!json_is_object(policy))
		return refuse(err, "a policy is no object");
	if (read_type(policy, &ret->policy.type, err) < 0 ||
		text_of(policy, "policy-domain", TLSRPT_NAME_BYTES_MOST, &domain, err) < 0 ||
		lower_name(*domain ? domain : reported, "policy-domain", part->domain, err) < 0 ||
		list_of(policy, "policy-string", part->strings, &ret->policy.string_count, err) < 0 ||
		list_of(policy, "mx-host", part->mx, &ret->policy.mx_count, err) < 0 ||
		read_failures(policy, part, &ret->failure_count, err) < 0 ||
		number_of(policy, "t", TLSRPT_DATAGRAM_BYTES_MOST, 0, &total, err) < 0 ||
		number_of(policy, "f", 1, -1, &final, err) < 0)
		return -1;
	ret->is_success = final == 0;
	return 0;
}

static int read_head(const json_t *root, char domain[POLICY_DOMAIN_BYTES],
	struct tlsrpt_session *session, struct err *err)
{
	const char *said, *name;
	if (!json_is_object(root))
		return refuse(err, "it is no JSON object");
	if (text_of(root, "dpv", 16, &said, err) < 0 ||
		text_of(root, "d", TLSRPT_NAME_BYTES_MOST, &name, err) < 0 ||
		text_of(root, "pr", TLSRPT_RECORD_BYTES_MOST, &session->record, err) < 0)
		return -1;
	if (*said && strcmp(said, version) != 0)
		return refuse(err, "its protocol (\"dpv\") is not version 1");
	if (policy_domain_parse(str_of(name), domain, NULL) < 0)
		return refuse(err, "\"d\" is no domain name");
	session->domain = domain;
	return 0;
}

static int read_root(const json_t *root,
	void (*on_session)(void *ctx, const struct tlsrpt_session *session), void *ctx,
	struct err *err)
{
	struct tlsrpt_outcome outcomes[TLSRPT_POLICIES_MOST];
	struct tlsrpt_session session = { .outcomes = outcomes };
	char domain[POLICY_DOMAIN_BYTES];
	if (read_head(root, domain, &session, err) < 0)
		return -1;
	const json_t *policies = json_object_get(root, "policies");
	size_t count = json_array_size(policies); /* 0: absent, or no list */
	if (count == 0)
		return refuse(err, "it has no policies");
	if (count > TLSRPT_POLICIES_MOST)
		return err_set(err, ERR_PEER, "it has more than %d policies", TLSRPT_POLICIES_MOST);
	struct part *parts = mem_array(count, sizeof(*parts));
	int result = 0;
	for (size_t i = 0; i < count && result == 0; i++)
		result = read_policy(json_array_get(policies, i), domain, &parts[i], &outcomes[i],
			err);
	session.outcome_count = count;
	if (result == 0)
		on_session(ctx, &session);
	free(parts);
	return result;
}

int tlsrpt_datagram_read(struct str bytes,
	void (*on_session)(void *ctx, const struct tlsrpt_session *session), void *ctx,
	struct err *err)
{
	json_error_t why;
	if (bytes.length > TLSRPT_DATAGRAM_BYTES_MOST)
		return err_set(err, ERR_PEER, "it is longer than %d bytes",
			TLSRPT_DATAGRAM_BYTES_MOST);
	if (is_deep(bytes))
		return refuse(err, "it is nested deeper than any of its kind");
	json_t *root = json_loadb(bytes.at, bytes.length, JSON_REJECT_DUPLICATES, &why);
	if (!root)
		return err_set(err, ERR_PEER, "it is no JSON (byte %d)", why.position);
	int result = read_root(root, on_session, ctx, err);
	json_decref(root);
	return result;
}

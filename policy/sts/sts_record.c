#include "policy/sts/sts_record.h"

enum { ID_MOST = STS_ID_BYTES - 1, NAME_MOST = 32 };

static bool is_alphanumeric(char c)
{
	char l = str_lower(c);
	return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9');
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static struct str skip_spaces(struct str s)
{
	while (s.length > 0 && is_space(s.at[0]))
		s = str_skip(s, 1);
	return s;
}

/* *WSP ";" *WSP off the front of *rest. */
static bool take_delimiter(struct str *rest)
{
	struct str s = skip_spaces(*rest);
	if (s.length == 0 || s.at[0] != ';')
		return false;
	*rest = skip_spaces(str_skip(s, 1));
	return true;
}

static size_t name_length(struct str s)
{
	size_t n = 0;
	while (n < s.length && (is_alphanumeric(s.at[n]) ||
				       (n > 0 && (s.at[n] == '_' || s.at[n] == '-' || s.at[n] == '.'))))
		n++;
	return n;
}

/* %x21-3A / %x3C / %x3E-7E: printable, without ";", "=" and space. */
static size_t value_length(struct str s)
{
	size_t n = 0;
	while (n < s.length && s.at[n] > ' ' && s.at[n] <= '~' && s.at[n] != ';' && s.at[n] != '=')
		n++;
	return n;
}

static bool take_field(struct str *rest, struct str *ret_name, struct str *ret_value)
{
	size_t name = name_length(*rest);
	if (name == 0 || name > NAME_MOST || name == rest->length || rest->at[name] != '=')
		return false;
	*ret_name = str_head(*rest, name);
	*rest = str_skip(*rest, name + 1);
	size_t value = value_length(*rest);
	*ret_value = str_head(*rest, value);
	*rest = str_skip(*rest, value);
	return value > 0;
}

static bool is_id(struct str value)
{
	for (size_t i = 0; i < value.length; i++)
		if (!is_alphanumeric(value.at[i]))
			return false;
	return value.length >= 1 && value.length <= ID_MOST;
}

static const struct str version = { "v=STSv1", 7 };

bool sts_record_is_candidate(struct str text)
{
	if (!str_starts(text, version))
		return false;
	struct str rest = str_skip(text, version.length);
	return take_delimiter(&rest);
}

bool sts_record_parse(struct str text, char ret_id[STS_ID_BYTES])
{
	struct str id = { NULL, 0 }, name, value;
	if (!sts_record_is_candidate(text))
		return false;
	struct str rest = str_skip(text, version.length);
	while (rest.length > 0) {
		if (!take_delimiter(&rest))
			return false;
		if (rest.length == 0)
			break; /* the one delimiter that may end the record */
		if (!take_field(&rest, &name, &value))
			return false;
		if (!id.at && str_equal(name, STR("id")))
			id = value;
	}
	if (!id.at || !is_id(id))
		return false;
	if (ret_id)
		str_copy(id, ret_id, STS_ID_BYTES);
	return true;
}

enum sts_record_result sts_record_choose(const struct str *texts, size_t count,
	char ret_id[STS_ID_BYTES])
{
	const struct str *only = NULL;
	for (size_t i = 0; i < count; i++) {
		if (!sts_record_is_candidate(texts[i]))
			continue;
		if (only)
			return STS_RECORD_INVALID;
		only = &texts[i];
	}
	if (!only)
		return STS_RECORD_ABSENT;
	return sts_record_parse(*only, ret_id) ? STS_RECORD_FOUND : STS_RECORD_INVALID;
}

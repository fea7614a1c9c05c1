#include "policy/sts/sts_policy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"

enum { KEY_MOST = 32, LABEL_MOST = 63, NAME_MOST = 253, QUOTE_BYTES = 48 };

/* A file being read: what was said so far, and where we are, for the words. */
struct reading {
	struct sts_policy *policy;
	size_t mx_room;
	unsigned line;
	bool has_version;
	bool has_mode;
	bool has_max_age;
	struct err *err;
};

static bool is_alphanumeric(char c)
{
	char l = str_lower(c);
	return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9');
}

/* What a stranger wrote, fit for a log line: printable, and not too much of it. */
static const char *quote(struct str s, char into[QUOTE_BYTES])
{
	str_copy(s, into, QUOTE_BYTES);
	for (size_t i = 0; i < s.length && i < QUOTE_BYTES - 1; i++)
		if (into[i] < ' ' || into[i] > '~' || into[i] == '"')
			into[i] = '?';
	return into;
}

/* Bytes of one well-formed character beyond ASCII (RFC 3629); 0: not one. */
static size_t character_bytes(struct str s)
{
	const unsigned char *b = (const unsigned char *)s.at;
	size_t n = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
	if (b[0] < 0xc2 || b[0] > 0xf4 || n > s.length)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((b[i] & 0xc0) != 0x80)
			return 0;
	bool is_overlong = (b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xf0 && b[1] < 0x90);
	bool is_surrogate = b[0] == 0xed && b[1] >= 0xa0;
	bool is_beyond = b[0] == 0xf4 && b[1] >= 0x90;
	return is_overlong || is_surrogate || is_beyond ? 0 : n;
}

/* sts-policy-ext-value, without the spaces around it: no controls, tabs among them. */
static bool is_value(struct str s)
{
	if (s.length == 0)
		return false;
	while (s.length > 0) {
		bool is_ascii = s.at[0] >= ' ' && s.at[0] <= '~';
		size_t n = is_ascii ? 1 : (unsigned char)s.at[0] < 0x80 ? 0 : character_bytes(s);
		if (n == 0)
			return false;
		s = str_skip(s, n);
	}
	return true;
}

static bool is_key(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if (!is_alphanumeric(s.at[i]) &&
			(i == 0 || (s.at[i] != '_' && s.at[i] != '-' && s.at[i] != '.')))
			return false;
	return s.length >= 1 && s.length <= KEY_MOST;
}

static bool is_label(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if (!is_alphanumeric(s.at[i]) && s.at[i] != '-')
			return false;
	return s.length >= 1 && s.length <= LABEL_MOST && s.at[0] != '-' &&
		s.at[s.length - 1] != '-';
}

static bool is_number(struct str s)
{
	uint64_t ignored;
	return str_to_u64(s, UINT64_MAX, &ignored);
}

/* RFC 5321's Domain, of A-labels; not an address, which no MX record names. */
static bool is_host(struct str s)
{
	struct str label = { NULL, 0 };
	if (s.length == 0 || s.length > NAME_MOST || s.at[s.length - 1] == '.')
		return false;
	while (str_split(&s, '.', &label))
		if (!is_label(label))
			return false;
	return !is_number(label);
}

static int take_version(struct reading *r, struct str value)
{
	char words[QUOTE_BYTES];
	if (r->has_version)
		return 0;
	if (!str_equal(value, STR("STSv1")))
		return err_set(r->err, ERR_INPUT, "line %u: version is \"%s\", not STSv1", r->line,
			quote(value, words));
	r->has_version = true;
	return 0;
}

static int take_mode(struct reading *r, struct str value)
{
	char words[QUOTE_BYTES];
	if (r->has_mode)
		return 0;
	for (int mode = POLICY_STS_NONE; mode <= POLICY_STS_ENFORCE; mode++) {
		if (!str_equal(value, str_of(sts_mode_name((enum policy_sts_mode)mode))))
			continue;
		r->policy->mode = (enum policy_sts_mode)mode;
		r->has_mode = true;
		return 0;
	}
	return err_set(r->err, ERR_INPUT,
		"line %u: mode is \"%s\", not enforce, testing or none (lower case)", r->line,
		quote(value, words));
}

static int take_max_age(struct reading *r, struct str value)
{
	char words[QUOTE_BYTES];
	uint64_t age_s;
	if (r->has_max_age)
		return 0;
	if (value.length > 10 || !str_to_u64(value, UINT64_MAX, &age_s))
		return err_set(r->err, ERR_INPUT,
			"line %u: max_age is \"%s\", not a number of seconds of 1 to 10 digits",
			r->line, quote(value, words));
	r->policy->max_age_s = age_s > STS_MAX_AGE_S ? STS_MAX_AGE_S : (uint32_t)age_s;
	r->has_max_age = true;
	return 0;
}

static int take_mx(struct reading *r, struct str value)
{
	char words[QUOTE_BYTES];
	struct sts_policy *p = r->policy;
	struct str host = str_starts(value, STR("*.")) ? str_skip(value, 2) : value;
	if (!is_host(host))
		return err_set(r->err, ERR_INPUT,
			"line %u: mx is \"%s\", not a host name or \"*.\" and a host name (in "
			"A-labels)",
			r->line, quote(value, words));
	if (p->mx_count == STS_MX_MOST)
		return err_set(r->err, ERR_LIMIT, "line %u: more than %d mx lines", r->line,
			STS_MX_MOST);
	if (p->mx_count == r->mx_room) {
		r->mx_room = r->mx_room ? 2 * r->mx_room : 4;
		p->mx = mem_resize_array(p->mx, r->mx_room, sizeof(*p->mx));
	}
	p->mx[p->mx_count] = mem_dup_bytes(value.at, value.length);
	str_lower_in_place(p->mx[p->mx_count++], value.length);
	return 0;
}

static const struct {
	struct str key;
	int (*take)(struct reading *r, struct str value);
} fields[] = {
	{ { "version", 7 }, take_version },
	{ { "mode", 4 }, take_mode },
	{ { "max_age", 7 }, take_max_age },
	{ { "mx", 2 }, take_mx },
};

static int take_line(struct reading *r, struct str line)
{
	char words[QUOTE_BYTES];
	size_t colon = str_find(line, ':');
	struct str key = str_head(line, colon);
	if (line.length == 0)
		return err_set(r->err, ERR_INPUT, "line %u is empty; each line is a field", r->line);
	if (colon == line.length || !is_key(key))
		return err_set(r->err, ERR_INPUT, "line %u: \"%s\" is no field \"name: value\"",
			r->line, quote(line, words));
	struct str value = str_trim(str_skip(line, colon + 1));
	if (!is_value(value))
		return err_set(r->err, ERR_INPUT, "line %u: the value of %s is %s", r->line,
			quote(key, words), value.length == 0 ? "missing" : "not printable UTF-8");
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (str_equal(key, fields[i].key))
			return fields[i].take(r, value);
	return 0; /* a field of some other version or vendor */
}

/* Fields that must be there somewhere. */
static int check_whole(const struct reading *r)
{
	const char *missing = !r->has_version ? "version" : !r->has_mode ? "mode"
		: !r->has_max_age				     ? "max_age"
		: NULL;
	if (missing)
		return err_set(r->err, ERR_INPUT, "line %u: the file ends without a line \"%s:\"",
			r->line, missing);
	if (r->policy->mx_count == 0 && r->policy->mode != POLICY_STS_NONE)
		return err_set(r->err, ERR_INPUT,
			"line %u: the file ends without a line \"mx:\", and its mode is %s",
			r->line, sts_mode_name(r->policy->mode));
	return 0;
}

static int read_lines(struct reading *r, struct str body)
{
	/* The last line may end without a terminator, and after one there is no further line. */
	do {
		size_t end = str_find(body, '\n');
		struct str line = str_head(body, end);
		bool is_terminated = end < body.length;
		if (is_terminated && end > 0 && line.at[end - 1] == '\r')
			line.length--;
		r->line++;
		if (take_line(r, line) < 0)
			return -1;
		body = str_skip(body, is_terminated ? end + 1 : end);
	} while (body.length > 0);
	return check_whole(r);
}

struct sts_policy *sts_policy_parse(struct str body, struct err *err)
{
	if (body.length > STS_POLICY_BYTES_MOST) {
		err_set(err, ERR_LIMIT, "line 1: the file has more than %d bytes",
			STS_POLICY_BYTES_MOST);
		return NULL;
	}
	struct reading r = { .policy = mem_zero(sizeof(*r.policy)), .err = err };
	r.policy->references = 1;
	if (read_lines(&r, body) < 0) {
		sts_policy_unref(&r.policy);
		return NULL;
	}
	r.policy->text = mem_dup_bytes(body.at, body.length);
	r.policy->text_bytes = body.length;
	return r.policy;
}

bool sts_policy_names(const struct sts_policy *policy, const char *host)
{
	struct str name = str_of(host);
	if (name.length > 0 && name.at[name.length - 1] == '.')
		name.length--;
	size_t dot = str_find(name, '.');
	bool has_parent = dot > 0 && dot < name.length;
	for (size_t i = 0; i < policy->mx_count; i++) {
		struct str mx = str_of(policy->mx[i]);
		if (mx.at[0] != '*' && str_equal_nocase(mx, name))
			return true;
		/* Exactly one label stands for the star. */
		if (mx.at[0] == '*' && has_parent &&
			str_equal_nocase(str_skip(mx, 1), str_skip(name, dot)))
			return true;
	}
	return false;
}

const char *sts_mode_name(enum policy_sts_mode mode)
{
	static const char *const names[] = { "none", "testing", "enforce" };
	assert(mode <= POLICY_STS_ENFORCE);
	return names[mode];
}

struct sts_policy *sts_policy_ref(struct sts_policy *policy)
{
	policy->references++;
	return policy;
}

void sts_policy_unref(struct sts_policy **policy)
{
	struct sts_policy *p = *policy;
	*policy = NULL;
	if (!p || --p->references > 0)
		return;
	while (p->mx_count > 0)
		free(p->mx[--p->mx_count]);
	free(p->mx);
	free(p->text);
	free(p);
}

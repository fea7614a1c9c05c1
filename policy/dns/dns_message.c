#include "policy/dns/dns_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	HEADER_BYTES = 12,
	FIXED_BYTES = 10, /* type, class, TTL, length of a record */
	WIRE_MOST = 255,
	LABEL_MOST = 63,
	JUMPS_MOST = 128,
	CLASS_IN = 1,
	TYPE_SOA = 6,
	CODE_NXDOMAIN = 3,
	FLAG_RESPONSE = 0x80,
	FLAG_TRUNCATED = 0x02,
};

/* A name as length-prefixed labels, lower case, with the empty one at the end. */
struct wire_name {
	uint8_t bytes[WIRE_MOST];
	size_t length;
};

struct wire_record {
	size_t owner; /* where its name begins */
	unsigned type, class;
	uint32_t ttl_s;
	size_t data;
	size_t data_length;
};

struct reader {
	const uint8_t *bytes;
	size_t length;
	struct arena *arena;
	enum dns_type type;
	struct wire_record *answers;
	size_t answer_count;
	struct dns_answer *ret;
};

static unsigned get_u16(const uint8_t *at)
{
	return (unsigned)(at[0] << 8 | at[1]);
}

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)get_u16(at) << 16 | get_u16(at + 2);
}

/* Puts one label behind the others; room is kept for the empty one. */
static bool add_label(struct wire_name *name, const uint8_t *bytes, size_t length)
{
	if (name->length + 1 + length + 1 > WIRE_MOST)
		return false;
	name->bytes[name->length++] = (uint8_t)length;
	for (size_t i = 0; i < length; i++)
		name->bytes[name->length++] = (uint8_t)str_lower((char)bytes[i]);
	return true;
}

/* The name at `at`; *ret_next is what comes behind it there. */
static bool read_name(const struct reader *r, size_t at, struct wire_name *ret, size_t *ret_next)
{
	size_t lowest = at; /* a pointer leads to before what was read so far: no circles */
	bool is_behind_known = false;
	ret->length = 0;
	for (int jumps = 0;;) {
		if (at >= r->length)
			return false;
		unsigned head = r->bytes[at];
		if (head >= 0xc0) {
			if (at + 2 > r->length || ++jumps > JUMPS_MOST)
				return false;
			if (!is_behind_known)
				*ret_next = at + 2;
			is_behind_known = true;
			at = get_u16(r->bytes + at) & 0x3fff;
			if (at >= lowest || at < HEADER_BYTES)
				return false;
			lowest = at;
		} else if (head > LABEL_MOST) {
			return false;
		} else if (head == 0) {
			ret->bytes[ret->length++] = 0;
			if (!is_behind_known)
				*ret_next = at + 1;
			return true;
		} else if (at + 1 + head > r->length || !add_label(ret, r->bytes + at + 1, head)) {
			return false;
		} else {
			at += 1 + head;
		}
	}
}

static bool is_equal(const struct wire_name *a, const struct wire_name *b)
{
	return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static bool is_host_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static const char *format_name(const struct wire_name *name, struct arena *arena)
{
	char text[WIRE_MOST * 4 + 1];
	size_t used = 0;
	for (size_t at = 0; name->bytes[at]; at += 1u + name->bytes[at]) {
		if (at)
			text[used++] = '.';
		for (size_t i = 1; i <= name->bytes[at]; i++) {
			uint8_t c = name->bytes[at + i];
			if (is_host_byte(c))
				text[used++] = (char)c;
			else
				used += (size_t)snprintf(text + used, sizeof(text) - used,
					"\\%03u", c);
		}
	}
	return used ? arena_text(arena, str_from(text, used)) : ".";
}

/* name is one dns_message_is_name likes. */
static bool parse_name(struct str text, struct wire_name *ret)
{
	struct str label;
	ret->length = 0;
	if (text.length == 1 && text.at[0] == '.')
		text = (struct str){ NULL, 0 };
	while (str_split(&text, '.', &label))
		if (label.length == 0 || label.length > LABEL_MOST ||
			!add_label(ret, (const uint8_t *)label.at, label.length))
			return false;
	ret->bytes[ret->length++] = 0;
	return true;
}

bool dns_message_is_name(struct str name)
{
	struct wire_name wire;
	if (name.length == 0 || !parse_name(name, &wire))
		return false;
	if (str_equal(name, STR(".")))
		return true;
	for (size_t i = 0; i < name.length; i++)
		if (name.at[i] != '.' && !is_host_byte((uint8_t)str_lower(name.at[i])))
			return false;
	return true;
}

const char *dns_message_code_name(unsigned code, struct arena *arena)
{
	static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",
		"REFUSED" };
	if (code < sizeof(names) / sizeof(names[0]))
		return names[code];
	char text[24];
	snprintf(text, sizeof(text), "error %u", code);
	return arena_text(arena, str_of(text));
}

static void fail(struct reader *r, const char *cause)
{
	char why[120];
	snprintf(why, sizeof(why), "malformed answer: %s", cause);
	*r->ret = (struct dns_answer){
		.result = DNS_FAILED,
		.canonical = r->ret->canonical,
		.why = arena_text(r->arena, str_of(why)),
	};
}

/* More than 31 bits count as 0 (RFC 2181 section 8). */
static void shorten(struct dns_answer *answer, uint32_t ttl_s)
{
	if (ttl_s > INT32_MAX)
		ttl_s = 0;
	if (ttl_s < answer->ttl_s)
		answer->ttl_s = ttl_s;
}

static bool read_record(const struct reader *r, size_t *at, struct wire_record *ret)
{
	struct wire_name owner;
	ret->owner = *at;
	if (!read_name(r, *at, &owner, at) || r->length - *at < FIXED_BYTES)
		return false;
	const uint8_t *fixed = r->bytes + *at;
	ret->type = get_u16(fixed);
	ret->class = get_u16(fixed + 2);
	ret->ttl_s = get_u32(fixed + 4);
	ret->data_length = get_u16(fixed + 8);
	ret->data = *at + FIXED_BYTES;
	if (r->length - ret->data < ret->data_length)
		return false;
	*at = ret->data + ret->data_length;
	return true;
}

static bool read_records(const struct reader *r, size_t *at, unsigned count,
	struct wire_record **ret)
{
	/* no record is shorter than this, so a lying count reserves nothing much */
	if (count > (r->length - *at) / (1 + FIXED_BYTES))
		return false;
	*ret = arena_alloc(r->arena, (count + 1u) * sizeof(**ret));
	for (unsigned i = 0; i < count; i++)
		if (!read_record(r, at, &(*ret)[i]))
			return false;
	return true;
}

/* A name that fills the bytes from `at` to the end of the record's data exactly. */
static const char *name_in(const struct reader *r, const struct wire_record *record, size_t skip,
	struct wire_name *ret)
{
	size_t next;
	if (record->data_length <= skip || !read_name(r, record->data + skip, ret, &next) ||
		next != record->data + record->data_length)
		return NULL;
	return format_name(ret, r->arena);
}

static bool join_strings(const struct reader *r, const struct wire_record *record, struct str *ret)
{
	const uint8_t *data = r->bytes + record->data;
	char *text = arena_alloc(r->arena, record->data_length + 1);
	size_t at = 0, used = 0;
	while (at < record->data_length) {
		size_t length = data[at++];
		if (length > record->data_length - at)
			return false;
		memcpy(text + used, data + at, length);
		used += length;
		at += length;
	}
	*ret = str_from(text, used);
	return at > 0; /* at least one string, perhaps an empty one */
}

static bool read_data(const struct reader *r, const struct wire_record *record,
	struct dns_record *ret)
{
	struct str data = str_from(r->bytes + record->data, record->data_length);
	struct wire_name name;
	size_t least = 0, most = SIZE_MAX;
	switch (r->type) {
	case DNS_MX:
		if (data.length < 3)
			return false;
		ret->preference = get_u16(r->bytes + record->data);
		return (ret->name = name_in(r, record, 2, &name)) != NULL;
	case DNS_CNAME:
		return (ret->name = name_in(r, record, 0, &name)) != NULL;
	case DNS_TXT:
		return join_strings(r, record, &ret->data);
	case DNS_A:
		least = most = 4;
		break;
	case DNS_AAAA:
		least = most = 16;
		break;
	case DNS_TLSA:
		least = 3;
		break;
	}
	ret->data = arena_str(r->arena, data);
	return data.length >= least && data.length <= most;
}

static bool is_owned(const struct reader *r, const struct wire_record *record,
	const struct wire_name *name)
{
	struct wire_name owner;
	size_t next;
	return record->class == CLASS_IN && read_name(r, record->owner, &owner, &next) &&
	       is_equal(&owner, name);
}

/* *name becomes the end of the CNAME chain. */
static bool follow_aliases(struct reader *r, struct wire_name *name)
{
	int links = 0;
	if (r->type == DNS_CNAME)
		return true;
	for (size_t i = 0; i < r->answer_count;) {
		const struct wire_record *record = &r->answers[i++];
		if (record->type != DNS_CNAME || !is_owned(r, record, name))
			continue;
		if (++links > DNS_MESSAGE_ALIASES_MOST) {
			fail(r, "a chain of too many aliases");
			return false;
		}
		const char *target = name_in(r, record, 0, name);
		if (!target) {
			fail(r, "an alias without a name");
			return false;
		}
		r->ret->canonical = target;
		r->ret->is_alias = true;
		shorten(r->ret, record->ttl_s);
		i = 0; /* the next link may stand anywhere */
	}
	return true;
}

struct ranked {
	struct dns_record record;
	size_t place;
};

static int compare_ranked(const void *left, const void *right)
{
	const struct ranked *a = left, *b = right;
	if (a->record.preference != b->record.preference)
		return a->record.preference < b->record.preference ? -1 : 1;
	return a->place < b->place ? -1 : 1;
}

static bool collect(struct reader *r, const struct wire_name *name)
{
	struct ranked *found = arena_alloc(r->arena, (r->answer_count + 1) * sizeof(*found));
	size_t count = 0;
	for (size_t i = 0; i < r->answer_count; i++) {
		const struct wire_record *record = &r->answers[i];
		if (record->type != (unsigned)r->type || !is_owned(r, record, name))
			continue;
		if (!read_data(r, record, &found[count].record)) {
			char cause[40];
			snprintf(cause, sizeof(cause), "a bad %s record", dns_type_name(r->type));
			fail(r, cause);
			return false;
		}
		found[count].place = i;
		count++;
		shorten(r->ret, record->ttl_s);
	}
	qsort(found, count, sizeof(*found), compare_ranked);
	size_t kept = count < DNS_RECORDS_MOST ? count : DNS_RECORDS_MOST;
	struct dns_record *records = arena_alloc(r->arena, (kept + 1) * sizeof(*records));
	for (size_t i = 0; i < kept; i++)
		records[i] = found[i].record;
	r->ret->records = records;
	r->ret->count = kept;
	r->ret->left_out_count = count - kept;
	return true;
}

/* For how long nothing is there (RFC 2308 section 5). */
static void read_negative_ttl(struct reader *r, const struct wire_record *authority, unsigned count)
{
	uint32_t ttl_s = DNS_MESSAGE_TTL_NO_SOA_S;
	for (unsigned i = 0; i < count; i++) {
		/* two names and five numbers, the last of which it is */
		if (authority[i].type != TYPE_SOA || authority[i].data_length < 22)
			continue;
		size_t end = authority[i].data + authority[i].data_length;
		ttl_s = get_u32(r->bytes + end - 4);
		shorten(r->ret, authority[i].ttl_s);
		break;
	}
	shorten(r->ret, ttl_s);
}

static void read_sections(struct reader *r, struct wire_name *name, size_t at, unsigned code)
{
	struct wire_record *authority;
	unsigned authority_count = get_u16(r->bytes + 8);
	r->answer_count = get_u16(r->bytes + 6);
	if (!read_records(r, &at, (unsigned)r->answer_count, &r->answers) ||
		!read_records(r, &at, authority_count, &authority)) {
		fail(r, "a record runs over its end");
		return;
	}
	if (!follow_aliases(r, name) || !collect(r, name))
		return;
	if (r->ret->count > 0 && code == CODE_NXDOMAIN) {
		fail(r, "records of a name that does not exist");
		return;
	}
	if (r->ret->count > 0) {
		r->ret->result = DNS_FOUND;
	} else {
		r->ret->result = code == CODE_NXDOMAIN ? DNS_NO_NAME : DNS_NO_DATA;
		read_negative_ttl(r, authority, authority_count);
	}
}

void dns_message_read(struct str message, const char *name, enum dns_type type,
	struct arena *arena, struct dns_answer *ret)
{
	struct reader r = { (const uint8_t *)message.at, message.length, arena, type, NULL, 0, ret };
	struct wire_name asked, question;
	size_t at = 0;
	*ret = (struct dns_answer){
		.canonical = arena_text(arena, str_of(name)),
		.ttl_s = DNS_MESSAGE_TTL_MOST_S,
		.why = "",
	};
	if (r.length < HEADER_BYTES || !(r.bytes[2] & FLAG_RESPONSE)) {
		fail(&r, "no header of an answer");
		return;
	}
	unsigned code = r.bytes[3] & 15;
	if (code != 0 && code != CODE_NXDOMAIN) {
		*ret = (struct dns_answer){ .result = DNS_FAILED, .canonical = ret->canonical,
			.why = dns_message_code_name(code, arena) };
		return;
	}
	if (r.bytes[2] & FLAG_TRUNCATED)
		fail(&r, "it is cut short");
	else if (!parse_name(str_of(name), &asked) || get_u16(r.bytes + 4) != 1 ||
		!read_name(&r, HEADER_BYTES, &question, &at) || r.length - at < 4 ||
		!is_equal(&asked, &question) || get_u16(r.bytes + at) != (unsigned)type ||
		get_u16(r.bytes + at + 2) != CLASS_IN)
		fail(&r, "it answers another question");
	else
		read_sections(&r, &asked, at + 4, code);
}

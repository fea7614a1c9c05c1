#include "policy/policy_requirement.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_digest.h"

static const char *const level_names[] = { "none", "may", "encrypt", "verify", "dane",
	"dane-only" };

const char *policy_level_name(enum policy_level level)
{
	return level_names[level];
}

bool policy_level_parse(struct str text, enum policy_level *ret)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (str_equal(text, str_of(level_names[i]))) {
			*ret = (enum policy_level)i;
			return true;
		}
	}
	return false;
}

const char *policy_origin_name(enum policy_origin origin)
{
	static const char *const names[] = { "rule", "exception", "dane", "sts" };
	return names[origin];
}

/* One of the 43 or 44 characters of a SHA-256 in base64 (RFC 4648 section 4). */
static int base64_value(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

static bool parse_base64_sha256(struct str text, uint8_t ret[32])
{
	if (text.length == 44 && text.at[43] == '=')
		text.length = 43;
	if (text.length != 43)
		return false;
	uint32_t bits = 0;
	unsigned count = 0;
	size_t used = 0;
	for (size_t i = 0; i < text.length; i++) {
		int value = base64_value(text.at[i]);
		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count >= 8) {
			count -= 8;
			ret[used++] = (uint8_t)(bits >> count);
		}
	}
	/* 43 characters carry 258 bits: the last two must be zero, or two texts mean one key. */
	return used == 32 && (bits & 3) == 0;
}

int policy_pin_parse(struct str text, struct policy_pin *ret, struct err *err)
{
	struct str value = text;
	if (str_starts_nocase(value, STR("sha256:")))
		value = str_skip(value, 7);
	else if (str_starts_nocase(value, STR("sha256//"))) /* curl's and HPKP's way */
		value = str_skip(value, 8);
	if (codec_unhex(value, ret->spki_sha256, 32) || parse_base64_sha256(value, ret->spki_sha256))
		return 0;
	return err_set(err, ERR_INPUT,
		"\"%.*s\" is no key pin: write \"sha256:\" and the SHA-256 of the public key "
		"(SubjectPublicKeyInfo) in 64 hexadecimal digits or base64",
		(int)(text.length > 80 ? 80 : text.length), text.at);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int compare_pins(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct policy_pin));
}

static int compare_records(const void *a, const void *b)
{
	const struct policy_tlsa *x = a, *y = b;
	int by_kind = (x->usage << 16 | x->selector << 8 | x->matching) -
		(y->usage << 16 | y->selector << 8 | y->matching);
	if (by_kind)
		return by_kind;
	if (x->data.length != y->data.length)
		return x->data.length < y->data.length ? -1 : 1;
	return memcmp(x->data.at, y->data.at, x->data.length);
}

static void append_dane(struct buf *text, const struct policy_requirement *r)
{
	struct policy_tlsa *records = mem_array(r->tlsa_count + 1, sizeof(*records));
	char **names = mem_array(r->dane_name_count + 1, sizeof(*names));
	if (r->tlsa_count)
		memcpy(records, r->tlsa, r->tlsa_count * sizeof(*records));
	if (r->dane_name_count)
		memcpy(names, r->dane_names, r->dane_name_count * sizeof(*names));
	qsort(records, r->tlsa_count, sizeof(*records), compare_records);
	qsort(names, r->dane_name_count, sizeof(*names), compare_names);
	for (size_t i = 0; i < r->tlsa_count; i++) {
		buf_printf(text, "tlsa %d %d %d %zu\n", records[i].usage, records[i].selector,
			records[i].matching, records[i].data.length);
		buf_append_str(text, records[i].data);
	}
	for (size_t i = 0; i < r->dane_name_count; i++)
		buf_printf(text, "dane-name %zu %s\n", strlen(names[i]), names[i]);
	if (r->server_name)
		buf_printf(text, "sni %zu %s\n", strlen(r->server_name), r->server_name);
	free(records);
	free(names);
}

/* Everything the verdict depends on, in an order of its own, so that equal demands written
 * differently are equal. Every part says or has a fixed length: no two demands share a text. */
static void compute_fingerprint(struct policy_requirement *r)
{
	char **names = mem_array(r->name_count + 1, sizeof(*names));
	struct policy_pin *pins = mem_array(r->pin_count + 1, sizeof(*pins));
	if (r->name_count)
		memcpy(names, r->names, r->name_count * sizeof(*names));
	if (r->pin_count)
		memcpy(pins, r->pins, r->pin_count * sizeof(*pins));
	qsort(names, r->name_count, sizeof(*names), compare_names);
	qsort(pins, r->pin_count, sizeof(*pins), compare_pins);

	struct buf text = { 0 };
	buf_printf(&text, "%s %d\n", policy_level_name(r->level), (int)r->minimum);
	for (size_t i = 0; i < r->name_count; i++)
		buf_printf(&text, "name %zu %s\n", strlen(names[i]), names[i]);
	if (r->trust || r->trust_name) {
		const char *name = r->trust_name ? r->trust_name : "";
		buf_printf(&text, "trust %zu %s\n", strlen(name), name);
		buf_append(&text, r->trust_sha256, sizeof(r->trust_sha256));
	}
	buf_printf(&text, "pins %zu\n", r->pin_count);
	buf_append(&text, pins, r->pin_count * sizeof(*pins));
	append_dane(&text, r);
	uint8_t digest[TLSIO_DIGEST_SHA256_BYTES];
	tlsio_digest_sha256(buf_str(&text), digest);
	codec_hex(digest, 16, r->fingerprint);
	buf_release(&text);
	free(names);
	free(pins);
}

/* Names are compared as bytes later: one case, no trailing dot. */
static char *copy_name(const char *name)
{
	char *copy = mem_dup(name);
	size_t length = strlen(copy);
	if (length > 1 && copy[length - 1] == '.')
		copy[--length] = '\0';
	str_lower_in_place(copy, length);
	return copy;
}

static void copy_dane(struct policy_requirement *r, const struct policy_requirement *from)
{
	r->tlsa_count = from->tlsa_count;
	if (from->tlsa_count)
		r->tlsa = mem_array(from->tlsa_count, sizeof(*r->tlsa));
	for (size_t i = 0; i < from->tlsa_count; i++) {
		r->tlsa[i] = from->tlsa[i];
		r->tlsa[i].data.at = mem_dup_bytes(from->tlsa[i].data.at, from->tlsa[i].data.length);
	}
	r->dane_name_count = from->dane_name_count;
	if (from->dane_name_count)
		r->dane_names = mem_array(from->dane_name_count, sizeof(*r->dane_names));
	for (size_t i = 0; i < from->dane_name_count; i++)
		r->dane_names[i] = copy_name(from->dane_names[i]);
	r->server_name = from->server_name ? copy_name(from->server_name) : NULL;
}

struct policy_requirement *policy_requirement_new(const struct policy_requirement *from)
{
	struct policy_requirement *r = mem_zero(sizeof(*r));
	r->references = 1;
	r->level = from->level;
	r->minimum = from->minimum ? from->minimum : TLSIO_TLS12;
	r->name_count = from->name_count;
	if (from->name_count)
		r->names = mem_array(from->name_count, sizeof(*r->names));
	for (size_t i = 0; i < from->name_count; i++)
		r->names[i] = copy_name(from->names[i]);
	r->pin_count = from->pin_count;
	if (from->pin_count) {
		r->pins = mem_array(from->pin_count, sizeof(*r->pins));
		memcpy(r->pins, from->pins, from->pin_count * sizeof(*r->pins));
	}
	copy_dane(r, from);
	r->trust = from->trust ? tlsio_trust_ref(from->trust) : NULL;
	r->trust_name = mem_dup(from->trust_name);
	memcpy(r->trust_sha256, from->trust_sha256, sizeof(r->trust_sha256));
	r->origin = from->origin;
	r->source = mem_dup(from->source ? from->source : "a rule");
	compute_fingerprint(r);
	return r;
}

struct policy_requirement *policy_requirement_ref(struct policy_requirement *r)
{
	if (r)
		r->references++;
	return r;
}

void policy_requirement_unref(struct policy_requirement **requirement)
{
	struct policy_requirement *r = *requirement;
	*requirement = NULL;
	if (!r || --r->references > 0)
		return;
	for (size_t i = 0; i < r->name_count; i++)
		free(r->names[i]);
	free(r->names);
	for (size_t i = 0; i < r->tlsa_count; i++)
		free((char *)(uintptr_t)r->tlsa[i].data.at);
	free(r->tlsa);
	for (size_t i = 0; i < r->dane_name_count; i++)
		free(r->dane_names[i]);
	free(r->dane_names);
	free(r->server_name);
	free(r->pins);
	if (r->trust)
		tlsio_trust_unref(&r->trust);
	free(r->trust_name);
	free(r->source);
	free(r);
}

#include "policy/policy_domain.h"

#include <assert.h>
#include <idn2.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

enum { LABEL_BYTES = 63, NAME_BYTES = 253 };

struct entry {
	UT_hash_handle hh;
	void *value;
	size_t length;
	char pattern[];
};

struct policy_domain_table {
	struct entry *entries;
	void *rest; /* the value of "*" */
};

static bool is_name_byte(char c)
{
	/* "_" is no host name but is met in mail domains and TLSA owners. */
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* RFC 1035 section 2.3.4; ascii is lower case already. */
static int check_labels(const char *ascii, struct str as_written, struct err *err)
{
	size_t length = strlen(ascii);
	if (length == 0 || length > NAME_BYTES)
		return err_set(err, ERR_INPUT, "\"%.80s\" is not a domain name: %s",
			length ? ascii : "", length ? "longer than 253 bytes" : "it is empty");
	struct str rest = str_from(ascii, length), label;
	while (str_split(&rest, '.', &label)) {
		if (label.length == 0 || label.length > LABEL_BYTES)
			return err_set(err, ERR_INPUT, "\"%.*s\" is not a domain name: %s",
				STR_ARGS(as_written),
				label.length ? "a label is longer than 63 bytes"
					     : "a label is empty");
		for (size_t i = 0; i < label.length; i++) {
			if (!is_name_byte(label.at[i]))
				return err_set(err, ERR_INPUT,
					"\"%.*s\" is not a domain name: it holds a byte other than "
					"letters, digits, \"-\", \"_\" and \".\"",
					STR_ARGS(as_written));
		}
	}
	return 0;
}

static int to_a_labels(struct str text, char ret[POLICY_DOMAIN_BYTES], struct err *err)
{
	/* Non-ASCII names are at most four times as long in UTF-8 as libidn2 can make use of. */
	char in[4 * NAME_BYTES + 1];
	if (!str_copy(text, in, sizeof(in)) || strlen(in) != text.length)
		return err_set(err, ERR_INPUT, "a domain name is too long or holds a NUL");
	char *out = NULL;
	int status = idn2_to_ascii_8z(in, &out, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
	if (status != IDN2_OK)
		return err_set(err, ERR_INPUT, "\"%.100s\" is not a domain name: %s", in,
			idn2_strerror(status));
	bool fits = str_copy(str_of(out), ret, POLICY_DOMAIN_BYTES - 1);
	idn2_free(out);
	if (!fits)
		return err_set(err, ERR_INPUT, "\"%.100s\" is longer than a domain name may be", in);
	return 0;
}

int policy_domain_parse(struct str text, char ret[POLICY_DOMAIN_BYTES], struct err *err)
{
	char form[POLICY_DOMAIN_BYTES];
	struct str shown = text.length > 80 ? str_head(text, 80) : text;
	if (!str_is_ascii(text)) {
		if (to_a_labels(text, form, err) < 0)
			return -1;
	} else if (!str_copy(text, form, sizeof(form) - 1) || strlen(form) != text.length) {
		return err_set(err, ERR_INPUT, "\"%.*s\" is too long for a domain name",
			STR_ARGS(shown));
	}
	size_t length = strlen(form);
	if (length > 1 && form[length - 1] == '.')
		form[--length] = '\0';
	str_lower_in_place(form, length);
	if (check_labels(form, shown, err) < 0)
		return -1;
	memcpy(ret, form, length + 1);
	return 0;
}

int policy_domain_parse_pattern(struct str text, char ret[POLICY_DOMAIN_BYTES], struct err *err)
{
	if (str_equal(text, STR("*"))) {
		memcpy(ret, "*", 2);
		return 0;
	}
	if (!str_starts(text, STR(".")))
		return policy_domain_parse(text, ret, err);
	char below[POLICY_DOMAIN_BYTES];
	if (policy_domain_parse(str_skip(text, 1), below, err) < 0)
		return -1;
	ret[0] = '.';
	memcpy(ret + 1, below, strlen(below) + 1);
	return 0;
}

struct policy_domain_table *policy_domain_table_new(void)
{
	return mem_zero(sizeof(struct policy_domain_table));
}

static struct entry *find_entry(const struct policy_domain_table *table, const char *key,
	size_t length)
{
	struct entry *found;
	HASH_FIND(hh, table->entries, key, length, found);
	return found;
}

bool policy_domain_table_add(struct policy_domain_table *table, const char *pattern, void *value)
{
	assert(value);
	if (strcmp(pattern, "*") == 0) {
		if (table->rest)
			return false;
		table->rest = value;
		return true;
	}
	size_t length = strlen(pattern);
	if (find_entry(table, pattern, length))
		return false;
	struct entry *e = mem_zero(sizeof(*e) + length + 1);
	e->value = value;
	e->length = length;
	memcpy(e->pattern, pattern, length + 1);
	HASH_ADD_KEYPTR(hh, table->entries, e->pattern, e->length, e);
	return true;
}

void *policy_domain_table_find_named(const struct policy_domain_table *table, struct str domain)
{
	char name[POLICY_DOMAIN_BYTES];
	if (!table->entries || policy_domain_parse(domain, name, NULL) < 0)
		return NULL;
	size_t length = strlen(name);
	struct entry *e = find_entry(table, name, length);
	for (size_t i = 1; !e && i < length; i++) {
		if (name[i] == '.')
			e = find_entry(table, name + i, length - i);
	}
	return e ? e->value : NULL;
}

void *policy_domain_table_find(const struct policy_domain_table *table, struct str domain)
{
	void *named = policy_domain_table_find_named(table, domain);
	return named ? named : table->rest;
}

void policy_domain_table_each(const struct policy_domain_table *table,
	void (*on_value)(void *ctx, const char *pattern, void *value), void *ctx)
{
	for (struct entry *e = table->entries; e; e = e->hh.next)
		on_value(ctx, e->pattern, e->value);
	if (table->rest)
		on_value(ctx, "*", table->rest);
}

void policy_domain_table_free(struct policy_domain_table **table, void (*free_value)(void *value))
{
	if (!*table)
		return;
	struct entry *e, *next;
	HASH_ITER(hh, (*table)->entries, e, next) {
		HASH_DEL((*table)->entries, e);
		if (free_value)
			free_value(e->value);
		free(e);
	}
	if (free_value && (*table)->rest)
		free_value((*table)->rest);
	free(*table);
	*table = NULL;
}

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "smtpd/smtp/smtp_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_for_hidden(const struct smtp_address *a)
{
	char plain[SMTP_ADDRESS_LOCAL_BYTES];
	struct str unquoted = smtp_address_unquote(a->local, plain), hidden;
	size_t cursor = 0, count = 0;
	while (smtp_address_next_hidden_domain(unquoted, &cursor, &hidden)) {
		assert(hidden.at >= unquoted.at &&
			hidden.at + hidden.length <= unquoted.at + unquoted.length);
		assert(++count <= sizeof(plain));
	}
}

/* What came out of a path stands by the grammar of a bare address as well. */
static void check(const struct smtp_address *a)
{
	char ascii[SMTP_ADDRESS_DOMAIN_BYTES + 1], again[SMTP_ADDRESS_DOMAIN_BYTES + 1];
	struct smtp_address same;
	assert(a->text.length <= SMTP_ADDRESS_BYTES);
	assert(a->local.length <= SMTP_ADDRESS_LOCAL_BYTES);
	if (!a->domain.length)
		return;
	assert(smtp_address_parse(a->text, &same, NULL) == 0);
	assert(str_equal(same.domain, a->domain) && str_equal(same.local, a->local));
	assert(str_find(a->domain, '@') == a->domain.length);
	look_for_hidden(a);
	if (smtp_address_domain_ascii(a->domain, ascii, NULL) == 0) {
		assert(str_is_ascii(str_of(ascii)));
		assert(smtp_address_domain_ascii(str_of(ascii), again, NULL) == 0);
		assert(!strcmp(ascii, again));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_address a;
	struct str text = str_from(data, size);
	if (smtp_address_parse_path(&text, SMTP_ADDRESS_ALLOW_NULL | SMTP_ADDRESS_ALLOW_POSTMASTER,
		    &a, NULL) == 0)
		check(&a);
	if (smtp_address_parse(str_from(data, size), &a, NULL) == 0)
		check(&a);
	smtp_address_is_domain(str_from(data, size), true);
	return 0;
}

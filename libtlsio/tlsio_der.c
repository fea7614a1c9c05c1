#include "libtlsio/tlsio_der.h"

enum { TAG_INTEGER = 0x02, TAG_SEQUENCE = 0x30, TAG_VERSION = 0xa0 };

/* Takes one element with this tag off the front of *from: the whole of it and what is inside. Only
 * definite lengths of up to three bytes: DER knows no others, and no certificate is larger. */
static bool take(struct str *from, unsigned char tag, struct str *ret_whole, struct str *ret_inside)
{
	const unsigned char *at = (const unsigned char *)from->at;
	if (from->length < 2 || at[0] != tag)
		return false;
	size_t header = 2, length = at[1];
	if (length & 0x80) {
		size_t count = length & 0x7f;
		if (count == 0 || count > 3 || from->length < 2 + count)
			return false;
		length = 0;
		for (size_t i = 0; i < count; i++)
			length = length << 8 | at[2 + i];
		header += count;
	}
	if (length > from->length - header)
		return false;
	*ret_whole = str_head(*from, header + length);
	*ret_inside = str_skip(*ret_whole, header);
	*from = str_skip(*from, header + length);
	return true;
}

static bool find_parts(struct str der, struct str *ret_signed, struct str *ret_spki)
{
	struct str whole, inside, fields, skipped;
	if (!take(&der, TAG_SEQUENCE, &whole, &inside) ||
		!take(&inside, TAG_SEQUENCE, ret_signed, &fields))
		return false;
	take(&fields, TAG_VERSION, &whole, &skipped); /* not there in version 1 */
	/* serial number; signature algorithm, issuer, validity, subject */
	if (!take(&fields, TAG_INTEGER, &whole, &skipped))
		return false;
	for (int i = 0; i < 4; i++)
		if (!take(&fields, TAG_SEQUENCE, &whole, &skipped))
			return false;
	return take(&fields, TAG_SEQUENCE, ret_spki, &skipped);
}

bool tlsio_der_certificate(struct str der, struct str *ret_signed, struct str *ret_spki)
{
	if (find_parts(der, ret_signed, ret_spki))
		return true;
	*ret_signed = *ret_spki = STR("");
	return false;
}

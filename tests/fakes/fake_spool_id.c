#include "smtpd/spool/spool_envelope.h"

#include "libtlsio/base/codec.h"

/* Weak: where libspool.a is linked too, its own stand. */
__attribute__((weak)) const char *spool_id_format(uint64_t id, char *text)
{
	unsigned char bytes[8];
	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(id >> (56 - 8 * i));
	codec_hex(bytes, sizeof(bytes), text);
	return text;
}

__attribute__((weak)) bool spool_id_parse(struct str text, uint64_t *ret_id)
{
	unsigned char bytes[8];
	if (text.length != 16 || !codec_unhex(text, bytes, sizeof(bytes)))
		return false;
	*ret_id = 0;
	for (int i = 0; i < 8; i++)
		*ret_id = *ret_id << 8 | bytes[i];
	return true;
}

#include "libtlsio/base/codec.h"

#include <pthread.h>

#define POLYNOMIAL 0x82f63b78u /* CRC32C, reversed */

static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;
static uint32_t (*update)(uint32_t, const unsigned char *, size_t);

static uint32_t update_table(uint32_t crc, const unsigned char *p, size_t length)
{
	while (length >= 8) {
		uint32_t low = crc ^ codec_get_u32(p);
		uint32_t high = codec_get_u32(p + 4);
		crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^
		      table[4][low >> 24] ^ table[3][high & 255] ^ table[2][high >> 8 & 255] ^
		      table[1][high >> 16 & 255] ^ table[0][high >> 24];
		p += 8;
		length -= 8;
	}
	while (length--)
		crc = table[0][(crc ^ *p++) & 255] ^ crc >> 8;
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t update_sse42(
	uint32_t crc, const unsigned char *p, size_t length)
{
	uint64_t wide = crc;
	while (length >= 8) {
		uint64_t chunk;
		memcpy(&chunk, p, 8);
		wide = __builtin_ia32_crc32di(wide, chunk);
		p += 8;
		length -= 8;
	}
	crc = (uint32_t)wide;
	while (length--)
		crc = __builtin_ia32_crc32qi(crc, *p++);
	return crc;
}
#endif

static void prepare(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		table[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			table[k][i] = table[0][table[k - 1][i] & 255] ^ table[k - 1][i] >> 8;
	update = update_table;
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		update = update_sse42;
#endif
}

uint32_t codec_crc32c(uint32_t crc, const void *bytes, size_t length)
{
	pthread_once(&table_once, prepare);
	return ~update(~crc, bytes, length);
}

void codec_hex(const void *bytes, size_t length, char *into)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = bytes;
	for (size_t i = 0; i < length; i++) {
		*into++ = digits[p[i] >> 4];
		*into++ = digits[p[i] & 15];
	}
	*into = '\0';
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = str_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool codec_unhex(struct str s, void *into, size_t length)
{
	unsigned char *out = into;
	size_t at = 0;
	for (size_t i = 0; i < length; i++) {
		if (i && at < s.length && s.at[at] == ':')
			at++;
		if (at + 2 > s.length)
			return false;
		int high = digit(s.at[at]), low = digit(s.at[at + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
		at += 2;
	}
	return at == s.length;
}

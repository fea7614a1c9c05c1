/* codec: fixed-size numbers in bytes, checksums, hexadecimal.
 *
 * Promise: little-endian on every machine; CRC32C is the Castagnoli polynomial (as iSCSI, ext4),
 *          in hardware where the processor has it.
 */
#ifndef LIBTLSIO_BASE_CODEC_H
#define LIBTLSIO_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libtlsio/base/str.h"

static inline void codec_put_u16(void *at, uint16_t v)
{
	unsigned char *b = at;
	b[0] = (unsigned char)v;
	b[1] = (unsigned char)(v >> 8);
}

static inline void codec_put_u32(void *at, uint32_t v)
{
	unsigned char *b = at;
	for (int i = 0; i < 4; i++)
		b[i] = (unsigned char)(v >> (8 * i));
}

static inline void codec_put_u64(void *at, uint64_t v)
{
	unsigned char *b = at;
	for (int i = 0; i < 8; i++)
		b[i] = (unsigned char)(v >> (8 * i));
}

static inline uint16_t codec_get_u16(const void *at)
{
	const unsigned char *b = at;
	return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t codec_get_u32(const void *at)
{
	const unsigned char *b = at;
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t codec_get_u64(const void *at)
{
	return (uint64_t)codec_get_u32(at) | (uint64_t)codec_get_u32((const char *)at + 4) << 32;
}

/* CRC32C of the bytes, continuing from `crc` (0 to begin): crc(ab) == crc(b, crc(a)). */
uint32_t codec_crc32c(uint32_t crc, const void *bytes, size_t length);

/* Lower-case hexadecimal with a NUL; `into` holds 2 * length + 1. */
void codec_hex(const void *bytes, size_t length, char *into);
/* False unless s is exactly 2 * length hexadecimal digits; ":" between bytes is allowed. */
bool codec_unhex(struct str s, void *into, size_t length);

#endif

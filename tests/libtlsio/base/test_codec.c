#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "libtlsio/base/codec.h"

static void crc32c_is_castagnoli(void **state)
{
	(void)state;
	unsigned char bytes[32];
	assert_int_equal(codec_crc32c(0, "", 0), 0);
	assert_int_equal(codec_crc32c(0, "123456789", 9), 0xe3069283);
	/* the vectors of RFC 3720 B.4 */
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(codec_crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(codec_crc32c(0, bytes, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (unsigned char)i;
	assert_int_equal(codec_crc32c(0, bytes, 32), 0x46dd794e);
}

static void crc32c_goes_on_from_any_cut(void **state)
{
	(void)state;
	char text[100];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7);
	uint32_t whole = codec_crc32c(0, text, sizeof(text));
	for (size_t cut = 0; cut <= sizeof(text); cut++)
		assert_int_equal(codec_crc32c(codec_crc32c(0, text, cut), text + cut,
					 sizeof(text) - cut),
			whole);
	text[50] ^= 1;
	assert_int_not_equal(codec_crc32c(0, text, sizeof(text)), whole);
}

static void numbers_are_little_endian_at_any_address(void **state)
{
	(void)state;
	unsigned char room[9];
	codec_put_u64(room + 1, 0x0123456789abcdef);
	assert_int_equal(room[1], 0xef);
	assert_int_equal(room[8], 0x01);
	assert_true(codec_get_u64(room + 1) == 0x0123456789abcdef);
	codec_put_u32(room + 1, 0xfedcba98);
	assert_int_equal(codec_get_u32(room + 1), 0xfedcba98);
	assert_int_equal(codec_get_u16(room + 1), 0xba98);
	codec_put_u16(room + 1, 0x1234);
	assert_int_equal(room[1], 0x34);
	assert_int_equal(room[2], 0x12);
}

static void hexadecimal_goes_both_ways(void **state)
{
	(void)state;
	char text[9];
	unsigned char bytes[4];
	codec_hex("\x00\x7f\x80\xff", 4, text);
	assert_string_equal(text, "007f80ff");
	assert_true(codec_unhex(STR("007F80fF"), bytes, 4));
	assert_memory_equal(bytes, "\x00\x7f\x80\xff", 4);
	assert_true(codec_unhex(STR("00:7F:80:fF"), bytes, 4));
	static const char *const refused[] = { "", "007f80f", "007f80ff0", "007f80fg", "00 7f80ff",
		":007f80ff", "007f80ff:", "0:07f80ff" };
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_false(codec_unhex(str_of(refused[i]), bytes, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_is_castagnoli),
		cmocka_unit_test(crc32c_goes_on_from_any_cut),
		cmocka_unit_test(numbers_are_little_endian_at_any_address),
		cmocka_unit_test(hexadecimal_goes_both_ways),
	};
	return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}

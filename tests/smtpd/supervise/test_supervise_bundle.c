#include "smtpd/supervise/supervise_bundle.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "libtlsio/base/codec.h"

static struct supervise_bundle *sample(void)
{
	static const uint8_t secret[SUPERVISE_SECRET_BYTES] = { 1, 2, 3 };
	struct supervise_bundle *b = supervise_bundle_new("/etc/postern/postern.conf");
	assert_int_equal(supervise_bundle_add(b, "/etc/postern/postern.conf", STR("hostname = x"),
		NULL), 0);
	assert_int_equal(supervise_bundle_add(b, "/etc/key.pem", str_from("a\0b", 3), NULL), 0);
	assert_int_equal(supervise_bundle_add(b, "/etc/empty", STR(""), NULL), 0);
	supervise_bundle_set_secret(b, secret);
	return b;
}

static void comes_back_as_it_was(void **state)
{
	(void)state;
	struct supervise_bundle *b = sample();
	struct buf bytes = { 0 };
	struct str content;
	supervise_bundle_encode(b, &bytes);
	struct supervise_bundle *back = supervise_bundle_decode(buf_str(&bytes), NULL);
	assert_non_null(back);
	assert_string_equal(supervise_bundle_config_path(back), "/etc/postern/postern.conf");
	assert_int_equal(supervise_bundle_count(back), 3);
	assert_true(supervise_bundle_find(back, "/etc/key.pem", &content));
	assert_true(str_equal(content, str_from("a\0b", 3)));
	assert_true(supervise_bundle_find(back, "/etc/empty", &content));
	assert_int_equal(content.length, 0);
	assert_false(supervise_bundle_find(back, "/etc/other", &content));
	assert_memory_equal(supervise_bundle_secret(back), supervise_bundle_secret(b), 64);
	buf_release(&bytes);
	supervise_bundle_free(&back);
	supervise_bundle_free(&b);
}

static void a_bundle_may_have_no_secret(void **state)
{
	(void)state;
	struct supervise_bundle *b = supervise_bundle_new("c");
	struct buf bytes = { 0 };
	supervise_bundle_encode(b, &bytes);
	struct supervise_bundle *back = supervise_bundle_decode(buf_str(&bytes), NULL);
	assert_non_null(back);
	assert_null(supervise_bundle_secret(back));
	buf_release(&bytes);
	supervise_bundle_free(&back);
	supervise_bundle_free(&b);
}

static void a_second_reading_sees_the_first_content(void **state)
{
	(void)state;
	struct supervise_bundle *b = supervise_bundle_new("c");
	struct str content;
	supervise_bundle_add(b, "f", STR("first"), NULL);
	supervise_bundle_add(b, "f", STR("second"), NULL);
	assert_true(supervise_bundle_find(b, "f", &content));
	assert_true(str_equal(content, STR("first")));
	assert_int_equal(supervise_bundle_count(b), 1);
	supervise_bundle_free(&b);
}

static void refuses_every_cut(void **state)
{
	(void)state;
	struct supervise_bundle *b = sample();
	struct buf bytes = { 0 };
	supervise_bundle_encode(b, &bytes);
	for (size_t length = 0; length < bytes.length; length++)
		assert_null(supervise_bundle_decode(str_head(buf_str(&bytes), length), NULL));
	buf_release(&bytes);
	supervise_bundle_free(&b);
}

/* A damaged byte is seen by the checksum; with a checksum that fits, by the form. */
static void refuses_or_survives_every_changed_byte(void **state)
{
	(void)state;
	struct supervise_bundle *b = sample();
	struct buf bytes = { 0 };
	supervise_bundle_encode(b, &bytes);
	char *at = bytes.data + bytes.head;
	for (size_t i = 0; i < bytes.length; i++) {
		at[i] ^= 0x41;
		assert_null(supervise_bundle_decode(buf_str(&bytes), NULL));
		if (i >= 16) {
			uint32_t was = codec_get_u32(at + 12);
			codec_put_u32(at + 12, codec_crc32c(0, at + 16, bytes.length - 16));
			struct supervise_bundle *back =
				supervise_bundle_decode(buf_str(&bytes), NULL);
			supervise_bundle_free(&back);
			codec_put_u32(at + 12, was);
		}
		at[i] ^= 0x41;
	}
	buf_release(&bytes);
	supervise_bundle_free(&b);
}

static void refuses_more_than_the_limits(void **state)
{
	(void)state;
	struct supervise_bundle *b = supervise_bundle_new("c");
	struct err err;
	char path[32];
	for (int i = 0; i < SUPERVISE_BUNDLE_FILES_MOST; i++) {
		snprintf(path, sizeof(path), "/f%d", i);
		assert_int_equal(supervise_bundle_add(b, path, STR("x"), &err), 0);
	}
	assert_int_equal(supervise_bundle_add(b, "/one-more", STR("x"), &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	supervise_bundle_free(&b);

	b = supervise_bundle_new("c");
	char *large = calloc(1, SUPERVISE_BUNDLE_BYTES_MOST);
	assert_int_equal(supervise_bundle_add(b, "/large",
		str_from(large, SUPERVISE_BUNDLE_BYTES_MOST), &err), 0);
	assert_int_equal(supervise_bundle_add(b, "/more", STR("x"), &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	free(large);
	supervise_bundle_free(&b);
}

static void reads_only_what_was_recorded(void **state)
{
	(void)state;
	char path[] = "/tmp/test_supervise_bundle.XXXXXX";
	struct buf got = { 0 };
	struct err err;
	int fd = mkstemp(path);
	assert_int_equal(write(fd, "key", 3), 3);
	struct supervise_bundle *b = supervise_bundle_new("c");
	assert_int_equal(supervise_bundle_record(b, path, 100, &got, &err), 0);
	assert_true(str_equal(buf_str(&got), STR("key")));
	assert_int_equal(pwrite(fd, "new", 3, 0), 3);
	close(fd);
	unlink(path);
	buf_clear(&got);
	assert_int_equal(supervise_bundle_record(b, path, 100, &got, &err), 0);
	assert_true(str_equal(buf_str(&got), STR("key")));
	buf_clear(&got);
	assert_int_equal(supervise_bundle_read(b, path, 100, &got, &err), 0);
	assert_true(str_equal(buf_str(&got), STR("key")));
	assert_int_equal(supervise_bundle_read(b, path, 2, &got, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(supervise_bundle_read(b, "/etc/passwd", 1 << 20, &got, &err), -1);
	assert_int_equal(supervise_bundle_record(b, path + 1, 100, &got, &err), -1);
	buf_release(&got);
	supervise_bundle_free(&b);
}

static void a_memory_file_cannot_be_changed(void **state)
{
	(void)state;
	struct supervise_bundle *b = sample();
	struct err err;
	int fd = supervise_bundle_to_memfd(b, &err);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	for (int i = 0; i < 2; i++) { /* its position does not matter */
		struct supervise_bundle *back = supervise_bundle_from_memfd(fd, &err);
		assert_non_null(back);
		assert_int_equal(supervise_bundle_count(back), 3);
		supervise_bundle_free(&back);
	}
	close(fd);
	supervise_bundle_free(&b);
	int empty = memfd_create("empty", MFD_CLOEXEC);
	assert_null(supervise_bundle_from_memfd(empty, &err));
	close(empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back_as_it_was),
		cmocka_unit_test(a_bundle_may_have_no_secret),
		cmocka_unit_test(a_second_reading_sees_the_first_content),
		cmocka_unit_test(refuses_every_cut),
		cmocka_unit_test(refuses_or_survives_every_changed_byte),
		cmocka_unit_test(refuses_more_than_the_limits),
		cmocka_unit_test(reads_only_what_was_recorded),
		cmocka_unit_test(a_memory_file_cannot_be_changed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

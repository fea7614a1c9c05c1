#include "smtpd/supervise/supervise_bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/file.h"
#include "libtlsio/base/mem.h"

/* magic, version, CRC32C of everything behind it */
#define HEAD_BYTES 16
#define MAGIC "PSTNBNDL"
#define FORM_VERSION 1
#define PATH_BYTES_MOST 4096

struct entry {
	char *path;
	char *content;
	size_t length;
};

struct supervise_bundle {
	char *config_path;
	bool has_secret;
	uint8_t secret[SUPERVISE_SECRET_BYTES];
	struct entry *entries;
	size_t count, capacity;
	size_t content_bytes;
};

struct supervise_bundle *supervise_bundle_new(const char *config_path)
{
	struct supervise_bundle *b = mem_zero(sizeof(*b));
	b->config_path = mem_dup(config_path);
	return b;
}

void supervise_bundle_free(struct supervise_bundle **bundle)
{
	struct supervise_bundle *b = *bundle;
	if (!b)
		return;
	*bundle = NULL;
	for (size_t i = 0; i < b->count; i++) {
		explicit_bzero(b->entries[i].content, b->entries[i].length);
		free(b->entries[i].content);
		free(b->entries[i].path);
	}
	free(b->entries);
	free(b->config_path);
	explicit_bzero(b->secret, sizeof(b->secret));
	free(b);
}

const char *supervise_bundle_config_path(const struct supervise_bundle *b)
{
	return b->config_path;
}

void supervise_bundle_set_secret(
	struct supervise_bundle *b, const uint8_t secret[SUPERVISE_SECRET_BYTES])
{
	memcpy(b->secret, secret, SUPERVISE_SECRET_BYTES);
	b->has_secret = true;
}

const uint8_t *supervise_bundle_secret(const struct supervise_bundle *b)
{
	return b->has_secret ? b->secret : NULL;
}

static const struct entry *find(const struct supervise_bundle *b, const char *path)
{
	for (size_t i = 0; i < b->count; i++)
		if (strcmp(b->entries[i].path, path) == 0)
			return &b->entries[i];
	return NULL;
}

int supervise_bundle_add(
	struct supervise_bundle *b, const char *path, struct str content, struct err *err)
{
	if (find(b, path))
		return 0;
	if (b->count == SUPERVISE_BUNDLE_FILES_MOST)
		return err_set(err, ERR_LIMIT, "the configuration reads more than %d files",
			SUPERVISE_BUNDLE_FILES_MOST);
	if (strlen(path) > PATH_BYTES_MOST)
		return err_set(err, ERR_LIMIT, "a file name is longer than %d bytes",
			PATH_BYTES_MOST);
	if (content.length > SUPERVISE_BUNDLE_BYTES_MOST - b->content_bytes)
		return err_set(err, ERR_LIMIT, "the files of the configuration hold more than %u bytes",
			SUPERVISE_BUNDLE_BYTES_MOST);
	if (b->count == b->capacity) {
		b->capacity = b->capacity ? 2 * b->capacity : 16;
		b->entries = mem_resize_array(b->entries, b->capacity, sizeof(*b->entries));
	}
	b->entries[b->count++] = (struct entry){ .path = mem_dup(path),
		.content = mem_dup_bytes(content.at, content.length), .length = content.length };
	b->content_bytes += content.length;
	return 0;
}

bool supervise_bundle_find(
	const struct supervise_bundle *b, const char *path, struct str *ret_content)
{
	const struct entry *e = find(b, path);
	if (e)
		*ret_content = str_from(e->content, e->length);
	return e != NULL;
}

size_t supervise_bundle_count(const struct supervise_bundle *b)
{
	return b->count;
}

const char *supervise_bundle_path(const struct supervise_bundle *b, size_t index)
{
	return b->entries[index].path;
}

int supervise_bundle_read(void *ctx, const char *path, size_t max_bytes, struct buf *ret,
	struct err *err)
{
	struct str content;
	if (!supervise_bundle_find(ctx, path, &content))
		return err_set(err, ERR_SYSTEM, "%s is not among the files the supervisor sent", path);
	if (content.length > max_bytes)
		return err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", path, max_bytes);
	buf_append_str(ret, content);
	return 0;
}

int supervise_bundle_record(void *ctx, const char *path, size_t max_bytes, struct buf *ret,
	struct err *err)
{
	struct supervise_bundle *b = ctx;
	if (find(b, path))
		return supervise_bundle_read(ctx, path, max_bytes, ret, err);
	struct buf content = { 0 };
	int result = file_read(path, max_bytes, &content, err);
	if (result == 0)
		result = supervise_bundle_add(b, path, buf_str(&content), err);
	if (result == 0)
		buf_append_str(ret, buf_str(&content));
	if (content.data)
		explicit_bzero(content.data, content.capacity);
	buf_release(&content);
	return result;
}

/* ---- bytes ------------------------------------------------------------------------------------ */

static void put_u32(struct buf *to, size_t value)
{
	codec_put_u32(buf_reserve(to, 4), (uint32_t)value);
	buf_added(to, 4);
}

static void put_piece(struct buf *to, const void *bytes, size_t length)
{
	put_u32(to, length);
	buf_append(to, bytes, length);
}

static size_t encoded_bytes(const struct supervise_bundle *b)
{
	size_t bytes = HEAD_BYTES + 4 + strlen(b->config_path) + 4 + sizeof(b->secret) + 4;
	for (size_t i = 0; i < b->count; i++)
		bytes += 4 + strlen(b->entries[i].path) + 4 + b->entries[i].length;
	return bytes;
}

void supervise_bundle_encode(const struct supervise_bundle *b, struct buf *ret)
{
	/* room for all at once: growing would leave copies of keys behind in freed memory */
	buf_reserve(ret, encoded_bytes(b));
	size_t start = ret->length;
	buf_append(ret, MAGIC, 8);
	put_u32(ret, FORM_VERSION);
	put_u32(ret, 0);
	put_piece(ret, b->config_path, strlen(b->config_path));
	put_piece(ret, b->secret, b->has_secret ? sizeof(b->secret) : 0);
	put_u32(ret, b->count);
	for (size_t i = 0; i < b->count; i++) {
		put_piece(ret, b->entries[i].path, strlen(b->entries[i].path));
		put_piece(ret, b->entries[i].content, b->entries[i].length);
	}
	char *head = ret->data + ret->head + start;
	codec_put_u32(head + 12,
		codec_crc32c(0, head + HEAD_BYTES, ret->length - start - HEAD_BYTES));
}

static bool take_u32(struct str *from, uint32_t *ret)
{
	if (from->length < 4)
		return false;
	*ret = codec_get_u32(from->at);
	*from = str_skip(*from, 4);
	return true;
}

static bool take_piece(struct str *from, size_t most, struct str *ret)
{
	uint32_t length;
	if (!take_u32(from, &length) || length > from->length || length > most)
		return false;
	*ret = str_head(*from, length);
	*from = str_skip(*from, length);
	return true;
}

/* A path with a NUL inside would be another path once it is a C string. */
static char *take_path(struct str *from)
{
	struct str path;
	if (!take_piece(from, PATH_BYTES_MOST, &path) || memchr(path.at, 0, path.length))
		return NULL;
	return mem_dup_bytes(path.at, path.length);
}

static bool take_entry(struct supervise_bundle *b, struct str *from)
{
	struct str content;
	char *path = take_path(from);
	bool is_good = path && take_piece(from, SUPERVISE_BUNDLE_BYTES_MOST, &content) &&
		       !find(b, path) && supervise_bundle_add(b, path, content, NULL) == 0;
	free(path);
	return is_good;
}

static bool take_all(struct supervise_bundle *b, struct str from)
{
	struct str secret;
	uint32_t count;
	b->config_path = take_path(&from);
	if (!b->config_path || !take_piece(&from, SUPERVISE_SECRET_BYTES, &secret) ||
		!take_u32(&from, &count) || count > SUPERVISE_BUNDLE_FILES_MOST)
		return false;
	if (secret.length != 0 && secret.length != SUPERVISE_SECRET_BYTES)
		return false;
	if (secret.length)
		supervise_bundle_set_secret(b, (const uint8_t *)secret.at);
	while (count--)
		if (!take_entry(b, &from))
			return false;
	return from.length == 0;
}

struct supervise_bundle *supervise_bundle_decode(struct str bytes, struct err *err)
{
	if (bytes.length < HEAD_BYTES || memcmp(bytes.at, MAGIC, 8) != 0 ||
		codec_get_u32(bytes.at + 8) != FORM_VERSION) {
		err_set(err, ERR_INPUT, "this is no bundle of ours");
		return NULL;
	}
	struct str body = str_skip(bytes, HEAD_BYTES);
	if (codec_crc32c(0, body.at, body.length) != codec_get_u32(bytes.at + 12)) {
		err_set(err, ERR_INPUT, "the bundle is damaged");
		return NULL;
	}
	struct supervise_bundle *b = mem_zero(sizeof(*b));
	if (take_all(b, body))
		return b;
	supervise_bundle_free(&b);
	err_set(err, ERR_INPUT, "the bundle is malformed");
	return NULL;
}

/* ---- the memory file ---------------------------------------------------------------------------- */

static int write_all(int fd, struct str bytes)
{
	while (bytes.length) {
		ssize_t wrote = write(fd, bytes.at, bytes.length);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return -1;
		bytes = str_skip(bytes, (size_t)wrote);
	}
	return 0;
}

int supervise_bundle_to_memfd(const struct supervise_bundle *b, struct err *err)
{
	struct buf bytes = { 0 };
	int fd = memfd_create("postern-bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_system(err, errno, "cannot make a memory file");
	supervise_bundle_encode(b, &bytes);
	int failed = write_all(fd, buf_str(&bytes));
	if (!failed)
		failed = fcntl(fd, F_ADD_SEALS,
			F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	int why = errno;
	explicit_bzero(bytes.data, bytes.capacity);
	buf_release(&bytes);
	if (failed) {
		close(fd);
		return err_system(err, why, "cannot fill a memory file");
	}
	return fd;
}

struct supervise_bundle *supervise_bundle_from_memfd(int fd, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0) {
		err_system(err, errno, "cannot look at the bundle");
		return NULL;
	}
	if (st.st_size <= 0 || (uint64_t)st.st_size > 2 * (uint64_t)SUPERVISE_BUNDLE_BYTES_MOST) {
		err_set(err, ERR_LIMIT, "the bundle is empty or too large");
		return NULL;
	}
	size_t length = (size_t)st.st_size;
	void *bytes = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED) {
		err_system(err, errno, "cannot map the bundle");
		return NULL;
	}
	struct supervise_bundle *b = supervise_bundle_decode(str_from(bytes, length), err);
	munmap(bytes, length);
	return b;
}
